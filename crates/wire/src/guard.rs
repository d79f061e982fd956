//! Who may talk to a server that does not authenticate: on loopback a request whose `Host` or `Origin` names a foreign
//! place comes from a web page (by DNS rebinding, or across sites), and is refused.
//!
//! Programs send no `Origin`, and the `Host` that they were told to connect to. A server that is bound to another
//! address was opened on purpose, and has names that we cannot know: there the guard is off.

use std::net::SocketAddr;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, ORIGIN};

/// Which hosts and origins are let in.
#[derive(Clone, Debug)]
pub struct Guard {
    on: bool,
    extra_hosts: Vec<String>,
}

impl Guard {
    /// The guard of a server bound to `address`; `extra_hosts` are let in beside `localhost`, `127.0.0.1` and `[::1]`.
    pub fn new(address: SocketAddr, extra_hosts: &[String]) -> Self {
        let extra_hosts = extra_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { on: address.ip().is_loopback(), extra_hosts }
    }

    /// Checks the request's headers and, where it has one, the host in its URI.
    ///
    /// # Errors
    /// What is foreign, in one sentence.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        if !self.on {
            return Ok(());
        }
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = headers.get_all(HOST).iter().map(|value| value.as_bytes());
        for host in hosts.chain(authority) {
            if !self.allows(host) {
                return Err(refusal("Host", host));
            }
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.as_bytes();
            let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            if !host.is_some_and(|host| self.allows(host)) {
                return Err(refusal("Origin", origin));
            }
        }
        Ok(())
    }

    fn allows(&self, host_and_port: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(host_and_port) else { return false };
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
            _ => (text, ""),
        };
        port.bytes().all(|b| b.is_ascii_digit())
            && (["localhost", "127.0.0.1", "[::1]"].iter().any(|known| host.eq_ignore_ascii_case(known))
                || self.extra_hosts.iter().any(|extra| host.eq_ignore_ascii_case(extra)))
    }
}

fn refusal(header: &str, value: &[u8]) -> String {
    format!(
        "{header} {:?} is not this server: without authentication on a loopback address Tailrace answers only to \
         localhost, 127.0.0.1 and [::1], so that a web page cannot drive it. Allow a further name with --allowed-host.",
        String::from_utf8_lossy(&value[..value.len().min(256)])
    )
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
        for host in
            ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "db.internal:80"]
        {
            assert!(check("127.0.0.1:8000", host, None), "{host}");
            assert!(check("[::1]:8000", host, Some(&format!("http://{host}"))), "{host}");
        }
    }

    #[test]
    fn foreign_names_do_not() {
        for host in ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil:8000", "localhost:80@evil", ""] {
            assert!(!check("127.0.0.1:8000", host, None), "{host}");
        }
        for origin in ["null", "http://evil.example", "file://localhost", "http://localhost.evil:3000", "localhost"] {
            assert!(!check("127.0.0.1:8000", "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_server_that_is_open_on_purpose_has_no_guard() {
        assert!(check("0.0.0.0:8000", "evil.example", Some("http://evil.example")));
    }
}
