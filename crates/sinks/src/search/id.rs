//! The `_id` of an item's document: a function of its key that no two keys of a table share, short and readable where the key
//! is. Source: docs/spec/sinks.md 3.3.
//!
//! A key is framed as `pk`, or `len(pk):pk|sk` with the length in bytes; text as it is, numbers as their decimal, binary as
//! its bytes. The id is
//! - the frame, if every byte of it is printable ASCII without `"` and `\`, and the first is no `~`;
//! - else `~` and the frame in base64url without padding;
//! - or, if either would be longer than 512 bytes, `~~` and the SHA-256 of the frame in hex.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use sha2::{Digest, Sha256};
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::Encoded;

use crate::sink::{KeyAttribute, SourceTable};

/// Longest `_id` that search engines take, bytes.
const ID_BYTES_MAX: usize = 512;

/// Appends the id of the item with these keys, which are a stored item. It needs no escape in JSON.
pub(super) fn write_id(source: &SourceTable, keys: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let begin = out.len();
    write_frame(source, keys, out)?;
    let frame = &out[begin..];
    if is_plain(frame) && frame.len() <= ID_BYTES_MAX {
        return Ok(());
    }
    let id = if is_plain(frame) || 1 + (4 * frame.len()).div_ceil(3) > ID_BYTES_MAX {
        let digest = Sha256::digest(frame);
        digest.iter().fold(String::from("~~"), |id, byte| id + &format!("{byte:02x}"))
    } else {
        format!("~{}", BASE64_URL.encode(frame))
    };
    out.truncate(begin);
    out.extend_from_slice(id.as_bytes());
    Ok(())
}

/// Appends the frame of a key: different keys of one table have different frames.
pub(super) fn write_frame(source: &SourceTable, keys: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let keys = StoredItem::new(keys)?;
    let Some(sort) = &source.sort_key else { return write_value(&keys, &source.partition_key, out) };
    let begin = out.len();
    write_value(&keys, &source.partition_key, out)?;
    let head = format!("{}:", out.len() - begin);
    out.splice(begin..begin, head.bytes());
    out.push(b'|');
    write_value(&keys, sort, out)
}

fn write_value(keys: &StoredItem<'_>, attribute: &KeyAttribute, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let missing = CodecError { left: keys.size() };
    match keys.members().find(&attribute.name)?.ok_or(missing)?.read()? {
        Encoded::S(text) => out.extend_from_slice(text.as_bytes()),
        Encoded::B(bytes) => out.extend_from_slice(bytes),
        Encoded::N(number) => number.write_decimal(out),
        _ => return Err(missing),
    }
    Ok(())
}

fn is_plain(frame: &[u8]) -> bool {
    frame.first() != Some(&b'~')
        && frame.iter().all(|byte| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tailrace_core::codec::encode_stored;
    use tailrace_core::{AttributeValue, Number};

    use super::*;
    use crate::search::tests::table;

    fn id(values: &[AttributeValue]) -> String {
        let kind = |value: &AttributeValue| value.type_name().to_owned();
        let source = table(&kind(&values[0]), values.get(1).map(kind).as_deref());
        let keys = ["pk", "sk"].iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut id = Vec::new();
        write_id(&source, &encode_stored(&keys), &mut id).unwrap();
        String::from_utf8(id).unwrap()
    }

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(text: &str) -> AttributeValue {
        AttributeValue::N(Number::parse(text).unwrap())
    }

    #[test]
    fn ids_are_readable_where_keys_are() {
        let b = |bytes: &[u8]| AttributeValue::B(bytes.to_vec());
        for (key, expected) in [
            (vec![s("ORDER#7")], "ORDER#7"),
            (vec![n("-12.50")], "-12.5"),
            (vec![n("1e3"), s("x")], "4:1000|x"),
            (vec![s("a|b"), s("c")], "3:a|b|c"),
            (vec![s("a"), s("b|c")], "1:a|b|c"),
            (vec![s("é")], "~w6k"),
            (vec![s("~w6k")], "~fnc2aw"),
            (vec![s("a\"")], "~YSI"),
            (vec![b(b"ab")], "ab"),
            (vec![b(&[0xff, 0xfe])], "~__4"),
        ] {
            assert_eq!(id(&key), expected);
        }
        assert_eq!(id(&[s(&"a".repeat(512))]), "a".repeat(512));
        let long = id(&[s(&"a".repeat(513))]);
        assert_eq!(long, "~~02425c0f5b0dabf3d2b9115f3f7723a02ad8bcfb1534a0d231614fd42b8188f6");
        assert_eq!(id(&[s(&"é".repeat(191))]).len(), 511);
        assert!(id(&[s(&"é".repeat(192))]).starts_with("~~"));
    }

    proptest! {
        #[test]
        fn no_two_keys_share_an_id(
            keys in prop::collection::btree_set(("[~|:0-9aé\\\\]{1,4}", "[~|:0-9aé\\\\]{1,4}"), 1..40),
        ) {
            let ids: BTreeSet<String> = keys.iter().map(|(pk, sk)| id(&[s(pk), s(sk)])).collect();
            prop_assert_eq!(ids.len(), keys.len());
            let partitions: BTreeSet<&String> = keys.iter().map(|(pk, _)| pk).collect();
            let ids: BTreeSet<String> = partitions.iter().map(|pk| id(&[s(pk)])).collect();
            prop_assert_eq!(ids.len(), partitions.len());
        }
    }
}
