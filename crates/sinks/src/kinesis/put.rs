//! Requests that put records into a data stream, and what became of each. Source: docs/spec/sinks.md 5, and the service model (PutRecords).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::StatusCode;
use reqwest::header::HeaderName;
use serde::Deserialize;

use super::config::{Config, ConfigError, DataStream};
use super::record::{PARTITION_KEY_BYTES, PartitionKey};
use crate::aws::{Answer, Service, content_type};
use crate::http;
use crate::sink::SinkError;

/// Records of a request. Source: the service model.
pub(super) const RECORDS_MAX: usize = 500;
/// Bytes of a request's records, with their partition keys: what every server takes. Source: docs/spec/sinks.md 5.
pub(super) const BYTES_MAX: usize = 5 << 20;
/// Bytes of a record, with its partition key: what a data stream takes unless it is told to take more.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer that are kept. Our reason: of each of 500 records there are some hundred, with an error some more.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a server says of records that it never takes.
const NEVER: [&str; 2] = ["ValidationException", "InvalidArgumentException"];
/// Words with which it says that of them, in lower case.
const OF_RECORDS: [&str; 5] = ["records.", "records[", "'records'", "record size", "data blob"];

/// A record that is to be put.
#[derive(Clone, Debug)]
pub(super) struct Put {
    /// Its index in the flush.
    pub index: usize,
    /// What tells it from all others.
    pub id: [u8; 16],
    /// Whose order is kept.
    pub key: PartitionKey,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Put {
    /// What it counts for.
    pub fn bytes(&self) -> usize {
        self.data.len() + PARTITION_KEY_BYTES
    }
}

/// What was answered to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// What became of each record: it was taken, or why it has to come again.
    Each(Vec<Result<(), String>>),
    /// It is refused as a whole, for what is in it.
    Refused(String),
}

/// Puts records.
pub(super) struct Putter {
    service: Service,
    stream: DataStream,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutAnswer {
    records: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    sequence_number: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

impl Putter {
    pub fn new(config: &Config) -> Result<Putter, ConfigError> {
        let stream = config.stream()?;
        let service =
            Service::new(&config.access()?, ("kinesis", &stream.region), stream.endpoint.clone(), ANSWER_BYTES_MAX);
        Ok(Putter { service: service.map_err(|error| ConfigError(error.to_string()))?, stream })
    }

    /// The body of a request. It computes.
    pub fn body(&self, records: &[&Put]) -> String {
        let mut body = String::with_capacity(records.iter().map(|put| put.data.len() / 3 * 4 + 100).sum());
        body.push_str(r#"{"StreamName":""#);
        body.push_str(&self.stream.name);
        if let Some(arn) = &self.stream.arn {
            body.push_str(r#"","StreamARN":""#);
            body.push_str(arn);
        }
        body.push_str(r#"","Records":["#);
        for (place, put) in records.iter().enumerate() {
            body.push_str(if place > 0 { r#",{"Data":""# } else { r#"{"Data":""# });
            BASE64.encode_string(&put.data, &mut body);
            body.push_str(r#"","PartitionKey":""#);
            body.push_str(&put.key.text());
            body.push_str(r#""}"#);
        }
        body.push_str("]}");
        body
    }

    /// Sends a body with so many records.
    ///
    /// # Errors
    /// Nobody knows what became of them, or the server does not take any now.
    pub async fn put(&self, body: String, count: usize) -> Result<Answered, SinkError> {
        let target = (HeaderName::from_static("x-amz-target"), "Kinesis_20131202.PutRecords");
        let headers = [content_type("application/x-amz-json-1.1"), target];
        let posted = self.service.post(&headers, body.into()).await;
        let Answer { status, body } = posted.map_err(|error| SinkError(error.to_string()))?;
        if status.is_success() {
            let damaged = |what: &dyn std::fmt::Display| SinkError(format!("the answer is damaged: {what}"));
            let answer: PutAnswer = serde_json::from_slice(&body).map_err(|error| damaged(&error))?;
            let told = answer.records.len();
            if told != count {
                return Err(damaged(&format_args!("it tells of {told} records, not of {count}")));
            }
            return Ok(Answered::Each(answer.records.into_iter().map(Outcome::read).collect()));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Answered::Refused(format!("{status}")));
        }
        match serde_json::from_slice::<Failure>(&body) {
            Ok(Failure { kind, message }) if status.is_client_error() => {
                let code = kind.rsplit('#').next().unwrap_or_default();
                let text = http::shown(format!("{code}: {message}").as_bytes());
                let named = message.to_ascii_lowercase();
                // What is said of the stream, or of its shards, ends some time: only what is said of the records is of them.
                let is_of_records = OF_RECORDS.iter().any(|words| named.contains(words));
                let is_never = NEVER.contains(&code) && is_of_records;
                if is_never { Ok(Answered::Refused(text)) } else { Err(SinkError(text)) }
            }
            _ => Err(SinkError(format!("{status}: {}", http::shown(&body)))),
        }
    }
}

impl Outcome {
    fn read(self) -> Result<(), String> {
        match (self.error_code, self.sequence_number) {
            (None, Some(_)) => Ok(()),
            (None, None) => Err("the answer does not tell what became of a record".to_owned()),
            (Some(code), _) => {
                let message = self.error_message.unwrap_or_default();
                Err(http::shown(format!("{code}: {message}").as_bytes()))
            }
        }
    }
}
