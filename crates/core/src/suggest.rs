//! The name that was likely meant by one that is not there.

/// The nearest of some names, where one is near: a third of its letters are others at most, or one.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let with_distance = names.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (distance, name) = with_distance.min()?;
    (distance <= (wrong.chars().count() / 3).max(1)).then_some(name)
}
