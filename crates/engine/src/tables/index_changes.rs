//! What an UpdateTable makes of a table's global secondary indexes, or what is wrong with the request. Pure.
//! Source: docs/spec/dynamodb-api.md 8.1, 2.3.

use std::collections::BTreeSet;

use tailrace_api::tables::{
    self as api, AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate,
    TableStatus, UpdateGlobalSecondaryIndexAction, UpdateTableRequest,
};
use tailrace_core::limits::{GLOBAL_INDEXES_MAX, WARM_READ_UNITS, WARM_WRITE_UNITS};
use tailrace_core::{ApiError, EpochMs, ErrorCode, IndexId};

use super::change::{self, change_units};
use super::descriptor::{Table, WarmThroughput};
use super::index::{Index, IndexKind, IndexStatus};
use super::index_rules;
use super::rules::{self, Of, invalid};
use super::states::in_use;

/// The indexes that an UpdateTable made, changed and is to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexChanges {
    /// The one that was made.
    pub created: Option<IndexId>,
    /// Those whose units or limits were changed. A change of warm throughput leaves an index ACTIVE.
    pub updated: Vec<IndexId>,
    /// The one that is to go; it is still in the descriptor.
    pub deleted: Option<IndexId>,
}

/// Rules that need no table.
pub(super) fn check(request: &UpdateTableRequest) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    for update in request.index_updates() {
        let GlobalSecondaryIndexUpdate { update, create, delete } = update;
        let names = [
            update.as_ref().map(|update| &update.index_name),
            create.as_ref().map(|create| &create.index_name),
            delete.as_ref().map(|delete| &delete.index_name),
        ];
        let mut names = names.into_iter().flatten();
        let Some(name) = names.next() else {
            return Err(invalid(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                 GlobalSecondaryIndexUpdate.Delete must not be null",
            ));
        };
        if names.next().is_some() {
            return Err(invalid(
                "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
            ));
        }
        if !seen.insert(name) {
            return Err(invalid(format!(
                "Only one global secondary index update per index is allowed simultaneously. Index: {name}"
            )));
        }
    }
    let units = request.index_updates().iter().filter_map(|update| {
        let update_of = |update: &'_ UpdateGlobalSecondaryIndexAction| update.provisioned_throughput;
        match (&update.create, &update.update) {
            (Some(create), _) => Some((create.index_name.as_str(), create.provisioned_throughput)),
            (None, Some(update)) => Some((update.index_name.as_str(), update_of(update))),
            (None, None) => None,
        }
    });
    index_rules::check_bounds(units)?;
    for update in request.index_updates().iter().filter_map(|update| update.update.as_ref()) {
        if update.warm_throughput.is_some_and(|warm| warm.is_empty()) {
            return Err(invalid(format!(
                "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: {}",
                update.index_name
            )));
        }
    }
    let updates = request.index_updates();
    for create in updates.iter().filter_map(|update| update.create.as_ref()) {
        if request.attribute_definitions.is_empty() {
            let text = format!("AttributeDefinitions is not specified for index: {}", create.index_name);
            return Err(invalid(text));
        }
    }
    Ok(())
}

/// An index is to be made or deleted.
pub(super) fn makes_or_deletes(request: &UpdateTableRequest) -> bool {
    request.index_updates().iter().any(|update| update.create.is_some() || update.delete.is_some())
}

/// Refuses to delete an index that is told not to be filled yet, and to update one that is told to be updated.
///
/// # Errors
/// ResourceInUseException.
pub(crate) fn check_states(request: &UpdateTableRequest, table: &Table, now: EpochMs) -> Result<(), ApiError> {
    for delete in request.index_updates().iter().filter_map(|update| update.delete.as_ref()) {
        let named = table.indexes.iter().find(|index| index.name == delete.index_name);
        if let Some(index) = named.filter(|index| table.index_status(index, now).1 == Some(false)) {
            return Err(in_use(format_args!(
                "Index creation is in resource allocation phase. Retry deletion during backfilling phase or when the index \
                 is active. Table: {} Index: {}",
                table.name, index.name
            )));
        }
    }
    for update in request.index_updates().iter().filter_map(|update| update.update.as_ref()) {
        let named = table.indexes.iter().find(|index| index.name == update.index_name);
        // What a table's change does to an index beside it is told of the table.
        let is_updated = |index: &&Index| {
            table.index_status(index, now).0 == api::IndexStatus::Updating && table.status(now) == TableStatus::Active
        };
        if let Some(index) = named.filter(is_updated) {
            return Err(in_use(format_args!("Index is being updated. Table: {} Index: {}", table.name, index.name)));
        }
    }
    Ok(())
}

/// Changes the indexes of `table`, whose new billing mode is `mode`; `switched`: it was another one.
pub(super) fn apply(
    request: &UpdateTableRequest,
    table: &mut Table,
    mode: BillingMode,
    switched: bool,
    now: EpochMs,
) -> Result<IndexChanges, ApiError> {
    let mut changes = IndexChanges::default();
    let mut made_or_deleted = table.indexes.iter().filter(|index| index.status != IndexStatus::Active).count();
    if switched {
        switch(request, table, mode, now)?;
    }
    for update in request.index_updates() {
        if let Some(update) = &update.update {
            let index = apply_update(update, table, mode, switched, now)?;
            if update.provisioned_throughput.is_some() || update.on_demand_throughput.is_some() {
                changes.updated.push(index);
            }
        }
        if let Some(create) = &update.create {
            let index = new_index(create, table, &request.attribute_definitions, mode)?;
            made_or_deleted += 1;
            changes.created = Some(index.id);
            table.indexes_made = index.id.0;
            table.indexes.push(index);
        }
        if let Some(delete) = &update.delete {
            let at = position(table, &delete.index_name, "delete")?;
            let index = &table.indexes[at];
            // One that is being filled may be given up.
            made_or_deleted += usize::from(index.status != IndexStatus::Creating);
            changes.deleted = Some(index.id);
        }
    }
    if (changes.created.is_some() || changes.deleted.is_some()) && made_or_deleted > 1 {
        return Err(limit_exceeded("Only 1 online index can be created or deleted simultaneously per table"));
    }
    if table.indexes.iter().filter(|index| index.kind == IndexKind::Global).count() > GLOBAL_INDEXES_MAX {
        let text = format!("Number of global secondary indexes exceeds per-table limit of {GLOBAL_INDEXES_MAX}");
        return Err(limit_exceeded(&text));
    }
    if changes.created.is_some() {
        index_rules::check_projected(&table.indexes)?;
    }
    Ok(changes)
}

fn limit_exceeded(rest: &str) -> ApiError {
    ApiError::new(ErrorCode::LimitExceededException, format!("Subscriber limit exceeded: {rest}"))
}

/// All global indexes follow the table to another billing mode.
fn switch(request: &UpdateTableRequest, table: &mut Table, mode: BillingMode, now: EpochMs) -> Result<(), ApiError> {
    for index in table.indexes.iter_mut().filter(|index| index.kind == IndexKind::Global) {
        match mode {
            BillingMode::PayPerRequest => {
                index.throughput.decreases_that_day = rules::decreases_today(&index.throughput, now) + 1;
                index.throughput.decreased_ms = Some(now);
                (index.throughput.read, index.throughput.write) = (0, 0);
                let warm = index.warm.get_or_insert(WarmThroughput { read: 0, write: 0 });
                warm.read = warm.read.max(WARM_READ_UNITS);
                warm.write = warm.write.max(WARM_WRITE_UNITS);
            }
            BillingMode::Provisioned => {
                let updates = request.index_updates().iter().filter_map(|update| update.update.as_ref());
                let mut of_it = updates.filter(|update| update.index_name == index.name);
                if !of_it.any(|update| update.provisioned_throughput.is_some()) {
                    let text = format!("ProvisionedThroughput must be specified for index: {}", index.name);
                    return Err(invalid(text));
                }
                index.on_demand = None;
            }
        }
    }
    Ok(())
}

fn new_index(
    create: &CreateGlobalSecondaryIndexAction,
    table: &mut Table,
    definitions: &[AttributeDefinition],
    mode: BillingMode,
) -> Result<Index, ApiError> {
    // The type that an attribute has already counts.
    let merged: Vec<AttributeDefinition> = definitions
        .iter()
        .map(|definition| {
            let known = table.attributes.iter().find(|attribute| attribute.name == definition.attribute_name);
            let attribute_type = known.map_or(definition.attribute_type, |attribute| attribute.scalar);
            AttributeDefinition { attribute_type, ..definition.clone() }
        })
        .collect();
    let mut index = index_rules::of_update(create, &merged, mode)?;
    if table.indexes.iter().any(|other| other.name == index.name) {
        return Err(ApiError::validation("Attempting to create an index which already exists"));
    }
    index.id = IndexId(table.indexes_made + 1);
    for attribute in index.attributes() {
        if !table.attributes.contains(attribute) {
            table.attributes.push(attribute.clone());
        }
    }
    table.attributes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(index)
}

/// Takes an index out of the table, with the types of attributes that only it had.
pub(crate) fn remove(table: &mut Table, index: IndexId) {
    table.indexes.retain(|other| other.id != index);
    table.transitions.retain(|transition| transition.index != Some(index));
    prune_attributes(table);
}

/// Takes the types of attributes that are in no key any more out of the table.
fn prune_attributes(table: &mut Table) {
    let Table { attributes, key, indexes, .. } = table;
    attributes.retain(|attribute| {
        key.contains(&attribute.name)
            || indexes.iter().flat_map(Index::attributes).any(|used| used.name == attribute.name)
    });
}

/// Where the global index of this name is in the descriptor.
fn position(table: &Table, name: &str, action: &str) -> Result<usize, ApiError> {
    match table.indexes.iter().position(|index| index.name == name) {
        Some(at) if table.indexes[at].kind == IndexKind::Global => Ok(at),
        Some(_) => {
            Err(ApiError::validation(format!("Cannot {action} an index that is not a GlobalSecondaryIndex: {name}")))
        }
        None => {
            Err(ApiError::not_found(format!("Requested resource not found: Index {name} for table {}", table.name)))
        }
    }
}

fn apply_update(
    update: &UpdateGlobalSecondaryIndexAction,
    table: &mut Table,
    mode: BillingMode,
    switched: bool,
    now: EpochMs,
) -> Result<IndexId, ApiError> {
    let name = &update.index_name;
    let at = position(table, name, "update")?;
    let index = &mut table.indexes[at];
    let of = Of::Index(name);
    let mut warm = index.warm.unwrap_or(WarmThroughput { read: 0, write: 0 });
    let limits =
        rules::on_demand(update.on_demand_throughput, true, of)?.filter(|limits| rules::first_limit(*limits).is_some());
    if let Some(limits) = limits {
        rules::new_limits_fit(limits, mode, of)?;
        index.on_demand = change::merged(limits, index.on_demand);
    }
    match (mode, rules::throughput(update.provisioned_throughput, of)?) {
        (BillingMode::PayPerRequest, units)
            if units.is_some() || (limits.is_none() && update.warm_throughput.is_none()) =>
        {
            return Err(invalid(format!(
                "The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST can be to \
                 OnDemandThroughput, WarmThroughput"
            )));
        }
        (BillingMode::Provisioned, Some(wanted)) => {
            change_units(&mut index.throughput, &mut warm, &wanted, switched, now, of)?;
        }
        (BillingMode::Provisioned, None) if update.warm_throughput.is_none() => {
            return Err(index_rules::units_are_missing(name));
        }
        _ => {}
    }
    index.warm = Some(rules::raised(warm, update.warm_throughput, of)?);
    Ok(index.id)
}
