//! BatchExecuteStatement: each statement is run by itself, and is refused by itself. Source: docs/spec/dynamodb-api.md 7.3.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use tailrace_api::items::{CapacityDetail, ConsumedCapacity, GetItemRequest};
use tailrace_api::partiql::{
    BatchExecuteStatementAnswer, BatchExecuteStatementRequest, BatchStatement, StatementFailure, StatementResponse,
};
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_partiql::{Parsed, Statement, StatementError};
use tailrace_store::Key;

use super::get_item::get_item;
use super::partiql::select::{key_of, projection};
use super::partiql::source::Source;
use super::partiql::write::{Telling, Write};
use crate::Caller;
use crate::db::Db;
use crate::items::capacity::write_units;
use crate::items::key_errors::duplicate_keys;
use crate::items::place::ItemPlace;

/// A statement as it is run.
enum Work {
    Get(GetItemRequest),
    Write(Box<Write>),
}

/// A statement that can be run, and the row that it is about.
struct Member {
    work: Work,
    row: Option<Key>,
    /// The table's own name: a statement may have its ARN.
    table_name: String,
}

/// What became of a statement.
struct Done {
    response: StatementResponse,
    consumed: Option<ConsumedCapacity>,
}

/// Runs BatchExecuteStatement.
///
/// # Errors
/// What is wrong with the batch as a whole; what is wrong with one statement is in the answer.
pub async fn batch_execute_statement(
    db: &Db,
    request: BatchExecuteStatementRequest,
    caller: &Caller<'_>,
) -> Result<BatchExecuteStatementAnswer, ApiError> {
    let BatchExecuteStatementRequest { statements, capacity } = request;
    let parsed: Vec<_> = statements.iter().map(|given| Parsed::parse(&given.statement.text)).collect();
    let reads = parsed.iter().flatten().filter(|parsed| parsed.is_read()).count();
    if reads > 0 && reads < parsed.iter().flatten().count() {
        return Err(ApiError::validation("Read and write requests together in the same batch is not supported."));
    }
    let mut members = Vec::with_capacity(statements.len());
    let mut rows = HashSet::new();
    for (given, parsed) in statements.iter().zip(&parsed) {
        let member = match parsed {
            Ok(parsed) => member(db, given, parsed, capacity).await,
            Err(error) => Err(error.clone().into()),
        };
        if let Ok(Member { row: Some(row), .. }) = &member
            && !rows.insert(row.clone())
        {
            return Err(duplicate_keys());
        }
        members.push(member);
    }
    let runs = members.into_iter().zip(&parsed).zip(&statements).map(|((member, parsed), given)| async move {
        let (table_name, outcome) = match member {
            Ok(Member { work, table_name, .. }) => (Some(table_name), run(db, work, caller).await),
            Err(error) => (parsed.as_ref().ok().map(|parsed| parsed.table().to_owned()), Err(error)),
        };
        done(table_name, outcome, given.return_item_on_failure, capacity)
    });
    let mut responses = Vec::with_capacity(statements.len());
    let mut charged: BTreeMap<String, ConsumedCapacity> = BTreeMap::new();
    for Done { response, consumed } in join_all(runs).await {
        responses.push(response);
        let Some(consumed) = consumed else { continue };
        match charged.get_mut(consumed.table_name()) {
            Some(sum) => sum.add(consumed),
            None => {
                charged.insert(consumed.table_name().to_owned(), consumed);
            }
        }
    }
    let consumed_capacity = (capacity != CapacityDetail::None).then(|| charged.into_values().collect());
    Ok(BatchExecuteStatementAnswer { responses, consumed_capacity })
}

/// The statement as a request on one item.
async fn member(
    db: &Db,
    given: &BatchStatement,
    parsed: &Parsed,
    capacity: CapacityDetail,
) -> Result<Member, ApiError> {
    // What a condition was not true of is charged by its size, whether it is shown or not.
    let return_item_on_failure = given.return_item_on_failure || capacity != CapacityDetail::None;
    let telling = Telling { return_item_on_failure, capacity };
    let write = match parsed.bind(&given.statement.parameters)? {
        Statement::Select(select) => {
            let source = Source::open(db, &select.table, select.index.as_deref(), given.consistent_read).await?;
            let key = if source.index.is_none() { key_of(&select, &source)? } else { None };
            let Some(key) = key else {
                return Err(ApiError::validation(
                    "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
                ));
            };
            let row = ItemPlace::of_key(&source.table, &key).ok().map(|place| place.row);
            let table_name = source.table.name.clone();
            let get = GetItemRequest {
                table_name: table_name.clone(),
                key,
                projection: projection(&select),
                consistent_read: given.consistent_read,
                capacity,
            };
            return Ok(Member { work: Work::Get(get), row, table_name });
        }
        Statement::Insert(insert) => Write::insert(db, insert, telling).await?,
        Statement::Update(update) => Write::update(db, update, telling).await?,
        Statement::Delete(delete) => Write::delete(db, delete, telling).await?,
        Statement::Exists(_) => return Err(StatementError::Exists.into()),
    };
    let table = db.table(write.table_name()).await?;
    let row = ItemPlace::of_item(&table, write.attributes()).ok().map(|place| place.row);
    Ok(Member { work: Work::Write(Box::new(write)), row, table_name: table.name.clone() })
}

async fn run(
    db: &Db,
    work: Work,
    caller: &Caller<'_>,
) -> Result<(StatementResponse, Option<ConsumedCapacity>), ApiError> {
    let (item, consumed) = match work {
        Work::Get(get) => {
            let answer = get_item(db, get, caller).await?;
            (answer.item, answer.consumed_capacity)
        }
        Work::Write(write) => {
            let answer = write.run(db, caller).await?;
            (answer.attributes, answer.consumed_capacity)
        }
    };
    Ok((StatementResponse { item, ..StatementResponse::default() }, consumed))
}

fn done(
    table_name: Option<String>,
    outcome: Result<(StatementResponse, Option<ConsumedCapacity>), ApiError>,
    shows_item: bool,
    capacity: CapacityDetail,
) -> Done {
    match outcome {
        Ok((response, consumed)) => Done { response: StatementResponse { table_name, ..response }, consumed },
        Err(mut error) => {
            // A write that met an item it must not change is charged all the same.
            let met =
                matches!(error.code, ErrorCode::ConditionalCheckFailedException | ErrorCode::DuplicateItemException);
            let units = write_units(error.item.as_ref().map_or(0, |item| item_size(item)), 0);
            let consumed = table_name.as_ref().filter(|_| met).and_then(|table| capacity.answer(table, units));
            error.item = error.item.filter(|_| shows_item);
            let error = Some(StatementFailure::from(error));
            Done { response: StatementResponse { error, table_name, item: None }, consumed }
        }
    }
}
