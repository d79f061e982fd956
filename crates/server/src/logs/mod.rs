//! What functions wrote, kept below the data directory: bounded files that are rotated, one set a function.
//! Their form: docs/format.md.
//!
//! Invariants
//! - A function's files take at most about `KEPT_LOG_FILES_MAX` times `KEPT_LOG_FILE_BYTES_MAX`: the oldest goes for the newest.
//! - Nobody waits for the disk but the thread that writes: lines that it does not take in time are counted (see `queue`), and the
//!   loss is a line of its own.
//! - A reader sees whole lines, in the order in which they were written.
//!
//! What it does not do: it syncs nothing. A power cut may cost the last lines, never more than that.

mod files;
mod line;
mod queue;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use files::{LogFileError, Place, Selection, functions, read};
pub use line::{KeptLine, LogPage};

use crate::report::Event;
use queue::Queue;
use tailrace_lambda::LogLine;
use writer::Writer;

/// The directory of the logs in a data directory.
pub fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("function-logs")
}

/// Reads what is kept. A clone is the same.
#[derive(Clone)]
pub struct FunctionLogs {
    directory: Arc<Path>,
    growth: Arc<watch::Sender<Growth>>,
}

/// How often something was written, and whether nobody is to wait for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Growth {
    writes: u64,
    over: bool,
}

/// The way of lines into the files.
pub struct FunctionLogWriter {
    queue: Arc<Queue>,
    writing: JoinHandle<()>,
}

impl FunctionLogs {
    /// Starts the writer; `events` is told what goes wrong.
    pub fn open(directory: PathBuf, events: mpsc::Sender<Event>) -> (FunctionLogs, FunctionLogWriter) {
        let queue = Arc::new(Queue::default());
        let (directory, growth) = (Arc::from(directory), Arc::new(watch::Sender::default()));
        let logs = FunctionLogs { directory, growth };
        let (writer, grown) = (Writer::new(Arc::clone(&logs.directory), events), Arc::clone(&logs.growth));
        let lines = Arc::clone(&queue);
        let writing = tokio::task::spawn_blocking(move || write(writer, &lines, &grown));
        (logs, FunctionLogWriter { queue, writing })
    }

    /// A page of a function's lines; with `wait`, if there is none yet, the first that come within that time.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn page(&self, mut selection: Selection, wait: Option<Duration>) -> Result<LogPage, LogFileError> {
        let mut growth = self.growth.subscribe();
        let mut late = std::pin::pin!(tokio::time::sleep(wait.unwrap_or_default()));
        loop {
            let is_over = growth.borrow_and_update().over || wait.is_none();
            let (directory, asked) = (Arc::clone(&self.directory), selection.clone());
            let page = tokio::task::spawn_blocking(move || read(&directory, &asked)).await;
            let page = page.unwrap_or_else(|_| Err(LogFileError::ended_early()))?;
            if is_over || !page.lines.is_empty() || page.more || page.gap {
                return Ok(page);
            }
            selection.after = page.next;
            tokio::select! {
                () = &mut late => return Ok(page),
                _ = growth.changed() => {}
            }
        }
    }

    /// Lets nobody wait any more for lines that may come.
    pub fn end_waits(&self) {
        self.growth.send_modify(|growth| growth.over = true);
    }

    /// The functions that have lines here.
    pub async fn functions(&self) -> Vec<String> {
        let directory = Arc::clone(&self.directory);
        tokio::task::spawn_blocking(move || functions(&directory)).await.unwrap_or_default()
    }
}

impl FunctionLogWriter {
    /// Keeps a line, unless the writer has fallen far behind.
    pub fn keep(&self, line: &LogLine) {
        self.queue.add(line);
    }

    /// Waits until everything is written.
    pub async fn finish(mut self) {
        self.queue.end();
        let _ = (&mut self.writing).await;
    }
}

impl Drop for FunctionLogWriter {
    /// The thread ends, whatever became of whoever held this.
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// Writes what comes, until nothing more can.
fn write(mut writer: Writer, queue: &Queue, grown: &watch::Sender<Growth>) {
    while let Some(lines) = queue.take() {
        writer.write(&lines);
        grown.send_modify(|growth| growth.writes += 1);
    }
}

#[cfg(test)]
mod tests;
