//! What a stream's record stores besides its images: a version byte, a byte of flags, who asked for the change where the table
//! has an audit, and the keys as a stored item (docs/format.md, Stream record).
//!
//! flags: bits 0-1 the change (0 INSERT, 1 MODIFY, 2 REMOVE), bits 2-3 the view type (0 KEYS_ONLY, 1 NEW_IMAGE, 2 OLD_IMAGE,
//! 3 NEW_AND_OLD_IMAGES), bit 4: the service itself removed the item (time to live).
//!
//! Who asked is for the audit trail alone: nothing that clients and functions read of a record is made from it.

use bytes::Bytes;
use tailrace_core::Bucket;
use tailrace_core::limits::{ACCESS_KEY_BYTES_MAX, OPERATION_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use tailrace_store::{NewImage, StoreError, StreamId, Write};

use crate::caller::{Caller, Client};
use crate::table::{Table, TableStream, ViewType};

const META_VERSION: u8 = 1;
/// With who asked between the flags and the keys.
const META_VERSION_CALLER: u8 = 2;
const BY_SERVICE: u8 = 1 << 4;

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// There was none.
    Insert,
    /// It changed.
    Modify,
    /// There is none any more.
    Remove,
}

impl ChangeKind {
    /// The `eventName`.
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::Insert => "INSERT",
            ChangeKind::Modify => "MODIFY",
            ChangeKind::Remove => "REMOVE",
        }
    }
}

/// A record's meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// What happened.
    pub kind: ChangeKind,
    /// The stream's view type.
    pub view: ViewType,
    /// Time to live removed the item.
    pub by_service: bool,
    /// Who asked for the change, if the table has an audit and somebody did.
    pub caller: Option<RecordCaller>,
    /// The key attributes, as a stored item (size, then codec).
    pub keys: Bytes,
}

/// Who asked for a change, as it is stored: three texts, each behind a byte of its length; empty: not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCaller(Bytes);

impl RecordCaller {
    /// What is kept of a client; `None`: nothing is known of it. A text that is longer than its limit is cut.
    pub fn of(client: &Client<'_>) -> Option<RecordCaller> {
        let mut bytes = Vec::new();
        push_caller(client, &mut bytes);
        client.is_known().then(|| RecordCaller(bytes.into()))
    }

    /// The client, without its host.
    ///
    /// # Errors
    /// Corrupt.
    pub fn client(&self) -> Result<Client<'_>, StoreError> {
        let [operation, access_key, request_id] =
            parts(&self.0).and_then(|(parts, _)| texts(parts)).ok_or_else(|| corrupt("who asked is no text"))?;
        let known = |text: &str| !text.is_empty();
        Ok(Client {
            operation,
            access_key: Some(access_key).filter(|text| known(text)),
            request_id: Some(request_id).filter(|text| known(text)),
            host: None,
            written: None,
        })
    }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a stream record's meta: {what}"))
}

fn push_caller(client: &Client<'_>, out: &mut Vec<u8>) {
    let Client { operation, access_key, request_id, host: _, written: _ } = client;
    for (text, bytes_max) in [
        (*operation, OPERATION_BYTES_MAX),
        (access_key.unwrap_or_default(), ACCESS_KEY_BYTES_MAX),
        (request_id.unwrap_or_default(), REQUEST_ID_BYTES_MAX),
    ] {
        let text = &text[..text.floor_char_boundary(bytes_max)];
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
}

/// The three texts, and what stands behind them.
fn parts(mut bytes: &[u8]) -> Option<([&[u8]; 3], &[u8])> {
    let mut parts = [&[][..]; 3];
    for part in &mut parts {
        let (length, rest) = bytes.split_first()?;
        (*part, bytes) = rest.split_at_checked(usize::from(*length))?;
    }
    Some((parts, bytes))
}

fn texts(parts: [&[u8]; 3]) -> Option<[&str; 3]> {
    let [a, b, c] = parts.map(|part| std::str::from_utf8(part).ok());
    Some([a?, b?, c?])
}

fn flags(kind: ChangeKind, view: ViewType, by_service: bool) -> u8 {
    let kind = match kind {
        ChangeKind::Insert => 0,
        ChangeKind::Modify => 1,
        ChangeKind::Remove => 2,
    };
    let view = match view {
        ViewType::KeysOnly => 0,
        ViewType::NewImage => 1,
        ViewType::OldImage => 2,
        ViewType::NewAndOldImages => 3,
    };
    kind | view << 2 | if by_service { BY_SERVICE } else { 0 }
}

impl RecordMeta {
    /// The bytes to store.
    pub fn encode(&self) -> Bytes {
        let caller = self.caller.as_ref().map_or(&[][..], |caller| &caller.0);
        let version = if self.caller.is_some() { META_VERSION_CALLER } else { META_VERSION };
        let head = [version, flags(self.kind, self.view, self.by_service)];
        [&head, caller, &self.keys].concat().into()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Corrupt, if they are no meta of a version that this code knows.
    pub fn decode(meta: &Bytes) -> Result<RecordMeta, StoreError> {
        let [version, flags, ref rest @ ..] = meta[..] else { return Err(corrupt("fewer than two bytes")) };
        let caller = match version {
            META_VERSION => None,
            META_VERSION_CALLER => {
                let (_, keys) = parts(rest).ok_or_else(|| corrupt("who asked is cut off"))?;
                Some(RecordCaller(meta.slice(2..meta.len() - keys.len())))
            }
            _ => {
                let expected = format!("{META_VERSION} or {META_VERSION_CALLER}");
                return Err(corrupt(&format!("version {version} is unknown; {expected} was expected")));
            }
        };
        let kind = match flags & 3 {
            0 => ChangeKind::Insert,
            1 => ChangeKind::Modify,
            2 => ChangeKind::Remove,
            _ => return Err(corrupt("unknown change")),
        };
        if flags >> 5 != 0 {
            return Err(corrupt("unknown flags"));
        }
        let view = ViewType::ALL[usize::from(flags >> 2 & 3)];
        let keys = meta.slice(2 + caller.as_ref().map_or(0, |caller| caller.0.len())..);
        Ok(RecordMeta { kind, view, by_service: flags & BY_SERVICE != 0, caller, keys })
    }
}

/// The write that puts a change of an item of `table` into its stream; `None` if the table has no enabled stream.
///
/// `keys` and `old` are stored items; `put` is the index of the item's `Put` among the commit's writes (`None`: it is
/// removed). The caller has made sure that the item changed.
pub fn append(
    table: &Table,
    bucket: Bucket,
    keys: &[u8],
    old: Option<Bytes>,
    put: Option<usize>,
    caller: &Caller<'_>,
) -> Option<Write> {
    let stream = table.stream.as_ref()?;
    Some(append_to(stream, bucket, (keys, old, put), table.audit, caller))
}

/// The writes that put the same change into the streams which have both images of every change of the table.
pub(crate) fn captures<'a>(
    table: &'a Table,
    bucket: Bucket,
    (keys, old, put): (&'a [u8], Option<&'a Bytes>, Option<usize>),
    caller: &'a Caller<'_>,
) -> impl Iterator<Item = Write> + 'a {
    let append = move |id: &StreamId| {
        let stream = TableStream { id: *id, view: ViewType::NewAndOldImages };
        append_to(&stream, bucket, (keys, old.cloned(), put), false, caller)
    };
    table.captures.iter().map(append)
}

fn append_to(
    stream: &TableStream,
    bucket: Bucket,
    (keys, old, put): (&[u8], Option<Bytes>, Option<usize>),
    audit: bool,
    caller: &Caller<'_>,
) -> Write {
    let kind = match (&old, put) {
        (None, _) => ChangeKind::Insert,
        (Some(_), Some(_)) => ChangeKind::Modify,
        (Some(_), None) => ChangeKind::Remove,
    };
    let meta = meta(kind, stream.view, audit, keys, caller);
    let new = match put {
        Some(index) if stream.view.has_new() => NewImage::OfWrite(index),
        _ => NewImage::None,
    };
    Write::Append { stream: stream.id, bucket, meta, old: old.filter(|_| stream.view.has_old()), new }
}

/// The bytes of a meta, made in one piece. `audit`: with who asked.
pub(crate) fn meta(kind: ChangeKind, view: ViewType, audit: bool, keys: &[u8], caller: &Caller<'_>) -> Bytes {
    let flags = flags(kind, view, caller.is_service());
    let mut bytes = Vec::with_capacity(2 + keys.len() + if audit { CALLER_BYTES_USUAL } else { 0 });
    match caller {
        Caller::Client(client) if audit && client.is_known() => {
            bytes.extend([META_VERSION_CALLER, flags]);
            push_caller(client, &mut bytes);
        }
        _ => bytes.extend([META_VERSION, flags]),
    }
    bytes.extend_from_slice(keys);
    bytes.into()
}

/// An operation's name, an access key's id and a request's id, as they mostly are.
const CALLER_BYTES_USUAL: usize = 96;

#[cfg(test)]
mod tests {
    use tailrace_core::EpochMs;
    use tailrace_core::key::{KeyAttribute, ScalarType};
    use tailrace_core::{KeySchema, TableId};

    use super::*;

    const KEYS: &[u8] = b"\x03\x01\x02pk\x03\x01a";

    fn client(access_key: Option<&str>) -> Caller<'_> {
        let host = Some("localhost");
        Caller::Client(Client { operation: "PutItem", access_key, request_id: Some("R1"), host, written: None })
    }

    /// docs/format.md, Stream record.
    #[test]
    fn both_versions_are_read() {
        let first = Bytes::from([b"\x01\x1e", KEYS].concat());
        let meta = RecordMeta::decode(&first).unwrap();
        assert_eq!((meta.kind, meta.view, meta.by_service), (ChangeKind::Remove, ViewType::NewAndOldImages, true));
        assert_eq!((meta.caller.clone(), &meta.keys[..]), (None, KEYS));
        assert_eq!(meta.encode(), first);

        let second = Bytes::from([b"\x02\x04\x07PutItem\x04AKIA\x02R1", KEYS].concat());
        let meta = RecordMeta::decode(&second).unwrap();
        let caller = meta.caller.clone().unwrap();
        let known = Client {
            operation: "PutItem",
            access_key: Some("AKIA"),
            request_id: Some("R1"),
            host: None,
            written: None,
        };
        assert_eq!((caller.client().unwrap(), &meta.keys[..]), (known, KEYS));
        assert_eq!((RecordCaller::of(&known).unwrap(), meta.encode()), (caller, second.clone()));
        assert_eq!(super::meta(meta.kind, meta.view, true, KEYS, &client(Some("AKIA"))), second);

        for damaged in [&b"\x03\x04"[..], b"\x02", b"\x02\x04\x07PutIt", b"\x02\x04\x00\x00"] {
            assert!(RecordMeta::decode(&Bytes::copy_from_slice(damaged)).is_err(), "{damaged:?}");
        }
        let no_text = Bytes::from([b"\x02\x04\x01\xff\x00\x00", KEYS].concat());
        assert!(RecordMeta::decode(&no_text).unwrap().caller.unwrap().client().is_err());
    }

    #[test]
    fn only_a_table_with_an_audit_keeps_who_asked() {
        let schema = KeySchema { hash: KeyAttribute { name: "pk".to_owned(), scalar: ScalarType::S }, range: None };
        let mut table = Table::new("t".to_owned(), TableId(1), String::new(), EpochMs(0), schema);
        table.stream = Some(TableStream { id: tailrace_core::StreamId(1), view: ViewType::NewImage });
        let mut caller = |audit, caller: &Caller<'_>| {
            table.audit = audit;
            match append(&table, Bucket::FIRST, KEYS, None, Some(0), caller) {
                Some(Write::Append { meta, .. }) => RecordMeta::decode(&meta).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(caller(false, &client(None)).caller, None);
        let kept = caller(true, &client(None)).caller.unwrap();
        let known =
            Client { operation: "PutItem", access_key: None, request_id: Some("R1"), host: None, written: None };
        assert_eq!(kept.client().unwrap(), known);
        let service = caller(true, &Caller::Service);
        assert_eq!((service.caller, service.by_service), (None, true));
    }

    #[test]
    fn who_asked_is_cut_to_its_limits() {
        let long = "\u{e9}".repeat(200);
        let caller = RecordCaller::of(&Client { access_key: Some(&long), ..Client::default() }).unwrap();
        assert_eq!(caller.client().unwrap().access_key.unwrap(), "\u{e9}".repeat(ACCESS_KEY_BYTES_MAX / 2));
        assert_eq!(RecordCaller::of(&Client::default()), None);
    }
}
