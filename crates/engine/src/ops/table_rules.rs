//! Rules that CreateTable and UpdateTable share: the members of a request about throughput, streams and class, read and
//! checked. Source: docs/spec/dynamodb-api.md 2.1 and 2.3, streams.md 2.

use tailrace_core::limits::{CAPACITY_UNITS_MAX, WARM_READ_UNITS, WARM_WRITE_UNITS};
use tailrace_core::{ApiError, Json};

use super::Request;
use crate::table::{BillingMode, OnDemandThroughput, Throughput, ViewType, WarmThroughput};

/// `One or more parameter values were invalid: ` and the rest.
pub(crate) fn invalid(rest: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {rest}"))
}

/// Refuses a member that is not built, when it asks for something.
pub(crate) fn refuse(request: &Request<'_>, members: &[&str]) -> Result<(), ApiError> {
    let asked = |name: &&&str| match request.body.get(name) {
        None => false,
        Some(Json::Array(elements)) => !elements.is_empty(),
        Some(_) => true,
    };
    match members.iter().find(asked) {
        Some(name) => Err(invalid(format!("{name} is not supported by Tailrace yet"))),
        None => Ok(()),
    }
}

/// Of an SSESpecification, only the default (an owned key) is built. Row 35.
pub(crate) fn sse(request: &Request<'_>) -> Result<(), ApiError> {
    let Some(sse) = request.body.get("SSESpecification") else { return Ok(()) };
    let enabled = sse.get("Enabled").and_then(Json::as_lenient_bool);
    let kind = sse.get("SSEType").and_then(Json::as_str);
    let key = sse.get("KMSMasterKeyId").is_some();
    match (enabled, kind) {
        (Some(false), Some(_)) => Err(invalid("SSEType can not be specified if Enabled is false")),
        (_, Some("AES256")) => Err(invalid("SSEType AES256 is not supported")),
        (_, kind) if key && kind != Some("KMS") => {
            Err(invalid("SSEType KMS is required if KMSMasterKeyId is specified"))
        }
        (Some(true), _) | (_, Some(_)) => Err(invalid("SSESpecification is not supported by Tailrace yet")),
        _ => Ok(()),
    }
}

/// `BillingMode`.
pub(crate) fn billing_mode(request: &Request<'_>) -> Option<BillingMode> {
    match request.text("BillingMode")? {
        "PAY_PER_REQUEST" => Some(BillingMode::PayPerRequest),
        _ => Some(BillingMode::Provisioned),
    }
}

/// `ProvisionedThroughput`, with its upper bound. Row 5.
pub(crate) fn throughput(request: &Request<'_>) -> Result<Option<Throughput>, ApiError> {
    let Some(given) = request.body.get("ProvisionedThroughput") else { return Ok(None) };
    let units = |name: &str| {
        let units = given.get(name).and_then(Json::as_saturated_i64).unwrap_or_default();
        if units > CAPACITY_UNITS_MAX {
            return Err(ApiError::validation(format!("Given value {units} for {name} is out of bounds")));
        }
        Ok(units)
    };
    let (read, write) = (units("ReadCapacityUnits")?, units("WriteCapacityUnits")?);
    Ok(Some(Throughput { read, write, ..Throughput::default() }))
}

/// Row 1.
pub(crate) fn units_on_demand() -> ApiError {
    invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
}

/// `OnDemandThroughput` as it was sent; `clears`: -1 is a value. Row 8.
pub(crate) fn on_demand(request: &Request<'_>, clears: bool) -> Result<Option<OnDemandThroughput>, ApiError> {
    let Some(given) = request.body.get("OnDemandThroughput") else { return Ok(None) };
    let units = |name: &str| {
        let units = given.get(name).and_then(Json::as_saturated_i64);
        if units.is_some_and(|units| units < 1 && !(clears && units == -1)) {
            return Err(invalid(format!(
                "Requested {name} for OnDemandThroughput for table is outside of valid range"
            )));
        }
        Ok(units)
    };
    Ok(Some(OnDemandThroughput { read: units("MaxReadRequestUnits")?, write: units("MaxWriteRequestUnits")? }))
}

/// The first member that a limit of on-demand throughput names, read first. Row 7.
pub(crate) fn first_limit(limits: &OnDemandThroughput) -> Option<&'static str> {
    match (limits.read, limits.write) {
        (Some(_), _) => Some("MaxReadRequestUnits"),
        (None, Some(_)) => Some("MaxWriteRequestUnits"),
        (None, None) => None,
    }
}

/// The warm throughput that a table has by its billing. 2.2.
pub(crate) fn warm_by_billing(mode: BillingMode, throughput: &Throughput) -> WarmThroughput {
    match mode {
        BillingMode::PayPerRequest => WarmThroughput { read: WARM_READ_UNITS, write: WARM_WRITE_UNITS },
        BillingMode::Provisioned => WarmThroughput { read: throughput.read, write: throughput.write },
    }
}

/// `WarmThroughput` over what the table has by its billing; a member that was not sent is that of `present`. Row 9.
pub(crate) fn warm(
    request: &Request<'_>,
    mode: BillingMode,
    throughput: &Throughput,
    present: &WarmThroughput,
) -> Result<Option<WarmThroughput>, ApiError> {
    let Some(given) = request.body.get("WarmThroughput") else { return Ok(None) };
    let least = warm_by_billing(mode, throughput);
    let units = |name: &str, capacity: &str, least: i64, present: i64| {
        let units = given.get(name).and_then(Json::as_saturated_i64);
        if units.is_some_and(|units| units < least) {
            let than = match mode {
                BillingMode::PayPerRequest => "initial throughput for OnDemand. See: https://docs.aws.amazon.com/\
                     amazondynamodb/latest/developerguide/on-demand-capacity-mode.html#on-demand-capacity-mode-initial"
                    .to_owned(),
                BillingMode::Provisioned => format!("{capacity} of ProvisionedThroughput"),
            };
            return Err(invalid(format!("Requested {name} for WarmThroughput for table is lower than {than}")));
        }
        Ok(units.unwrap_or(present))
    };
    Ok(Some(WarmThroughput {
        read: units("ReadUnitsPerSecond", "ReadCapacityUnits", least.read, present.read)?,
        write: units("WriteUnitsPerSecond", "WriteCapacityUnits", least.write, present.write)?,
    }))
}

/// `TableClass`: its error has a text of its own (1.5).
pub(crate) fn table_class<'a>(request: &'a Request<'_>) -> Result<Option<&'a str>, ApiError> {
    match request.text("TableClass") {
        None => Ok(None),
        Some(class @ ("STANDARD" | "STANDARD_INFREQUENT_ACCESS")) => Ok(Some(class)),
        Some(_) => Err(ApiError::validation(
            "Invalid table-class parameter provided. Please try again with a valid table-class value: [STANDARD, \
             STANDARD_INFREQUENT_ACCESS].",
        )),
    }
}

/// `StreamSpecification` as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamWish {
    pub enabled: bool,
    pub view: Option<ViewType>,
}

/// `StreamSpecification`.
pub(crate) fn stream(request: &Request<'_>) -> Option<StreamWish> {
    let given = request.body.get("StreamSpecification")?;
    Some(StreamWish {
        enabled: given.get("StreamEnabled").and_then(Json::as_lenient_bool)?,
        view: given.get("StreamViewType").and_then(Json::as_str).and_then(ViewType::parse),
    })
}
