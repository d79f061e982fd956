//! The Kinesis destinations of tables, for the operations, which say what is to be, and for whoever delivers, who makes it so.
//! Source: docs/spec/sinks.md 5, dynamodb-api.md 8.6.
//!
//! # A destination's life
//!
//! It is switched on in one commit: its row is ENABLING, a stream of Tailrace's own is opened, and the table's descriptor names that stream,
//! so that the very next change is in it. Who delivers makes it ACTIVE. It is switched off in one commit, too: DISABLING, and the
//! descriptor names the stream no more. Who delivers brings what is left and [ends](Db::end_destination) it: DISABLED stays. With its
//! table a destination's row goes. A stream that no destination has is found by its name, and goes next with what who delivered has kept.
//!
//! Invariant: a stream that the descriptor names is that of a destination which is ENABLING, ACTIVE or UPDATING, and of each there is one.

use tailrace_api::tables::KinesisDataStreamDestination;
pub use tailrace_api::tables::{DestinationStatus, TimePrecision};
use tailrace_core::limits::{KINESIS_DESTINATIONS_KEPT_MAX, TABLE_UPDATE_ROUNDS_MAX};
use tailrace_core::{ApiError, EpochMs, ErrorCode, KeySchema, StreamId, TableId};
use tailrace_store::keyspace::{StreamKey, TableKey, TableSettingsKey};
use tailrace_store::{Decision, PageLimit, Write, commit};

use super::descriptor::Table;
use super::settings::{Capture, KinesisDestination, TableSettings};
use crate::caller::Caller;
use crate::control;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::streams::descriptor::Stream;
use crate::streams::hidden;
use crate::tables;

/// What the names of the streams of destinations begin with, before the uuid of who delivers; no table can have such a name.
pub const CAPTURE_NAME: &str = "$kinesis/";
/// Rows that are looked at at once.
const ROWS_PER_PAGE: usize = 256;

/// A destination with something to deliver, or to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The table's name.
    pub table: String,
    /// Its number.
    pub table_id: TableId,
    /// Its primary key.
    pub key: KeySchema,
    /// The ARN of the data stream.
    pub stream_arn: String,
    /// How exact times are.
    pub precision: TimePrecision,
    /// How it stands.
    pub status: DestinationStatus,
    /// The stream that has the changes.
    pub stream: StreamId,
    /// The uuid of who delivers them.
    pub consumer: String,
}

/// A table and its destinations while they are changed.
pub(crate) struct Draft {
    table: Table,
    pub destinations: Vec<KinesisDestination>,
    /// The number of a stream that is opened.
    next: StreamId,
    now_ms: EpochMs,
    shards: usize,
    writes: Vec<Write>,
}

impl KinesisDestination {
    /// It is neither off nor failed.
    pub fn is_live(&self) -> bool {
        !matches!(self.status, DestinationStatus::Disabled | DestinationStatus::EnableFailed)
    }

    pub fn describe(self) -> KinesisDataStreamDestination {
        let failed = self.status == DestinationStatus::EnableFailed;
        KinesisDataStreamDestination {
            stream_arn: self.stream_arn,
            destination_status: self.status,
            destination_status_description: failed.then(|| {
                "Tailrace was started without an endpoint for Kinesis data streams, or the ARN is of none".to_owned()
            }),
            approximate_creation_date_time_precision: self.precision,
        }
    }
}

impl Draft {
    /// The `TableId` of the API.
    pub fn table_uuid(&self) -> &str {
        &self.table.uuid
    }

    /// The destination with this ARN.
    pub fn destination(&mut self, stream_arn: &str) -> Option<&mut KinesisDestination> {
        self.destinations.iter_mut().find(|destination| destination.stream_arn == stream_arn)
    }

    /// Puts a destination in the place of the one with its ARN, or before all others. Of those that are off or failed the oldest are forgotten.
    pub fn put(&mut self, new: KinesisDestination) {
        match self.destination(&new.stream_arn) {
            Some(old) => *old = new,
            None => self.destinations.insert(0, new),
        }
        while self.destinations.len() > KINESIS_DESTINATIONS_KEPT_MAX {
            let Some(oldest) = self.destinations.iter().rposition(|destination| !destination.is_live()) else { return };
            self.destinations.remove(oldest);
        }
    }

    /// Opens the stream that gets every change from now on.
    pub fn open(&mut self, consumer: &str) -> Capture {
        let name = format!("{CAPTURE_NAME}{consumer}");
        self.writes.extend(hidden::open_capture(self.next, name, &self.table, self.now_ms, self.shards));
        self.table.captures.push(self.next);
        Capture { stream: self.next, consumer: consumer.to_owned() }
    }

    /// Lets a stream get no change any more.
    pub fn close(&mut self, capture: &Capture) {
        self.table.captures.retain(|stream| *stream != capture.stream);
    }
}

enum Outcome<A> {
    Done(A, Option<bytes::Bytes>),
    /// The table changed since it was read: look again.
    Changed,
    Refused(ApiError),
}

/// Changes the destinations of a table, and what of its descriptor goes with them, in one commit, and tells who delivers. `change` may be
/// called more than once. With the operation and who called it.
///
/// # Errors
/// That of `change`, ResourceNotFoundException, or the store's failure.
pub(crate) async fn change<A: Send>(
    db: &Db,
    name: &str,
    (operation, caller): (&str, &Caller<'_>),
    change: impl Fn(&mut Draft) -> Result<A, ApiError> + Send + Sync,
) -> Result<A, ApiError> {
    for _ in 0..TABLE_UPDATE_ROUNDS_MAX {
        let table = tables::stored(db, name).await?;
        let keys = [table.row_key.clone(), TableSettingsKey { table: table.id }.encode(), hidden::counter_key()];
        let shared = [control::key()];
        let committed = commit(db.store.as_ref(), &shared, &keys, |reads| {
            if reads.exclusive[0].as_ref() != Some(&table.row) {
                return Decision::Reject(Outcome::Changed);
            }
            let corrupt = |what| Decision::Reject(Outcome::Refused(corrupt_row(what)));
            let row = reads.exclusive[1].as_ref();
            let Some(old) = TableSettings::decode(row) else { return corrupt("the settings of a table") };
            let Some(next) = hidden::next_id(reads.exclusive[2].as_ref()) else {
                return corrupt("the counter of streams");
            };
            let mut draft = Draft {
                table: Table::clone(&table),
                destinations: old.kinesis_destinations.clone(),
                next,
                now_ms: reads.now_ms,
                shards: db.settings.shards_per_stream,
                writes: Vec::new(),
            };
            let answer = match change(&mut draft) {
                Ok(answer) => answer,
                Err(error) => return Decision::Reject(Outcome::Refused(error)),
            };
            let Draft { table: new_table, destinations, mut writes, .. } = draft;
            let mut new = old.clone();
            new.kinesis_destinations = destinations;
            if new == old && new_table == **table {
                return Decision::Reject(Outcome::Done(answer, None));
            }
            let value =
                row.map_or_else(|| crate::json_row::encode(&new), |row| crate::json_row::encode_over(row, &new));
            let of = (operation, &*table.name);
            writes.extend(control::table_record(reads.shared[0].as_ref(), of, (row, Some(&value)), caller));
            writes.push(Write::Put { key: keys[1].clone(), value });
            let changed = (new_table != **table).then(|| new_table.encode_over(&table.row));
            writes.extend(changed.iter().map(|row| Write::Put { key: keys[0].clone(), value: row.clone() }));
            Decision::Apply(writes, Outcome::Done(answer, changed))
        });
        match committed.await.map_err(|e| store_failure(&e))?.answer {
            Outcome::Changed => {}
            Outcome::Refused(error) => return Err(error),
            Outcome::Done(answer, row) => {
                if let Some(row) = row {
                    // The next request is checked by it, not by the one that was last seen.
                    db.read_table(name, &row)?;
                }
                db.destinations_changed.notify_one();
                return Ok(answer);
            }
        }
    }
    Err(ApiError::new(ErrorCode::InternalServerError, "the table changes too often to be updated"))
}

impl Db {
    /// Waits until a destination was changed, or its table deleted, since the last wait.
    pub async fn destinations_changed(&self) {
        self.destinations_changed.notified().await;
    }

    /// Every destination of which there is something to deliver or to remove.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn kinesis_destinations(&self) -> Result<Vec<Destination>, ApiError> {
        Ok(self.readable_destinations().await?.0)
    }

    /// The same, and whether a row of a table could not be read, which may have others.
    async fn readable_destinations(&self) -> Result<(Vec<Destination>, bool), ApiError> {
        let (mut all, mut range, mut some_unreadable) = (Vec::new(), TableKey::range(), false);
        loop {
            let limit = PageLimit { rows_max: ROWS_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
            let page = self.store.page(range.clone(), limit).await.map_err(|e| store_failure(&e))?;
            // What cannot be read is told of by whoever wants to use it.
            let tables = page.rows.iter().filter_map(|(_, row)| Table::decode(row).ok()).collect::<Vec<_>>();
            some_unreadable |= tables.len() < page.rows.len();
            let keys: Vec<_> = tables.iter().map(|table| TableSettingsKey { table: table.id }.encode()).collect();
            let rows = self.rows(&keys).await?;
            for (table, row) in tables.into_iter().zip(&rows) {
                let Some(settings) = TableSettings::decode(row.as_ref()) else {
                    some_unreadable = true;
                    continue;
                };
                all.extend(settings.kinesis_destinations.into_iter().filter_map(|destination| {
                    let Capture { stream, consumer } = destination.capture?;
                    Some(Destination {
                        table: table.name.clone(),
                        table_id: table.id,
                        key: table.key.clone(),
                        stream_arn: destination.stream_arn,
                        precision: destination.precision.unwrap_or_default(),
                        status: destination.status,
                        stream,
                        consumer,
                    })
                }));
            }
            match page.rows.last().filter(|_| page.limited) {
                Some((last, _)) => range = range.after(last),
                None => return Ok((all, some_unreadable)),
            }
        }
    }

    /// A destination that is ENABLING or UPDATING is ACTIVE, if it still is what was seen of it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn activate_destination(&self, seen: &Destination) -> Result<(), ApiError> {
        let asked = ("ActivateKinesisStreamingDestination", &Caller::default());
        let active = change(self, &seen.table, asked, |draft| {
            if let Some(destination) = draft.destination(&seen.stream_arn)
                && destination.is_that_of(seen)
            {
                destination.status = DestinationStatus::Active;
            }
            Ok(())
        });
        or_gone(active.await)
    }

    /// A destination that is DISABLING is DISABLED, and one that is ENABLING has failed. Its stream is one of nobody from now on: what
    /// it has, and what who delivered has kept, goes next.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn end_destination(&self, seen: &Destination) -> Result<(), ApiError> {
        let asked = ("EndKinesisStreamingDestination", &Caller::default());
        let ended = change(self, &seen.table, asked, |draft| {
            let still = draft.destination(&seen.stream_arn).filter(|destination| destination.is_that_of(seen));
            let destination = still.ok_or_else(|| ApiError::not_found("the destination is gone"))?;
            (destination.status, destination.precision) = match seen.status {
                DestinationStatus::Disabling => (DestinationStatus::Disabled, None),
                _ => (DestinationStatus::EnableFailed, destination.precision),
            };
            if let Some(capture) = destination.capture.take() {
                draft.close(&capture);
            }
            Ok(())
        });
        or_gone(ended.await)
    }

    /// The streams of destinations that have ended, or whose table is gone, each with the uuid of who delivered it.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn orphaned_captures(&self) -> Result<Vec<(StreamId, String)>, ApiError> {
        let (mut all, mut range) = (Vec::new(), StreamKey::range());
        loop {
            let limit = PageLimit { rows_max: ROWS_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
            let page = self.store.page(range.clone(), limit).await.map_err(|e| store_failure(&e))?;
            for stream in page.rows.iter().filter_map(|(_, row)| Stream::decode(row)) {
                if let Some(consumer) = stream.table.strip_prefix(CAPTURE_NAME) {
                    all.push((stream.id, consumer.to_owned()));
                }
            }
            match page.rows.last().filter(|_| page.limited) {
                Some((last, _)) => range = range.after(last),
                None => break,
            }
        }
        // Behind the streams: one that was opened since has a table.
        let (known, some_unreadable) = match all.is_empty() {
            true => (Vec::new(), false),
            false => self.readable_destinations().await?,
        };
        if some_unreadable {
            return Ok(Vec::new());
        }
        all.retain(|(id, _)| known.iter().all(|destination| destination.stream != *id));
        Ok(all)
    }

    /// Removes the stream of a destination that has ended, or whose table is gone. Safe to repeat.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn drop_capture(&self, id: StreamId) -> Result<(), ApiError> {
        let key = hidden::descriptor_key(id);
        let dropped =
            commit(self.store.as_ref(), &[], std::slice::from_ref(&key), |reads| match reads.exclusive[0].is_some() {
                true => Decision::Apply(hidden::drop(id).into(), ()),
                false => Decision::Reject(()),
            });
        dropped.await.map_err(|e| store_failure(&e)).map(drop)
    }
}

impl KinesisDestination {
    fn is_that_of(&self, seen: &Destination) -> bool {
        let precision = self.precision.unwrap_or_default();
        let has = self.capture.as_ref().is_some_and(|capture| capture.stream == seen.stream);
        has && (self.status, precision) == (seen.status, seen.precision)
    }
}

/// With its table a destination goes.
fn or_gone(changed: Result<(), ApiError>) -> Result<(), ApiError> {
    match changed {
        Err(error) if error.code == ErrorCode::ResourceNotFoundException => Ok(()),
        changed => changed,
    }
}
