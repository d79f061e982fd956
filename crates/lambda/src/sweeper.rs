//! Work behind the end of a process.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Between two tries to start a thread where there are too many. Our reason: what leaves none is often what is to be ended, or ends itself.
const PAUSE: Duration = Duration::from_millis(50);

/// Does the work on a thread of its own, which may block for as long as it likes. Comes back when it is done; whoever does not wait
/// any more does not end it, unless it has not begun. The thread is the work's own: it may change its priority.
pub(crate) async fn run(work: impl FnOnce() + Send + 'static) {
    // A thread that does not start takes what it was to run with it.
    let work = Arc::new(Mutex::new(Some(work)));
    let mut has_failed = false;
    let is_done = loop {
        let (is_told, is_done) = oneshot::channel::<()>();
        let work = work.clone();
        let run = move || {
            let work = work.lock().take();
            work.into_iter().for_each(|work| work());
            drop(is_told);
        };
        match std::thread::Builder::new().name("function-sweeper".to_owned()).spawn(run) {
            Ok(_) => break is_done,
            Err(_) if has_failed => {}
            Err(error) => tracing::warn!(%error, "no thread to end what a function's process left behind; tried again"),
        }
        has_failed = true;
        tokio::time::sleep(PAUSE).await;
    };
    // Nobody sends.
    let _ = is_done.await;
}
