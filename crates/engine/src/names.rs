//! Names and ARNs of tables and streams: made and read in one place.

use tailrace_core::model::NAME_PATTERN;
use tailrace_core::{IndexArn, StreamArn, TableArn};

use crate::settings::Settings;

/// The parts of a table's or stream's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamArnParts<'a> {
    pub table: &'a str,
    pub label: &'a str,
}

impl Settings {
    /// The ARN of a table.
    pub fn table_arn(&self, table: &str) -> TableArn {
        TableArn::new(format!("arn:aws:dynamodb:{}:{}:table/{table}", self.region, self.account_id))
    }

    /// The ARN of an index.
    pub fn index_arn(&self, table: &str, index: &str) -> IndexArn {
        IndexArn::new(format!("{}/index/{index}", self.table_arn(table)))
    }

    /// The ARN of a stream.
    pub fn stream_arn(&self, table: &str, label: &str) -> StreamArn {
        StreamArn::new(format!("{}/stream/{label}", self.table_arn(table)))
    }
}

impl<'a> StreamArnParts<'a> {
    /// Reads an ARN whatever its region and account; `None`: it is no stream's ARN.
    pub fn parse(arn: &'a str) -> Option<StreamArnParts<'a>> {
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
            .then_some(StreamArnParts { table, label })
    }
}
