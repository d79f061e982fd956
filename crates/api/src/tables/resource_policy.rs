//! PutResourcePolicy, GetResourcePolicy and DeleteResourcePolicy. Source: docs/spec/dynamodb-api.md 8.6.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::tags::resource_arn;
use crate::{Reading, member};

/// A request for a policy to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResourcePolicyRequest {
    /// The ARN of a table or a stream, as it was sent.
    pub resource_arn: String,
    /// The policy's document.
    pub policy: String,
    /// The revision that is to be replaced; `NO_POLICY`: there must be none.
    pub expected_revision_id: Option<String>,
}

/// A request for a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetResourcePolicyRequest {
    /// The ARN of a table or a stream, as it was sent.
    pub resource_arn: String,
}

/// A request for a policy to be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteResourcePolicyRequest {
    /// The ARN of a table or a stream, as it was sent.
    pub resource_arn: String,
    /// The revision that is to be taken away.
    pub expected_revision_id: Option<String>,
}

/// What became of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyRevisionAnswer {
    /// The policy's revision: the new one, or the one that was taken away, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetResourcePolicyAnswer {
    /// The document.
    pub policy: String,
    /// Its revision.
    pub revision_id: String,
}

fn expected_revision_id(body: &Json) -> Option<String> {
    member::text(body, "ExpectedRevisionId").map(str::to_owned)
}

impl PutResourcePolicyRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<PutResourcePolicyRequest, ApiError> {
        Ok(PutResourcePolicyRequest {
            resource_arn: resource_arn(&body),
            policy: member::text(&body, "Policy").unwrap_or_default().to_owned(),
            expected_revision_id: expected_revision_id(&body),
        })
    }
}

impl GetResourcePolicyRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<GetResourcePolicyRequest, ApiError> {
        Ok(GetResourcePolicyRequest { resource_arn: resource_arn(&body) })
    }
}

impl DeleteResourcePolicyRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<DeleteResourcePolicyRequest, ApiError> {
        Ok(DeleteResourcePolicyRequest {
            resource_arn: resource_arn(&body),
            expected_revision_id: expected_revision_id(&body),
        })
    }
}
