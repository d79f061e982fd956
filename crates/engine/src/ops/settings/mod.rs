//! The operations on what is set for a table beside its descriptor (tags, policies, backups, insights, Kinesis), and those that are
//! answered truthfully without anything behind them. One file for each kind of setting.

mod continuous_backups;
mod contributor_insights;
mod global_tables;
mod kinesis_destination;
mod list_jobs;
mod resource;
mod resource_policy;
mod tags;

pub use continuous_backups::{describe_continuous_backups, update_continuous_backups};
pub use contributor_insights::{describe_contributor_insights, list_contributor_insights, update_contributor_insights};
pub use global_tables::{create_global_table, find_global_table, list_global_tables};
pub use kinesis_destination::{
    describe_kinesis_streaming_destination, disable_kinesis_streaming_destination,
    enable_kinesis_streaming_destination, update_kinesis_streaming_destination,
};
pub use list_jobs::{list_backups, list_exports, list_imports};
pub use resource_policy::{delete_resource_policy, get_resource_policy, put_resource_policy};
pub use tags::{list_tags_of_resource, tag_resource, untag_resource};

use tailrace_api::tables::{
    DeleteResourcePolicyRequest, DescribeContinuousBackupsRequest, DescribeContributorInsightsRequest,
    DescribeKinesisStreamingDestinationRequest, GetResourcePolicyRequest, GlobalTableRequest,
    KinesisStreamingDestinationRequest, ListBackupsRequest, ListContributorInsightsRequest, ListExportsRequest,
    ListGlobalTablesRequest, ListImportsRequest, ListTagsOfResourceRequest, PutResourcePolicyRequest,
    TagResourceRequest, UntagResourceRequest, UpdateContinuousBackupsRequest, UpdateContributorInsightsRequest,
};
use tailrace_core::{ApiError, Json, Service};

use super::write;
use crate::caller::Caller;
use crate::db::Db;

/// Runs one of these operations on a body whose structure is valid; any other operation is unknown.
pub(super) async fn execute(db: &Db, operation: &str, body: Json, caller: &Caller<'_>) -> Result<Vec<u8>, ApiError> {
    let reading = &db.reading();
    match operation {
        // These two answer nothing, not even an object.
        "TagResource" => tag_resource(db, TagResourceRequest::read(body, reading)?, caller).await.map(|()| Vec::new()),
        "UntagResource" => {
            untag_resource(db, UntagResourceRequest::read(body, reading)?, caller).await.map(|()| Vec::new())
        }
        "ListTagsOfResource" => {
            write(&list_tags_of_resource(db, ListTagsOfResourceRequest::read(body, reading)?, caller).await?)
        }
        "PutResourcePolicy" => {
            write(&put_resource_policy(db, PutResourcePolicyRequest::read(body, reading)?, caller).await?)
        }
        "GetResourcePolicy" => {
            write(&get_resource_policy(db, GetResourcePolicyRequest::read(body, reading)?, caller).await?)
        }
        "DeleteResourcePolicy" => {
            write(&delete_resource_policy(db, DeleteResourcePolicyRequest::read(body, reading)?, caller).await?)
        }
        "UpdateContinuousBackups" => {
            write(&update_continuous_backups(db, UpdateContinuousBackupsRequest::read(body, reading)?, caller).await?)
        }
        "DescribeContinuousBackups" => {
            let request = DescribeContinuousBackupsRequest::read(body, reading)?;
            write(&describe_continuous_backups(db, request, caller).await?)
        }
        "UpdateContributorInsights" => {
            let request = UpdateContributorInsightsRequest::read(body, reading)?;
            write(&update_contributor_insights(db, request, caller).await?)
        }
        "DescribeContributorInsights" => {
            let request = DescribeContributorInsightsRequest::read(body, reading)?;
            write(&describe_contributor_insights(db, request, caller).await?)
        }
        "ListContributorInsights" => {
            write(&list_contributor_insights(db, ListContributorInsightsRequest::read(body, reading)?, caller).await?)
        }
        "EnableKinesisStreamingDestination" => {
            let request = KinesisStreamingDestinationRequest::read(body, reading)?;
            write(&enable_kinesis_streaming_destination(db, request, caller).await?)
        }
        "DisableKinesisStreamingDestination" => {
            let request = KinesisStreamingDestinationRequest::read(body, reading)?;
            write(&disable_kinesis_streaming_destination(db, request, caller).await?)
        }
        "UpdateKinesisStreamingDestination" => {
            let request = KinesisStreamingDestinationRequest::read_update(body, reading)?;
            write(&update_kinesis_streaming_destination(db, request, caller).await?)
        }
        "DescribeKinesisStreamingDestination" => {
            let request = DescribeKinesisStreamingDestinationRequest::read(body, reading)?;
            write(&describe_kinesis_streaming_destination(db, request, caller).await?)
        }
        "ListBackups" => write(&list_backups(db, ListBackupsRequest::read(body, reading)?, caller).await?),
        "ListExports" => write(&list_exports(db, ListExportsRequest::read(body, reading)?, caller).await?),
        "ListImports" => write(&list_imports(db, ListImportsRequest::read(body, reading)?, caller).await?),
        "ListGlobalTables" => {
            write(&list_global_tables(db, ListGlobalTablesRequest::read(body, reading)?, caller).await?)
        }
        "CreateGlobalTable" => {
            match create_global_table(db, GlobalTableRequest::read(body, reading)?, caller).await? {}
        }
        "DescribeGlobalTable" | "UpdateGlobalTable" | "DescribeGlobalTableSettings" | "UpdateGlobalTableSettings" => {
            match find_global_table(db, GlobalTableRequest::read(body, reading)?, caller).await? {}
        }
        _ => Err(Service::DynamoDb.api().unknown_operation(operation)),
    }
}
