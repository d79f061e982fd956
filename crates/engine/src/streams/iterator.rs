//! Shard iterators: opaque tokens `<streamArn>|1|<base64>`. The base64 holds version, a flag, stream, shard, the number to read
//! after, issue time and a nonce, and an HMAC-SHA256 over all of it and the ARN, so that a client can neither make nor change one.
//! The secret is kept in the store, so that tokens outlive a restart.
//!
//! A position is a number, never an offset: trimming does not move it. Source: docs/spec/streams.md 6.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tailrace_core::rng::Rng;
use tailrace_core::{EpochMs, RecordNo, StreamArn};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Engine, ShardNo, StoreError, StreamId, Write, commit};

const TOKEN_VERSION: u8 = 1;
const SECRET_SETTING: &str = "iterator-secret";
const ARN_SCOPE_SETTING: &str = "arn-scope";
const FIELDS_BYTES: usize = 2 + 8 * 5;
const MAC_BYTES: usize = 32;

/// The key of the tokens' MAC.
#[derive(Clone)]
pub struct IteratorSecret([u8; 32]);

impl IteratorSecret {
    #[cfg(test)]
    pub(crate) fn of(bytes: [u8; 32]) -> IteratorSecret {
        IteratorSecret(bytes)
    }

    /// The MAC of other tokens, which begin with what they are for: no position in a shard does.
    pub(crate) fn mac(&self, purpose: &str, fields: &[u8]) -> [u8; MAC_BYTES] {
        mac(self, &StreamArn::new(purpose), fields).finalize().into_bytes().into()
    }

    /// Whether `tag` is that MAC.
    pub(crate) fn verifies(&self, purpose: &str, fields: &[u8], tag: &[u8]) -> bool {
        mac(self, &StreamArn::new(purpose), fields).verify_slice(tag).is_ok()
    }
}

/// What the data directory knows of itself.
pub(crate) struct Identity {
    pub directory_uuid: String,
    pub secret: IteratorSecret,
    /// Region and account of its ARNs when it was first started, `us-east-1:000000000000`.
    pub arn_scope: String,
}

/// A position in a shard that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardNo,
    /// Read after this number.
    pub after: RecordNo,
    /// Nothing that it has not read can have been trimmed: it stands at the shard's horizon, wherever that moves, or stood
    /// behind the newest record when it was given out.
    pub untrimmed: bool,
    /// When it was given out.
    pub issued_ms: EpochMs,
}

/// Reads the directory's uuid, secret and first region and account; makes what is missing.
pub(crate) async fn identity(store: &dyn Engine, rng: &dyn Rng, arn_scope: &str) -> Result<Identity, StoreError> {
    let keys = [SettingKey::DIRECTORY_UUID, SECRET_SETTING, ARN_SCOPE_SETTING].map(SettingKey::key);
    let mut secret = [0; 32];
    rng.fill(&mut secret);
    let fresh =
        [Bytes::from(rng.uuid()), Bytes::copy_from_slice(&secret), Bytes::copy_from_slice(arn_scope.as_bytes())];
    let committed = commit(store, &[], &keys, |reads| {
        let mut writes = Vec::new();
        let mut values = Vec::new();
        for ((key, value), fresh) in keys.iter().zip(reads.exclusive).zip(&fresh) {
            if value.is_none() {
                writes.push(Write::Put { key: key.clone(), value: fresh.clone() });
            }
            values.push(value.clone().unwrap_or_else(|| fresh.clone()));
        }
        if writes.is_empty() { Decision::Reject(values) } else { Decision::Apply(writes, values) }
    })
    .await?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("setting {what} of the data directory"));
    let [uuid, secret, arn_scope] = &committed.answer[..] else { return Err(corrupt("count")) };
    let text = |value: &Bytes, name: &str| String::from_utf8(value.to_vec()).map_err(|_| corrupt(name));
    Ok(Identity {
        directory_uuid: text(uuid, SettingKey::DIRECTORY_UUID)?,
        arn_scope: text(arn_scope, ARN_SCOPE_SETTING)?,
        secret: IteratorSecret(secret[..].try_into().map_err(|_| corrupt(SECRET_SETTING))?),
    })
}

impl ShardIterator {
    /// The token of a position in a shard of the stream `arn`. The nonce makes two tokens of one position differ.
    pub fn token(&self, arn: &StreamArn, secret: &IteratorSecret, nonce: u64) -> String {
        let mut bytes = Vec::with_capacity(FIELDS_BYTES + MAC_BYTES);
        bytes.extend([TOKEN_VERSION, u8::from(self.untrimmed)]);
        for field in [self.stream.0, self.shard.0, self.after.0, self.issued_ms.0, nonce] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        let mac = mac(secret, arn, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        format!("{arn}|1|{}", BASE64.encode(bytes))
    }

    /// Reads a token, with the ARN that it names. `None`: it is none of ours.
    pub fn read<'a>(token: &'a str, secret: &IteratorSecret) -> Option<(&'a str, ShardIterator)> {
        let mut parts = token.split('|');
        let (arn, one, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        if one != "1" || parts.next().is_some() {
            return None;
        }
        let bytes = BASE64.decode(encoded).ok()?;
        let (fields, tag) = bytes.split_at_checked(FIELDS_BYTES)?;
        mac(secret, &StreamArn::new(arn), fields).verify_slice(tag).ok()?;
        if fields[0] != TOKEN_VERSION {
            return None;
        }
        let mut numbers = fields[2..].chunks_exact(8).map(|c| c.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let iterator = ShardIterator {
            stream: StreamId(numbers.next()?),
            shard: ShardNo(numbers.next()?),
            after: RecordNo(numbers.next()?),
            untrimmed: fields[1] == 1,
            issued_ms: EpochMs(numbers.next()?),
        };
        Some((arn, iterator))
    }
}

fn mac(secret: &IteratorSecret, arn: &StreamArn, fields: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("invariant: HMAC takes a key of any length");
    mac.update(arn.as_str().as_bytes());
    mac.update(b"|");
    mac.update(fields);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_no_byte_of_it_can_be_changed() {
        let secret = IteratorSecret([7; 32]);
        let iterator = ShardIterator {
            stream: StreamId(3),
            shard: ShardNo(9),
            after: RecordNo(77),
            untrimmed: true,
            issued_ms: EpochMs(1_700_000_000_000),
        };
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2015-05-20T20:51:10.252";
        let token = iterator.token(&StreamArn::new(arn), &secret, 1);
        assert_eq!(ShardIterator::read(&token, &secret), Some((arn, iterator)));
        assert_ne!(token, iterator.token(&StreamArn::new(arn), &secret, 2));
        assert!(token.len() <= 2048);
        assert_eq!(ShardIterator::read(&token, &IteratorSecret([8; 32])), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ShardIterator::read(&changed, &secret), None, "byte {at}");
        }
    }
}
