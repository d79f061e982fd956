//! The operations, one file each, and the way from a body to an answer.
//!
//! A file has one function, named like the operation: it takes the [`Request`] whose structure is already validated, reads
//! its members, applies the operation's own rules in the order of the specification, and returns a `Serialize` output.

mod account;
mod batch_get_item;
mod batch_write_item;
mod consumed_capacity;
mod create_table;
mod delete_item;
mod delete_table;
mod describe_stream;
mod describe_table;
mod description;
mod exclusive_start_key;
mod expression_parameters;
mod get_item;
mod get_records;
mod get_shard_iterator;
mod item_write;
mod legacy_parameters;
mod list_streams;
mod list_tables;
mod page_read;
mod put_item;
mod query;
mod scan;
mod shown;
mod stored_json;
mod table_rules;
#[cfg(test)]
mod table_tests;
mod update_item;
mod update_table;
mod words;
mod write_request;

#[cfg(test)]
mod item_tests;

use serde::Serialize;
use tailrace_core::model;
use tailrace_core::{ApiError, ErrorCode, Json};

use crate::db::{Db, RequestContext, Service};

/// A request whose structure is valid.
pub struct Request<'a> {
    /// The body: an object whose members are those of the model, have its types and keep its constraints, values of
    /// attributes excepted.
    pub body: Json,
    /// What is known of the request besides its body.
    pub context: &'a RequestContext,
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
        crate::names::table_name(&db.settings, text).map(str::to_owned)
    }
}

/// Runs an operation. Order of checks: docs/spec/dynamodb-api.md 1.1.
pub(crate) async fn execute(
    db: &Db,
    service: Service,
    operation: &str,
    body: &[u8],
    context: &RequestContext,
) -> Result<Vec<u8>, ApiError> {
    let body = match body {
        [] => None,
        body => Some(Json::parse(body).map_err(|_| ApiError::bare(ErrorCode::SerializationException))?),
    };
    let api = match service {
        Service::DynamoDb => model::dynamodb(),
        Service::Streams => model::streams(),
    };
    let unknown = || ApiError::bare(ErrorCode::UnknownOperationException);
    if !api.validates(operation) {
        return Err(unknown());
    }
    let mut body = match body {
        Some(body @ Json::Object(_)) => body,
        _ => return Err(ApiError::bare(ErrorCode::SerializationException)),
    };
    api.validate(operation, &mut body, db.settings.wording).ok_or_else(unknown)??;
    let request = Request { body, context };
    match (service, operation) {
        (Service::DynamoDb, "PutItem") => answer(&put_item::put_item(db, request).await?),
        (Service::DynamoDb, "GetItem") => answer(&get_item::get_item(db, request).await?),
        (Service::DynamoDb, "UpdateItem") => answer(&update_item::update_item(db, request).await?),
        (Service::DynamoDb, "DeleteItem") => answer(&delete_item::delete_item(db, request).await?),
        (Service::DynamoDb, "BatchGetItem") => answer(&batch_get_item::batch_get_item(db, request).await?),
        (Service::DynamoDb, "BatchWriteItem") => answer(&batch_write_item::batch_write_item(db, request).await?),
        (Service::DynamoDb, "Query") => answer(&query::query(db, request).await?),
        (Service::DynamoDb, "Scan") => answer(&scan::scan(db, request).await?),
        (Service::DynamoDb, "CreateTable") => answer(&create_table::create_table(db, request).await?),
        (Service::DynamoDb, "DescribeTable") => answer(&describe_table::describe_table(db, request).await?),
        (Service::DynamoDb, "UpdateTable") => answer(&update_table::update_table(db, request).await?),
        (Service::DynamoDb, "DeleteTable") => answer(&delete_table::delete_table(db, request).await?),
        (Service::DynamoDb, "ListTables") => answer(&list_tables::list_tables(db, request).await?),
        (Service::DynamoDb, "DescribeLimits") => answer(&account::describe_limits()),
        (Service::DynamoDb, "DescribeEndpoints") => answer(&account::describe_endpoints(db, &request)),
        (Service::Streams, "ListStreams") => answer(&list_streams::list_streams(db, request).await?),
        (Service::Streams, "DescribeStream") => answer(&describe_stream::describe_stream(db, request).await?),
        (Service::Streams, "GetShardIterator") => answer(&get_shard_iterator::get_shard_iterator(db, request).await?),
        (Service::Streams, "GetRecords") => get_records::get_records(db, request).await,
        _ => Err(unknown()),
    }
}

/// The body of an answer.
pub(crate) fn answer(output: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(output)
        .map_err(|e| ApiError::new(ErrorCode::InternalServerError, format!("the answer cannot be written: {e}")))
}
