//! The store of a data directory.

use std::path::Path;
use std::sync::Arc;

use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_store::{EmbeddedEngine, Engine, Options};

/// Opens the store in `dir`: takes its lock, and recovers.
///
/// # Errors
/// One line for the operator.
pub async fn open(dir: &Path, clock: Arc<dyn Clock>, rng: &dyn Rng) -> Result<Arc<dyn Engine>, String> {
    let mut fresh_uuid = [0; 16];
    rng.fill(&mut fresh_uuid);
    let options = Options::new(clock, fresh_uuid);
    let dir = dir.to_owned();
    // Recovery reads files: not on a thread that others wait for.
    let opened = tokio::task::spawn_blocking(move || EmbeddedEngine::open(dir, options)).await;
    match opened {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(format!("the store did not open: {error}")),
    }
}

/// Checks every byte of a data directory that no server uses: what is wrong, one line for each fault.
///
/// # Errors
/// The directory cannot be checked.
pub fn check_offline(dir: &Path) -> Result<Vec<String>, String> {
    tailrace_store::check(dir).map_err(|error| error.to_string())
}
