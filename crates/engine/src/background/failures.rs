//! What went wrong in a pass: the first few failures in words, each text once, and how many there were.

use std::fmt;

use tailrace_core::limits::BACKGROUND_FAILURES_TOLD_MAX;

/// The failures of a tick or of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    told: Vec<String>,
    count: usize,
}

impl Failures {
    /// Notes that `what` failed.
    pub fn note(&mut self, what: impl fmt::Display, error: impl fmt::Display) {
        self.count += 1;
        self.tell(format!("{what}: {error}"));
    }

    /// Adds those of another tick.
    pub fn append(&mut self, other: Failures) {
        self.count += other.count;
        other.told.into_iter().for_each(|text| self.tell(text));
    }

    fn tell(&mut self, text: String) {
        if self.told.len() < BACKGROUND_FAILURES_TOLD_MAX && !self.told.contains(&text) {
            self.told.push(text);
        }
    }

    /// Nothing failed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        match self.count - self.told.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_told_and_the_others_counted() {
        let mut failures = Failures::default();
        assert!(failures.is_empty());
        for n in 0..BACKGROUND_FAILURES_TOLD_MAX {
            failures.note(format_args!("row {n}"), "bad");
        }
        assert!(!failures.to_string().contains("more"));
        let mut pass = failures.clone();
        pass.append(failures);
        pass.note("row", "bad");
        let more = format!("; and {} more", BACKGROUND_FAILURES_TOLD_MAX + 1);
        assert!(pass.to_string().starts_with("row 0: bad; row 1: bad") && pass.to_string().ends_with(&more), "{pass}");
    }
}
