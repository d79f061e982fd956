//! What a stream's record stores besides its images: a version byte, a byte of flags, and the keys as a stored item
//! (docs/format.md, Stream record).
//!
//! flags: bits 0-1 the change (0 INSERT, 1 MODIFY, 2 REMOVE), bits 2-3 the view type (0 KEYS_ONLY, 1 NEW_IMAGE, 2 OLD_IMAGE,
//! 3 NEW_AND_OLD_IMAGES), bit 4: the service itself removed the item (time to live).

use bytes::Bytes;
use tailrace_core::Bucket;
use tailrace_store::{NewImage, StoreError, Write};

use crate::table::{Table, ViewType};

const META_VERSION: u8 = 1;
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
    /// The key attributes, as a stored item (size, then codec).
    pub keys: Bytes,
}

impl RecordMeta {
    /// The bytes to store.
    pub fn encode(&self) -> Bytes {
        let kind = match self.kind {
            ChangeKind::Insert => 0,
            ChangeKind::Modify => 1,
            ChangeKind::Remove => 2,
        };
        let view = match self.view {
            ViewType::KeysOnly => 0,
            ViewType::NewImage => 1,
            ViewType::OldImage => 2,
            ViewType::NewAndOldImages => 3,
        };
        let mut bytes = Vec::with_capacity(2 + self.keys.len());
        bytes.extend([META_VERSION, kind | view << 2 | if self.by_service { BY_SERVICE } else { 0 }]);
        bytes.extend_from_slice(&self.keys);
        bytes.into()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Corrupt, if they are no meta of a version that this code knows.
    pub fn decode(meta: &Bytes) -> Result<RecordMeta, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("a stream record's meta: {what}"));
        let [version, flags, ..] = meta[..] else { return Err(corrupt("fewer than two bytes")) };
        if version != META_VERSION {
            return Err(corrupt(&format!("version {version} is unknown; {META_VERSION} was expected")));
        }
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
        Ok(RecordMeta { kind, view, by_service: flags & BY_SERVICE != 0, keys: meta.slice(2..) })
    }
}

/// The write that puts a change of an item of `table` into its stream; `None` if the table has no enabled stream.
///
/// `keys` and `old` are stored items; `put` is the index of the item's `Put` among the commit's writes (`None`: it is
/// removed). The caller has made sure that the item changed.
pub fn append(
    table: &Table,
    bucket: Bucket,
    keys: Bytes,
    old: Option<Bytes>,
    put: Option<usize>,
    by_service: bool,
) -> Option<Write> {
    let stream = table.stream.as_ref()?;
    let kind = match (&old, put) {
        (None, _) => ChangeKind::Insert,
        (Some(_), Some(_)) => ChangeKind::Modify,
        (Some(_), None) => ChangeKind::Remove,
    };
    let meta = RecordMeta { kind, view: stream.view, by_service, keys }.encode();
    let new = match put {
        Some(index) if stream.view.has_new() => NewImage::OfWrite(index),
        _ => NewImage::None,
    };
    Some(Write::Append { stream: stream.id, bucket, meta, old: old.filter(|_| stream.view.has_old()), new })
}
