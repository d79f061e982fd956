//! What a server's events look like, grouped: one line a second for each function and sink however fast its batches come.
//!
//! Invariants
//! - The first delivery after a quiet second is told at once; those within the second that follows are told together at its end.
//! - A failure is told at once, behind the deliveries before it; of a sink each error once, until something is delivered again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tailrace_server::Event;
use tokio::time::Interval;

use crate::output::{self, Out};
use crate::{check::count, show, style};

/// How long deliveries are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// Deliveries that are not told yet, by who gets them.
#[derive(Default)]
pub struct Deliveries {
    gathered: BTreeMap<To, Group>,
    /// Runs while a second is gathered.
    ends: Option<Interval>,
    /// Functions whose last batch failed, and whose user was told what to do.
    failing: BTreeSet<String>,
    /// The last errors of sinks that cannot deliver.
    errors: BTreeMap<String, String>,
}

/// Who gets records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Function(String),
    Sink(String),
}

/// The deliveries to one within a second. Empty: one was told at its beginning.
#[derive(Default)]
struct Group {
    batches: usize,
    records: usize,
    /// The shards that a function's batches were of; the tables that a sink's were of.
    from: BTreeSet<String>,
}

impl Group {
    fn line(&self, to: &To) -> Option<String> {
        let (records, one) = (count(self.records, "record"), self.from.first()?);
        let several = |what| count(self.from.len(), what);
        let (name, from, batches) = match to {
            To::Function(name) => (name, several("shard"), "batches"),
            To::Sink(name) if self.from.len() == 1 => (name, one.clone(), "flushes"),
            To::Sink(name) => (name, several("table"), "flushes"),
        };
        match self.batches {
            0 => None,
            1 => Some(format!("{records} of {one} delivered to {name}")),
            number => Some(format!("{records} of {from} delivered to {name} in {number} {batches}")),
        }
    }
}

impl Deliveries {
    /// Shows an event, or keeps it for the end of the second.
    pub async fn show(&mut self, event: &Event) {
        match event {
            Event::Batch { function, shard, records, error: None, .. } => {
                self.failing.remove(function);
                if self.gather(To::Function(function.clone()), *records, shard) {
                    return;
                }
            }
            Event::Flush { sink, table, records, error: None } => {
                self.errors.remove(sink);
                if self.gather(To::Sink(sink.clone()), *records, table) {
                    return;
                }
            }
            Event::Flush { sink, error: Some(error), .. } => {
                self.tell_of(&To::Sink(sink.clone())).await;
                // Each shard, and each try, says the same.
                if self.errors.insert(sink.clone(), error.clone()).as_ref() == Some(error) {
                    return;
                }
            }
            Event::Batch { function, error: Some(_), retry, .. } => {
                self.tell_of(&To::Function(function.clone())).await;
                show::event(event).await;
                if retry.is_some() && self.failing.insert(function.clone()) {
                    let text =
                        format!("the pause grows up to a minute; saving the code of {function} tries them at once");
                    output::send(Out::Stderr, text).await;
                }
                return;
            }
            Event::Log(_) | Event::Notice(_) => {}
        }
        show::event(event).await;
    }

    /// Whether a delivery is kept for the end of the second, or not told at all.
    fn gather(&mut self, to: To, records: usize, from: &str) -> bool {
        if style::is_quiet() {
            return true;
        }
        if let Some(group) = self.gathered.get_mut(&to) {
            group.batches += 1;
            group.records += records;
            group.from.insert(from.to_owned());
            return true;
        }
        self.gathered.insert(to, Group::default());
        if self.ends.is_none() {
            let mut ends = tokio::time::interval(GATHER);
            ends.reset();
            self.ends = Some(ends);
        }
        false
    }

    /// Resolves at the end of the second; never while none is gathered.
    pub async fn due(&mut self) {
        match &mut self.ends {
            Some(ends) => {
                ends.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Tells what was gathered; who was busy is gathered on.
    pub async fn tell(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        for (to, group) in gathered {
            if let Some(line) = group.line(&to) {
                output::send(Out::Stderr, line).await;
                self.gathered.insert(to, Group::default());
            }
        }
        if self.gathered.is_empty() {
            self.ends = None;
        }
    }

    async fn tell_of(&mut self, to: &To) {
        if let Some(line) = self.gathered.get_mut(to).and_then(|group| std::mem::take(group).line(to)) {
            output::send(Out::Stderr, line).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_in_one_line() {
        let (ship, lake) = (To::Function("ship".to_owned()), To::Sink("lake".to_owned()));
        let mut group = Group::default();
        assert_eq!(group.line(&ship), None);
        (group.batches, group.records) = (1, 3);
        group.from.insert("shardId-1".to_owned());
        assert_eq!(group.line(&ship).unwrap(), "3 records of shardId-1 delivered to ship");
        (group.batches, group.records) = (40, 812);
        group.from.insert("shardId-2".to_owned());
        assert_eq!(group.line(&ship).unwrap(), "812 records of 2 shards delivered to ship in 40 batches");
        let mut group = Group { batches: 2, records: 9, from: BTreeSet::from(["Orders".to_owned()]) };
        assert_eq!(group.line(&lake).unwrap(), "9 records of Orders delivered to lake in 2 flushes");
        group.from.insert("Users".to_owned());
        assert_eq!(group.line(&lake).unwrap(), "9 records of 2 tables delivered to lake in 2 flushes");
    }
}
