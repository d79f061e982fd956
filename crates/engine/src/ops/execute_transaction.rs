//! ExecuteTransaction: statements that read become a TransactGetItems, statements that write a TransactWriteItems, whose runs
//! they share; tokens are the operation's own. Source: docs/spec/dynamodb-api.md 7.2, 7.3.

use sha2::{Digest as _, Sha256};
use tailrace_api::items::{
    RequestToken, TRANSACTION_TOO_LARGE, TransactAction, TransactGet, TransactGetItemsRequest, TransactWrite,
    TransactWriteItemsRequest,
};
use tailrace_api::partiql::{ExecuteTransactionAnswer, ExecuteTransactionRequest, PreparedStatement};
use tailrace_core::expr::{Condition, Node, Path};
use tailrace_core::limits::{ITEM_BYTES_MAX, TRANSACTION_BYTES_MAX};
use tailrace_core::size::{item_size, value_size};
use tailrace_core::{ApiError, CancellationCode, CancellationReason, ErrorCode};
use tailrace_partiql::{Parsed, Select, Statement};
use tailrace_store::keyspace::IdempotencyScope;

use super::partiql::keys::whole_key;
use super::partiql::next_token::digest;
use super::partiql::refusal::Refusal;
use super::partiql::select::{key_of, projection};
use super::partiql::source::Source;
use super::partiql::write::{DUPLICATE, Telling, Write};
use super::transact_get_items::transact_get_items;
use super::transact_write_items::transact_write;
use crate::Caller;
use crate::db::Db;

/// One statement as it is run.
enum Member {
    Read(TransactGet),
    /// Whether it is an `INSERT`, too.
    Write(TransactWrite, bool),
}

/// Runs ExecuteTransaction.
///
/// # Errors
/// What the client is to read.
pub async fn execute_transaction(
    db: &Db,
    request: ExecuteTransactionRequest,
    caller: &Caller<'_>,
) -> Result<ExecuteTransactionAnswer, ApiError> {
    let parsed: Vec<Parsed> =
        request.statements.iter().map(|given| Parsed::parse(&given.statement.text)).collect::<Result<_, _>>()?;
    let reads = parsed.iter().filter(|parsed| parsed.is_read()).count();
    if reads > 0 && reads < parsed.len() {
        return Err(ApiError::validation(
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ));
    }
    if reads == 0
        && request.statements.iter().map(|given| payload_bytes(&given.statement)).sum::<usize>() > TRANSACTION_BYTES_MAX
    {
        return Err(ApiError::validation(TRANSACTION_TOO_LARGE));
    }
    let members = members(db, &request, &parsed).await?;
    if reads > 0 {
        let gets = members.into_iter().filter_map(|member| match member {
            Member::Read(get) => Some(get),
            Member::Write(..) => None,
        });
        let gets = TransactGetItemsRequest { gets: gets.collect(), capacity: request.capacity };
        let answer = transact_get_items(db, gets, caller).await?;
        return Ok(ExecuteTransactionAnswer {
            responses: answer.responses,
            consumed_capacity: answer.consumed_capacity,
        });
    }
    let (mut actions, mut inserts) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
    for member in members {
        if let Member::Write(action, insert) = member {
            actions.push(action);
            inserts.push(insert);
        }
    }
    let token = request.token.as_ref().map(|token| RequestToken { token: token.clone(), request: meaning(&request) });
    let writes = TransactWriteItemsRequest {
        actions,
        token,
        capacity: request.capacity,
        ..TransactWriteItemsRequest::default()
    };
    let answer = transact_write(db, &writes, IdempotencyScope::ExecuteTransaction, caller).await;
    let answer = answer.map_err(|error| with_duplicates(error, &inserts))?;
    Ok(ExecuteTransactionAnswer { responses: Vec::new(), consumed_capacity: answer.consumed_capacity })
}

/// What a statement brings along: as in TransactWriteItems, expressions count with their values.
fn payload_bytes(statement: &PreparedStatement) -> usize {
    statement.text.len() + statement.parameters.iter().map(value_size).sum::<usize>()
}

/// What the statements mean for the transaction. Values that keys cannot have, and items that are too large, are reasons, and hide what else may be wrong; whatever
/// else is wrong with a statement is the request's error, and names it.
async fn members(db: &Db, request: &ExecuteTransactionRequest, parsed: &[Parsed]) -> Result<Vec<Member>, ApiError> {
    let mut members = Vec::with_capacity(parsed.len());
    let mut reasons = vec![CancellationReason::NONE; parsed.len()];
    for (index, (given, parsed)) in request.statements.iter().zip(parsed).enumerate() {
        let member = match parsed.bind(&given.statement.parameters) {
            Ok(statement) => member(db, statement, given.return_item_on_failure).await,
            Err(error) => Err(Refusal::Statement(error.into())),
        };
        match member {
            Ok(member) => members.push(member),
            Err(Refusal::Key(error)) => reasons[index] = CancellationReason::of(error)?,
            Err(Refusal::Table(error)) => return Err(error),
            Err(Refusal::Statement(error)) => {
                let text = error.message.unwrap_or_default();
                return Err(ApiError::validation(format!("Validation failed in TransactStatements[{index}]: {text}")));
            }
        }
    }
    if members.len() < parsed.len() { Err(ApiError::cancelled(reasons)) } else { Ok(members) }
}

async fn member(db: &Db, statement: Statement, return_item_on_failure: bool) -> Result<Member, Refusal> {
    let telling = Telling { return_item_on_failure, ..Telling::default() };
    let returning = || Refusal::statement("RETURNING clause is not supported in ExecuteTransaction.");
    let write = match statement {
        Statement::Select(select) => return get(db, &select).await.map(Member::Read),
        Statement::Exists(select) => {
            return check(db, &select, return_item_on_failure).await.map(|check| Member::Write(check, false));
        }
        Statement::Update(update) if update.returning.is_some() => return Err(returning()),
        Statement::Delete(delete) if delete.returning => return Err(returning()),
        Statement::Insert(insert) if item_size(&insert.item) > ITEM_BYTES_MAX => {
            return Err(Refusal::Key(ApiError::validation("Item size has exceeded the maximum allowed size")));
        }
        Statement::Insert(insert) => Write::insert(db, insert, telling).await?,
        Statement::Update(update) => Write::update(db, update, telling).await?,
        Statement::Delete(delete) => Write::delete(db, delete, telling).await?,
    };
    let insert = matches!(write, Write::Insert(_));
    Ok(Member::Write(action(write), insert))
}

/// The action of a transaction that a write is.
fn action(write: Write) -> TransactWrite {
    let (table_name, action, condition, return_item_on_failure) = match write {
        Write::Insert(put) => {
            (put.table_name, TransactAction::Put(put.item), put.condition, put.return_item_on_failure)
        }
        Write::Update(update) => {
            let changes = update.update.expect("invariant: an UPDATE changes something");
            let action = TransactAction::Update(update.key, changes);
            (update.table_name, action, update.condition, update.return_item_on_failure)
        }
        Write::Delete(delete) => {
            (delete.table_name, TransactAction::Delete(delete.key), delete.condition, delete.return_item_on_failure)
        }
    };
    TransactWrite { table_name, action, condition, return_item_on_failure }
}

/// What is read must be a table's.
async fn open(db: &Db, select: &Select) -> Result<Source, Refusal> {
    if select.index.is_some() {
        return Err(Refusal::statement("Reads on indices are not supported within transactions."));
    }
    Source::open(db, &select.table, None, false).await
}

async fn get(db: &Db, select: &Select) -> Result<TransactGet, Refusal> {
    let source = open(db, select).await?;
    let key = key_of(select, &source)?.ok_or_else(|| {
        Refusal::statement(
            "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
        )
    })?;
    Ok(TransactGet { table_name: source.table.name.clone(), key, projection: projection(select) })
}

/// `EXISTS`: the item is there, and what else is said of it holds.
async fn check(db: &Db, select: &Select, return_item_on_failure: bool) -> Result<TransactWrite, Refusal> {
    let source = open(db, select).await?;
    let key = whole_key(select.condition.as_ref(), &source.table.key)?;
    let Some((key, mut conditions)) = key.filter(|(_, rest)| !rest.is_empty()) else {
        return Err(Refusal::statement("EXISTS() must contain a single item read with additional condition"));
    };
    conditions.insert(0, Node::Exists(Path::attribute(source.table.key.hash.name.as_str())));
    Ok(TransactWrite {
        table_name: source.table.name.clone(),
        action: TransactAction::Check(key),
        condition: Some(Condition::of(Node::And(conditions))),
        return_item_on_failure,
    })
}

/// What a token was given for.
fn meaning(request: &ExecuteTransactionRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for given in &request.statements {
        hash.update(digest(&given.statement));
        hash.update([u8::from(given.return_item_on_failure)]);
    }
    hash.finalize().into()
}

/// The failed condition of an `INSERT` is an item that is there.
fn with_duplicates(mut error: ApiError, inserts: &[bool]) -> ApiError {
    if error.code != ErrorCode::TransactionCanceledException {
        return error;
    }
    let mut reasons = std::mem::take(&mut error.reasons);
    for (reason, insert) in reasons.iter_mut().zip(inserts) {
        if *insert && reason.code == CancellationCode::ConditionalCheckFailed {
            reason.code = CancellationCode::DuplicateItem;
            reason.message = Some(DUPLICATE.to_owned());
        }
    }
    ApiError::cancelled(reasons)
}
