//! The table that a CreateTable asks for, or what is wrong with the request. Pure.
//! Source: docs/spec/dynamodb-api.md 2.1, streams.md 2.1.

use tailrace_api::tables::{BillingMode, CreateTableRequest};
use tailrace_core::key::KeyAttribute;
use tailrace_core::{ApiError, EpochMs, TableId, ViewType};

use super::descriptor::{Billing, Table, TableClassSetting};
use super::rules::{self, Of, invalid, not_built};
use super::{encryption, index_rules, tags};

/// The table without its number and its stream, and the view type of its stream.
pub(crate) fn plan(
    request: &CreateTableRequest,
    uuid: String,
    now_ms: EpochMs,
) -> Result<(Table, Option<ViewType>), ApiError> {
    let mode = request.billing_mode.unwrap_or(BillingMode::Provisioned);
    let given = request.provisioned_throughput.is_some();
    if mode == BillingMode::PayPerRequest && given {
        return Err(rules::units_on_demand());
    }
    if mode == BillingMode::Provisioned && !given {
        return Err(invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ));
    }
    let throughput = rules::throughput(request.provisioned_throughput, Of::Table)?.unwrap_or_default();
    let global = request.global_secondary_indexes.iter().flatten();
    index_rules::check_bounds(global.map(|index| (index.index_name.as_str(), index.provisioned_throughput)))?;
    let limits = rules::on_demand(request.on_demand_throughput, false, Of::Table)?;
    rules::limits_fit(limits, mode, Of::Table)?;
    let warm = rules::warm_by_billing(mode, &throughput);
    let warm = rules::warm(request.warm_throughput, mode, &throughput, warm, Of::Table)?.unwrap_or(warm);
    let key = index_rules::table_key(request)?;
    let indexes = index_rules::of_new_table(request, &key)?;
    let view = view(request)?;
    encryption::check(request.sse_specification.as_ref())?;
    tags::check(&request.tags)?;
    if let Some(member) = request.not_built.first() {
        return Err(not_built(member));
    }

    let mut table = Table::new(request.table_name.clone(), TableId(0), uuid, now_ms, key);
    if mode == BillingMode::Provisioned {
        table.billing = Billing { mode, on_demand_since_ms: None };
    }
    let definitions = request.attribute_definitions.iter();
    table.attributes =
        definitions.map(|d| KeyAttribute { name: d.attribute_name.clone(), scalar: d.attribute_type }).collect();
    table.attributes.sort_by(|a, b| a.name.cmp(&b.name));
    table.indexes_made = indexes.last().map_or(0, |index| index.id.0);
    table.indexes = indexes;
    table.warm = warm;
    table.throughput = throughput;
    table.on_demand = limits.filter(|limits| rules::first_limit(*limits).is_some());
    table.deletion_protection = request.deletion_protection_enabled.unwrap_or(false);
    table.class = request.table_class.map(|class| TableClassSetting { class, updated_ms: Some(now_ms) });
    Ok((table, view))
}

/// The view type of the stream that the table is created with. streams.md 2.1.
fn view(request: &CreateTableRequest) -> Result<Option<ViewType>, ApiError> {
    let Some(stream) = request.stream_specification else { return Ok(None) };
    match (stream.stream_enabled, stream.stream_view_type) {
        (false, None) => Ok(None),
        (false, Some(_)) => {
            Err(invalid("Table is being created with a stream disabled, UpdateViewType should not be specified"))
        }
        (true, None) => Err(invalid("Table is being created with a stream enabled, UpdateViewType is required")),
        (true, view) => Ok(view),
    }
}
