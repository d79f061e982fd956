//! A plan composes: what n changes of items of several tables come to.

use tailrace_core::expr::{Condition, ExprKind, Placeholders};
use tailrace_core::key::{KeyAttribute, ScalarType};
use tailrace_core::{AttributeValue, KeySchema, Number, TableId};
use tailrace_store::keyspace::{CountChange, IdempotencyExpiryKey, IdempotencyScope, IdempotencyValue, Refused};
use tailrace_store::{NewImage, StreamId};

use super::*;
use crate::streams::record_meta::{ChangeKind, RecordMeta};
use crate::table::{TableStream, ViewType};

const NOW_MS: u64 = 1000;

fn table(id: u64) -> Table {
    let schema = KeySchema { hash: KeyAttribute { name: "pk".to_owned(), scalar: ScalarType::S }, range: None };
    let mut table = Table::new(format!("table-{id}"), TableId(id), String::new(), EpochMs(0), schema);
    table.stream = Some(TableStream { id: StreamId(id), view: ViewType::NewAndOldImages });
    table
}

fn item(pk: &str, n: u32) -> Item {
    let n = AttributeValue::N(Number::parse(&n.to_string()).unwrap());
    Item::from([("pk".to_owned(), AttributeValue::S(pk.to_owned())), ("n".to_owned(), n)])
}

fn stored(item: &Item) -> Bytes {
    encode_stored(item).into()
}

fn change<'a>(tables: &[Table], table: usize, attributes: &'a Item, action: Action<'a>) -> Change<'a> {
    let place = ItemPlace::of_item(&tables[table], attributes).unwrap();
    Change { table, place, attributes, action, condition: None, return_item_on_failure: false }
}

fn planned(
    tables: &[Table],
    changes: &[Change<'_>],
    mark: Option<&IdempotencyMark>,
    rows: &[Option<Bytes>],
    caller: &Caller<'_>,
) -> Result<Plan, ApiError> {
    plan(|index| &tables[index], changes, mark, &Seen { rows, prepared: &[], now_ms: EpochMs(NOW_MS) }, caller)
}

#[test]
fn changes_of_several_tables_come_to_one_list_of_writes() {
    let tables = [table(1), table(2)];
    let (a, b, c, d) = (item("a", 1), item("b", 2), item("c", 3), item("d", 4));
    let changes = [
        change(&tables, 0, &a, Action::Put(stored(&a))),
        change(&tables, 1, &b, Action::Delete),
        // Already so: it writes nothing and emits nothing.
        change(&tables, 0, &c, Action::Put(stored(&c))),
        change(&tables, 1, &d, Action::Put(stored(&d))),
    ];
    let rows = [None, Some(stored(&b)), Some(stored(&c)), Some(stored(&item("d", 5)))];
    let plan = planned(&tables, &changes, None, &rows, &Caller::default()).unwrap();
    let row = |index: usize| changes[index].place.row.clone();
    let record = |write: &Write| match write {
        Write::Append { stream, meta, old, new, .. } => {
            let meta = RecordMeta::decode(meta).unwrap();
            assert!(!meta.by_service);
            (stream.0, meta.kind, old.clone(), new.clone())
        }
        other => panic!("{other:?} is no record"),
    };
    let [put_a, rec_a, del_b, rec_b, put_d, rec_d, count_1, count_2] = &plan.writes[..] else {
        panic!("{:?}", plan.writes)
    };
    let count = |id, rows, bytes| Write::Count { set: TableId(id).into(), by: CountChange { rows, bytes } };
    assert_eq!([count_1, count_2], [&count(1, 1, 6), &count(2, -1, -6)], "of both tables once");
    assert_eq!(*put_a, Write::Put { key: row(0), value: stored(&a) });
    assert_eq!(record(rec_a), (1, ChangeKind::Insert, None, NewImage::OfWrite(0)));
    assert_eq!(*del_b, Write::Delete { key: row(1) });
    assert_eq!(record(rec_b), (2, ChangeKind::Remove, Some(stored(&b)), NewImage::None));
    assert_eq!(*put_d, Write::Put { key: row(3), value: stored(&d) });
    assert_eq!(record(rec_d), (2, ChangeKind::Modify, Some(stored(&item("d", 5))), NewImage::OfWrite(4)));
    assert_eq!(plan.answers.len(), 4);
}

#[test]
fn one_refused_change_takes_the_others_with_it_and_each_has_its_answer() {
    let tables = [table(1)];
    let (a, b) = (item("a", 1), item("b", 2));
    let mut placeholders = Placeholders::new(None, None).unwrap();
    let condition = Condition::parse(ExprKind::Condition, "attribute_exists(pk)", &mut placeholders).unwrap();
    let mut changes =
        [change(&tables, 0, &a, Action::Put(stored(&a))), change(&tables, 0, &b, Action::Put(stored(&b)))];
    changes[1].condition = Some(&condition);
    let plan = planned(&tables, &changes, None, &[None, None], &Caller::default()).unwrap();
    assert!(plan.writes.is_empty());
    assert!(plan.answers[0].is_ok());
    let refused = plan.answers[1].as_ref().unwrap_err();
    assert_eq!(refused.code, ErrorCode::ConditionalCheckFailedException);
}

#[test]
fn a_removal_by_the_service_says_so() {
    let tables = [table(1)];
    let a = item("a", 1);
    let changes = [change(&tables, 0, &a, Action::Delete)];
    let plan = planned(&tables, &changes, None, &[Some(stored(&a))], &Caller::Service).unwrap();
    let Write::Append { meta, .. } = &plan.writes[1] else { panic!("{:?}", plan.writes) };
    assert!(RecordMeta::decode(meta).unwrap().by_service);
}

fn mark() -> IdempotencyMark {
    IdempotencyMark {
        scope: IdempotencyScope::PlayedLine,
        token: Bytes::from_static(b"token"),
        request: [7; 32],
        expires_ms: Some(EpochMs(NOW_MS + 1)),
    }
}

#[test]
fn a_mark_is_written_with_what_it_marks_and_once_there_stands_for_it() {
    let tables = [table(1)];
    let a = item("a", 1);
    let changes = [change(&tables, 0, &a, Action::Put(stored(&a)))];
    let (mark, caller) = (mark(), Caller::default());
    let plan = planned(&tables, &changes, Some(&mark), &[None, None], &caller).unwrap();
    let [.., Write::Put { key, value }, Write::Put { key: end, .. }] = &plan.writes[..] else {
        panic!("{:?}", plan.writes)
    };
    assert_eq!((plan.writes.len(), key), (5, &mark.key()));
    assert_eq!(IdempotencyExpiryKey::decode(end).unwrap().mark.encode(), mark.key());
    let again = planned(&tables, &changes, Some(&mark), &[None, Some(value.clone())], &caller).unwrap();
    assert!(again.writes.is_empty() && again.answers[0].is_ok());
    // A mark that counts no longer, and one of another request.
    let late = IdempotencyValue::new(mark.request, Some(EpochMs(NOW_MS)), None).encode();
    assert_eq!(planned(&tables, &changes, Some(&mark), &[None, Some(late)], &caller).unwrap().writes.len(), 5);
    let other = IdempotencyValue::new([8; 32], None, None).encode();
    let mismatch = planned(&tables, &changes, Some(&mark), &[None, Some(other)], &caller).unwrap_err();
    assert_eq!(mismatch.code, ErrorCode::IdempotentParameterMismatchException);
}

#[test]
fn a_refusal_is_marked_and_answered_again() {
    let tables = [table(1)];
    let a = item("a", 1);
    let mut placeholders = Placeholders::new(None, None).unwrap();
    let condition = Condition::parse(ExprKind::Condition, "attribute_exists(pk)", &mut placeholders).unwrap();
    let mut changes = [change(&tables, 0, &a, Action::Put(stored(&a)))];
    changes[0].condition = Some(&condition);
    let (mark, caller) = (mark(), Caller::default());
    let plan = planned(&tables, &changes, Some(&mark), &[None, None], &caller).unwrap();
    let [Write::Put { value, .. }, _end] = &plan.writes[..] else { panic!("{:?}", plan.writes) };
    let refused = IdempotencyValue::decode(value).unwrap().refused;
    let message = Some("The conditional request failed".to_owned());
    assert_eq!(refused, Some(Refused { code: ErrorCode::ConditionalCheckFailedException, message }));
    // The condition would hold now; what was decided stays.
    let rows = [Some(stored(&a)), Some(value.clone())];
    let again = planned(&tables, &changes, Some(&mark), &rows, &caller).unwrap();
    assert!(again.writes.is_empty());
    assert_eq!(again.answers[0].as_ref().unwrap_err(), plan.answers[0].as_ref().unwrap_err());
    // A client's token counts once its request was done.
    let token = IdempotencyMark { scope: IdempotencyScope::TransactWriteItems, ..mark };
    assert!(planned(&tables, &changes, Some(&token), &[None, None], &caller).unwrap().writes.is_empty());
}
