//! Which chains there are: an action of the control stream says of each that it has begun in a place, and with what head. So the control
//! chain, which is one of the trail, names all others, and one that was taken away as a whole is missed.
//!
//! Invariant: the action is in the commit of the head that it tells of, so each chain is told of once in a place, whatever crashes. A chain of an older
//! version, which told of none, is told of with its next segment.
//!
//! What it does not do: it says nothing of how a chain goes on, nor does it save the end of the control chain itself from being taken away.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_engine::control::{self, Action};
use tailrace_engine::{Caller, Db};
use tailrace_store::keyspace::AuditChainKey;
use tailrace_store::{Decision, Write, commit};

use super::chain::ReadLine;
use super::entry::{CONTROL, SEGMENT};
use super::head::{self, Head};
use super::verify::KnownHead;
use crate::sink::SinkError;

/// The name of the action.
const ACTION: &str = "BeginChain";
/// The folder of the chains of what is done to tables, which tell of all others.
pub const CONTROL_FOLDER: &str = "control/";

/// What is said of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    /// How many entries it had.
    entries: u64,
    /// The hash of its last line, hex.
    head: String,
    /// Where it lay.
    place: String,
}

/// What an action of this kind is done to.
fn resource(trail: &str, chain: &str) -> String {
    format!("audit/{trail}/{chain}")
}

/// Writes a head over the row that was read, and tells of its chain. Where there is no control stream nothing is told, and the head does
/// not say so either.
///
/// # Errors
/// Somebody else has written it since, or the store's failure.
pub async fn write(db: &Db, key: &AuditChainKey, read: Option<&Bytes>, head: &Head) -> Result<(), SinkError> {
    let begun = Begun { entries: head.entries, head: head.hash()?.to_string(), place: head.place.clone() };
    let begun = serde_json::to_vec(&begun).expect("invariant: names are strings");
    let resource = resource(&key.trail, &head.chain);
    let action = Action { name: ACTION, resource: &resource, before: None, after: Some(&begun) };
    let told = Head { told: head.place.clone(), ..head.clone() };
    let (shared, exclusive) = ([control::key()], [key.encode()]);
    let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
        if reads.exclusive[0].as_ref() != read {
            return Decision::Reject(false);
        }
        let record = control::record(reads.shared[0].as_ref(), &action, &Caller::default());
        let row = if record.is_some() { &told } else { head };
        let put = Write::Put { key: exclusive[0].clone(), value: row.encode() };
        Decision::Apply([put].into_iter().chain(record).collect(), true)
    });
    match committed.await.map_err(|error| SinkError(error.to_string()))?.answer {
        true => Ok(()),
        false => Err(head::written_by_another(head)),
    }
}

/// What the control chains of a trail tell of the others.
#[derive(Debug, Default)]
pub struct Announced {
    trail: String,
    /// Where the control chain was before.
    continues: Option<String>,
    begun: Vec<(String, Begun)>,
}

impl Announced {
    /// Takes in a line that is as it should be.
    pub fn line(&mut self, chain: &str, line: &[u8]) {
        if !chain.starts_with(CONTROL_FOLDER) {
            return;
        }
        let Some(read) = ReadLine::parse(line) else { return };
        let string = |name: &str| read.json(name).and_then(|json| serde_json::from_slice::<String>(json).ok());
        match read.text("event_name") {
            Some(SEGMENT) => {
                self.trail = string("trail").unwrap_or_default();
                self.continues = string("continues").or(self.continues.take());
            }
            Some(CONTROL) if read.text("action") == Some(ACTION) => {
                let (resource, begun) = (string("resource").unwrap_or_default(), string("after").unwrap_or_default());
                // Another trail's are none of this one's.
                let named = resource.strip_prefix(&self::resource(&self.trail, "")).map(str::to_owned);
                self.begun.extend(named.zip(serde_json::from_str(&begun).ok()));
            }
            _ => {}
        }
    }

    /// The heads that chains had here when they were told of. What lies where the trail was before is not asked for: what is told last is
    /// told of this place, unless nothing was told since the trail moved.
    pub fn heads(&self) -> impl Iterator<Item = (String, KnownHead)> + '_ {
        let place = self.begun.last().map(|(_, begun)| &begun.place);
        let place = place.filter(|place| Some(*place) != self.continues.as_ref());
        let here = self
            .begun
            .iter()
            .filter(move |(chain, begun)| Some(&begun.place) == place && !chain.starts_with(CONTROL_FOLDER));
        here.map(|(chain, Begun { entries, head, .. })| {
            (chain.clone(), KnownHead { next_entry: *entries, head: head.clone() })
        })
    }
}
