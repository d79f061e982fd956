//! How often AWS calls a function for a batch that fails, written down apart from the machine: what comes next in each lane, and what is
//! given up with how many calls. Source: docs/spec/event-source-mapping.md 7.2 to 7.4 and 9.
//!
//! It holds where nothing happens but calls and their outcomes: no crash, no stop, no update, and no record becomes too old.

use std::collections::BTreeMap;

use super::*;

/// A batch, or what is left of one.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    numbers: Vec<u64>,
    failed: u32,
}

/// What AWS would do.
#[derive(Debug)]
pub(super) struct Attempts {
    retries_max: u32,
    bisect: bool,
    /// Of each lane; the piece that is to be called next is last.
    pieces: BTreeMap<u16, Vec<Piece>>,
    /// Failed final calls of the window that is ending.
    final_failed: u32,
    /// The calls of each record that is given up, since the last progress of its batch.
    pub given_up: BTreeMap<u64, u32>,
    /// Windows that end without a final call that succeeded.
    pub windows_lost: u32,
}

impl Attempts {
    pub fn new(rules: &Rules) -> Attempts {
        Attempts {
            retries_max: rules.retries_max.expect("failures end by themselves"),
            bisect: rules.bisect,
            pieces: BTreeMap::new(),
            final_failed: 0,
            given_up: BTreeMap::new(),
            windows_lost: 0,
        }
    }

    /// A call goes out.
    pub fn called(&mut self, invocation: &Invocation) {
        let pieces = self.pieces.entry(invocation.lane).or_default();
        if invocation.records.is_empty() {
            assert_eq!((invocation.failed_before, pieces.len()), (self.final_failed, 0), "a final call");
            return;
        }
        let numbers = lsns(invocation);
        if pieces.is_empty() {
            pieces.push(Piece { numbers: numbers.clone(), failed: 0 });
        }
        let told = Piece { numbers, failed: invocation.failed_before };
        assert_eq!(Some(&told), pieces.last(), "what is called next, and how often it failed before");
    }

    /// It came back.
    pub fn answered(&mut self, invocation: &Invocation, outcome: &Outcome) {
        if matches!(outcome, Outcome::NotInvoked(_)) {
            return;
        }
        if invocation.records.is_empty() {
            self.final_failed = if *outcome == Outcome::Done { 0 } else { self.final_failed + 1 };
            if self.final_failed > self.retries_max {
                (self.final_failed, self.windows_lost) = (0, self.windows_lost + 1);
            }
            return;
        }
        let pieces = self.pieces.get_mut(&invocation.lane).expect("a lane that was called");
        let Piece { mut numbers, failed } = pieces.pop().expect("a piece that was called");
        let (done, splits) = match outcome {
            Outcome::Done => return,
            Outcome::FailedFrom { index, .. } => (*index, false),
            Outcome::Failed(_) => (0, self.bisect),
            other => panic!("{other:?} is no outcome of a function"),
        };
        if splits && numbers.len() > 1 {
            let second = numbers.split_off(numbers.len() / 2);
            pieces.extend([second, numbers].map(|numbers| Piece { numbers, failed: 0 }));
        } else if done > 0 {
            pieces.push(Piece { numbers: numbers.split_off(done), failed: 0 });
        } else if failed == self.retries_max {
            self.given_up.extend(numbers.into_iter().map(|number| (number, failed + 1)));
        } else {
            pieces.push(Piece { numbers, failed: failed + 1 });
        }
    }
}
