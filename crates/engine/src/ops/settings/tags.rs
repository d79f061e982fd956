//! TagResource, UntagResource and ListTagsOfResource. Source: docs/spec/dynamodb-api.md 8.3.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_api::tables::{
    ListTagsOfResourceAnswer, ListTagsOfResourceRequest, TagResourceRequest, UntagResourceRequest,
};
use tailrace_core::limits::TAGS_PAGE_MAX;
use tailrace_core::{ApiError, ErrorCode};

use super::resource::{ArnFault, Resource};
use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::tables::rules::invalid;
use crate::tables::{settings, states, tags};

/// Runs TagResource: all tags are set, or none.
///
/// # Errors
/// What the client is to read.
pub async fn tag_resource(db: &Db, request: TagResourceRequest, caller: &Caller<'_>) -> Result<(), ApiError> {
    let arn = &request.resource_arn;
    let name = table_name(db, arn)?;
    let new = request.tags.ok_or_else(|| null("tags"))?;
    if new.is_empty() {
        return Err(ApiError::validation("Atleast one Tag needs to be provided as Input."));
    }
    tags::check(&new)?;
    let table = find(db, name, arn).await?;
    states::check_change_of_settings(&table, db.clock.now())?;
    let asked = ("TagResource", caller);
    settings::change(db, &table, not_found(arn), asked, |settings| tags::set(&mut settings.tags, &new)).await
}

/// Runs UntagResource; a tag that is not there is none to take away.
///
/// # Errors
/// What the client is to read.
pub async fn untag_resource(db: &Db, request: UntagResourceRequest, caller: &Caller<'_>) -> Result<(), ApiError> {
    let arn = &request.resource_arn;
    let name = table_name(db, arn)?;
    let keys = request.tag_keys.ok_or_else(|| null("tagKeys"))?;
    if keys.is_empty() {
        return Err(ApiError::validation("Atleast one Tag Key needs to be provided as Input."));
    }
    tags::check_keys(&keys)?;
    let table = find(db, name, arn).await?;
    states::check_change_of_settings(&table, db.clock.now())?;
    settings::change(db, &table, not_found(arn), ("UntagResource", caller), |settings| {
        settings.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })
    .await
}

/// Runs ListTagsOfResource: tags by key. A token that is none of ours is as good as none, as on AWS.
///
/// # Errors
/// What the client is to read.
pub async fn list_tags_of_resource(
    db: &Db,
    request: ListTagsOfResourceRequest,
    _caller: &Caller<'_>,
) -> Result<ListTagsOfResourceAnswer, ApiError> {
    let arn = &request.resource_arn;
    let table = find(db, table_name(db, arn)?, arn).await?;
    let mut tags = settings::read(db, table.id).await?.tags;
    if let Some(behind) = request.next_token.as_deref().and_then(read_token) {
        tags.retain(|tag| tag.key > behind);
    }
    let more = tags.len() > TAGS_PAGE_MAX;
    tags.truncate(TAGS_PAGE_MAX);
    let next_token = tags.last().filter(|_| more).map(|tag| token(&tag.key));
    Ok(ListTagsOfResourceAnswer { tags, next_token })
}

/// What stands before the key in a token.
const TOKEN_MARK: &str = "behind:";

/// The token of the page behind the tag `key`.
fn token(key: &str) -> String {
    BASE64.encode(format!("{TOKEN_MARK}{key}"))
}

/// The key in a token.
fn read_token(token: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    text.strip_prefix(TOKEN_MARK).map(str::to_owned)
}

/// The name of the table that an ARN names. A stream has no tags, and is none that is found.
fn table_name<'a>(db: &Db, arn: &'a str) -> Result<&'a str, ApiError> {
    if arn.is_empty() {
        return Err(ApiError::validation("Invalid TableArn"));
    }
    match Resource::parse(arn, &db.settings) {
        Ok(Resource::Table { table }) => Ok(table),
        Ok(Resource::Stream { .. }) => Err(not_found(arn)),
        Err(ArnFault::NoArn) => Err(invalid(format!("ARNs must start with 'arn:': {arn}"))),
        Err(ArnFault::NoResource) => Err(invalid(format!("Provided Arn is not a DynamoDB resource arn: {arn}"))),
        Err(ArnFault::Index) => Err(invalid(format!(
            "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {arn}"
        ))),
        Err(ArnFault::Region) => {
            Err(ApiError::validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}")))
        }
        Err(ArnFault::Account) => Err(ApiError::new(ErrorCode::AccessDeniedException, "Access is denied")),
    }
}

async fn find(db: &Db, name: &str, arn: &str) -> Result<Arc<StoredTable>, ApiError> {
    db.find_table(name).await?.ok_or_else(|| not_found(arn))
}

fn not_found(arn: &str) -> ApiError {
    ApiError::not_found(format!("Requested resource not found: ResourceArn: {arn} not found"))
}

fn null(member: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}
