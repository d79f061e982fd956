//! Which tables views may be shown by: none that feeds the view itself, through whatever other views, and none that another view has.

use std::collections::BTreeMap;

/// A view: from where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its name.
    pub view: String,
    /// The table that it is computed from.
    pub source: String,
    /// The table that shows it.
    pub table: String,
}

/// What is wrong with some views.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It would be computed from itself.
    #[error("the view {view} is of the table {table}, and cannot be written to it")]
    Itself {
        /// The view.
        view: String,
        /// The table.
        table: String,
    },
    /// Two views would overwrite each other.
    #[error("the views {one} and {other} cannot both be written to the table {table}")]
    Shared {
        /// A view.
        one: String,
        /// Another one.
        other: String,
        /// The table.
        table: String,
    },
    /// They would be computed from each other.
    #[error("views cannot feed each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
}

/// Refuses views that overwrite or feed each other. Several edges of one view (its versions) may have one table.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(edges: &[Edge]) -> Result<(), TargetError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for Edge { view, source, table } in edges {
        if source == table {
            return Err(TargetError::Itself { view: view.clone(), table: table.clone() });
        }
        let owner = owners.entry(table).or_insert(view);
        if *owner != view {
            return Err(TargetError::Shared { one: (*owner).to_owned(), other: view.clone(), table: table.clone() });
        }
    }
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    edges.iter().for_each(|edge| next.entry(&edge.source).or_default().push(&edge.table));
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for start in next.keys() {
        // Depth first, without recursion: a table and how many of its views were followed.
        let mut way = vec![(*start, 0)];
        while let Some((table, followed)) = way.last().copied() {
            if followed == 0 && done.insert(table, false) == Some(true) {
                done.insert(table, true);
                way.pop();
                continue;
            }
            match next.get(table).and_then(|tables| tables.get(followed)) {
                Some(to) => {
                    if let Some(at) = way.iter().position(|(table, _)| table == to) {
                        let tables = way[at..].iter().map(|(table, _)| *table).chain([*to]);
                        return Err(TargetError::Cycle(tables.map(str::to_owned).collect()));
                    }
                    if let Some(last) = way.last_mut() {
                        last.1 += 1;
                    }
                    way.push((to, 0));
                }
                None => {
                    done.insert(table, true);
                    way.pop();
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(edges: &[(&str, &str, &str)]) -> String {
        let edge = |(view, source, table): &(&str, &str, &str)| Edge {
            view: (*view).to_owned(),
            source: (*source).to_owned(),
            table: (*table).to_owned(),
        };
        check(&edges.iter().map(edge).collect::<Vec<_>>()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// docs/spec/sinks.md 6: target writes must not feed back into the same view.
    #[test]
    fn a_view_does_not_feed_itself_through_others_either() {
        assert_eq!(
            check_all(&[("a", "T", "A"), ("b", "A", "B"), ("c", "A", "C"), ("d", "B", "D"), ("a", "T", "A")]),
            ""
        );
        assert_eq!(check_all(&[("a", "T", "T")]), "the view a is of the table T, and cannot be written to it");
        assert_eq!(
            check_all(&[("a", "T", "A"), ("b", "A", "B"), ("c", "B", "T")]),
            "views cannot feed each other: A -> B -> T -> A"
        );
        assert_eq!(
            check_all(&[
                ("x", "T", "X"),
                ("a", "T", "A"),
                ("b", "A", "B"),
                ("c", "B", "A2"),
                ("d", "A2", "B2"),
                ("e", "B2", "T2")
            ]),
            ""
        );
        assert_eq!(
            check_all(&[("a", "T", "A"), ("b", "U", "A")]),
            "the views a and b cannot both be written to the table A"
        );
    }
}
