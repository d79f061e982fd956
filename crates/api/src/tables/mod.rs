//! Requests and answers of the operations on tables: one file an operation, and what several of them share.
//!
//! A request says what was sent; the rules of the service that need more than one member are those of the run, so that whoever
//! builds a request keeps them too.

mod account;
mod continuous_backups;
mod contributor_insights;
mod create_table;
mod delete_table;
mod describe_table;
mod global_tables;
mod index_description;
mod indexes;
mod kinesis_destination;
mod list_jobs;
mod list_tables;
mod resource_policy;
mod table_description;
mod tags;
mod time_to_live;
mod types;
mod update_table;

pub use account::{
    DescribeEndpointsAnswer, DescribeEndpointsRequest, DescribeLimitsAnswer, DescribeLimitsRequest, Endpoint,
};
pub use continuous_backups::{
    ContinuousBackupsAnswer, ContinuousBackupsDescription, DescribeContinuousBackupsRequest,
    PointInTimeRecoveryDescription, PointInTimeRecoverySpecification, Switch, UpdateContinuousBackupsRequest,
};
pub use contributor_insights::{
    ContributorInsightsAction, ContributorInsightsMode, ContributorInsightsStatus, ContributorInsightsSummary,
    DescribeContributorInsightsAnswer, DescribeContributorInsightsRequest, FailureException,
    ListContributorInsightsAnswer, ListContributorInsightsRequest, UpdateContributorInsightsAnswer,
    UpdateContributorInsightsRequest,
};
pub use create_table::{CreateTableAnswer, CreateTableRequest};
pub use delete_table::{DeleteTableAnswer, DeleteTableRequest};
pub use describe_table::{DescribeTableAnswer, DescribeTableRequest};
pub use global_tables::{GlobalTableRequest, ListGlobalTablesAnswer, ListGlobalTablesRequest};
pub use index_description::{GlobalSecondaryIndexDescription, IndexStatus, LocalSecondaryIndexDescription};
pub use indexes::{
    CreateGlobalSecondaryIndexAction, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, LocalSecondaryIndex, Projection, ProjectionType, UpdateGlobalSecondaryIndexAction,
};
pub use kinesis_destination::{
    DescribeKinesisStreamingDestinationAnswer, DescribeKinesisStreamingDestinationRequest, DestinationStatus,
    KinesisDataStreamDestination, KinesisStreamingConfiguration, KinesisStreamingDestinationAnswer,
    KinesisStreamingDestinationRequest, TimePrecision, UpdateKinesisStreamingDestinationAnswer,
};
pub use list_jobs::{
    ListBackupsAnswer, ListBackupsRequest, ListExportsAnswer, ListExportsRequest, ListImportsAnswer, ListImportsRequest,
};
pub use list_tables::{ListTablesAnswer, ListTablesRequest};
pub use resource_policy::{
    DeleteResourcePolicyRequest, GetResourcePolicyAnswer, GetResourcePolicyRequest, PolicyRevisionAnswer,
    PutResourcePolicyRequest,
};
pub use table_description::{
    BillingModeSummary, OnDemandThroughputDescription, ProvisionedThroughputDescription, SseDescription, SseStatus,
    TableClassSummary, TableDescription, TableStatus, TableThroughputModeSummary, WarmThroughputDescription,
};
pub use tags::{ListTagsOfResourceAnswer, ListTagsOfResourceRequest, TagResourceRequest, UntagResourceRequest};
pub use time_to_live::{
    DescribeTimeToLiveAnswer, DescribeTimeToLiveRequest, TimeToLiveDescription, TimeToLiveSpecification,
    TimeToLiveStatus, UpdateTimeToLiveAnswer, UpdateTimeToLiveRequest,
};
pub use types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, OnDemandThroughput, ProvisionedThroughput,
    SseSpecification, SseType, StreamSpecification, TableClass, Tag, WarmThroughput,
};
pub use update_table::{UpdateTableAnswer, UpdateTableRequest};
