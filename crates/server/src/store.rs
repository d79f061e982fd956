//! The store of a data directory.

use std::path::Path;
use std::sync::Arc;

use tailrace_core::clock::Clock;
use tailrace_core::limits::STORE_AHEAD_OF_CLOCK_MAX;
use tailrace_core::rng::Rng;
use tailrace_store::{Engine, StoreError};
use tailrace_store_embedded::{CheckReport, EmbeddedEngine, Options, SetAsideError};

use crate::code::Code;
use crate::server::StartError;

/// A store that is open, and what its operator should know of it.
pub struct Opened {
    pub engine: Arc<dyn Engine>,
    pub warning: Option<String>,
}

/// Opens the store in `dir`: takes its lock, and recovers. When it cannot go on, it says so by `last_words` and ends the
/// process.
///
/// # Errors
/// The store's, by kind.
pub async fn open(
    dir: &Path,
    clock: Arc<dyn Clock>,
    rng: &dyn Rng,
    last_words: fn(&str),
) -> Result<Opened, StartError> {
    let mut fresh_uuid = [0; 16];
    rng.fill(&mut fresh_uuid);
    let mut options = Options::new(Arc::clone(&clock), fresh_uuid);
    options.fatal = Arc::new(move |error| {
        last_words(&format!(
            "tailrace: the store cannot go on and ends here, so that nothing is lost: {error} [{}]",
            Code::of_store(error)
        ));
        std::process::abort();
    });
    let dir = dir.to_owned();
    // Recovery reads files: not on a thread that others wait for.
    let opened = tokio::task::spawn_blocking(move || EmbeddedEngine::open(dir, options)).await;
    match opened {
        Ok(Ok(engine)) => {
            let ahead = engine.newest().since(clock.now());
            let warning = (ahead > STORE_AHEAD_OF_CLOCK_MAX).then(|| {
                format!(
                    "warning: the newest write of the data directory is {} s ahead of this machine's clock: until the \
                     clock has come that far, stream records have the time of that write",
                    ahead.as_secs()
                )
            });
            Ok(Opened { engine, warning })
        }
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(StartError::StoreThread(error.to_string())),
    }
}

/// Checks every byte of a data directory: what is wrong, one line for each fault, and whether a server uses it.
///
/// # Errors
/// The directory cannot be checked.
pub fn check_offline(dir: &Path) -> Result<CheckReport, StoreError> {
    tailrace_store_embedded::check(dir)
}

/// Sets aside a damaged piece of the log of a data directory that no server uses; says what is lost with it.
///
/// # Errors
/// There is no such damage, or acknowledged writes would be lost and `lose_writes` is not said.
pub fn set_aside_offline(dir: &Path, place: &str, lose_writes: bool) -> Result<String, SetAsideError> {
    tailrace_store_embedded::set_aside(dir, place, lose_writes)
}
