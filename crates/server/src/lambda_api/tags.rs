//! ListTags, TagResource and UntagResource: mappings have tags. Source: docs/spec/event-source-mapping.md 1, 4.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tailrace_core::FunctionReference;
use tailrace_mapping::{Constraints, MappingError};
use tailrace_wire::RestAnswer;

use super::error::{Class, LambdaError};
use super::request::Request;
use super::{LambdaApi, document};

impl LambdaApi {
    pub(super) fn list_tags(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        resource(request).check()?;
        if self.is_function(request.label())? {
            return Ok(document(200, &json!({ "Tags": {} })));
        }
        Ok(document(200, &json!({ "Tags": self.mappings.runner.tags(request.label())? })))
    }

    pub(super) async fn tag_resource(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Tagging {
            tags: Option<BTreeMap<String, String>>,
        }

        let Tagging { tags } = request.document()?;
        let mut constraints = resource(request);
        match &tags {
            Some(tags) => constraints.tags(Some(tags)),
            None => constraints.broken("tags", None, "not be null"),
        }
        constraints.check()?;
        let tags = tags.unwrap_or_default();
        if tags.is_empty() {
            let text = "An error occurred and the request cannot be processed.";
            return Err(LambdaError::new(Class::InvalidParameterValue, text));
        }
        self.refuse_functions(request)?;
        self.mappings.runner.tag(request.label(), tags).await.map_err(of_tags)?;
        Ok(RestAnswer { status: 204, ..RestAnswer::default() })
    }

    pub(super) async fn untag_resource(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let keys: Vec<String> = request.parameters("tagKeys").map(str::to_owned).collect();
        let mut constraints = resource(request);
        match keys.is_empty() {
            true => constraints.broken("tagKeys", None, "not be null"),
            false => constraints.tag_keys(&keys),
        }
        constraints.check()?;
        self.refuse_functions(request)?;
        self.mappings.runner.untag(request.label(), keys).await.map_err(of_tags)?;
        Ok(RestAnswer { status: 204, ..RestAnswer::default() })
    }

    fn refuse_functions(&self, request: &Request<'_>) -> Result<(), LambdaError> {
        match self.is_function(request.label())? {
            true => {
                Err(LambdaError::new(Class::InvalidParameterValue, "Tags of functions are not kept by this server."))
            }
            false => Ok(()),
        }
    }

    /// Whether this is the ARN of a function.
    ///
    /// # Errors
    /// It is that of none, or of a version.
    fn is_function(&self, arn: &str) -> Result<bool, LambdaError> {
        if arn.split(':').nth(5) != Some("function") {
            return Ok(false);
        }
        if arn.split(':').count() > 7 {
            let text = "Tagging operations are permitted on Lambda functions only. Tags on aliases and versions are not supported. \
                        Please specify either a function name or a function ARN.";
            return Err(LambdaError::new(Class::InvalidParameterValue, text));
        }
        let function = FunctionReference::parse(arn, &self.region, &self.account_id);
        match function.is_some_and(|function| self.functions.get(&function.name).is_some()) {
            true => Ok(true),
            false => Err(LambdaError::new(Class::ResourceNotFound, format!("Function not found: {arn}"))),
        }
    }
}

/// What the model says of the path, to begin with.
fn resource(request: &Request<'_>) -> Constraints {
    let mut constraints = Constraints::default();
    constraints.taggable(request.label());
    constraints
}

/// The operations on tags know no ResourceInUse.
fn of_tags(error: MappingError) -> LambdaError {
    match error {
        MappingError::InUse => LambdaError::new(Class::ResourceConflict, error.to_string()),
        other => other.into(),
    }
}
