//! What errors repeat of a request, cut at a bound: a request may be large, and its answer must not be.

use crate::limits::{ECHOED_TEXT_BYTES_MAX, ECHOED_VALUE_BYTES_MAX};

/// The text, or its beginning.
pub(crate) fn echo(text: &str) -> &str {
    &text[..text.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)]
}

/// A text that breaks a constraint, or its beginning.
pub(crate) fn echo_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(ECHOED_TEXT_BYTES_MAX)]
}

/// The texts in `quote`s with `separator` between them, or the beginning of that.
pub(crate) fn echo_list(texts: &[impl AsRef<str>], quote: &str, separator: &str) -> String {
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        if out.len() > ECHOED_VALUE_BYTES_MAX {
            break;
        }
        let separator = if index == 0 { "" } else { separator };
        for part in [separator, quote, echo(text.as_ref()), quote] {
            out.push_str(part);
        }
    }
    out.truncate(out.floor_char_boundary(ECHOED_VALUE_BYTES_MAX));
    out
}
