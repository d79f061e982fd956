//! What an operator chooses. Defaults here; the command line lays environment variables (`TAILRACE_*`) and flags over them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::template::Templates;

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0: any free one.
    pub port: u16,
    /// Everything durable is in here.
    pub data_dir: PathBuf,
    /// Templates to apply at start.
    pub templates: Option<Templates>,
    /// The configuration of sinks; `None`: the one beside the template, if there is one.
    pub sinks: Option<PathBuf>,
    /// The URL of the Kinesis that gets the changes of tables with such a destination; `None`: as the configuration says.
    pub kinesis_endpoint: Option<String>,
    /// What the template is given beside its text.
    pub template_values: TemplateValues,
    /// Names beside those of loopback under which clients may reach a server on loopback. A scheme, a port and spaces
    /// around them do not count; what is no host is refused at the start.
    pub allowed_hosts: Vec<String>,
    /// The settings of the engine: region, account, wording, shards, retention.
    pub engine: tailrace_engine::Settings,
    /// How requests are taken in.
    pub wire: tailrace_wire::Settings,
    /// Says why the process ends at once, when the store cannot go on. It must come back in bounded time: nothing may keep
    /// the process from its end.
    pub last_words: fn(&str),
    /// The runtime of what may take longer where the processors are taken: the sinks. `None`: the one that starts the server.
    pub background: Option<tokio::runtime::Handle>,
}

/// What a template is given beside its text.
#[derive(Clone, Debug, Default)]
pub struct TemplateValues {
    /// Values of parameters, each of one that the template has.
    pub parameters: BTreeMap<String, String>,
    /// Values from a file or the environment, which may have some for other templates.
    pub shared_parameters: BTreeMap<String, String>,
    /// A file of parameters was asked for.
    pub has_file: bool,
    /// Values of what is not here, by the names that `tailrace_template::Options::resources` has.
    pub resources: BTreeMap<String, String>,
    /// The URL of the store that has the objects of buckets; `None`: nothing is fetched.
    pub s3_endpoint: Option<String>,
}

impl Config {
    /// The defaults, with a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            data_dir: data_dir.into(),
            templates: None,
            sinks: None,
            kinesis_endpoint: None,
            template_values: TemplateValues::default(),
            allowed_hosts: Vec::new(),
            engine: tailrace_engine::Settings::default(),
            wire: tailrace_wire::Settings::default(),
            last_words: |why| tracing::error!("{why}"),
            background: None,
        }
    }

    /// The variables that point any AWS SDK or CLI at a server that listens on `port`: names and values. Of services that
    /// are here only: an endpoint that answers nothing would hide the real one for nothing.
    pub fn client_environment(&self, port: u16) -> Vec<(&'static str, String)> {
        let endpoint = self.endpoint(port);
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint.clone()),
            ("AWS_ENDPOINT_URL_LAMBDA", endpoint.clone()),
            ("AWS_ENDPOINT_URL_FIREHOSE", endpoint),
            ("AWS_REGION", self.engine.region.clone()),
            ("AWS_DEFAULT_REGION", self.engine.region.clone()),
            ("AWS_ACCESS_KEY_ID", "tailrace".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "tailrace".to_owned()),
        ]
    }

    /// The variables that a function gets beside its own. A client of a service that is not here must not reach the real
    /// one from inside a function, so the endpoint is everybody's. Source: docs/spec/lambda-runtime.md 6.
    pub fn function_environment(&self, port: u16) -> Vec<(&'static str, String)> {
        let mut environment = self.client_environment(port);
        environment.push(("AWS_ENDPOINT_URL", self.endpoint(port)));
        environment.push(("AWS_SESSION_TOKEN", "tailrace".to_owned()));
        environment
    }

    /// The URL under which a client on this machine reaches a server that listens on `port`.
    pub fn endpoint(&self, port: u16) -> String {
        let host = match self.host {
            IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("http://{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/spec/lambda-runtime.md 6, rows of credentials and endpoints.
    #[test]
    fn a_function_reaches_this_server_whatever_service_it_asks_for() {
        let mut config = Config::new("/data");
        for (host, endpoint) in [("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")] {
            config.host = host.parse().unwrap();
            let environment = config.function_environment(8000);
            let value = |wanted: &str| {
                let found = environment.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| value.as_str())
            };
            for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_FIREHOSE"] {
                assert_eq!(value(name), Some(endpoint), "{name}");
            }
            for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"] {
                assert!(value(name).is_some_and(|value| !value.is_empty()), "{name}");
            }
        }
    }
}
