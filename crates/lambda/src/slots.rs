//! The server's slots for invocations, shared among functions.
//!
//! Invariants: at most as many invocations hold one as there are. A function that holds half of them leaves the last eighth to
//! others, so a burst of one function never takes them all; a slot that comes free goes to the function that holds the fewest
//! among those that wait, and among its invocations to the one that waited longest.
//!
//! What it does not do: it ends no invocation. Functions that hold every slot keep them until they answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::look::Running;

/// What an invocation holds while it runs: a permit of its function, a slot of the server, and that it is under way.
pub(crate) type Permits = (OwnedSemaphorePermit, Slot, Running);

/// As many slots as some are spared of.
const SPARING_FROM: usize = 16;

/// The slots. A clone is the same.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<State>>);

struct State {
    all: usize,
    free: usize,
    closed: bool,
    /// How many each function holds, by its name.
    held: HashMap<Arc<str>, usize>,
    /// Who waits, in the order of arrival.
    waiting: BTreeMap<u64, Waiter>,
    arrivals: u64,
}

struct Waiter {
    function: Arc<str>,
    turn: oneshot::Sender<Slot>,
}

/// A slot that is held; it is free again when this goes.
pub(crate) struct Slot {
    slots: Slots,
    function: Arc<str>,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// None is free for the function.
    Full,
    /// There will be none any more.
    Closed,
}

impl Slots {
    pub fn new(all: usize) -> Slots {
        Slots(Arc::new(Mutex::new(State {
            all,
            free: all,
            closed: false,
            held: HashMap::new(),
            waiting: BTreeMap::new(),
            arrivals: 0,
        })))
    }

    /// A slot, if one is free for the function now.
    pub fn try_acquire(&self, function: &Arc<str>) -> Result<Slot, NoSlot> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(NoSlot::Closed);
        }
        // Whoever waits and may have one has one: nobody is passed by.
        if !state.may_take(function) {
            return Err(NoSlot::Full);
        }
        state.take(function);
        Ok(Slot { slots: self.clone(), function: function.clone() })
    }

    /// Waits for a slot.
    pub async fn acquire(&self, function: &Arc<str>) -> Result<Slot, NoSlot> {
        let turn = {
            let mut state = self.0.lock();
            if state.closed {
                return Err(NoSlot::Closed);
            }
            let (sender, turn) = oneshot::channel();
            let arrival = state.arrivals;
            state.arrivals += 1;
            state.waiting.insert(arrival, Waiter { function: function.clone(), turn: sender });
            turn
        };
        self.hand_out();
        turn.await.map_err(|_| NoSlot::Closed)
    }

    /// Nobody gets one any more; who waits is told.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Gives free slots to those who wait.
    fn hand_out(&self) {
        loop {
            let mut state = self.0.lock();
            let Some((turn, function)) = state.next() else { return };
            drop(state);
            // A waiter that went away gives its slot back, which hands it out again: not under the lock.
            let _ = turn.send(Slot { slots: self.clone(), function });
        }
    }
}

impl State {
    fn held_by(&self, function: &Arc<str>) -> usize {
        self.held.get(function).copied().unwrap_or(0)
    }

    fn may_take(&self, function: &Arc<str>) -> bool {
        // Of few there is nothing to spare.
        let spares = self.all >= SPARING_FROM && 2 * self.held_by(function) >= self.all;
        self.free > if spares { self.all / 8 } else { 0 }
    }

    fn take(&mut self, function: &Arc<str>) {
        self.free -= 1;
        *self.held.entry(function.clone()).or_default() += 1;
    }

    fn next(&mut self) -> Option<(oneshot::Sender<Slot>, Arc<str>)> {
        self.waiting.retain(|_, waiter| !waiter.turn.is_closed());
        let who_may = self.waiting.iter().filter(|(_, waiter)| self.may_take(&waiter.function));
        let arrival = *who_may.min_by_key(|(arrival, waiter)| (self.held_by(&waiter.function), **arrival))?.0;
        let Waiter { function, turn } = self.waiting.remove(&arrival)?;
        self.take(&function);
        Some((turn, function))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.0.lock();
        state.free += 1;
        let function = &self.function;
        let left = state.held_by(function).saturating_sub(1);
        match left {
            0 => drop(state.held.remove(function)),
            left => drop(state.held.insert(function.clone(), left)),
        }
        drop(state);
        self.slots.hand_out();
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.function)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_function_leaves_some_slots_to_others() {
        let (slots, greedy) = (Slots::new(64), name("greedy"));
        let held: Vec<Slot> = std::iter::from_fn(|| slots.try_acquire(&greedy).ok()).collect();
        assert_eq!(held.len(), 56);
        assert_eq!(slots.try_acquire(&greedy).unwrap_err(), NoSlot::Full);
        let others: Vec<Slot> = (0..8).map(|n| slots.try_acquire(&name(&format!("other-{n}"))).unwrap()).collect();
        assert_eq!(slots.try_acquire(&name("late")).unwrap_err(), NoSlot::Full);
        drop((held, others));
        assert_eq!(slots.0.lock().free, 64);
        assert!(slots.0.lock().held.is_empty());
        // With few slots there is nothing to spare.
        let few = Slots::new(10);
        let held: Vec<Slot> = std::iter::from_fn(|| few.try_acquire(&greedy).ok()).collect();
        assert_eq!(held.len(), 10);
    }

    /// A slot that comes free goes to the function that holds the fewest, however many of the others came before.
    #[test]
    fn who_holds_the_fewest_comes_first() {
        let slots = Slots::new(16);
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let mut held: Vec<Slot> = std::iter::from_fn(|| slots.try_acquire(&a).ok()).collect();
        assert_eq!(held.len(), 14);
        held.extend((0..2).map(|_| slots.try_acquire(&b).unwrap()));
        let mut of_a: Vec<_> = (0..20).map(|_| Box::pin(slots.acquire(&a))).collect();
        assert!(of_a.iter_mut().all(|wait| wait.now_or_never().is_none()));
        let mut of_b = Box::pin(slots.acquire(&b));
        let mut of_c = Box::pin(slots.acquire(&c));
        assert!((&mut of_b).now_or_never().is_none());
        assert!((&mut of_c).now_or_never().is_none());
        held.remove(0);
        let got_c = (&mut of_c).now_or_never().unwrap().unwrap();
        assert!((&mut of_b).now_or_never().is_none());
        held.remove(0);
        let _got_b = (&mut of_b).now_or_never().unwrap().unwrap();
        assert!(of_a.iter_mut().all(|wait| wait.now_or_never().is_none()));
        // One that went away passes its turn on.
        drop(of_a.remove(0));
        drop(got_c);
        held.remove(0);
        assert!(of_a.iter_mut().all(|wait| wait.now_or_never().is_none()), "a leaves two to others");
        held.remove(0);
        let got: Vec<_> = of_a.iter_mut().filter_map(|wait| wait.now_or_never()).collect();
        assert_eq!(got.len(), 1);
    }

    #[test]
    fn nobody_waits_for_slots_that_are_closed() {
        let (slots, a) = (Slots::new(1), name("a"));
        let held = slots.try_acquire(&a).unwrap();
        let mut waits = Box::pin(slots.acquire(&a));
        assert!((&mut waits).now_or_never().is_none());
        slots.close();
        assert_eq!((&mut waits).now_or_never().unwrap().unwrap_err(), NoSlot::Closed);
        assert_eq!(slots.try_acquire(&a).unwrap_err(), NoSlot::Closed);
        assert_eq!(slots.acquire(&a).now_or_never().unwrap().unwrap_err(), NoSlot::Closed);
        drop(held);
        assert!(slots.is_closed());
    }
}
