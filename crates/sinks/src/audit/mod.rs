//! The audit trail: every change of the tables, who asked for it, and what was done to the tables themselves, in chains of hashes that
//! cannot be changed unseen. Source: docs/spec/sinks.md 7.
//!
//! Each shard has a chain; a child's goes on from its parent's head. What a flush adds is a segment ([`segment`]), a pure function
//! of the flush and of the head that it comes behind. The head is a row of the store ([`head`]), written when the segment is durable in
//! its place: a crash in between leaves what was never confirmed, and the repeat writes the same over it.
//!
//! Invariants: an entry is written once, whatever is replayed; what was confirmed is never written again; records that were lost before
//! they were read have an entry that says so; each chain is named by the control chain ([`announce`]). Every entry is durable before its flush is answered; `strict` is only about how long
//! records are gathered before.
//!
//! What it does not do: it filters nothing. A trail with holes is none, so `where` is not for this sink.

mod announce;
pub mod bucket;
pub mod canonical;
pub mod chain;
pub mod directory;
mod entry;
mod head;
pub mod place;
pub mod private;
pub mod read;
mod segment;
pub mod sign;
pub mod subjects;
#[cfg(test)]
mod tests;
pub mod verify;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use schemars::JsonSchema;
use tailrace_core::clock::Clock;
use tailrace_core::{EpochMs, RecordNo};
use tailrace_engine::streams::descriptor::Stream;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Db, control};
use tailrace_store::keyspace::{AuditChain, AuditChainKey};
use tailrace_store::{PageLimit, StoreError};

pub use self::announce::CONTROL_FOLDER;
use self::chain::Hash;
use self::entry::{Hiders, Parent, Values};
use self::head::Head;
use self::place::{At, NewSegment, Place, Tried};
use self::private::{KEY_BYTES_MIN, MasterKey};
use self::segment::{Base, Gap, Segment, Style};
use self::sign::{KeyError, Signer};
pub use self::subjects::forget as forget_subject;
use crate::objects::{LOCK_DAYS_MAX, Retention, S3Config};
use crate::secret::Secret;
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Sink, SinkError, SourceTable};

/// Most records of a segment. Our reason: a flush is in memory.
const RECORDS_MAX: usize = 20_000;
/// Most bytes of them.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long records are gathered where the trail is not strict. Source: docs/spec/sinks.md 7.
const WINDOW: Duration = Duration::from_secs(1);
/// Chains that are known to end as they should; then they are looked at again. Our reason: memory.
const LOOKED_AT_MAX: usize = 10_000;
/// What an entry has besides the stored bytes of keys and images, about.
const ENTRY_BYTES: usize = 420;

/// How entries show values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShownValues {
    /// Keys and images as they are.
    #[default]
    Full,
    /// Keys as they are, images by their SHA-256.
    Hash,
    /// Every value by an HMAC-SHA256 under a key.
    Hmac,
}

/// When heads are signed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignConfig {
    /// The file of the private key, PEM; not in the data directory.
    pub key: PathBuf,
    /// A head is signed when the records since the last signature are so many seconds apart; 0: by the entries alone.
    #[serde(default)]
    pub seconds: u64,
    /// Or when so many entries came since; 0: by the time alone. Of both 0: each segment's is.
    #[serde(default)]
    pub entries: u64,
}

/// A trail's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `audit`.
    #[serde(default)]
    pub to: String,
    /// The directory that the trail lies in.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    /// Or the bucket: `s3://bucket/prefix`.
    #[serde(default)]
    pub bucket: Option<String>,
    /// How the bucket is reached.
    #[serde(default)]
    pub s3: S3Config,
    /// With a bucket that has Object Lock: for how long nobody may change a segment, from when it is written on.
    #[serde(default)]
    pub lock: Option<Retention>,
    /// How entries show values.
    #[serde(default)]
    pub images: ShownValues,
    /// Records go out as they come, instead of being gathered for a second.
    #[serde(default)]
    pub strict: bool,
    /// With `images: hmac` the key, at least [`KEY_BYTES_MIN`] bytes of text.
    #[serde(default)]
    pub hmac_key: Option<Secret>,
    /// With `images: hmac` the attribute that names a person: each has a key of their own, which can be thrown away.
    #[serde(default)]
    pub subject: Option<String>,
    /// Who signs heads.
    #[serde(default)]
    pub sign: Option<SignConfig>,
}

/// A configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting is missing, or of no use.
    #[error("{0}")]
    Setting(String),
    /// The key that heads are signed with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Config {
    /// Whether it can be used. `data_dir`: the data directory, in which no key is to lie (who can change the one could use the other);
    /// empty: not known.
    ///
    /// # Errors
    /// Why not.
    pub fn validate(&self, data_dir: &Path) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Setting(text));
        let dir = self.dir.as_ref().filter(|dir| !dir.as_os_str().is_empty());
        match (dir, &self.bucket) {
            (None, None) => return wrong("dir is missing: where the trail is to lie; or bucket".to_owned()),
            (Some(_), Some(_)) => return wrong("dir and bucket: a trail lies in one of them".to_owned()),
            (Some(_), None) if self.lock.is_some() || self.s3 != S3Config::default() => {
                return wrong("lock and s3 are for a bucket".to_owned());
            }
            _ => {}
        }
        if self.lock.is_some_and(|lock| !(1..=LOCK_DAYS_MAX).contains(&lock.days)) {
            return wrong(format!("lock: 1 to {LOCK_DAYS_MAX} days"));
        }
        match (self.images, &self.hmac_key) {
            (ShownValues::Hmac, None) => return wrong("images: hmac needs an hmac_key".to_owned()),
            (ShownValues::Hmac, Some(key)) if key.expose().len() < KEY_BYTES_MIN => {
                return wrong(format!("hmac_key has fewer than {KEY_BYTES_MIN} bytes"));
            }
            (ShownValues::Full | ShownValues::Hash, Some(_)) => {
                return wrong("hmac_key is for images: hmac".to_owned());
            }
            _ => {}
        }
        if self.subject.is_some() && self.images != ShownValues::Hmac {
            return wrong("subject is for images: hmac".to_owned());
        }
        if let Some(sign) = self.sign.as_ref().filter(|_| !data_dir.as_os_str().is_empty()) {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            if real(&sign.key).starts_with(real(data_dir)) {
                let (key, dir) = (sign.key.display(), data_dir.display());
                return wrong(format!(
                    "the key {key} is in the data directory {dir}: who can change the trail could sign it"
                ));
            }
        }
        Ok(())
    }
}

impl Config {
    /// What values are hidden with, if they are.
    pub fn master_key(&self) -> Option<MasterKey> {
        self.hmac_key.as_ref().map(|key| MasterKey::new(key.expose().as_bytes()))
    }

    /// Where the trail lies. The clock tells until when it is locked.
    ///
    /// # Errors
    /// Nothing is said of it, or no such path can be.
    pub fn place(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Place>, ConfigError> {
        if let Some(to) = &self.bucket {
            let bucket = bucket::Bucket::new(to, &self.s3, self.lock.map(|lock| (lock, clock)));
            return Ok(Arc::new(bucket.map_err(|error| ConfigError::Setting(format!("bucket: {error}")))?));
        }
        let dir = self.dir.clone().unwrap_or_default();
        // The name that is kept of it stays that of this directory, wherever the next process begins.
        let dir = std::path::absolute(&dir)
            .map_err(|error| ConfigError::Setting(format!("dir: {}: {error}", dir.display())))?;
        Ok(Arc::new(directory::Directory::new(dir)))
    }
}

/// The sink.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    db: Arc<Db>,
    place: Arc<dyn Place>,
    images: ShownValues,
    strict: bool,
    master: Option<Bytes>,
    subject: Option<String>,
    sign: Option<(Signer, SignConfig)>,
    /// The chains whose end was looked at since the process began.
    looked_at: Mutex<HashSet<String>>,
}

impl Audit {
    /// The trail in `place`.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(config: Config, place: Arc<dyn Place>, db: Arc<Db>) -> Result<Audit, ConfigError> {
        let sign = config.sign.map(|sign| Signer::read(&sign.key).map(|signer| (signer, sign))).transpose()?;
        Ok(Audit(Arc::new(Inner {
            db,
            place,
            images: config.images,
            strict: config.strict,
            master: config.hmac_key.map(|key| Bytes::copy_from_slice(key.expose().as_bytes())),
            subject: config.subject,
            sign,
            looked_at: Mutex::default(),
        })))
    }
}

impl Sink for Audit {
    fn bounds(&self) -> Bounds {
        let window = if self.0.strict { Duration::ZERO } else { WINDOW };
        Bounds { records_max: RECORDS_MAX, bytes_max: BYTES_MAX, window }
    }

    fn plans(&self) -> bool {
        true
    }

    fn needs(&self) -> Images {
        Images { old: true, new: true }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        let image = |image: &Option<Bytes>| image.as_ref().map_or(0, Bytes::len);
        Ok(ENTRY_BYTES + record.meta.keys.len() + image(&record.old) + image(&record.new))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        Arc::clone(&self.0).flush(flush).boxed()
    }
}

impl Inner {
    async fn flush(self: Arc<Self>, mut flush: Flush) -> Result<Flushed, SinkError> {
        if flush.origin == Origin::Retry {
            return Err(SinkError("what comes late is not entered behind later changes".to_owned()));
        }
        let key = chain_key(&flush);
        let store = self.db.store().as_ref();
        let row = head::read(store, &key).await?;
        let chain = chain_path(&flush);
        let old = match &row {
            Some(row) => Head::decode(row, &key)?.begun_anew(&chain),
            None => Head::of_new(chain, self.place.name()),
        };
        let parent = if old.segments == 0 { self.parent(&flush).await? } else { None };
        self.look_at_end(&old).await?;
        let gap = self.gap(&flush, &old, parent.is_some()).await?;
        drop_written(&mut flush, &old);
        if flush.records.is_empty() {
            return Ok(Flushed::default());
        }
        let new = self.write(flush, &old, parent, gap, (&key, row)).await?;
        Ok(Flushed { bytes: new.end - new.last_at, ..Flushed::default() })
    }

    /// Writes the segment of a flush, and the head behind it over the row that was read: that head.
    async fn write(
        self: &Arc<Self>,
        flush: Flush,
        old: &Head,
        parent: Option<Parent>,
        gap: Option<Gap>,
        (key, mut row): (&AuditChainKey, Option<Bytes>),
    ) -> Result<Head, SinkError> {
        let is_moved = old.segments > 0 && old.place != self.place.name();
        let base = Base {
            hash: parent.as_ref().map_or_else(|| old.hash(), |parent| Ok(parent.hash))?,
            entries: parent.as_ref().map_or(old.entries, |parent| parent.entries),
            segments: old.segments,
            parent,
            continues: is_moved.then(|| old.place.clone()),
        };
        let values = self.values(&flush).await?;
        let (last, chain) = (position(&flush), old.chain.clone());
        let last_ms = flush.records.last().map_or(EpochMs::ZERO, |record| record.time_ms);
        let signs = self.signs(&base, old, &flush, last_ms, gap.is_some());
        let (inner, of_chain, behind) = (Arc::clone(self), chain.clone(), base.clone());
        let built = tokio::task::spawn_blocking(move || {
            let signer = inner.sign.as_ref().filter(|_| signs).map(|(signer, _)| signer);
            segment::build(&flush, &of_chain, &behind, gap, &Style { values: &values, signer })
        });
        let Segment { bytes, hash, entries, time_ms } = built.await.map_err(|error| SinkError(error.to_string()))?;
        let is_full = old.end >= self.place.file_bytes_max();
        let (file, offset) = match old.segments == 0 || is_moved || is_full {
            true => (base.entries, 0),
            false => (old.file, old.end),
        };
        let end = offset + bytes.len() as u64;
        let store = self.db.store().as_ref();
        if let Some(trying) = old.trying(Tried { hash: hash.to_string(), bytes: bytes.len() as u64 }) {
            head::write(store, key, row.as_ref(), &trying).await?;
            row = Some(trying.encode());
        }
        let at = At { chain: chain.clone(), file, offset };
        let segment = NewSegment { bytes: bytes.into(), time_ms, tried: old.tried.clone() };
        let written = self.place.write(at, segment).await;
        written.map_err(|error| SinkError(error.to_string()))?;
        let mut head = old.clone().with_hash(&hash);
        head.place = self.place.name();
        (head.entries, head.segments, head.last) = (entries, old.segments + 1, last);
        (head.file, head.last_at, head.end) = (file, offset, end);
        head.tried.clear();
        if signs {
            (head.signed_entries, head.signed_ms) = (entries, time_ms);
        }
        match head.told == head.place {
            true => head::write(store, key, row.as_ref(), &head).await?,
            false => announce::write(&self.db, key, row.as_ref(), &head).await?,
        }
        Ok(head)
    }

    /// Whether the head of this segment is signed.
    fn signs(&self, base: &Base, old: &Head, flush: &Flush, last_ms: EpochMs, has_gap: bool) -> bool {
        let Some((_, sign)) = &self.sign else { return false };
        let entries = base.entries + flush.records.len() as u64 + u64::from(has_gap) - old.signed_entries;
        let due_ms = old.signed_ms.plus(Duration::from_secs(sign.seconds));
        let is_by_time = sign.seconds > 0 || sign.entries == 0;
        base.segments == 0 || is_by_time && last_ms >= due_ms || sign.entries > 0 && entries >= sign.entries
    }

    /// How this flush's entries show values.
    async fn values(&self, flush: &Flush) -> Result<Values, SinkError> {
        // What is done to tables holds no values of theirs.
        if flush.source.table == control::TABLE {
            return Ok(Values::Full);
        }
        Ok(match (self.images, &self.master) {
            (ShownValues::Hash, _) => Values::Hashed,
            (ShownValues::Hmac, Some(master)) => {
                let master = MasterKey::new(master);
                let persons = match &self.subject {
                    Some(subject) => subjects::persons(&self.db, &flush.sink, &master, subject, &flush.records).await?,
                    None => HashMap::new(),
                };
                let rest = master.hider();
                Values::Hidden(Hiders { master, rest, subject: self.subject.clone(), persons })
            }
            _ => Values::Full,
        })
    }

    /// The chain that a new chain goes on from: that of the shard's parent, or, if that had no records, of the parent's parent, and so on.
    async fn parent(&self, flush: &Flush) -> Result<Option<Parent>, SinkError> {
        if flush.origin != Origin::Stream {
            return Ok(None);
        }
        let store = self.db.store().as_ref();
        let stream = self.stream(&flush.source).await?;
        let shards = store.shards(stream.id).await.map_err(|error| SinkError(error.to_string()))?;
        let mut shard = flush.shard.no;
        // Each step goes to an older shard.
        loop {
            let info = shards.iter().find(|info| info.shard == shard);
            let Some(parent) = info.and_then(|info| info.parent) else { return Ok(None) };
            let key = AuditChainKey { trail: flush.sink.to_string(), chain: AuditChain::Shard(parent) };
            if let Some(row) = head::read(store, &key).await? {
                let head = Head::decode(&row, &key)?;
                // What was only tried has no entries.
                if head.segments > 0 {
                    return Ok(Some(Parent { hash: head.hash()?, entries: head.entries, chain: head.chain }));
                }
            }
            shard = parent;
        }
    }

    async fn stream(&self, source: &SourceTable) -> Result<Stream, SinkError> {
        let failed = |error: tailrace_core::ApiError| SinkError(error.to_string());
        if source.table != control::TABLE {
            return self.db.stream(source.stream_arn.as_str()).await.map_err(failed);
        }
        let stream = self.db.control_stream().await.map_err(failed)?;
        stream.ok_or_else(|| SinkError("there is no control stream".to_owned()))
    }

    /// Records between the head and the flush that the log had and has no more. The answer for a flush is the same however
    /// often it is asked: the log forgets from its beginning on, and what the flush holds is still there.
    async fn gap(&self, flush: &Flush, old: &Head, is_child: bool) -> Result<Option<Gap>, SinkError> {
        if flush.origin != Origin::Stream || old.segments == 0 && !is_child || flush.first() <= old.last {
            return Ok(None);
        }
        let page = match self.db.store().read_log(flush.shard.no, old.last, 1, 1).await {
            // The stream is gone, and with it what would tell.
            Err(StoreError::NoSuchShard(_)) => return Ok(None),
            page => page.map_err(|error| SinkError(error.to_string()))?,
        };
        let before = flush.first();
        let first = match old.segments {
            0 => self.first_of(flush).await?,
            _ => old.last.next(),
        };
        let reason = match () {
            () if page.horizon > first => "trimmed",
            () if page.lost.iter().any(|lost| *lost.start() < before) => "damaged",
            () => return Ok(None),
        };
        Ok(Some(Gap { after: RecordNo(first.0.saturating_sub(1)), before, reason }))
    }

    /// No record of the shard has a number below this one.
    async fn first_of(&self, flush: &Flush) -> Result<RecordNo, SinkError> {
        let stream = self.stream(&flush.source).await?;
        let shards = self.db.store().shards(stream.id).await.map_err(|error| SinkError(error.to_string()))?;
        Ok(shards.iter().find(|info| info.shard == flush.shard.no).map_or(RecordNo::ZERO, |info| info.first))
    }

    /// Once for each chain: whether the place still ends with what was confirmed.
    async fn look_at_end(&self, head: &Head) -> Result<(), SinkError> {
        let is_here = head.segments > 0 && head.place == self.place.name();
        if !is_here || self.looked_at.lock().contains(&head.chain) {
            return Ok(());
        }
        read::check_end(self.place.as_ref(), head).await?;
        let mut looked_at = self.looked_at.lock();
        if looked_at.len() >= LOOKED_AT_MAX {
            looked_at.clear();
        }
        looked_at.insert(head.chain.clone());
        Ok(())
    }
}

fn chain_key(flush: &Flush) -> AuditChainKey {
    let chain = match flush.origin {
        Origin::Stream | Origin::Retry => AuditChain::Shard(flush.shard.no),
        Origin::Snapshot { .. } => AuditChain::Snapshot { version: flush.version, table: flush.source.table.clone() },
    };
    AuditChainKey { trail: flush.sink.to_string(), chain }
}

/// The folder of the flush's chain.
fn chain_path(flush: &Flush) -> String {
    let table = &flush.source.table;
    match flush.origin {
        Origin::Stream | Origin::Retry if *table == control::TABLE => format!("{}{}", CONTROL_FOLDER, flush.shard.id),
        Origin::Stream | Origin::Retry => format!("tables/{table}/{}", flush.shard.id),
        Origin::Snapshot { .. } => format!("tables/{table}/snapshot-v{}", flush.version),
    }
}

/// What the head of the chain has as its last, behind the flush. A page's number is one more, so that none is zero.
fn position(flush: &Flush) -> RecordNo {
    match flush.origin {
        Origin::Stream | Origin::Retry => flush.last(),
        Origin::Snapshot { page, .. } => RecordNo(page + 1),
    }
}

/// Takes out what the chain holds already: the flush comes again, or is replayed.
fn drop_written(flush: &mut Flush, head: &Head) {
    if head.segments == 0 {
        return;
    }
    match flush.origin {
        // They are in order, and at full rate none is written: not each of them is looked at for that.
        Origin::Stream | Origin::Retry => {
            let written = flush.records.partition_point(|record| record.number <= head.last);
            drop(flush.records.drain(..written));
        }
        Origin::Snapshot { .. } if position(flush) <= head.last => flush.records.clear(),
        Origin::Snapshot { .. } => {}
    }
}

/// A trail is removed. Its chains stay, and go on if it is made again; but the items that tables have by then are others than those of
/// the snapshots that it had, and come into chains of their own.
///
/// # Errors
/// The store's failure.
pub async fn removed(db: &Db, trail: &str) -> Result<(), SinkError> {
    for (key, row) in rows(db, trail).await? {
        let is_snapshot = matches!(key.chain, AuditChain::Snapshot { .. });
        let head = Head::decode(&row, &key)?;
        if is_snapshot && head.segments > 0 {
            head::write(db.store().as_ref(), &key, Some(&row), &head.over()).await?;
        }
    }
    Ok(())
}

/// What a chain has come to, for whoever holds what lies in the place against it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChainHead {
    /// The chain: a path in the place.
    pub chain: String,
    /// The place that its last segment is in.
    pub place: String,
    /// The hash of its last line.
    pub head: String,
    /// How many entries it has.
    pub entries: u64,
    /// The last record that it holds.
    pub last: RecordNo,
}

/// The heads of a trail's chains, by what the store knows of them.
///
/// # Errors
/// The store's failure.
pub async fn heads(db: &Db, trail: &str) -> Result<Vec<ChainHead>, SinkError> {
    let mut heads = Vec::new();
    for (key, row) in rows(db, trail).await? {
        let head = Head::decode(&row, &key)?;
        if head.segments == 0 {
            continue;
        }
        let hash: Hash = head.hash()?;
        let Head { chain, place, entries, last, .. } = head;
        heads.push(ChainHead { chain, place, head: hash.to_string(), entries, last });
    }
    Ok(heads)
}

/// The rows of a trail's heads.
async fn rows(db: &Db, trail: &str) -> Result<Vec<(AuditChainKey, Bytes)>, SinkError> {
    let mut rows = Vec::new();
    let mut range = AuditChainKey::trail_range(trail);
    loop {
        let limit = PageLimit { rows_max: HEADS_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
        let page = db.store().page(range.clone(), limit).await.map_err(|error| SinkError(error.to_string()))?;
        rows.extend(page.rows.iter().filter_map(|(key, row)| Some((AuditChainKey::decode(key)?, row.clone()))));
        match page.rows.last().filter(|_| page.limited) {
            Some((last, _)) => range = range.after(last),
            None => return Ok(rows),
        }
    }
}

/// Rows that are read at once.
const HEADS_PER_PAGE: usize = 256;
