//! A flush into a database that loads rows from objects, and has no savepoints.
//!
//! The rows are put as an object, and a manifest that names it, before the transaction begins: it must be short, for those
//! that overlap make each other fail. The names are those of the flush and a digest of the rows, so that a repeat puts the same.
//! The transaction: load into a table of the session, merge, what is not taken, generation, progress, COMMIT. The tables that all sinks share
//! are written at its end, for whoever writes to one has it to the end. A load that is refused for a
//! row's sake is tried once more without loading, which notes every such row; then it begins again without them.

use std::io::Write;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::bring::{Reasons, flushed, refusals};
use super::config::Mode;
use super::ledger::Progress;
use super::records::{Rows, item_id, number};
use super::redshift::Redshift;
use super::session::{Failure, Meaning, Session, field, number as read, rows};
use super::standing::{Fresh, Standing, lost_behind, progress_name, standing};
use super::tables::Ready;
use super::{Inner, Objects, Trouble};
use crate::secret::Secret;
use crate::sink::{Flush, Flushed};

/// How often a load begins again without the rows that it refused.
const TRIALS_MAX: usize = 4;

/// A load was refused for the sake of these rows, by their positions; or nobody knows which.
enum Ended {
    Done,
    RefusedRows(Vec<(usize, String)>),
}

/// Rows that were put where the database reads them.
struct Put {
    /// The rows' object.
    object: String,
    /// The load.
    copy: Secret,
    bytes: u64,
}

impl Inner {
    /// Brings a flush of the stream or a snapshot.
    pub(super) async fn bring_objects(
        &self,
        session: &mut dyn Session,
        objects: &Objects,
        flush: &Flush,
        ready: &Ready,
        made: &Rows,
    ) -> Result<Flushed, Trouble> {
        let (target, generation) = (&ready.target, ready.generation);
        let shard = progress_name(flush);
        let seen = self.peek(session, ready, flush, &shard).await?;
        let behind = lost_behind(flush, seen)?;
        if behind.is_some() {
            return Ok(Flushed { behind, ..Flushed::default() });
        }
        let Standing { fresh, to } = standing(flush, target.layout.mode, seen)?;
        let is_fresh = |index: usize| flush.records.get(index).is_some_and(|record| fresh.has(number(record)));
        let mut reasons: Reasons = made.refused.iter().filter(|(index, _)| is_fresh(*index)).cloned().collect();
        let before = match fresh {
            Fresh::All => Reasons::new(),
            _ => self.refused_before(session, flush, ready, &shard, is_fresh).await?,
        };
        let mut bytes = 0;
        for _ in 0..TRIALS_MAX {
            let is_wanted = |index: usize| is_fresh(index) && !reasons.contains_key(&index);
            let (newest, _) = made.newest(target.layout.mode, is_wanted);
            let put = self.put(objects, flush, ready, made, &newest).await?;
            bytes = put.as_ref().map_or(0, |put| put.bytes);
            self.begin_objects(session, ready).await?;
            match self.load_objects(session, objects, ready, generation, put.as_ref(), &newest).await? {
                Ended::Done => {
                    if fresh != Fresh::None {
                        self.outlive(session, flush, ready, &reasons, is_fresh).await?;
                        for statement in
                            target.reject(generation, &shard, &refusals(flush, target.layout.mode, &reasons))
                        {
                            self.run(session, &statement).await?;
                        }
                    }
                    self.stay(session, ready).await?;
                    self.commit(session, ready, &shard, seen, to).await?;
                    reasons.extend(before);
                    return Ok(flushed(reasons, bytes));
                }
                Ended::RefusedRows(refused) => {
                    reasons.extend(refused.into_iter().map(|(position, error)| (made.rows[position].index, error)));
                }
            }
        }
        Err(Trouble::Stop(format!("{TRIALS_MAX} loads of {bytes} bytes were refused, each for other rows")))
    }

    /// Begins the transaction, if the target is in the generation that was claimed. That is asked before it: what a transaction has read
    /// holds up whoever wants to lock it, and would be held against this one when it writes there.
    async fn begin_objects(&self, session: &mut dyn Session, ready: &Ready) -> Result<(), Trouble> {
        let answers = self.run(session, &ready.target.ask_generation()).await?;
        self.same_generation(ready, rows(&answers, 0))?;
        self.run(session, "BEGIN").await.map(drop)
    }

    /// At the end of the transaction: the target has been in the generation that was claimed all the while, and stays there until this ends.
    async fn stay(&self, session: &mut dyn Session, ready: &Ready) -> Result<(), Trouble> {
        let stayed = self.run(session, &ready.target.stay_in(ready.generation)).await?;
        match stayed.first() {
            Some(answer) if answer.affected == 1 => Ok(()),
            _ => self.same_generation(ready, &[]),
        }
    }

    /// How far the shard is, without holding it there: what has moved since is seen when the progress is.
    async fn peek(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        flush: &Flush,
        shard: &str,
    ) -> Result<Progress, Trouble> {
        let (target, generation) = (&ready.target, ready.generation);
        for _ in 0..2 {
            let answers = self.run(session, &target.ask_progress(generation, shard, false)).await?;
            if let Some(row) = rows(&answers, 0).first() {
                return Ok(Progress { last: read(row, 0)?, epoch: read(row, 1)? });
            }
            self.open_progress(session, ready, flush, shard).await?;
        }
        Err(Trouble::Stop(format!("the progress of shard {shard} cannot be kept in {}", target.shown())))
    }

    /// Puts the rows and their manifest; `None`: there are no rows.
    async fn put(
        &self,
        objects: &Objects,
        flush: &Flush,
        ready: &Ready,
        made: &Rows,
        positions: &[usize],
    ) -> Result<Option<Put>, Trouble> {
        if positions.is_empty() {
            return Ok(None);
        }
        let loaded = made.load(positions);
        let packed = tokio::task::spawn_blocking(move || pack(&loaded)).await;
        let packed = packed.map_err(|error| Trouble::Stop(error.to_string()))?;
        let (digest, body) = packed.map_err(|error| Trouble::Stop(error.to_string()))?;
        let name = format!("{}-{digest}", flush.name());
        let (key, manifest_key) = (format!("{name}.json.gz"), format!("{name}.manifest"));
        let (object, manifest) = (objects.stage.address(&key), objects.stage.address(&manifest_key));
        let bytes = body.len() as u64;
        let entries =
            serde_json::json!({"entries": [{"url": object, "mandatory": true, "meta": {"content_length": bytes}}]});
        objects.stage.put(key, body, "application/gzip").await?;
        let text = Bytes::from(entries.to_string());
        objects.stage.put(manifest_key, text, "application/json").await?;
        let target = &ready.target;
        let copy = Redshift.copy(&target.load_into(), &target.loaded_names(), &manifest, &objects.source);
        Ok(Some(Put { object, copy, bytes }))
    }

    /// Loads what was put, in a transaction, and merges it.
    async fn load_objects(
        &self,
        session: &mut dyn Session,
        objects: &Objects,
        ready: &Ready,
        generation: i64,
        put: Option<&Put>,
        positions: &[usize],
    ) -> Result<Ended, Trouble> {
        let Some(put) = put else { return Ok(Ended::Done) };
        let target = &ready.target;
        let is_merge = target.layout.mode == Mode::Merge;
        if is_merge {
            self.run(session, &target.create_stage()?).await?;
        }
        match session.run(put.copy.expose(), self.limits.statement).await {
            Ok(_) => {}
            Err(failure) if is_of_rows(&failure) => {
                return self.refused_rows(session, objects, ready, put, positions, &failure).await;
            }
            Err(failure) => return Err(failure.into()),
        }
        if is_merge {
            self.run(session, &target.merge(generation)).await?;
            if let Some(drop) = target.dialect.drop_stage(&target.stage()) {
                self.run(session, &drop).await?;
            }
        }
        Ok(Ended::Done)
    }

    /// Finds the rows for whose sake a load was refused.
    async fn refused_rows(
        &self,
        session: &mut dyn Session,
        objects: &Objects,
        ready: &Ready,
        put: &Put,
        positions: &[usize],
        failure: &Failure,
    ) -> Result<Ended, Trouble> {
        self.run(session, "ROLLBACK").await?;
        if ready.target.layout.mode == Mode::Merge {
            self.run(session, &ready.target.create_stage()?).await?;
        }
        // What it says is in the notes.
        let tried = session.run(Redshift::trial(&put.copy).expose(), self.limits.statement).await;
        if let Err(unknown @ (Failure::Lost(_) | Failure::Late(_))) = tried {
            return Err(unknown.into());
        }
        let answers = self.run(session, &objects.dialect.load_errors(&put.object)).await?;
        let mut refused = Vec::new();
        for row in rows(&answers, 0) {
            let line: usize = read(row, 0)?;
            let position = line.checked_sub(1).and_then(|line| positions.get(line)).copied();
            let (column, why) = (field(row, 1).unwrap_or_default(), field(row, 2).unwrap_or_default());
            refused.extend(position.map(|position| (position, format!("column {column}: {why}"))));
        }
        if refused.is_empty() {
            // It was no row's fault.
            return Err(Trouble::Stop(failure.text().to_owned()));
        }
        Ok(Ended::RefusedRows(refused))
    }

    /// Brings records that were not taken before, each at most once, in a transaction of its own.
    pub(super) async fn bring_objects_again(
        &self,
        session: &mut dyn Session,
        objects: &Objects,
        flush: &Flush,
        ready: &Ready,
        made: &Rows,
    ) -> Result<Flushed, Trouble> {
        let target = &ready.target;
        let (mut reasons, mut bytes) = (Reasons::new(), 0);
        for (index, record) in flush.records.iter().enumerate() {
            let (item, number) = (item_id(record), number(record));
            let answers = self.run(session, &target.ask_refused(&item, number)).await?;
            // Not on the list: it was brought before.
            let Some(row) = rows(&answers, 0).first() else { continue };
            // Among the rows it is as old as it was then.
            let generation = read(row, 0)?;
            if let Some((_, error)) = made.refused.iter().find(|(refused, _)| *refused == index) {
                reasons.insert(index, error.clone());
                continue;
            }
            let position: Vec<usize> = (0..made.rows.len()).filter(|at| made.rows[*at].index == index).collect();
            let put = self.put(objects, flush, ready, made, &position).await?;
            self.begin_objects(session, ready).await?;
            let taken = self.run(session, &target.take_rejected(&item, number)).await?;
            if taken.first().is_none_or(|answer| answer.affected == 0) {
                self.run(session, "ROLLBACK").await?;
                continue;
            }
            match self.load_objects(session, objects, ready, generation, put.as_ref(), &position).await? {
                Ended::Done => {
                    self.stay(session, ready).await?;
                    self.run(session, "COMMIT").await?;
                    bytes += put.map_or(0, |put| put.bytes);
                }
                Ended::RefusedRows(refused) => reasons.extend(refused.into_iter().map(|(_, error)| (index, error))),
            }
        }
        Ok(flushed(reasons, bytes))
    }
}

/// Whether a load may have been refused for the sake of rows. Redshift has no code for that.
fn is_of_rows(failure: &Failure) -> bool {
    let is_internal = matches!(failure, Failure::Refused { code, .. } if code == "XX000");
    match failure.meaning() {
        Meaning::Data => true,
        Meaning::Stop => is_internal,
        Meaning::Again => false,
    }
}

/// Rows as an object: a digest of them, and their bytes. The same for the same rows.
fn pack(rows: &[u8]) -> std::io::Result<(String, Bytes)> {
    let digest: String = Sha256::digest(rows).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut packed = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(6));
    packed.write_all(rows)?;
    Ok((digest, packed.finish()?.into()))
}
