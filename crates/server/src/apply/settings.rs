//! What a template sets of a table beside its keys and its throughput, against what is set. Pure.
//!
//! As CloudFormation does: what an earlier template had set and this one does not have is taken back; what a client has set is left alone.

use tailrace_api::tables::{
    ContributorInsightsAction, DeleteResourcePolicyRequest, DestinationStatus, KinesisDataStreamDestination,
    KinesisStreamingConfiguration, KinesisStreamingDestinationRequest, PointInTimeRecoverySpecification,
    PutResourcePolicyRequest, SseDescription, SseSpecification, Switch, Tag, TagResourceRequest, TimePrecision,
    TimeToLiveSpecification, UntagResourceRequest, UpdateContinuousBackupsRequest, UpdateContributorInsightsRequest,
    UpdateTableRequest, UpdateTimeToLiveRequest,
};

use super::ApplyError;
use super::record::RecordedTable;
use super::step::Step;
use super::table::Changes;
use super::there::There;
use crate::template::{InsightsPlan, KinesisPlan, TablePlan};

/// Adds what a table that was just made needs; tags, encryption and policy it was made with.
pub fn of_new_table(table: &TablePlan) -> Vec<Step> {
    let (name, settings) = (table.name(), &table.settings);
    let mut steps = Vec::new();
    steps.extend(
        settings.time_to_live.clone().filter(|asked| asked.enabled).map(|asked| time_to_live_step(name, asked)),
    );
    steps.extend(settings.point_in_time_recovery.filter(|asked| asked.enabled).map(|asked| recovery_step(name, asked)));
    steps.extend(
        settings.contributor_insights.iter().filter(|asked| asked.enabled).map(|asked| insights_step(name, asked)),
    );
    steps.extend(settings.kinesis.as_ref().map(|asked| Step::Kinesis(kinesis_request(name, asked))));
    steps.extend(settings.stream_policy.clone().map(|policy| Step::StreamPolicy(Some(policy))));
    steps
}

/// Adds what the table that is there needs.
///
/// # Errors
/// The items expire by another attribute.
pub fn changes(
    table: &TablePlan,
    there: &There,
    recorded: &RecordedTable,
    changes: &mut Changes,
) -> Result<(), ApplyError> {
    let (name, settings) = (table.name(), &table.settings);
    encryption(table, there.table.sse_description.as_ref(), recorded, changes);
    tags(table, there, recorded, changes);
    time_to_live(table, there.time_to_live.as_ref(), recorded, changes)?;
    let has = &there.recovery;
    let is_on = has.point_in_time_recovery_status == Switch::Enabled;
    let off = PointInTimeRecoverySpecification { enabled: false, period_days: None };
    let wants = settings.point_in_time_recovery.or((recorded.recovery).then_some(off));
    let other_period = |wants: &PointInTimeRecoverySpecification| {
        wants.period_days.is_some() && wants.period_days != has.recovery_period_in_days
    };
    if let Some(wants) = wants.filter(|wants| wants.enabled != is_on || (is_on && other_period(wants))) {
        changes.steps.push(recovery_step(name, wants));
    }
    insights(table, there, recorded, changes);
    kinesis(table, there, recorded, changes);
    let resource_arn = there.table.table_arn.to_string();
    // A document that is there already stays as it is.
    match &table.request.resource_policy {
        Some(policy) => changes.steps.push(Step::PutPolicy(PutResourcePolicyRequest {
            resource_arn,
            policy: policy.clone(),
            ..PutResourcePolicyRequest::default()
        })),
        None if recorded.policy => {
            let request = DeleteResourcePolicyRequest { resource_arn, ..DeleteResourcePolicyRequest::default() };
            changes.steps.push(Step::DeletePolicy(request));
        }
        None => {}
    }
    match &settings.stream_policy {
        Some(policy) => changes.steps.push(Step::StreamPolicy(Some(policy.clone()))),
        None if recorded.stream_policy => changes.steps.push(Step::StreamPolicy(None)),
        None => {}
    }
    Ok(())
}

/// What the time to live of the table that is there needs.
fn time_to_live(
    table: &TablePlan,
    has: Option<&String>,
    recorded: &RecordedTable,
    changes: &mut Changes,
) -> Result<(), ApplyError> {
    let (name, at) = (table.name(), format!("Resources.{}.Properties", table.logical_id));
    let disabled = |attribute: &String| TimeToLiveSpecification { enabled: false, attribute_name: attribute.clone() };
    match (&table.settings.time_to_live, has) {
        (Some(wants), Some(has)) if wants.enabled && wants.attribute_name != *has => {
            return Err(ApplyError::Template(format!(
                "{at}.TimeToLiveSpecification.AttributeName: the items of the table {name} expire by {has}, and the template \
                 asks for {}; as with CloudFormation, start once with Enabled: false in between",
                wants.attribute_name
            )));
        }
        (Some(wants), None) if wants.enabled => changes.steps.push(time_to_live_step(name, wants.clone())),
        (Some(wants), Some(has)) if !wants.enabled => changes.steps.push(time_to_live_step(name, disabled(has))),
        (None, Some(has)) if recorded.time_to_live.as_ref() == Some(has) => {
            changes.steps.push(time_to_live_step(name, disabled(has)));
            changes.notices.push(format!(
                "{at}: the items of the table {name} expire no more: the template does not ask for it any longer"
            ));
        }
        _ => {}
    }
    Ok(())
}

fn encryption(table: &TablePlan, has: Option<&SseDescription>, recorded: &RecordedTable, changes: &mut Changes) {
    let wants = match &table.request.sse_specification {
        None if recorded.encryption.is_some() => {
            SseSpecification { enabled: Some(false), ..SseSpecification::default() }
        }
        None => return,
        Some(wants) => wants.clone(),
    };
    let differs = match (wants.is_on(), has) {
        (false, has) => has.is_some(),
        (true, None) => true,
        (true, Some(has)) => {
            let id = wants.kms_master_key_id.as_deref().unwrap_or_default();
            let present = has.kms_master_key_arn.as_deref().unwrap_or_default();
            // Which key an alias stands for is told by nobody: it is set where the template asks for another one than before.
            let is_alias = id.is_empty() || id.contains("alias/");
            let same = if is_alias {
                recorded.encryption.as_deref() == Some(id)
            } else {
                present == id || present.rsplit('/').next() == Some(id)
            };
            !same
        }
    };
    if differs {
        let update = UpdateTableRequest { sse_specification: Some(wants), ..UpdateTableRequest::of(table.name()) };
        changes.steps.push(Step::Update(Box::new(update)));
    }
}

fn tags(table: &TablePlan, there: &There, recorded: &RecordedTable, changes: &mut Changes) {
    let (wants, resource_arn) = (&table.request.tags, &there.table.table_arn);
    // What goes makes room for what comes.
    let gone: Vec<String> = recorded
        .tags
        .iter()
        .filter(|key| wants.iter().all(|tag| tag.key != **key) && there.tags.iter().any(|tag| tag.key == **key))
        .cloned()
        .collect();
    if !gone.is_empty() {
        let request = UntagResourceRequest { resource_arn: resource_arn.to_string(), tag_keys: Some(gone) };
        changes.steps.push(Step::Untag(request));
    }
    let new: Vec<Tag> = wants.iter().filter(|tag| !there.tags.contains(tag)).cloned().collect();
    if !new.is_empty() {
        let request = TagResourceRequest { resource_arn: resource_arn.to_string(), tags: Some(new) };
        changes.steps.push(Step::Tag(request));
    }
}

fn insights(table: &TablePlan, there: &There, recorded: &RecordedTable, changes: &mut Changes) {
    let planned = &table.settings.contributor_insights;
    for wants in planned {
        let has = there.insights.get(&wants.index);
        let differs = match (wants.enabled, has) {
            (true, None) => true,
            (true, Some(mode)) => wants.mode.is_some() && wants.mode != *mode,
            (false, has) => has.is_some(),
        };
        if differs {
            changes.steps.push(insights_step(table.name(), wants));
        }
    }
    for index in &recorded.insights {
        let index = Some(index.clone()).filter(|index| !index.is_empty());
        let is_planned = planned.iter().any(|wants| wants.index == index);
        let stays = match &index {
            None => true,
            Some(index) => {
                let mut indexes = table.request.global_secondary_indexes.iter().flatten();
                indexes.any(|planned| planned.index_name == *index)
            }
        };
        if !is_planned && stays && there.insights.contains_key(&index) {
            let off = InsightsPlan { index, enabled: false, mode: None };
            changes.steps.push(insights_step(table.name(), &off));
        }
    }
}

/// One destination is live at a time: a new one takes the place of the old one, also of one that a client has switched on. What a client switched
/// off stays off.
fn kinesis(table: &TablePlan, there: &There, recorded: &RecordedTable, changes: &mut Changes) {
    use DestinationStatus::{Active, Disabled, Disabling, EnableFailed, Enabling, Updating};
    let (name, wants) = (table.name(), table.settings.kinesis.as_ref());
    let of = |arn: &str| there.kinesis.iter().find(|has| has.stream_arn == arn);
    let was = recorded.kinesis.as_ref();
    if let Some(was) = was.filter(|was| wants.is_none_or(|wants| wants.stream_arn != **was))
        && of(was).is_some_and(|has| !matches!(has.destination_status, Disabled | Disabling))
    {
        let was = KinesisPlan { stream_arn: was.clone(), precision: None };
        changes.steps.push(Step::NoKinesis(kinesis_request(name, &was)));
    }
    let Some(wants) = wants else { return };
    let precision = Option::<TimePrecision>::unwrap_or_default;
    let has = of(&wants.stream_arn);
    let is_same =
        has.is_some_and(|has| precision(has.approximate_creation_date_time_precision) == precision(wants.precision));
    let was_asked_for = was == Some(&wants.stream_arn);
    match has.map(|has| has.destination_status) {
        Some(Active | Enabling | Updating) if is_same => {}
        Some(Active | Enabling | Updating) => {
            let precise = KinesisPlan { precision: Some(precision(wants.precision)), ..wants.clone() };
            changes.steps.push(Step::UpdateKinesis(kinesis_request(name, &precise)));
        }
        Some(EnableFailed) if is_same && !there.delivers_to_kinesis => {}
        Some(Disabled | Disabling) if was_asked_for => {}
        _ => {
            let is_in_the_way = |other: &&KinesisDataStreamDestination| {
                matches!(other.destination_status, Active | Enabling | Updating)
                    && other.stream_arn != wants.stream_arn
                    && was != Some(&other.stream_arn)
            };
            for other in there.kinesis.iter().filter(is_in_the_way) {
                let (at, arn) = (&table.logical_id, &other.stream_arn);
                changes.notices.push(format!(
                    "Resources.{at}.Properties.KinesisStreamSpecification: the changes of {name} go to {} now, and no more to {arn}, which a \
                     client had switched on: a table has one live destination",
                    wants.stream_arn
                ));
                let other = KinesisPlan { stream_arn: arn.clone(), precision: None };
                changes.steps.push(Step::NoKinesis(kinesis_request(name, &other)));
            }
            changes.steps.push(Step::Kinesis(kinesis_request(name, wants)));
        }
    }
}

fn time_to_live_step(name: &str, time_to_live_specification: TimeToLiveSpecification) -> Step {
    Step::TimeToLive(UpdateTimeToLiveRequest { table_name: name.to_owned(), time_to_live_specification })
}

fn recovery_step(name: &str, specification: PointInTimeRecoverySpecification) -> Step {
    Step::Recovery(UpdateContinuousBackupsRequest { table_name: name.to_owned(), specification })
}

fn insights_step(name: &str, wants: &InsightsPlan) -> Step {
    let action = if wants.enabled { ContributorInsightsAction::Enable } else { ContributorInsightsAction::Disable };
    Step::Insights(UpdateContributorInsightsRequest {
        table_name: name.to_owned(),
        index_name: wants.index.clone(),
        action,
        mode: wants.mode,
    })
}

fn kinesis_request(name: &str, wants: &KinesisPlan) -> KinesisStreamingDestinationRequest {
    let configuration = wants
        .precision
        .map(|precision| KinesisStreamingConfiguration { approximate_creation_date_time_precision: Some(precision) });
    KinesisStreamingDestinationRequest {
        table_name: name.to_owned(),
        stream_arn: wants.stream_arn.clone(),
        configuration,
    }
}
