//! Latencies, counted by `hdrhistogram` with three significant digits, and read in milliseconds.

/// The longest latency that is told apart from longer ones, nanoseconds: one hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Latencies, nanoseconds.
#[derive(Clone)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    fn default() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Self(histogram.expect("invariant: the bounds and the digits are within the library's"))
    }
}

impl Histogram {
    /// Adds a latency.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// The latency that `share` (0 to 1) of all stay at or below, milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }

    /// The longest latency, milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_milliseconds() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|n| histogram.record(n * 1_000_000));
        assert!((histogram.percentile_ms(0.5) - 500.0).abs() < 1.0);
        assert!((histogram.percentile_ms(0.99) - 990.0).abs() < 1.0);
        assert!((histogram.max_ms() - 1000.0).abs() < 1.0);
    }
}
