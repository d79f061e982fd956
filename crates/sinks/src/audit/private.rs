//! Values that the trail is not to hold: each attribute's value is replaced by an HMAC-SHA256 under a key of the operator's.
//!
//! Equal values of one attribute have equal codes, so it can be shown that a value was there, and that it changed, by whoever has key
//! and value; without the key nothing can be guessed. With a subject (an attribute that names a person) each person's values are under a
//! key of their own, made of the operator's key and of a salt that the store keeps. Who is to be forgotten has the salt removed: from
//! then on not even the operator's key tells what the values were.

use ring::hmac::{HMAC_SHA256, Key, Tag, sign};
use tailrace_core::{AttributeValue, Item};

use super::canonical;
use super::chain::push_hex;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// Shortest key of an operator, bytes.
pub const KEY_BYTES_MIN: usize = 16;

/// The operator's key.
pub struct MasterKey(Key);

impl MasterKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8]) -> MasterKey {
        MasterKey(Key::new(HMAC_SHA256, bytes))
    }

    /// What values are hidden with where there is no subject.
    pub fn hider(&self) -> Hider {
        Hider(Key::new(HMAC_SHA256, sign(&self.0, b"values").as_ref()))
    }

    /// What stands for a person in the store.
    pub fn subject(&self, subject: &AttributeValue) -> [u8; SALT_BYTES] {
        let mut message = b"subject\0".to_vec();
        canonical::push_value(subject, &mut message);
        bytes_of(&sign(&self.0, &message))
    }

    /// What the values of a person are hidden with who has this salt.
    pub fn hider_of(&self, salt: &[u8]) -> Hider {
        Hider(Key::new(HMAC_SHA256, sign(&self.0, &[b"salt\0", salt].concat()).as_ref()))
    }
}

fn bytes_of(tag: &Tag) -> [u8; SALT_BYTES] {
    tag.as_ref().try_into().expect("invariant: HMAC-SHA256 has 32 bytes")
}

/// Hides values.
#[derive(Clone)]
pub struct Hider(Key);

impl Hider {
    /// The code of an attribute's value: over its name ‖ `00` ‖ its canonical JSON.
    fn code(&self, name: &str, value: &AttributeValue) -> Tag {
        let mut message = name.as_bytes().to_vec();
        message.push(0);
        canonical::push_value(value, &mut message);
        sign(&self.0, &message)
    }

    /// Appends the JSON of an item whose values are hidden: `{"name":{"HMAC":"64 hex digits"}}`.
    pub fn push_hidden(&self, item: &Item, out: &mut Vec<u8>) {
        canonical::push_members(item, out, |name, value, out| {
            out.extend_from_slice(br#"{"HMAC":""#);
            push_hex(self.code(name, value).as_ref(), out);
            out.extend_from_slice(br#""}"#);
        });
    }

    /// The code as it stands in the trail.
    pub fn code_text(&self, name: &str, value: &AttributeValue) -> String {
        let mut text = Vec::new();
        push_hex(self.code(name, value).as_ref(), &mut text);
        String::from_utf8(text).expect("invariant: hex digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        let s = |text: &str| AttributeValue::S(text.to_owned());
        Item::from([("name".to_owned(), s("Ann")), ("other".to_owned(), s("Ann"))])
    }

    fn hidden(hider: &Hider) -> String {
        let mut out = Vec::new();
        hider.push_hidden(&item(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The vector of docs/sinks.md.
    #[test]
    fn a_code_is_over_the_name_and_the_value() {
        let hider = MasterKey::new(b"0123456789abcdef").hider();
        let own = |name: &str| {
            let derived = sign(&Key::new(HMAC_SHA256, b"0123456789abcdef"), b"values");
            let code = sign(&Key::new(HMAC_SHA256, derived.as_ref()), format!("{name}\0{{\"S\":\"Ann\"}}").as_bytes());
            let mut text = Vec::new();
            push_hex(code.as_ref(), &mut text);
            String::from_utf8(text).unwrap()
        };
        let (name, other) = (own("name"), own("other"));
        assert_ne!(name, other, "equal values of two attributes are not seen to be equal");
        assert_eq!(hidden(&hider), format!(r#"{{"name":{{"HMAC":"{name}"}},"other":{{"HMAC":"{other}"}}}}"#));
        assert_eq!(hider.code_text("name", &item()["name"]), name);
    }

    #[test]
    fn each_person_has_codes_of_their_own_and_new_ones_with_a_new_salt() {
        let master = MasterKey::new(b"0123456789abcdef");
        let [a, b] = [[1; SALT_BYTES], [2; SALT_BYTES]].map(|salt| hidden(&master.hider_of(&salt)));
        assert_ne!(a, b);
        assert_ne!(a, hidden(&master.hider()));
        assert_eq!(a, hidden(&master.hider_of(&[1; SALT_BYTES])));
        let (ann, bob) = (AttributeValue::S("Ann".to_owned()), AttributeValue::S("Bob".to_owned()));
        assert_ne!(master.subject(&ann), master.subject(&bob));
        assert_ne!(master.subject(&ann), MasterKey::new(b"another key 0123").subject(&ann));
    }
}
