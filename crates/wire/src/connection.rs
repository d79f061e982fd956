//! One client's connection as the sweeper sees it: what it is doing, and since when.
//!
//! Each read and write leaves a mark (two relaxed stores; the time is a counter of the sweeper's ticks, so no clock is
//! read and no timer is armed for a request). The sweeper looks all connections over once a tick and cuts those that
//! keep the server waiting for too long. While the server works on a request, nothing runs out.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use smallvec::SmallVec;
use tailrace_core::limits;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::settings::Settings;

/// Head and body of a short answer are put together before they are written, bytes: to send one piece costs the kernel less than
/// to gather two, and by more than it costs to copy them.
const ANSWER_COPIED_BYTES_MAX: usize = 2048;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// In the middle of a request's headers.
    Head = 0,
    /// Between two requests.
    Idle = 1,
    /// In the middle of a request's body.
    Body = 2,
    /// The server is working.
    Busy = 3,
    /// The answer is on its way out.
    Writing = 4,
    /// New: nothing has arrived yet.
    Fresh = 5,
}

/// The marks of a connection.
#[derive(Debug)]
pub struct Watch {
    ticks: Arc<AtomicU32>,
    phase: AtomicU8,
    since: AtomicU32,
    body_bytes: AtomicU64,
    leaving: AtomicBool,
    leave: Notify,
}

impl Watch {
    /// A new connection's marks. `ticks` counts the sweeper's rounds.
    pub fn new(ticks: Arc<AtomicU32>) -> Self {
        let since = AtomicU32::new(ticks.load(Relaxed));
        Self {
            ticks,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since,
            body_bytes: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    /// Asks the connection to close: at once if it is idle, otherwise behind the answer of its request.
    pub fn ask_to_leave(&self) {
        self.leaving.store(true, Relaxed);
        self.leave.notify_one();
    }

    /// Resolves once the connection is asked to close.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// For how many ticks nothing has been asked of the server. `None`: it has something to do, or is closing.
    pub fn idle_ticks(&self) -> Option<u32> {
        let idle = (self.is(Phase::Idle) || self.is(Phase::Fresh)) && !self.leaving.load(Relaxed);
        idle.then(|| self.waited())
    }

    /// The connection enters a phase.
    pub fn enter(&self, phase: Phase) {
        if phase == Phase::Body {
            self.body_bytes.store(0, Relaxed);
        }
        self.since.store(self.ticks.load(Relaxed), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    /// Bytes of the body have arrived.
    pub fn body_arrived(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn waited(&self) -> u32 {
        self.ticks.load(Relaxed).wrapping_sub(self.since.load(Relaxed))
    }

    /// Something has arrived.
    fn received(&self) {
        if self.is(Phase::Idle) {
            self.enter(Phase::Head);
        } else if self.is(Phase::Fresh) {
            // The time for the first head runs from the connection's start.
            self.phase.store(Phase::Head as u8, Relaxed);
        }
    }

    /// True if the connection has kept the server waiting for longer than `patience` allows.
    pub fn overdue(&self, patience: &Patience) -> bool {
        let allowed = match self.phase.load(Relaxed) {
            phase if phase == Phase::Head as u8 || phase == Phase::Fresh as u8 => patience.head,
            phase if phase == Phase::Idle as u8 => patience.idle,
            phase if phase == Phase::Body as u8 => {
                let earned_ms = self.body_bytes.load(Relaxed) * 1000 / limits::HTTP_BODY_BYTES_PER_S_MIN;
                patience.body.saturating_add(patience.ticks(Duration::from_millis(earned_ms)))
            }
            phase if phase == Phase::Writing as u8 => patience.write,
            _ => return false,
        };
        self.waited() > allowed
    }
}

/// How many ticks each phase may last.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    tick: Duration,
    head: u32,
    idle: u32,
    body: u32,
    write: u32,
}

impl Patience {
    /// The patience that the settings ask for.
    pub fn new(settings: &Settings) -> Self {
        let mut patience = Self { tick: settings.sweep_interval(), head: 0, idle: 0, body: 0, write: 0 };
        patience.head = patience.ticks(settings.head_limit);
        patience.idle = patience.ticks(settings.idle_limit);
        patience.body = patience.ticks(settings.body_limit);
        patience.write = patience.ticks(settings.write_limit);
        patience
    }

    fn ticks(&self, time: Duration) -> u32 {
        u32::try_from(time.as_nanos() / self.tick.as_nanos().max(1)).unwrap_or(u32::MAX / 2)
    }
}

/// A socket that leaves its marks.
pub struct WatchedIo {
    io: TokioIo<TcpStream>,
    watch: Arc<Watch>,
}

impl WatchedIo {
    /// Wraps a socket.
    pub fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { io: TokioIo::new(stream), watch }
    }

    fn wrote(&self, result: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        if result.is_ready() && self.watch.is(Phase::Writing) {
            self.watch.enter(Phase::Writing);
        }
        result
    }
}

impl Read for WatchedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if result.is_ready() {
            self.watch.received();
        }
        result
    }
}

impl Write for WatchedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // The layer above flushes here once it has nothing left to write: the answer is out.
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if result.is_ready() && self.watch.is(Phase::Writing) {
            self.watch.enter(Phase::Idle);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        let result = if length <= ANSWER_COPIED_BYTES_MAX {
            let mut whole = SmallVec::<[u8; ANSWER_COPIED_BYTES_MAX]>::new();
            bufs.iter().for_each(|buf| whole.extend_from_slice(buf));
            Pin::new(&mut self.io).poll_write(cx, &whole)
        } else {
            Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
        };
        self.wrote(result)
    }
}
