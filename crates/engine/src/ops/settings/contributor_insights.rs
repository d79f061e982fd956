//! The operations on contributor insights. There is nothing here that gathers them: whoever asks for them is told that they failed, and why.
//! Source: docs/spec/dynamodb-api.md 2, 8.6.

use std::sync::Arc;

use tailrace_api::Timestamp;
use tailrace_api::tables::{
    ContributorInsightsAction, ContributorInsightsStatus, ContributorInsightsSummary,
    DescribeContributorInsightsAnswer, DescribeContributorInsightsRequest, FailureException,
    ListContributorInsightsAnswer, ListContributorInsightsRequest, UpdateContributorInsightsAnswer,
    UpdateContributorInsightsRequest,
};
use tailrace_core::ApiError;
use tailrace_store::PageLimit;
use tailrace_store::keyspace::TableKey;

use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::tables;
use crate::tables::settings::{self, ContributorInsights};

/// Runs UpdateContributorInsights.
///
/// # Errors
/// What the client is to read.
pub async fn update_contributor_insights(
    db: &Db,
    request: UpdateContributorInsightsRequest,
    caller: &Caller<'_>,
) -> Result<UpdateContributorInsightsAnswer, ApiError> {
    let UpdateContributorInsightsRequest { table_name, index_name, action, mode } = request;
    let table = find(db, &table_name, index_name.as_deref()).await?;
    let updated_ms = db.clock.now();
    let enabled = action == ContributorInsightsAction::Enable;
    let asked = ("UpdateContributorInsights", caller);
    let was = settings::change(db, &table, tables::no_such_table(&table_name), asked, |settings| {
        let all = &mut settings.contributor_insights;
        let at = all.iter().position(|insights| insights.index == index_name);
        let old = at.map(|at| all.remove(at));
        // Switched off they keep the mode that they had; switched on they have the default one, as on AWS.
        let kept = old.as_ref().filter(|_| !enabled).map(|old| old.mode);
        let was = old.as_ref().is_some_and(|old| old.enabled);
        if enabled || old.is_some() {
            let mode = mode.or(kept).unwrap_or_default();
            all.push(ContributorInsights { index: index_name.clone(), mode, enabled, updated_ms });
            all.sort_by(|a, b| a.index.cmp(&b.index));
        }
        Ok(was)
    })
    .await?;
    let status = match (enabled, was) {
        (true, _) => ContributorInsightsStatus::Enabling,
        (false, true) => ContributorInsightsStatus::Disabling,
        (false, false) => ContributorInsightsStatus::Disabled,
    };
    let contributor_insights_mode = enabled.then(|| mode.unwrap_or_default());
    Ok(UpdateContributorInsightsAnswer {
        table_name,
        index_name,
        contributor_insights_status: status,
        contributor_insights_mode,
    })
}

/// Runs DescribeContributorInsights.
///
/// # Errors
/// What the client is to read.
pub async fn describe_contributor_insights(
    db: &Db,
    request: DescribeContributorInsightsRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeContributorInsightsAnswer, ApiError> {
    let DescribeContributorInsightsRequest { table_name, index_name } = request;
    let table = find(db, &table_name, index_name.as_deref()).await?;
    let settings = settings::read(db, table.id).await?;
    let insights = settings.contributor_insights.into_iter().find(|insights| insights.index == index_name);
    let failed = insights.as_ref().is_some_and(|insights| insights.enabled);
    Ok(DescribeContributorInsightsAnswer {
        table_name,
        index_name,
        contributor_insights_status: status(failed),
        last_update_date_time: insights.as_ref().map(|insights| Timestamp(insights.updated_ms)),
        failure_exception: failed.then(|| FailureException {
            exception_name: "UnsupportedOperationException".to_owned(),
            exception_description: "Tailrace does not gather contributor insights".to_owned(),
        }),
        contributor_insights_mode: insights.filter(|_| failed).map(|insights| insights.mode),
    })
}

/// Runs ListContributorInsights: the tables and indexes that they were asked for. A page looks at a number of tables; the token is the
/// name of the last one.
///
/// # Errors
/// What the client is to read.
pub async fn list_contributor_insights(
    db: &Db,
    request: ListContributorInsightsRequest,
    _caller: &Caller<'_>,
) -> Result<ListContributorInsightsAnswer, ApiError> {
    let mut summaries = Vec::new();
    if let Some(name) = &request.table_name {
        summarize(db, &tables::stored(db, name).await?, &mut summaries).await?;
        return Ok(ListContributorInsightsAnswer { contributor_insights_summaries: summaries, next_token: None });
    }
    let range = match &request.next_token {
        Some(name) => TableKey::range_after(name),
        None => TableKey::range(),
    };
    let rows = PageLimit { rows_max: request.max_results, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, rows).await.map_err(|e| store_failure(&e))?;
    let mut last = None;
    for (key, row) in &page.rows {
        let name = TableKey::decode(key).ok_or_else(|| corrupt_row("the key of a table"))?.name;
        summarize(db, &db.read_table(&name, row)?, &mut summaries).await?;
        last = Some(name);
    }
    let next_token = last.filter(|_| page.limited);
    Ok(ListContributorInsightsAnswer { contributor_insights_summaries: summaries, next_token })
}

async fn summarize(
    db: &Db,
    table: &Arc<StoredTable>,
    summaries: &mut Vec<ContributorInsightsSummary>,
) -> Result<(), ApiError> {
    let settings = settings::read(db, table.id).await?;
    // Of an index that is gone the setting is left, and means nothing.
    let is_there = |index: &String| table.indexes.iter().any(|of| of.name == *index);
    let there = settings.contributor_insights.into_iter().filter(|of| of.index.as_ref().is_none_or(is_there));
    summaries.extend(there.map(|insights| ContributorInsightsSummary {
        table_name: table.name.clone(),
        index_name: insights.index,
        contributor_insights_status: status(insights.enabled),
        contributor_insights_mode: insights.enabled.then_some(insights.mode),
    }));
    Ok(())
}

fn status(asked_for: bool) -> ContributorInsightsStatus {
    if asked_for { ContributorInsightsStatus::Failed } else { ContributorInsightsStatus::Disabled }
}

/// The table, which has the index.
async fn find(db: &Db, name: &str, index: Option<&str>) -> Result<Arc<StoredTable>, ApiError> {
    let table = tables::stored(db, name).await?;
    match index {
        Some(index) if !table.indexes.iter().any(|of| of.name == index) => {
            Err(ApiError::not_found(format!("Requested resource not found: Index {index} for table {name}")))
        }
        _ => Ok(table),
    }
}
