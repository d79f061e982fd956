//! What a server's events look like, grouped: one line a second for each function however fast its batches come.
//!
//! Invariants
//! - The first delivery after a quiet second is told at once; those within the second that follows are told together at its end.
//! - A failure is told at once, behind the deliveries before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tailrace_server::Event;
use tokio::time::Interval;

use crate::output::{self, Out};
use crate::{check::count, show, style};

/// How long deliveries are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// Deliveries that are not told yet, by function.
#[derive(Default)]
pub struct Deliveries {
    gathered: BTreeMap<String, Group>,
    /// Runs while a second is gathered.
    ends: Option<Interval>,
    /// Functions whose last batch failed, and whose user was told what to do.
    failing: BTreeSet<String>,
}

/// The deliveries of a function within a second. Empty: one was told at its beginning.
#[derive(Default)]
struct Group {
    batches: usize,
    records: usize,
    shards: BTreeSet<String>,
}

impl Group {
    fn line(&self, function: &str) -> Option<String> {
        let records = count(self.records, "record");
        match (self.batches, self.shards.first()) {
            (0, _) | (_, None) => None,
            (1, Some(shard)) => Some(format!("{records} of {shard} delivered to {function}")),
            (batches, _) => {
                let shards = count(self.shards.len(), "shard");
                Some(format!("{records} of {shards} delivered to {function} in {batches} batches"))
            }
        }
    }
}

impl Deliveries {
    /// Shows an event, or keeps it for the end of the second.
    pub async fn show(&mut self, event: &Event) {
        match event {
            Event::Batch { function, shard, records, error: None, .. } => {
                self.failing.remove(function);
                if style::is_quiet() {
                    return;
                }
                if let Some(group) = self.gathered.get_mut(function) {
                    group.batches += 1;
                    group.records += records;
                    group.shards.insert(shard.clone());
                    return;
                }
                self.gathered.insert(function.clone(), Group::default());
                if self.ends.is_none() {
                    let mut ends = tokio::time::interval(GATHER);
                    ends.reset();
                    self.ends = Some(ends);
                }
            }
            Event::Batch { function, error: Some(_), retry, .. } => {
                self.tell_of(function).await;
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

    /// Resolves at the end of the second; never while none is gathered.
    pub async fn due(&mut self) {
        match &mut self.ends {
            Some(ends) => {
                ends.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Tells what was gathered; a function that was busy is gathered on.
    pub async fn tell(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        for (function, group) in gathered {
            if let Some(line) = group.line(&function) {
                output::send(Out::Stderr, line).await;
                self.gathered.insert(function, Group::default());
            }
        }
        if self.gathered.is_empty() {
            self.ends = None;
        }
    }

    async fn tell_of(&mut self, function: &str) {
        if let Some(line) = self.gathered.get_mut(function).and_then(|group| std::mem::take(group).line(function)) {
            output::send(Out::Stderr, line).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_in_one_line() {
        let mut group = Group::default();
        assert_eq!(group.line("ship"), None);
        (group.batches, group.records) = (1, 3);
        group.shards.insert("shardId-1".to_owned());
        assert_eq!(group.line("ship").unwrap(), "3 records of shardId-1 delivered to ship");
        (group.batches, group.records) = (40, 812);
        group.shards.insert("shardId-2".to_owned());
        assert_eq!(group.line("ship").unwrap(), "812 records of 2 shards delivered to ship in 40 batches");
    }
}
