//! Names that follow from what they name.

use tailrace_core::ids::uuid_text;

/// The first bytes of a digest in the form of a uuid.
pub fn uuid(digest: &[u8]) -> String {
    uuid_text(digest.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte)))
}
