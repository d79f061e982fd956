//! ExecuteStatement. Source: docs/spec/dynamodb-api.md 7.3.

use tailrace_api::partiql::{ExecuteStatementAnswer, ExecuteStatementRequest};
use tailrace_core::ApiError;
use tailrace_partiql::{Parsed, Statement, StatementError};

use super::partiql::next_token::NextToken;
use super::partiql::select::{Reading, Selected, select};
use super::partiql::write::{Telling, Write};
use crate::Caller;
use crate::db::Db;

/// Runs ExecuteStatement.
///
/// # Errors
/// What the client is to read.
pub async fn execute_statement(
    db: &Db,
    request: ExecuteStatementRequest,
    caller: &Caller<'_>,
) -> Result<ExecuteStatementAnswer, ApiError> {
    let statement = Parsed::parse(&request.statement.text)?.bind(&request.statement.parameters)?;
    let telling = Telling { return_item_on_failure: request.return_item_on_failure, capacity: request.capacity };
    let write = match statement {
        Statement::Select(read) => {
            let token = request.next_token.as_deref();
            let start =
                token.map(|token| NextToken::read(token, &request.statement, &db.iterator_secret)).transpose()?;
            let reading = Reading {
                consistent: request.consistent_read,
                capacity: request.capacity,
                limit: request.limit,
                start,
            };
            let Selected { items, next, consumed_capacity } = select(db, &read, reading, caller).await?;
            return Ok(ExecuteStatementAnswer {
                items,
                next_token: next.as_ref().map(|next| next.write(&request.statement, &db.iterator_secret)),
                last_evaluated_key: next.map(|next| next.last_key),
                consumed_capacity,
            });
        }
        Statement::Insert(insert) => Write::insert(db, insert, telling).await?,
        Statement::Update(update) => Write::update(db, update, telling).await?,
        Statement::Delete(delete) => Write::delete(db, delete, telling).await?,
        Statement::Exists(_) => return Err(StatementError::Exists.into()),
    };
    let answer = write.run(db, caller).await.map_err(|error| ApiError { of_statement: true, ..error })?;
    Ok(ExecuteStatementAnswer {
        items: answer.attributes.into_iter().collect(),
        consumed_capacity: answer.consumed_capacity,
        ..ExecuteStatementAnswer::default()
    })
}
