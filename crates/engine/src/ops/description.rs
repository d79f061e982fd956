//! The table description that the table operations answer. Source: docs/spec/dynamodb-api.md 2.2.
//!
//! Optional members are absent rather than null. Transitional statuses exist here only: the change behind them is done.

use serde::Serialize;
use tailrace_core::key::KeyAttribute;
use tailrace_core::limits::{STATISTICS_BYTES_MAX, STATISTICS_PAGE_BYTES, STATISTICS_PAGE_ROWS, STATISTICS_ROWS_MAX};
use tailrace_core::{ApiError, KeySchema};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{PageLimit, StoreError};

use crate::db::{Db, Settings};
use crate::failure::store_failure;
use crate::table::{BillingMode, Table, ViewType};

/// `{"TableDescription": ...}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableAnswer {
    pub table_description: TableDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeDefinition {
    pub attribute_name: String,
    pub attribute_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeySchemaElement {
    pub attribute_name: String,
    pub key_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute_definitions: Option<Vec<AttributeDefinition>>,
    table_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_schema: Option<Vec<KeySchemaElement>>,
    table_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_date_time: Option<f64>,
    provisioned_throughput: ThroughputDescription,
    pub table_size_bytes: u64,
    pub item_count: u64,
    table_arn: String,
    table_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_mode_summary: Option<BillingModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_throughput_mode_summary: Option<ThroughputModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_throughput: Option<WarmDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_throughput: Option<OnDemandDescription>,
    deletion_protection_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_class_summary: Option<TableClassSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_specification: Option<StreamSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_arn: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThroughputDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_increase_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_decrease_date_time: Option<f64>,
    number_of_decreases_today: u32,
    read_capacity_units: i64,
    write_capacity_units: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: BillingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_to_pay_per_request_date_time: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThroughputModeSummary {
    table_throughput_mode: BillingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_to_pay_per_request_date_time: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WarmDescription {
    read_units_per_second: i64,
    write_units_per_second: i64,
    status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnDemandDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_read_request_units: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_write_request_units: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TableClassSummary {
    table_class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_date_time: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification {
    stream_enabled: bool,
    stream_view_type: ViewType,
}

/// Milliseconds as the wire's epoch seconds.
pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// The `KeySchema` of a key.
pub(crate) fn key_schema(key: &KeySchema) -> Vec<KeySchemaElement> {
    let element =
        |attribute: &KeyAttribute, key_type| KeySchemaElement { attribute_name: attribute.name.clone(), key_type };
    let range = key.range.as_ref().map(|range| element(range, "RANGE"));
    std::iter::once(element(&key.hash, "HASH")).chain(range).collect()
}

impl TableDescription {
    /// The description of a table as DescribeTable gives it, but for what must be counted.
    pub fn of(settings: &Settings, table: &Table, status: &'static str, now_ms: u64) -> TableDescription {
        let mut definitions: Vec<AttributeDefinition> = table
            .key
            .attributes()
            .map(|key| AttributeDefinition { attribute_name: key.name.clone(), attribute_type: key.scalar.name() })
            .collect();
        definitions.sort_by(|a, b| a.attribute_name.cmp(&b.attribute_name));
        let since = table.billing.on_demand_since_ms.map(seconds);
        let summary = since.is_some();
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let today = table.throughput.decreased_ms.is_some_and(|ms| ms / DAY_MS == now_ms / DAY_MS);
        let latest = table.latest_stream_label.as_ref();
        TableDescription {
            attribute_definitions: Some(definitions),
            table_name: table.name.clone(),
            key_schema: Some(key_schema(&table.key)),
            table_status: status,
            creation_date_time: Some(seconds(table.created_ms)),
            provisioned_throughput: ThroughputDescription {
                last_increase_date_time: table.throughput.increased_ms.map(seconds),
                last_decrease_date_time: table.throughput.decreased_ms.map(seconds),
                number_of_decreases_today: if today { table.throughput.decreases_that_day } else { 0 },
                read_capacity_units: table.throughput.read,
                write_capacity_units: table.throughput.write,
            },
            table_size_bytes: 0,
            item_count: 0,
            table_arn: settings.table_arn(&table.name),
            table_id: table.uuid.clone(),
            billing_mode_summary: summary.then_some(BillingModeSummary {
                billing_mode: table.billing.mode,
                last_update_to_pay_per_request_date_time: since,
            }),
            table_throughput_mode_summary: summary.then_some(ThroughputModeSummary {
                table_throughput_mode: table.billing.mode,
                last_update_to_pay_per_request_date_time: since,
            }),
            warm_throughput: Some(WarmDescription {
                read_units_per_second: table.warm.read,
                write_units_per_second: table.warm.write,
                status: "ACTIVE",
            }),
            on_demand_throughput: table.on_demand.as_ref().map(|limits| OnDemandDescription {
                max_read_request_units: limits.read,
                max_write_request_units: limits.write,
            }),
            deletion_protection_enabled: table.deletion_protection,
            table_class_summary: table.class.as_ref().map(|class| TableClassSummary {
                table_class: class.class.clone(),
                last_update_date_time: class.updated_ms.map(seconds),
            }),
            stream_specification: table
                .stream
                .as_ref()
                .map(|stream| StreamSpecification { stream_enabled: true, stream_view_type: stream.view }),
            latest_stream_label: latest.cloned(),
            latest_stream_arn: latest.map(|label| settings.stream_arn(&table.name, label)),
        }
    }

    /// What CreateTable answers: without what is not yet so.
    pub fn created(mut self, definitions: Vec<AttributeDefinition>, warm_was_sent: bool) -> TableDescription {
        self.attribute_definitions = Some(definitions);
        self.warm_throughput = self.warm_throughput.filter(|_| warm_was_sent);
        if let Some(summary) = &mut self.billing_mode_summary {
            summary.last_update_to_pay_per_request_date_time = None;
        }
        if let Some(summary) = &mut self.table_throughput_mode_summary {
            summary.last_update_to_pay_per_request_date_time = None;
        }
        if let Some(summary) = &mut self.table_class_summary {
            summary.last_update_date_time = None;
        }
        self
    }

    /// What DeleteTable answers: without what defines the table.
    pub fn deleted(mut self) -> TableDescription {
        self.attribute_definitions = None;
        self.key_schema = None;
        self.creation_date_time = None;
        self
    }

    /// Counts the table's items and their bytes, up to a bound: beyond it, the figures are what was counted so far.
    pub async fn counted(mut self, db: &Db, table: &Table) -> Result<TableDescription, ApiError> {
        self.count(db, table).await.map_err(|e| store_failure(&e))?;
        Ok(self)
    }

    /// The same beside a change of the table, which must not fail because its items cannot be counted: the figures are
    /// then what was counted until there.
    pub async fn counted_if_possible(mut self, db: &Db, table: &Table) -> TableDescription {
        if let Err(error) = self.count(db, table).await {
            tracing::warn!(table = %table.name, %error, "the items of a table could not be counted");
        }
        self
    }

    async fn count(&mut self, db: &Db, table: &Table) -> Result<(), StoreError> {
        let limit = PageLimit {
            rows_max: STATISTICS_PAGE_ROWS,
            cost_max: STATISTICS_PAGE_BYTES,
            cost: |_, value| tailrace_core::codec::stored_size(value),
        };
        let mut range = ItemKey::table_range(table.id);
        loop {
            let page = db.store.page(range.clone(), limit).await?;
            self.item_count += page.rows.len() as u64;
            self.table_size_bytes += page.rows.iter().map(|(_, value)| (limit.cost)(&[], value) as u64).sum::<u64>();
            let enough = self.item_count >= STATISTICS_ROWS_MAX || self.table_size_bytes >= STATISTICS_BYTES_MAX;
            match page.rows.last() {
                Some((last, _)) if page.limited && !enough => range = range.after(last),
                _ => return Ok(()),
            }
        }
    }
}
