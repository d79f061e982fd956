//! One table of a template against the table that is there: what stops the start, what is changed, what is told.
//!
//! Pure: descriptions and requests.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, OnDemandThroughput, ProvisionedThroughput,
    TableClass, TableDescription, TimeToLiveDescription, TimeToLiveSpecification, UpdateTableRequest, WarmThroughput,
};

use super::ApplyError;
use super::record::RecordedTable;
use crate::template::TablePlan;

/// Units of a table that is billed by units, where the template gives none. Ours: the smallest that the service's console proposes.
const DEFAULT_UNITS: ProvisionedThroughput = ProvisionedThroughput { read_capacity_units: 5, write_capacity_units: 5 };

/// What a table needs to become what the template says.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// What changes it, in order.
    pub updates: Vec<UpdateTableRequest>,
    /// What becomes of its time to live, behind those.
    pub time_to_live: Option<TimeToLiveSpecification>,
    /// What is told: one line each.
    pub notices: Vec<String>,
}

/// What makes the table of a plan.
pub fn creation(table: &TablePlan) -> CreateTableRequest {
    CreateTableRequest { provisioned_throughput: units(table), ..table.request.clone() }
}

/// The units of a table that is billed by units.
fn units(table: &TablePlan) -> Option<ProvisionedThroughput> {
    (!table.is_on_demand()).then(|| table.request.provisioned_throughput.unwrap_or(DEFAULT_UNITS))
}

/// Compares the plan with the description of the table that is there.
///
/// # Errors
/// The table cannot become what the template says without a loss.
pub fn changes(table: &TablePlan, there: &TableDescription) -> Result<Changes, ApplyError> {
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
    let mut changes = Changes { updates: updates(table, there), ..Changes::default() };
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
            changes.updates.push(UpdateTableRequest { warm_throughput: Some(wanted), ..UpdateTableRequest::of(name) });
        }
    }
    Ok(changes)
}

/// Adds what the time to live of the table that is there needs. What the template does not say stays, but for what it was
/// `recorded` to have said.
///
/// # Errors
/// The items expire by another attribute.
pub fn time_to_live(
    table: &TablePlan,
    there: &TimeToLiveDescription,
    recorded: Option<&RecordedTable>,
    changes: &mut Changes,
) -> Result<(), ApplyError> {
    let (name, at) = (table.name(), format!("Resources.{}.Properties", table.logical_id));
    match (&table.time_to_live, &there.attribute_name) {
        (Some(wants), Some(has)) if wants.enabled && wants.attribute_name != *has => {
            return Err(ApplyError::Template(format!(
                "{at}.TimeToLiveSpecification.AttributeName: the items of the table {name} expire by {has}, and the template \
                 asks for {}; as with CloudFormation, start once with Enabled: false in between",
                wants.attribute_name
            )));
        }
        (Some(wants), None) if wants.enabled => changes.time_to_live = Some(wants.clone()),
        (Some(wants), Some(has)) if !wants.enabled => changes.time_to_live = Some(disabled(has)),
        (None, Some(has)) if recorded.is_some_and(|recorded| recorded.time_to_live.as_ref() == Some(has)) => {
            changes.time_to_live = Some(disabled(has));
            changes.notices.push(format!(
                "{at}: the items of the table {name} expire no more: the template does not ask for it any longer"
            ));
        }
        _ => {}
    }
    Ok(())
}

fn disabled(attribute: &str) -> TimeToLiveSpecification {
    TimeToLiveSpecification { enabled: false, attribute_name: attribute.to_owned() }
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
        (false, true) => {
            updates.push(UpdateTableRequest { billing_mode, provisioned_throughput, ..nothing.clone() });
        }
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
fn differs<T: PartialEq>(wants: Option<T>, has: Option<T>) -> bool {
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
fn key(schema: Option<&[KeySchemaElement]>, definitions: Option<&[AttributeDefinition]>) -> String {
    let element = |element: &KeySchemaElement| {
        let of_it = |definition: &&AttributeDefinition| definition.attribute_name == element.attribute_name;
        let definition = definitions.unwrap_or_default().iter().find(of_it);
        let kind = definition.map_or("?", |definition| definition.attribute_type.name());
        format!("{} ({}, {})", element.attribute_name, kind, element.key_type.name())
    };
    schema.unwrap_or_default().iter().map(element).collect::<Vec<_>>().join(", ")
}
