//! Reader threads: a few threads for reads that are long or wait for the disk.
//!
//! Invariants: at most `limits::READS_QUEUED_MAX` reads wait for a thread; whoever wants more waits to be let in. A read
//! whose caller is gone is not begun. Whatever was let in before the end is answered.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tailrace_core::limits;
use tailrace_store::StoreError;
use tokio::sync::{Semaphore, oneshot};

type Read = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    reads: VecDeque<Read>,
    closed: bool,
}

pub(crate) struct Readers {
    queue: Mutex<Queue>,
    filled: Condvar,
    room: Arc<Semaphore>,
}

impl Readers {
    pub fn new() -> Readers {
        let room = Arc::new(Semaphore::new(limits::READS_QUEUED_MAX));
        Readers { queue: Mutex::default(), filled: Condvar::new(), room }
    }

    /// Runs `read` on a reader thread.
    pub async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        let room = self.room.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (done, answer) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(StoreError::Closed);
            }
            queue.reads.push_back(Box::new(move || {
                drop(room);
                if !done.is_closed() {
                    let _gone = done.send(read());
                }
            }));
        }
        self.filled.notify_one();
        answer.await.map_err(|_| StoreError::Io("a read ended early".to_owned()))
    }

    /// What a reader thread does until the end.
    pub fn serve(&self) {
        loop {
            let read = {
                let mut queue = self.queue.lock();
                loop {
                    if let Some(read) = queue.reads.pop_front() {
                        break read;
                    }
                    if queue.closed {
                        return;
                    }
                    self.filled.wait(&mut queue);
                }
            };
            // Whoever waits for it hears of it; the thread goes on to the next one.
            if catch_unwind(AssertUnwindSafe(read)).is_err() {
                tracing::error!("a read ended with a panic");
            }
        }
    }

    /// Lets nothing in any more. The threads end when they are through with what is queued.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_is_an_error_for_its_caller_and_the_thread_reads_on() {
        let readers = Arc::new(Readers::new());
        let thread = std::thread::spawn({
            let readers = readers.clone();
            move || readers.serve()
        });
        let failed = readers.run(|| -> u8 { panic!("planted") }).await;
        assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
        assert_eq!(readers.run(|| 7).await.unwrap(), 7);
        readers.close();
        thread.join().unwrap();
    }
}
