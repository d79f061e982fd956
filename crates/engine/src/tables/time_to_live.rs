//! A table's times to live: what a change of one asks for, and the row that says how far the expiries of one are written
//! (docs/format.md, Time to live). Source: docs/spec/dynamodb-api.md 8.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_api::tables::TimeToLiveSpecification;
use tailrace_core::{ApiError, TtlGeneration};
use tailrace_store::Key;

use super::descriptor::{Table, TimeToLive};
use crate::json_row;

/// The version that this code writes.
const VERSION: u32 = 1;

/// How far the expiries of a time to live are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expiries {
    /// Items from before it was enabled are still to get their rows.
    Filling,
    /// Every item that expires has its row.
    Filled,
    /// It was disabled: nobody reads or writes the rows any more, and they are to be reclaimed.
    Ended,
}

/// The row of a time to live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeToLiveRow {
    version: u32,
    /// The name of its table.
    pub table: String,
    /// How far it is.
    pub expiries: Expiries,
    /// While it is filling: the key of the last item that was looked at, base64; `None` before the first.
    behind: Option<String>,
}

impl TimeToLiveRow {
    /// That of a time to live that is enabled now.
    pub fn new(table: &Table) -> TimeToLiveRow {
        TimeToLiveRow { version: VERSION, table: table.name.clone(), expiries: Expiries::Filling, behind: None }
    }

    /// The same when the items up to `last` have their rows; `None`: all of them.
    pub fn filled_up_to(&self, last: Option<&Key>) -> TimeToLiveRow {
        TimeToLiveRow {
            expiries: if last.is_some() { Expiries::Filling } else { Expiries::Filled },
            behind: last.map(|last| STANDARD.encode(last.as_bytes())),
            ..self.clone()
        }
    }

    /// The same when it has ended.
    pub fn ended(&self) -> TimeToLiveRow {
        TimeToLiveRow { expiries: Expiries::Ended, behind: None, ..self.clone() }
    }

    /// The key of the last item that was looked at. The inner `None`: the row says something else than a key.
    pub fn behind(&self) -> Option<Option<Key>> {
        self.behind.as_ref().map(|behind| STANDARD.decode(behind).ok().map(|bytes| Key(Bytes::from(bytes))))
    }

    /// The value of a row that is new.
    pub fn encode(&self) -> Bytes {
        json_row::encode(self)
    }

    /// The value of the row that stands for `stored` from now on.
    pub fn encode_over(&self, stored: &Bytes) -> Bytes {
        json_row::encode_over(stored, self)
    }

    /// Reads a row's value; `None`: it is none of a version that this code knows.
    pub fn decode(value: &[u8]) -> Option<TimeToLiveRow> {
        serde_json::from_slice(value).ok().filter(|row: &TimeToLiveRow| row.version == VERSION)
    }
}

/// Changes the table's time to live, or says why not.
pub(crate) fn apply(asked: &TimeToLiveSpecification, table: &mut Table) -> Result<(), ApiError> {
    match (&table.time_to_live, asked.enabled) {
        (None, false) => Err(ApiError::validation("TimeToLive is already disabled")),
        (Some(present), _) if present.attribute != asked.attribute_name => Err(ApiError::validation(format!(
            "TimeToLive is active on a different AttributeName: current AttributeName is {}",
            present.attribute
        ))),
        (Some(_), true) => Err(ApiError::validation("TimeToLive is already enabled")),
        (Some(_), false) => {
            table.time_to_live = None;
            Ok(())
        }
        (None, true) => {
            table.times_to_live_made += 1;
            table.time_to_live = Some(TimeToLive {
                attribute: asked.attribute_name.clone(),
                generation: TtlGeneration(table.times_to_live_made),
            });
            Ok(())
        }
    }
}
