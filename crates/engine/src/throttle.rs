//! Throttling of the tables and global indexes for which it is asked, by their provisioned throughput or their limits on demand.
//! Source: docs/spec/dynamodb-api.md 7.2, 7.4.
//!
//! Each has a bucket of units for reads and one for writes. It is filled at the rate of its throughput up to what
//! [`THROTTLE_BURST`] fills, and it is full at first. Whoever finds it empty is refused; nobody else is, so that what was
//! admitted is paid in full and a bucket may owe. A local index is paid by its table.
//!
//! Invariants: a bucket belongs to a table or an index that is there; one that is full is as none. Nothing is kept over a
//! restart. It does not know operations: who is not to be throttled (the service's own deletes, a fill) does not ask.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tailrace_api::items::Charge;
use tailrace_core::clock::Clock;
use tailrace_core::limits::{THROTTLE_BUCKETS_MAX, THROTTLE_BURST};
use tailrace_core::{ApiError, ErrorCode, IndexId, TableId, ThrottlingReason};

use crate::settings::{Settings, ThrottledTables};
use crate::table::{BillingMode, Table};
use crate::tables::index::{Index, IndexKind};

/// What a unit is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The buckets of all tables.
pub(crate) struct Throttle {
    /// For their ARNs, and which are throttled.
    settings: Settings,
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<BucketKey, Bucket>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct BucketKey {
    table: TableId,
    /// [`IndexId::TABLE`]: the table itself.
    index: IndexId,
    direction: Direction,
}

/// What may be used.
#[derive(Clone, Copy)]
struct Bucket {
    units: f64,
    /// Units that come each second.
    rate: i64,
    /// The instant of `units`, by the monotonic clock.
    filled_ns: u64,
}

/// What a table or an index may use, each second.
#[derive(Clone, Copy)]
struct Quota {
    rate: i64,
    mode: BillingMode,
}

impl Throttle {
    /// The buckets; `None`: nothing is throttled.
    pub fn new(settings: &Settings, clock: &Arc<dyn Clock>) -> Option<Throttle> {
        let asked = settings.throttled != ThrottledTables::None;
        asked.then(|| Throttle { settings: settings.clone(), clock: Arc::clone(clock), buckets: Mutex::default() })
    }

    /// Whether the table or one of its indexes may refuse writes.
    pub fn meters_writes(&self, table: &Table) -> bool {
        let indexes = table.live_indexes().map(Some);
        indexes.chain([None]).any(|index| self.quota(table, index, Direction::Write).is_some())
    }

    /// Refuses a read of a table, or of one of its indexes, whose bucket is empty.
    ///
    /// # Errors
    /// It is throttled.
    pub fn check_read(&self, table: &Table, index: Option<&Index>) -> Result<(), ApiError> {
        let index = index.filter(|index| index.kind == IndexKind::Global);
        self.check(table, index, Direction::Read)
    }

    /// Takes what a read came to.
    pub fn take_read(&self, table: &Table, charge: &Charge) {
        self.take(table, charge, Direction::Read, 1.0);
    }

    /// Refuses a write of an item that is charged so, if a bucket that it draws on is empty.
    ///
    /// # Errors
    /// It is throttled.
    pub fn check_write(&self, table: &Table, charge: &Charge) -> Result<(), ApiError> {
        self.check(table, None, Direction::Write)?;
        global_arms(table, charge).try_for_each(|(index, _)| self.check(table, Some(index), Direction::Write))
    }

    /// Takes what a write came to.
    pub fn take_write(&self, table: &Table, charge: &Charge) {
        self.take(table, charge, Direction::Write, 1.0);
    }

    /// Gives back what was taken for a write that is not made, or is worked out again.
    pub fn give_back_write(&self, table: &Table, charge: &Charge) {
        self.take(table, charge, Direction::Write, -1.0);
    }

    /// Lets the buckets of a table go on at its rates of now.
    pub fn adjust(&self, table: &Table) {
        let mut buckets = self.buckets.lock();
        let now_ns = self.clock.monotonic_ns();
        buckets.retain(|key, bucket| {
            if key.table != table.id {
                return true;
            }
            let index = table.live_indexes().find(|index| index.id == key.index);
            let quota = match index {
                None if key.index != IndexId::TABLE => None,
                index => self.quota(table, index, key.direction),
            };
            quota.map(|quota| bucket.fill(quota.rate, now_ns)).is_some()
        });
    }

    /// Forgets the buckets of a table that is gone.
    pub fn forget(&self, table: TableId) {
        self.buckets.lock().retain(|key, _| key.table != table);
    }

    fn check(&self, table: &Table, index: Option<&Index>, direction: Direction) -> Result<(), ApiError> {
        let Some(quota) = self.quota(table, index, direction) else { return Ok(()) };
        let is_empty = self.with_bucket(table, index, direction, quota, |bucket| bucket.units <= 0.0);
        if is_empty { Err(self.refusal(table, index, direction, quota.mode)) } else { Ok(()) }
    }

    fn take(&self, table: &Table, charge: &Charge, direction: Direction, times: f64) {
        let own = charge.table + charge.local.values().sum::<f64>();
        let arms = global_arms(table, charge).map(|(index, units)| (Some(index), units));
        for (index, units) in arms.chain([(None, own)]).filter(|(_, units)| *units > 0.0) {
            if let Some(quota) = self.quota(table, index, direction) {
                self.with_bucket(table, index, direction, quota, |bucket| bucket.units -= times * units);
            }
        }
    }

    fn with_bucket<T>(
        &self,
        table: &Table,
        index: Option<&Index>,
        direction: Direction,
        quota: Quota,
        use_it: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let key = BucketKey { table: table.id, index: index.map_or(IndexId::TABLE, |index| index.id), direction };
        let mut buckets = self.buckets.lock();
        let now_ns = self.clock.monotonic_ns();
        if buckets.len() >= THROTTLE_BUCKETS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| {
                bucket.fill(bucket.rate, now_ns);
                bucket.units < burst(bucket.rate)
            });
        }
        let bucket =
            buckets.entry(key).or_insert(Bucket { units: burst(quota.rate), rate: quota.rate, filled_ns: now_ns });
        bucket.fill(quota.rate, now_ns);
        use_it(bucket)
    }

    /// What the table, or a global index of it, may use; `None`: as much as it likes.
    fn quota(&self, table: &Table, index: Option<&Index>, direction: Direction) -> Option<Quota> {
        match &self.settings.throttled {
            ThrottledTables::None => return None,
            ThrottledTables::Named(names) if !names.contains(&table.name) => return None,
            ThrottledTables::All | ThrottledTables::Named(_) => {}
        }
        let (throughput, on_demand) = match index {
            None => (&table.throughput, table.on_demand),
            Some(index) if index.kind == IndexKind::Global => (&index.throughput, index.on_demand),
            Some(_) => return None,
        };
        let mode = table.billing.mode;
        let rate = match (mode, direction) {
            (BillingMode::Provisioned, Direction::Read) => Some(throughput.read),
            (BillingMode::Provisioned, Direction::Write) => Some(throughput.write),
            (BillingMode::PayPerRequest, Direction::Read) => on_demand?.read,
            (BillingMode::PayPerRequest, Direction::Write) => on_demand?.write,
        };
        rate.filter(|rate| *rate > 0).map(|rate| Quota { rate, mode })
    }

    fn refusal(&self, table: &Table, index: Option<&Index>, direction: Direction, mode: BillingMode) -> ApiError {
        let what = if index.is_some() { "Index" } else { "Table" };
        let resource = match index {
            Some(index) => self.settings.index_arn(&table.name, &index.name).to_string(),
            None => self.settings.table_arn(&table.name).to_string(),
        };
        let (code, text, why) = match mode {
            BillingMode::PayPerRequest => (
                ErrorCode::ThrottlingException,
                "Throughput exceeds the maximum OnDemandThroughput configured on table or index",
                "MaxOnDemandThroughputExceeded",
            ),
            BillingMode::Provisioned => (
                ErrorCode::ProvisionedThroughputExceededException,
                if index.is_some() {
                    "The level of configured provisioned throughput for one or more global secondary indexes of the table was \
                     exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes \
                     with the UpdateTable API."
                } else {
                    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
                     provisioning level with the UpdateTable API."
                },
                "ProvisionedThroughputExceeded",
            ),
        };
        let reason = ThrottlingReason { reason: format!("{what}{direction:?}{why}"), resource };
        ApiError { throttling: Some(Box::new(reason)), ..ApiError::new(code, text) }
    }
}

impl Bucket {
    /// Adds what came since it was filled, and lets it go on at `rate`.
    fn fill(&mut self, rate: i64, now_ns: u64) {
        let seconds = now_ns.saturating_sub(self.filled_ns) as f64 / 1e9;
        self.units = (self.units + seconds * self.rate as f64).min(burst(rate));
        (self.rate, self.filled_ns) = (rate, now_ns);
    }
}

/// Most units that a bucket holds.
fn burst(rate: i64) -> f64 {
    rate as f64 * THROTTLE_BURST.as_secs_f64()
}

/// The global indexes among those that are charged.
fn global_arms<'a>(table: &'a Table, charge: &'a Charge) -> impl Iterator<Item = (&'a Index, f64)> {
    charge.global.iter().filter_map(|(name, units)| {
        let index = table.live_indexes().find(|index| index.name == *name)?;
        Some((index, *units))
    })
}

/// Whether a request was refused for its rate: the same one may be admitted later.
pub(crate) fn is_throttled(error: &ApiError) -> bool {
    error.throttling.is_some()
}
