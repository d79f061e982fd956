//! A request of any of the operations that write items.

use tailrace_core::{ApiError, Json};

use super::{BatchWriteItemRequest, DeleteItemRequest, PutItemRequest, UpdateItemRequest};
use crate::Reading;

/// A request that writes items.
#[derive(Clone, Debug)]
pub enum WriteRequest {
    /// PutItem.
    Put(PutItemRequest),
    /// UpdateItem.
    Update(UpdateItemRequest),
    /// DeleteItem.
    Delete(DeleteItemRequest),
    /// BatchWriteItem.
    Batch(BatchWriteItemRequest),
}

impl WriteRequest {
    /// Reads the request of an operation, whose body's structure is valid. `None`: it is none of the four.
    pub fn read(operation: &str, body: Json, reading: &Reading<'_>) -> Option<Result<WriteRequest, ApiError>> {
        Some(match operation {
            "PutItem" => PutItemRequest::read(body, reading).map(WriteRequest::Put),
            "UpdateItem" => UpdateItemRequest::read(body, reading).map(WriteRequest::Update),
            "DeleteItem" => DeleteItemRequest::read(body, reading).map(WriteRequest::Delete),
            "BatchWriteItem" => BatchWriteItemRequest::read(body, reading).map(WriteRequest::Batch),
            _ => return None,
        })
    }
}
