//! CreateTable. Source: docs/spec/dynamodb-api.md 2.1, streams.md 2.1.

use std::collections::BTreeSet;

use tailrace_core::key::{KeyAttribute, ScalarType};
use tailrace_core::{ApiError, ErrorCode, Json, KeySchema};
use tailrace_store::keyspace::{CounterKey, StreamNameKey, TableId, TableKey};
use tailrace_store::{Decision, StreamId, Write, commit};

use super::Request;
use super::description::{AttributeDefinition, TableAnswer, TableDescription};
use super::table_rules::{self as rules, invalid};
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::streams::{label, life};
use crate::table::{Billing, BillingMode, Table, TableClass, TableStream, ViewType};

/// Members of the request that are refused when they ask for something.
/// Some belong to UpdateTable: whoever sends them here wants replicas, too.
const NOT_BUILT: [&str; 11] = [
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "Tags",
    "ResourcePolicy",
    "VectorIndexes",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "VectorIndexUpdates",
];

enum Outcome {
    Created(Box<Table>),
    Exists,
    LabelTaken,
    Corrupt(&'static str),
}

/// CreateTable.
pub(crate) async fn create_table(db: &Db, request: Request<'_>) -> Result<TableAnswer, ApiError> {
    let name = request.table_name(db)?;
    let now_ms = db.clock.now_ms();
    let definitions = definitions(&request);
    let (mut wanted, view) = plan(db, &request, name.clone(), &definitions, now_ms)?;
    loop {
        let label_ms = match view {
            Some(_) => Some(life::next_label_ms(db, &name, now_ms).await?),
            None => None,
        };
        wanted.latest_stream_label = label_ms.map(label::text);
        let mut keys = vec![TableKey::key(&name), CounterKey::Table.encode()];
        if let Some(label) = &wanted.latest_stream_label {
            keys.extend([CounterKey::Stream.encode(), StreamNameKey::key(&name, label)]);
        }
        let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
            if reads.exclusive[0].is_some() {
                return Decision::Reject(Outcome::Exists);
            }
            let Some(id) = CounterKey::next(reads.exclusive[1].as_ref()) else {
                return Decision::Reject(Outcome::Corrupt("the counter of tables"));
            };
            let mut table = wanted.clone();
            table.id = TableId(id);
            let mut writes = vec![Write::Put { key: keys[1].clone(), value: CounterKey::value(id + 1) }];
            if let (Some(view), Some(created_ms)) = (view, label_ms) {
                if reads.exclusive[3].is_some() {
                    return Decision::Reject(Outcome::LabelTaken);
                }
                let Some(stream) = CounterKey::next(reads.exclusive[2].as_ref()) else {
                    return Decision::Reject(Outcome::Corrupt("the counter of streams"));
                };
                table.stream = Some(TableStream { id: StreamId(stream), view });
                writes.extend(life::open(&table, created_ms, db.settings.shards_per_stream));
            }
            writes.push(Write::Put { key: keys[0].clone(), value: table.encode() });
            Decision::Apply(writes, Outcome::Created(Box::new(table)))
        })
        .await
        .map_err(|e| store_failure(&e))?;
        match committed.answer {
            Outcome::LabelTaken => {}
            Outcome::Corrupt(what) => return Err(corrupt_row(what)),
            Outcome::Exists => {
                let text = format!("Table already exists: {name}");
                return Err(ApiError::new(ErrorCode::ResourceInUseException, text));
            }
            Outcome::Created(table) => {
                let warm_was_sent = request.body.get("WarmThroughput").is_some();
                let description = TableDescription::of(&db.settings, &table, "CREATING", now_ms);
                return Ok(TableAnswer { table_description: description.created(definitions, warm_was_sent) });
            }
        }
    }
}

fn definitions(request: &Request<'_>) -> Vec<AttributeDefinition> {
    let given = request.body.get("AttributeDefinitions").and_then(Json::as_array).unwrap_or_default();
    given
        .iter()
        .filter_map(|definition| {
            Some(AttributeDefinition {
                attribute_name: definition.get("AttributeName")?.as_str()?.to_owned(),
                attribute_type: ScalarType::from_name(definition.get("AttributeType")?.as_str()?)?.name(),
            })
        })
        .collect()
}

/// The table that the request asks for, without its number and stream, and the view type of its stream.
fn plan(
    db: &Db,
    request: &Request<'_>,
    name: String,
    definitions: &[AttributeDefinition],
    now_ms: u64,
) -> Result<(Table, Option<ViewType>), ApiError> {
    let class = rules::table_class(request)?;
    let mode = rules::billing_mode(request).unwrap_or(BillingMode::Provisioned);
    let given = request.body.get("ProvisionedThroughput").is_some();
    if mode == BillingMode::PayPerRequest && given {
        return Err(rules::units_on_demand());
    }
    if mode == BillingMode::Provisioned && !given {
        return Err(invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ));
    }
    let throughput = rules::throughput(request)?.unwrap_or_default();
    let limits = rules::on_demand(request, false)?;
    if let (BillingMode::Provisioned, Some(member)) = (mode, limits.as_ref().and_then(rules::first_limit)) {
        return Err(invalid(format!(
            "{member} for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED."
        )));
    }
    let warm = rules::warm_by_billing(mode, &throughput);
    let warm = rules::warm(request, mode, &throughput, &warm)?.unwrap_or(warm);
    let key = key(request, definitions)?;
    let view = view(request)?;
    rules::sse(request)?;
    rules::refuse(request, &NOT_BUILT)?;

    let mut table = Table::new(name, TableId(0), db.rng.uuid(), now_ms, key);
    if mode == BillingMode::Provisioned {
        table.billing = Billing { mode, on_demand_since_ms: None };
    }
    table.warm = warm;
    table.throughput = throughput;
    table.on_demand = limits.filter(|limits| rules::first_limit(limits).is_some());
    table.deletion_protection = request.boolean("DeletionProtectionEnabled").unwrap_or(false);
    table.class = class.map(|class| TableClass { class: class.to_owned(), updated_ms: Some(now_ms) });
    Ok((table, view))
}

/// Rows 10 to 18: the key schema against the definitions.
fn key(request: &Request<'_>, definitions: &[AttributeDefinition]) -> Result<KeySchema, ApiError> {
    let elements: Vec<(&str, &str)> = request
        .body
        .get("KeySchema")
        .and_then(Json::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|e| Some((e.get("AttributeName")?.as_str()?, e.get("KeyType")?.as_str()?)))
        .collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = definitions.iter().find(|d| !seen.insert(d.attribute_name.as_str())) {
        return Err(ApiError::validation(format!("Attribute Name is duplicated: {}", twice.attribute_name)));
    }
    if elements.len() > definitions.len() {
        return Err(ApiError::validation("Invalid KeySchema: Some index key attribute have no definition"));
    }
    let find = |name: &str| definitions.iter().find(|d| d.attribute_name == name);
    if elements.iter().any(|(name, _)| find(name).is_none()) {
        let keys: Vec<&str> = elements.iter().map(|(name, _)| *name).collect();
        let defined: Vec<&str> = definitions.iter().map(|d| d.attribute_name.as_str()).collect();
        return Err(invalid(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
            keys.join(", "),
            defined.join(", ")
        )));
    }
    let attribute = |(name, _): &(&str, &str)| {
        let kind = find(name).and_then(|d| ScalarType::from_name(d.attribute_type));
        kind.map(|scalar| KeyAttribute { name: (*name).to_owned(), scalar })
    };
    let (Some(hash), second) = (elements.first(), elements.get(1)) else {
        return Err(ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    };
    if second.is_some_and(|second| second.0 == hash.0) {
        return Err(ApiError::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ));
    }
    if hash.1 != "HASH" {
        return Err(ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    }
    if second.is_some_and(|second| second.1 != "RANGE") {
        return Err(ApiError::validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"));
    }
    let indexes = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"].map(|name| (name, request.body.get(name)));
    if indexes.iter().all(|(_, list)| list.is_none()) && elements.len() != definitions.len() {
        return Err(invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    for (name, list) in indexes {
        if list.and_then(Json::as_array).is_some_and(<[Json]>::is_empty) {
            return Err(invalid(format!("List of {name} is empty")));
        }
    }
    let hash = attribute(hash).ok_or_else(|| corrupt_row("the validated request"))?;
    Ok(KeySchema { hash, range: second.and_then(attribute) })
}

/// The view type of the stream that the table is created with. streams.md 2.1.
fn view(request: &Request<'_>) -> Result<Option<ViewType>, ApiError> {
    match rules::stream(request) {
        None => Ok(None),
        Some(wish) => match (wish.enabled, wish.view) {
            (false, None) => Ok(None),
            (false, Some(_)) => {
                Err(invalid("Table is being created with a stream disabled, UpdateViewType should not be specified"))
            }
            (true, None) => Err(invalid("Table is being created with a stream enabled, UpdateViewType is required")),
            (true, view) => Ok(view),
        },
    }
}
