//! What a user says of a sink into a data stream of Kinesis, read from JSON or YAML, then checked as a whole.

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use tailrace_core::data_stream::{DataStreamArn, is_data_stream_name};
use tailrace_engine::TimePrecision;

use crate::aws::address::{REGION, endpoint, home, region_of};
use crate::aws::{Access, settings};
use crate::secret::Secret;

/// What an address begins with.
const SCHEME: &str = "kinesis:";

/// The settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `kinesis:NAME` or `kinesis:ARN`: a data stream.
    pub to: String,
    /// How exact the times of the records are.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::precision")]
    pub precision: TimePrecision,
    /// Where Kinesis is, if not at AWS.
    pub endpoint: Option<String>,
    /// The region that requests are signed for, if the address does not say it.
    pub region: Option<String>,
    /// The access key; without one, that of the environment or of the machine.
    pub access_key_id: Option<Secret>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary ones.
    pub session_token: Option<Secret>,
    /// The certificates of the authorities that are trusted instead of the system's, PEM.
    pub ca: Option<String>,
    /// How long a request may take, seconds.
    #[serde(default = "settings::timeout_seconds")]
    pub timeout_seconds: u64,
    /// How long a connection may take to be made, seconds.
    #[serde(default = "settings::connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
}

/// The settings cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// A data stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataStream {
    /// Its name.
    pub name: String,
    /// Its ARN, if that was said.
    pub arn: Option<String>,
    /// Where requests go.
    pub endpoint: Url,
    /// What they are signed for.
    pub region: String,
}

impl Config {
    /// Where records go, when everything was checked.
    pub(super) fn stream(&self) -> Result<DataStream, ConfigError> {
        self.access()?;
        let said = self.to.strip_prefix(SCHEME).unwrap_or(&self.to);
        let given = self.endpoint.as_deref().map(|text| endpoint(text, "endpoint")).transpose().map_err(ConfigError)?;
        let (name, partition, region) = match DataStreamArn::read(said) {
            Some(DataStreamArn { partition, region, name }) => (name, partition, Some(region.to_owned())),
            None => (said, "aws", given.as_ref().and_then(|url| region_of(url, &["kinesis"]))),
        };
        if !is_data_stream_name(name) {
            let form = "kinesis:NAME, or kinesis:arn:aws:kinesis:REGION:ACCOUNT:stream/NAME";
            return Err(ConfigError(format!("`to: {}` names no data stream: {form}", self.to)));
        }
        let region = self.region.clone().or(region);
        let (endpoint, region) = match (given, region) {
            (Some(endpoint), region) => (endpoint, region.unwrap_or_else(|| REGION.to_owned())),
            (None, Some(region)) => {
                (endpoint(&home("kinesis", &region, partition), "region").map_err(ConfigError)?, region)
            }
            (None, None) => {
                return Err(ConfigError("say `region`, or the stream's ARN in `to`, or an `endpoint`".to_owned()));
            }
        };
        let arn = (name != said).then(|| said.to_owned());
        Ok(DataStream { name: name.to_owned(), arn, endpoint, region })
    }

    /// How Kinesis is reached.
    pub(super) fn access(&self) -> Result<Access<'_>, ConfigError> {
        let given = settings::Given {
            ca: self.ca.as_deref(),
            timeout_seconds: self.timeout_seconds,
            connect_timeout_seconds: self.connect_timeout_seconds,
            access_key_id: self.access_key_id.as_ref(),
            secret_access_key: self.secret_access_key.as_ref(),
            session_token: self.session_token.as_ref(),
        };
        given.access().map_err(ConfigError)
    }
}
