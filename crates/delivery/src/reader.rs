//! Reading a shard for its machine: the log's records that its target wants, with their lanes and sizes, up to the first that
//! cannot be read.

use std::sync::Arc;

use tailrace_core::codec::StoredItem;
use tailrace_core::key::partition_hash;
use tailrace_core::{EpochMs, RecordNo};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::{LogRecord, StoreError};

use crate::consumer::Core;
use crate::machine::{Damaged, LogRead, Record};
use crate::observer::{DeliveryEvent, Shard};
use crate::pages::Bound;
use crate::room::{PageRoom, ShardRoom};

/// Records that are measured before other tasks get their turn.
const RECORDS_PER_TURN: usize = 100;

/// Wake-ups in a row that bring nothing before the next one is waited for by the clock.
const IDLE_WAKES_MAX: u32 = 1000;

/// What the machine wants to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Records above this number.
    pub after: RecordNo,
    /// At most so many.
    pub records_max: usize,
    /// End after about so many stored bytes.
    pub bytes_max: usize,
    /// Nothing was left to read the last time: wait for something first.
    pub wait: bool,
    /// What to do without room in memory.
    pub crowded: Crowded,
}

/// What to do when there is no room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// Read in spite of it.
    Read,
    /// Say so.
    Tell,
    /// Wait for some.
    Wait,
}

/// What came of a look at the log.
pub(crate) enum Found {
    /// What was read, and its room in memory.
    Read(LogRead, PageRoom),
    /// There is something, and no room for it; this is to be wanted next.
    Crowded(Wanted),
}

pub(crate) async fn read(
    core: Arc<Core>,
    shard: Shard,
    room: Arc<ShardRoom>,
    wanted: Wanted,
) -> Result<Found, StoreError> {
    let Wanted { mut after, records_max, bytes_max, wait, crowded } = wanted;
    let store = core.context.store.as_ref();
    let mut idle_wakes = 0;
    loop {
        if wait {
            store.wait_log(shard.no, after).await;
        }
        let page_room = match crowded {
            Crowded::Read => room.page_at_once(bytes_max),
            Crowded::Wait => room.page(bytes_max).await,
            Crowded::Tell => match room.try_page(bytes_max) {
                Some(page) => page,
                // The reader does not wait at the end any more, so it is told even if there is nothing.
                None => return Ok(Found::Crowded(Wanted { after, wait: false, crowded: Crowded::Wait, ..wanted })),
            },
        };
        let bound = Bound { records: records_max, bytes: page_room.bytes };
        let pages = &core.context.pages;
        let page = match pages.read(store, core.source.stream, shard.no, after, bound).await {
            Ok(page) => page,
            Err(StoreError::NoSuchShard(_)) => {
                // The stream was dropped: nothing comes behind what was read.
                return Ok(Found::Read(LogRead { next: after, ended: true, ..LogRead::default() }, page_room));
            }
            Err(error) => return Err(error),
        };
        for numbers in &page.lost {
            core.tell(DeliveryEvent::Lost { shard: shard.clone(), numbers: numbers.clone() });
        }
        if wait && page.records.is_empty() && !page.ended {
            drop(page_room);
            // A wake-up is a hint only. One that comes again and again for nothing must not take the processor.
            idle_wakes = if page.next > after { 0 } else { idle_wakes + 1 };
            after = after.max(page.next);
            match idle_wakes {
                0..IDLE_WAKES_MAX => tokio::task::yield_now().await,
                _ => core.context.pause(1).await,
            }
            continue;
        }
        let (mut records, mut unwanted, mut newest) = (Vec::new(), 0, EpochMs::ZERO);
        let (mut bytes, mut bytes_wanted) = (0, 0);
        for (index, logged) in page.records.into_iter().enumerate() {
            if index % RECORDS_PER_TURN == RECORDS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let time = logged.time_ms;
            bytes += logged.bytes();
            match measured(&core, &logged) {
                Ok(Some((key_hash, size))) => {
                    bytes_wanted += logged.bytes();
                    records.push(Record { key_hash, size, logged });
                }
                Ok(None) => unwanted += 1,
                Err(error) => {
                    // Of the time of a damaged record nothing is believed.
                    let next = RecordNo(logged.number.0.saturating_sub(1));
                    let damaged = Some(Damaged { logged: logged.detached(), error });
                    let horizon = page.horizon;
                    detach_few(&mut records, bytes_wanted, bytes);
                    let (more, ended) = (true, false);
                    let read = LogRead { records, unwanted, newest, next, more, ended, horizon, damaged };
                    return Ok(Found::Read(read, page_room));
                }
            }
            newest = newest.max(time);
        }
        let (next, more, ended, horizon) = (page.next, page.more, page.ended, page.horizon);
        detach_few(&mut records, bytes_wanted, bytes);
        let read = LogRead { records, unwanted, newest, next, more, ended, horizon, damaged: None };
        return Ok(Found::Read(read, page_room));
    }
}

/// Few that wait for long, as those of a choosy filter, do not keep all that was read with them in memory.
fn detach_few(records: &mut [Record], bytes_wanted: usize, bytes: usize) {
    if 2 * bytes_wanted < bytes {
        records.iter_mut().for_each(|record| record.logged = record.logged.detached());
    }
}

/// A record's hash, which chooses its lane, and its size; `None`: the target does not want it; otherwise what is wrong with it.
fn measured(core: &Core, logged: &LogRecord) -> Result<Option<(u64, usize)>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let record = StreamRecord::read(logged.clone()).map_err(|e| text(&e))?;
    if !core.target.wants(&record).map_err(|e| text(&e))? {
        return Ok(None);
    }
    let name = &core.source.partition_key;
    let keys = StoredItem::new(&record.meta.keys).map_err(|e| text(&e))?;
    let partition = keys.key_value(name).map_err(|e| text(&e))?;
    let partition = partition.ok_or_else(|| format!("no partition key {name:?}"))?;
    let size = core.target.size(&record).map_err(|e| text(&e))?;
    Ok(Some((u64::from(partition_hash(partition).lane), size)))
}
