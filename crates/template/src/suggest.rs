//! The name that was likely meant by one that is not there.

/// The nearest of some names, where one is near.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let with_distance = names.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (distance, name) = with_distance.min()?;
    (distance <= (wrong.chars().count() / 3).max(1)).then_some(name)
}

/// `; did you mean X?`, or nothing.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
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
