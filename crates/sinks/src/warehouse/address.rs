//! Where a database is: libpq's addresses, and what they say of TLS.

use std::path::PathBuf;

use tokio_postgres::config::{Host, SslMode};

use super::config::ConfigError;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL, or what speaks its SQL.
    Postgres,
    /// Amazon Redshift.
    Redshift,
}

/// A database's address.
#[derive(Clone, Debug)]
pub struct Address {
    /// Which database.
    pub engine: Engine,
    /// Hosts, user and the rest; it shows no password.
    pub settings: tokio_postgres::Config,
    /// What TLS is asked for; `None`: nothing was said.
    pub tls: Option<TlsMode>,
    /// A file of certificates, which alone are trusted.
    pub root_file: Option<PathBuf>,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server has it; whoever the server is.
    Prefer,
    /// Always; whoever the server is, unless certificates are given.
    Require,
    /// Always, and the server's certificate is one that is trusted.
    VerifyCa,
    /// Always, and that certificate has the server's name.
    VerifyFull,
}

const REDSHIFT_PORT: &str = ":5439";

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, without any part that may be a secret.
    pub fn parse(text: &str) -> Result<Address, ConfigError> {
        Address::read(text).map_err(ConfigError::Address)
    }

    fn read(text: &str) -> Result<Address, String> {
        let (engine, rest) = if let Some(rest) = text.strip_prefix("redshift://") {
            (Engine::Redshift, with_port(rest))
        } else if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            (Engine::Postgres, rest.to_owned())
        } else {
            return Err("it is neither postgres://user@host/database nor redshift://user@host/database".to_owned());
        };
        let (place, query) = rest.split_once('?').unwrap_or((&rest, ""));
        let (mut tls, mut root_file, mut others) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => tls = Some(TlsMode::parse(mode)?),
                Some(("sslrootcert", path)) => root_file = Some(PathBuf::from(decoded(path)?)),
                _ => others.push(parameter),
            }
        }
        let rewritten = format!("postgres://{place}?{}", others.join("&"));
        let mut settings: tokio_postgres::Config = rewritten.parse().map_err(|error| told(&error))?;
        if settings.get_hosts().is_empty() && settings.get_hostaddrs().is_empty() {
            return Err("it names no host".to_owned());
        }
        if settings.get_application_name().is_none() {
            settings.application_name("tailrace");
        }
        if settings.get_user().is_none() {
            return Err("it names no user".to_owned());
        }
        Ok(Address { engine, settings, tls, root_file })
    }

    /// The mode of TLS, where certificates are given or not.
    pub fn tls(&self, has_roots: bool) -> TlsMode {
        match (self.tls, self.engine, has_roots) {
            (None, _, true) | (None, Engine::Redshift, _) => TlsMode::VerifyFull,
            (None, Engine::Postgres, false) => TlsMode::Prefer,
            // As libpq has it.
            (Some(TlsMode::Require), _, true) => TlsMode::VerifyCa,
            (Some(mode), _, _) => mode,
        }
    }

    /// The hosts, for people.
    pub fn hosts(&self) -> String {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let names = self.settings.get_hosts().iter().map(host);
        let addresses = self.settings.get_hostaddrs().iter().map(ToString::to_string);
        names.chain(addresses).collect::<Vec<_>>().join(", ")
    }
}

impl TlsMode {
    /// Reads libpq's word.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn parse(text: &str) -> Result<TlsMode, String> {
        Ok(match text {
            "disable" => TlsMode::Disable,
            // libpq's `allow` begins without TLS and takes it if the server insists.
            "allow" | "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            _ => return Err("sslmode is disable, prefer, require, verify-ca or verify-full".to_owned()),
        })
    }

    /// What the protocol is asked for.
    pub fn negotiation(self) -> SslMode {
        match self {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        }
    }
}

/// Redshift's port, for a host that is given without one.
fn with_port(rest: &str) -> String {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let hosts_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, hosts) = authority.split_at(hosts_at);
    let host = |host: &str| {
        let name_end = host.rfind(']').unwrap_or(0);
        if host.is_empty() || host[name_end..].contains(':') {
            host.to_owned()
        } else {
            format!("{host}{REDSHIFT_PORT}")
        }
    };
    let hosts: Vec<String> = hosts.split(',').map(host).collect();
    format!("{user}{}{behind}", hosts.join(","))
}

/// A parameter without its percent signs.
fn decoded(text: &str) -> Result<String, String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a percent sign without two digits in sslrootcert")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "sslrootcert is no text".to_owned())
}

/// An error of the driver with its causes.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_libpqs() {
        let address =
            Address::parse("postgres://u%40x:p@h:6000/d?sslmode=verify-ca&sslrootcert=%2Fca.pem&options=-c%20a%3Db")
                .unwrap();
        assert_eq!((address.engine, address.tls), (Engine::Postgres, Some(TlsMode::VerifyCa)));
        assert_eq!(address.root_file, Some(PathBuf::from("/ca.pem")));
        let settings = &address.settings;
        assert_eq!(settings.get_user(), Some("u@x"));
        assert_eq!(settings.get_password(), Some(b"p".as_slice()));
        assert_eq!((settings.get_ports(), settings.get_dbname()), ([6000].as_slice(), Some("d")));
        assert_eq!((settings.get_options(), settings.get_application_name()), (Some("-c a=b"), Some("tailrace")));
        assert_eq!(address.hosts(), "h");

        for (text, ports) in [
            ("redshift://u@h/d", [5439].as_slice()),
            ("redshift://u:a%3Ab@h,i:1,[::1]/d", &[5439, 1, 5439]),
            ("redshift://u@[::1]:7/d", &[7]),
            ("postgresql://u@h/d", &[5432]),
        ] {
            assert_eq!(Address::parse(text).unwrap().settings.get_ports(), ports, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (text, expected) in [
            ("mysql://u@h/d", "it is neither postgres://user@host/database nor redshift://user@host/database"),
            ("postgres://u:s3cr3t@/d", "it names no host"),
            ("postgres://h/d", "it names no user"),
            ("postgres://u:s3cr3t@h/d?sslmode=s3cr3t", "sslmode is disable, prefer, require, verify-ca or verify-full"),
            ("postgres://u:s3cr3t@h/d?sslrootcert=%2", "a percent sign without two digits in sslrootcert"),
        ] {
            assert_eq!(Address::parse(text).err(), Some(ConfigError::Address(expected.to_owned())));
        }
        for text in ["postgres://u:s3cr3t@h:x/d", "postgres://u:s3cr3t@h/d?nonsense=1"] {
            let Err(ConfigError::Address(error)) = Address::parse(text) else { panic!("{text} is taken") };
            assert!(!error.is_empty() && !error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn tls_is_as_strict_as_what_is_known() {
        let mode = |text: &str, has_roots| Address::parse(text).unwrap().tls(has_roots);
        assert_eq!(mode("postgres://u@h", false), TlsMode::Prefer);
        assert_eq!(mode("postgres://u@h", true), TlsMode::VerifyFull);
        assert_eq!(mode("postgres://u@h?sslmode=require", false), TlsMode::Require);
        assert_eq!(mode("postgres://u@h?sslmode=require", true), TlsMode::VerifyCa);
        assert_eq!(mode("postgres://u@h?sslmode=disable", true), TlsMode::Disable);
        assert_eq!(mode("redshift://u@h", false), TlsMode::VerifyFull);
    }
}
