//! The salts of persons: rows of the store, each made when a person is first in a record, and removed when the person is to be
//! forgotten ([`forget`]). They are durable before a segment is made with them.

use std::collections::HashMap;

use bytes::Bytes;
use tailrace_core::AttributeValue;
use tailrace_core::codec::StoredItem;
use tailrace_engine::control::Action;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Caller, Db};
use tailrace_store::keyspace::AuditSubjectKey;
use tailrace_store::{Decision, Key, Write, commit};

use super::chain::push_hex;
use super::private::{Hider, MasterKey, SALT_BYTES};
use crate::sink::SinkError;

/// Salts that one commit reads or makes. Our reason: its keys are latched together.
const SALTS_PER_COMMIT: usize = 256;

/// What the values of the persons are hidden with that `records` name in the attribute `subject`, by what stands for them.
///
/// # Errors
/// The store's failure. A record that cannot be read names nobody.
pub async fn persons(
    db: &Db,
    trail: &str,
    master: &MasterKey,
    subject: &str,
    records: &[StreamRecord],
) -> Result<HashMap<[u8; SALT_BYTES], Hider>, SinkError> {
    let mut named: Vec<[u8; SALT_BYTES]> = Vec::new();
    for record in records {
        for stored in [Some(&record.meta.keys), record.new.as_ref(), record.old.as_ref()].into_iter().flatten() {
            let person = StoredItem::new(stored).and_then(|item| item.attribute(subject));
            named.extend(person.ok().flatten().map(|person| master.subject(&person)));
        }
    }
    named.sort_unstable();
    named.dedup();
    let mut persons = HashMap::with_capacity(named.len());
    for some in named.chunks(SALTS_PER_COMMIT) {
        let salts = salts(db, trail, some).await?;
        persons.extend(some.iter().zip(salts).map(|(person, salt)| (*person, master.hider_of(&salt))));
    }
    Ok(persons)
}

/// The salts of persons, those that are missing made.
async fn salts(db: &Db, trail: &str, persons: &[[u8; SALT_BYTES]]) -> Result<Vec<Bytes>, SinkError> {
    let key = |person: &[u8; SALT_BYTES]| AuditSubjectKey { trail: trail.to_owned(), subject: *person }.encode();
    let keys: Vec<Key> = persons.iter().map(key).collect();
    let failed = |error: tailrace_store::StoreError| SinkError(error.to_string());
    let found = db.store().get(&keys).await.map_err(failed)?;
    if found.iter().all(Option::is_some) {
        return Ok(found.into_iter().flatten().collect());
    }
    let drawn: Vec<Bytes> = keys
        .iter()
        .map(|_| {
            let mut salt = vec![0; SALT_BYTES];
            db.rng().fill(&mut salt);
            salt.into()
        })
        .collect();
    let committed = commit(db.store().as_ref(), &[], &keys, |reads| {
        let mut writes = Vec::new();
        let mut salts = Vec::with_capacity(keys.len());
        for ((key, drawn), row) in keys.iter().zip(&drawn).zip(reads.exclusive) {
            if row.is_none() {
                writes.push(Write::Put { key: key.clone(), value: drawn.clone() });
            }
            salts.push(row.as_ref().unwrap_or(drawn).clone());
        }
        Decision::Apply(writes, salts)
    });
    Ok(committed.await.map_err(failed)?.answer)
}

/// Forgets a person: the codes of their values mean nothing any more, whoever has the operator's key. What is written of them from now on
/// has codes of a new salt. It is an action of the control stream. False: there was nothing to forget.
///
/// The salt stays in pieces of the log until these are given back, which is when the records of its time are no longer retained.
///
/// # Errors
/// The store's failure.
pub async fn forget(
    db: &Db,
    trail: &str,
    master: &MasterKey,
    subject: &AttributeValue,
    caller: &Caller<'_>,
) -> Result<bool, SinkError> {
    let person = master.subject(subject);
    let key = AuditSubjectKey { trail: trail.to_owned(), subject: person }.encode();
    let mut resource = format!("audit/{trail}/").into_bytes();
    push_hex(&person, &mut resource);
    let resource = String::from_utf8(resource).unwrap_or_default();
    let action = Action { name: "ForgetSubject", resource: &resource, before: None, after: None };
    let (shared, exclusive) = ([tailrace_engine::control::key()], [key]);
    let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
        if reads.exclusive[0].is_none() {
            return Decision::Reject(false);
        }
        let record = tailrace_engine::control::record(reads.shared[0].as_ref(), &action, caller);
        let removal = Write::Delete { key: exclusive[0].clone() };
        Decision::Apply([removal].into_iter().chain(record).collect(), true)
    });
    Ok(committed.await.map_err(|error| SinkError(error.to_string()))?.answer)
}
