//! What a function has made of a record, and the bytes that this is kept in (docs/format.md, Delivery streams).
//!
//! A row holds the results of consecutive records: a version byte, then for each record a tag: `00` and the data, with the partition keys
//! of the function before it; `01` dropped; `02` failed, with code, message, tries and the instant of the last. Lengths and numbers
//! are big endian.

use bytes::Bytes;
use tailrace_core::EpochMs;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is delivered in its place.
    Ok {
        /// The data.
        data: Bytes,
        /// The partition keys that the function gave, by name.
        keys: Vec<(String, String)>,
    },
    /// Nothing is delivered, as the function wants it.
    Dropped,
    /// It goes to the errors.
    Failed(Failure),
}

/// Why a record could not be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `Lambda.FunctionError` and its like.
    pub code: String,
    /// For people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last.
    pub ended_ms: EpochMs,
}

const VERSION: u8 = 1;
const OK: u8 = 0;
const DROPPED: u8 = 1;
const FAILED: u8 = 2;

impl Outcome {
    /// What it adds to a row.
    pub fn bytes(&self) -> usize {
        match self {
            Outcome::Ok { data, keys } => {
                7 + data.len() + keys.iter().map(|(name, value)| 8 + name.len() + value.len()).sum::<usize>()
            }
            Outcome::Dropped => 1,
            Outcome::Failed(failure) => 21 + failure.code.len() + failure.message.len(),
        }
    }
}

/// The value of a row.
pub fn encode(outcomes: &[Outcome]) -> Bytes {
    let mut out = Vec::with_capacity(1 + outcomes.iter().map(Outcome::bytes).sum::<usize>());
    out.push(VERSION);
    for outcome in outcomes {
        match outcome {
            Outcome::Ok { data, keys } => {
                out.push(OK);
                out.extend_from_slice(&(keys.len() as u16).to_be_bytes());
                for (name, value) in keys {
                    push(name.as_bytes(), &mut out);
                    push(value.as_bytes(), &mut out);
                }
                push(data, &mut out);
            }
            Outcome::Dropped => out.push(DROPPED),
            Outcome::Failed(failure) => {
                out.push(FAILED);
                push(failure.code.as_bytes(), &mut out);
                push(failure.message.as_bytes(), &mut out);
                out.extend_from_slice(&failure.attempts.to_be_bytes());
                out.extend_from_slice(&failure.ended_ms.0.to_be_bytes());
            }
        }
    }
    out.into()
}

fn push(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a row's value. `None`: it is none of a version that this code knows.
pub fn decode(value: &Bytes) -> Option<Vec<Outcome>> {
    let mut rest = Rest(value.strip_prefix(&[VERSION][..])?);
    let mut outcomes = Vec::new();
    while let Some((tag, behind)) = rest.0.split_first() {
        rest.0 = behind;
        outcomes.push(match *tag {
            OK => {
                let count = u16::from_be_bytes(rest.array()?);
                let keys = (0..count).map(|_| Some((rest.text()?, rest.text()?))).collect::<Option<_>>()?;
                Outcome::Ok { data: value.slice_ref(rest.bytes()?), keys }
            }
            DROPPED => Outcome::Dropped,
            FAILED => Outcome::Failed(Failure {
                code: rest.text()?,
                message: rest.text()?,
                attempts: u32::from_be_bytes(rest.array()?),
                ended_ms: EpochMs(u64::from_be_bytes(rest.array()?)),
            }),
            _ => return None,
        });
    }
    Some(outcomes)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md, Delivery streams.
    #[test]
    fn results_read_back() {
        let failure = Failure { code: "c".into(), message: "mé".into(), attempts: 4, ended_ms: EpochMs(5) };
        let keys = vec![("k".to_owned(), "v".to_owned())];
        let outcomes = vec![
            Outcome::Ok { data: Bytes::from_static(b"\x00\xff"), keys },
            Outcome::Dropped,
            Outcome::Failed(failure),
            Outcome::Ok { data: Bytes::new(), keys: Vec::new() },
        ];
        let row = encode(&outcomes);
        assert_eq!(row.len(), 1 + outcomes.iter().map(Outcome::bytes).sum::<usize>());
        assert_eq!(&row[..14], b"\x01\x00\x00\x01\x00\x00\x00\x01k\x00\x00\x00\x01v");
        assert_eq!(decode(&row), Some(outcomes));
        assert_eq!(decode(&row.slice(..row.len() - 1)), None);
        assert_eq!(decode(&Bytes::from_static(b"\x02\x01")), None);
    }
}
