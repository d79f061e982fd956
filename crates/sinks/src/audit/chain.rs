//! The hash chain: lines of canonical JSON, each of which holds the hash of the one before it, and its own.
//!
//! The hash of a line is `SHA-256("v1" ‖ the hash before, 32 bytes ‖ the line without its members "hash" and "prev_hash")`. A line is an
//! object of canonical JSON (RFC 8785) and ends with a line feed, which is not hashed. So the bytes of a line decide its hash, and its hash
//! decides all lines before it.

use std::fmt;
use std::ops::Range;

use ring::digest::{Context, SHA256};

/// What is hashed before all else: the version of the format.
const VERSION: &[u8] = b"v1";
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// More members than any line has.
const MEMBERS_MAX: usize = 24;

/// A chain, or a line of it, is not as it was written: what is wrong with it, for people. Reading it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAsWritten(pub String);

impl From<String> for NotAsWritten {
    fn from(what: String) -> NotAsWritten {
        NotAsWritten(what)
    }
}

impl From<&str> for NotAsWritten {
    fn from(what: &str) -> NotAsWritten {
        NotAsWritten(what.to_owned())
    }
}

/// A hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// What stands before the first line of a chain that no other one goes over into.
    pub const NONE: Hash = Hash([0; HASH_BYTES]);

    /// Of a line: see the module's page. `pieces`: the line without the two members.
    fn of(before: &Hash, pieces: &[&[u8]]) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(VERSION);
        context.update(&before.0);
        pieces.iter().for_each(|piece| context.update(piece));
        Hash::from_digest(context.finish().as_ref())
    }

    /// SHA-256 of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Hash {
        Hash::from_digest(ring::digest::digest(&SHA256, bytes).as_ref())
    }

    fn from_digest(digest: &[u8]) -> Hash {
        Hash(digest.try_into().expect("invariant: SHA-256 has 32 bytes"))
    }

    /// Reads 64 hex digits in lower case.
    pub fn parse(text: &[u8]) -> Option<Hash> {
        let mut hash = Hash::NONE;
        parse_hex(text, &mut hash.0).then_some(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        push_hex(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Appends hex digits in lower case.
pub fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 * bytes.len());
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Reads hex digits in lower case, exactly as many as there is room for.
pub fn parse_hex(text: &[u8], into: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * into.len() {
        return false;
    }
    for (pair, byte) in text.chunks_exact(2).zip(into) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

/// A line that is being written, without its hashes.
#[derive(Default)]
pub struct Line {
    /// The JSON so far.
    pub text: Vec<u8>,
    hash_at: usize,
    before_at: usize,
}

impl Line {
    /// Begins anew.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// Here `hash` will stand: a member has ended with its comma, and another one follows.
    pub fn hash_here(&mut self) {
        self.hash_at = self.text.len();
    }

    /// Here `prev_hash` will stand, behind `hash`.
    pub fn before_here(&mut self) {
        self.before_at = self.text.len();
    }

    /// Appends the line to `out`, behind the one whose hash is `before`; its own hash.
    pub fn push_to(&self, before: &Hash, out: &mut Vec<u8>) -> Hash {
        let (head, rest) = self.text.split_at(self.hash_at);
        let (middle, tail) = rest.split_at(self.before_at - self.hash_at);
        let hash = Hash::of(before, &[&self.text]);
        out.reserve(self.text.len() + 192);
        out.extend_from_slice(head);
        push_hash_member("hash", &hash, out);
        out.extend_from_slice(middle);
        push_hash_member("prev_hash", before, out);
        out.extend_from_slice(tail);
        out.push(b'\n');
        hash
    }
}

fn push_hash_member(name: &str, hash: &Hash, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    push_hex(&hash.0, out);
    out.extend_from_slice(b"\",");
}

/// A line that was read, without its line feed.
pub struct ReadLine<'a> {
    line: &'a [u8],
    members: Vec<(&'a [u8], Range<usize>)>,
}

impl<'a> ReadLine<'a> {
    /// Finds the members of a line. `None`: it is no object of members without spaces between them, each name once and in order.
    pub fn parse(line: &'a [u8]) -> Option<ReadLine<'a>> {
        let mut members: Vec<(&[u8], Range<usize>)> = Vec::with_capacity(16);
        let mut at = 1;
        if line.first() != Some(&b'{') || line.get(at) == Some(&b'}') {
            return None;
        }
        loop {
            let name_end = string_end(line, at)?;
            let name = &line[at + 1..name_end - 1];
            if line.get(name_end) != Some(&b':') || members.last().is_some_and(|(last, _)| *last >= name) {
                return None;
            }
            let value = name_end + 1..value_end(line, name_end + 1)?;
            at = value.end + 1;
            let follows = *line.get(value.end)?;
            members.push((name, value));
            match follows {
                b',' if members.len() < MEMBERS_MAX => {}
                b'}' if at == line.len() => return Some(ReadLine { line, members }),
                _ => return None,
            }
        }
    }

    /// The JSON of a member's value.
    pub fn json(&self, name: &str) -> Option<&'a [u8]> {
        let at = self.members.binary_search_by(|(known, _)| (*known).cmp(name.as_bytes())).ok()?;
        Some(&self.line[self.members[at].1.clone()])
    }

    /// A text that has no escapes: `None` also if it has.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let inner = self.json(name)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        std::str::from_utf8(inner).ok().filter(|text| !text.contains('\\'))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let digits = std::str::from_utf8(self.json(name)?).ok()?;
        digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
    }

    /// A hash.
    pub fn hash(&self, name: &str) -> Option<Hash> {
        Hash::parse(self.text(name)?.as_bytes())
    }

    /// What `hash` has to be, behind the line whose hash is `before`. `None`: the line lacks one of the two members.
    pub fn hash_behind(&self, before: &Hash) -> Option<Hash> {
        let [own, prev] = ["hash", "prev_hash"].map(|name| {
            let (_, value) = self.members.iter().find(|(known, _)| *known == name.as_bytes())?;
            // With its name, two quotes and a colon before, and the comma behind: neither of the two is the last member.
            let member = value.start - name.len() - 3..value.end + 1;
            (self.line.get(value.end) == Some(&b',')).then_some(member)
        });
        let (own, prev) = (own?, prev?);
        Some(Hash::of(before, &[&self.line[..own.start], &self.line[own.end..prev.start], &self.line[prev.end..]]))
    }
}

/// Behind the string that begins at `at`.
fn string_end(line: &[u8], at: usize) -> Option<usize> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match *line.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the value that begins at `at`. What is inside of it is not looked at.
fn value_end(line: &[u8], at: usize) -> Option<usize> {
    match *line.get(at)? {
        b'"' => string_end(line, at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, at);
            loop {
                match *line.get(at)? {
                    b'"' => {
                        at = string_end(line, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth = depth.checked_sub(1)?;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let length = line[at..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
            (length > 0).then_some(at + length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(before: &Hash) -> (Vec<u8>, Hash) {
        let mut line = Line::default();
        line.text.extend_from_slice(br#"{"event_name":"X","#);
        line.hash_here();
        line.text.extend_from_slice(br#""keys":{"a}":{"S":"\"}"}},"#);
        line.before_here();
        line.text.extend_from_slice(br#""seq":7}"#);
        let mut out = Vec::new();
        let hash = line.push_to(before, &mut out);
        (out, hash)
    }

    /// The vector of docs/sinks.md: whoever writes another verifier can hold it against this.
    #[test]
    fn the_hash_is_that_of_the_published_vector() {
        let (text, hash) = line(&Hash::NONE);
        let own = ring::digest::digest(
            &SHA256,
            &[b"v1", &[0; 32][..], br#"{"event_name":"X","keys":{"a}":{"S":"\"}"}},"seq":7}"#].concat(),
        );
        assert_eq!(hash.0, own.as_ref());
        let expected = format!(
            "{{\"event_name\":\"X\",\"hash\":\"{hash}\",\"keys\":{{\"a}}\":{{\"S\":\"\\\"}}\"}}}},\"prev_hash\":\"{}\",\"seq\":7}}\n",
            "0".repeat(64)
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_line_that_was_written_reads_back() {
        let before = Hash::of_bytes(b"before");
        let (text, hash) = line(&before);
        let read = ReadLine::parse(&text[..text.len() - 1]).unwrap();
        assert_eq!((read.text("event_name"), read.number("seq")), (Some("X"), Some(7)));
        assert_eq!((read.hash("hash"), read.hash("prev_hash")), (Some(hash), Some(before)));
        assert_eq!(read.hash_behind(&before), Some(hash));
        assert_ne!(read.hash_behind(&Hash::NONE), Some(hash));
        assert_eq!(read.json("keys"), Some(&br#"{"a}":{"S":"\"}"}}"#[..]));
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":1 }x",
            "{ \"a\":1}",
            "{\"b\":1,\"a\":1}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":\"x}",
            "{\"a\":[}",
            "{\"a\":\"\\\"}",
            "{\"a\":1]",
        ] {
            assert!(ReadLine::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn hashes_have_one_form() {
        let text = Hash::of_bytes(b"").to_string();
        assert_eq!(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(Hash::parse(text.as_bytes()).is_some());
        assert!(Hash::parse(text.to_uppercase().as_bytes()).is_none());
        assert!(Hash::parse(&text.as_bytes()[1..]).is_none());
    }
}
