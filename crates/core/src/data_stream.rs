//! Names and ARNs of data streams of Kinesis.

/// Longest name of a stream. Source: the service model.
const NAME_BYTES_MAX: usize = 128;

/// What the ARN of a data stream says: `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStreamArn<'a> {
    /// The partition.
    pub partition: &'a str,
    /// The region.
    pub region: &'a str,
    /// The stream's name.
    pub name: &'a str,
}

impl<'a> DataStreamArn<'a> {
    /// Reads one; `None`: the text is none.
    pub fn read(text: &'a str) -> Option<DataStreamArn<'a>> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "kinesis", region, account, stream] = parts[..] else { return None };
        let name = stream.strip_prefix("stream/")?;
        [partition, region, account, name].into_iter().all(is_data_stream_name).then_some(DataStreamArn {
            partition,
            region,
            name,
        })
    }
}

/// Whether a stream may have this name.
pub fn is_data_stream_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_a_stream_or_is_none() {
        let read = DataStreamArn::read("arn:aws-cn:kinesis:cn-north-1:000000000000:stream/a.b-c_9");
        assert_eq!(read, Some(DataStreamArn { partition: "aws-cn", region: "cn-north-1", name: "a.b-c_9" }));
        for text in [
            "changes",
            "arn:aws:kinesis:us-east-1:000000000000:stream/",
            "arn:aws:kinesis:us-east-1:000000000000:changes",
            "arn:aws:kinesis:us-east-1::stream/changes",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a:b",
            "arn:aws:firehose:us-east-1:000000000000:stream/changes",
            &format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", "x".repeat(129)),
        ] {
            assert_eq!(DataStreamArn::read(text), None, "{text}");
        }
    }
}
