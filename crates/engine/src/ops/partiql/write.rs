//! `INSERT`, `UPDATE` and `DELETE`: a put, an update and a delete of one item, with the condition that the statement means.
//! Source: docs/spec/dynamodb-api.md 7.3.
//!
//! What is inserted must not be there, what is updated must; what is deleted may be gone, and then nothing else is asked of it.

use tailrace_api::items::{
    CapacityDetail, DeleteItemRequest, PutItemRequest, ReturnValues, UpdateItemRequest, WriteItemAnswer,
};
use tailrace_core::expr::{Condition, Node, Path};
use tailrace_core::{ApiError, ErrorCode, Item};
use tailrace_partiql::{Delete, Insert, Returning, Update};

use super::keys::{check_value, whole_key};
use super::refusal::Refusal;
use super::source::Source;
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::ops::{delete_item, put_item, update_item};
use crate::table::Table;

/// A write of one item.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// `INSERT`.
    Insert(PutItemRequest),
    /// `UPDATE`.
    Update(UpdateItemRequest),
    /// `DELETE`.
    Delete(DeleteItemRequest),
}

/// What is told of a write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Telling {
    /// A condition that does not hold brings the item.
    pub return_item_on_failure: bool,
    /// What is told of the charge.
    pub capacity: CapacityDetail,
}

/// The text about an item that is there already.
pub(crate) const DUPLICATE: &str = "Duplicate primary key exists in table";

impl Write {
    /// The put that an `INSERT` means.
    ///
    /// # Errors
    /// There is no such table, or its key attributes have other types.
    pub async fn insert(db: &Db, insert: Insert, telling: Telling) -> Result<Write, Refusal> {
        let table = Source::open_for_write(db, &insert.table, insert.index.as_deref()).await?;
        for attribute in table.key.attributes() {
            if let Some(value) = insert.item.get(&attribute.name) {
                check_value(attribute, value)?;
            }
        }
        Ok(Write::Insert(PutItemRequest {
            table_name: table.name.clone(),
            condition: Some(Condition::of(absent(&table))),
            item: insert.item,
            return_item_on_failure: telling.return_item_on_failure,
            capacity: telling.capacity,
            ..PutItemRequest::default()
        }))
    }

    /// The update that an `UPDATE` means.
    ///
    /// # Errors
    /// There is no such table, or the condition does not say which item.
    pub async fn update(db: &Db, update: Update, telling: Telling) -> Result<Write, Refusal> {
        let table = Source::open_for_write(db, &update.table, update.index.as_deref()).await?;
        let (key, mut conditions) = key_and_rest(update.condition.as_ref(), &table)?;
        conditions.insert(0, Node::Exists(hash_path(&table)));
        Ok(Write::Update(UpdateItemRequest {
            table_name: table.name.clone(),
            key,
            update: Some(update.update),
            condition: Some(Condition::of(Node::And(conditions))),
            return_values: match update.returning {
                None => ReturnValues::None,
                Some(Returning::AllOld) => ReturnValues::AllOld,
                Some(Returning::AllNew) => ReturnValues::AllNew,
                Some(Returning::ModifiedOld) => ReturnValues::UpdatedOld,
                Some(Returning::ModifiedNew) => ReturnValues::UpdatedNew,
            },
            return_item_on_failure: telling.return_item_on_failure,
            capacity: telling.capacity,
            ..UpdateItemRequest::default()
        }))
    }

    /// The delete that a `DELETE` means.
    ///
    /// # Errors
    /// As for [`Write::update`].
    pub async fn delete(db: &Db, delete: Delete, telling: Telling) -> Result<Write, Refusal> {
        let table = Source::open_for_write(db, &delete.table, delete.index.as_deref()).await?;
        let (key, conditions) = key_and_rest(delete.condition.as_ref(), &table)?;
        let condition = match conditions.is_empty() {
            true => None,
            false => Some(Condition::of(Node::Or(vec![absent(&table), Node::And(conditions)]))),
        };
        Ok(Write::Delete(DeleteItemRequest {
            table_name: table.name.clone(),
            key,
            condition,
            return_values: if delete.returning { ReturnValues::AllOld } else { ReturnValues::None },
            return_item_on_failure: telling.return_item_on_failure,
            capacity: telling.capacity,
            ..DeleteItemRequest::default()
        }))
    }

    /// The table.
    pub fn table_name(&self) -> &str {
        match self {
            Write::Insert(request) => &request.table_name,
            Write::Update(request) => &request.table_name,
            Write::Delete(request) => &request.table_name,
        }
    }

    /// The item, or the key: what says which item it is.
    pub fn attributes(&self) -> &Item {
        match self {
            Write::Insert(request) => &request.item,
            Write::Update(request) => &request.key,
            Write::Delete(request) => &request.key,
        }
    }

    /// Runs it, as an operation of its own.
    ///
    /// # Errors
    /// What the client is to read.
    pub async fn run(self, db: &Db, caller: &Caller<'_>) -> Result<WriteItemAnswer, ApiError> {
        match self {
            Write::Insert(request) => put_item(db, request, caller).await.map_err(duplicate),
            Write::Update(request) => update_item(db, request, caller).await,
            Write::Delete(request) => delete_item(db, request, caller).await,
        }
    }
}

/// A failed condition of an `INSERT` is an item that is there.
pub(crate) fn duplicate(error: ApiError) -> ApiError {
    if error.code == ErrorCode::ConditionalCheckFailedException {
        return ApiError { item: error.item, ..ApiError::new(ErrorCode::DuplicateItemException, DUPLICATE) };
    }
    error
}

fn hash_path(table: &Table) -> Path {
    Path::attribute(table.key.hash.name.as_str())
}

fn absent(table: &Table) -> Node {
    Node::NotExists(hash_path(table))
}

fn key_and_rest(condition: Option<&Node>, table: &StoredTable) -> Result<(Item, Vec<Node>), Refusal> {
    whole_key(condition, &table.key)?
        .ok_or_else(|| Refusal::statement("Where clause does not contain a mandatory equality on all key attributes"))
}
