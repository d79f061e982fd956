//! `SELECT`: a read by key, a query of each range, or a scan. Source: docs/spec/dynamodb-api.md 7.3, 5.

use tailrace_api::items::{
    AnsweredItem, CapacityDetail, ConsumedCapacity, GetItemRequest, ItemProjection, PageAnswer, PageRequest,
    QueryRequest, ScanRequest,
};
use tailrace_core::expr::{Condition, KeyCondition, Node};
use tailrace_core::limits::PAGE_BYTES_MAX;
use tailrace_core::{ApiError, Item};
use tailrace_partiql::{Order, Select};

use super::keys::{Access, Range, access, joined, whole_key};
use super::next_token::NextToken;
use super::refusal::Refusal;
use super::source::{Keys, Source};
use crate::Caller;
use crate::db::Db;
use crate::ops::{get_item, query_measured, scan};

/// How a `SELECT` is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// The reads are charged as consistent ones.
    pub consistent: bool,
    /// What is told of the charge.
    pub capacity: CapacityDetail,
    /// Most rows that are read.
    pub limit: Option<usize>,
    /// Where the page begins.
    pub start: Option<NextToken>,
}

/// A page of a `SELECT`.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// The items, projected.
    pub items: Vec<AnsweredItem>,
    /// Where the next page begins, if there may be one.
    pub next: Option<NextToken>,
    /// What the page is charged, if that was asked for.
    pub consumed_capacity: Option<ConsumedCapacity>,
}

/// The one item that a `SELECT` by the whole key names; for batches and transactions, which read nothing else.
///
/// # Errors
/// As for [`whole_key`].
pub(crate) fn key_of(select: &Select, source: &Source) -> Result<Option<Item>, Refusal> {
    check_order(select, &source.keys())?;
    let key = whole_key(select.condition.as_ref(), &source.table.key)?;
    Ok(key.filter(|(_, rest)| rest.is_empty()).map(|(key, _)| key))
}

/// What is shown of the items.
pub(crate) fn projection(select: &Select) -> ItemProjection {
    select.projection.clone().map_or(ItemProjection::Whole, ItemProjection::Paths)
}

/// Reads a page.
///
/// # Errors
/// What the client is to read.
pub(crate) async fn select(
    db: &Db,
    select: &Select,
    reading: Reading,
    caller: &Caller<'_>,
) -> Result<Selected, ApiError> {
    let source = Source::open(db, &select.table, select.index.as_deref(), reading.consistent).await?;
    let keys = source.keys();
    check_order(select, &keys)?;
    let mut ranges = match access(select.condition.as_ref(), &keys)? {
        Access::Scan => return scanned(db, select, &source, reading, caller).await,
        Access::Ranges(ranges) => ranges,
    };
    let forward = sort(&mut ranges, &select.order, &keys);
    if let ([range], None, None, None) = (&ranges[..], &source.index, reading.limit, &reading.start)
        && let Some(key) = range.point(&keys)
    {
        return got(db, select, &source, key, reading, caller).await;
    }
    queried(db, select, &source, ranges, forward, reading).await
}

/// `ORDER BY` is by keys of ranges.
fn check_order(select: &Select, keys: &Keys<'_>) -> Result<(), Refusal> {
    if select.order.is_empty() {
        return Ok(());
    }
    let Some(condition) = &select.condition else {
        return Err(Refusal::statement("Must have WHERE clause in the statement when using ORDER BY clause."));
    };
    if let Some(order) = select.order.iter().find(|order| keys.attributes().all(|key| key.name != order.name)) {
        return Err(Refusal::statement(format!(
            "Attribute {} in ORDER BY clause must be part of the primary key",
            order.name
        )));
    }
    match access(Some(condition), keys)? {
        Access::Ranges(_) => Ok(()),
        Access::Scan => Err(Refusal::statement(
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        )),
    }
}

/// Puts ranges in the order that is asked for. Whether they are read ascending.
fn sort(ranges: &mut Vec<Range>, order: &[Order], keys: &Keys<'_>) -> bool {
    let of = |name: &str| order.iter().find(|order| order.name == name).map(|order| order.descending);
    let descending = keys.range.iter().find_map(|key| of(&key.name)).unwrap_or(false);
    let mut partitions: Vec<Vec<Range>> = Vec::new();
    for range in ranges.drain(..) {
        match partitions.iter_mut().find(|partition| partition[0].hash == range.hash) {
            Some(partition) => partition.push(range),
            None => partitions.push(vec![range]),
        }
    }
    if descending {
        partitions.iter_mut().for_each(|partition| partition.reverse());
    }
    if let Some(descending) = keys.hash.iter().find_map(|key| of(&key.name)) {
        partitions.sort_by_key(|partition| partition[0].hash_bytes());
        if descending {
            partitions.reverse();
        }
    }
    ranges.extend(partitions.into_iter().flatten());
    !descending
}

async fn got(
    db: &Db,
    select: &Select,
    source: &Source,
    key: Item,
    reading: Reading,
    caller: &Caller<'_>,
) -> Result<Selected, ApiError> {
    let request = GetItemRequest {
        table_name: source.table.name.clone(),
        key,
        projection: projection(select),
        consistent_read: reading.consistent,
        capacity: reading.capacity,
    };
    let answer = get_item(db, request, caller).await?;
    Ok(Selected { items: answer.item.into_iter().collect(), next: None, consumed_capacity: answer.consumed_capacity })
}

/// What is read and answered of the rows.
fn page(select: &Select, filter: Option<Node>, reading: &Reading, limit: Option<usize>) -> PageRequest {
    PageRequest {
        filter: filter.map(Condition::of),
        keys_in_filter: true,
        projection: projection(select),
        limit,
        consistent_read: reading.consistent,
        capacity: reading.capacity,
        ..PageRequest::default()
    }
}

async fn scanned(
    db: &Db,
    select: &Select,
    source: &Source,
    reading: Reading,
    caller: &Caller<'_>,
) -> Result<Selected, ApiError> {
    let request = ScanRequest {
        table_name: source.table.name.clone(),
        index_name: source.index.clone(),
        segment: None,
        page: page(select, select.condition.clone(), &reading, reading.limit),
        exclusive_start_key: reading.start.map(|start| start.last_key),
    };
    let PageAnswer { items, last_evaluated_key, consumed_capacity, .. } = scan(db, request, caller).await?;
    Ok(Selected {
        items: items.unwrap_or_default(),
        next: last_evaluated_key.map(|last_key| NextToken { range: 0, last_key }),
        consumed_capacity,
    })
}

/// One range after the other, until the page is full.
async fn queried(
    db: &Db,
    select: &Select,
    source: &Source,
    ranges: Vec<Range>,
    forward: bool,
    reading: Reading,
) -> Result<Selected, ApiError> {
    let mut selected = Selected::default();
    let (mut limit, mut bytes) = (reading.limit, 0);
    let first = reading.start.as_ref().map_or(0, |start| start.range as usize);
    for (number, range) in ranges.into_iter().enumerate().skip(first) {
        let start = reading.start.as_ref().filter(|start| start.range as usize == number);
        let key_condition = Condition::of(joined(range.key).expect("invariant: a range has a partition"));
        let request = QueryRequest {
            table_name: source.table.name.clone(),
            index_name: source.index.clone(),
            key_condition: KeyCondition::of(key_condition),
            exclusive_start_key: start.map(|start| start.last_key.clone()),
            forward,
            page: PageRequest {
                bytes_max: Some(PAGE_BYTES_MAX - bytes),
                ..page(select, range.filter, &reading, limit)
            },
        };
        // What was read, whatever of it a filter leaves and a projection shows.
        let (answer, read_bytes) = query_measured(db, request).await?;
        bytes += read_bytes;
        selected.items.extend(answer.items.unwrap_or_default());
        selected.consumed_capacity = match (selected.consumed_capacity.take(), answer.consumed_capacity) {
            (Some(mut sum), Some(more)) => {
                sum.add(more);
                Some(sum)
            }
            (sum, more) => sum.or(more),
        };
        if let Some(last_key) = answer.last_evaluated_key {
            selected.next = Some(NextToken { range: u32::try_from(number).unwrap_or(u32::MAX), last_key });
            break;
        }
        limit = limit.map(|limit| limit - answer.scanned_count);
    }
    Ok(selected)
}
