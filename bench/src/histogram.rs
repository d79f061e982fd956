//! A histogram of latencies with a relative error below 1 %: 128 steps for each power of two, from 1 ns up.

const STEPS_LOG2: u32 = 7;

/// Latencies, nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; (64 - STEPS_LOG2 as usize + 1) << STEPS_LOG2], total: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Adds a latency.
    pub fn record(&mut self, ns: u64) {
        self.counts[index(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// The latency that `share` (0 to 1) of all stay at or below, milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(i).min(self.max_ns) as f64 / 1e6;
            }
        }
        0.0
    }

    /// The longest latency, milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.max_ns as f64 / 1e6
    }
}

fn index(ns: u64) -> usize {
    let exponent = (63 - (ns | 1).leading_zeros()).saturating_sub(STEPS_LOG2);
    ((exponent as usize) << STEPS_LOG2) + (ns >> exponent) as usize
}

fn upper(index: usize) -> u64 {
    let steps = 1 << STEPS_LOG2;
    let exponent = (index / steps).saturating_sub(1);
    let step = index - exponent * steps;
    ((step as u64 + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_falls_into_a_step_that_holds_it() {
        for ns in (0..2000).chain((10..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 12_345])) {
            let (low, high) = (index(ns).checked_sub(1).map_or(0, |i| upper(i) + 1), upper(index(ns)));
            assert!(low <= ns && ns <= high, "{ns} in {low}..={high}");
            assert!(high - low <= ns / 100, "{ns}");
        }
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|n| histogram.record(n * 1_000_000));
        assert!((histogram.percentile_ms(0.5) - 500.0).abs() < 5.0);
        assert!((histogram.percentile_ms(0.99) - 990.0).abs() < 10.0);
        assert_eq!(histogram.max_ms(), 1000.0);
    }
}
