//! Rows whose value is JSON: what a newer program added to one outlives a change by this one.
//!
//! A value is written with all the members that this program knows, so a member that only the stored bytes have is one that
//! it does not know. Such a member is kept where it was, as long as the object that it was in is still an object.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// The bytes of a row that is new.
pub(crate) fn encode(row: &impl Serialize) -> Bytes {
    serde_json::to_vec(row).expect("invariant: the keys of a row are strings").into()
}

/// The bytes of a row in the place of `stored`, with the members that only that has.
pub(crate) fn encode_over(stored: &[u8], row: &impl Serialize) -> Bytes {
    let mut new = serde_json::to_value(row).expect("invariant: the keys of a row are strings");
    // What was stored was decoded before it was changed.
    if let Ok(old) = serde_json::from_slice(stored) {
        keep_unknown(old, &mut new);
    }
    encode(&new)
}

fn keep_unknown(old: Value, new: &mut Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    for (name, old) in old {
        match new.get_mut(&name) {
            Some(new) => keep_unknown(old, new),
            None => drop(new.insert(name, old)),
        }
    }
}
