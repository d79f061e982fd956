//! How far the playing of many lines has come: a bar now and then, on a terminal only.
//!
//! It is a line each time: a bar that is painted over would be torn by what deliveries print beside it.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::bar::bar;
use crate::output::{self, Out};
use crate::say::say;

/// Fewer lines are played before anyone wonders.
const LINES_MIN: usize = 1000;

/// Between two bars.
const PAUSE: Duration = Duration::from_secs(1);

/// The progress of so many lines.
pub struct Progress {
    all: usize,
    /// `None`: nobody is told.
    ticks: Option<Interval>,
}

impl Progress {
    /// None of them is played.
    pub fn of(all: usize) -> Progress {
        let is_told = all >= LINES_MIN && output::is_terminal(Out::Stderr);
        let ticks = is_told.then(|| {
            let mut ticks = tokio::time::interval(PAUSE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
            ticks
        });
        Progress { all, ticks }
    }

    /// So many are done; says so if it is time. Never waits.
    pub async fn tell(&mut self, done: usize) {
        let Some(ticks) = &mut self.ticks else { return };
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                let all = self.all;
                say(format_args!("playing {} {done} of {all} lines", bar(done as u64, all as u64)));
            }
            () = std::future::ready(()) => {}
        }
    }
}
