//! Signed heads: an Ed25519 signature over the hash of a segment's last line, in a line behind it. Whoever rewrites the chain needs the
//! key, which is kept elsewhere.
//!
//! What is signed: the text `tailrace audit head v1` ‖ the hash, 32 bytes. The line is not of the chain: a segment that is written again
//! after a change of the key has the same entries and the same hashes.

use std::path::Path;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tailrace_core::json_text::JsonText;

use super::chain::{Hash, NotAsWritten, ReadLine, parse_hex, push_hex};
use super::entry::SIGNATURE;

const SIGNED: &[u8] = b"tailrace audit head v1";
/// Bytes of a private key's seed, and of a public key.
pub const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// Largest file of a key, bytes. Our reason: one has some hundred.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;

/// PKCS#8, version 1, of an Ed25519 key, before its seed. Source: RFC 8410, 7.
const PRIVATE_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// SubjectPublicKeyInfo of an Ed25519 key, before the key. Source: RFC 8410, 4.
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// A file of a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("the key file {0} cannot be read: {1}")]
    Unreadable(String, String),
    /// It holds no such key.
    #[error("{0} holds no {1} Ed25519 key in PEM")]
    NoKey(String, &'static str),
}

/// Signs heads.
pub struct Signer {
    pair: Ed25519KeyPair,
    id: String,
}

impl Signer {
    /// The key of a seed.
    pub fn of_seed(seed: &[u8; KEY_BYTES]) -> Signer {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("invariant: every 32 bytes are a seed");
        let id = key_id(pair.public_key().as_ref());
        Signer { pair, id }
    }

    /// Reads the PEM of a private key: what `tailrace audit keygen` writes, or `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Signer, KeyError> {
        let der = read_pem(path, "PRIVATE KEY")?;
        let no_key = || KeyError::NoKey(path.display().to_string(), "private");
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| no_key())?;
        let id = key_id(pair.public_key().as_ref());
        Ok(Signer { pair, id })
    }

    /// The PEM of the public key.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC_HEAD, self.pair.public_key().as_ref()].concat())
    }

    /// Appends the line that signs the head of a chain which has `entries` entries.
    pub fn push_line(&self, head: &Hash, entries: u64, out: &mut Vec<u8>) {
        push_line(&self.id, head, entries, self.pair.sign(&message(head)).as_ref(), out);
    }
}

/// The PEM of the private key of a seed.
pub fn private_pem(seed: &[u8; KEY_BYTES]) -> String {
    pem("PRIVATE KEY", &[&PRIVATE_HEAD[..], seed].concat())
}

fn message(head: &Hash) -> Vec<u8> {
    [SIGNED, &head.0].concat()
}

fn push_line(key: &str, head: &Hash, entries: u64, signature: &[u8], out: &mut Vec<u8>) {
    out.raw(br#"{"event_name":"SIGNATURE","head":""#);
    push_hex(&head.0, out);
    out.raw(br#"","key":""#);
    out.raw(key.as_bytes());
    out.raw(br#"","seq":"#);
    out.whole(entries);
    out.raw(br#","signature":""#);
    push_hex(signature, out);
    out.raw(b"\"}\n");
}

/// The name of a key in lines: the first 16 hex digits of its SHA-256.
fn key_id(public: &[u8]) -> String {
    let mut id = Hash::of_bytes(public).to_string();
    id.truncate(16);
    id
}

/// A key that tells whether a head was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: [u8; KEY_BYTES],
    id: String,
}

/// What a line says of the head before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// It was signed with one of the keys.
    Yes,
    /// There is no key to tell.
    NotLookedAt,
}

impl PublicKey {
    /// Reads the PEM of a public key.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        let der = read_pem(path, "PUBLIC KEY")?;
        let key = der.strip_prefix(&PUBLIC_HEAD).and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok());
        let key = key.ok_or_else(|| KeyError::NoKey(path.display().to_string(), "public"))?;
        Ok(PublicKey { key, id: key_id(&key) })
    }

    /// That of a signer.
    pub fn of(signer: &Signer) -> PublicKey {
        let key = signer.pair.public_key().as_ref().try_into().expect("invariant: a public key has 32 bytes");
        PublicKey { key, id: signer.id.clone() }
    }
}

/// Reads the line behind a segment that ends with `head` and has `entries` entries with those before it.
///
/// # Errors
/// What is wrong with it.
pub fn check_line(line: &[u8], head: &Hash, entries: u64, keys: &[PublicKey]) -> Result<Signed, NotAsWritten> {
    let read = ReadLine::parse(line).ok_or("it cannot be read")?;
    let (Some(SIGNATURE), Some(key), Some(text)) = (read.text("event_name"), read.text("key"), read.text("signature"))
    else {
        return Err("it is no signature".into());
    };
    let mut signature = [0; SIGNATURE_BYTES];
    let mut form = Vec::with_capacity(line.len() + 1);
    if parse_hex(text.as_bytes(), &mut signature) {
        push_line(key, head, entries, &signature, &mut form);
    }
    if form.strip_suffix(b"\n") != Some(line) {
        return Err("it is not that of the head before it".into());
    }
    if keys.is_empty() {
        return Ok(Signed::NotLookedAt);
    }
    let known = keys
        .iter()
        .find(|known| known.id == key)
        .ok_or_else(|| NotAsWritten(format!("it is with the key {key}, which is not known")))?;
    let verified = UnparsedPublicKey::new(&ED25519, known.key).verify(&message(head), &signature);
    verified.map(|()| Signed::Yes).map_err(|_| "it is wrong".into())
}

// ------------------------------------------------------------------------------------------------------------- PEM

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn read_pem(path: &Path, label: &str) -> Result<Vec<u8>, KeyError> {
    use base64::Engine as _;
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| KeyError::Unreadable(path.display().to_string(), error.to_string());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(body, _)| body);
    let body: Option<String> = body.map(|body| body.split_whitespace().collect());
    let der = body.and_then(|body| base64::engine::general_purpose::STANDARD.decode(body).ok());
    let kind = if label.starts_with("PUBLIC") { "public" } else { "private" };
    der.ok_or_else(|| KeyError::NoKey(path.display().to_string(), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1: the key pair; and the forms that OpenSSL writes.
    #[test]
    fn keys_are_read_as_they_were_written() {
        let mut seed = [0; KEY_BYTES];
        assert!(parse_hex(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed));
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("key"), dir.path().join("key.pub"));
        std::fs::write(&private, private_pem(&seed)).unwrap();
        let signer = Signer::read(&private).unwrap();
        let mut key = Vec::new();
        push_hex(signer.pair.public_key().as_ref(), &mut key);
        assert_eq!(key, b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        std::fs::write(&public, signer.public_pem()).unwrap();
        assert_eq!(PublicKey::read(&public).unwrap(), PublicKey::of(&signer));
        assert_eq!(PublicKey::of(&Signer::of_seed(&seed)), PublicKey::of(&signer));
        let wrong = PublicKey::read(&private).unwrap_err().to_string();
        assert!(wrong.ends_with("holds no public Ed25519 key in PEM"), "{wrong}");
        assert!(matches!(Signer::read(&dir.path().join("none")), Err(KeyError::Unreadable(..))));
    }

    #[test]
    fn a_signature_is_of_one_head_one_count_and_one_key() {
        let (signer, other) = (Signer::of_seed(&[1; 32]), Signer::of_seed(&[2; 32]));
        let (head, mut line) = (Hash::of_bytes(b"head"), Vec::new());
        signer.push_line(&head, 7, &mut line);
        line.pop();
        let keys = [PublicKey::of(&other), PublicKey::of(&signer)];
        assert_eq!(check_line(&line, &head, 7, &keys), Ok(Signed::Yes));
        assert_eq!(check_line(&line, &head, 7, &[]), Ok(Signed::NotLookedAt));
        assert!(check_line(&line, &head, 7, &keys[..1]).unwrap_err().0.contains("not known"));
        assert!(check_line(&line, &head, 8, &keys).is_err());
        assert!(check_line(&line, &Hash::NONE, 7, &keys).is_err());
        for at in 0..line.len() {
            let mut flipped = line.clone();
            flipped[at] ^= 1;
            assert!(check_line(&flipped, &head, 7, &keys).is_err(), "{at}");
        }
    }
}
