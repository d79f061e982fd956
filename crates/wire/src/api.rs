//! What stands behind the wire: the operations, the health of the server, and the pages that Tailrace adds of its own.

use std::future::Future;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tailrace_core::{ApiError, Service};

use crate::auth;
use crate::request_id::RequestId;
use crate::rest::{RestAnswer, RestRequest};
use crate::target::Operation;

/// What an operation may know of the request that it came in.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) host: Option<HeaderValue>,
    pub(crate) authorization: Option<HeaderValue>,
    /// Kept only where there is no `Authorization`.
    pub(crate) query: Option<String>,
    pub(crate) request_id: RequestId,
    pub(crate) as_of: Option<HeaderValue>,
    pub(crate) written: std::sync::OnceLock<HeaderValue>,
}

impl Context {
    /// The `Host` header, if there was one that is text.
    pub fn host(&self) -> Option<&str> {
        self.host.as_ref().and_then(|host| host.to_str().ok())
    }

    /// The id of the access key that the request names. Nothing has verified it.
    pub fn access_key(&self) -> Option<&str> {
        match &self.authorization {
            Some(authorization) => auth::key_of_header(authorization.as_bytes()),
            None => self.query.as_deref().and_then(auth::key_of_query),
        }
    }

    /// What the answer is to know of, as an earlier answer told it ([`Context::note_written`]): the header `x-tailrace-as-of`, if there was
    /// one that is text.
    pub fn as_of(&self) -> Option<&str> {
        self.as_of.as_ref().and_then(|as_of| as_of.to_str().ok())
    }

    /// Lets the answer tell what was written: the header `x-tailrace-lsn`. What is no text of a header is not told.
    pub fn note_written(&self, written: String) {
        if let Ok(value) = HeaderValue::try_from(written) {
            let _ = self.written.set(value);
        }
    }

    /// The id that the answer carries.
    pub fn request_id(&self) -> &str {
        std::str::from_utf8(&self.request_id).unwrap_or_default()
    }
}

/// A page that is not part of the DynamoDB API.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// A JSON document.
    pub json: Bytes,
}

/// A request below `/_admin/`, or to a path that other tools have for what the API cannot ask for (`/_aws/`).
#[derive(Clone, Copy, Debug)]
pub enum AdminRequest<'a> {
    /// Shows something, and changes nothing.
    Get {
        /// The path, `/_admin/` included.
        path: &'a str,
        /// What stands behind the `?`.
        query: Option<&'a str>,
    },
    /// Changes something. Its content type is `application/json`.
    Post {
        /// The path, `/_admin/` included.
        path: &'a str,
        /// The body; it may be anything.
        body: &'a [u8],
    },
    /// Takes something away.
    Delete {
        /// The path, `/_aws/` included.
        path: &'a str,
    },
}

/// Why a server does not take requests, or not all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It takes none yet, or none any more.
    #[error("starting or stopping")]
    StartingOrStopping,
    /// It reads only: the reason.
    #[error("writes are refused: {0}")]
    WritesRefused(String),
}

/// What the server does with requests. Implemented by the server crate, above this one.
pub trait Api: Send + Sync + 'static {
    /// Whether `operation` can be called: otherwise it is answered with the error, an UnknownOperationException, before the
    /// body and the authentication are looked at.
    ///
    /// # Errors
    /// What a client that calls it is to read.
    fn find(&self, operation: Operation<'_>) -> Result<(), ApiError>;

    /// Runs an operation on its body, which is not empty but may be anything: a body that is no JSON object is the
    /// SerializationException without message. Once polled it is polled to its end, whatever the client does.
    fn call(
        &self,
        service: Service,
        operation: &str,
        body: Bytes,
        context: &Context,
    ) -> impl Future<Output = Result<Bytes, ApiError>> + Send;

    /// `Ok` once requests can be served; otherwise what is missing.
    ///
    /// # Errors
    /// One line for the operator.
    fn ready(&self) -> Result<(), NotReady>;

    /// The answer to such a request; `None`: there is nothing at its path. Once polled it is polled to its end, whatever the
    /// client does, unless it is a GET.
    fn admin(&self, request: AdminRequest<'_>) -> impl Future<Output = Option<Page>> + Send;

    /// The answer to a request of the Lambda API, whose authentication has its shape. Once polled it is polled to its end,
    /// whatever the client does.
    fn rest(&self, request: RestRequest) -> impl Future<Output = RestAnswer> + Send;
}
