//! UpdateTable: billing, throughput, stream, class and deletion protection. Source: docs/spec/dynamodb-api.md 2.3, streams.md 2.2.
//!
//! A change is done when it is answered; the answer says UPDATING and echoes the old throughput and class, as AWS does.

use tailrace_core::{ApiError, Json, Wording};
use tailrace_store::keyspace::{CounterKey, StreamKey, StreamNameKey, TableKey};
use tailrace_store::{Decision, ShardNo, StreamId, Write, commit};

use super::Request;
use super::description::{OnDemandDescription, TableAnswer, TableDescription};
use super::table_rules::{self as rules, StreamWish, invalid};
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::streams::{label, life};
use crate::table::{BillingMode, OnDemandThroughput, Table, TableClass, TableStream, Throughput, ViewType};
use crate::tables;

const NOT_BUILT: [&str; 8] = [
    "GlobalSecondaryIndexUpdates",
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "GlobalTableSettingsReplicationMode",
    "DisassociationProtectionEnabled",
    "VectorIndexUpdates",
    "VectorIndexes",
];

/// What the request asks for.
struct Wishes {
    mode: Option<BillingMode>,
    throughput: Option<Throughput>,
    stream: Option<StreamWish>,
    class: Option<String>,
    protection: Option<bool>,
    on_demand: Option<OnDemandThroughput>,
    warm: bool,
}

/// UpdateTable.
pub(crate) async fn update_table(db: &Db, request: Request<'_>) -> Result<TableAnswer, ApiError> {
    let name = request.table_name(db)?;
    let wishes = wishes(db, &request)?;
    loop {
        let old = tables::stored(db, &name).await?;
        let now_ms = db.clock.now_ms();
        let mut new = (**old).clone();
        apply(&wishes, &request, &mut new, now_ms)?;
        let change = stream_change(db, &old, wishes.stream, now_ms).await?;
        let Some(new) = store(db, &old, new, change).await? else { continue };
        let synchronous = wishes.mode.is_none()
            && wishes.throughput.is_none()
            && wishes.stream.is_none()
            && wishes.class.is_none()
            && !wishes.warm;
        let status = if synchronous { "ACTIVE" } else { "UPDATING" };
        let mut shown = new;
        shown.throughput = old.throughput.clone();
        shown.class = old.class.clone();
        let mut description = TableDescription::of(&db.settings, &shown, status, now_ms);
        if let Some(limits) = &wishes.on_demand {
            // A limit that was cleared is echoed as it was sent.
            let echo = |sent: Option<i64>, stored: Option<i64>| sent.filter(|units| *units == -1).or(stored);
            let stored = shown.on_demand.clone().unwrap_or_default();
            description.on_demand_throughput = Some(OnDemandDescription {
                max_read_request_units: echo(limits.read, stored.read),
                max_write_request_units: echo(limits.write, stored.write),
            });
        }
        // The change is done, whether or not its table can be counted.
        return Ok(TableAnswer { table_description: description.counted_if_possible(db, &shown).await });
    }
}

/// Rules that need no table.
fn wishes(db: &Db, request: &Request<'_>) -> Result<Wishes, ApiError> {
    let effective = |name: &str| match request.body.get(name) {
        None => false,
        Some(Json::Array(elements)) => !elements.is_empty(),
        Some(Json::Object(members)) => members.iter().any(|(_, value)| *value != Json::Null),
        Some(_) => true,
    };
    let class = rules::table_class(request)?.map(str::to_owned);
    let others = |except: &[&str]| {
        let all = [
            "BillingMode",
            "ProvisionedThroughput",
            "StreamSpecification",
            "SSESpecification",
            "TableClass",
            "DeletionProtectionEnabled",
            "WarmThroughput",
            "OnDemandThroughput",
            "GlobalSecondaryIndexUpdates",
            "ReplicaUpdates",
        ];
        all.iter().any(|name| !except.contains(name) && effective(name))
    };
    let stream = rules::stream(request);
    let mode = rules::billing_mode(request);
    let given = effective("ProvisionedThroughput");
    if !others(&[]) && !NOT_BUILT.iter().any(|name| effective(name)) {
        return Err(ApiError::validation(match db.settings.wording {
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
        }));
    }
    let alone = [
        ("SSESpecification", "Server-Side Encryption"),
        ("TableClass", "TableClass"),
        ("DeletionProtectionEnabled", "DeletionProtection"),
    ];
    for (member, name) in alone {
        if effective(member) && others(&[member]) {
            return Err(invalid(format!("{name} modification must be the only operation in the request")));
        }
    }
    if effective("WarmThroughput") && others(&["WarmThroughput"]) {
        return Err(ApiError::validation("WarmThroughput must be the only operation in the request"));
    }
    if effective("OnDemandThroughput") && others(&["OnDemandThroughput", "BillingMode"]) {
        return Err(ApiError::validation(
            "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
        ));
    }
    if stream.is_some() && (given || mode == Some(BillingMode::Provisioned)) {
        return Err(ApiError::validation("You cannot modify stream status while updating table IOPS"));
    }
    match mode {
        Some(BillingMode::PayPerRequest) if given => return Err(rules::units_on_demand()),
        Some(BillingMode::Provisioned) if !given => {
            return Err(invalid("ProvisionedThroughput must be specified when BillingMode is PROVISIONED"));
        }
        _ => {}
    }
    let throughput = rules::throughput(request)?;
    let on_demand = rules::on_demand(request, true)?;
    match stream {
        Some(StreamWish { enabled: true, view: None }) => {
            return Err(invalid("If stream is being enabled then UpdateViewType is required"));
        }
        Some(StreamWish { enabled: false, view: Some(_) }) => {
            return Err(invalid("If stream is being disabled, then UpdateViewType must not be specified"));
        }
        _ => {}
    }
    rules::sse(request)?;
    rules::refuse(request, &NOT_BUILT)?;
    let protection = request.boolean("DeletionProtectionEnabled");
    let warm = effective("WarmThroughput");
    Ok(Wishes { mode, throughput, stream, class, protection, on_demand, warm })
}

/// Changes everything but the stream, or says why not.
fn apply(wishes: &Wishes, request: &Request<'_>, table: &mut Table, now_ms: u64) -> Result<(), ApiError> {
    let mode = wishes.mode.unwrap_or(table.billing.mode);
    let switched = mode != table.billing.mode;
    if let Some(limits) = &wishes.on_demand {
        if let (BillingMode::Provisioned, Some(member)) = (mode, rules::first_limit(limits)) {
            return Err(invalid(format!(
                "{member} for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED"
            )));
        }
        let old = table.on_demand.clone().unwrap_or_default();
        let merge = |new: Option<i64>, old: Option<i64>| new.or(old).filter(|units| *units != -1);
        let merged = OnDemandThroughput { read: merge(limits.read, old.read), write: merge(limits.write, old.write) };
        table.on_demand = Some(merged).filter(|merged| rules::first_limit(merged).is_some());
    }
    match (mode, &wishes.throughput) {
        (BillingMode::PayPerRequest, Some(_)) => return Err(rules::units_on_demand()),
        (BillingMode::PayPerRequest, None) if switched => {
            table.billing.on_demand_since_ms = Some(now_ms);
            table.throughput.read = 0;
            table.throughput.write = 0;
            table.warm.read = table.warm.read.max(tailrace_core::limits::WARM_READ_UNITS);
            table.warm.write = table.warm.write.max(tailrace_core::limits::WARM_WRITE_UNITS);
        }
        (BillingMode::Provisioned, Some(wanted)) => change_units(table, wanted, switched, now_ms)?,
        _ => {}
    }
    if switched && mode == BillingMode::Provisioned {
        table.on_demand = None;
    }
    table.billing.mode = mode;
    if let Some(warm) = rules::warm(request, mode, &table.throughput, &table.warm)? {
        if warm.read < table.warm.read || warm.write < table.warm.write {
            return Err(invalid("WarmThroughput cannot be decreased"));
        }
        table.warm = warm;
    }
    if let Some(class) = &wishes.class {
        table.class = Some(TableClass { class: class.clone(), updated_ms: Some(now_ms) });
    }
    table.deletion_protection = wishes.protection.unwrap_or(table.deletion_protection);
    Ok(())
}

fn change_units(table: &mut Table, wanted: &Throughput, switched: bool, now_ms: u64) -> Result<(), ApiError> {
    let old = &mut table.throughput;
    if !switched && (old.read, old.write) == (wanted.read, wanted.write) {
        let (r, w) = (old.read, old.write);
        return Err(ApiError::validation(format!(
            "The provisioned throughput for the table will not change. The requested value equals the current value. \
             Current ReadCapacityUnits provisioned for the table: {r}. Requested ReadCapacityUnits: {r}. Current \
             WriteCapacityUnits provisioned for the table: {w}. Requested WriteCapacityUnits: {w}. Refer to the Amazon \
             DynamoDB Developer Guide for current limits and how to request higher limits."
        )));
    }
    if !switched {
        if wanted.read > old.read || wanted.write > old.write {
            old.increased_ms = Some(now_ms);
        }
        if wanted.read < old.read || wanted.write < old.write {
            const DAY_MS: u64 = 24 * 60 * 60 * 1000;
            let same_day = old.decreased_ms.is_some_and(|ms| ms / DAY_MS == now_ms / DAY_MS);
            old.decreases_that_day = if same_day { old.decreases_that_day + 1 } else { 1 };
            old.decreased_ms = Some(now_ms);
        }
    }
    (old.read, old.write) = (wanted.read, wanted.write);
    table.warm.read = table.warm.read.max(wanted.read);
    table.warm.write = table.warm.write.max(wanted.write);
    Ok(())
}

/// What happens to the table's stream.
enum StreamChange {
    None,
    Enable { view: ViewType, created_ms: u64 },
    Disable { stream: StreamId, shards: Vec<ShardNo> },
}

async fn stream_change(
    db: &Db,
    table: &Table,
    wish: Option<StreamWish>,
    now_ms: u64,
) -> Result<StreamChange, ApiError> {
    match (wish, &table.stream) {
        (None, _) => Ok(StreamChange::None),
        (Some(StreamWish { enabled: true, .. }), Some(_)) => {
            Err(ApiError::validation(format!("Table already has an enabled stream: TableName: {}", table.name)))
        }
        (Some(StreamWish { enabled: false, .. }), None) => {
            Err(ApiError::validation(format!("Table has no stream to disable: TableName: {}", table.name)))
        }
        (Some(StreamWish { enabled: true, view }), None) => Ok(StreamChange::Enable {
            view: view.unwrap_or(ViewType::NewAndOldImages),
            created_ms: life::next_label_ms(db, &table.name, now_ms).await?,
        }),
        (Some(StreamWish { enabled: false, .. }), Some(stream)) => {
            Ok(StreamChange::Disable { stream: stream.id, shards: life::open_shards(db, stream.id).await? })
        }
    }
}

enum Outcome {
    Stored(Box<Table>),
    /// The table changed since it was read: look again.
    Changed,
    Corrupt(&'static str),
}

/// Stores the new descriptor if the old one still stands; `None`: it does not.
async fn store(db: &Db, old: &StoredTable, mut new: Table, change: StreamChange) -> Result<Option<Table>, ApiError> {
    let mut keys = vec![TableKey::key(&old.name)];
    match &change {
        StreamChange::None => {}
        StreamChange::Enable { created_ms, .. } => {
            let label = label::text(*created_ms);
            keys.extend([CounterKey::Stream.encode(), StreamNameKey::key(&old.name, &label)]);
            new.latest_stream_label = Some(label);
        }
        StreamChange::Disable { stream, .. } => {
            keys.push(StreamKey { stream: *stream }.encode());
            new.stream = None;
        }
    }
    let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(&old.row) {
            return Decision::Reject(Outcome::Changed);
        }
        let mut table = new.clone();
        let mut writes = Vec::new();
        match &change {
            StreamChange::None => {}
            StreamChange::Enable { view, created_ms } => {
                if reads.exclusive[2].is_some() {
                    return Decision::Reject(Outcome::Changed);
                }
                let Some(stream) = CounterKey::next(reads.exclusive[1].as_ref()) else {
                    return Decision::Reject(Outcome::Corrupt("the counter of streams"));
                };
                table.stream = Some(TableStream { id: StreamId(stream), view: *view });
                writes.extend(life::open(&table, *created_ms, db.settings.shards_per_stream));
            }
            StreamChange::Disable { shards, .. } => {
                let stream = reads.exclusive[1].as_ref();
                match life::seal(&keys[1], stream, shards, reads.now_ms) {
                    Some(closing) => writes.extend(closing),
                    None => return Decision::Reject(Outcome::Corrupt("the descriptor of a stream")),
                }
            }
        }
        writes.push(Write::Put { key: keys[0].clone(), value: table.encode_over(&old.row) });
        Decision::Apply(writes, Outcome::Stored(Box::new(table)))
    })
    .await
    .map_err(|e| store_failure(&e))?;
    match committed.answer {
        Outcome::Stored(table) => Ok(Some(*table)),
        Outcome::Changed => Ok(None),
        Outcome::Corrupt(what) => Err(corrupt_row(what)),
    }
}
