//! At most so many messages in any span: each that was sent is remembered until the span is over.

use std::collections::VecDeque;
use std::time::Duration;

use tailrace_core::MonotonicMs;

use super::config::Throttle;

/// What was sent lately.
pub(super) struct Gate {
    messages_max: usize,
    span: Duration,
    sent: VecDeque<MonotonicMs>,
}

impl Gate {
    pub fn new(throttle: Throttle) -> Gate {
        let Throttle { messages, seconds } = throttle;
        Gate { messages_max: messages, span: Duration::from_secs(seconds), sent: VecDeque::new() }
    }

    /// How many messages may be sent now, at least one; or how long the next one is to wait.
    pub fn free(&mut self, now: MonotonicMs) -> Result<usize, Duration> {
        while self.sent.front().is_some_and(|sent| sent.plus(self.span) <= now) {
            self.sent.pop_front();
        }
        match (self.messages_max - self.sent.len(), self.sent.front()) {
            (0, Some(first)) => Err(Duration::from_millis(first.plus(self.span).0 - now.0)),
            (free, _) => Ok(free),
        }
    }

    /// So many of those that were free are sent.
    pub fn note(&mut self, messages: usize, now: MonotonicMs) {
        let free = self.messages_max - self.sent.len();
        self.sent.extend(std::iter::repeat_n(now, messages.min(free)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_has_more_than_is_let_through() {
        let mut gate = Gate::new(Throttle { messages: 3, seconds: 10 });
        let mut passed: Vec<u64> = Vec::new();
        for now in (0..60_000).step_by(250) {
            if gate.free(MonotonicMs(now)).is_ok() {
                gate.note(1, MonotonicMs(now));
                passed.push(now);
            }
        }
        for (index, first) in passed.iter().enumerate() {
            let within = passed[index..].iter().filter(|time| **time < first + 10_000).count();
            assert!(within <= 3, "{within} from {first} on");
        }
        // And as many as are allowed.
        assert_eq!(passed.len(), 18);
    }

    #[test]
    fn who_is_too_early_is_told_how_long_to_wait() {
        let mut gate = Gate::new(Throttle { messages: 2, seconds: 10 });
        assert_eq!(gate.free(MonotonicMs(1000)), Ok(2));
        gate.note(1, MonotonicMs(1000));
        assert_eq!(gate.free(MonotonicMs(4000)), Ok(1));
        gate.note(1, MonotonicMs(4000));
        assert_eq!(gate.free(MonotonicMs(5000)), Err(Duration::from_secs(6)));
        assert_eq!(gate.free(MonotonicMs(11_000)), Ok(1));
        assert_eq!(gate.free(MonotonicMs(14_000)), Ok(2));
    }
}
