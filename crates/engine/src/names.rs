//! Names and ARNs of tables and streams: made and read in one place.

use tailrace_core::ApiError;
use tailrace_core::model::NAME_PATTERN;

use crate::db::Settings;

/// The parts of a table's or stream's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamArn<'a> {
    pub table: &'a str,
    pub label: &'a str,
}

impl Settings {
    /// The ARN of a table.
    pub fn table_arn(&self, table: &str) -> String {
        format!("arn:aws:dynamodb:{}:{}:table/{table}", self.region, self.account_id)
    }

    /// The ARN of a stream.
    pub fn stream_arn(&self, table: &str, label: &str) -> String {
        format!("{}/stream/{label}", self.table_arn(table))
    }
}

impl<'a> StreamArn<'a> {
    /// Reads an ARN whatever its region and account; `None`: it is no stream's ARN.
    pub fn parse(arn: &'a str) -> Option<StreamArn<'a>> {
        let mut parts = arn.splitn(6, ':');
        let (arn, partition, vendor) = (parts.next()?, parts.next()?, parts.next()?);
        let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = arn == "arn"
            && partition.starts_with("aws")
            && vendor == "dynamodb"
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit());
        let (table, label) = resource.strip_prefix("table/")?.split_once("/stream/")?;
        (well_formed && NAME_PATTERN.matches(table) && !label.is_empty() && !label.contains('/'))
            .then_some(StreamArn { table, label })
    }
}

/// The table's name that a `TableName` member means: a name, or the ARN of a table of this region and account.
///
/// # Errors
/// ValidationException for a foreign or malformed ARN. Source: docs/spec/dynamodb-api.md 1.6.
pub fn table_name<'a>(settings: &Settings, text: &'a str) -> Result<&'a str, ApiError> {
    if !text.starts_with("arn:") {
        return Ok(text);
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let one = |what: String| Err(ApiError::validation(format!("1 validation error detected: {what}")));
    let [_, partition, vendor, region, account, resource] = parts[..] else { return one(malformed_arn()) };
    if partition != "aws" {
        return one(format!("Invalid AWS partition in '{text}'"));
    }
    if region != settings.region {
        return one(format!("Invalid AWS region in '{text}'"));
    }
    let Some((kind, name)) = resource.split_once('/') else { return one(malformed_arn()) };
    if kind != "table" {
        return one(format!("Invalid resource type in '{text}'"));
    }
    if vendor != "dynamodb" || !(3..=255).contains(&name.len()) || !NAME_PATTERN.matches(name) {
        return one(malformed_arn());
    }
    if account != settings.account_id {
        return Err(ApiError::not_found("Requested resource not found"));
    }
    Ok(name)
}

fn malformed_arn() -> String {
    "Valid ARN format is 'arn:<awsPartition>:<vendor>:<region>:<subscriber>:resourceType/resourceName', where Resource \
     name must have length less than or equal to 255, Resource name must have length greater than or equal to 3, \
     Resource name must satisfyregular expression pattern: [a-zA-Z0-9_.-]+"
        .to_owned()
}
