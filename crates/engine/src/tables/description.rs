//! A table as the table operations tell of it. Source: docs/spec/dynamodb-api.md 2.2.

use tailrace_api::Timestamp;
use tailrace_api::tables::{
    AttributeDefinition, BillingModeSummary, CreateTableRequest, GlobalSecondaryIndexDescription, IndexStatus,
    KeySchemaElement, KeyType, LocalSecondaryIndexDescription, OnDemandThroughputDescription, Projection,
    ProjectionType, ProvisionedThroughputDescription, StreamSpecification, TableClassSummary, TableDescription,
    TableStatus, TableThroughputModeSummary, WarmThroughputDescription,
};
use tailrace_core::key::KeyAttribute;
use tailrace_core::{EpochMs, IndexId, KeySchema};
use tailrace_store::keyspace::{ItemCount, ItemCountKey, ItemSet};
use tailrace_store::{Key, StoreError};

use super::counts;
use super::descriptor::{OnDemandThroughput, Table, Throughput, WarmThroughput};
use super::index::{Index, IndexKind, IndexProjection};
use super::rules::decreases_today;
use crate::db::{Db, StoredTable};
use crate::settings::Settings;

/// The `KeySchema` of a key.
pub(crate) fn key_schema(key: &KeySchema) -> Vec<KeySchemaElement> {
    elements(std::slice::from_ref(&key.hash), key.range.as_slice())
}

fn elements(hash: &[KeyAttribute], range: &[KeyAttribute]) -> Vec<KeySchemaElement> {
    let element =
        |attribute: &KeyAttribute, key_type| KeySchemaElement { attribute_name: attribute.name.clone(), key_type };
    let hash = hash.iter().map(|attribute| element(attribute, KeyType::Hash));
    hash.chain(range.iter().map(|attribute| element(attribute, KeyType::Range))).collect()
}

/// The description of a table as DescribeTable gives it, but for the counts of its items, and for its encryption, which is one of its
/// settings.
pub(crate) fn describe(settings: &Settings, table: &Table, status: TableStatus, now_ms: EpochMs) -> TableDescription {
    let definitions = table
        .attributes
        .iter()
        .map(|key| AttributeDefinition { attribute_name: key.name.clone(), attribute_type: key.scalar })
        .collect();
    let since = table.billing.on_demand_since_ms.map(Timestamp);
    let was_on_demand = since.is_some();
    let latest = table.latest_stream_label.as_ref();
    TableDescription {
        attribute_definitions: Some(definitions),
        table_name: table.name.clone(),
        key_schema: Some(key_schema(&table.key)),
        table_status: status,
        creation_date_time: Some(Timestamp(table.created_ms)),
        provisioned_throughput: throughput(&table.throughput, now_ms),
        table_size_bytes: 0,
        item_count: 0,
        table_arn: settings.table_arn(&table.name),
        table_id: table.uuid.clone(),
        local_secondary_indexes: of_kind(table, IndexKind::Local, |index| local(settings, table, index)),
        global_secondary_indexes: of_kind(table, IndexKind::Global, |index| global(settings, table, index, now_ms)),
        billing_mode_summary: was_on_demand.then_some(BillingModeSummary {
            billing_mode: table.billing.mode,
            last_update_to_pay_per_request_date_time: since,
        }),
        table_throughput_mode_summary: was_on_demand.then_some(TableThroughputModeSummary {
            table_throughput_mode: table.billing.mode,
            last_update_to_pay_per_request_date_time: since,
        }),
        warm_throughput: Some(warm_throughput(table.warm)),
        on_demand_throughput: table.on_demand.map(on_demand_throughput),
        deletion_protection_enabled: table.deletion_protection,
        sse_description: None,
        table_class_summary: table.class.as_ref().map(|class| TableClassSummary {
            table_class: class.class,
            last_update_date_time: class.updated_ms.map(Timestamp),
        }),
        stream_specification: table.stream.as_ref().map(|stream| StreamSpecification::enabled(stream.view)),
        latest_stream_label: latest.cloned(),
        latest_stream_arn: latest.map(|label| settings.stream_arn(&table.name, label)),
    }
}

/// The descriptions of a table's indexes of one kind, in their order; `None`: it has none.
fn of_kind<T>(table: &Table, kind: IndexKind, describe: impl Fn(&Index) -> T) -> Option<Vec<T>> {
    let described: Vec<T> = table.indexes.iter().filter(|index| index.kind == kind).map(describe).collect();
    Some(described).filter(|described| !described.is_empty())
}

fn local(settings: &Settings, table: &Table, index: &Index) -> LocalSecondaryIndexDescription {
    LocalSecondaryIndexDescription {
        index_name: index.name.clone(),
        key_schema: elements(&index.hash, &index.range),
        projection: projection(&index.projection),
        index_size_bytes: 0,
        item_count: 0,
        index_arn: settings.index_arn(&table.name, &index.name),
    }
}

fn global(settings: &Settings, table: &Table, index: &Index, now_ms: EpochMs) -> GlobalSecondaryIndexDescription {
    let (index_status, backfilling) = table.index_status(index, now_ms);
    GlobalSecondaryIndexDescription {
        index_name: index.name.clone(),
        key_schema: elements(&index.hash, &index.range),
        projection: projection(&index.projection),
        index_status,
        backfilling,
        provisioned_throughput: throughput(&index.throughput, now_ms),
        index_size_bytes: 0,
        item_count: 0,
        index_arn: settings.index_arn(&table.name, &index.name),
        on_demand_throughput: index.on_demand.map(on_demand_throughput),
        warm_throughput: index.warm.map(warm_throughput),
    }
}

fn projection(projection: &IndexProjection) -> Projection {
    let (projection_type, non_key_attributes) = match projection {
        IndexProjection::All => (ProjectionType::All, None),
        IndexProjection::KeysOnly => (ProjectionType::KeysOnly, None),
        IndexProjection::Include(names) => {
            let mut names = names.clone();
            names.sort();
            (ProjectionType::Include, Some(names))
        }
    };
    Projection { projection_type: Some(projection_type), non_key_attributes }
}

fn throughput(throughput: &Throughput, now_ms: EpochMs) -> ProvisionedThroughputDescription {
    ProvisionedThroughputDescription {
        last_increase_date_time: throughput.increased_ms.map(Timestamp),
        last_decrease_date_time: throughput.decreased_ms.map(Timestamp),
        number_of_decreases_today: decreases_today(throughput, now_ms),
        read_capacity_units: throughput.read,
        write_capacity_units: throughput.write,
    }
}

fn warm_throughput(warm: WarmThroughput) -> WarmThroughputDescription {
    WarmThroughputDescription {
        read_units_per_second: warm.read,
        write_units_per_second: warm.write,
        status: TableStatus::Active,
    }
}

fn on_demand_throughput(limits: OnDemandThroughput) -> OnDemandThroughputDescription {
    OnDemandThroughputDescription { max_read_request_units: limits.read, max_write_request_units: limits.write }
}

/// What CreateTable answers: without what is not yet so.
pub(crate) fn as_created(mut description: TableDescription, request: CreateTableRequest) -> TableDescription {
    description.attribute_definitions = Some(request.attribute_definitions);
    description.warm_throughput = description.warm_throughput.filter(|_| request.warm_throughput.is_some());
    if let Some(warm) = &mut description.warm_throughput {
        warm.status = TableStatus::Updating;
    }
    // In the order in which they were asked for, both lists.
    let asked = request.global_secondary_indexes.iter().flatten();
    for (index, asked) in description.global_secondary_indexes.iter_mut().flatten().zip(asked) {
        index.index_status = IndexStatus::Creating;
        index.warm_throughput.take_if(|_| asked.warm_throughput.is_none());
    }
    forget_on_demand_since(&mut description);
    if let Some(summary) = &mut description.table_class_summary {
        summary.last_update_date_time = None;
    }
    description
}

/// Takes out since when the table is billed by request, which AWS does not tell before that is so.
pub(crate) fn forget_on_demand_since(description: &mut TableDescription) {
    if let Some(summary) = &mut description.billing_mode_summary {
        summary.last_update_to_pay_per_request_date_time = None;
    }
    if let Some(summary) = &mut description.table_throughput_mode_summary {
        summary.last_update_to_pay_per_request_date_time = None;
    }
}

/// What DeleteTable answers: without what defines the table.
pub(crate) fn as_deleted(mut description: TableDescription) -> TableDescription {
    description.attribute_definitions = None;
    description.key_schema = None;
    description.creation_date_time = None;
    description.global_secondary_indexes = None;
    description
}

/// Adds how many items the table and its indexes have, and how large they are: exactly, all as of one moment.
///
/// # Errors
/// The store's.
pub(crate) async fn count(db: &Db, table: &Table, description: &mut TableDescription) -> Result<(), StoreError> {
    let counted: Vec<&Index> = counted_indexes(table).collect();
    let keys: Vec<Key> = counted_sets(table).map(|set| ItemCountKey { set }.encode()).collect();
    let damaged = || StoreError::Corrupt(format!("the counts of the items of table {}", table.name));
    let counts = db.store.get(&keys).await?;
    let counts: Option<Vec<ItemCount>> = counts.iter().map(|row| counts::whole(row.as_ref())).collect();
    let counts = counts.ok_or_else(damaged)?;
    (description.item_count, description.table_size_bytes) = (counts[0].rows, counts[0].bytes);
    for (index, count) in counted.into_iter().zip(&counts[1..]) {
        let local = description.local_secondary_indexes.iter_mut().flatten();
        let local = local.map(|told| (&told.index_name, &mut told.item_count, &mut told.index_size_bytes));
        let global = description.global_secondary_indexes.iter_mut().flatten();
        let global = global.map(|told| (&told.index_name, &mut told.item_count, &mut told.index_size_bytes));
        if let Some((_, rows, bytes)) = local.chain(global).find(|(name, ..)| **name == index.name) {
            (*rows, *bytes) = (count.rows, count.bytes);
        }
    }
    Ok(())
}

fn counted_indexes(table: &Table) -> impl Iterator<Item = &Index> {
    table.indexes.iter().filter(|index| index.status == super::index::IndexStatus::Active)
}

/// The table, then its indexes that are counted.
fn counted_sets(table: &Table) -> impl Iterator<Item = ItemSet> {
    let indexes = std::iter::once(IndexId::TABLE).chain(counted_indexes(table).map(|index| index.id));
    indexes.map(|index| ItemSet { table: table.id, index })
}

/// The same; what has a count that cannot be read is counted anew first.
///
/// # Errors
/// The store's.
pub(crate) async fn count_anyway(
    db: &Db,
    table: &StoredTable,
    description: &mut TableDescription,
) -> Result<(), StoreError> {
    match count(db, table, description).await {
        Err(StoreError::Corrupt(_)) => {}
        done => return done,
    }
    let sets: Vec<ItemSet> = counted_sets(table).collect();
    let (store, only) = (db.store.clone(), db.counting.clone());
    let of = table.clone();
    // A task: it goes on though whoever asked does not wait for it.
    let counted = tokio::spawn(async move {
        let _only = only.lock_owned().await;
        for set in sets {
            counts::count_anew(store.as_ref(), &of, set).await?;
        }
        Ok(())
    });
    counted.await.map_err(|_| StoreError::Closed)??;
    count(db, table, description).await
}

/// The same beside a change of the table, which must not fail because its items cannot be counted.
pub(crate) async fn count_if_possible(db: &Db, table: &Table, description: &mut TableDescription) {
    if let Err(error) = count(db, table, description).await {
        tracing::warn!(table = %table.name, %error, "the items of a table could not be counted");
    }
}
