//! Rules that CreateTable and UpdateTable share, about throughput and what is not built.
//! Source: docs/spec/dynamodb-api.md 2.1 and 2.3.

use tailrace_api::tables::{self as api, BillingMode};
use tailrace_core::limits::{CAPACITY_UNITS_MAX, WARM_READ_UNITS, WARM_WRITE_UNITS};
use tailrace_core::{ApiError, EpochMs};

use super::descriptor::{OnDemandThroughput, Throughput, WarmThroughput};

/// The UTC day of an instant, by number.
pub(super) fn day(instant: EpochMs) -> u64 {
    instant.seconds() / (24 * 60 * 60)
}

/// How often units were decreased on the UTC day of `now`.
pub(crate) fn decreases_today(throughput: &Throughput, now: EpochMs) -> u32 {
    let today = throughput.decreased_ms.is_some_and(|ms| day(ms) == day(now));
    if today { throughput.decreases_that_day } else { 0 }
}

/// Whose throughput a rule is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    /// The table's.
    Table,
    /// That of the index of this name.
    Index(&'a str),
}

impl std::fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Of::Table => f.write_str("table"),
            Of::Index(name) => write!(f, "index {name}"),
        }
    }
}

/// `One or more parameter values were invalid: ` and the rest.
pub(crate) fn invalid(rest: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {rest}"))
}

/// The error for a member that asks for what is not built.
pub(super) fn not_built(member: &str) -> ApiError {
    invalid(format!("{member} is not supported by Tailrace yet"))
}

/// `ProvisionedThroughput`, with its upper bound. Row 5.
pub(super) fn throughput(
    given: Option<api::ProvisionedThroughput>,
    of: Of<'_>,
) -> Result<Option<Throughput>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let (read, write) = (given.read_capacity_units, given.write_capacity_units);
    for (name, units) in [("ReadCapacityUnits", read), ("WriteCapacityUnits", write)] {
        if units > CAPACITY_UNITS_MAX {
            let text = format!("Given value {units} for {name} is out of bounds");
            return Err(ApiError::validation(match of {
                Of::Table => text,
                Of::Index(index) => format!("{text} for index {index}"),
            }));
        }
    }
    Ok(Some(Throughput { read, write, ..Throughput::default() }))
}

/// Row 1.
pub(super) fn units_on_demand() -> ApiError {
    invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
}

/// `OnDemandThroughput` as it was sent; `clears`: -1 is a value. Row 8.
pub(super) fn on_demand(
    given: Option<api::OnDemandThroughput>,
    clears: bool,
    of: Of<'_>,
) -> Result<Option<OnDemandThroughput>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let (read, write) = (given.max_read_request_units, given.max_write_request_units);
    for (name, units) in [("MaxReadRequestUnits", read), ("MaxWriteRequestUnits", write)] {
        if units.is_some_and(|units| units < 1 && !(clears && units == -1)) {
            // With a space before the colon: the service's own slip of the pen.
            let of = match of {
                Of::Table => "table".to_owned(),
                Of::Index(index) => format!("index : {index}"),
            };
            return Err(invalid(format!("Requested {name} for OnDemandThroughput for {of} is outside of valid range")));
        }
    }
    Ok(Some(OnDemandThroughput { read, write }))
}

/// Limits are for what is billed by request. Row 7, as CreateTable says it.
pub(super) fn limits_fit(limits: Option<OnDemandThroughput>, mode: BillingMode, of: Of<'_>) -> Result<(), ApiError> {
    let (BillingMode::Provisioned, Some(member)) = (mode, limits.and_then(first_limit)) else { return Ok(()) };
    Err(invalid(match of {
        Of::Table => {
            format!("{member} for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.")
        }
        Of::Index(name) => format!(
            "{member} for OnDemandThroughput for index: {name} cannot be specified when table BillingMode is PROVISIONED."
        ),
    }))
}

/// The same, as UpdateTable says it of the table and of an index that is there.
pub(super) fn new_limits_fit(limits: OnDemandThroughput, mode: BillingMode, of: Of<'_>) -> Result<(), ApiError> {
    let (BillingMode::Provisioned, Some(member)) = (mode, first_limit(limits)) else { return Ok(()) };
    let of = match of {
        Of::Table => String::new(),
        Of::Index(index) => format!(" for index : {index}"),
    };
    Err(invalid(format!(
        "{member} for OnDemandThroughput{of} cannot be specified when the table BillingMode is PROVISIONED"
    )))
}

/// The first member that a limit of on-demand throughput names, read first. Row 7.
pub(super) fn first_limit(limits: OnDemandThroughput) -> Option<&'static str> {
    match (limits.read, limits.write) {
        (Some(_), _) => Some("MaxReadRequestUnits"),
        (None, Some(_)) => Some("MaxWriteRequestUnits"),
        (None, None) => None,
    }
}

/// The warm throughput that a table has by its billing. 2.2.
pub(super) fn warm_by_billing(mode: BillingMode, throughput: &Throughput) -> WarmThroughput {
    match mode {
        BillingMode::PayPerRequest => WarmThroughput { read: WARM_READ_UNITS, write: WARM_WRITE_UNITS },
        BillingMode::Provisioned => WarmThroughput { read: throughput.read, write: throughput.write },
    }
}

/// The `WarmThroughput` of what is new, over what it has by its billing; a member that was not sent is that of `present`. Row 9.
pub(super) fn warm(
    given: Option<api::WarmThroughput>,
    mode: BillingMode,
    throughput: &Throughput,
    present: WarmThroughput,
    of: Of<'_>,
) -> Result<Option<WarmThroughput>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let least = warm_by_billing(mode, throughput);
    let units = |name: &str, capacity: &str, units: Option<i64>, least: i64, present: i64| {
        if units.is_some_and(|units| units < least) {
            let than = match mode {
                BillingMode::PayPerRequest => "initial throughput for OnDemand. See: https://docs.aws.amazon.com/\
                     amazondynamodb/latest/developerguide/on-demand-capacity-mode.html#on-demand-capacity-mode-initial"
                    .to_owned(),
                BillingMode::Provisioned => format!("{capacity} of ProvisionedThroughput"),
            };
            return Err(invalid(format!("Requested {name} for WarmThroughput for {of} is lower than {than}")));
        }
        Ok(units.unwrap_or(present))
    };
    let (read, write) = (given.read_units_per_second, given.write_units_per_second);
    Ok(Some(WarmThroughput {
        read: units("ReadUnitsPerSecond", "ReadCapacityUnits", read, least.read, present.read)?,
        write: units("WriteUnitsPerSecond", "WriteCapacityUnits", write, least.write, present.write)?,
    }))
}

/// The warm throughput that an UpdateTable leaves of `present`: it never decreases, and a member that was not sent stays. 2.3.
pub(super) fn raised(
    present: WarmThroughput,
    given: Option<api::WarmThroughput>,
    of: Of<'_>,
) -> Result<WarmThroughput, ApiError> {
    let Some(given) = given else { return Ok(present) };
    let units = |name: &str, units: Option<i64>, present: i64| match units {
        Some(units) if units < present => Err(invalid(format!(
            "Requested {name} for WarmThroughput for {of} is lower than current WarmThroughput, decreasing WarmThroughput \
             is not supported"
        ))),
        units => Ok(units.unwrap_or(present)),
    };
    Ok(WarmThroughput {
        read: units("ReadUnitsPerSecond", given.read_units_per_second, present.read)?,
        write: units("WriteUnitsPerSecond", given.write_units_per_second, present.write)?,
    })
}
