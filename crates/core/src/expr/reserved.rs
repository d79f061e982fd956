//! The 573 words that must not stand bare in a document path. Source: docs/spec/dynamodb-api.md 4.2.

/// One word a line, upper case, in byte order.
const WORDS: &str = include_str!("reserved-words.txt");

/// The words by their length, then in byte order, so that a lookup compares few candidates.
static BY_LENGTH: std::sync::LazyLock<Vec<Vec<&'static str>>> = std::sync::LazyLock::new(|| {
    let mut by_length: Vec<Vec<&'static str>> = Vec::new();
    for word in WORDS.lines() {
        if by_length.len() <= word.len() {
            by_length.resize(word.len() + 1, Vec::new());
        }
        by_length[word.len()].push(word);
    }
    by_length
});

/// Whether `word`, in any case, is reserved.
pub(super) fn is_reserved(word: &str) -> bool {
    let Some(candidates) = BY_LENGTH.get(word.len()) else {
        return false;
    };
    candidates
        .binary_search_by(|candidate| candidate.bytes().cmp(word.bytes().map(|byte| byte.to_ascii_uppercase())))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_is_reserved_in_any_case_and_others_are_not() {
        assert_eq!(WORDS.lines().count(), 573);
        for word in WORDS.lines() {
            assert!(is_reserved(word) && is_reserved(&word.to_ascii_lowercase()), "{word}");
            assert!(!is_reserved(&format!("{word}_x")), "{word}_x");
        }
        for word in ["", "pk", "id", "a", "x".repeat(100).as_str()] {
            assert!(!is_reserved(word), "{word}");
        }
    }
}
