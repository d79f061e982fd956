//! TransactWriteItems: one commit for all of its actions. Source: docs/spec/dynamodb-api.md 7.2.
//!
//! What is wrong with the request itself is its error; what is wrong with an action in its table, or with the item that it meets,
//! is a reason in a TransactionCanceledException, beside the reasons of all other actions. Commits wait for each other, so
//! no action conflicts with another transaction.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use tailrace_api::items::{
    CapacityDetail, Charge, ConsumedCapacity, ItemCollectionMetrics, TRANSACTION_TOO_LARGE, TransactAction,
    TransactWrite, TransactWriteItemsAnswer, TransactWriteItemsRequest, UnitKind,
};
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::key::KeyError;
use tailrace_core::limits::REQUEST_TOKEN_LIFE;
use tailrace_core::{ApiError, CancellationReason, ErrorCode};
use tailrace_store::keyspace::IdempotencyScope;

use super::update_item::{check_index_key_types, check_no_empty_index_value, check_no_key_target, check_update_paths};
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::admission::Metering;
use crate::items::capacity::{transaction_read_units, transaction_write_charge, write_charge};
use crate::items::commit::{Committed, commit_changes};
use crate::items::idempotency::{IdempotencyMark, decided_before};
use crate::items::index_entries::{EntriesError, check_index_keys};
use crate::items::index_key_errors::{IndexKeyFault, IndexKeySource};
use crate::items::item_collection::note_item_collection;
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
    let changes = match (changes(tables, actions), mark) {
        (Ok(changes), _) => changes,
        // That a token is another request's is named before what is wrong with an action.
        (Err(error), Some(mark)) if error.code == ErrorCode::TransactionCanceledException => {
            decided_before(db, mark).await?;
            return Err(error);
        }
        (Err(error), _) => return Err(error),
    };
    let _turn = db.wide_turn(actions.len()).await;
    commit_changes(db, tables.tables(), &changes, mark, Metering::Transaction, caller).await
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
    let of_no_key = update.map_or(Ok(()), |update| check_no_key_target(schema, update));
    if let (Some(update), Ok(())) = (update, &of_no_key) {
        check_update_paths(table, update)?;
        check_no_empty_index_value(table, update)?;
    }
    let whole = matches!(given.action, TransactAction::Put(_));
    let place = match ItemPlace::find(table, attributes, whole) {
        Ok(place) => place,
        Err(error @ KeyError::Empty { .. }) => return Err(key_map_error(error)),
        Err(error) => return Ok(Err(if whole { item_key_error(error) } else { key_map_error(error) })),
    };
    let of_types = update.map_or(Ok(()), |update| check_index_key_types(table, update));
    if let Err(error) = of_no_key.and(of_types) {
        return Ok(Err(error));
    }
    let action = match &given.action {
        TransactAction::Put(item) => {
            let new = encode_stored(item).into();
            check_no_empty_index_key(table, &new)?;
            Action::Put(new)
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

/// Refuses an item with an empty value in a key of an index, as in the table's own, and one that is too large; what else an index cannot take is a reason,
/// found in the commit.
fn check_no_empty_index_key(table: &StoredTable, new: &Bytes) -> Result<(), ApiError> {
    match check_index_keys(table, new) {
        Err(EntriesError::Key(error)) if matches!(error.fault, IndexKeyFault::Empty(_)) => {
            Err(error.into_api(IndexKeySource::Put))
        }
        Err(error @ EntriesError::TooLarge) => Err(error.into_api(IndexKeySource::Put)),
        _ => Ok(()),
    }
}

fn answer(
    request: &TransactWriteItemsRequest,
    tables: &TableSet,
    committed: Committed,
) -> Result<TransactWriteItemsAnswer, ApiError> {
    if committed.too_large {
        return Err(ApiError::validation(TRANSACTION_TOO_LARGE));
    }
    if committed.answers.iter().any(Result::is_err) {
        return Err(cancelled(committed.answers));
    }
    Ok(TransactWriteItemsAnswer {
        consumed_capacity: consumed_capacity(request.capacity, tables, &committed),
        item_collection_metrics: item_collection_metrics(request, tables, &committed),
    })
}

fn consumed_capacity(
    detail: CapacityDetail,
    tables: &TableSet,
    committed: &Committed,
) -> Option<Vec<ConsumedCapacity>> {
    if detail == CapacityDetail::None {
        return None;
    }
    let mut charged: BTreeMap<String, Charge> = BTreeMap::new();
    for (index, written) in committed.answers.iter().enumerate() {
        let Ok(written) = written else { continue };
        let (_, table) = tables.of(index);
        let charge = if committed.made_before {
            transaction_read_units(written.old.as_ref().map_or(0, |item| stored_size(item))).into()
        } else {
            transaction_write_charge(write_charge(table, written))
        };
        *charged.entry(table.name.clone()).or_default() += charge;
    }
    detail.transaction(charged, if committed.made_before { UnitKind::Reads } else { UnitKind::Writes })
}

/// The item collections of what was written, each once.
fn item_collection_metrics(
    request: &TransactWriteItemsRequest,
    tables: &TableSet,
    committed: &Committed,
) -> BTreeMap<String, Vec<ItemCollectionMetrics>> {
    let mut told = BTreeMap::new();
    let asked = request.item_collection_metrics && !committed.made_before;
    for (index, action) in request.actions.iter().enumerate() {
        let attributes = match &action.action {
            TransactAction::Put(item) => item,
            TransactAction::Update(key, _) | TransactAction::Delete(key) => key,
            TransactAction::Check(_) => continue,
        };
        note_item_collection(&mut told, asked, tables.of(index).1, attributes);
    }
    told
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
