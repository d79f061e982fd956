//! Work that takes long is done away from the runtime's own threads, where other requests go on meanwhile.

use tailrace_core::{ApiError, ErrorCode};

/// Does the work here if it is short, else on a thread that may block.
///
/// # Errors
/// The work's, or that the server is stopping.
pub(crate) async fn aside<T: Send + 'static>(
    short: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if short {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ApiError::new(ErrorCode::InternalServerError, "the server is stopping")),
        },
    }
}
