//! The operators that are more than a comparison: wildcards, ranges of numbers, ranges of addresses, texts without their case.

use std::net::IpAddr;

/// A text with `*` for any characters. The greedy way through it is the only one that has to be tried, so a match costs a
/// search for each piece and never a second one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// What stands between the stars; at least one piece, the first and the last of which may be empty.
    pieces: Vec<Box<str>>,
}

impl Wildcard {
    /// `None`: two stars in a row, or a backslash before what is neither a star nor a backslash.
    pub fn parse(text: &str) -> Option<Wildcard> {
        let mut pieces = vec![String::new()];
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' if characters.peek() == Some(&'*') => return None,
                '*' => {
                    pieces.push(String::new());
                    continue;
                }
                '\\' => characters.next().filter(|next| matches!(next, '*' | '\\'))?,
                other => other,
            };
            pieces.last_mut()?.push(literal);
        }
        Some(Wildcard { pieces: pieces.into_iter().map(String::into_boxed_str).collect() })
    }

    pub fn matches(&self, text: &str) -> bool {
        let [first, rest @ ..] = self.pieces.as_slice() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first.as_ref() };
        let Some(mut left) = text.strip_prefix(first.as_ref()) else { return false };
        for piece in middle {
            let Some(at) = left.find(piece.as_ref()) else { return false };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last.as_ref())
    }
}

/// Numbers between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub low: Option<Bound>,
    pub high: Option<Bound>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub at: f64,
    pub inclusive: bool,
}

impl Range {
    pub fn contains(&self, value: f64) -> bool {
        let above = |low: Bound| value > low.at || (low.inclusive && value == low.at);
        let below = |high: Bound| value < high.at || (high.inclusive && value == high.at);
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    network: u128,
    bits: u32,
    v4: bool,
}

impl Cidr {
    /// `None`: not an address, a slash and a length.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = text.split_once('/')?;
        let (address, width, v4) = number_of(address)?;
        let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse::<u32>().ok().filter(|length| plain && *length <= width)?;
        let bits = width - length;
        Some(Cidr { network: shifted(address, bits), bits, v4 })
    }

    pub fn contains(&self, text: &str) -> bool {
        number_of(text).is_some_and(|(address, _, v4)| v4 == self.v4 && shifted(address, self.bits) == self.network)
    }
}

fn number_of(address: &str) -> Option<(u128, u32, bool)> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32, true),
        IpAddr::V6(address) => (address.to_bits(), 128, false),
    })
}

fn shifted(address: u128, bits: u32) -> u128 {
    address.checked_shr(bits).unwrap_or(0)
}

/// The text as texts are compared without their case.
pub(crate) fn without_case(text: &str) -> Box<str> {
    lower(text).collect::<String>().into_boxed_str()
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// `own` is in lower case, here and below.
pub(crate) fn equals_ignoring_case(text: &str, own: &str) -> bool {
    lower(text).eq(own.chars())
}

pub(crate) fn begins_ignoring_case(text: &str, own: &str) -> bool {
    let mut text = lower(text);
    own.chars().all(|character| text.next() == Some(character))
}

pub(crate) fn ends_ignoring_case(text: &str, own: &str) -> bool {
    let mut text = text.chars().rev().flat_map(|character| character.to_lowercase().rev());
    own.chars().rev().all(|character| text.next() == Some(character))
}
