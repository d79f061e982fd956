//! Every kind of key reads back, keeps its order, and stays inside its ranges.

use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;
use tailrace_core::{Bucket, EpochMs, ErrorCode, FunctionArn, RecordNo, StreamArn};

use super::*;
use crate::commit::CommitId;
use crate::engine::{BucketRange, ShardInfo, ShardNo, StreamId};

fn name() -> impl Strategy<Value = String> {
    vec(prop::sample::select(b"aZ9_.-".to_vec()), 0..6).prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(prop::sample::select(vec![0u8, 1, 2, 0xfe, 0xff]), 0..5).prop_map(Bytes::from)
}

fn set() -> impl Strategy<Value = ItemSet> {
    let table = prop::sample::select(vec![0u64, 1, 255, 256, u64::MAX]).prop_map(TableId);
    let index = prop::sample::select(vec![0u32, 1, 127, 128, 129, 16_384, u32::MAX]).prop_map(IndexId);
    (table, index).prop_map(|(table, index)| ItemSet { table, index })
}

fn item() -> impl Strategy<Value = ItemKey> {
    let bucket = prop::sample::select(vec![0, 1, 255, 256, u16::MAX]).prop_map(Bucket);
    (set(), bucket, bytes(), bytes()).prop_map(|(set, bucket, partition, sort)| ItemKey {
        set,
        bucket,
        partition,
        sort,
    })
}

proptest! {
    #[test]
    fn idempotency_marks_read_back(
        token in bytes(),
        request in any::<[u8; 32]>(),
        expires_ms in any::<Option<u64>>(),
        message in any::<Option<String>>(),
    ) {
        for scope in IdempotencyScope::ALL {
            let key = IdempotencyKey { scope, token: token.clone() };
            prop_assert_eq!(IdempotencyKey::decode(&key.encode()), Some(key.clone()));
            let at = EpochMs(expires_ms.unwrap_or(u64::MAX));
            let row = IdempotencyExpiryKey { at, mark: key }.encode();
            prop_assert_eq!(IdempotencyExpiryKey::decode(&row).unwrap().encode(), row.clone());
            prop_assert!(IdempotencyExpiryKey::ended(at).contains(row.as_bytes()));
            prop_assert!(at.0 == 0 || !IdempotencyExpiryKey::ended(EpochMs(at.0 - 1)).contains(row.as_bytes()));
        }
        let refused = Refused { code: ErrorCode::ConditionalCheckFailedException, message };
        for refused in [None, Some(refused)] {
            let mark = IdempotencyValue::new(request, expires_ms.map(EpochMs), refused);
            prop_assert_eq!(IdempotencyValue::decode(&mark.encode()), Some(mark));
        }
    }

    #[test]
    fn keys_read_back(a in any::<u64>(), b in any::<u64>(), c in any::<u128>(), n in name(), l in name(), s in bytes()) {
        let (shard, mapping, number) = (ShardNo(a), MappingId(c), RecordNo(b));
        let table = TableKey { name: n.clone() };
        prop_assert_eq!(TableKey::decode(&table.encode()), Some(table));
        let stream = StreamKey { stream: StreamId(a) };
        prop_assert_eq!(StreamKey::decode(&stream.encode()), Some(stream));
        let by_name = StreamNameKey { table: n.clone(), label: l };
        prop_assert_eq!(StreamNameKey::decode(&by_name.encode()), Some(by_name));
        let row = ShardKey { stream: StreamId(b), shard };
        prop_assert_eq!(ShardKey::decode(&row.encode()), Some(row));
        let function = FunctionKey { name: n.clone() };
        prop_assert_eq!(FunctionKey::decode(&function.encode()), Some(function));
        let of_mapping = MappingKey { mapping };
        prop_assert_eq!(MappingKey::decode(&of_mapping.encode()), Some(of_mapping));
        prop_assert_eq!(MappingId::parse(&mapping.to_string()), Some(mapping));
        prop_assert_eq!(MappingId::parse(&mapping.to_string().to_uppercase()), Some(mapping));
        let checkpoint = CheckpointKey { mapping, shard };
        prop_assert_eq!(CheckpointKey::decode(&checkpoint.encode()), Some(checkpoint));
        for chain in [AuditChain::Shard(shard), AuditChain::Snapshot { version: a as u32, table: n.clone() }] {
            let head = AuditChainKey { trail: n.clone(), chain };
            prop_assert!(AuditChainKey::trail_range(&n).contains(head.encode().as_bytes()));
            let other = AuditChainKey::trail_range(&(n.clone() + "x"));
            prop_assert!(!other.contains(head.encode().as_bytes()));
            prop_assert_eq!(AuditChainKey::decode(&head.encode()), Some(head));
        }
        let subject = AuditSubjectKey { trail: n.clone(), subject: [a as u8; 32] };
        prop_assert_eq!(AuditSubjectKey::decode(&subject.encode()), Some(subject));
        let parked = ParkedKey { mapping, shard, number };
        prop_assert_eq!(ParkedKey::decode(&parked.encode()), Some(parked));
        let owner = OwnerKey { mapping, shard };
        prop_assert_eq!(OwnerKey::decode(&owner.encode()), Some(owner));
        let by_arns = MappingNameKey { source_arn: StreamArn::new(n.clone()), function_arn: FunctionArn::new(of_mapping.mapping.to_string()) };
        prop_assert_eq!(MappingNameKey::decode(&by_arns.encode()), Some(by_arns));
        let commit = CommitKey { id: CommitId { made_ms: EpochMs(a), unique: c } };
        prop_assert_eq!(CommitKey::decode(&commit.encode()), Some(commit));
        prop_assert_eq!(CommitKey::older_than(EpochMs(b)).contains(commit.encode().as_bytes()), a < b);
        let sink = SinkKey { name: n.clone() };
        prop_assert_eq!(SinkKey::decode(&SinkKey::key(&n)), Some(sink));
        let part = SinkSnapshotKey { consumer: mapping, part: a };
        prop_assert_eq!(SinkSnapshotKey::decode(&part.encode()), Some(part));
        let by_name = DeliveryStreamKey { name: n.clone() };
        prop_assert_eq!(DeliveryStreamKey::decode(&DeliveryStreamKey::key(&n)), Some(by_name));
        let part = TransformedKey { consumer: mapping, shard, first: number, part: c as u32 };
        prop_assert_eq!(TransformedKey::decode(&part.encode()), Some(part));
        prop_assert!(TransformedKey::range(mapping).contains(part.encode().as_bytes()));
        let request = RequestKey { consumer: mapping, shard, first: number, request: c as u32 };
        prop_assert_eq!(RequestKey::decode(&request.encode()), Some(request));
        let (deleted, settings) = (DeletedTableKey { table: TableId(a) }, TableSettingsKey { table: TableId(a) });
        prop_assert_eq!(DeletedTableKey::decode(&deleted.encode()), Some(deleted));
        prop_assert_eq!(TableSettingsKey::decode(&settings.encode()), Some(settings));
        let setting = SettingKey { name: n };
        prop_assert_eq!(SettingKey::decode(&setting.encode()), Some(setting));
        let reclaim = ReclaimKey { start: s };
        prop_assert_eq!(ReclaimKey::decode(&reclaim.encode()), Some(reclaim));
        for counter in [CounterKey::Table, CounterKey::Stream, CounterKey::Shard, CounterKey::Applied, CounterKey::View] {
            prop_assert_eq!(CounterKey::decode(&counter.encode()), Some(counter));
        }
        prop_assert_eq!(CounterKey::next(Some(&CounterKey::value(a))), Some(a));
    }

    #[test]
    fn rows_of_indexes_that_come_and_go_read_back(set in set(), table in name(), behind in item(), begun in any::<bool>()) {
        let (build, deleted) = (IndexBuildKey { set }, DeletedIndexKey { set });
        prop_assert_eq!(IndexBuildKey::decode(&build.encode()), Some(build));
        prop_assert_eq!(DeletedIndexKey::decode(&deleted.encode()), Some(deleted));
        prop_assert_eq!(IndexBuildKey::decode(&deleted.encode()), None);
        let progress = IndexBuild { table, behind: begun.then(|| behind.encode()) };
        prop_assert_eq!(IndexBuild::decode(&progress.encode()), Some(progress));
    }

    #[test]
    fn counts_of_items_read_back_and_lie_with_their_table(a in set(), b in set(), n in any::<[u64; 2]>()) {
        let key = ItemCountKey { set: a };
        prop_assert_eq!(ItemCountKey::decode(key.encode().as_bytes()), Some(key));
        let range = ItemCountKey::with_indexes(b.table);
        prop_assert_eq!(range.contains(key.encode().as_bytes()), a.table == b.table);
        let count = ItemCount { rows: n[0], bytes: n[1] };
        prop_assert_eq!(ItemCount::read(Some(&count.value())), Some(count));
        prop_assert_eq!(ItemCount::read(Some(&count.value().slice(1..))), None);
    }

    #[test]
    fn changes_of_a_count_come_to_the_same_in_any_order(first in any::<[u64; 2]>(), changes in vec(any::<(i64, i64)>(), 0..5)) {
        let changes: Vec<_> = changes.into_iter().map(|(rows, bytes)| CountChange { rows, bytes }).collect();
        let count = ItemCount { rows: first[0], bytes: first[1] };
        let one_by_one = changes.iter().rev().fold(count, |count, by| count.changed(*by));
        let mut sum = CountChange::default();
        for by in changes {
            sum += by;
        }
        prop_assert_eq!(count.changed(sum), one_by_one);
        prop_assert_eq!(CountChange::between(count, one_by_one), sum);
        prop_assert_eq!(ItemCount::read(None), Some(ItemCount::default()));
    }

    #[test]
    fn shards_read_back(n in any::<[u64; 6]>(), range in any::<[u16; 2]>(), parent in any::<Option<u64>>(), open in any::<bool>()) {
        let info = ShardInfo {
            shard: ShardNo(n[0]),
            stream: StreamId(n[1]),
            range: BucketRange { first: Bucket(range[0]), last: Bucket(range[1]) },
            parent: parent.map(ShardNo),
            created_ms: EpochMs(n[2]),
            first: RecordNo(n[3]),
            sealed: (!open).then_some(RecordNo(n[4])),
            horizon: RecordNo(n[5]),
        };
        prop_assert_eq!(ShardKey::read(&ShardKey::value(&info)), Some(info.clone()));
        prop_assert_eq!(ShardKey::decode(&ShardKey::of(&info).encode()), Some(ShardKey::of(&info)));
    }

    #[test]
    fn ranges_that_are_removed_read_back(low in bytes(), high in bytes(), ends in any::<[u8; 2]>(), key in bytes()) {
        let bound = |which: u8, key: &Bytes| match which % 3 {
            0 => Bound::Included(key.clone()),
            1 => Bound::Excluded(key.clone()),
            _ => Bound::Unbounded,
        };
        let range = KeyRange { start: bound(ends[0], &low), end: bound(ends[1], &high), reverse: false };
        let (row, value) = ReclaimKey::row(&range);
        let read = ReclaimKey::decode(&row).unwrap().of_row(value);
        prop_assert!(key.first() == Some(&0xff) || read.contains(&key) == range.contains(&key));
    }

    #[test]
    fn items_read_back_and_keep_the_order_of_table_bucket_partition_and_sort_key(a in item(), b in item()) {
        prop_assert_eq!(ItemKey::decode(&a.encode()), Some(a.clone()));
        // Indexes of a table may follow each other in any order, but do not mix.
        let order = |key: &ItemKey| (key.bucket, key.partition.len(), key.partition.clone(), key.sort.clone());
        let (keys, tables) = (a.encode().cmp(&b.encode()), a.set.table.cmp(&b.set.table));
        if a.set == b.set {
            prop_assert_eq!(keys, order(&a).cmp(&order(&b)));
        } else if tables.is_ne() {
            prop_assert_eq!(keys, tables);
        } else {
            let other = ItemKey { set: a.set, ..b.clone() };
            prop_assert_eq!(keys, other.encode().cmp(&b.encode()), "every row of one index is on the same side");
        }
    }

    #[test]
    fn ranges_of_items_hold_exactly_their_items(a in item(), b in item(), low in bytes(), high in bytes()) {
        let key = b.encode();
        let inside = |range: KeyRange| range.contains(key.as_bytes());
        prop_assert_eq!(inside(ItemKey::table_range(a.set)), a.set == b.set);
        prop_assert_eq!(inside(ItemKey::with_indexes(a.set.table)), a.set.table == b.set.table);
        let buckets = BucketRange { first: a.bucket.min(Bucket(256)), last: a.bucket.max(Bucket(256)) };
        let in_buckets = a.set == b.set && (buckets.first..=buckets.last).contains(&b.bucket);
        prop_assert_eq!(inside(ItemKey::bucket_range(a.set, buckets)), in_buckets);
        let same = a.set == b.set && a.bucket == b.bucket && a.partition == b.partition;
        prop_assert_eq!(inside(ItemKey::partition_range(a.set, a.bucket, &a.partition)), same);
        let sort = |bounds| ItemKey::sort_range(a.set, a.bucket, &a.partition, &bounds);
        prop_assert_eq!(inside(sort(SortBounds::BeginsWith(&low))), same && b.sort.starts_with(&low));
        let between = sort(SortBounds::Between(Bound::Included(&low), Bound::Excluded(&high)));
        prop_assert_eq!(inside(between), same && low <= b.sort && b.sort < high);
        let above = sort(SortBounds::Between(Bound::Excluded(&low), Bound::Unbounded));
        prop_assert_eq!(inside(above), same && b.sort > low);
        let upto = sort(SortBounds::Between(Bound::Unbounded, Bound::Included(&high)));
        prop_assert_eq!(inside(upto), same && b.sort <= high);
    }

    #[test]
    fn expiries_read_back_and_sort_by_their_instant(
        a in item(), b in item(), g in any::<[u32; 2]>(), t in any::<[u64; 2]>(), ends in any::<[u64; 2]>(),
    ) {
        let key = |item: &ItemKey, generation: u32, instant: u64| {
            let item = ItemKey { set: item.set.table.into(), ..item.clone() };
            let (table, item) = (item.set.table, item.encode());
            ExpiryKey { table, generation: TtlGeneration(generation), instant: EpochMs(instant), item }
        };
        let (first, second) = (key(&a, g[0], t[0]), key(&b, g[1], t[1]));
        prop_assert_eq!(ExpiryKey::decode(&first.encode()), Some(first.clone()));
        prop_assert_eq!(first.encode().cmp(&key(&a, g[0], t[1]).encode()), t[0].cmp(&t[1]));
        let range = ExpiryKey::range(first.table, first.generation);
        let same = first.table == second.table && first.generation == second.generation;
        prop_assert_eq!(range.contains(second.encode().as_bytes()), same);
        let within = ExpiryKey::between(first.table, first.generation, EpochMs(ends[0]), EpochMs(ends[1]));
        prop_assert_eq!(within.contains(first.encode().as_bytes()), ends[0] <= t[0] && t[0] < ends[1]);
        prop_assert!(!within.contains(second.encode().as_bytes()) || same);
        let row = TimeToLiveKey { table: first.table, generation: first.generation };
        prop_assert_eq!(TimeToLiveKey::decode(&row.encode()), Some(row));
        prop_assert!(TimeToLiveKey::range().contains(row.encode().as_bytes()));
    }

    #[test]
    fn rows_of_views_read_back_and_lie_in_the_ranges_of_their_version_group_and_structure(
        versions in prop::array::uniform2(0u64..3), groups in prop::array::uniform2((bytes(), bytes())),
        structures in prop::array::uniform2(0u8..2), members in prop::array::uniform2(bytes()), name in name(), shard in any::<u64>(),
    ) {
        let [a, b] = [0, 1].map(|i| {
            let group = GroupKey::new(&groups[i].0, &groups[i].1);
            (ViewVersion(versions[i]), group, structures[i], members[i].clone())
        });
        prop_assert_eq!(a.1.parts(), (&groups[0].0[..], &groups[0].1[..]));
        prop_assert_eq!(GroupKey::read(Bytes::copy_from_slice(a.1.as_bytes())), Some(a.1.clone()));
        let member = ViewRow::Member { group: a.1.clone(), structure: a.2, member: a.3.clone() };
        let rows = [ViewRow::Shard(ShardNo(shard)), ViewRow::Snapshot(name.clone()), ViewRow::Group(a.1.clone()), member];
        for row in rows {
            let is_group = matches!(row, ViewRow::Group(_));
            let key = ViewRowKey { version: a.0, row };
            let encoded = key.encode();
            prop_assert_eq!(ViewRowKey::range(b.0).contains(encoded.as_bytes()), a.0 == b.0);
            prop_assert_eq!(ViewRowKey::groups(b.0).contains(encoded.as_bytes()), a.0 == b.0 && is_group);
            prop_assert_eq!(ViewRowKey::decode(&encoded), Some(key));
        }
        let key = |of: &(ViewVersion, GroupKey, u8, Bytes)| ViewRowKey::member(of.0, &of.1, of.2, &of.3);
        let same = (a.0, &a.1, a.2) == (b.0, &b.1, b.2);
        prop_assert_eq!(ViewRowKey::members(b.0, &b.1, b.2).contains(key(&a).as_bytes()), same);
        if same {
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.3.cmp(&b.3));
        }
        let dropped = DroppedViewKey { version: a.0 };
        prop_assert_eq!(DroppedViewKey::decode(&dropped.encode()), Some(dropped));
        prop_assert!(DroppedViewKey::range().contains(dropped.encode().as_bytes()));
        prop_assert_eq!(ViewKey::decode(&ViewKey::key(&name)), Some(ViewKey { name }));
    }

    #[test]
    fn streams_sort_as_their_arns_do(t in name(), u in name(), l in name(), m in name()) {
        let arn = |table: &str, label: &str| format!("arn:aws:dynamodb:r:0:table/{table}/stream/{label}");
        let keys = StreamNameKey::key(&t, &l).cmp(&StreamNameKey::key(&u, &m));
        prop_assert_eq!(keys, arn(&t, &l).cmp(&arn(&u, &m)));
        prop_assert_eq!(StreamNameKey::table_range(&t).contains(StreamNameKey::key(&u, &m).as_bytes()), t == u);
    }
}

#[test]
fn kinds_do_not_overlap_and_each_is_recognised() {
    for kind in KeyKind::ALL.iter().copied() {
        let key = [kind as u8, 0xff, 0xff];
        assert_eq!(KeyKind::of(&key), Some(kind));
        for other in KeyKind::ALL.iter().copied() {
            assert_eq!(other.range().contains(&key), other == kind);
        }
    }
    assert_eq!(KeyKind::of(&[]), None);
    assert_eq!(KeyKind::of(&[0]), None);
}

#[test]
fn a_range_goes_on_after_a_row_in_its_direction() {
    let key = TableKey::key("b");
    let up = TableKey::range().after(&key);
    assert!(!up.contains(TableKey::key("b").as_bytes()) && up.contains(TableKey::key("ba").as_bytes()));
    let down = TableKey::range().reversed().after(&key);
    assert!(!down.contains(TableKey::key("b").as_bytes()) && down.contains(TableKey::key("a").as_bytes()));
    assert!(TableKey::range_after("b").contains(TableKey::key("c").as_bytes()));
    assert!(!up.is_empty());
    assert!(TableKey::range().after(&key).reversed().after(&key).is_empty());
}

#[test]
fn a_mark_takes_members_that_later_versions_add_and_refuses_what_it_does_not_know() {
    let digest = "0a".repeat(32);
    let mark = |version: u32| {
        format!(r#"{{"version":{version},"request":"{digest}","expires_ms":null,"refused":null,"later":[1]}}"#)
    };
    assert_eq!(IdempotencyValue::decode(mark(1).as_bytes()), Some(IdempotencyValue::new([10; 32], None, None)));
    for text in [mark(2), mark(1).replace("0a", "0x"), mark(1).replace("0a", "a"), "1".to_owned()] {
        assert_eq!(IdempotencyValue::decode(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_foreign_text_is_no_mapping() {
    for text in ["", "1", "00000000-0000-0000-0000-00000000000g", "000000000000-0000-0000-0000-00000000"] {
        assert_eq!(MappingId::parse(text), None, "{text}");
    }
}
