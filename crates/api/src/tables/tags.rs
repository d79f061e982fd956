//! TagResource, UntagResource and ListTagsOfResource. Source: docs/spec/dynamodb-api.md 8.3.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::types::{Tag, list};
use crate::{Reading, member};

/// A request for tags to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagResourceRequest {
    /// The ARN of a table, as it was sent; empty if it was not.
    pub resource_arn: String,
    /// The tags; `None`: they were not sent.
    pub tags: Option<Vec<Tag>>,
}

impl TagResourceRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A tag without a key or a value.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<TagResourceRequest, ApiError> {
        Ok(TagResourceRequest { resource_arn: resource_arn(&body), tags: Tag::read_list(&body)? })
    }
}

/// A request for tags to be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UntagResourceRequest {
    /// The ARN of a table, as it was sent; empty if it was not.
    pub resource_arn: String,
    /// The tags' keys; `None`: they were not sent.
    pub tag_keys: Option<Vec<String>>,
}

impl UntagResourceRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<UntagResourceRequest, ApiError> {
        let tag_keys = list(&body, "TagKeys", |key| Some(key.as_str().unwrap_or_default().to_owned()));
        Ok(UntagResourceRequest { resource_arn: resource_arn(&body), tag_keys })
    }
}

/// A request for a page of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListTagsOfResourceRequest {
    /// The ARN of a table, as it was sent; empty if it was not.
    pub resource_arn: String,
    /// Where the page begins, as the page before told.
    pub next_token: Option<String>,
}

/// A page of tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsOfResourceAnswer {
    /// The tags, by key.
    pub tags: Vec<Tag>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl ListTagsOfResourceRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<ListTagsOfResourceRequest, ApiError> {
        Ok(ListTagsOfResourceRequest {
            resource_arn: resource_arn(&body),
            next_token: member::text(&body, "NextToken").map(str::to_owned),
        })
    }
}

/// The member `ResourceArn`.
pub(super) fn resource_arn(body: &Json) -> String {
    member::text(body, "ResourceArn").unwrap_or_default().to_owned()
}
