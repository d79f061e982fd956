//! Signatures of web requests, as Standard Webhooks has them: HMAC-SHA256 over `id.timestamp.payload`, once for each secret, so
//! that a receiver can go from one to another. Source: <https://www.standardwebhooks.com>, specification 1.0.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::config::{ConfigError, wrong};
use crate::secret::Secret;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a key. Source: Standard Webhooks, "Signature scheme".
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key. It shows itself to nobody.
pub(super) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// It is none; the secret is not in the text.
    pub fn parse(secret: &Secret) -> Result<SigningKey, ConfigError> {
        let key = secret.expose().strip_prefix(PREFIX).and_then(|key| BASE64.decode(key).ok());
        let Some(key) = key.filter(|key| KEY_BYTES.contains(&key.len())) else {
            return wrong(&format!(
                "secrets: each is whsec_ and the base64 of {} to {} random bytes, as `openssl rand -base64 32` makes them",
                KEY_BYTES.start(),
                KEY_BYTES.end()
            ));
        };
        Ok(SigningKey(Hmac::new_from_slice(&key).expect("invariant: HMAC takes keys of any length")))
    }
}

/// The header `webhook-signature`.
pub(super) fn signature(keys: &[SigningKey], id: &str, timestamp_s: u64, payload: &[u8]) -> String {
    let sign = |key: &SigningKey| {
        let mut mac = key.0.clone();
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(payload);
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries: a secret, an id, a time and a payload that all of them sign alike.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let key = SigningKey::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = |keys: &[SigningKey]| {
            signature(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed(&[key]), expected);
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
        let keys = keys.map(|key| SigningKey::parse(&Secret::new(key)).unwrap());
        let both = signed(&keys);
        assert!(both.starts_with(&format!("{expected} v1,")) && both.matches("v1,").count() == 2, "{both}");
        assert_eq!(signed(&[]), "");
    }

    #[test]
    fn what_is_no_secret_is_told_without_it() {
        for secret in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_hunter2!", "whsec_c2hvcnQ="] {
            let error = SigningKey::parse(&Secret::new(secret)).err().unwrap().to_string();
            assert!(error.contains("secrets: each is whsec_") && !error.contains(secret), "{error}");
        }
    }
}
