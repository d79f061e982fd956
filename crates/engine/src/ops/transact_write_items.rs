//! TransactWriteItems: one commit for all of its actions. Source: docs/spec/dynamodb-api.md 7.2.
//!
//! What is wrong with the request itself is its error; what is wrong with an action in its table, or with the item that it meets,
//! is a reason in a TransactionCanceledException, beside the reasons of all other actions. Commits wait for each other, so
//! no action conflicts with another transaction.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use tailrace_api::items::{
    Charge, TransactAction, TransactWrite, TransactWriteItemsAnswer, TransactWriteItemsRequest, UnitKind,
};
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::key::KeyError;
use tailrace_core::limits::REQUEST_TOKEN_LIFE;
use tailrace_core::{ApiError, CancellationReason};
use tailrace_store::keyspace::IdempotencyScope;

use super::update_item::{check_index_key_types, check_no_key_target, check_operands};
use crate::Caller;
use crate::db::Db;
use crate::items::capacity::{transaction_read_units, transaction_write_charge, write_charge};
use crate::items::collections::Collections;
use crate::items::commit::{Committed, commit_changes};
use crate::items::idempotency::IdempotencyMark;
use crate::items::index_entries::check_index_keys;
use crate::items::index_key_errors::IndexKeySource;
use crate::items::key_errors::{item_key_error, key_map_error};
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::items::projection::check_condition_paths;
use crate::items::table_set::TableSet;

/// Runs TransactWriteItems.
///
/// # Errors
/// What the client is to read.
pub async fn transact_write_items(
    db: &Db,
    request: TransactWriteItemsRequest,
    caller: &Caller<'_>,
) -> Result<TransactWriteItemsAnswer, ApiError> {
    transact_write(db, &request, IdempotencyScope::TransactWriteItems, caller).await
}

/// The transaction. `scope`: the operation whose tokens the request's is one of.
pub(super) async fn transact_write(
    db: &Db,
    request: &TransactWriteItemsRequest,
    scope: IdempotencyScope,
    caller: &Caller<'_>,
) -> Result<TransactWriteItemsAnswer, ApiError> {
    let mark = request.token.as_ref().map(|token| IdempotencyMark {
        scope,
        token: token.token.clone().into(),
        request: token.request,
        expires_ms: Some(db.clock.now().plus(REQUEST_TOKEN_LIFE)),
    });
    let mut tables = TableSet::likely(db, request.actions.iter().map(|action| action.table_name.as_str())).await?;
    let committed = loop {
        match commit(db, &tables, &request.actions, mark.as_ref(), caller).await {
            Ok(committed) => break committed,
            Err(error) => tables = tables.newer(db).await?.ok_or(error)?,
        }
    };
    answer(request, &tables, committed)
}

async fn commit(
    db: &Db,
    tables: &TableSet,
    actions: &[TransactWrite],
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Committed, ApiError> {
    let changes = changes(tables, actions)?;
    commit_changes(db, tables.tables(), &changes, mark, caller).await
}

/// The changes that the actions mean.
fn changes<'a>(tables: &TableSet, actions: &'a [TransactWrite]) -> Result<Vec<Change<'a>>, ApiError> {
    let mut changes = Vec::with_capacity(actions.len());
    let mut refused = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        match change(tables, index, action)? {
            Ok(change) => changes.push(change),
            Err(error) => refused.push((index, error)),
        }
    }
    let mut rows = HashSet::with_capacity(changes.len());
    if !changes.iter().all(|change| rows.insert(&change.place.row)) {
        return Err(ApiError::validation("Transaction request cannot include multiple operations on one item"));
    }
    if refused.is_empty() {
        return Ok(changes);
    }
    // Wrong keys hide whatever else is wrong.
    let mut reasons = vec![CancellationReason::NONE; actions.len()];
    for (index, error) in refused {
        reasons[index] = CancellationReason::of(error)?;
    }
    Err(ApiError::cancelled(reasons))
}

/// The change that an action means. The outer error is the request's, the inner one the action's.
fn change<'a>(
    tables: &TableSet,
    index: usize,
    given: &'a TransactWrite,
) -> Result<Result<Change<'a>, ApiError>, ApiError> {
    let (number, table) = tables.of(index);
    let schema = &table.key;
    let (attributes, update) = match &given.action {
        TransactAction::Put(item) => (item, None),
        TransactAction::Update(key, update) => (key, Some(update)),
        TransactAction::Delete(key) | TransactAction::Check(key) => (key, None),
    };
    check_condition_paths(given.condition.as_ref(), table)?;
    if let Some(update) = update {
        check_operands(table, update)?;
    }
    let whole = matches!(given.action, TransactAction::Put(_));
    let place = match ItemPlace::find(table, attributes, whole) {
        Ok(place) => place,
        Err(error @ KeyError::Empty { .. }) => return Err(key_map_error(error)),
        Err(error) => return Ok(Err(if whole { item_key_error(error) } else { key_map_error(error) })),
    };
    if let Some(update) = update
        && let Err(error) = check_no_key_target(schema, update).and_then(|()| check_index_key_types(table, update))
    {
        return Ok(Err(error));
    }
    let action = match &given.action {
        TransactAction::Put(item) => {
            let new = Bytes::from(encode_stored(item));
            match check_index_keys(table, &new) {
                Ok(()) => Action::Put(new),
                Err(error) if error.is_empty_value() => return Err(error.into_api(IndexKeySource::Put)),
                Err(error) => return Ok(Err(error.into_api(IndexKeySource::Put))),
            }
        }
        TransactAction::Update(_, update) => Action::Update(Some(update)),
        TransactAction::Delete(_) => Action::Delete,
        TransactAction::Check(_) => Action::Check,
    };
    Ok(Ok(Change {
        table: number,
        place,
        attributes,
        action,
        condition: given.condition.as_ref(),
        return_item_on_failure: given.return_item_on_failure,
    }))
}

fn answer(
    request: &TransactWriteItemsRequest,
    tables: &TableSet,
    committed: Committed,
) -> Result<TransactWriteItemsAnswer, ApiError> {
    if committed.answers.iter().any(Result::is_err) {
        return Err(cancelled(committed.answers));
    }
    let mut charged: BTreeMap<String, Charge> = BTreeMap::new();
    let mut collections = Collections::default();
    for (index, written) in committed.answers.iter().enumerate() {
        let Ok(written) = written else { continue };
        let (_, table) = tables.of(index);
        let charge = if committed.made_before {
            transaction_read_units(written.old.as_ref().map_or(0, |item| stored_size(item))).into()
        } else {
            transaction_write_charge(write_charge(table, written))
        };
        *charged.entry(table.name.clone()).or_default() += charge;
        match &request.actions[index].action {
            TransactAction::Put(key) | TransactAction::Update(key, _) | TransactAction::Delete(key) => {
                collections.note(request.item_collection_metrics, table, key);
            }
            TransactAction::Check(_) => {}
        }
    }
    let kind = if committed.made_before { UnitKind::Reads } else { UnitKind::Writes };
    Ok(TransactWriteItemsAnswer {
        consumed_capacity: request.capacity.transaction(charged, kind),
        item_collection_metrics: collections.by_table,
    })
}

/// Why a transaction was not made, of whose actions at least one was refused.
fn cancelled(answers: Vec<Result<Written, ApiError>>) -> ApiError {
    let reason = |answer: Result<Written, ApiError>| match answer {
        Ok(_) => Ok(CancellationReason::NONE),
        Err(error) => CancellationReason::of(error),
    };
    match answers.into_iter().map(reason).collect() {
        Ok(reasons) => ApiError::cancelled(reasons),
        Err(error) => error,
    }
}
