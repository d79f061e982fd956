//! Who may talk to a server that does not authenticate: on loopback a request whose `Host` or `Origin` names a foreign
//! place comes from a web page (by DNS rebinding, or across sites), and is refused.
//!
//! An address of loopback, written as a number, and `localhost` with all names below it (RFC 6761) cannot be pointed
//! elsewhere or bought by anybody, so a request that names one comes from this machine's own pages and programs.
//!
//! Programs send no `Origin`, and the `Host` that they were told to connect to. A server that is bound to another
//! address was opened on purpose, and has names that we cannot know: there the guard is off.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, ORIGIN};

/// Which hosts and origins are let in.
#[derive(Clone, Debug)]
pub struct Guard {
    on: bool,
    extra_hosts: Vec<String>,
}

/// A request that is meant for another server, or that a page of another site makes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{header} {value:?} is not this server: without authentication on a loopback address Tailrace answers only to localhost \
     and loopback addresses, so that a web page cannot drive it. Allow a further name with --allowed-host."
)]
pub struct ForeignHost {
    /// The header that names it.
    pub header: &'static str,
    /// What it names, shortened.
    pub value: String,
}

impl ForeignHost {
    fn new(header: &'static str, value: &[u8]) -> ForeignHost {
        let value = String::from_utf8_lossy(&value[..value.len().min(256)]).into_owned();
        ForeignHost { header, value }
    }
}

impl Guard {
    /// The guard of a server bound to `address`; `extra_hosts`, as [`host_name`] reads them, are let in beside localhost
    /// and the addresses of loopback.
    pub fn new(address: SocketAddr, extra_hosts: &[String]) -> Self {
        let extra_hosts = extra_hosts.iter().filter_map(|host| host_name(host)).collect();
        Self { on: address.ip().is_loopback(), extra_hosts }
    }

    /// Checks the request's headers and, where it has one, the host in its URI.
    ///
    /// # Errors
    /// A header names another host.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ForeignHost> {
        if !self.on {
            return Ok(());
        }
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = headers.get_all(HOST).iter().map(|value| value.as_bytes());
        for host in hosts.chain(authority) {
            if !self.allows(host) {
                return Err(ForeignHost::new("Host", host));
            }
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.as_bytes();
            let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            if !host.is_some_and(|host| self.allows(host)) {
                return Err(ForeignHost::new("Origin", origin));
            }
        }
        Ok(())
    }

    fn allows(&self, host_and_port: &[u8]) -> bool {
        std::str::from_utf8(host_and_port).ok().and_then(without_port).is_some_and(|host| {
            is_loopback(host)
                || !self.extra_hosts.is_empty() && host_name(host).is_some_and(|name| self.extra_hosts.contains(&name))
        })
    }
}

/// The host that an operator means: in lower case, without scheme, port, a slash or dot at its end, and spaces around it.
/// `None`: not a host.
pub fn host_name(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(&text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let host = without_port(text)?;
    if let Some(address) = ipv6(host) {
        return Some(format!("[{address}]"));
    }
    is_domain(host).then(|| host.to_owned())
}

fn without_port(text: &str) -> Option<&str> {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    port.bytes().all(|b| b.is_ascii_digit()).then(|| host.strip_suffix('.').unwrap_or(host))
}

fn is_loopback(host: &str) -> bool {
    const LOCALHOST: &str = "localhost";
    if host.eq_ignore_ascii_case(LOCALHOST) {
        return true;
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    if let Some(address) = ipv6(host) {
        return address.to_canonical().is_loopback();
    }
    host.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(LOCALHOST)) && is_domain(host)
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn is_domain(host: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bind: &str, host: &str, origin: Option<&str>) -> bool {
        let guard = Guard::new(bind.parse().unwrap(), &["db.internal".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.check(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn own_names_pass_with_any_port() {
        for host in [
            "localhost",
            "localhost:8000",
            "LOCALHOST:1",
            "localhost.",
            "localhost.:8000",
            "dynamodb.localhost",
            "a.b.LocalHost:8000",
            "127.0.0.1:8000",
            "127.0.0.2:8000",
            "127.255.255.254",
            "[::1]",
            "[::1]:8000",
            "[0:0:0:0:0:0:0:1]:8000",
            "[::ffff:127.0.0.1]",
            "db.internal:80",
            "DB.internal.",
        ] {
            assert!(check("127.0.0.1:8000", host, None), "{host}");
            assert!(check("[::1]:8000", host, Some(&format!("http://{host}"))), "{host}");
        }
    }

    #[test]
    fn foreign_names_do_not() {
        for host in [
            "evil.example",
            "localhost.evil.example:8000",
            "127.0.0.1.evil:8000",
            "127.0.0.1.nip.io",
            "128.0.0.1",
            "127.1",
            "0.0.0.0",
            "[::2]",
            "[::1].evil",
            "evillocalhost",
            ".localhost",
            "localhost..",
            "evil/.localhost",
            "localhost:80@evil",
            "",
        ] {
            assert!(!check("127.0.0.1:8000", host, None), "{host}");
        }
        for origin in ["null", "http://evil.example", "file://localhost", "http://localhost.evil:3000", "localhost"] {
            assert!(!check("127.0.0.1:8000", "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn an_operator_may_write_a_host_as_it_is_found_in_an_address_bar() {
        for (text, expect) in [
            ("db.internal", "db.internal"),
            (" Foo:18403 ", "foo"),
            ("http://db.internal:8000/", "db.internal"),
            ("HTTPS://db.internal.", "db.internal"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("2001:DB8:0::1", "[2001:db8::1]"),
            ("[2001:db8::1]:80", "[2001:db8::1]"),
        ] {
            assert_eq!(host_name(text).as_deref(), Some(expect), "{text}");
        }
        for text in ["", " ", "*", "*.internal", "a b", "a/b", "user@a", "ftp://a", "a:b", ":80", "a..b", "http://"] {
            assert_eq!(host_name(text), None, "{text}");
        }
        let guard = Guard::new(([127, 0, 0, 1], 1).into(), &["http://Foo:18403".to_owned(), "2001:db8::1".to_owned()]);
        assert!(guard.allows(b"foo:18403") && guard.allows(b"FOO") && guard.allows(b"[2001:db8:0::1]:1"));
    }

    #[test]
    fn a_server_that_is_open_on_purpose_has_no_guard() {
        assert!(check("0.0.0.0:8000", "evil.example", Some("http://evil.example")));
    }
}
