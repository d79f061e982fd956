//! Aggregates: how they are written, what is kept of a group for them (its measures), and what is shown of that.

use super::limits::TOP_MAX;
use super::path::{AttributePath, PathError};

/// An aggregate as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// `count`: the items.
    Count,
    /// `count(path)`: the items that have something there.
    CountOf(AttributePath),
    /// `count(distinct path)`: the different values there.
    Distinct(AttributePath),
    /// `sum(path)`: of the numbers there.
    Sum(AttributePath),
    /// `avg(path)`: of the numbers there.
    Avg(AttributePath),
    /// `min(path)`: of the numbers, strings and binaries there.
    Min(AttributePath),
    /// `max(path)`: of the same.
    Max(AttributePath),
    /// `top(n, path)`: the n largest of the same, with the keys of their items.
    Top(usize, AttributePath),
}

/// A text is no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// Its form.
    #[error(
        "`{0}` is no aggregate: there are count, count(path), count(distinct path), sum(path), min(path), max(path), avg(path) \
         and top(n, path)"
    )]
    Form(String),
    /// What it is of.
    #[error("{0}")]
    Path(PathError),
    /// How many it is to show.
    #[error("top shows 1 to {TOP_MAX} values, not {0}")]
    Top(String),
}

/// What is kept of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How many items have something there.
    Present(AttributePath),
    /// How many items have a number there, and the sum of them.
    Sum(AttributePath),
    /// The values there in their order, each with its item, in a side structure.
    Ordered {
        /// Where.
        path: AttributePath,
        /// The lowest is kept at hand.
        low: bool,
        /// So many of the highest are kept at hand.
        high: usize,
    },
    /// The values there, each with the number of its items, in a side structure.
    Distinct(AttributePath),
}

impl Measure {
    /// Where the value is.
    pub fn path(&self) -> &AttributePath {
        match self {
            Measure::Present(path) | Measure::Sum(path) | Measure::Distinct(path) | Measure::Ordered { path, .. } => {
                path
            }
        }
    }
}

/// An attribute of the view's items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub show: Show,
}

/// What an attribute shows; the numbers are those of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The number of items.
    Count,
    /// The number that a measure has counted: present items, or distinct values.
    CountOf(usize),
    /// The sum.
    Sum(usize),
    /// The sum, divided by how many there are.
    Avg(usize),
    /// The lowest value.
    Min(usize),
    /// The highest value.
    Max(usize),
    /// So many of the highest values, with their items.
    Top(usize, usize),
}

impl Aggregate {
    /// Reads an aggregate.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Aggregate, AggregateError> {
        let form = || AggregateError::Form(text.to_owned());
        let path = |text: &str| AttributePath::parse(text).map_err(AggregateError::Path);
        let trimmed = text.trim();
        let Some((function, rest)) = trimmed.split_once('(') else {
            return if trimmed.eq_ignore_ascii_case("count") { Ok(Aggregate::Count) } else { Err(form()) };
        };
        let of = rest.strip_suffix(')').ok_or_else(form)?.trim();
        match function.trim_end().to_ascii_lowercase().as_str() {
            "count" => match of.split_once(char::is_whitespace) {
                None if of == "*" => Ok(Aggregate::Count),
                // A path that was left out. An attribute of that name is written in backquotes.
                None if of.eq_ignore_ascii_case("distinct") => Err(form()),
                Some((word, of)) if word.eq_ignore_ascii_case("distinct") => Ok(Aggregate::Distinct(path(of)?)),
                _ => Ok(Aggregate::CountOf(path(of)?)),
            },
            "sum" => Ok(Aggregate::Sum(path(of)?)),
            "avg" => Ok(Aggregate::Avg(path(of)?)),
            "min" => Ok(Aggregate::Min(path(of)?)),
            "max" => Ok(Aggregate::Max(path(of)?)),
            "top" => {
                let (count, of) = of.split_once(',').ok_or_else(form)?;
                let count = count.trim();
                let shown = count.parse().ok().filter(|shown| (1..=TOP_MAX).contains(shown));
                Ok(Aggregate::Top(shown.ok_or_else(|| AggregateError::Top(count.to_owned()))?, path(of)?))
            }
            _ => Err(form()),
        }
    }

    /// The attribute `name` that shows it. What is to be kept for it is added to `measures`, unless something there will do.
    pub fn column(self, name: &str, measures: &mut Vec<Measure>) -> Column {
        let mut measure = |measure: Measure| match measures.iter().position(|known| *known == measure) {
            Some(known) => known,
            None => {
                measures.push(measure);
                measures.len() - 1
            }
        };
        let show = match self {
            Aggregate::Count => Show::Count,
            Aggregate::CountOf(path) => Show::CountOf(measure(Measure::Present(path))),
            Aggregate::Distinct(path) => Show::CountOf(measure(Measure::Distinct(path))),
            Aggregate::Sum(path) => Show::Sum(measure(Measure::Sum(path))),
            Aggregate::Avg(path) => Show::Avg(measure(Measure::Sum(path))),
            Aggregate::Min(path) => Show::Min(ordered(path, true, 0, measures)),
            Aggregate::Max(path) => Show::Max(ordered(path, false, 1, measures)),
            Aggregate::Top(count, path) => Show::Top(ordered(path, false, count, measures), count),
        };
        Column { name: name.to_owned(), show }
    }
}

/// The ordered structure of a path, of which at least this is kept at hand.
fn ordered(of: AttributePath, lowest: bool, highest: usize, measures: &mut Vec<Measure>) -> usize {
    for (number, measure) in measures.iter_mut().enumerate() {
        if let Measure::Ordered { path, low, high } = measure
            && *path == of
        {
            (*low, *high) = (*low || lowest, (*high).max(highest));
            return number;
        }
    }
    measures.push(Measure::Ordered { path: of, low: lowest, high: highest });
    measures.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_read() {
        let path = |text| AttributePath::parse(text).unwrap();
        for (text, expected) in [
            ("count", Aggregate::Count),
            (" COUNT ", Aggregate::Count),
            ("count(*)", Aggregate::Count),
            ("count(a.b)", Aggregate::CountOf(path("a.b"))),
            ("count( DISTINCT  a )", Aggregate::Distinct(path("a"))),
            ("count(`distinct`)", Aggregate::CountOf(path("distinct"))),
            ("sum(a)", Aggregate::Sum(path("a"))),
            ("Avg (a)", Aggregate::Avg(path("a"))),
            ("min(a)", Aggregate::Min(path("a"))),
            ("max(`a (b)`)", Aggregate::Max(path("`a (b)`"))),
            ("top( 100 , a[0])", Aggregate::Top(100, path("a[0]"))),
        ] {
            assert_eq!(Aggregate::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "sum",
            "sum()",
            "count(distinct)",
            "count( DISTINCT )",
            "sum(a",
            "sum(a b)",
            "top(a)",
            "top(101, a)",
            "top(0, a)",
            "top(x, a)",
            "sum(a,b)",
            "count(*)x",
        ] {
            assert!(Aggregate::parse(text).is_err(), "{text}");
        }
    }
}
