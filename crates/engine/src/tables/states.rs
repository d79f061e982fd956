//! The states that a table and its indexes are told to be in, and what is refused in them.
//!
//! A change of a table is done in one commit. With `--aws-like-states` the descriptor also keeps, for a short time, that it
//! is to be told as under way ([`Transition`]); an index that is filled by the backfill is under way in either mode.
//! Source: docs/spec/dynamodb-api.md 2.2 (states), 8.1.

use serde::{Deserialize, Serialize};
use tailrace_api::tables::{IndexStatus, TableClass, TableStatus};
use tailrace_core::{ApiError, EpochMs, ErrorCode, IndexId};

use super::descriptor::Table;
use super::index::{self, Index};

/// What is told as under way until an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The index that it is about; `None`: the table.
    pub index: Option<IndexId>,
    /// What is under way.
    pub change: TransitionKind,
    /// When it is over. A table or an index that goes is there until the background has removed it, some time later.
    pub until: EpochMs,
    /// What of a table is being changed, if that decides what is refused meanwhile and in which words.
    #[serde(default)]
    pub of: Option<Changing>,
}

/// What of a table is being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Changing {
    /// Its stream is enabled or disabled.
    Stream,
    /// Its units, or its billing.
    Units,
    /// Its class.
    Class,
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TransitionKind {
    /// It is being made. Of an index: it is not active before the instant.
    Creating,
    /// It is being changed.
    Updating,
    /// It goes at the instant.
    Deleting,
}

impl Table {
    /// The status that is told of the table.
    pub(crate) fn status(&self, now: EpochMs) -> TableStatus {
        match self.under_way(None, now) {
            None => TableStatus::Active,
            Some(TransitionKind::Creating) => TableStatus::Creating,
            Some(TransitionKind::Updating) => TableStatus::Updating,
            Some(TransitionKind::Deleting) => TableStatus::Deleting,
        }
    }

    /// The data plane knows the table.
    pub(crate) fn is_served(&self, now: EpochMs) -> bool {
        self.transitions.is_empty() || matches!(self.status(now), TableStatus::Active | TableStatus::Updating)
    }

    /// The status that is told of one of the table's indexes, and whether it is being filled, if that is told.
    pub(crate) fn index_status(&self, index: &Index, now: EpochMs) -> (IndexStatus, Option<bool>) {
        let table = self.status(now);
        match index.status {
            index::IndexStatus::Creating => (IndexStatus::Creating, Some(table != TableStatus::Updating)),
            index::IndexStatus::Deleting => (IndexStatus::Deleting, None),
            index::IndexStatus::Active if table == TableStatus::Creating => (IndexStatus::Creating, None),
            index::IndexStatus::Active => match self.under_way(Some(index.id), now) {
                Some(TransitionKind::Updating) => (IndexStatus::Updating, None),
                _ => (IndexStatus::Active, None),
            },
        }
    }

    /// What is under way of the table or one of its indexes.
    pub(crate) fn under_way(&self, index: Option<IndexId>, now: EpochMs) -> Option<TransitionKind> {
        let counts = |t: &&Transition| t.index == index && (now < t.until || t.change == TransitionKind::Deleting);
        self.transitions.iter().find(counts).map(|transition| transition.change)
    }

    /// What of the table is being changed.
    fn changing(&self, now: EpochMs) -> Option<Changing> {
        let counts = |t: &&Transition| t.index.is_none() && t.change == TransitionKind::Updating && now < t.until;
        self.transitions.iter().find(counts).and_then(|transition| transition.of)
    }

    /// Puts a change under way, and forgets those that are over.
    pub(crate) fn put_under_way(&mut self, transition: Transition, now: EpochMs) {
        self.transitions
            .retain(|t| t.index != transition.index && (now < t.until || t.change == TransitionKind::Deleting));
        self.transitions.push(transition);
    }
}

/// `Attempt to change a resource which is still in use: ` and the rest.
pub(crate) fn in_use(rest: impl std::fmt::Display) -> ApiError {
    let text = format!("Attempt to change a resource which is still in use: {rest}");
    ApiError::new(ErrorCode::ResourceInUseException, text)
}

/// Why a table of this name cannot be made.
pub(crate) fn name_is_taken(table: &Table, now: EpochMs) -> ApiError {
    match table.status(now) {
        TableStatus::Creating => in_use(format_args!("Table is being created: {}", table.name)),
        _ => ApiError::new(ErrorCode::ResourceInUseException, format!("Table already exists: {}", table.name)),
    }
}

/// What an UpdateTable asks for, as far as that decides whether it is done while another change is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Deletion protection, encryption or warm throughput: done beside any other change.
    Beside,
    /// Units or billing.
    Units,
    /// The stream.
    Stream,
    /// The class.
    Class,
    /// The limits of on-demand throughput.
    Limits,
    /// Indexes.
    Indexes,
}

/// Whether a table can be changed now.
///
/// # Errors
/// ResourceInUseException: it is being made, changed or deleted.
pub(crate) fn check_update(table: &Table, asks: Asks, now: EpochMs) -> Result<(), ApiError> {
    let name = &table.name;
    match table.status(now) {
        TableStatus::Active => Ok(()),
        TableStatus::Creating => Err(in_use(format_args!("Table is being created: {name}"))),
        TableStatus::Deleting => Err(in_use(format_args!("Table is being deleted: {name}"))),
        TableStatus::Updating if asks == Asks::Beside => Ok(()),
        TableStatus::Updating => Err(in_use(being_updated(table, asks, table.changing(now)))),
    }
}

/// Why a table that is UPDATING is not changed.
fn being_updated(table: &Table, asks: Asks, changing: Option<Changing>) -> String {
    let name = &table.name;
    let stream = || {
        let operation = if table.stream.is_some() { "ENABLE" } else { "DISABLE" };
        let label = table.latest_stream_label.as_deref().unwrap_or_default();
        format!("Table: {name} Stream: {label} Operation: {operation}")
    };
    match (changing, asks) {
        (Some(Changing::Stream), Asks::Stream) => {
            format!("A stream status change is currently in progress. {}", stream())
        }
        (Some(Changing::Stream), Asks::Class) => {
            format!("Can't update table class when stream status is being updated. {}", stream())
        }
        (Some(Changing::Stream), Asks::Units) => {
            format!("Can't change table IOPS when stream status is being updated. {}", stream())
        }
        (Some(Changing::Stream), Asks::Limits) => {
            "OnDemandThroughput cannot be updated while stream status update is in progress".to_owned()
        }
        (Some(Changing::Units), Asks::Limits) => {
            "OnDemandThroughput cannot be updated while BillingMode update is in progress".to_owned()
        }
        (Some(Changing::Units), Asks::Stream) => {
            format!("Can't enable or disable stream while table IOPS are being updated. Table: {name}")
        }
        (Some(Changing::Class), Asks::Class) => {
            let class = table.class.as_ref().map_or(TableClass::Standard, |class| class.class).name();
            format!(
                "Can't update table class when a table class update is in progress. Table: {name} \
                 TableClassUpdateInProgress: {class}"
            )
        }
        (_, Asks::Units) => format!("Table IOPS are currently being updated. Table: {name}"),
        _ => format!("Table is being updated: {name}"),
    }
}

/// Whether a table's time to live can be told now.
///
/// # Errors
/// ValidationException: the table is being made or deleted.
pub(crate) fn check_describes_time_to_live(table: &Table, now: EpochMs) -> Result<(), ApiError> {
    let state = match table.status(now) {
        TableStatus::Creating => "CREATING",
        TableStatus::Deleting => "DELETING",
        TableStatus::Active | TableStatus::Updating => return Ok(()),
    };
    Err(ApiError::validation(format!(
        "Cannot describe time to live while table is in {state} state: Current table state is {state}"
    )))
}

/// Whether a table's time to live can be changed now.
///
/// # Errors
/// ResourceInUseException: the table is being made or deleted.
pub(crate) fn check_update_of_time_to_live(table: &Table, now: EpochMs) -> Result<(), ApiError> {
    match table.status(now) {
        TableStatus::Creating => Err(in_use(format_args!("Table {} is being created", table.name))),
        TableStatus::Deleting => Err(in_use(format_args!("Table is being deleted: {}", table.name))),
        TableStatus::Active | TableStatus::Updating => Ok(()),
    }
}

/// Whether what is set for a table beside its descriptor (tags, a policy) can be changed now.
///
/// # Errors
/// ResourceInUseException: the table is being made or deleted.
pub(crate) fn check_change_of_settings(table: &Table, now: EpochMs) -> Result<(), ApiError> {
    match table.status(now) {
        TableStatus::Creating => Err(in_use(format_args!("Table is being created: {}", table.name))),
        TableStatus::Deleting => Err(in_use(format_args!("Table is being deleted: {}", table.name))),
        TableStatus::Active | TableStatus::Updating => Ok(()),
    }
}

/// Whether a table can be deleted now. `as_aws`: not while an index is on its way.
///
/// # Errors
/// ResourceInUseException: it is being made, changed or deleted, or one of its indexes is.
pub(crate) fn check_delete(table: &Table, as_aws: bool, now: EpochMs) -> Result<(), ApiError> {
    let name = &table.name;
    match table.status(now) {
        TableStatus::Creating => return Err(in_use(format_args!("Table is being created: {name}"))),
        TableStatus::Deleting => return Err(in_use(format_args!("Table is being deleted: {name}"))),
        TableStatus::Updating | TableStatus::Active => {}
    }
    // Told first: the table is UPDATING, too, while an index comes or goes.
    if as_aws && table.indexes.iter().any(|index| table.index_status(index, now).0 != IndexStatus::Active) {
        return Err(in_use("Cannot delete table while indexes are being created, updated, or deleted."));
    }
    match (table.status(now), table.changing(now)) {
        (TableStatus::Updating, Some(Changing::Stream)) => {
            Err(in_use("Cannot delete table while stream is being enabled/disabled."))
        }
        (TableStatus::Updating, _) => Err(in_use(format_args!("Table: {name} is in the process of being updated."))),
        _ => Ok(()),
    }
}
