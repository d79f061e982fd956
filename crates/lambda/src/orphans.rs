//! Reaps what functions leave behind where nobody else does: as the first process of a container this one inherits every
//! process whose parent has ended, and each stays a zombie until its new parent has asked for its status.
//!
//! Invariant: a child that this process has started itself is never reaped here, since whoever started it waits for its status.
//! Such children are known, or are reaped at once when they end; so what is not known and was a zombie in two looks, a second
//! apart, is an orphan.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, getpid, waitid, waitpid};

use crate::proc;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The processes that this crate has started and not yet reaped.
pub(crate) type Known = Arc<Mutex<HashSet<i32>>>;

/// Starts the thread that reaps orphans, if this process inherits any. It ends when nobody holds `known` any more.
pub(crate) fn start(known: &Known) -> std::io::Result<()> {
    if inherits_orphans() {
        let known = Arc::downgrade(known);
        std::thread::Builder::new().name("orphan-reaper".to_owned()).spawn(move || reap_for_ever(&known))?;
    }
    Ok(())
}

/// The first process of a container, or one that has asked for them.
fn inherits_orphans() -> bool {
    let mut subreaper: libc::c_int = 0;
    // SAFETY: the call writes one int to the address.
    let asked = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) } == 0 && subreaper != 0;
    asked || getpid().is_init()
}

fn reap_for_ever(known: &Weak<Mutex<HashSet<i32>>>) {
    let mut before = HashSet::new();
    loop {
        std::thread::park_timeout(LOOK);
        let Some(known) = known.upgrade() else { return };
        let mut now = zombies();
        {
            let known = known.lock();
            now.retain(|pid| !known.contains(pid));
        }
        for pid in now.intersection(&before) {
            let Some(pid) = Pid::from_raw(*pid) else { continue };
            // Whatever comes back, there is no more to be done.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            tracing::debug!(pid = pid.as_raw_nonzero().get(), "reaped an orphan of a function");
        }
        before = now;
    }
}

/// The children of this process that have ended and have not been reaped.
fn zombies() -> HashSet<i32> {
    let mut zombies = HashSet::new();
    // One call tells that there is none, which is nearly always so; it reaps nothing.
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, any), Ok(Some(_))) {
        return zombies;
    }
    let own = getpid().as_raw_nonzero().get();
    for pid in proc::pids().into_iter().flatten().flatten() {
        let Some(stat) = proc::stat(pid) else { continue };
        // The state and the parent.
        let mut fields = stat.split(' ');
        if fields.next() == Some("Z") && fields.next().and_then(|parent| parent.parse().ok()) == Some(own) {
            zombies.insert(pid);
        }
    }
    zombies
}
