//! Tables with secondary indexes. The table is `orders` (hash key `pk`, S, and range key `sk`, S); its indexes:
//!
//! | name | kind | partition | sort | projection |
//! | --- | --- | --- | --- | --- |
//! | `by-due` | local | `pk` | `due`, S | keys |
//! | `by-price` | local | `pk` | `price`, N | all |
//! | `by-shop` | global | `shop`, S | `price`, N | keys |
//! | `by-tag` | global | `tag`, B | - | `note` and `more` |
//! | `by-all` | global | `shop`, S | - | all |
//! | `by-many` | global | `shop`, S, and `area`, N | `due`, S, `price`, N, and `tag`, B | keys |

mod charges;
mod entries;
mod model;
mod reads;
mod transactions;

use std::collections::BTreeMap;

use bytes::Bytes;
use tailrace_core::codec::StoredItem;
use tailrace_store::PageLimit;
use tailrace_store::keyspace::{ItemKey, ItemSet};

use super::*;
use crate::{Index, IndexKind, IndexProjection, IndexStatus, Throughput};

const ORDERS: TableId = TableId(9);

const PARAMETER: &str = "ValidationException: One or more parameter values were invalid: ";

fn attribute(name: &str) -> KeyAttribute {
    let scalar = match name {
        "price" | "area" | "n" => ScalarType::N,
        "tag" => ScalarType::B,
        _ => ScalarType::S,
    };
    KeyAttribute { name: name.to_owned(), scalar }
}

pub(super) fn index(id: u32, name: &str, kind: IndexKind, key: [&[&str]; 2], projection: IndexProjection) -> Index {
    let [hash, range] = key.map(|names| names.iter().map(|name| attribute(name)).collect());
    Index {
        id: tailrace_core::IndexId(id),
        name: name.to_owned(),
        kind,
        hash,
        range,
        projection,
        status: IndexStatus::Active,
        counted: false,
        throughput: Throughput::default(),
        on_demand: None,
        warm: None,
    }
}

/// The table with these of its indexes.
fn orders(names: &[&str]) -> Table {
    let mut table = Table::new("orders".to_owned(), ORDERS, "uuid".to_owned(), EpochMs(0), schema(Some(ScalarType::S)));
    let included = IndexProjection::Include(vec!["note".to_owned(), "more".to_owned()]);
    table.indexes = vec![
        index(1, "by-due", IndexKind::Local, [&["pk"], &["due"]], IndexProjection::KeysOnly),
        index(2, "by-price", IndexKind::Local, [&["pk"], &["price"]], IndexProjection::All),
        index(3, "by-shop", IndexKind::Global, [&["shop"], &["price"]], IndexProjection::KeysOnly),
        index(4, "by-tag", IndexKind::Global, [&["tag"], &[]], included),
        index(5, "by-all", IndexKind::Global, [&["shop"], &[]], IndexProjection::All),
        index(
            6,
            "by-many",
            IndexKind::Global,
            [&["shop", "area"], &["due", "price", "tag"]],
            IndexProjection::KeysOnly,
        ),
    ];
    table.indexes.retain(|index| names.is_empty() || names.contains(&index.name.as_str()));
    table
}

impl Bench {
    /// With the table `orders` and these of its indexes; none named: all of them.
    async fn indexed(names: &[&str]) -> Bench {
        let bench = Bench::new().await;
        bench.put_descriptor(&orders(names)).await;
        bench
    }

    /// The values of the rows of an index, in the order of its keys, as they are stored.
    async fn entries(&self, index: u32) -> Vec<Value> {
        self.entries_of(ORDERS, index).await
    }

    /// The same of another table.
    pub async fn entries_of(&self, table: TableId, index: u32) -> Vec<Value> {
        let rows = self.rows_of(ItemSet { table, index: tailrace_core::IndexId(index) }).await;
        rows.iter().map(|value| serde_json::to_value(StoredItem::new(value).unwrap()).unwrap()).collect()
    }

    async fn rows_of(&self, set: ItemSet) -> Vec<Bytes> {
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 1 };
        let page = self.store.page(ItemKey::table_range(set), limit).await.unwrap();
        page.rows.into_iter().map(|(_, value)| value).collect()
    }

    /// Every index's number of rows, which is also what DescribeTable tells.
    async fn entry_counts(&self) -> Vec<usize> {
        let described = self.ok("DescribeTable", json!({"TableName": "orders"})).await["Table"].clone();
        let lists = ["LocalSecondaryIndexes", "GlobalSecondaryIndexes"].map(|list| described[list].as_array().unwrap());
        let told = |name: &str| lists.into_iter().flatten().find(|index| index["IndexName"] == name).unwrap();
        let mut counts = Vec::new();
        for index in &orders(&[]).indexes {
            let rows = self.rows_of(ItemSet { table: ORDERS, index: index.id }).await;
            let size = |row: &Bytes| tailrace_core::codec::stored_size(row) as u64;
            let told = told(&index.name);
            assert_eq!(told["ItemCount"], rows.len(), "{}", index.name);
            assert_eq!(told["IndexSizeBytes"], rows.iter().map(size).sum::<u64>(), "{}", index.name);
            counts.push(rows.len());
        }
        counts
    }

    async fn put_order(&self, item: Value) {
        self.put("orders", item).await;
    }
}

fn b(base64: &str) -> Value {
    json!({"B": base64})
}

/// An item with every attribute.
fn whole(sk: &str) -> Value {
    json!({"pk": s("p"), "sk": s(sk), "due": s("monday"), "price": n(7), "shop": s("x"), "area": n(1), "tag": b("AA=="),
        "note": s("n"), "rest": s("o")})
}

/// An item without these attributes.
fn without(mut item: Value, names: &[&str]) -> Value {
    names.iter().for_each(|name| drop(item.as_object_mut().unwrap().remove(*name)));
    item
}

/// These attributes of an item.
fn only(item: &Value, names: &[&str]) -> Value {
    let attributes: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), item[*name].clone())).collect();
    json!(attributes)
}

/// An item with another value of one attribute.
fn set(mut item: Value, name: &str, value: Value) -> Value {
    item[name] = value;
    item
}
