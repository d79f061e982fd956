//! Requests and answers of the operations on tables: one file an operation, and what several of them share.
//!
//! A request says what was sent; the rules of the service that need more than one member are those of the run, so that whoever
//! builds a request keeps them too.

mod account;
mod create_table;
mod delete_table;
mod describe_table;
mod index_description;
mod indexes;
mod list_tables;
mod table_description;
mod time_to_live;
mod types;
mod update_table;

pub use account::{
    DescribeEndpointsAnswer, DescribeEndpointsRequest, DescribeLimitsAnswer, DescribeLimitsRequest, Endpoint,
};
pub use create_table::{CreateTableAnswer, CreateTableRequest};
pub use delete_table::{DeleteTableAnswer, DeleteTableRequest};
pub use describe_table::{DescribeTableAnswer, DescribeTableRequest};
pub use index_description::{GlobalSecondaryIndexDescription, IndexStatus, LocalSecondaryIndexDescription};
pub use indexes::{
    CreateGlobalSecondaryIndexAction, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, LocalSecondaryIndex, Projection, ProjectionType, UpdateGlobalSecondaryIndexAction,
};
pub use list_tables::{ListTablesAnswer, ListTablesRequest};
pub use table_description::{
    BillingModeSummary, OnDemandThroughputDescription, ProvisionedThroughputDescription, TableClassSummary,
    TableDescription, TableStatus, TableThroughputModeSummary, WarmThroughputDescription,
};
pub use time_to_live::{
    DescribeTimeToLiveAnswer, DescribeTimeToLiveRequest, TimeToLiveDescription, TimeToLiveSpecification,
    TimeToLiveStatus, UpdateTimeToLiveAnswer, UpdateTimeToLiveRequest,
};
pub use types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, OnDemandThroughput, ProvisionedThroughput,
    SseSpecification, SseType, StreamSpecification, TableClass, Tag, WarmThroughput,
};
pub use update_table::{UpdateTableAnswer, UpdateTableRequest};
