//! The lines that were measured, as a table and as JSON.

use serde::Serialize;

/// A budget and what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What.
    pub what: String,
    /// The figure: the median of the rounds.
    pub figure: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The budget, with its comparison.
    pub budget: Budget,
    /// The figure as a multiple of the bare server's: of its rate over as many connections, or of its processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_bare: Option<f64>,
    /// Every round's figure.
    pub rounds: Vec<f64>,
    /// Why there is no figure, of one round at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// This much or more.
    AtLeast(f64),
    /// Below this.
    Below(f64),
    /// None: shown for the others.
    None,
}

impl Budget {
    fn met(self, figure: f64) -> Option<bool> {
        match self {
            Budget::AtLeast(least) => Some(figure >= least),
            Budget::Below(most) => Some(figure < most),
            Budget::None => None,
        }
    }
}

impl Line {
    /// A line from its rounds.
    pub fn new(what: impl Into<String>, unit: &'static str, budget: Budget, rounds: Vec<f64>) -> Line {
        Line { what: what.into(), figure: median(&rounds), unit, budget, ratio_to_bare: None, rounds, failed: None }
    }

    /// With the ratio to the bare server.
    pub fn beside(mut self, bare: f64) -> Line {
        self.ratio_to_bare = (bare > 0.0).then(|| self.figure / bare);
        self
    }

    /// With why a round has no figure.
    pub fn failed(mut self, why: Option<String>) -> Line {
        self.failed = why;
        self
    }

    /// The lowest and the highest of its rounds: how far the figure is to be believed. One alone says nothing of it.
    fn spread(&self) -> String {
        let lowest = self.rounds.iter().copied().min_by(f64::total_cmp);
        let highest = self.rounds.iter().copied().max_by(f64::total_cmp);
        match (lowest, highest) {
            (Some(lowest), Some(highest)) if self.rounds.len() > 1 => {
                format!("{} .. {}", number(lowest), number(highest))
            }
            _ => "-".to_owned(),
        }
    }

    /// In a word; none without a budget.
    pub fn verdict(&self) -> &'static str {
        match self.budget.met(self.figure) {
            _ if self.failed.is_some() => "FAILED",
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }
}

/// The middle one; of an even number the lower of both middles.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Everything of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The command line.
    pub command: String,
    /// The machine.
    pub machine: String,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Report {
    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = format!("command: {}\nmachine: {}\n\n", self.command, self.machine);
        let row = |cells: [&str; 6]| {
            let [what, budget, figure, spread, ratio, verdict] = cells;
            format!("{what:<64} {budget:>10} {figure:>18} {spread:>16} {ratio:>8}  {verdict}\n").trim_end().to_owned()
                + "\n"
        };
        text += &row(["what", "budget", "figure", "from .. to", "to bare", ""]);
        for line in &self.lines {
            let budget = match line.budget {
                Budget::AtLeast(least) => format!(">= {}", number(least)),
                Budget::Below(most) => format!("< {}", number(most)),
                Budget::None => "-".to_owned(),
            };
            let why = line.failed.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            let verdict = format!("{} {why}", line.verdict());
            let figure = format!("{} {}", number(line.figure), line.unit);
            let ratio = line.ratio_to_bare.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            text += &row([&line.what, &budget, &figure, &line.spread(), &ratio, &verdict]);
        }
        text
    }
}

fn number(figure: f64) -> String {
    match figure.abs() {
        f if f >= 10_000.0 => format!("{:.1}k", figure / 1000.0),
        f if f >= 100.0 => format!("{figure:.0}"),
        _ => format!("{figure:.2}"),
    }
}

/// Processor, cores, memory and kernel.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split(':').nth(1).unwrap_or("?").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {} memory, Linux {}",
        value(&read("/proc/cpuinfo"), "model name"),
        value(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_how_far_the_rounds_of_a_line_are_apart() {
        let line = |rounds: &[f64]| Line::new("a cost", "%", Budget::Below(15.0), rounds.to_vec());
        let lines = vec![line(&[14.0, -2.0, 21.5]), line(&[15.5])];
        let table = Report { command: String::new(), machine: String::new(), lines }.table();
        let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
        let [.., first, second] = &rows[..] else { panic!("{table}") };
        assert_eq!(first[2..], ["<", "15.00", "14.00", "%", "-2.00", "..", "21.50", "-", "met"]);
        assert_eq!(second[2..], ["<", "15.00", "15.50", "%", "-", "-", "MISSED"]);
    }
}
