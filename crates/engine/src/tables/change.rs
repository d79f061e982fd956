//! What an UpdateTable makes of a table, or what is wrong with the request. Pure; the stream is changed by the run.
//! Source: docs/spec/dynamodb-api.md 2.3, streams.md 2.2.

use tailrace_api::tables::{BillingMode, TableClass, UpdateTableRequest};
use tailrace_core::limits::{WARM_READ_UNITS, WARM_WRITE_UNITS};
use tailrace_core::{ApiError, EpochMs, Wording};

use super::descriptor::{OnDemandThroughput, Table, TableClassSetting, Throughput, WarmThroughput};
use super::encryption;
use super::index_changes::{self, IndexChanges};
use super::rules::{self, Of, decreases_today, invalid, not_built};
use super::states::{Asks, Changing};

/// A group of members of the request that may ask for something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Billing,
    Throughput,
    Stream,
    Encryption,
    Class,
    Protection,
    Warm,
    OnDemand,
    Indexes,
    Replicas,
}

/// What the request asks for. Members that are present but empty ask for nothing; AttributeDefinitions alone neither.
fn parts(request: &UpdateTableRequest) -> Vec<Part> {
    let asked = [
        (Part::Billing, request.billing_mode.is_some()),
        (Part::Throughput, request.provisioned_throughput.is_some()),
        (Part::Stream, request.stream_specification.is_some()),
        (Part::Encryption, request.sse_specification.is_some()),
        (Part::Class, request.table_class.is_some()),
        (Part::Protection, request.deletion_protection_enabled.is_some()),
        (Part::Warm, request.warm_throughput.is_some_and(|warm| !warm.is_empty())),
        (Part::OnDemand, request.on_demand_throughput.is_some_and(|limits| !limits.is_empty())),
        (Part::Indexes, !request.index_updates().is_empty()),
        (Part::Replicas, request.not_built.contains(&"ReplicaUpdates")),
    ];
    asked.into_iter().filter(|(_, asked)| *asked).map(|(part, _)| part).collect()
}

/// Rules that need no table.
pub(crate) fn check(request: &UpdateTableRequest, wording: Wording) -> Result<(), ApiError> {
    let parts = parts(request);
    if parts.is_empty() && request.not_built.is_empty() {
        return Err(asks_for_nothing(wording));
    }
    if request.global_secondary_index_updates.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("List of GlobalSecondaryIndexUpdates is empty"));
    }
    let asked = |part: Part| parts.contains(&part);
    let others = |except: &[Part]| parts.iter().any(|part| !except.contains(part));
    let alone = [
        (Part::Encryption, "Server-Side Encryption"),
        (Part::Class, "TableClass"),
        (Part::Protection, "DeletionProtection"),
    ];
    for (part, name) in alone {
        if asked(part) && others(&[part]) {
            return Err(invalid(format!("{name} modification must be the only operation in the request")));
        }
    }
    if asked(Part::Warm) && others(&[Part::Warm]) {
        let makes = request.index_updates().iter().any(|update| update.create.is_some());
        return Err(invalid(if makes {
            "Create global secondary index cannot be specified when updating WarmThroughput"
        } else {
            "WarmThroughput must be the only operation in the request"
        }));
    }
    if asked(Part::OnDemand) && others(&[Part::OnDemand, Part::Billing]) {
        return Err(invalid("OnDemandThroughput can only be combined with BillingMode in an UpdateTable request"));
    }
    let (mode, given) = (request.billing_mode, asked(Part::Throughput));
    let given_to_index = request
        .index_updates()
        .iter()
        .any(|update| update.update.as_ref().is_some_and(|update| update.provisioned_throughput.is_some()));
    if asked(Part::Stream) && (given || given_to_index || mode == Some(BillingMode::Provisioned)) {
        return Err(invalid("You cannot modify stream status while updating table IOPS"));
    }
    if index_changes::makes_or_deletes(request) {
        // With another billing an index can be made, not deleted.
        let deletes = request.index_updates().iter().any(|update| update.delete.is_some());
        if (given && mode.is_none()) || (mode.is_some() && deletes) {
            return Err(invalid("You cannot create or delete index while updating table IOPS"));
        }
        if asked(Part::Stream) {
            return Err(invalid("You cannot create or delete index while changing stream status"));
        }
    }
    match mode {
        Some(BillingMode::PayPerRequest) if given => {
            return Err(invalid("ProvisionedThroughput cannot be specified when BillingMode is PAY_PER_REQUEST"));
        }
        Some(BillingMode::Provisioned) if !given => {
            return Err(invalid("ProvisionedThroughput must be specified when BillingMode is PROVISIONED"));
        }
        _ => {}
    }
    rules::throughput(request.provisioned_throughput, Of::Table)?;
    rules::on_demand(request.on_demand_throughput, true, Of::Table)?;
    match request.stream_specification.map(|stream| (stream.stream_enabled, stream.stream_view_type)) {
        Some((true, None)) => return Err(invalid("If stream is being enabled then UpdateViewType is required")),
        Some((false, Some(_))) => {
            return Err(invalid("If stream is being disabled, then UpdateViewType must not be specified"));
        }
        _ => {}
    }
    encryption::check(request.sse_specification.as_ref())?;
    index_changes::check(request)?;
    match request.not_built.first() {
        Some(member) => Err(not_built(member)),
        None => Ok(()),
    }
}

fn asks_for_nothing(wording: Wording) -> ApiError {
    ApiError::validation(match wording {
        Wording::Current => {
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, \
             SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, \
             MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is \
             required"
        }
        Wording::Classic => {
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates \
             or SSESpecification or ReplicaUpdates is required"
        }
    })
}

/// The answer says ACTIVE: on AWS, too, the table is not UPDATING while such a change is done.
pub(crate) fn leaves_active(request: &UpdateTableRequest) -> bool {
    parts(request).iter().all(|part| match part {
        Part::OnDemand | Part::Protection | Part::Encryption | Part::Warm => true,
        Part::Indexes => !index_changes::makes_or_deletes(request),
        _ => false,
    })
}

/// What decides whether the request is done while another change is under way.
pub(crate) fn asks(request: &UpdateTableRequest) -> Asks {
    let parts = parts(request);
    let first = [
        (Part::Billing, Asks::Units),
        (Part::Throughput, Asks::Units),
        (Part::Stream, Asks::Stream),
        (Part::Class, Asks::Class),
        (Part::OnDemand, Asks::Limits),
        (Part::Indexes, Asks::Indexes),
    ];
    // Each of the rest is alone.
    first.into_iter().find(|(part, _)| parts.contains(part)).map_or(Asks::Beside, |(_, asks)| asks)
}

/// What of the table is being changed by the request, for as long as that is told.
pub(crate) fn changing(request: &UpdateTableRequest) -> Option<Changing> {
    match asks(request) {
        _ if request.stream_specification.is_some() => Some(Changing::Stream),
        Asks::Units => Some(Changing::Units),
        Asks::Class => Some(Changing::Class),
        _ => None,
    }
}

/// Changes everything but the stream, or says why not. An index that is to go is still there.
pub(crate) fn apply(
    request: &UpdateTableRequest,
    table: &mut Table,
    now_ms: EpochMs,
) -> Result<IndexChanges, ApiError> {
    let mode = request.billing_mode.unwrap_or(table.billing.mode);
    let switched = mode != table.billing.mode;
    if let Some(limits) = rules::on_demand(request.on_demand_throughput, true, Of::Table)? {
        rules::new_limits_fit(limits, mode, Of::Table)?;
        table.on_demand = merged(limits, table.on_demand);
    }
    match (mode, rules::throughput(request.provisioned_throughput, Of::Table)?) {
        (BillingMode::PayPerRequest, Some(_)) => return Err(rules::units_on_demand()),
        (BillingMode::PayPerRequest, None) if switched => {
            table.billing.on_demand_since_ms = Some(now_ms);
            // A decrease that is not one of the day's; of an index it is (`index_changes::switch`).
            table.throughput = Throughput {
                decreases_that_day: decreases_today(&table.throughput, now_ms),
                decreased_ms: Some(now_ms),
                increased_ms: table.throughput.increased_ms,
                ..Throughput::default()
            };
            table.warm.read = table.warm.read.max(WARM_READ_UNITS);
            table.warm.write = table.warm.write.max(WARM_WRITE_UNITS);
        }
        (BillingMode::Provisioned, Some(wanted)) => {
            change_units(&mut table.throughput, &mut table.warm, &wanted, switched, now_ms, Of::Table)?;
        }
        _ => {}
    }
    if switched && mode == BillingMode::Provisioned {
        table.on_demand = None;
    }
    table.billing.mode = mode;
    let indexes = index_changes::apply(request, table, mode, switched, now_ms)?;
    table.warm = rules::raised(table.warm, request.warm_throughput, Of::Table)?;
    let class_of = |table: &Table| table.class.as_ref().map_or(TableClass::Standard, |class| class.class);
    // The class that it has already changes nothing, not even when it was set.
    if let Some(class) = request.table_class.filter(|class| *class != class_of(table)) {
        table.class = Some(TableClassSetting { class, updated_ms: Some(now_ms) });
    }
    table.deletion_protection = request.deletion_protection_enabled.unwrap_or(table.deletion_protection);
    Ok(indexes)
}

/// Limits that were sent over those that are set; -1 takes one away.
pub(super) fn merged(new: OnDemandThroughput, old: Option<OnDemandThroughput>) -> Option<OnDemandThroughput> {
    let old = old.unwrap_or_default();
    let merge = |new: Option<i64>, old: Option<i64>| new.or(old).filter(|units| *units != -1);
    let merged = OnDemandThroughput { read: merge(new.read, old.read), write: merge(new.write, old.write) };
    Some(merged).filter(|merged| rules::first_limit(*merged).is_some())
}

/// Sets the units of the table or of an index; what it can take at once grows with them.
pub(super) fn change_units(
    old: &mut Throughput,
    warm: &mut WarmThroughput,
    wanted: &Throughput,
    switched: bool,
    now_ms: EpochMs,
    of: Of<'_>,
) -> Result<(), ApiError> {
    if !switched && (old.read, old.write) == (wanted.read, wanted.write) {
        let (r, w) = (old.read, old.write);
        let kind = if let Of::Table = of { "table" } else { "index" };
        return Err(ApiError::validation(format!(
            "The provisioned throughput for the {of} will not change. The requested value equals the current value. \
             Current ReadCapacityUnits provisioned for the {kind}: {r}. Requested ReadCapacityUnits: {r}. Current \
             WriteCapacityUnits provisioned for the {kind}: {w}. Requested WriteCapacityUnits: {w}. Refer to the Amazon \
             DynamoDB Developer Guide for current limits and how to request higher limits."
        )));
    }
    if !switched {
        if wanted.read > old.read || wanted.write > old.write {
            old.increased_ms = Some(now_ms);
        }
        if wanted.read < old.read || wanted.write < old.write {
            old.decreases_that_day = decreases_today(old, now_ms) + 1;
            old.decreased_ms = Some(now_ms);
        }
    }
    (old.read, old.write) = (wanted.read, wanted.write);
    warm.read = warm.read.max(wanted.read);
    warm.write = warm.write.max(wanted.write);
    Ok(())
}
