//! The secondary indexes of a template's table against those that are there. Pure.
//!
//! As CloudFormation does: an index's key and projection never change, local indexes are as old as their table, and global ones come and
//! go one after the other. One that a client made is left alone.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexDescription, GlobalSecondaryIndexUpdate, KeySchemaElement, Projection, ProjectionType,
    ProvisionedThroughput, TableDescription, UpdateGlobalSecondaryIndexAction, UpdateTableRequest, WarmThroughput,
};

use super::ApplyError;
use super::record::RecordedTable;
use super::step::Step;
use super::table::{Changes, DEFAULT_UNITS, differs, key};
use crate::template::TablePlan;

/// The table's global secondary indexes as it is created with them: with units where it is billed by units.
pub fn created(table: &TablePlan) -> Option<Vec<GlobalSecondaryIndex>> {
    let indexes = table.request.global_secondary_indexes.as_ref()?;
    Some(indexes.iter().map(|index| with_units(table, index)).collect())
}

fn with_units(table: &TablePlan, index: &GlobalSecondaryIndex) -> GlobalSecondaryIndex {
    let units = index.provisioned_throughput.unwrap_or(DEFAULT_UNITS);
    GlobalSecondaryIndex { provisioned_throughput: (!table.is_on_demand()).then_some(units), ..index.clone() }
}

/// The units that the indexes which are there need when the table is billed by units from now on.
pub fn units_of_all(table: &TablePlan, there: &TableDescription) -> Vec<GlobalSecondaryIndexUpdate> {
    let planned = table.request.global_secondary_indexes.as_deref().unwrap_or_default();
    let update = |index: &GlobalSecondaryIndexDescription| {
        let planned = planned.iter().find(|planned| planned.index_name == index.index_name);
        let units = planned.and_then(|planned| planned.provisioned_throughput).unwrap_or(DEFAULT_UNITS);
        updated(&index.index_name, |update| update.provisioned_throughput = Some(units))
    };
    there.global_secondary_indexes.iter().flatten().map(update).collect()
}

fn updated(name: &str, change: impl FnOnce(&mut UpdateGlobalSecondaryIndexAction)) -> GlobalSecondaryIndexUpdate {
    let mut update = UpdateGlobalSecondaryIndexAction {
        index_name: name.to_owned(),
        provisioned_throughput: None,
        on_demand_throughput: None,
        warm_throughput: None,
    };
    change(&mut update);
    GlobalSecondaryIndexUpdate { update: Some(update), ..GlobalSecondaryIndexUpdate::default() }
}

/// Adds what the indexes that are there need to become those of the plan.
///
/// # Errors
/// One cannot.
pub fn changes(
    table: &TablePlan,
    there: &TableDescription,
    recorded: &RecordedTable,
    changes: &mut Changes,
) -> Result<(), ApplyError> {
    local(table, there)?;
    let (name, at) = (table.name(), format!("Resources.{}.Properties", table.logical_id));
    let planned = table.request.global_secondary_indexes.as_deref().unwrap_or_default();
    let has: Vec<&GlobalSecondaryIndexDescription> = there.global_secondary_indexes.iter().flatten().collect();
    let request = |update: GlobalSecondaryIndexUpdate| UpdateTableRequest {
        global_secondary_index_updates: Some(vec![update]),
        ..UpdateTableRequest::of(name)
    };
    // What goes makes room for what comes.
    for index in has.iter().filter(|index| planned.iter().all(|planned| planned.index_name != index.index_name)) {
        let index_name = index.index_name.clone();
        if recorded.indexes.contains(&index_name) {
            changes.notices.push(format!(
                "{at}: the index {index_name} of the table {name} is no longer in the template: deleted"
            ));
            let delete = Some(DeleteGlobalSecondaryIndexAction { index_name });
            let update = GlobalSecondaryIndexUpdate { delete, ..GlobalSecondaryIndexUpdate::default() };
            changes.steps.push(Step::Update(Box::new(request(update))));
        } else {
            changes.notices.push(format!(
                "{at}: the table {name} has an index {index_name} that the template does not ask for; it is kept"
            ));
        }
    }
    for index in planned {
        let Some(present) = has.iter().find(|present| present.index_name == index.index_name) else {
            let create = Some(with_units(table, index));
            let update = GlobalSecondaryIndexUpdate { create, ..GlobalSecondaryIndexUpdate::default() };
            let in_key = |definition: &&AttributeDefinition| {
                index.key_schema.iter().any(|element| element.attribute_name == definition.attribute_name)
            };
            let attribute_definitions = table.request.attribute_definitions.iter().filter(in_key).cloned().collect();
            let update = UpdateTableRequest { attribute_definitions, ..request(update) };
            changes.steps.push(Step::Update(Box::new(update)));
            continue;
        };
        let list = format!("{at}.GlobalSecondaryIndexes");
        check_same(
            &list,
            table,
            there,
            &index.index_name,
            [&index.key_schema, &present.key_schema],
            [&index.projection, &present.projection],
        )?;
        let billed = there.billing_mode_summary.as_ref().map(|summary| summary.billing_mode);
        let was_on_demand = billed == Some(BillingMode::PayPerRequest);
        let units = ProvisionedThroughput {
            read_capacity_units: present.provisioned_throughput.read_capacity_units,
            write_capacity_units: present.provisioned_throughput.write_capacity_units,
        };
        // A table that is billed by units from now on has got them all together.
        let wanted = index.provisioned_throughput.filter(|_| !table.is_on_demand() && !was_on_demand);
        if differs(wanted, Some(units)) {
            let update = updated(&index.index_name, |update| update.provisioned_throughput = wanted);
            changes.steps.push(Step::Update(Box::new(request(update))));
        }
        let limits = present.on_demand_throughput.clone().unwrap_or_default();
        if index.on_demand_throughput.is_some_and(|wants| {
            differs(wants.max_read_request_units, limits.max_read_request_units)
                || differs(wants.max_write_request_units, limits.max_write_request_units)
        }) {
            let update = updated(&index.index_name, |update| update.on_demand_throughput = index.on_demand_throughput);
            changes.steps.push(Step::Update(Box::new(request(update))));
        }
        if let (Some(wants), Some(has)) = (index.warm_throughput, &present.warm_throughput) {
            let read = wants.read_units_per_second.unwrap_or(has.read_units_per_second);
            let write = wants.write_units_per_second.unwrap_or(has.write_units_per_second);
            if read < has.read_units_per_second || write < has.write_units_per_second {
                changes.notices.push(format!(
                    "{list}: the index {} of the table {name} has more warm throughput; it cannot be decreased, and is kept",
                    index.index_name
                ));
            } else if read > has.read_units_per_second || write > has.write_units_per_second {
                let warm = WarmThroughput { read_units_per_second: Some(read), write_units_per_second: Some(write) };
                let update = updated(&index.index_name, |update| update.warm_throughput = Some(warm));
                changes.steps.push(Step::Update(Box::new(request(update))));
            }
        }
    }
    Ok(())
}

/// Local indexes are those that the table was made with.
fn local(table: &TablePlan, there: &TableDescription) -> Result<(), ApplyError> {
    let (name, list) = (table.name(), format!("Resources.{}.Properties.LocalSecondaryIndexes", table.logical_id));
    let planned = table.request.local_secondary_indexes.as_deref().unwrap_or_default();
    let has = there.local_secondary_indexes.as_deref().unwrap_or_default();
    let todo =
        "a local index is as old as its table: delete the table with its items, or name another table in the template";
    for index in planned {
        let Some(present) = has.iter().find(|present| present.index_name == index.index_name) else {
            return Err(ApplyError::Template(format!(
                "{list}: the table {name} has no index {}, and the template asks for it; {todo}",
                index.index_name
            )));
        };
        check_same(
            &list,
            table,
            there,
            &index.index_name,
            [&index.key_schema, &present.key_schema],
            [&index.projection, &present.projection],
        )?;
    }
    match has.iter().find(|present| planned.iter().all(|planned| planned.index_name != present.index_name)) {
        None => Ok(()),
        Some(present) => Err(ApplyError::Template(format!(
            "{list}: the table {name} has an index {}, and the template does not ask for it; {todo}",
            present.index_name
        ))),
    }
}

/// The keys and the projections are the planned one and the present one. `list`: where the template has the index.
fn check_same(
    list: &str,
    table: &TablePlan,
    there: &TableDescription,
    index: &str,
    keys: [&[KeySchemaElement]; 2],
    projections: [&Projection; 2],
) -> Result<(), ApplyError> {
    let wants = key(Some(keys[0]), Some(&table.request.attribute_definitions));
    let has = key(Some(keys[1]), there.attribute_definitions.as_deref());
    let texts = projections.map(projection);
    let differs = |what: &str, has: &str, wants: &str| {
        let name = table.name();
        Err(ApplyError::Template(format!(
            "{list}: the {what} of the index {index} of the table {name} is {has}, and the template asks for {wants}; it cannot \
             be changed: give the index another name"
        )))
    };
    if wants != has {
        return differs("key", &has, &wants);
    }
    if texts[0] != texts[1] {
        return differs("projection", &texts[1], &texts[0]);
    }
    Ok(())
}

/// A projection for a reader: `INCLUDE a, b`, whatever the order of its names.
fn projection(projection: &Projection) -> String {
    let kind = match projection.projection_type {
        Some(ProjectionType::All) => "ALL",
        Some(ProjectionType::KeysOnly) => "KEYS_ONLY",
        Some(ProjectionType::Include) => "INCLUDE",
        None => "?",
    };
    let mut names = projection.non_key_attributes.clone().unwrap_or_default();
    names.sort();
    if names.is_empty() { kind.to_owned() } else { format!("{kind} {}", names.join(", ")) }
}
