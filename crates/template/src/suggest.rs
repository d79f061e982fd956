//! The name that was likely meant by one that is not there.

pub(crate) use tailrace_core::suggest::nearest;

/// The nearest among the names of properties, of which one is often the beginning of another: `Code` of `CodeUri`.
pub(crate) fn nearest_property<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    const BEGINNING_MIN: usize = 4;
    let begins = |name: &&str| {
        let (shorter, longer) = if name.len() < wrong.len() { (*name, wrong) } else { (wrong, *name) };
        shorter.len() >= BEGINNING_MIN && longer.starts_with(shorter)
    };
    nearest(wrong, names.clone()).or_else(|| names.filter(begins).min_by_key(|name| name.len()))
}

/// `; did you mean X?`, or nothing.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The same, but for a slip of one or two letters, or of their case, alone: among long names of which many are alike.
pub(crate) fn slip_of<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    const LETTERS_MAX: usize = 2;
    let lower = wrong.to_lowercase();
    let near = |name: &'a str| {
        let letters = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
        // A type of AWS without what they all begin with is one, too.
        let is_end = name.to_lowercase().ends_with(&format!("::{lower}"));
        (is_end || letters <= LETTERS_MAX).then_some((letters, name))
    };
    let nearest = names.into_iter().filter_map(near).min();
    nearest.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        for (wrong, expected) in [
            ("OrdersTabel", Some("OrdersTable")),
            ("orderstable", Some("OrdersTable")),
            ("OrderTable", Some("OrdersTable")),
            ("Queeu", Some("Queue")),
            ("Topic", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, ["OrdersTable", "Queue"]), expected, "{wrong}");
        }
    }
}
