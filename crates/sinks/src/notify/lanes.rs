//! The messages of a flush that are still to be sent, in the order in which they may be: of a group one at a time.

use std::collections::{HashMap, VecDeque};

use super::message::{Content, Group, Message};

/// What is to be sent.
pub(super) struct Lanes {
    /// Messages of each group, by their indexes, the first of which is not under way.
    waiting: HashMap<Group, VecDeque<usize>>,
    /// Groups with nothing under way, in the order in which they came to be so.
    ready: VecDeque<Group>,
}

impl Lanes {
    /// The messages of these indexes.
    pub fn new(messages: &[Message], indexes: impl Iterator<Item = usize>) -> Lanes {
        let mut lanes = Lanes { waiting: HashMap::new(), ready: VecDeque::new() };
        for index in indexes {
            let group = messages[index].group;
            let waiting = lanes.waiting.entry(group).or_default();
            if waiting.is_empty() {
                lanes.ready.push_back(group);
            }
            waiting.push_back(index);
        }
        lanes
    }

    /// Whether there is nothing that may be sent now.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Messages that may be sent now: of as many groups, and with as many bytes, as are taken at once; at least one, if there is one.
    pub fn next(&mut self, messages: &[Message], count_max: usize, bytes_max: usize) -> Vec<usize> {
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        while chosen.len() < count_max {
            let Some(index) = self.ready.front().and_then(|group| self.waiting.get(group)?.front().copied()) else {
                break;
            };
            bytes += size(&messages[index]);
            if !chosen.is_empty() && bytes > bytes_max {
                break;
            }
            let group = self.ready.pop_front();
            if let Some(waiting) = group.and_then(|group| self.waiting.get_mut(&group)) {
                waiting.pop_front();
            }
            chosen.push(index);
        }
        chosen
    }

    /// Only these of the messages that are not chosen yet are still to be sent.
    pub fn retain(&mut self, is_kept: impl Fn(usize) -> bool) {
        for waiting in self.waiting.values_mut() {
            waiting.retain(|index| is_kept(*index));
        }
        let waiting = &self.waiting;
        self.ready.retain(|group| waiting.get(group).is_some_and(|waiting| !waiting.is_empty()));
    }

    /// A message is settled: the next of its group may be sent.
    pub fn settled(&mut self, group: Group) {
        match self.waiting.get(&group) {
            Some(waiting) if !waiting.is_empty() => self.ready.push_back(group),
            _ => drop(self.waiting.remove(&group)),
        }
    }
}

pub(super) fn size(message: &Message) -> usize {
    match &message.content {
        Content::Text { subject, text } => text.len() + subject.as_ref().map_or(0, String::len),
        Content::Letter(letter) => letter.len(),
    }
}
