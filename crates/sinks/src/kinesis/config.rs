//! What a user says of a sink into a data stream of Kinesis, read from JSON or YAML, then checked as a whole.

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use tailrace_core::data_stream::{DataStreamArn, is_data_stream_name};
use tailrace_engine::TimePrecision;

use crate::aws::address::{REGION, endpoint, home, region_of};
use crate::aws::settings::{SettingsError, with_access};

/// What an address begins with.
const SCHEME: &str = "kinesis:";

with_access! {
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
    }
}

/// The settings cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl From<SettingsError> for ConfigError {
    fn from(error: SettingsError) -> ConfigError {
        ConfigError(error.to_string())
    }
}

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
}
