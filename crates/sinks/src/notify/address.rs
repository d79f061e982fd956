//! Where messages go.

use reqwest::Url;

use super::config::{Config, ConfigError, wrong};

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
/// The region that is signed for where none is known: servers that are not AWS's mostly do not care.
const REGION: &str = "us-east-1";

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

/// An address whose parts may be shown.
fn parse(text: &str, what: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|error| ConfigError(format!("{what} is no address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(&format!("{what}: user and password do not belong into the address, which is shown"));
    }
    match url.host_str() {
        None | Some("") => wrong(&format!("{what} names no host")),
        Some(_) => Ok(url),
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

/// The members of `arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME`.
fn arn(text: &str) -> Option<[&str; 5]> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["arn", partition, service, region, account, name] if ![partition, region, account, name].contains(&"") => {
            Some([partition, service, region, account, name])
        }
        _ => None,
    }
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
        let host = url.host_str().unwrap_or_default();
        let of_host =
            host.strip_prefix("sqs.").and_then(|rest| rest.split_once(".amazonaws.com")).map(|(region, _)| region);
        let region = given.or(of_host.map(str::to_owned)).unwrap_or_else(|| REGION.to_owned());
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
    let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => parse_endpoint(&format!("https://{service}.{region}.{domain}"), "to")?,
    };
    let full = if is_topic {
        name.to_owned()
    } else {
        format!("{}/{account}/{resource}", endpoint.as_str().trim_end_matches('/'))
    };
    let region = given.unwrap_or_else(|| region.to_owned());
    Ok(Queue { is_topic, endpoint, name: full, region, is_fifo: resource.ends_with(".fifo") })
}

fn parse_endpoint(text: &str, what: &str) -> Result<Url, ConfigError> {
    let url = parse(text, what)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return wrong(&format!("{what} is http(s)://host, perhaps with a path"));
    }
    Ok(url)
}
