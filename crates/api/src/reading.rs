//! What the reading of a request needs to know besides its body: the wording of errors, and whose ARNs are ours.

use tailrace_core::model::is_table_name;
use tailrace_core::{ApiError, Json, Wording};

/// How requests are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Which of the two wordings of AWS the errors have.
    pub wording: Wording,
    /// The region of our ARNs.
    pub region: &'a str,
    /// The account of our ARNs.
    pub account_id: &'a str,
}

impl Reading<'_> {
    /// The table's name that a `TableName` means: a name, or the ARN of a table of this region and account.
    ///
    /// # Errors
    /// ValidationException for a foreign or malformed ARN. Source: docs/spec/dynamodb-api.md 1.6.
    pub fn table_name<'t>(&self, text: &'t str) -> Result<&'t str, ApiError> {
        if !text.starts_with("arn:") {
            return Ok(text);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let one = |what: String| Err(ApiError::validation(format!("1 validation error detected: {what}")));
        let [_, partition, vendor, region, account, resource] = parts[..] else { return one(malformed_arn()) };
        if partition != "aws" {
            return one(format!("Invalid AWS partition in '{text}'"));
        }
        if region != self.region {
            return one(format!("Invalid AWS region in '{text}'"));
        }
        let Some((kind, name)) = resource.split_once('/') else { return one(malformed_arn()) };
        if kind != "table" {
            return one(format!("Invalid resource type in '{text}'"));
        }
        if vendor != "dynamodb" || !is_table_name(name) {
            return one(malformed_arn());
        }
        if account != self.account_id {
            return Err(ApiError::not_found("Requested resource not found"));
        }
        Ok(name)
    }

    /// Takes the member `TableName` out of a request.
    ///
    /// # Errors
    /// As for [`Reading::table_name`].
    pub fn take_table_name(&self, body: &mut Json) -> Result<String, ApiError> {
        match body.take("TableName") {
            Some(Json::String(text)) if !text.starts_with("arn:") => Ok(text),
            Some(Json::String(text)) => self.table_name(&text).map(str::to_owned),
            _ => Ok(String::new()),
        }
    }
}

fn malformed_arn() -> String {
    "Valid ARN format is 'arn:<awsPartition>:<vendor>:<region>:<subscriber>:resourceType/resourceName', where Resource \
     name must have length less than or equal to 255, Resource name must have length greater than or equal to 3, \
     Resource name must satisfyregular expression pattern: [a-zA-Z0-9_.-]+"
        .to_owned()
}
