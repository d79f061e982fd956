//! A write that is made once, whatever happens in between: it has an idempotency mark.

use tailrace_api::items::WriteRequest;
use tailrace_core::{ApiError, ErrorCode, Service};

use super::batch_write_item::write_batch;
use super::delete_item::delete;
use super::put_item::put;
use super::update_item::update;
use crate::Caller;
use crate::db::Db;
use crate::items::idempotency::IdempotencyMark;

/// Reads a request of one of the operations that write items from its JSON.
///
/// # Errors
/// What is wrong with the request itself; the operation is none of them.
pub fn read_write(db: &Db, operation: &str, body: &[u8]) -> Result<WriteRequest, ApiError> {
    let unknown = || ApiError::bare(ErrorCode::UnknownOperationException);
    let body = super::validated(db, Service::DynamoDb, operation, body)?;
    WriteRequest::read(operation, body, &db.reading()).ok_or_else(unknown)?
}

/// Makes a write, unless its mark says that it was made or refused before: then that is answered. A batch is made item by item,
/// and one that was cut off goes on where it was.
///
/// # Errors
/// Why it is refused. With a condition that does not hold, and the like, that is decided for good; a request that cannot be
/// tried (there is no such table) and a failure of the store leave no mark.
pub async fn write_once(
    db: &Db,
    request: &WriteRequest,
    mark: &IdempotencyMark,
    caller: &Caller<'_>,
) -> Result<(), ApiError> {
    let mark = Some(mark);
    match request {
        WriteRequest::Put(request) => put(db, request, mark, caller).await.map(|_| ()),
        WriteRequest::Update(request) => update(db, request, mark, caller).await.map(|_| ()),
        WriteRequest::Delete(request) => delete(db, request, mark, caller).await.map(|_| ()),
        WriteRequest::Batch(request) => write_batch(db, request, mark, caller).await.map(|_| ()),
    }
}
