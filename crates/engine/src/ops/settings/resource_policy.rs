//! PutResourcePolicy, GetResourcePolicy and DeleteResourcePolicy: kept, told back, and never enforced.
//! Source: docs/spec/dynamodb-api.md 8.6.

use std::sync::Arc;

use tailrace_api::tables::{
    DeleteResourcePolicyRequest, GetResourcePolicyAnswer, GetResourcePolicyRequest, PolicyRevisionAnswer,
    PutResourcePolicyRequest,
};
use tailrace_core::{ApiError, EpochMs, ErrorCode};
use tailrace_store::keyspace::StreamNameKey;

use super::resource::{ArnFault, Resource};
use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::tables::rules::invalid;
use crate::tables::settings::{self, ResourcePolicy, StreamPolicy, TableSettings};
use crate::tables::{self, policy, states};

/// The revision that stands for no policy.
const NO_POLICY: &str = "NO_POLICY";

/// Runs PutResourcePolicy. A document that is there already keeps its revision.
///
/// # Errors
/// What the client is to read.
pub async fn put_resource_policy(
    db: &Db,
    request: PutResourcePolicyRequest,
    caller: &Caller<'_>,
) -> Result<PolicyRevisionAnswer, ApiError> {
    let resource = parse(db, &request.resource_arn)?;
    let document = policy::canonical(&request.policy)?;
    let table = find(db, resource, &request.resource_arn).await?;
    let now = db.clock.now();
    states::check_change_of_settings(&table, now)?;
    let asked = ("PutResourcePolicy", caller);
    let revision = settings::change(db, &table, tables::no_such_table(&table.name), asked, |settings| {
        let old = policy_of(settings, resource);
        expect(&request.expected_revision_id, old, &table)?;
        // One that an earlier version kept in another form says the same.
        let is_same = |old: &&ResourcePolicy| {
            old.document == document || policy::canonical(&old.document).is_ok_and(|old| old == document)
        };
        if let Some(old) = old.filter(is_same) {
            return Ok(old.revision);
        }
        let last = old.map(|old| old.revision).or(deleted_of(settings, resource));
        let revision = last.map_or(now, |last| now.max(EpochMs(last.0.saturating_add(1))));
        set_policy(settings, resource, Some(ResourcePolicy { document: document.clone(), revision }));
        Ok(revision)
    });
    Ok(PolicyRevisionAnswer { revision_id: Some(revision.await?.to_string()) })
}

/// Runs GetResourcePolicy.
///
/// # Errors
/// What the client is to read.
pub async fn get_resource_policy(
    db: &Db,
    request: GetResourcePolicyRequest,
    _caller: &Caller<'_>,
) -> Result<GetResourcePolicyAnswer, ApiError> {
    let arn = &request.resource_arn;
    let resource = parse(db, arn)?;
    let table = match find(db, resource, arn).await {
        // A stream that is gone is one without a policy.
        Err(error) if error.code == ErrorCode::ResourceNotFoundException && is_stream(resource) => {
            return Err(policy_not_found(arn));
        }
        found => found?,
    };
    let settings = settings::read(db, table.id).await?;
    let policy = policy_of(&settings, resource).ok_or_else(|| policy_not_found(arn))?;
    Ok(GetResourcePolicyAnswer { policy: policy.document.clone(), revision_id: policy.revision.to_string() })
}

/// Runs DeleteResourcePolicy; the answer has the revision that was taken away, and where it was before, when that was.
///
/// # Errors
/// What the client is to read.
pub async fn delete_resource_policy(
    db: &Db,
    request: DeleteResourcePolicyRequest,
    caller: &Caller<'_>,
) -> Result<PolicyRevisionAnswer, ApiError> {
    let resource = parse(db, &request.resource_arn)?;
    let table = find(db, resource, &request.resource_arn).await?;
    let now = db.clock.now();
    states::check_change_of_settings(&table, now)?;
    let asked = ("DeleteResourcePolicy", caller);
    let revision = settings::change(db, &table, tables::no_such_table(&table.name), asked, |settings| {
        let old = policy_of(settings, resource);
        expect(&request.expected_revision_id, old, &table)?;
        let Some(revision) = old.map(|old| old.revision) else { return Ok(deleted_of(settings, resource)) };
        set_policy(settings, resource, None);
        if let Resource::Table { .. } = resource {
            settings.policy_deleted_ms = Some(now.max(EpochMs(revision.0.saturating_add(1))));
        }
        Ok(Some(revision))
    });
    Ok(PolicyRevisionAnswer { revision_id: revision.await?.map(|revision| revision.to_string()) })
}

fn parse<'a>(db: &Db, arn: &'a str) -> Result<Resource<'a>, ApiError> {
    Resource::parse(arn, &db.settings).map_err(|fault| match fault {
        ArnFault::NoArn => invalid(format!("ARNs must start with 'arn:': {arn}")),
        ArnFault::NoResource => invalid(format!("Provided Arn is not a DynamoDB resource arn: {arn}")),
        ArnFault::Index => invalid(format!(
            "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {arn}"
        )),
        ArnFault::Region => invalid(format!("Invalid resource Arn: {arn}")),
        ArnFault::Account => ApiError::validation(
            "This action is only supported by accounts that match the resource owner\u{2019}s account.",
        ),
    })
}

fn is_stream(resource: Resource<'_>) -> bool {
    matches!(resource, Resource::Stream { .. })
}

/// The table that keeps the policy.
async fn find(db: &Db, resource: Resource<'_>, arn: &str) -> Result<Arc<StoredTable>, ApiError> {
    match resource {
        Resource::Table { table } => tables::stored(db, table).await,
        Resource::Stream { table, label } => {
            let stored = tables::stored(db, table).await?;
            let found = db.rows(&[StreamNameKey::key(table, label)]).await?;
            let not_found = || ApiError::not_found(format!("Requested resource not found: Stream: {arn} not found"));
            if found[0].is_some() { Ok(stored) } else { Err(not_found()) }
        }
    }
}

fn policy_of<'s>(settings: &'s TableSettings, resource: Resource<'_>) -> Option<&'s ResourcePolicy> {
    match resource {
        Resource::Table { .. } => settings.policy.as_ref(),
        Resource::Stream { label, .. } => {
            settings.stream_policies.iter().find(|of| of.label == label).map(|of| &of.policy)
        }
    }
}

/// When the policy was deleted, if it was and is known: it is kept of tables alone.
fn deleted_of(settings: &TableSettings, resource: Resource<'_>) -> Option<EpochMs> {
    settings.policy_deleted_ms.filter(|_| !is_stream(resource))
}

fn set_policy(settings: &mut TableSettings, resource: Resource<'_>, policy: Option<ResourcePolicy>) {
    match resource {
        Resource::Table { .. } => settings.policy = policy,
        Resource::Stream { label, .. } => {
            settings.stream_policies.retain(|of| of.label != label);
            settings.stream_policies.extend(policy.map(|policy| StreamPolicy { label: label.to_owned(), policy }));
            settings.stream_policies.sort_by(|a, b| a.label.cmp(&b.label));
        }
    }
}

/// Whether the policy is the one that was expected.
fn expect(expected: &Option<String>, old: Option<&ResourcePolicy>, table: &StoredTable) -> Result<(), ApiError> {
    let Some(expected) = expected else { return Ok(()) };
    let name = &table.name;
    let why = match old {
        None if expected == NO_POLICY => return Ok(()),
        None => format!(
            "Requested update for policy with revision id {expected}, but no policy is associated to target table {name}."
        ),
        Some(old) if *expected == old.revision.to_string() => return Ok(()),
        Some(old) if expected == NO_POLICY => format!(
            "Requested policy update expecting none to be present for table {name}, but a policy exists with revision id {}.",
            old.revision
        ),
        Some(old) => format!(
            "Requested update for policy with revision id {expected}, but the policy associated to target table {name} has \
             revision id {}.",
            old.revision
        ),
    };
    Err(policy_not_found(&why))
}

fn policy_not_found(why: &str) -> ApiError {
    let text = format!("Resource-based policy not found for the provided ResourceArn: {why}");
    ApiError::new(ErrorCode::PolicyNotFoundException, text)
}
