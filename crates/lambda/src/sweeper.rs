//! Work behind the end of a process.

use tokio::sync::oneshot;

/// Does the work on a thread of its own, which may block for as long as it likes. Comes back when it is done; whoever does not wait
/// any more does not end it. The thread is the work's own: it may change its priority.
pub(crate) async fn run(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = oneshot::channel::<()>();
    let work = move || {
        work();
        drop(done);
    };
    let thread = std::thread::Builder::new().name("function-sweeper".to_owned()).spawn(work);
    if let Err(error) = thread {
        // What was to be done is gone with the thread's start; the next start of the server looks again.
        tracing::warn!(%error, "cannot look for what a function's process left behind");
    }
    // Either way: nobody sends.
    let _ = is_done.await;
}
