//! A table as the table operations tell of it. Source: docs/spec/dynamodb-api.md 2.2.

use tailrace_api::Timestamp;
use tailrace_api::tables::{
    AttributeDefinition, BillingModeSummary, KeySchemaElement, KeyType, OnDemandThroughputDescription,
    ProvisionedThroughputDescription, StreamSpecification, TableClassSummary, TableDescription, TableStatus,
    TableThroughputModeSummary, WarmThroughputDescription,
};
use tailrace_core::key::KeyAttribute;
use tailrace_core::limits::{STATISTICS_BYTES_MAX, STATISTICS_PAGE_BYTES, STATISTICS_PAGE_ROWS, STATISTICS_ROWS_MAX};
use tailrace_core::{EpochMs, KeySchema};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{PageLimit, StoreError};

use super::descriptor::Table;
use super::rules::day;
use crate::db::{Db, Settings};

/// The `KeySchema` of a key.
pub(crate) fn key_schema(key: &KeySchema) -> Vec<KeySchemaElement> {
    let element =
        |attribute: &KeyAttribute, key_type| KeySchemaElement { attribute_name: attribute.name.clone(), key_type };
    let range = key.range.as_ref().map(|range| element(range, KeyType::Range));
    std::iter::once(element(&key.hash, KeyType::Hash)).chain(range).collect()
}

/// The description of a table as DescribeTable gives it, but for what must be counted.
pub(crate) fn describe(settings: &Settings, table: &Table, status: TableStatus, now_ms: EpochMs) -> TableDescription {
    let mut definitions: Vec<AttributeDefinition> = table
        .key
        .attributes()
        .map(|key| AttributeDefinition { attribute_name: key.name.clone(), attribute_type: key.scalar })
        .collect();
    definitions.sort_by(|a, b| a.attribute_name.cmp(&b.attribute_name));
    let since = table.billing.on_demand_since_ms.map(Timestamp);
    let was_on_demand = since.is_some();
    let today = table.throughput.decreased_ms.is_some_and(|ms| day(ms) == day(now_ms));
    let latest = table.latest_stream_label.as_ref();
    TableDescription {
        attribute_definitions: Some(definitions),
        table_name: table.name.clone(),
        key_schema: Some(key_schema(&table.key)),
        table_status: status,
        creation_date_time: Some(Timestamp(table.created_ms)),
        provisioned_throughput: ProvisionedThroughputDescription {
            last_increase_date_time: table.throughput.increased_ms.map(Timestamp),
            last_decrease_date_time: table.throughput.decreased_ms.map(Timestamp),
            number_of_decreases_today: if today { table.throughput.decreases_that_day } else { 0 },
            read_capacity_units: table.throughput.read,
            write_capacity_units: table.throughput.write,
        },
        table_size_bytes: 0,
        item_count: 0,
        table_arn: settings.table_arn(&table.name),
        table_id: table.uuid.clone(),
        billing_mode_summary: was_on_demand.then_some(BillingModeSummary {
            billing_mode: table.billing.mode,
            last_update_to_pay_per_request_date_time: since,
        }),
        table_throughput_mode_summary: was_on_demand.then_some(TableThroughputModeSummary {
            table_throughput_mode: table.billing.mode,
            last_update_to_pay_per_request_date_time: since,
        }),
        warm_throughput: Some(WarmThroughputDescription {
            read_units_per_second: table.warm.read,
            write_units_per_second: table.warm.write,
            status: TableStatus::Active,
        }),
        on_demand_throughput: table.on_demand.map(|limits| OnDemandThroughputDescription {
            max_read_request_units: limits.read,
            max_write_request_units: limits.write,
        }),
        deletion_protection_enabled: table.deletion_protection,
        table_class_summary: table.class.as_ref().map(|class| TableClassSummary {
            table_class: class.class,
            last_update_date_time: class.updated_ms.map(Timestamp),
        }),
        stream_specification: table.stream.as_ref().map(|stream| StreamSpecification::enabled(stream.view)),
        latest_stream_label: latest.cloned(),
        latest_stream_arn: latest.map(|label| settings.stream_arn(&table.name, label)),
    }
}

/// What CreateTable answers: without what is not yet so.
pub(crate) fn as_created(
    mut description: TableDescription,
    definitions: Vec<AttributeDefinition>,
    warm_was_sent: bool,
) -> TableDescription {
    description.attribute_definitions = Some(definitions);
    description.warm_throughput = description.warm_throughput.filter(|_| warm_was_sent);
    if let Some(summary) = &mut description.billing_mode_summary {
        summary.last_update_to_pay_per_request_date_time = None;
    }
    if let Some(summary) = &mut description.table_throughput_mode_summary {
        summary.last_update_to_pay_per_request_date_time = None;
    }
    if let Some(summary) = &mut description.table_class_summary {
        summary.last_update_date_time = None;
    }
    description
}

/// What DeleteTable answers: without what defines the table.
pub(crate) fn as_deleted(mut description: TableDescription) -> TableDescription {
    description.attribute_definitions = None;
    description.key_schema = None;
    description.creation_date_time = None;
    description
}

/// Counts the table's items and their bytes, up to a bound: beyond it, or if it fails, the figures are what was counted so far.
///
/// # Errors
/// The store's.
pub(crate) async fn count(db: &Db, table: &Table, description: &mut TableDescription) -> Result<(), StoreError> {
    let limit = PageLimit {
        rows_max: STATISTICS_PAGE_ROWS,
        cost_max: STATISTICS_PAGE_BYTES,
        cost: |_, value| tailrace_core::codec::stored_size(value),
    };
    let mut range = ItemKey::table_range(table.id);
    loop {
        let page = db.store.page(range.clone(), limit).await?;
        description.item_count += page.rows.len() as u64;
        description.table_size_bytes += page.rows.iter().map(|(_, value)| (limit.cost)(&[], value) as u64).sum::<u64>();
        let enough =
            description.item_count >= STATISTICS_ROWS_MAX || description.table_size_bytes >= STATISTICS_BYTES_MAX;
        match page.rows.last() {
            Some((last, _)) if page.limited && !enough => range = range.after(last),
            _ => return Ok(()),
        }
    }
}

/// The same beside a change of the table, which must not fail because its items cannot be counted.
pub(crate) async fn count_if_possible(db: &Db, table: &Table, description: &mut TableDescription) {
    if let Err(error) = count(db, table, description).await {
        tracing::warn!(table = %table.name, %error, "the items of a table could not be counted");
    }
}
