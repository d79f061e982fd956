//! POST requests and what is answered to them: for who speaks a protocol of their own with a web address.
//!
//! Invariants: no text that comes from here has in it what stands behind the host of an address, or the value of a header; no request
//! follows a redirection or goes through a proxy; each has a time limit, and of an answer no more is read than a bound.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use crate::{hidden, http};

/// Longest that a connection may take to be there. Our reason: as of every other web address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A web address, by http or https.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// The text is no address that requests can go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("it is no address: {0}")]
    NoAddress(String),
    /// It is of another scheme.
    #[error("an address begins with https:// or http://")]
    Scheme,
    /// It names no host.
    #[error("it names no host")]
    Host,
    /// It has a user in it.
    #[error("user and password do not belong into an address, which is shown")]
    User,
    /// It has a fragment.
    #[error("what is behind a # is never sent")]
    Fragment,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let url = Url::parse(text).map_err(|error| AddressError::NoAddress(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(AddressError::Host);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::User);
        }
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        Ok(Address(url))
    }

    /// The parts of it that may be secrets: what is behind the host, whole and in pieces.
    pub fn secrets(&self) -> impl Iterator<Item = String> + '_ {
        hidden::of_address(&self.0)
    }

    fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// The host, and that there is something behind it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        let is_bare = self.0.path() == "/" && self.0.query().is_none();
        f.write_str(if is_bare { "/" } else { "/***" })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether a text can be the value of a header.
pub fn is_header_value(text: &str) -> bool {
    HeaderValue::from_bytes(text.as_bytes()).is_ok()
}

/// A request. Its headers are names in lower case and values that [`is_header_value`] takes; none of them is shown.
#[derive(Clone)]
pub struct Post {
    /// Where to.
    pub to: Address,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// How long an answer may take, to its end.
    pub timeout: Duration,
    /// Most bytes of its body.
    pub reply_bytes_max: usize,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Content-Type, as far as it is text.
    pub content_type: Option<String>,
    /// The body is in some encoding.
    pub is_encoded: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// There is no answer. Whether the request had its effect is known of `Unreachable` alone: it had none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// There was no connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer is larger than its bound.
    #[error("the answer is too large")]
    TooLarge,
}

/// Sends requests. A clone shares its connections.
#[derive(Clone, Default)]
pub struct Poster {
    /// Without and with TLS, once they were needed: the system's authorities are asked for with TLS alone.
    clients: Arc<Mutex<[Option<Client>; 2]>>,
}

impl Poster {
    async fn client(&self, is_tls: bool) -> Result<Client, String> {
        if let Some(client) = &self.clients.lock()[usize::from(is_tls)] {
            return Ok(client.clone());
        }
        // The system's authorities are many files.
        let poster = self.clone();
        let made = tokio::task::spawn_blocking(move || poster.make(is_tls)).await;
        made.map_err(|error| error.to_string())?
    }

    fn make(&self, is_tls: bool) -> Result<Client, String> {
        let client = http::builder(None, is_tls)
            .map_err(|error| error.to_string())?
            .user_agent(concat!("tailrace/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| http::words(&error))?;
        Ok(self.clients.lock()[usize::from(is_tls)].get_or_insert(client).clone())
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, post: Post) -> Result<Reply, NoReply> {
        let client = self.client(post.to.is_tls()).await.map_err(NoReply::Unreachable)?;
        let mut headers = HeaderMap::with_capacity(post.headers.len());
        for (name, value) in &post.headers {
            let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) else {
                return Err(NoReply::Unreachable(format!("the header {name} has a value that none can have")));
            };
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        let request = client.post(post.to.0).headers(headers).timeout(post.timeout).body(post.body);
        let mut response = request.send().await.map_err(no_reply)?;
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let body = http::start(&mut response, post.reply_bytes_max + 1).await.map_err(no_reply)?;
        if body.len() > post.reply_bytes_max {
            return Err(NoReply::TooLarge);
        }
        Ok(Reply {
            status: response.status().as_u16(),
            content_type: response.headers().get(CONTENT_TYPE).and_then(text),
            is_encoded: response.headers().contains_key(CONTENT_ENCODING),
            body,
        })
    }
}

fn no_reply(error: reqwest::Error) -> NoReply {
    let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
    let words = http::words(&error.without_url());
    match (is_connect, is_timeout) {
        (true, _) => NoReply::Unreachable(words),
        (false, true) => NoReply::Timeout,
        (false, false) => NoReply::Broken(words),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_shows_its_host_alone() {
        for (text, shown) in [
            ("https://hooks.example.com/services/hunter2?token=a", "https://hooks.example.com/***"),
            ("http://localhost:8080", "http://localhost:8080/"),
            ("http://[::1]:8080/?a=b", "http://[::1]:8080/***"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string(), format!("{address:?}")), (shown.to_owned(), shown.to_owned()));
        }
        let address = Address::parse("https://h/services/hunter2?token=a").unwrap();
        assert_eq!(
            address.secrets().collect::<Vec<_>>(),
            ["token=a", "services/hunter2", "services", "hunter2", "a", "a"]
        );
        for (text, error) in [
            ("ftp://h", AddressError::Scheme),
            ("https://u:p@h", AddressError::User),
            ("https://h/#f", AddressError::Fragment),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
        assert!(matches!(Address::parse("hunter2"), Err(AddressError::NoAddress(text)) if !text.contains("hunter2")));
    }

    /// Answers one connection with these bytes, `None`: never, and gives back what it was asked.
    async fn answers(bytes: Option<&'static [u8]>) -> (Address, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/in?k=v", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"body") {
                assert_ne!(socket.read_buf(&mut asked).await.unwrap(), 0);
            }
            match bytes {
                Some(bytes) => socket.write_all(bytes).await.unwrap(),
                None => drop(socket.read_buf(&mut asked).await),
            }
            String::from_utf8(asked).unwrap()
        });
        (Address::parse(&address).unwrap(), served)
    }

    fn post(to: Address) -> Post {
        let headers = vec![("x-key", "caf\u{e9} 1".to_owned())];
        Post { to, headers, body: "body".into(), timeout: Duration::from_secs(60), reply_bytes_max: 4 }
    }

    #[tokio::test]
    async fn what_comes_back_is_told_apart() {
        let poster = Poster::default();
        let (to, served) = answers(Some(
            b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-type: a/b\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd",
        ))
        .await;
        let reply = poster.post(post(to)).await.unwrap();
        let expected =
            Reply { status: 302, content_type: Some("a/b".into()), is_encoded: true, body: b"abcd".to_vec() };
        assert_eq!(reply, expected);
        let asked = served.await.unwrap();
        assert!(asked.starts_with("POST /in?k=v HTTP/1.1\r\n") && asked.contains("x-key: caf\u{e9} 1\r\n"), "{asked}");

        let (to, _served) = answers(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde")).await;
        assert_eq!(poster.post(post(to)).await, Err(NoReply::TooLarge));
        let (to, _served) = answers(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")).await;
        assert!(matches!(poster.post(post(to)).await, Err(NoReply::Broken(_))));
        let (to, _served) = answers(None).await;
        let impatient = Post { timeout: Duration::from_millis(50), ..post(to) };
        assert_eq!(poster.post(impatient).await, Err(NoReply::Timeout));
        // A port that was free a moment ago.
        let (to, served) = answers(None).await;
        served.abort();
        assert!(served.await.is_err());
        match poster.post(post(to)).await {
            Err(NoReply::Unreachable(text)) => assert!(!text.contains("k=v"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}
