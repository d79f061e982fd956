//! What only computes, where it does not hold up others.

/// What `make` makes: at once if it is short, otherwise on a thread where it may take long. The error: it came to no end.
pub async fn computed<T: Send + 'static>(
    is_short: bool,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    match is_short {
        true => Ok(make()),
        false => tokio::task::spawn_blocking(make).await,
    }
}
