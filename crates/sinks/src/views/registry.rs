//! The row of a view: which of its versions there are, and which one its table shows. The value is JSON (docs/format.md, Views).
//!
//! Invariants: a version is in the row from its first to its last commit, and each of them confirms the row, so that none writes once it is
//! not what it was taken for; what is taken out of the row has a mark until its rows are reclaimed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::TableId;
use tailrace_engine::{Db, reclaim_view};
use tailrace_store::keyspace::{CounterKey, DroppedViewKey, ViewKey, ViewVersion};
use tailrace_store::{Decision, Key, PageLimit, Write, commit};

use super::limits::VIEWS_MAX;
use super::targets::{self, Edge};
use crate::sink::SinkError;

const ROW_VERSION: u32 = 1;

/// The value of a view's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    v: u32,
    /// The version that the table shows.
    pub live: VersionEntry,
    /// The table does not show all of it yet.
    pub publishing: Option<Publishing>,
    /// The version that is built beside it.
    pub next: Option<VersionEntry>,
}

/// A version of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// Its number, as the runtime counts them.
    pub version: u32,
    /// The number of its rows.
    pub rows: ViewVersion,
    /// The digest of its definition.
    pub definition: String,
    /// The table that it is computed from.
    pub source: String,
    /// The table that shows it.
    pub table: String,
    /// The number of that table; none as long as no table shows it.
    pub table_id: Option<TableId>,
}

/// What is still to be done until a table shows a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// The version that it showed before, whose groups go.
    pub replaced: Option<VersionEntry>,
}

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The table shows it.
    Live,
    /// It is built beside the one that the table shows.
    Building,
}

fn failed(error: impl std::fmt::Display) -> SinkError {
    SinkError(error.to_string())
}

impl ViewEntry {
    /// Reads a row's value.
    ///
    /// # Errors
    /// It is none that this code knows.
    pub fn decode(view: &str, value: &[u8]) -> Result<ViewEntry, SinkError> {
        let entry: ViewEntry = serde_json::from_slice(value)
            .map_err(|error| SinkError(format!("corrupt data: the row of the view {view}: {error}")))?;
        match entry.v {
            ROW_VERSION => Ok(entry),
            other => {
                Err(SinkError(format!("the row of the view {view} has version {other}; {ROW_VERSION} was expected")))
            }
        }
    }

    /// The row's value.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: an entry has only string keys").into()
    }

    /// What the version with these rows is. `None`: it was replaced, or dropped.
    pub fn standing(&self, rows: ViewVersion) -> Option<Standing> {
        match &self.next {
            _ if self.live.rows == rows => Some(Standing::Live),
            Some(next) if next.rows == rows => Some(Standing::Building),
            _ => None,
        }
    }

    /// The number of the rows of a version that the view has.
    pub fn rows_of(&self, version: u32) -> Option<ViewVersion> {
        self.versions().find(|there| there.version == version).map(|there| there.rows)
    }

    /// The numbers of the rows of all versions, also of the one that is being replaced.
    pub fn all_rows(&self) -> Vec<ViewVersion> {
        let replaced = self.publishing.iter().flat_map(|publishing| &publishing.replaced);
        self.versions().chain(replaced).map(|version| version.rows).collect()
    }

    fn versions(&self) -> impl Iterator<Item = &VersionEntry> {
        std::iter::once(&self.live).chain(&self.next)
    }
}

/// The row of a view as it is, with its bytes.
///
/// # Errors
/// The store's failure, or it cannot be read.
pub async fn read(db: &Db, view: &str) -> Result<Option<(ViewEntry, Bytes)>, SinkError> {
    let found = db.store().get(&[ViewKey::key(view)]).await.map_err(failed)?.pop().flatten();
    found.map(|value| Ok((ViewEntry::decode(view, &value)?, value))).transpose()
}

/// What became of a look at the row of a view.
enum Registered {
    Entry(Box<ViewEntry>, Vec<ViewVersion>),
    Refused(SinkError),
    /// A version of some view was entered since the others were looked at.
    Again,
}

/// Enters a version of a view, unless it is there: the first one as live, a later one beside the live one, in the place of what was
/// built beside that before, or, with another table, in the place of both. `wanted` has no number of rows yet.
///
/// # Errors
/// The store's failure; the version was replaced, or has another definition; the table is another view's, or the views would feed
/// each other.
pub async fn register(db: &Db, view: &str, wanted: &VersionEntry) -> Result<ViewEntry, SinkError> {
    // Each round that is for nothing has seen another version entered.
    for _ in 0..VIEWS_MAX {
        let seen = look(db, view, wanted).await?;
        match enter(db, view, wanted, &seen).await? {
            Registered::Again => {}
            Registered::Refused(error) => return Err(error),
            Registered::Entry(entry, dropped) => {
                reclaim(db, &dropped).await;
                return Ok(*entry);
            }
        }
    }
    Err(SinkError(format!("others keep changing the view {view}")))
}

/// Looks whether the other views let a version in. The counter of versions as it was before that: every version that is entered
/// changes it.
async fn look(db: &Db, view: &str, wanted: &VersionEntry) -> Result<Option<Bytes>, SinkError> {
    let counter = db.store().get(&[CounterKey::View.encode()]).await.map_err(failed)?.pop().flatten();
    let mut edges = edges(db, view).await?;
    edges.push(Edge { view: view.to_owned(), source: wanted.source.clone(), table: wanted.table.clone() });
    targets::check(&edges).map_err(failed)?;
    Ok(counter)
}

/// Enters a version, unless another one was entered since the counter was `seen`: what was looked at then does not count any more.
async fn enter(db: &Db, view: &str, wanted: &VersionEntry, seen: &Option<Bytes>) -> Result<Registered, SinkError> {
    let keys = [ViewKey::key(view), CounterKey::View.encode()];
    let committed = commit(db.store().as_ref(), &[], &keys, |reads| {
        if reads.exclusive[1] != *seen {
            return Decision::Reject(Registered::Again);
        }
        match entered(view, wanted, reads.exclusive[0].as_ref(), reads.exclusive[1].as_ref()) {
            Err(error) => Decision::Reject(Registered::Refused(error)),
            Ok(Entered { entry, next_rows: None, .. }) => {
                Decision::Reject(Registered::Entry(Box::new(entry), Vec::new()))
            }
            Ok(Entered { entry, next_rows: Some(next_rows), dropped }) => {
                let mut writes = vec![
                    Write::Put { key: keys[0].clone(), value: entry.encode() },
                    Write::Put { key: keys[1].clone(), value: CounterKey::value(next_rows) },
                ];
                writes.extend(dropped.iter().map(|rows| drop_mark(*rows)));
                Decision::Apply(writes, Registered::Entry(Box::new(entry), dropped))
            }
        }
    });
    Ok(committed.await.map_err(failed)?.answer)
}

/// A view's row with a version in it.
struct Entered {
    entry: ViewEntry,
    /// The row is new: the number that the next version's rows will have.
    next_rows: Option<u64>,
    /// What had to go.
    dropped: Vec<ViewVersion>,
}

fn entered(
    view: &str,
    wanted: &VersionEntry,
    row: Option<&Bytes>,
    counter: Option<&Bytes>,
) -> Result<Entered, SinkError> {
    let known = row.map(|row| ViewEntry::decode(view, row)).transpose()?;
    let there = known.iter().flat_map(ViewEntry::versions).find(|there| there.version == wanted.version);
    if let Some(there) = there {
        if (&there.definition, &there.source) != (&wanted.definition, &wanted.source) {
            return Err(SinkError(format!(
                "version {} of the view {view} is there with another definition: a changed definition is a new version",
                wanted.version
            )));
        }
        let entry = known.expect("invariant: the version was found in it");
        return Ok(Entered { entry, next_rows: None, dropped: Vec::new() });
    }
    let corrupt = || SinkError("corrupt data: the counter of versions of views".to_owned());
    let rows = CounterKey::next(counter).ok_or_else(corrupt)?;
    let ours = VersionEntry { rows: ViewVersion(rows), ..wanted.clone() };
    let newest = known.iter().flat_map(ViewEntry::versions).map(|there| there.version).max().unwrap_or_default();
    if newest > wanted.version {
        return Err(replaced(view, wanted.version));
    }
    let (entry, dropped) = match known {
        Some(known) if known.live.table == wanted.table => {
            let dropped = known.next.iter().map(|next| next.rows).collect();
            (ViewEntry { next: Some(ours), ..known }, dropped)
        }
        known => {
            let dropped = known.iter().flat_map(ViewEntry::all_rows).collect();
            (ViewEntry { v: ROW_VERSION, live: ours, publishing: None, next: None }, dropped)
        }
    };
    Ok(Entered { entry, next_rows: Some(rows + 1), dropped })
}

/// What the other views are computed from, and what shows them.
async fn edges(db: &Db, view: &str) -> Result<Vec<Edge>, SinkError> {
    let limit = PageLimit { rows_max: VIEWS_MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store().page(ViewKey::range(), limit).await.map_err(failed)?;
    if page.limited {
        return Err(SinkError(format!("there are {VIEWS_MAX} views, and no more can be made")));
    }
    let mut edges = Vec::new();
    for (key, value) in page.rows {
        let Some(ViewKey { name }) = ViewKey::decode(&key).filter(|key| key.name != view) else { continue };
        let entry = ViewEntry::decode(&name, &value)?;
        edges.extend(entry.versions().map(|version| Edge {
            view: name.clone(),
            source: version.source.clone(),
            table: version.table.clone(),
        }));
    }
    Ok(edges)
}

/// The error of a version that has no place in its view's row any more.
pub fn replaced(view: &str, version: u32) -> SinkError {
    SinkError(format!("version {version} of the view {view} was replaced or removed"))
}

/// The write that marks a version's rows as to be reclaimed.
pub fn drop_mark(rows: ViewVersion) -> Write {
    Write::Put { key: DroppedViewKey { version: rows }.encode(), value: Bytes::new() }
}

/// Hands the rows of versions that were dropped to the store. What fails here is finished by the engine's pass over such marks.
pub async fn reclaim(db: &Db, dropped: &[ViewVersion]) {
    for rows in dropped {
        if let Err(error) = reclaim_view(db, *rows).await {
            tracing::warn!(version = rows.0, %error, "the rows of a dropped version of a view are reclaimed later");
        }
    }
}

/// Changes the row of a view if it still is `before`; `after`: `None` removes it. What of the versions is gone with it is reclaimed.
/// False: the row is another one now.
///
/// # Errors
/// The store's failure.
pub async fn change(
    db: &Db,
    view: &str,
    before: &Bytes,
    after: Option<Bytes>,
    dropped: &[ViewVersion],
) -> Result<bool, SinkError> {
    let keys: [Key; 1] = [ViewKey::key(view)];
    let committed = commit(db.store().as_ref(), &[], &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(before) {
            return Decision::Reject(false);
        }
        let row = match after.clone() {
            Some(value) => Write::Put { key: keys[0].clone(), value },
            None => Write::Delete { key: keys[0].clone() },
        };
        Decision::Apply(std::iter::once(row).chain(dropped.iter().map(|rows| drop_mark(*rows))).collect(), true)
    });
    let changed = committed.await.map_err(failed)?.answer;
    if changed {
        reclaim(db, dropped).await;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tailrace_core::EpochMs;
    use tailrace_core::clock::ManualClock;
    use tailrace_core::rng::SeededRng;
    use tailrace_engine::Settings;
    use tailrace_store::ModelEngine;

    use super::*;

    fn version(source: &str, table: &str) -> VersionEntry {
        VersionEntry {
            version: 1,
            rows: ViewVersion(0),
            definition: "d".to_owned(),
            source: source.to_owned(),
            table: table.to_owned(),
            table_id: None,
        }
    }

    /// docs/spec/sinks.md 6: target writes must not feed back into the same view.
    #[tokio::test]
    async fn views_that_begin_together_neither_feed_each_other_nor_share_a_table() {
        for (one, other, part) in [
            (version("Ping", "Pong"), version("Pong", "Ping"), "views cannot feed each other"),
            (version("Abc", "Shared"), version("Bcd", "Shared"), "cannot both be written to the table Shared"),
        ] {
            let clock = Arc::new(ManualClock::at(EpochMs(1)));
            let (store, rng) = (ModelEngine::new(clock.clone()), Arc::new(SeededRng::new(1)));
            let db = Db::open(store, clock, rng, Settings::default()).await.unwrap();
            // Both have looked before either is entered.
            let seen = (look(&db, "x", &one).await.unwrap(), look(&db, "y", &other).await.unwrap());
            assert!(matches!(enter(&db, "x", &one, &seen.0).await.unwrap(), Registered::Entry(..)));
            assert!(matches!(enter(&db, "y", &other, &seen.1).await.unwrap(), Registered::Again));
            let error = register(&db, "y", &other).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(read(&db, "y").await.unwrap().is_none());
            // One that stands in nobody's way comes in, though others were entered since.
            assert!(register(&db, "z", &version("Abc", "Z")).await.is_ok());
        }
    }
}
