//! Requests and answers of the operations on items: one file an operation, and what several of them share.

mod answered_item;
mod batch_get_item;
mod batch_write_item;
mod consumed_capacity;
mod delete_item;
mod expression_parameters;
mod get_item;
mod item_collection;
mod item_projection;
mod legacy_parameters;
mod page;
mod put_item;
mod query;
mod scan;
mod start_key;
mod transact_get_items;
mod transact_write_items;
mod update_item;
mod write_parameters;
mod write_request;

pub use answered_item::{AnsweredItem, ItemsAnswer};
pub use batch_get_item::{BatchGetItemAnswer, BatchGetItemRequest, KeysAndAttributes, TableKeys};
pub use batch_write_item::{BatchWrite, BatchWriteItemAnswer, BatchWriteItemRequest, TableWrites};
pub use consumed_capacity::{CapacityDetail, Charge, ConsumedCapacity, UnitKind};
pub use delete_item::DeleteItemRequest;
pub use get_item::{GetItemAnswer, GetItemRequest};
pub use item_collection::ItemCollectionMetrics;
pub use item_projection::ItemProjection;
pub use page::{PageAnswer, PageRequest};
pub use put_item::PutItemRequest;
pub use query::QueryRequest;
pub use scan::{ScanRequest, Segment};
pub use start_key::INVALID_START_KEY;
pub use transact_get_items::{ItemResponse, TransactGet, TransactGetItemsAnswer, TransactGetItemsRequest};
pub use transact_write_items::{
    RequestToken, TRANSACTION_TOO_LARGE, TransactAction, TransactWrite, TransactWriteItemsAnswer,
    TransactWriteItemsRequest,
};
pub use update_item::UpdateItemRequest;
pub use write_parameters::{ReturnValues, WriteItemAnswer};
pub use write_request::WriteRequest;
