//! What a template sets of a table beside its keys and its throughput.
//!
//! Most of it is kept and told back, and does nothing here: what a user could take for done is named. What refers to resources that are
//! not made here (keys, roles, streams of Kinesis) is named and left out.

use tailrace_api::tables::{
    ContributorInsightsMode, PointInTimeRecoverySpecification, SseSpecification, SseType, Tag, TimePrecision,
    TimeToLiveSpecification,
};
use tailrace_core::limits;

use crate::TemplateError;
use crate::plan::{InsightsPlan, KinesisPlan};
use crate::properties::Properties;

pub(crate) fn time_to_live(properties: &mut Properties<'_>) -> Result<Option<TimeToLiveSpecification>, TemplateError> {
    let Some(mut given) = properties.map("TimeToLiveSpecification")? else { return Ok(None) };
    let enabled = given.boolean("Enabled")?;
    if enabled.is_none() {
        given.skip("Enabled", "AWS refuses a time to live without it; it counts as true");
    }
    let enabled = enabled.unwrap_or(true);
    let attribute_name = match given.text("AttributeName")? {
        Some(name) if name.is_empty() || name.len() > limits::TTL_ATTRIBUTE_BYTES_MAX => {
            let message = format!("a name of 1 to {} bytes is expected", limits::TTL_ATTRIBUTE_BYTES_MAX);
            return Err(TemplateError::at(given.at("AttributeName"), message));
        }
        Some(name) => name,
        None if enabled => return Err(given.missing("AttributeName")),
        None => String::new(),
    };
    given.finish();
    Ok(Some(TimeToLiveSpecification { enabled, attribute_name }))
}

/// `Tags` as a list of keys and values.
pub(crate) fn tags(properties: &mut Properties<'_>) -> Result<Vec<Tag>, TemplateError> {
    let mut tags = Vec::new();
    for mut given in properties.maps("Tags")?.unwrap_or_default() {
        let key = given.required_text("Key")?;
        let value = given.text("Value");
        if let Some(value) = given.or_skipped(value) {
            tags.push(Tag { key, value });
        }
        given.finish();
    }
    Ok(tags)
}

/// `Tags` as a map, as SAM has them.
pub(crate) fn tag_map(properties: &mut Properties<'_>) -> Result<Vec<Tag>, TemplateError> {
    let Some(mut given) = properties.map("Tags")? else { return Ok(Vec::new()) };
    let mut tags = Vec::new();
    for key in given.entries() {
        let value = given.text(&key);
        if let Some(value) = given.or_skipped(value) {
            tags.push(Tag { key, value });
        }
    }
    Ok(tags)
}

/// `SSESpecification`.
pub(crate) fn encryption(properties: &mut Properties<'_>) -> Result<Option<SseSpecification>, TemplateError> {
    let Some(mut given) = properties.map("SSESpecification")? else { return Ok(None) };
    let enabled = given.boolean("SSEEnabled")?.ok_or_else(|| given.missing("SSEEnabled"))?;
    let sse_type = given.word("SSEType", &[("KMS", SseType::Kms)])?;
    let key = given.text("KMSMasterKeyId");
    let kms_master_key_id = given.or_skipped(key);
    given.finish();
    if enabled {
        properties.skip("SSESpecification", "kept and told back; nothing is encrypted");
        return Ok(Some(SseSpecification {
            enabled: Some(true),
            sse_type: Some(sse_type.unwrap_or(SseType::Kms)),
            kms_master_key_id,
        }));
    }
    Ok(Some(SseSpecification { enabled: Some(false), ..SseSpecification::default() }))
}

/// `PointInTimeRecoverySpecification`.
pub(crate) fn recovery(
    properties: &mut Properties<'_>,
) -> Result<Option<PointInTimeRecoverySpecification>, TemplateError> {
    let Some(mut given) = properties.map("PointInTimeRecoverySpecification")? else { return Ok(None) };
    let enabled = given.boolean("PointInTimeRecoveryEnabled")?.unwrap_or(false);
    let days = given.integer("RecoveryPeriodInDays", 1, i64::from(limits::RECOVERY_PERIOD_DAYS))?;
    given.finish();
    if enabled {
        let why = "kept and told back; a table cannot be restored yet";
        properties.skip("PointInTimeRecoverySpecification", why);
    }
    let period_days = days.filter(|_| enabled).and_then(|days| u32::try_from(days).ok());
    Ok(Some(PointInTimeRecoverySpecification { enabled, period_days }))
}

/// `ContributorInsightsSpecification` of a table, or of the index of this name.
pub(crate) fn insights(
    properties: &mut Properties<'_>,
    index: Option<&str>,
) -> Result<Option<InsightsPlan>, TemplateError> {
    let Some(mut given) = properties.map("ContributorInsightsSpecification")? else { return Ok(None) };
    let enabled = given.boolean("Enabled")?.ok_or_else(|| given.missing("Enabled"))?;
    let modes = [
        ("ACCESSED_AND_THROTTLED_KEYS", ContributorInsightsMode::AccessedAndThrottledKeys),
        ("THROTTLED_KEYS", ContributorInsightsMode::ThrottledKeys),
    ];
    let mode = given.word("Mode", &modes)?;
    given.finish();
    Ok(Some(InsightsPlan { index: index.map(str::to_owned), enabled, mode }))
}

/// `ResourcePolicy`: its document.
pub(crate) fn policy(properties: &mut Properties<'_>) -> Option<String> {
    let given = properties.map("ResourcePolicy");
    let mut given = properties.or_skipped(given)?;
    let document = given.document("PolicyDocument");
    let document = given.or_skipped(document);
    given.finish();
    if document.is_some() {
        properties.skip("ResourcePolicy", "kept and told back; nothing enforces it");
    }
    document
}

/// `KinesisStreamSpecification`.
pub(crate) fn kinesis(properties: &mut Properties<'_>) -> Result<Option<KinesisPlan>, TemplateError> {
    let Some(mut given) = properties.map("KinesisStreamSpecification")? else { return Ok(None) };
    let precisions = TimePrecision::ALL.map(|precision| (precision.name(), precision));
    let precision = given.word("ApproximateCreationDateTimePrecision", &precisions)?;
    let arn = given.required_text("StreamArn").map(Some);
    let stream_arn = given.or_skipped(arn);
    given.finish();
    let Some(stream_arn) = stream_arn else { return Ok(None) };
    if !properties.delivers_to_kinesis() {
        let why = "kept and told back; nothing writes to Kinesis (--kinesis-endpoint, or `kinesis` in tailrace.yaml, says where it is)";
        properties.skip("KinesisStreamSpecification", why);
    }
    Ok(Some(KinesisPlan { stream_arn, precision }))
}
