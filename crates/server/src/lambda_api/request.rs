//! What a request of the Lambda API says: the operation that its method and path are, and its parameters.

use serde::de::DeserializeOwned;
use tailrace_mapping::Constraints;
use tailrace_wire::RestRequest;

use super::error::{Class, LambdaError};
use super::operations::{OPERATIONS, Operation};

/// A request whose operation is known.
pub struct Request<'a> {
    pub operation: Operation,
    /// The values of the path's `{}`, in order.
    pub labels: Vec<String>,
    inner: &'a RestRequest,
    query: Vec<(String, String)>,
}

impl<'a> Request<'a> {
    /// Finds the operation.
    ///
    /// # Errors
    /// There is none.
    pub fn route(inner: &'a RestRequest) -> Result<Request<'a>, LambdaError> {
        // Some clients end every path with a slash.
        let path = inner.path.strip_suffix('/').unwrap_or(&inner.path);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let found = OPERATIONS.iter().find_map(|operation| {
            let labels = operation.labels(&inner.method, &segments)?;
            Some((*operation, labels.into_iter().map(unescaped).collect()))
        });
        let Some((operation, labels)) = found else {
            let text = format!("There is no operation {} {}.", inner.method, inner.path);
            return Err(LambdaError::new(Class::UnknownOperation, text));
        };
        let pairs = inner.query.as_deref().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(name), unescaped(value))
        });
        Ok(Request { operation, labels, inner, query: query.collect() })
    }

    /// The first `{}` of the path.
    pub fn label(&self) -> &str {
        self.labels.first().map(String::as_str).unwrap_or_default()
    }

    /// A parameter of the query; an empty one is none.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next().filter(|value| !value.is_empty())
    }

    /// All parameters of this name.
    pub fn parameters(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// MaxItems, no more than `max`; it breaks a constraint if it is no number from 1 to 10,000.
    pub fn max_items(&self, max: usize, constraints: &mut Constraints) -> usize {
        const MEMBER: &str = "maxItems";
        let text = self.parameter("MaxItems");
        match text.map(str::parse::<i64>).transpose() {
            Ok(given) => {
                constraints.range(MEMBER, given, 1, 10_000);
                given.and_then(|given| usize::try_from(given).ok()).map_or(max, |given| given.min(max))
            }
            Err(_) => {
                constraints.broken(MEMBER, text, "be a number");
                max
            }
        }
    }

    /// A header; an empty one is none. The name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.header(name).filter(|value| !value.is_empty())
    }

    /// The body as it came.
    pub fn body(&self) -> &bytes::Bytes {
        &self.inner.body
    }

    /// The body's document; nothing at all is an empty one.
    ///
    /// # Errors
    /// It is no JSON object, or a member has another type.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, LambdaError> {
        let body: &[u8] = if self.inner.body.is_empty() { b"{}" } else { &self.inner.body };
        read_object(body).map_err(|error| {
            let text = format!("Could not parse request body into json: {error}");
            LambdaError::new(Class::InvalidRequestContent, text)
        })
    }
}

/// Reads a structure, which is an object: serde would read a list as one, too.
pub fn read_object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    match body.trim_ascii_start().first() {
        Some(b'[') => Err(serde::de::Error::custom("a list stands where an object is expected")),
        _ => serde_json::from_slice(body),
    }
}

/// A part of a URL without its escapes; what is none stays as it is.
pub fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|code| byte == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match (byte, code) {
            (_, Some(code)) => {
                bytes.push(code);
                rest = &behind[2..];
                continue;
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(other),
        }
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        for (text, plain) in [
            ("arn%3Aaws%3alambda", "arn:aws:lambda"),
            ("a+b%20c", "a b c"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("f%24LATEST%C3%A9", "f$LATEST\u{e9}"),
            ("%+1", "% 1"),
        ] {
            assert_eq!(unescaped(text), plain, "{text}");
        }
    }
}
