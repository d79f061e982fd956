//! Who delivers a shard: decided in the store, under a fencing token.
//!
//! Each shard of a consumer has an owner row with an epoch. Whoever begins to deliver the shard raises the epoch and is the
//! owner from that commit on; it asks nobody and waits for nobody, so a restart goes on at once. Every checkpoint, with what
//! it parks, is a commit that declares the owner row and the checkpoint row, and is refused when either is not what the
//! owner saw last. So of two runners that both believe to be the owner, one commits and the other learns, at its next commit,
//! its next read of the log or before its next retry, that it is fenced out: it delivers nothing more of the shard. What a
//! target writes of a batch beside the checkpoint it commits under the same fence ([`Fence::commit`]).
//!
//! Invariant: between two claims of a shard the checkpoint moves by one owner's commits only, each from what the one before
//! left. What both deliver at most is what was in flight at the claim.
//!
//! What it does not do: it grants no lease and notices no death. A runner that was fenced out does not come back by itself,
//! so two runners never take a shard from each other in turn.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, MappingId};
use tailrace_store::keyspace::{CheckpointKey, OwnerKey, ParkedKey};
use tailrace_store::{Decision, Engine, Key, StoreError, Write, commit};

use crate::checkpoints;
use crate::machine::{Checkpoint, Parked};
use crate::observer::Shard;
use crate::parked;
use crate::rows;

const OWNER_VERSION: u32 = 1;

/// How often a shard was claimed: the fencing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Epoch(pub u64);

/// An owner row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    v: u32,
    /// The token.
    pub epoch: Epoch,
    /// The runner, for people.
    pub runner: String,
    /// When it claimed the shard.
    pub since_ms: EpochMs,
}

impl Owner {
    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: an owner has only string keys").into()
    }

    fn decode(value: &[u8]) -> Result<Owner, StoreError> {
        rows::read("the owner of a shard", OWNER_VERSION, value)
    }
}

/// An owner row as its owner wrote it: what every commit of the owner is compared with. A clone is the same fence.
#[derive(Clone, Debug)]
pub struct Fence {
    key: Key,
    owner: Bytes,
    epoch: Epoch,
}

impl Fence {
    /// How often the shard was claimed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.0
    }

    /// Commits puts and deletes of a target's own rows, if the runner is still the owner of the shard.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(&self, store: &dyn Engine, writes: &[Write]) -> Result<Standing, StoreError> {
        let key = |write: &Write| match write {
            Write::Put { key, .. } | Write::Delete { key } => Some(key.clone()),
            _ => None,
        };
        let keys: Vec<Key> = writes.iter().filter_map(key).collect();
        let committed = commit(store, std::slice::from_ref(&self.key), &keys, |reads| {
            match self.compare(reads.shared[0].as_ref()) {
                Standing::Held => Decision::Apply(writes.to_vec(), Standing::Held),
                standing => Decision::Reject(standing),
            }
        });
        Ok(committed.await?.answer)
    }

    /// Whether it still stands, as far as is published.
    pub(crate) async fn standing(&self, store: &dyn Engine) -> Result<Standing, StoreError> {
        let found = store.get(std::slice::from_ref(&self.key)).await?.pop().flatten();
        Ok(self.compare(found.as_ref()))
    }

    fn compare(&self, found: Option<&Bytes>) -> Standing {
        match found {
            Some(found) if *found == self.owner => Standing::Held,
            Some(_) => Standing::TakenOver,
            None => Standing::Gone,
        }
    }
}

/// What the owner of a shard last saw of it.
#[derive(Debug)]
pub(crate) struct Ownership {
    consumer: MappingId,
    shard: Shard,
    fence: Fence,
    checkpoint_key: Key,
    checkpoint: Option<Bytes>,
}

/// What became of a commit under an ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds; the commit is durable.
    Held,
    /// Another runner owns the shard now. Nothing was written.
    TakenOver,
    /// The consumer is gone. Nothing was written.
    Gone,
}

impl Ownership {
    /// Makes this runner the owner of a shard, whoever was it before. `None`: the row `definition` is not there, the consumer
    /// is gone.
    pub async fn claim(
        store: &dyn Engine,
        consumer: MappingId,
        definition: &Key,
        shard: &Shard,
        runner: &str,
    ) -> Result<Option<Ownership>, StoreError> {
        let owner_key = OwnerKey { mapping: consumer, shard: shard.no }.encode();
        let checkpoint_key = CheckpointKey { mapping: consumer, shard: shard.no }.encode();
        let exclusive = [owner_key.clone(), checkpoint_key.clone()];
        let committed = commit(store, std::slice::from_ref(definition), &exclusive, |reads| {
            if reads.shared[0].is_none() {
                return Decision::Reject(Ok(None));
            }
            let before = reads.exclusive[0].as_deref().map(Owner::decode).transpose();
            let before = match before {
                Ok(before) => before.map_or(Epoch(0), |owner| owner.epoch),
                Err(error) => return Decision::Reject(Err(error)),
            };
            let (epoch, runner) = (Epoch(before.0 + 1), runner.to_owned());
            let owner = Owner { v: OWNER_VERSION, epoch, runner, since_ms: reads.now_ms }.encode();
            let put = Write::Put { key: owner_key.clone(), value: owner.clone() };
            Decision::Apply(vec![put], Ok(Some((owner, epoch, reads.exclusive[1].clone()))))
        });
        let claimed = committed.await?.answer?;
        Ok(claimed.map(|(owner, epoch, checkpoint)| Ownership {
            consumer,
            shard: shard.clone(),
            fence: Fence { key: owner_key.clone(), owner, epoch },
            checkpoint_key,
            checkpoint,
        }))
    }

    /// The checkpoint as the owner last saw it; `None`: the shard has none.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.checkpoint.as_deref().map(checkpoints::decode).transpose()
    }

    /// What it stands on.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Commits a checkpoint and what it parks, if this runner is still the owner.
    pub async fn save(
        &mut self,
        store: &dyn Engine,
        checkpoint: &Checkpoint,
        parked: &[Parked],
    ) -> Result<Standing, StoreError> {
        let mut puts = vec![(self.checkpoint_key.clone(), Bytes::from(checkpoint.encode()))];
        for record in parked {
            let key = ParkedKey { mapping: self.consumer, shard: self.shard.no, number: record.logged.number }.encode();
            puts.push((key, parked::encode(&self.shard, record)));
        }
        let keys: Vec<Key> = puts.iter().map(|(key, _)| key.clone()).collect();
        let this = &*self;
        let committed = commit(store, std::slice::from_ref(&this.fence.key), &keys, |reads| {
            let standing = match this.fence.compare(reads.shared[0].as_ref()) {
                Standing::Held if reads.exclusive[0] != this.checkpoint => Standing::TakenOver,
                standing => standing,
            };
            if standing != Standing::Held {
                return Decision::Reject(standing);
            }
            let put = |(key, value): &(Key, Bytes)| Write::Put { key: key.clone(), value: value.clone() };
            Decision::Apply(puts.iter().map(put).collect(), standing)
        });
        let standing = committed.await?.answer;
        if standing == Standing::Held {
            self.checkpoint = puts.into_iter().next().map(|(_, value)| value);
        }
        Ok(standing)
    }
}

/// Forgets who owned the shards of a consumer that is deleted: whoever still delivers one is fenced out.
pub(crate) async fn delete_all(store: &dyn Engine, consumer: MappingId) -> Result<(), StoreError> {
    crate::rows::delete_range(store, OwnerKey::mapping_range(consumer)).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tailrace_core::clock::ManualClock;
    use tailrace_core::{RecordNo, ShardNo};
    use tailrace_store::keyspace::SettingKey;
    use tailrace_store::{LogRecord, ModelEngine};

    use super::*;
    use crate::machine::GiveUp;

    proptest! {
        #[test]
        fn an_owner_reads_back(epoch in any::<u64>(), since_ms in any::<u64>(), runner in ".*") {
            let owner = Owner { v: OWNER_VERSION, epoch: Epoch(epoch), runner, since_ms: EpochMs(since_ms) };
            prop_assert_eq!(Owner::decode(&owner.encode()).unwrap(), owner);
        }
    }

    /// A commit is refused when either row is not what the owner last saw, and then nothing of it is written.
    #[tokio::test]
    async fn a_checkpoint_is_compared_with_what_the_owner_saw() {
        let store = ModelEngine::new(Arc::new(ManualClock::at(EpochMs(1))));
        let store: &dyn Engine = store.as_ref();
        let (consumer, definition) = (MappingId(1), SettingKey { name: "definition".to_owned() }.encode());
        let shard = Shard { no: ShardNo(3), id: "shardId-3".into() };
        let write = async |write: Write| {
            let (Write::Put { key, .. } | Write::Delete { key }) = &write else { unreachable!() };
            let keys = [key.clone()];
            commit(store, &[], &keys, |_| Decision::Apply(vec![write.clone()], ())).await.unwrap();
        };
        let claim = async || Ownership::claim(store, consumer, &definition, &shard, "me").await.unwrap();
        assert!(claim().await.is_none(), "the consumer is not there");
        write(Write::Put { key: definition.clone(), value: Bytes::new() }).await;
        let mut first = claim().await.unwrap();
        let at = |number| Checkpoint::starting_after(RecordNo(number), 1);
        assert_eq!(first.save(store, &at(5), &[]).await.unwrap(), Standing::Held);
        assert_eq!(first.save(store, &at(6), &[]).await.unwrap(), Standing::Held);
        // Somebody wrote the checkpoint and claimed nothing.
        let foreign = Bytes::from(at(9).encode());
        write(Write::Put { key: first.checkpoint_key.clone(), value: foreign }).await;
        assert_eq!(first.save(store, &at(7), &[]).await.unwrap(), Standing::TakenOver);
        let mut second = claim().await.unwrap();
        assert_eq!(second.checkpoint().unwrap(), Some(at(9)));
        let parked = Parked {
            logged: LogRecord {
                shard: shard.no,
                number: RecordNo(8),
                time_ms: EpochMs(1),
                meta: Bytes::new(),
                old: None,
                new: None,
            },
            reason: GiveUp::Damaged,
            error: String::new(),
            invocations: 0,
            first_failed_ms: None,
            parked_ms: EpochMs(1),
        };
        let parked = [parked];
        assert_eq!(first.save(store, &at(7), &parked).await.unwrap(), Standing::TakenOver);
        assert_eq!(first.fence().standing(store).await.unwrap(), Standing::TakenOver);
        assert_eq!(parked::page(store, consumer, None, 10).await.unwrap(), [], "nothing was parked either");
        assert_eq!(second.save(store, &at(10), &parked).await.unwrap(), Standing::Held);
        assert_eq!(parked::page(store, consumer, None, 10).await.unwrap().len(), 1);
        delete_all(store, consumer).await.unwrap();
        assert_eq!(second.save(store, &at(11), &[]).await.unwrap(), Standing::Gone);
    }

    #[test]
    fn a_newer_owner_and_damage_are_named() {
        for stored in [r#"{"v":2,"epoch":1,"runner":"","since_ms":0}"#, "{"] {
            assert!(matches!(Owner::decode(stored.as_bytes()), Err(StoreError::Corrupt(_))), "{stored}");
        }
        let later = r#"{"v":1,"epoch":7,"runner":"r","since_ms":0,"added":true}"#;
        assert_eq!(Owner::decode(later.as_bytes()).unwrap().epoch, Epoch(7));
    }
}
