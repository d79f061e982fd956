//! What a `ResourceArn` names: a table, or a stream of one. Source: docs/spec/dynamodb-api.md 8.3.

use crate::settings::Settings;

/// What an ARN of this region and account names; whether it is there is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    /// A table.
    Table { table: &'a str },
    /// A stream of a table.
    Stream { table: &'a str, label: &'a str },
}

/// Why an ARN names neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArnFault {
    /// It does not begin as one.
    NoArn,
    /// It is one of another service, or of something else of this one.
    NoResource,
    /// It is an index's.
    Index,
    /// It is of another partition or region.
    Region,
    /// It is of another account.
    Account,
}

impl<'a> Resource<'a> {
    /// Reads an ARN.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(arn: &'a str, settings: &Settings) -> Result<Resource<'a>, ArnFault> {
        if !arn.starts_with("arn:") {
            return Err(ArnFault::NoArn);
        }
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, partition, "dynamodb", region, account, resource] = parts[..] else {
            return Err(ArnFault::NoResource);
        };
        let resource = match resource.split('/').collect::<Vec<_>>()[..] {
            ["table", table] if !table.is_empty() => Resource::Table { table },
            ["table", table, "stream", label] if !table.is_empty() && !label.is_empty() => {
                Resource::Stream { table, label }
            }
            ["table", _, "index", _] => return Err(ArnFault::Index),
            _ => return Err(ArnFault::NoResource),
        };
        if partition != "aws" || region != settings.region {
            return Err(ArnFault::Region);
        }
        if account != settings.account_id {
            return Err(ArnFault::Account);
        }
        Ok(resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_tables_and_streams_of_this_region_and_account() {
        let settings = Settings::default();
        for (arn, expected) in [
            ("arn:aws:dynamodb:us-east-1:000000000000:table/t", Ok(Resource::Table { table: "t" })),
            (
                "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000",
                Ok(Resource::Stream { table: "t", label: "2026-01-01T00:00:00.000" }),
            ),
            ("t", Err(ArnFault::NoArn)),
            ("arn:aws:s3:::bucket", Err(ArnFault::NoResource)),
            ("arn:aws:dynamodb:us-east-1:000000000000:table/t/backup/1", Err(ArnFault::NoResource)),
            ("arn:aws:dynamodb:us-east-1:000000000000:table/", Err(ArnFault::NoResource)),
            ("arn:aws:dynamodb:us-east-1:000000000000:table/t/index/i", Err(ArnFault::Index)),
            ("arn:aws:dynamodb:eu-west-1:000000000000:table/t", Err(ArnFault::Region)),
            ("arn:aws-cn:dynamodb:us-east-1:000000000000:table/t", Err(ArnFault::Region)),
            ("arn:aws:dynamodb:us-east-1:111111111111:table/t", Err(ArnFault::Account)),
        ] {
            assert_eq!(Resource::parse(arn, &settings), expected, "{arn}");
        }
    }
}
