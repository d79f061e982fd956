//! Where messages go.

use reqwest::Url;

use super::config::{Config, ConfigError, wrong};
use crate::aws::address::{self, REGION, arn, region_of};

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Webhook(Url),
    Mail(Mailer),
    Queue(Queue),
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailer {
    pub host: String,
    pub port: u16,
    /// A connection is encrypted from the beginning.
    pub is_tls: bool,
}

/// A queue of SQS or a topic of SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    /// It is a topic.
    pub is_topic: bool,
    /// Where requests go.
    pub endpoint: Url,
    /// The queue's URL, or the topic's ARN.
    pub name: String,
    pub region: String,
    /// It keeps the order of each group.
    pub is_fifo: bool,
}

/// The port of a mail server that users hand mails to; encrypted from the beginning. Source: RFC 6409, RFC 8314.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;
/// The services in the hosts of queues and topics.
const SERVICES: [&str; 3] = ["sqs", "sns", "queue"];

impl Destination {
    pub fn parse(config: &Config) -> Result<Destination, ConfigError> {
        let (scheme, rest) = config.to.split_once(':').unwrap_or_default();
        match scheme {
            "webhook+http" | "webhook+https" => webhook(&config.to["webhook+".len()..]),
            "smtp" | "smtps" => mailer(&config.to, scheme == "smtps"),
            "sns" | "sqs" => queue(config, rest, scheme == "sns").map(Destination::Queue),
            _ => wrong("to is none of webhook+http(s)://, smtp(s)://, sns:ARN, sqs:URL, sqs:ARN"),
        }
    }
}

fn webhook(text: &str) -> Result<Destination, ConfigError> {
    let url = parse(text, "to").map_err(|ConfigError(text)| {
        ConfigError(if text.contains("password") {
            format!("{text}: say headers: {{Authorization: ...}}")
        } else {
            text
        })
    })?;
    match url.fragment() {
        Some(_) => wrong("to: what is behind a # is never sent"),
        None => Ok(Destination::Webhook(url)),
    }
}

fn mailer(text: &str, is_tls: bool) -> Result<Destination, ConfigError> {
    let url = parse(text, "to").map_err(|ConfigError(text)| {
        ConfigError(if text.contains("password") {
            format!("{text}: say auth: {{user: ..., password: ...}}")
        } else {
            text
        })
    })?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("to is smtp://host:port or smtps://host:port, with nothing behind");
    }
    // Of a scheme that is not the web's, an address in brackets keeps them.
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port().unwrap_or(if is_tls { SUBMISSIONS } else { SUBMISSION });
    Ok(Destination::Mail(Mailer { host, port, is_tls }))
}

fn queue(config: &Config, name: &str, is_topic: bool) -> Result<Queue, ConfigError> {
    let service = if is_topic { "sns" } else { "sqs" };
    let endpoint = config.endpoint.as_deref().map(|endpoint| parse_endpoint(endpoint, "endpoint")).transpose()?;
    let given = config.region.clone();
    let Some([partition, named, region, account, resource]) = arn(name) else {
        if is_topic || !name.starts_with("http") {
            let form = if is_topic {
                "sns:arn:aws:sns:REGION:ACCOUNT:NAME"
            } else {
                "sqs:https://..., or sqs:arn:aws:sqs:REGION:ACCOUNT:NAME"
            };
            return wrong(&format!("to is no {}: {form}", if is_topic { "topic" } else { "queue" }));
        }
        let url = parse_endpoint(name, "to")?;
        let said = region_of(&url, &SERVICES).or_else(|| endpoint.as_ref().and_then(|url| region_of(url, &SERVICES)));
        let region = given.or(said).unwrap_or_else(|| REGION.to_owned());
        let is_fifo = url.path().ends_with(".fifo");
        let endpoint = endpoint.unwrap_or_else(|| {
            let mut root = url.clone();
            root.set_path("/");
            root
        });
        return Ok(Queue { is_topic, endpoint, name: name.to_owned(), region, is_fifo });
    };
    if named != service {
        return wrong(&format!("to: {name} is of {named}, not of {service}"));
    }
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => parse_endpoint(&address::home(service, region, partition), "to")?,
    };
    let full = if is_topic {
        name.to_owned()
    } else {
        format!("{}/{account}/{resource}", endpoint.as_str().trim_end_matches('/'))
    };
    let region = given.unwrap_or_else(|| region.to_owned());
    Ok(Queue { is_topic, endpoint, name: full, region, is_fifo: resource.ends_with(".fifo") })
}

fn parse(text: &str, what: &str) -> Result<Url, ConfigError> {
    address::parse(text, what).map_err(ConfigError)
}

fn parse_endpoint(text: &str, what: &str) -> Result<Url, ConfigError> {
    address::endpoint(text, what).map_err(ConfigError)
}
