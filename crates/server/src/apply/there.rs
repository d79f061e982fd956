//! A table as it is there: what a plan is compared with.

use std::collections::BTreeMap;

use tailrace_api::tables::{
    ContributorInsightsMode, ContributorInsightsStatus, DescribeContinuousBackupsRequest,
    DescribeContributorInsightsRequest, DescribeKinesisStreamingDestinationRequest, DescribeTimeToLiveRequest,
    KinesisDataStreamDestination, ListTagsOfResourceRequest, PointInTimeRecoveryDescription, TableDescription, Tag,
};
use tailrace_core::{ApiError, ErrorCode};
use tailrace_engine::{Caller, Db, ops};

use super::step::there_or_gone;

/// A table, and what is set of it.
#[derive(Clone, Debug)]
pub struct There {
    /// Its description.
    pub table: TableDescription,
    /// The attribute by which its items expire.
    pub time_to_live: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Whether it could be restored.
    pub recovery: PointInTimeRecoveryDescription,
    /// The mode of the contributor insights of the table and of its indexes, where they were asked for.
    pub insights: BTreeMap<Option<String>, Option<ContributorInsightsMode>>,
    /// Where its changes were to go.
    pub kinesis: Vec<KinesisDataStreamDestination>,
    /// Changes can be brought there.
    pub delivers_to_kinesis: bool,
}

impl There {
    /// Looks at a table, once it is neither being made nor deleted; `None`: there is none of this name.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn look(db: &Db, name: &str) -> Result<Option<There>, ApiError> {
        let Some(table) = there_or_gone(db, name).await? else { return Ok(None) };
        let caller = &Caller::default();
        let time_to_live = ops::describe_time_to_live(db, DescribeTimeToLiveRequest::of(name), caller).await?;
        let table_name = name.to_owned();
        let request = DescribeContinuousBackupsRequest { table_name: table_name.clone() };
        let backups = ops::settings::describe_continuous_backups(db, request, caller).await?;
        let request = DescribeKinesisStreamingDestinationRequest { table_name: table_name.clone() };
        let kinesis = ops::settings::describe_kinesis_streaming_destination(db, request, caller).await?;
        let mut insights = BTreeMap::new();
        let indexes = table.global_secondary_indexes.iter().flatten().map(|index| Some(index.index_name.clone()));
        for index_name in std::iter::once(None).chain(indexes) {
            let request =
                DescribeContributorInsightsRequest { table_name: table_name.clone(), index_name: index_name.clone() };
            let described = match ops::settings::describe_contributor_insights(db, request, caller).await {
                // The index has gone meanwhile.
                Err(error) if error.code == ErrorCode::ResourceNotFoundException => continue,
                described => described?,
            };
            if described.contributor_insights_status != ContributorInsightsStatus::Disabled {
                insights.insert(index_name, described.contributor_insights_mode);
            }
        }
        Ok(Some(There {
            tags: tags(db, table.table_arn.as_str()).await?,
            table,
            time_to_live: time_to_live.time_to_live_description.attribute_name,
            recovery: backups.continuous_backups_description.point_in_time_recovery_description,
            insights,
            kinesis: kinesis.kinesis_data_stream_destinations,
            delivers_to_kinesis: db.settings().kinesis_destinations,
        }))
    }
}

async fn tags(db: &Db, table_arn: &str) -> Result<Vec<Tag>, ApiError> {
    let (mut tags, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListTagsOfResourceRequest { resource_arn: table_arn.to_owned(), next_token };
        let page = ops::settings::list_tags_of_resource(db, request, &Caller::default()).await?;
        tags.extend(page.tags);
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(tags);
        }
    }
}
