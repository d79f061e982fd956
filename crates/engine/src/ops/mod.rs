//! The operations, one file each: request -> run -> answer.
//!
//! A run is a function that is named like the operation. It takes a typed request of `tailrace_api`, applies the operation's
//! own rules in the order of the specification and returns a typed answer; whoever is inside calls it. [`execute`] is for the
//! wire: it validates a body by the service's model, reads the request, runs it and writes the answer.

mod account;
mod batch_get_item;
mod batch_write_item;
mod create_table;
mod delete_item;
mod delete_table;
mod describe_stream;
mod describe_table;
mod description;
mod get_item;
mod get_records;
mod get_shard_iterator;
mod list_streams;
mod list_tables;
mod put_item;
mod query;
mod scan;
mod table_rules;
#[cfg(test)]
mod table_tests;
mod update_item;
mod update_table;
mod write_once;

#[cfg(test)]
mod item_tests;

pub use batch_get_item::batch_get_item;
pub use batch_write_item::batch_write_item;
pub use delete_item::delete_item;
pub use get_item::get_item;
pub use put_item::put_item;
pub use query::query;
pub use scan::scan;
pub use update_item::update_item;
pub use write_once::{read_write, write_once};

use serde::Serialize;
use tailrace_api::items::{
    BatchGetItemRequest, BatchWriteItemRequest, DeleteItemRequest, GetItemRequest, ItemsAnswer, PutItemRequest,
    QueryRequest, ScanRequest, UpdateItemRequest,
};
use tailrace_core::limits::ANSWER_INLINE_BYTES_MAX;
use tailrace_core::{ApiError, ErrorCode, Json, Service};

use crate::aside::aside;
use crate::caller::Caller;
use crate::db::Db;

/// A request whose structure is valid.
pub struct Request<'a> {
    /// The body: an object whose members are those of the model, have its types and keep its constraints, values of
    /// attributes excepted.
    pub body: Json,
    /// Who asks.
    pub caller: &'a Caller<'a>,
}

impl Request<'_> {
    /// A string member.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Json::as_str)
    }

    /// A boolean member.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.body.get(name).and_then(Json::as_lenient_bool)
    }

    /// An integer member of 32 bits.
    pub fn integer(&self, name: &str) -> Option<i32> {
        self.body.get(name).and_then(Json::as_saturated_i32)
    }

    /// The name of the table that the member `TableName` means.
    ///
    /// # Errors
    /// ValidationException for a foreign ARN.
    pub fn table_name(&self, db: &Db) -> Result<String, ApiError> {
        let text = self.text("TableName").unwrap_or_default();
        db.reading().table_name(text).map(str::to_owned)
    }
}

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
        return Err(unknown_operation());
    }
    let Some(mut body @ Json::Object(_)) = body else {
        return Err(ApiError::bare(ErrorCode::SerializationException));
    };
    api.validate(operation, &mut body, db.settings.wording).ok_or_else(unknown_operation)??;
    Ok(body)
}

async fn dynamodb(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let reading = &db.reading();
    match operation {
        "GetItem" => write_items(get_item(db, GetItemRequest::read(body, reading)?, caller).await?).await,
        "PutItem" => write_items(put_item(db, PutItemRequest::read(body, reading)?, caller).await?).await,
        "UpdateItem" => write_items(update_item(db, UpdateItemRequest::read(body, reading)?, caller).await?).await,
        "DeleteItem" => write_items(delete_item(db, DeleteItemRequest::read(body, reading)?, caller).await?).await,
        "BatchGetItem" => {
            write_items(batch_get_item(db, BatchGetItemRequest::read(body, reading)?, caller).await?).await
        }
        "BatchWriteItem" => write(&batch_write_item(db, BatchWriteItemRequest::read(body, reading)?, caller).await?),
        "Query" => write_items(query(db, QueryRequest::read(body, reading)?, caller).await?).await,
        "Scan" => write_items(scan(db, ScanRequest::read(body, reading)?, caller).await?).await,
        "CreateTable" => write(&create_table::create_table(db, Request { body, caller }).await?),
        "DescribeTable" => write(&describe_table::describe_table(db, Request { body, caller }).await?),
        "UpdateTable" => write(&update_table::update_table(db, Request { body, caller }).await?),
        "DeleteTable" => write(&delete_table::delete_table(db, Request { body, caller }).await?),
        "ListTables" => write(&list_tables::list_tables(db, Request { body, caller }).await?),
        "DescribeLimits" => write(&account::describe_limits()),
        "DescribeEndpoints" => write(&account::describe_endpoints(db, &Request { body, caller })),
        _ => Err(unknown_operation()),
    }
}

async fn streams(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let request = Request { body, caller };
    match operation {
        "ListStreams" => write(&list_streams::list_streams(db, request).await?),
        "DescribeStream" => write(&describe_stream::describe_stream(db, request).await?),
        "GetShardIterator" => write(&get_shard_iterator::get_shard_iterator(db, request).await?),
        "GetRecords" => get_records::get_records(db, request).await,
        _ => Err(unknown_operation()),
    }
}

fn unknown_operation() -> ApiError {
    ApiError::bare(ErrorCode::UnknownOperationException)
}

/// The body of an answer.
fn write(answer: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer)
        .map_err(|e| ApiError::new(ErrorCode::InternalServerError, format!("the answer cannot be written: {e}")))
}

/// The body of an answer that may be large.
async fn write_items(answer: impl ItemsAnswer) -> Result<Vec<u8>, ApiError> {
    let short = answer.item_bytes() <= ANSWER_INLINE_BYTES_MAX;
    aside(short, move || write(&answer)).await
}
