//! The operations, one file each: request -> run -> answer.
//!
//! A run is a function that is named like the operation. It takes a typed request of `tailrace_api`, applies the operation's
//! own rules in the order of the specification and returns a typed answer; whoever is inside calls it. [`execute`] is for the
//! wire: it validates a body by the service's model, reads the request, runs it and writes the answer.

mod account;
mod batch_execute_statement;
mod batch_get_item;
mod batch_write_item;
mod create_table;
mod delete_item;
mod delete_table;
mod describe_stream;
mod describe_table;
mod describe_time_to_live;
mod execute_statement;
mod execute_transaction;
mod get_item;
mod get_records;
mod get_shard_iterator;
mod list_streams;
mod list_tables;
mod partiql;
mod put_item;
mod query;
mod scan;
pub mod settings;
#[cfg(test)]
mod table_tests;
mod transact_get_items;
mod transact_write_items;
mod update_item;
mod update_table;
mod update_time_to_live;
mod write_once;

#[cfg(test)]
mod item_tests;
#[cfg(test)]
mod partiql_tests;
#[cfg(test)]
mod power_cuts;

pub use account::{describe_endpoints, describe_limits};
pub use batch_execute_statement::batch_execute_statement;
pub use batch_get_item::batch_get_item;
pub use batch_write_item::batch_write_item;
pub use create_table::create_table;
pub use delete_item::delete_item;
pub use delete_table::delete_table;
pub(crate) use delete_table::remove_table;
pub use describe_stream::describe_stream;
pub use describe_table::describe_table;
pub use describe_time_to_live::describe_time_to_live;
pub use execute_statement::execute_statement;
pub use execute_transaction::execute_transaction;
pub use get_item::get_item;
pub use get_records::get_records;
pub use get_shard_iterator::get_shard_iterator;
pub use list_streams::list_streams;
pub use list_tables::list_tables;
pub use put_item::put_item;
pub use query::query;
pub(crate) use query::query_measured;
pub use scan::scan;
pub use transact_get_items::transact_get_items;
pub use transact_write_items::transact_write_items;
pub use update_item::update_item;
pub(crate) use update_table::remove_index;
pub use update_table::update_table;
pub use update_time_to_live::update_time_to_live;
pub use write_once::{read_write, write_once};

use std::fmt::Display;

use serde::Serialize;
use tailrace_api::items::{
    BatchGetItemRequest, BatchWriteItemRequest, DeleteItemRequest, GetItemRequest, ItemsAnswer, PutItemRequest,
    QueryRequest, ScanRequest, TransactGetItemsRequest, TransactWriteItemsRequest, UpdateItemRequest,
};
use tailrace_api::partiql::{BatchExecuteStatementRequest, ExecuteStatementRequest, ExecuteTransactionRequest};
use tailrace_api::streams::{
    DescribeStreamRequest, GetRecordsAnswer, GetRecordsRequest, GetShardIteratorRequest, ListStreamsRequest,
};
use tailrace_api::tables::{
    CreateTableRequest, DeleteTableRequest, DescribeEndpointsRequest, DescribeLimitsRequest, DescribeTableRequest,
    DescribeTimeToLiveRequest, ListTablesRequest, UpdateTableRequest, UpdateTimeToLiveRequest,
};
use tailrace_core::limits::ANSWER_INLINE_BYTES_MAX;
use tailrace_core::{ApiError, ErrorCode, Json, Service};

use crate::aside::aside;
use crate::caller::Caller;
use crate::db::Db;

/// Runs an operation: a JSON body in, a JSON body out. Order of checks: docs/spec/dynamodb-api.md 1.1.
///
/// # Errors
/// What the client is to read.
pub async fn execute(
    db: &Db,
    service: Service,
    operation: &str,
    body: &[u8],
    caller: &Caller<'_>,
) -> Result<Vec<u8>, ApiError> {
    let body = validated(db, service, operation, body)?;
    match service {
        Service::DynamoDb => dynamodb(db, operation, body, caller).await,
        Service::Streams => streams(db, operation, body, caller).await,
        // They are not the engine's.
        Service::Firehose => Err(service.api().unknown_operation(operation)),
    }
}

/// A body whose structure is valid: an object whose members are those of the model, have its types and keep its
/// constraints, values of attributes excepted. What `read` of a request takes.
///
/// # Errors
/// What is wrong with it.
pub fn validated(db: &Db, service: Service, operation: &str, body: &[u8]) -> Result<Json, ApiError> {
    let body = match body {
        [] => None,
        body => Some(Json::parse(body).map_err(|_| ApiError::bare(ErrorCode::SerializationException))?),
    };
    let api = service.api();
    if !api.validates(operation) {
        return Err(api.unknown_operation(operation));
    }
    let Some(mut body @ Json::Object(_)) = body else {
        return Err(ApiError::bare(ErrorCode::SerializationException));
    };
    api.validate(operation, &mut body, db.settings.wording).ok_or_else(|| api.unknown_operation(operation))??;
    Ok(body)
}

async fn dynamodb(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let reading = &db.reading();
    match operation {
        "GetItem" => write_items(get_item(db, GetItemRequest::read(body, reading)?, caller).await?).await,
        "PutItem" => write_items(put_item(db, PutItemRequest::read(body, reading)?, caller).await?).await,
        "UpdateItem" => write_items(update_item(db, UpdateItemRequest::read(body, reading)?, caller).await?).await,
        "DeleteItem" => write_items(delete_item(db, DeleteItemRequest::read(body, reading)?, caller).await?).await,
        // In a place of its own: the future of a request is as large as its largest operation, and is moved once.
        _ => Box::pin(other(db, operation, body, caller)).await,
    }
}

async fn other(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let reading = &db.reading();
    match operation {
        "BatchGetItem" => {
            write_items(batch_get_item(db, BatchGetItemRequest::read(body, reading)?, caller).await?).await
        }
        "BatchWriteItem" => write(&batch_write_item(db, BatchWriteItemRequest::read(body, reading)?, caller).await?),
        "TransactWriteItems" => {
            write(&transact_write_items(db, TransactWriteItemsRequest::read(body, reading)?, caller).await?)
        }
        "TransactGetItems" => {
            write_items(transact_get_items(db, TransactGetItemsRequest::read(body, reading)?, caller).await?).await
        }
        "Query" => write_items(query(db, QueryRequest::read(body, reading)?, caller).await?).await,
        "Scan" => write_items(scan(db, ScanRequest::read(body, reading)?, caller).await?).await,
        "ExecuteStatement" => {
            write_items(execute_statement(db, ExecuteStatementRequest::read(body, reading)?, caller).await?).await
        }
        "ExecuteTransaction" => {
            write_items(execute_transaction(db, ExecuteTransactionRequest::read(body, reading)?, caller).await?).await
        }
        "BatchExecuteStatement" => {
            let request = BatchExecuteStatementRequest::read(body, reading)?;
            write_items(batch_execute_statement(db, request, caller).await?).await
        }
        "CreateTable" => write(&create_table(db, CreateTableRequest::read(body, reading)?, caller).await?),
        "DescribeTable" => write(&describe_table(db, DescribeTableRequest::read(body, reading)?, caller).await?),
        "UpdateTable" => write(&update_table(db, UpdateTableRequest::read(body, reading)?, caller).await?),
        "DeleteTable" => write(&delete_table(db, DeleteTableRequest::read(body, reading)?, caller).await?),
        "UpdateTimeToLive" => {
            write(&update_time_to_live(db, UpdateTimeToLiveRequest::read(body, reading)?, caller).await?)
        }
        "DescribeTimeToLive" => {
            write(&describe_time_to_live(db, DescribeTimeToLiveRequest::read(body, reading)?, caller).await?)
        }
        "ListTables" => write(&list_tables(db, ListTablesRequest::read(body, reading)?, caller).await?),
        "DescribeLimits" => write(&describe_limits(db, DescribeLimitsRequest::read(body, reading)?, caller).await?),
        "DescribeEndpoints" => {
            write(&describe_endpoints(db, DescribeEndpointsRequest::read(body, reading)?, caller).await?)
        }
        _ => settings::execute(db, operation, body, caller).await,
    }
}

async fn streams(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let reading = &db.reading();
    match operation {
        "ListStreams" => write(&list_streams(db, ListStreamsRequest::read(body, reading)?, caller).await?),
        "DescribeStream" => write(&describe_stream(db, DescribeStreamRequest::read(body, reading)?, caller).await?),
        "GetShardIterator" => {
            write(&get_shard_iterator(db, GetShardIteratorRequest::read(body, reading)?, caller).await?)
        }
        "GetRecords" => write_records(get_records(db, GetRecordsRequest::read(body, reading)?, caller).await?).await,
        _ => Err(Service::Streams.api().unknown_operation(operation)),
    }
}

/// The body of an answer.
fn write(answer: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer).map_err(|e| unwritable(&e))
}

fn unwritable(error: &dyn Display) -> ApiError {
    ApiError::new(ErrorCode::InternalServerError, format!("the answer cannot be written: {error}"))
}

/// The body of an answer that may be large.
async fn write_items(answer: impl ItemsAnswer) -> Result<Vec<u8>, ApiError> {
    let short = answer.item_bytes() <= ANSWER_INLINE_BYTES_MAX;
    aside(short, move || write(&answer)).await
}

/// The body of a page of records.
async fn write_records(answer: GetRecordsAnswer) -> Result<Vec<u8>, ApiError> {
    let short = answer.json_bytes() <= ANSWER_INLINE_BYTES_MAX;
    aside(short, move || answer.to_json().map_err(|e| unwritable(&e))).await
}
