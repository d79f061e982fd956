//! The messages of a flush that are still to be made and sent, in the order in which they may be: of a group one at a time.

use std::collections::{HashMap, VecDeque};

use super::message::{Due, Group};

/// What is to be sent.
#[derive(Default)]
pub(super) struct Lanes {
    /// Messages of each group, but for the one that is under way.
    waiting: HashMap<Group, VecDeque<Due>>,
    /// Groups with nothing under way, in the order in which they came to be so.
    ready: VecDeque<Group>,
}

impl Lanes {
    /// These messages, in the order of their records.
    pub fn new(due: impl IntoIterator<Item = Due>) -> Lanes {
        let mut lanes = Lanes::default();
        for due in due {
            let waiting = lanes.waiting.entry(due.group).or_default();
            if waiting.is_empty() {
                lanes.ready.push_back(due.group);
            }
            waiting.push_back(due);
        }
        lanes
    }

    /// Whether there is nothing that may be sent now.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Messages that may be sent now, each of another group.
    pub fn next(&mut self, count_max: usize) -> Vec<Due> {
        let groups = self.ready.drain(..count_max.min(self.ready.len()));
        groups.filter_map(|group| self.waiting.get_mut(&group)?.pop_front()).collect()
    }

    /// Only these of the messages that are not under way are still to be sent.
    pub fn retain(&mut self, is_kept: impl Fn(&Due) -> bool) {
        for waiting in self.waiting.values_mut() {
            waiting.retain(&is_kept);
        }
        let waiting = &self.waiting;
        self.ready.retain(|group| waiting.get(group).is_some_and(|waiting| !waiting.is_empty()));
    }

    /// What was under way of a group becomes these, which go before what waits of it.
    pub fn becomes(&mut self, group: Group, due: Vec<Due>) {
        let waiting = self.waiting.entry(group).or_default();
        due.into_iter().rev().for_each(|due| waiting.push_front(due));
        self.settled(group);
    }

    /// What was under way of a group is settled: the next of it may be sent.
    pub fn settled(&mut self, group: Group) {
        match self.waiting.get(&group) {
            Some(waiting) if !waiting.is_empty() => self.ready.push_back(group),
            _ => drop(self.waiting.remove(&group)),
        }
    }
}
