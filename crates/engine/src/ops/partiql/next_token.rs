//! `NextToken`: a place between two pages of a `SELECT`, opaque.
//!
//! The base64 holds a version, a digest of statement and parameters, the number of the range and the key of its last row, and a MAC
//! over all of it: a client can neither make nor change one, nor go on with another statement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use tailrace_api::partiql::PreparedStatement;
use tailrace_core::codec::{decode_item, encode_item};
use tailrace_core::{ApiError, Item};

use crate::streams::iterator::IteratorSecret;

const PURPOSE: &str = "partiql-next-token";
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// Version, digest and range.
const FIELDS_BYTES: usize = 1 + 32 + 4;

/// A place between two pages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NextToken {
    /// The range of the statement; of a scan, 0.
    pub range: u32,
    /// The last row that was read there.
    pub last_key: Item,
}

impl NextToken {
    /// The token of a place in a statement.
    pub fn write(&self, statement: &PreparedStatement, secret: &IteratorSecret) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&digest(statement));
        bytes.extend_from_slice(&self.range.to_be_bytes());
        encode_item(&self.last_key, &mut bytes);
        bytes.extend_from_slice(&secret.mac(PURPOSE, &bytes));
        BASE64.encode(bytes)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// It is none of ours, or of another statement.
    pub fn read(token: &str, statement: &PreparedStatement, secret: &IteratorSecret) -> Result<NextToken, ApiError> {
        let invalid = || ApiError::validation("Invalid NextToken");
        let bytes = BASE64.decode(token).map_err(|_| invalid())?;
        let fields_end = bytes.len().checked_sub(MAC_BYTES).filter(|end| *end >= FIELDS_BYTES).ok_or_else(invalid)?;
        let (fields, tag) = bytes.split_at(fields_end);
        if !secret.verifies(PURPOSE, fields, tag) || fields[0] != VERSION {
            return Err(invalid());
        }
        if fields[1..33] != digest(statement) {
            return Err(ApiError::validation("NextToken does not match request"));
        }
        let range = fields[33..FIELDS_BYTES].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let last_key = decode_item(&fields[FIELDS_BYTES..]).map_err(|_| invalid())?;
        Ok(NextToken { range, last_key })
    }
}

/// What a statement is: the same text with the same parameters.
pub(crate) fn digest(statement: &PreparedStatement) -> [u8; 32] {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&statement.text.len().to_be_bytes());
    bytes.extend_from_slice(statement.text.as_bytes());
    let parameters = statement.parameters.iter().enumerate();
    let parameters: Item = parameters.map(|(index, value)| (format!("{index:05}"), value.clone())).collect();
    encode_item(&parameters, &mut bytes);
    Sha256::digest(&bytes).into()
}

#[cfg(test)]
mod tests {
    use tailrace_core::AttributeValue;

    use super::*;

    #[test]
    fn a_token_reads_back_for_its_statement_alone_and_no_byte_of_it_can_be_changed() {
        let statement = |text: &str, value: &str| PreparedStatement {
            text: text.to_owned(),
            parameters: vec![AttributeValue::S(value.to_owned())],
        };
        let secret = IteratorSecret::of([7; 32]);
        let key = Item::from([("pk".to_owned(), AttributeValue::S("a".to_owned()))]);
        let place = NextToken { range: 3, last_key: key };
        let token = place.write(&statement("x", "a"), &secret);
        assert_eq!(NextToken::read(&token, &statement("x", "a"), &secret), Ok(place));
        for other in [statement("y", "a"), statement("x", "b")] {
            let error = NextToken::read(&token, &other, &secret).unwrap_err();
            assert_eq!(error.message.as_deref(), Some("NextToken does not match request"));
        }
        let mut changed = vec![token.clone() + "=", String::new(), "xx".to_owned()];
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            changed.push(String::from_utf8(bytes).unwrap());
        }
        for token in changed {
            let error = NextToken::read(&token, &statement("x", "a"), &secret).unwrap_err();
            assert_eq!(error.message.as_deref(), Some("Invalid NextToken"), "{token}");
        }
    }
}
