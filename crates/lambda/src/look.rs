//! The looks at a function's code: when one is due, and what it has found.
//!
//! Code that has changed is a change, whoever wrote it. A data file beside it (settings, templates of texts, lists) may be the
//! function's own work, and a function that writes one with each invocation must not be started anew for it, nor tried again at
//! once. So a data file counts if it was written while no invocation of the function was under way. One that was written
//! meanwhile counts once: somebody may just have mended what fails. One that is new does not count: it may be of a sink, or of
//! whatever else writes there. And none counts sooner than some time after the last that did.
//!
//! Invariant: a disk that does not answer holds up no invocation for longer than a look is waited for, and one thread a function.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tokio::sync::Semaphore;

use crate::code::{CodeStamp, DataFile};

/// Behind the end of an invocation, what is written is still its own: buffers are flushed, and a file's time is that of a tick.
const SETTLED: Duration = Duration::from_millis(50);

/// What is known of a function over all its configurations and all states of its code.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    /// When the code was looked at.
    looked_ns: AtomicU64,
    is_looking: AtomicBool,
    /// Invocations under way.
    running: AtomicUsize,
    /// When the last one ended.
    ended_ms: AtomicU64,
    data: Mutex<Data>,
}

/// The data files beside the code.
#[derive(Default)]
struct Data {
    /// As they were when they were noted, by the hash of their path: no more than a look goes through.
    files: HashMap<u64, Noted>,
    /// When a change counted.
    counted_ns: Option<u64>,
}

#[derive(Clone, Copy)]
struct Noted {
    written_ms: EpochMs,
    /// The function writes it.
    is_own: bool,
}

/// An invocation is under way until this goes.
pub(crate) struct Running(Arc<Watch>);

/// A look is under way until this goes.
pub(crate) struct Looking(Arc<Watch>);

impl Looking {
    /// Looks, with one of the turns of all; `None`: it takes too long.
    pub(crate) async fn look(
        self,
        turns: &Semaphore,
        look: impl FnOnce() -> (CodeStamp, Vec<DataFile>) + Send + 'static,
    ) -> Option<(CodeStamp, Vec<DataFile>)> {
        // Fifty functions look at once, and each look by a thread of its own would push the database's aside.
        let looked = async {
            let _turn = turns.acquire().await.ok()?;
            let look = move || {
                let seen = look();
                drop(self);
                seen
            };
            tokio::task::spawn_blocking(look).await.ok()
        };
        tokio::time::timeout(limits::FUNCTION_CODE_LOOK_WAIT, looked).await.ok()?
    }
}

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Watch> {
        Arc::new(Watch {
            looked_ns: AtomicU64::new(clock.monotonic_ns()),
            clock,
            is_looking: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            ended_ms: AtomicU64::new(0),
            data: Mutex::default(),
        })
    }

    /// An invocation begins.
    pub(crate) fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self.clone())
    }

    /// Begins a look, if the last one is long enough ago and none is under way. Every invocation asks.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Looking> {
        let (now_ns, looked_ns) = (self.clock.monotonic_ns(), self.looked_ns.load(Ordering::SeqCst));
        let is_due = now_ns.saturating_sub(looked_ns) >= limits::FUNCTION_CODE_LOOK.as_nanos() as u64
            && self.looked_ns.compare_exchange(looked_ns, now_ns, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        (is_due && !self.is_looking.swap(true, Ordering::SeqCst)).then(|| Looking(self.clone()))
    }

    /// The function begins with these data files.
    pub(crate) fn begin_with(&self, files: &[DataFile]) {
        let mut data = self.data.lock();
        let own = std::mem::take(&mut data.files);
        let is_own = |name: &u64| own.get(name).is_some_and(|noted: &Noted| noted.is_own);
        let noted = files.iter().map(|file| (hash(file), file.written_ms));
        data.files = noted.map(|(name, written_ms)| (name, Noted { written_ms, is_own: is_own(&name) })).collect();
    }

    /// The data file that was written since it was noted, if one counts now.
    pub(crate) fn written<'a>(&self, files: &'a [DataFile]) -> Option<&'a DataFile> {
        let ended_ms = EpochMs(self.ended_ms.load(Ordering::SeqCst)).plus(SETTLED);
        let is_running = self.running.load(Ordering::SeqCst) > 0;
        let now_ns = self.clock.monotonic_ns();
        let mut data = self.data.lock();
        let pause_ns = limits::FUNCTION_DATA_CHANGE_PAUSE.as_nanos() as u64;
        let may_count = data.counted_ns.is_none_or(|counted_ns| now_ns.saturating_sub(counted_ns) >= pause_ns);
        let mut written = None;
        for file in files {
            let (name, written_ms) = (hash(file), file.written_ms);
            let before = data.files.get(&name).copied();
            if before.is_some_and(|before| before.written_ms == written_ms) {
                continue;
            }
            let is_meanwhile = is_running || written_ms <= ended_ms;
            let counts = before.is_some_and(|before| !is_meanwhile || !before.is_own);
            if counts && !may_count {
                // As it was noted, so that it counts later.
                continue;
            }
            let is_own = is_meanwhile || before.is_some_and(|before| before.is_own);
            data.files.insert(name, Noted { written_ms, is_own });
            if counts {
                written = Some(file);
            }
        }
        if data.files.len() > 2 * limits::FUNCTION_CODE_ENTRIES_MAX {
            // Of files that came and went.
            let there: HashSet<u64> = files.iter().map(hash).collect();
            data.files.retain(|name, _| there.contains(name));
        }
        if written.is_some() {
            data.counted_ns = Some(now_ns);
        }
        written
    }
}

fn hash(file: &DataFile) -> u64 {
    let mut hasher = DefaultHasher::new();
    file.path.hash(&mut hasher);
    hasher.finish()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended_ms.fetch_max(self.0.clock.now().0, Ordering::SeqCst);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.is_looking.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::clock::ManualClock;

    use super::*;

    fn file(name: &str, written_ms: u64) -> DataFile {
        DataFile { written_ms: EpochMs(written_ms), path: name.into() }
    }

    fn watch() -> (Arc<ManualClock>, Arc<Watch>) {
        let clock = Arc::new(ManualClock::at(EpochMs(100_000)));
        (clock.clone(), Watch::new(clock))
    }

    /// After a pause in which nothing else counts.
    fn counts(clock: &ManualClock, watch: &Watch, name: &str, written_ms: u64) -> bool {
        clock.advance(limits::FUNCTION_DATA_CHANGE_PAUSE.as_millis() as u64);
        watch.written(&[file(name, written_ms)]).is_some()
    }

    #[test]
    fn a_data_file_counts_that_was_written_while_nothing_ran() {
        let (clock, watch) = watch();
        watch.begin_with(&[file("a", 50_000)]);
        assert!(!counts(&clock, &watch, "a", 50_000), "it is as it was");
        assert!(counts(&clock, &watch, "a", 60_000));
        assert!(!counts(&clock, &watch, "a", 60_000), "it is noted now");
        assert!(!counts(&clock, &watch, "new", 70_000), "one that comes is none");
        assert!(counts(&clock, &watch, "new", 80_000));
    }

    #[test]
    fn what_is_written_while_the_function_runs_counts_once() {
        let (clock, watch) = watch();
        watch.begin_with(&[file("a", 50_000), file("b", 50_000)]);
        let running = watch.run();
        assert!(counts(&clock, &watch, "a", 101_000), "somebody may have mended it");
        assert!(!counts(&clock, &watch, "a", 102_000), "it is the function's");
        assert!(!counts(&clock, &watch, "seen", 102_000), "what comes meanwhile is, too");
        drop(running);
        let ended_ms = clock.now().0;
        assert!(counts(&clock, &watch, "b", ended_ms + 20), "in that moment");
        assert!(!counts(&clock, &watch, "b", ended_ms + 30));
        assert!(counts(&clock, &watch, "b", ended_ms + 100), "it was not the function");
        watch.begin_with(&[file("a", 103_000)]);
        assert!(!counts(&clock, &watch, "a", ended_ms + 10), "what its own is, is known for good");
    }

    #[test]
    fn of_many_changes_of_data_one_counts_in_a_while() {
        let (clock, watch) = watch();
        watch.begin_with(&[file("a", 50_000)]);
        assert!(watch.written(&[file("a", 99_000)]).is_some());
        clock.advance(1_000);
        assert!(watch.written(&[file("a", 100_500)]).is_none());
        clock.advance(limits::FUNCTION_DATA_CHANGE_PAUSE.as_millis() as u64);
        assert!(watch.written(&[file("a", 100_500)]).is_some(), "it is not forgotten meanwhile");
    }

    /// A dead disk of one function holds up no other, and has one thread.
    #[tokio::test]
    async fn a_look_that_never_ends_is_waited_for_once_and_keeps_no_turn() {
        let ((clock, watch), looks) = (watch(), Semaphore::new(1));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        clock.advance(1_000);
        let dead = move || {
            let _ = ended.recv();
            Default::default()
        };
        assert!(watch.begin().unwrap().look(&looks, dead).await.is_none());
        clock.advance(1_000);
        assert!(watch.begin().is_none(), "there is no second thread");
        let (clock, other) = self::watch();
        clock.advance(1_000);
        assert!(other.begin().unwrap().look(&looks, Default::default).await.is_some(), "the turn is free");
        drop(end);
    }
}
