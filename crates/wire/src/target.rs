//! `X-Amz-Target`: which service, which operation. Source: docs/spec/dynamodb-api.md 1, docs/spec/streams.md 1.

use tailrace_core::Service;

/// A service and the name of one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// The service.
    pub service: Service,
    /// The operation's name, not yet known to exist.
    pub name: &'a str,
}

impl<'a> Operation<'a> {
    /// Reads a target. `None`: malformed, or of an unknown service. The dead version `DynamoDB_20111205` is unknown.
    pub fn parse(target: &'a str) -> Option<Operation<'a>> {
        let (prefix, name) = target.split_once('.')?;
        let service = Service::ALL.into_iter().find(|s| s.target_prefix() == prefix)?;
        let well_formed = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        well_formed.then_some(Operation { service, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |target: &str, expect: Option<(Service, &str)>| {
            let got = Operation::parse(target).map(|o| (o.service, o.name.to_owned()));
            assert_eq!(got, expect.map(|(s, n)| (s, n.to_owned())), "{target:?}");
        };
        check("DynamoDB_20120810.PutItem", Some((Service::DynamoDb, "PutItem")));
        check("DynamoDBStreams_20120810.GetRecords", Some((Service::Streams, "GetRecords")));
        check("Firehose_20150804.PutRecordBatch", Some((Service::Firehose, "PutRecordBatch")));
        for bad in [
            "",
            ".",
            "PutItem",
            "DynamoDB_20120810",
            "DynamoDB_20120810.",
            "DynamoDB_20120810.Put.Item",
            "DynamoDB_20120810.Put Item",
            "DynamoDB_20111205.PutItem",
            "dynamodb_20120810.PutItem",
            "Kinesis_20131202.PutRecord",
        ] {
            check(bad, None);
        }
    }
}
