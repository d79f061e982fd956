//! One change of a table, by the call that a client would make.

use std::time::Duration;

use tailrace_api::tables::{
    CreateTableRequest, DeleteResourcePolicyRequest, DescribeTableRequest, IndexStatus,
    KinesisStreamingDestinationRequest, PutResourcePolicyRequest, TableDescription, TableStatus, TagResourceRequest,
    UntagResourceRequest, UpdateContinuousBackupsRequest, UpdateContributorInsightsRequest, UpdateTableRequest,
    UpdateTimeToLiveRequest,
};
use tailrace_core::{ApiError, ErrorCode};
use tailrace_engine::{Caller, Db, ops};

/// Between two looks at a table whose change is under way. Ours: a change that takes long takes seconds.
const LOOK: Duration = Duration::from_millis(20);

/// What is done to a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is made.
    Create(Box<CreateTableRequest>),
    /// It is changed.
    Update(Box<UpdateTableRequest>),
    /// Its items are to expire, or not.
    TimeToLive(UpdateTimeToLiveRequest),
    /// It gets tags.
    Tag(TagResourceRequest),
    /// It loses tags.
    Untag(UntagResourceRequest),
    /// Its recovery is switched.
    Recovery(UpdateContinuousBackupsRequest),
    /// Its insights are switched.
    Insights(UpdateContributorInsightsRequest),
    /// Its changes are to go to a stream of Kinesis.
    Kinesis(KinesisStreamingDestinationRequest),
    /// How exact the times are that it is told with changes.
    UpdateKinesis(KinesisStreamingDestinationRequest),
    /// They are not any more.
    NoKinesis(KinesisStreamingDestinationRequest),
    /// It gets a policy.
    PutPolicy(PutResourcePolicyRequest),
    /// It loses its policy.
    DeletePolicy(DeleteResourcePolicyRequest),
    /// Its stream gets this policy; `None`: it loses it.
    StreamPolicy(Option<String>),
}

impl Step {
    /// Does it to the table of this name, and waits until the table can be used and changed again.
    ///
    /// # Errors
    /// What the operation answers.
    pub async fn run(self, db: &Db, table: &str) -> Result<(), ApiError> {
        let caller = &Caller::default();
        match self {
            Step::Create(request) => {
                ops::create_table(db, *request, caller).await?;
            }
            Step::Update(request) => {
                ops::update_table(db, *request, caller).await?;
            }
            Step::TimeToLive(request) => {
                ops::update_time_to_live(db, request, caller).await?;
            }
            Step::Tag(request) => ops::settings::tag_resource(db, request, caller).await?,
            Step::Untag(request) => ops::settings::untag_resource(db, request, caller).await?,
            Step::Recovery(request) => {
                ops::settings::update_continuous_backups(db, request, caller).await?;
            }
            Step::Insights(request) => {
                ops::settings::update_contributor_insights(db, request, caller).await?;
            }
            Step::Kinesis(request) => {
                ops::settings::enable_kinesis_streaming_destination(db, request, caller).await?;
            }
            Step::UpdateKinesis(request) => {
                ops::settings::update_kinesis_streaming_destination(db, request, caller).await?;
            }
            Step::NoKinesis(request) => {
                ops::settings::disable_kinesis_streaming_destination(db, request, caller).await?;
            }
            Step::PutPolicy(request) => {
                ops::settings::put_resource_policy(db, request, caller).await?;
            }
            Step::DeletePolicy(request) => delete_policy(db, request).await?,
            Step::StreamPolicy(policy) => {
                let stream = describe(db, table).await?.and_then(|described| described.latest_stream_arn);
                let stream = stream.map(|arn| arn.to_string());
                match (stream, policy) {
                    (Some(resource_arn), Some(policy)) => {
                        let request =
                            PutResourcePolicyRequest { resource_arn, policy, ..PutResourcePolicyRequest::default() };
                        ops::settings::put_resource_policy(db, request, caller).await?;
                    }
                    (Some(resource_arn), None) => {
                        let request =
                            DeleteResourcePolicyRequest { resource_arn, ..DeleteResourcePolicyRequest::default() };
                        delete_policy(db, request).await?;
                    }
                    (None, _) => {}
                }
            }
        }
        settled(db, table).await
    }
}

/// One that is not there is none to delete.
async fn delete_policy(db: &Db, request: DeleteResourcePolicyRequest) -> Result<(), ApiError> {
    match ops::settings::delete_resource_policy(db, request, &Caller::default()).await {
        Err(error) if error.code != ErrorCode::PolicyNotFoundException => Err(error),
        _ => Ok(()),
    }
}

/// Waits until nothing of the table is under way, if it is there: a new index has been filled, say. That is done behind the operations, by
/// tasks that must be running.
///
/// # Errors
/// The store's failure.
pub async fn settled(db: &Db, table: &str) -> Result<(), ApiError> {
    loop {
        let Some(described) = describe(db, table).await? else { return Ok(()) };
        let mut indexes = described.global_secondary_indexes.iter().flatten();
        let all_are = indexes.all(|index| index.index_status == IndexStatus::Active);
        if described.table_status == TableStatus::Active && all_are {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The table's description, once it is neither being made nor deleted; `None`: there is no such table. A client may have begun either just
/// before the last stop (`--aws-like-states`); what ends a deletion are the tasks behind the operations, which must be running.
///
/// # Errors
/// The store's failure.
pub async fn there_or_gone(db: &Db, name: &str) -> Result<Option<TableDescription>, ApiError> {
    loop {
        match describe(db, name).await? {
            Some(described) if matches!(described.table_status, TableStatus::Creating | TableStatus::Deleting) => {
                tokio::time::sleep(LOOK).await;
            }
            found => return Ok(found),
        }
    }
}

/// The table's description; `None`: there is no such table.
///
/// # Errors
/// The store's failure.
pub async fn describe(db: &Db, name: &str) -> Result<Option<TableDescription>, ApiError> {
    match ops::describe_table(db, DescribeTableRequest::of(name), &Caller::default()).await {
        Ok(answer) => Ok(Some(answer.table)),
        Err(error) if error.code == ErrorCode::ResourceNotFoundException => Ok(None),
        Err(error) => Err(error),
    }
}
