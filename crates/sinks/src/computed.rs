//! What only computes, where it does not hold up others.

use tailrace_engine::streams::record::StreamRecord;
use tokio::task::JoinError;

/// Most bytes that are worked on at once. Our reason: a millisecond or two. A thread that sinks have to themselves may take as long, and to hand
/// work of less to another one costs more than it.
const INLINE_BYTES_MAX: usize = 512 << 10;

/// What `make` makes of so many bytes: at once if they are few, otherwise on a thread where it may take long. The error: it came to no end.
pub async fn computed<T: Send + 'static>(
    bytes: usize,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match bytes <= INLINE_BYTES_MAX {
        true => Ok(make()),
        false => tokio::task::spawn_blocking(make).await,
    }
}

/// The bytes of records as they are stored: their JSON has some twice as many.
pub fn stored_bytes<'a>(records: impl IntoIterator<Item = &'a StreamRecord>) -> usize {
    let of = |record: &StreamRecord| {
        let images = [&record.old, &record.new].map(|image| image.as_ref().map_or(0, bytes::Bytes::len));
        record.meta.keys.len() + images[0] + images[1]
    };
    records.into_iter().map(of).sum()
}
