//! Where AWS's services, and servers that speak like them, are.

use reqwest::Url;

/// The region that is signed for where none is known: servers that are not AWS's mostly do not care.
pub(crate) const REGION: &str = "us-east-1";

/// The partitions whose services are not below `amazonaws.com`. Source: botocore, partitions.json.
const DOMAINS: [(&str, &str); 6] = [
    ("aws-cn", "amazonaws.com.cn"),
    ("aws-eusc", "amazonaws.eu"),
    ("aws-iso", "c2s.ic.gov"),
    ("aws-iso-b", "sc2s.sgov.gov"),
    ("aws-iso-e", "cloud.adc-e.uk"),
    ("aws-iso-f", "csp.hci.ic.gov"),
];
/// What the hosts of AWS's services end with, those of two versions of IP among them.
const SERVICES: [&str; 9] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// An address whose parts may be shown.
pub(crate) fn parse(text: &str, what: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{what} is no address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{what}: user and password do not belong into the address, which is shown"));
    }
    match url.host_str() {
        None | Some("") => Err(format!("{what} names no host")),
        Some(_) => Ok(url),
    }
}

/// The members of `arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME`.
pub(crate) fn arn(text: &str) -> Option<[&str; 5]> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["arn", partition, service, region, account, name] if ![partition, region, account, name].contains(&"") => {
            Some([partition, service, region, account, name])
        }
        _ => None,
    }
}

/// Where a partition has a service of a region.
pub(crate) fn home(service: &str, region: &str, partition: &str) -> String {
    let domain = DOMAINS.iter().find(|(of, _)| *of == partition).map_or("amazonaws.com", |(_, domain)| domain);
    format!("https://{service}.{region}.{domain}")
}

/// The region that a host names: at AWS any part of it that has a region's form (`sqs.REGION`, `sqs-fips.REGION`, `REGION.queue`,
/// `vpce-ID.sqs.REGION.vpce`), elsewhere the one beside the name of one of these services, as servers for development have it.
pub(crate) fn region_of(url: &Url, services: &[&str]) -> Option<String> {
    let host = url.host_str()?;
    let is_aws = SERVICES.iter().any(|services| host.ends_with(services));
    let parts: Vec<&str> = host.split('.').collect();
    let found = parts.iter().rposition(|part| is_region(part))?;
    let is_service = |part: &&str| services.contains(part);
    let is_beside = || {
        found.checked_sub(1).and_then(|at| parts.get(at)).is_some_and(is_service)
            || parts.get(found + 1).is_some_and(is_service)
    };
    (is_aws || is_beside()).then(|| parts[found].to_owned())
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, between @ .., number] = &parts[..] else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    (2..=4).contains(&first.len()) && is_word(first) && !between.is_empty() && between.iter().all(is_word) && is_number
}

/// The address of a service.
pub(crate) fn endpoint(text: &str, what: &str) -> Result<Url, String> {
    let url = parse(text, what)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{what} is http(s)://host, perhaps with a path"));
    }
    Ok(url)
}
