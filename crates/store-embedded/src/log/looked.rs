//! Collections that count, in tests, how many of their entries are looked at: what a group or a tick costs must not grow with
//! how much there is. Otherwise they are what they hold.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

#[cfg(test)]
thread_local! {
    static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many entries this thread has looked at.
#[cfg(test)]
pub(super) fn looks() -> u64 {
    LOOKS.get()
}

fn look() {
    #[cfg(test)]
    LOOKS.set(LOOKS.get() + 1);
}

/// A map.
#[derive(Debug)]
pub(super) struct LookedMap<K, V>(BTreeMap<K, V>);

impl<K, V> Default for LookedMap<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> LookedMap<K, V> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        look();
        self.0.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        look();
        self.0.get_mut(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        look();
        self.0.insert(key, value);
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        look();
        self.0.remove(key)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().inspect(|_| look())
    }

    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range(range).inspect(|_| look())
    }
}

/// A list.
#[derive(Debug)]
pub(super) struct LookedList<T>(Vec<T>);

impl<T> Default for LookedList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> LookedList<T> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn at(&self, index: usize) -> &T {
        look();
        &self.0[index]
    }

    pub fn at_mut(&mut self, index: usize) -> &mut T {
        look();
        &mut self.0[index]
    }

    pub fn push(&mut self, entry: T) {
        self.0.push(entry);
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().inspect(|_| look())
    }
}
