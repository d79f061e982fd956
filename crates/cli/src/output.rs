//! The ways out of this process: stdout and stderr, each written by a thread of its own.
//!
//! Invariants
//! - Nobody but these threads writes to either descriptor, and nobody waits for them without a bound, except a command
//!   whose only work is to show its data.
//! - What waits to be written is bounded. What comes while there is no room is dropped and counted; from then on lines are
//!   dropped until all that waited is written, so that the loss is one gap, and then one line on stderr tells of it.
//! - Lines stay in their order. Where both descriptors are one terminal or one file, they share a thread, and stay in the
//!   order of both.
//!
//! What it does not do: it knows nothing of what the lines say.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tailrace_core::limits::{OUTPUT_QUEUED_BYTES_MAX, OUTPUT_WAIT};
use tokio::sync::Notify;

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Data.
    Stdout,
    /// Talk.
    Stderr,
}

/// What a line costs beside its text, in the bound of what waits.
const LINE_COST_BYTES: usize = 64;

/// Whether a terminal shows what goes out there.
pub fn is_terminal(out: Out) -> bool {
    match out {
        Out::Stdout => io::stdout().is_terminal(),
        Out::Stderr => io::stderr().is_terminal(),
    }
}

/// Puts a line behind the others if there is room; never waits.
pub fn offer(out: Out, line: String) {
    writer(out).offer(out, line);
}

/// Puts a line behind the others; waits for room, but not long, and not while lines are being dropped.
pub async fn send(out: Out, line: String) {
    writer(out).send(out, line).await;
}

/// Puts a line behind the others whether there is room or not, for what must not get lost.
pub fn force(out: Out, line: String) {
    writer(out).push(Line { out, text: line, written: None });
}

/// Writes a line, and waits until it is written: as long as the reader takes.
///
/// # Errors
/// The system's.
pub fn write(out: Out, line: String) -> io::Result<()> {
    let (written, result) = mpsc::channel();
    writer(out).push(Line { out, text: line, written: Some(written) });
    blocking(move || result.recv().expect("invariant: the thread that writes never ends"))
}

/// Does what waits for a disk or a thread; of the tokio runtime the other tasks of this thread go to another one.
pub fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(wait)
        }
        _ => wait(),
    }
}

/// Waits until everything is written, but no longer than this for either way out.
pub fn flush(limit: Duration) {
    let both = writers();
    both.stderr.flush(limit);
    if !Arc::ptr_eq(&both.stderr, &both.stdout) {
        both.stdout.flush(limit);
    }
}

struct Writers {
    stdout: Arc<Writer>,
    stderr: Arc<Writer>,
}

fn writers() -> &'static Writers {
    static WRITERS: OnceLock<Writers> = OnceLock::new();
    WRITERS.get_or_init(|| {
        let stderr = Writer::start("stderr", |loss| write_all(Out::Stderr, &loss));
        if is_one_file() {
            return Writers { stdout: Arc::clone(&stderr), stderr };
        }
        let other = Arc::clone(&stderr);
        // Behind what waits there: this thread waits for stdout alone.
        let stdout = Writer::start("stdout", move |loss| {
            other.offer(Out::Stderr, loss);
            Ok(())
        });
        Writers { stdout, stderr }
    })
}

fn writer(out: Out) -> &'static Writer {
    match out {
        Out::Stdout => &writers().stdout,
        Out::Stderr => &writers().stderr,
    }
}

fn is_one_file() -> bool {
    match (rustix::fs::fstat(descriptor(Out::Stdout)), rustix::fs::fstat(descriptor(Out::Stderr))) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

fn descriptor(out: Out) -> BorrowedFd<'static> {
    match out {
        Out::Stdout => rustix::stdio::stdout(),
        Out::Stderr => rustix::stdio::stderr(),
    }
}

/// A line on its way.
struct Line {
    out: Out,
    text: String,
    /// Told how it went, if somebody waits for that.
    written: Option<mpsc::Sender<io::Result<()>>>,
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + LINE_COST_BYTES
    }
}

/// The lines that wait for one thread.
#[derive(Default)]
struct Writer {
    queue: Mutex<Queue>,
    /// The queue is no longer empty, or lines were dropped.
    work: Condvar,
    /// Everything is written.
    done: Condvar,
    /// There may be room again.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that were dropped and not told of; while there are any, others join them.
    dropped: u64,
    /// A line is taken out and not yet written.
    writing: bool,
}

impl Queue {
    /// A line that is longer than the bound passes when nothing else waits.
    fn has_room(&self, cost: usize) -> bool {
        self.lines.is_empty() || self.bytes + cost <= OUTPUT_QUEUED_BYTES_MAX
    }
}

impl Writer {
    /// With the way that a loss is told.
    fn start(name: &str, tell: impl Fn(String) -> io::Result<()> + Send + 'static) -> Arc<Writer> {
        let writer = Arc::new(Writer::default());
        let own = Arc::clone(&writer);
        // It ends with the process: a write that blocks cannot be broken off.
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || own.run(write_all, tell))
            .expect("invariant: a process that has just started may have a thread");
        writer
    }

    fn offer(&self, out: Out, text: String) {
        let line = Line { out, text, written: None };
        let mut queue = self.queue.lock();
        if queue.dropped > 0 || !queue.has_room(line.cost()) {
            queue.dropped += 1;
            return;
        }
        self.enqueue(&mut queue, line);
    }

    async fn send(&self, out: Out, text: String) {
        let mut line = Line { out, text, written: None };
        let waited = tokio::time::timeout(OUTPUT_WAIT, async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                room.as_mut().enable();
                match self.try_send(line) {
                    None => return,
                    Some(back) => line = back,
                }
                room.await;
            }
        });
        if waited.await.is_err() {
            self.queue.lock().dropped += 1;
            self.work.notify_one();
        }
    }

    /// Answers the line if it has to wait for room.
    fn try_send(&self, line: Line) -> Option<Line> {
        let mut queue = self.queue.lock();
        if queue.dropped > 0 {
            queue.dropped += 1;
        } else if queue.has_room(line.cost()) {
            self.enqueue(&mut queue, line);
        } else {
            return Some(line);
        }
        None
    }

    fn push(&self, line: Line) {
        self.enqueue(&mut self.queue.lock(), line);
    }

    fn enqueue(&self, queue: &mut Queue, line: Line) {
        queue.bytes += line.cost();
        queue.lines.push_back(line);
        self.work.notify_one();
    }

    fn flush(&self, limit: Duration) {
        let is_busy = |queue: &mut Queue| queue.writing || !queue.lines.is_empty() || queue.dropped > 0;
        // Whether it is written or late: there is no more to be done.
        let _ = self.done.wait_while_for(&mut self.queue.lock(), is_busy, limit);
    }

    /// Writes, for ever.
    fn run(&self, write: impl Fn(Out, &str) -> io::Result<()>, tell: impl Fn(String) -> io::Result<()>) {
        // Lines that could not be written, and those that were dropped, until someone could be told.
        let mut lost = 0;
        loop {
            let mut is_open = true;
            match self.next() {
                Next::Dropped(count) => lost += count,
                Next::Line(line) => {
                    let wrote = write(line.out, &line.text);
                    is_open = wrote.is_ok();
                    match line.written {
                        // Nobody waits any more: it is written all the same.
                        Some(written) => drop(written.send(wrote)),
                        None => lost += u64::from(!is_open),
                    }
                }
            }
            if lost > 0 && is_open && tell(loss(lost)).is_ok() {
                lost = 0;
            }
            self.written();
        }
    }

    /// The next thing to write; waits for it.
    fn next(&self) -> Next {
        let mut queue = self.queue.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.cost();
                queue.writing = true;
                return Next::Line(line);
            }
            if queue.dropped > 0 {
                queue.writing = true;
                return Next::Dropped(std::mem::take(&mut queue.dropped));
            }
            self.work.wait(&mut queue);
        }
    }

    /// What was taken out is written.
    fn written(&self) {
        let mut queue = self.queue.lock();
        queue.writing = false;
        if queue.lines.is_empty() {
            self.done.notify_all();
        }
        drop(queue);
        self.room.notify_waiters();
    }
}

enum Next {
    Line(Line),
    /// All that waited is written, and behind it so many were dropped.
    Dropped(u64),
}

fn loss(lines: u64) -> String {
    let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
    format!("{lines} of output were dropped: nobody read them in time")
}

/// Writes a line, in one write if the system takes it so: lines of several processes then never mix.
fn write_all(out: Out, text: &str) -> io::Result<()> {
    let line = format!("{text}\n");
    let (descriptor, mut rest) = (descriptor(out), line.as_bytes());
    while !rest.is_empty() {
        match rustix::io::write(descriptor, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => rest = &rest[taken..],
            Err(Errno::INTR) => {}
            // Another process with the same pipe made it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
