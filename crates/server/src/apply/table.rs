//! One table of a template against the table that is there: what stops the start, what is changed, what is told.
//!
//! Pure: descriptions and requests.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, OnDemandThroughput, ProvisionedThroughput,
    TableClass, TableDescription, UpdateTableRequest, WarmThroughput,
};

use super::record::RecordedTable;
use super::step::Step;
use super::there::There;
use super::{ApplyError, indexes, settings};
use crate::template::TablePlan;

/// Units of a table that is billed by units, where the template gives none. Ours: the smallest that the service's console proposes.
pub(super) const DEFAULT_UNITS: ProvisionedThroughput =
    ProvisionedThroughput { read_capacity_units: 5, write_capacity_units: 5 };

/// What a table needs to become what the template says.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// What makes or changes it, in order.
    pub steps: Vec<Step>,
    /// What is told: one line each.
    pub notices: Vec<String>,
}

/// What makes the table of a plan.
pub fn creation(table: &TablePlan) -> Changes {
    let global_secondary_indexes = indexes::created(table);
    let request =
        CreateTableRequest { provisioned_throughput: units(table), global_secondary_indexes, ..table.request.clone() };
    let mut steps = vec![Step::Create(Box::new(request))];
    steps.extend(settings::of_new_table(table));
    Changes { steps, notices: Vec::new() }
}

/// The units of a table that is billed by units.
fn units(table: &TablePlan) -> Option<ProvisionedThroughput> {
    (!table.is_on_demand()).then(|| table.request.provisioned_throughput.unwrap_or(DEFAULT_UNITS))
}

/// Compares the plan with the table that is there, and with what an earlier template was `recorded` to have asked for.
///
/// # Errors
/// The table cannot become what the template says without a loss.
pub fn changes(table: &TablePlan, there: &There, recorded: Option<&RecordedTable>) -> Result<Changes, ApplyError> {
    let nothing = RecordedTable::default();
    let recorded = recorded.unwrap_or(&nothing);
    let mut changes = of_description(table, &there.table)?;
    indexes::changes(table, &there.table, recorded, &mut changes)?;
    settings::changes(table, there, recorded, &mut changes)?;
    Ok(changes)
}

/// Key, billing, class, protection, stream and throughput.
fn of_description(table: &TablePlan, there: &TableDescription) -> Result<Changes, ApplyError> {
    let (name, at) = (table.name(), format!("Resources.{}.Properties", table.logical_id));
    let request = &table.request;
    let has = key(there.key_schema.as_deref(), there.attribute_definitions.as_deref());
    let wants = key(Some(&request.key_schema), Some(&request.attribute_definitions));
    if has != wants {
        return Err(ApplyError::Template(format!(
            "{at}.KeySchema: the key of the table {name} is {has}, and the template asks for {wants}; a key cannot be \
             changed: delete the table with its items, or name another table in the template"
        )));
    }
    let steps = updates(table, there).into_iter().map(|update| Step::Update(Box::new(update)));
    let mut changes = Changes { steps: steps.collect(), notices: Vec::new() };
    let view_there = there.stream_specification.and_then(|stream| stream.stream_view_type);
    match (view_there.map(|view| view.name()), table.stream().map(|view| view.name())) {
        (Some(has), Some(wants)) if has != wants => {
            return Err(ApplyError::Template(format!(
                "{at}.StreamSpecification.StreamViewType: the stream of the table {name} is {has}, and the template asks for \
                 {wants}; that takes a new stream, and cuts the readers of this one off: write {has} in the template, or \
                 disable the stream first (UpdateTable with StreamEnabled false)"
            )));
        }
        (Some(has), None) => changes.notices.push(format!(
            "{at}: the table {name} has a stream ({has}) that the template does not ask for; it is kept"
        )),
        _ => {}
    }
    match warm_throughput(table, there) {
        Warm::Enough => {}
        Warm::LessIsWanted => {
            let notice = format!("{at}.WarmThroughput: the table {name} has more; it cannot be decreased, and is kept");
            changes.notices.push(notice);
        }
        Warm::MoreIsWanted(wanted) => {
            let update = UpdateTableRequest { warm_throughput: Some(wanted), ..UpdateTableRequest::of(name) };
            changes.steps.push(Step::Update(Box::new(update)));
        }
    }
    Ok(changes)
}

/// One request for each thing that differs: the API takes few of them together.
fn updates(table: &TablePlan, there: &TableDescription) -> Vec<UpdateTableRequest> {
    let (request, nothing) = (&table.request, UpdateTableRequest::of(table.name()));
    let mut updates = Vec::new();
    let billed = there.billing_mode_summary.as_ref().map(|summary| summary.billing_mode);
    let (billing_mode, provisioned_throughput) = (request.billing_mode, units(table));
    let units_there = ProvisionedThroughput {
        read_capacity_units: there.provisioned_throughput.read_capacity_units,
        write_capacity_units: there.provisioned_throughput.write_capacity_units,
    };
    match (table.is_on_demand(), billed == Some(BillingMode::PayPerRequest)) {
        (true, false) => updates.push(UpdateTableRequest { billing_mode, ..nothing.clone() }),
        (false, true) => updates.push(UpdateTableRequest {
            billing_mode,
            provisioned_throughput,
            global_secondary_index_updates: Some(indexes::units_of_all(table, there)).filter(|all| !all.is_empty()),
            ..nothing.clone()
        }),
        (false, false) if request.provisioned_throughput.is_some_and(|units| units != units_there) => {
            updates.push(UpdateTableRequest { provisioned_throughput, ..nothing.clone() });
        }
        _ => {}
    }
    let class_there = there.table_class_summary.as_ref().map_or(TableClass::Standard, |summary| summary.table_class);
    if request.table_class.is_some_and(|class| class != class_there) {
        updates.push(UpdateTableRequest { table_class: request.table_class, ..nothing.clone() });
    }
    let limits_there = there.on_demand_throughput.clone().unwrap_or_default();
    let is_limited_otherwise = |wants: &OnDemandThroughput| {
        differs(wants.max_read_request_units, limits_there.max_read_request_units)
            || differs(wants.max_write_request_units, limits_there.max_write_request_units)
    };
    if request.on_demand_throughput.as_ref().is_some_and(is_limited_otherwise) {
        updates.push(UpdateTableRequest { on_demand_throughput: request.on_demand_throughput, ..nothing.clone() });
    }
    if differs(request.deletion_protection_enabled, Some(there.deletion_protection_enabled)) {
        let deletion_protection_enabled = request.deletion_protection_enabled;
        updates.push(UpdateTableRequest { deletion_protection_enabled, ..nothing.clone() });
    }
    if table.stream().is_some() && there.stream_specification.is_none_or(|stream| !stream.stream_enabled) {
        updates.push(UpdateTableRequest { stream_specification: request.stream_specification, ..nothing });
    }
    updates
}

/// Whether something is asked for that is not so.
pub(super) fn differs<T: PartialEq>(wants: Option<T>, has: Option<T>) -> bool {
    wants.is_some() && wants != has
}

/// The warm throughput of a table against the one that is asked for.
enum Warm {
    Enough,
    LessIsWanted,
    MoreIsWanted(WarmThroughput),
}

fn warm_throughput(table: &TablePlan, there: &TableDescription) -> Warm {
    let (Some(wants), Some(has)) = (table.request.warm_throughput, there.warm_throughput.as_ref()) else {
        return Warm::Enough;
    };
    // A member that is left out is asked for with what there is.
    let read = wants.read_units_per_second.unwrap_or(has.read_units_per_second);
    let write = wants.write_units_per_second.unwrap_or(has.write_units_per_second);
    if read < has.read_units_per_second || write < has.write_units_per_second {
        Warm::LessIsWanted
    } else if read > has.read_units_per_second || write > has.write_units_per_second {
        Warm::MoreIsWanted(WarmThroughput { read_units_per_second: Some(read), write_units_per_second: Some(write) })
    } else {
        Warm::Enough
    }
}

/// A key for a reader: `a (S, HASH), b (N, RANGE)`.
pub(super) fn key(schema: Option<&[KeySchemaElement]>, definitions: Option<&[AttributeDefinition]>) -> String {
    let element = |element: &KeySchemaElement| {
        let of_it = |definition: &&AttributeDefinition| definition.attribute_name == element.attribute_name;
        let definition = definitions.unwrap_or_default().iter().find(of_it);
        let kind = definition.map_or("?", |definition| definition.attribute_type.name());
        format!("{} ({}, {})", element.attribute_name, kind, element.key_type.name())
    };
    schema.unwrap_or_default().iter().map(element).collect::<Vec<_>>().join(", ")
}
