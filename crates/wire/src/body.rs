//! Reads a request's body: without a copy when it arrives in one piece, and within the server's budget when it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tailrace_core::limits;

use crate::connection::{Phase, Watch};

/// Why there is no body to work on.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than a request may be.
    TooLarge,
    /// Other bodies fill the server's memory for them.
    NoRoom,
    /// Bad framing, or the client went away.
    Broken,
}

/// The bytes that all bodies in pieces, or all large answers, may take together.
#[derive(Debug)]
pub struct BodyBudget {
    used: AtomicUsize,
    max: usize,
}

impl BodyBudget {
    /// A budget of `max` bytes.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    /// An answer's bytes, which keep their share of the budget until they are written or given up.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, BodyError> {
        let mut share = Share { budget: Arc::clone(self), bytes: 0 };
        share.grow(bytes.len())?;
        Ok(Bytes::from_owner(Held { bytes, _share: share }))
    }
}

/// Bytes with their share of a budget.
struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A share of the budget; given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: Arc<BodyBudget>,
    bytes: usize,
}

impl Share {
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.budget.max { Err(BodyError::NoRoom) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Reads the body. The share belongs to the bytes: keep it for as long as them.
///
/// # Errors
/// There is no whole body of allowed size. One that is too large was read off the connection, within bounds, so that
/// the client gets to see the answer; but not if the client asked first (`expects_continue`): it does not send it then.
pub async fn read(
    mut body: Incoming,
    expects_continue: bool,
    watch: &Watch,
    budget: &Arc<BodyBudget>,
) -> Result<(Bytes, Share), BodyError> {
    let mut share = Share { budget: Arc::clone(budget), bytes: 0 };
    if body.is_end_stream() {
        return Ok((Bytes::new(), share));
    }
    watch.enter(Phase::Body);
    let declared = body.size_hint().lower();
    if declared > limits::REQUEST_BODY_BYTES_MAX as u64 {
        if !expects_continue {
            drain(body, watch, declared).await;
        }
        return Err(BodyError::TooLarge);
    }
    let Some(first) = next_data(&mut body, watch).await? else { return Ok((Bytes::new(), share)) };
    if body.is_end_stream() {
        return Ok((first, share));
    }
    let mut whole = BytesMut::with_capacity((declared as usize).clamp(first.len(), 1024 * 1024));
    share.grow(first.len())?;
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(data) = next_data(&mut body, watch).await? {
        if whole.len() + data.len() > limits::REQUEST_BODY_BYTES_MAX {
            drain(body, watch, 0).await;
            return Err(BodyError::TooLarge);
        }
        share.grow(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), share))
}

async fn next_data(body: &mut Incoming, watch: &Watch) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        // Trailers are no data.
        if let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() {
            watch.body_arrived(data.len());
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on and throws away, so that a client that writes first and reads then sees its answer.
async fn drain(mut body: Incoming, watch: &Watch, declared: u64) {
    let limit = limits::HTTP_BODY_BYTES_DRAINED_MAX;
    if declared > limit as u64 {
        return;
    }
    let mut drained = 0;
    while let Ok(Some(data)) = next_data(&mut body, watch).await {
        drained += data.len();
        if drained > limit {
            return;
        }
    }
}
