//! A bucket of S3, or of a store that speaks like it, as a place for objects.
//!
//! Invariants: a put names the SHA-256 of its bytes, which the store checks and keeps; the release of Tailrace that wrote an
//! object is in its metadata. It says every time how it wants things, and repeats nothing: a put that failed is a flush that
//! comes again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use md5::Md5;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, GetResult, ObjectStore, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
};
use reqwest::header::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use sha2::{Digest, Sha256};
use tailrace_engine::streams::label;

use super::store::{
    BYTES_PER_SECOND_MIN, CALL_TIMEOUT, Listed, Lock, LockMode, ObjectError, Opened, Over, PlaceError, Put,
    READ_BYTES_MAX, Stored, Tag, check_key,
};
use crate::aws::handed_out::HandedOut;
use crate::http;
use crate::secret::Secret;

/// The metadata that tells which release wrote an object.
const RELEASE_KEY: &str = "tailrace-release";
/// This release.
pub(super) const RELEASE: &str = env!("CARGO_PKG_VERSION");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than what servers wait before they close a connection that is not used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// What is told of a store's error that is no XML.
const ERROR_CHARS_MAX: usize = 400;

/// How a bucket is reached.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// `http://` or `https://` and the host: for anything but AWS.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` where it is not given.
    pub region: Option<String>,
    /// With the secret: who asks. Without them it is the environment's credentials (`AWS_ACCESS_KEY_ID` and so on), or the role
    /// of the container or machine.
    pub access_key_id: Option<Secret>,
    /// The secret.
    pub secret_access_key: Option<Secret>,
    /// Of temporary credentials.
    pub session_token: Option<Secret>,
    /// The bucket is in the path, not in the host's name: so it is at endpoints, unless this says false.
    pub path_style: Option<bool>,
    /// Certificates in PEM, which alone are trusted, instead of the system's.
    pub ca: Option<String>,
    /// The store knows `If-None-Match` and `If-Match` at puts. Without them a put overwrites: with the same bytes, so that
    /// nothing is lost, but nobody notices when two servers write to one prefix.
    pub conditional_puts: bool,
    /// The time limit of a call; a put has the time of its bytes on top.
    pub timeout_seconds: u64,
}

impl Default for S3Config {
    fn default() -> S3Config {
        S3Config {
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            path_style: None,
            ca: None,
            conditional_puts: true,
            timeout_seconds: CALL_TIMEOUT.as_secs(),
        }
    }
}

/// A bucket, with a prefix.
pub(super) struct S3 {
    bucket: String,
    prefix: String,
    store: AmazonS3,
    /// What made `store`, with its credentials: makes the stores whose puts have headers of their own.
    builder: AmazonS3Builder,
    credentials: Arc<HandedOut>,
    conditional: bool,
    timeout: Duration,
}

// The builder would show its secrets.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Hands out one client, so that all stores of a bucket share its connections.
#[derive(Clone, Debug)]
pub(crate) struct OneClient(pub HttpClient);

impl HttpConnector for OneClient {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

impl S3 {
    pub fn new(bucket: &str, prefix: &str, config: &S3Config) -> Result<S3, PlaceError> {
        let mut builder = match (&config.access_key_id, &config.secret_access_key) {
            (Some(id), Some(secret)) => {
                AmazonS3Builder::new().with_access_key_id(id.expose()).with_secret_access_key(secret.expose())
            }
            (None, None) => AmazonS3Builder::from_env(),
            _ => return Err(setting("access_key_id and secret_access_key come together")),
        };
        if let Some(token) = &config.session_token {
            builder = builder.with_token(token.expose());
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        builder = reached(builder, bucket, config)?;
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let client = client(endpoint.as_deref(), config.ca.as_deref())?;
        if config.timeout_seconds == 0 {
            return Err(setting("timeout_seconds is at least 1"));
        }
        let builder = builder
            .with_bucket_name(bucket)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(OneClient(HttpClient::new(client)));
        let made = builder.clone().build().map_err(|error| setting(&told(&error)))?;
        // The same credentials for all stores: temporary ones are fetched once.
        let credentials = HandedOut::new(made.credentials().clone());
        let builder = builder.with_credentials(credentials.clone());
        let store = builder.clone().build().map_err(|error| setting(&told(&error)))?;
        Ok(S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            store,
            builder,
            credentials,
            conditional: config.conditional_puts,
            timeout: Duration::from_secs(config.timeout_seconds),
        })
    }

    pub fn address(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    pub async fn put(&self, key: &str, body: Bytes, how: Put<'_>) -> Result<(), ObjectError> {
        let path = self.path(key)?;
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, how.content_type.into());
        attributes.insert(Attribute::Metadata(RELEASE_KEY.into()), RELEASE.into());
        let mode = match how.over {
            _ if !self.conditional => PutMode::Overwrite,
            Over::Anything => PutMode::Overwrite,
            Over::Same | Over::Read(None) => PutMode::Create,
            Over::Read(Some(Tag(tag))) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
        };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let put = match how.lock {
            None => {
                self.within(key, body.len() as u64, self.store.put_opts(&path, body.clone().into(), options)).await?
            }
            Some(lock) => {
                let store = self.locking(lock, &body).map_err(|error| self.failed(key, &error))?;
                self.within(key, body.len() as u64, store.put_opts(&path, body.clone().into(), options)).await?
            }
        };
        match put {
            Ok(_) => Ok(()),
            // It is there, or a put of the same key is under way at the same time.
            Err(object_store::Error::AlreadyExists { .. }) if matches!(how.over, Over::Same) => {
                self.same(key, &path, &body).await
            }
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Err(ObjectError::Changed { place: self.address(key) })
            }
            Err(error) => Err(self.failed(key, &error)),
        }
    }

    pub async fn get(&self, key: &str) -> Result<Option<Stored>, ObjectError> {
        let Some(got) = self.begin(key).await? else { return Ok(None) };
        let (size, tag) = (got.meta.size, Tag(got.meta.e_tag.clone().unwrap_or_default()));
        if size > READ_BYTES_MAX {
            let error = format!("it has {size} bytes; {READ_BYTES_MAX} at most are read");
            return Err(ObjectError::Failed { place: self.address(key), error });
        }
        let body = self.within(key, size, got.bytes()).await?.map_err(|error| self.failed(key, &error))?;
        Ok(Some(Stored { body, tag }))
    }

    /// The beginning of an object; `None`: there is none.
    async fn begin(&self, key: &str) -> Result<Option<GetResult>, ObjectError> {
        let path = self.path(key)?;
        match self.within(key, 0, self.store.get_opts(&path, GetOptions::default())).await? {
            Ok(got) => Ok(Some(got)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key, &error)),
        }
    }

    pub async fn open(&self, key: &str) -> Result<Option<Opened>, ObjectError> {
        let Some(got) = self.begin(key).await? else { return Ok(None) };
        let credentials = Arc::clone(&self.credentials);
        Ok(Some(Opened {
            bytes: got.meta.size,
            tag: Tag(got.meta.e_tag.clone().unwrap_or_default()),
            place: self.address(key),
            timeout: self.timeout,
            seen: 0,
            pieces: got.into_stream().map_err(move |error| credentials.hide(&told(&error))).boxed(),
        }))
    }

    pub async fn list(&self, folder: &str, after: Option<&str>, most: usize) -> Result<Vec<Listed>, ObjectError> {
        let whole = format!("{}{folder}", self.prefix);
        let whole = whole.trim_end_matches('/');
        let folder_path = if whole.is_empty() { Path::default() } else { parsed(whole)? };
        let after = after.map(|after| self.path(after)).transpose()?;
        let objects = match &after {
            Some(after) => self.store.list_with_offset(Some(&folder_path), after),
            None => self.store.list(Some(&folder_path)),
        };
        let listed = objects.take(most).map_ok(|object| {
            let key = object.location.as_ref();
            Listed { key: key.strip_prefix(&self.prefix).unwrap_or(key).to_owned(), bytes: object.size }
        });
        self.within(folder, 0, listed.try_collect()).await?.map_err(|error| self.failed(folder, &error))
    }

    pub fn path(&self, key: &str) -> Result<Path, ObjectError> {
        parsed(&format!("{}{key}", self.prefix))
    }

    /// A store whose puts lock the object. The headers are part of what is signed, and there are no others that a put can bring.
    fn locking(&self, lock: Lock, body: &[u8]) -> object_store::Result<AmazonS3> {
        let mode = match lock.mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        };
        let value = |text: String| HeaderValue::from_str(&text).expect("invariant: dates and base64 are ASCII");
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-object-lock-mode", HeaderValue::from_static(mode));
        headers.insert("x-amz-object-lock-retain-until-date", value(format!("{}Z", label::text(lock.until))));
        // Some stores ask for it at locked puts, whatever other checksum there is.
        headers.insert("content-md5", value(BASE64.encode(Md5::digest(body))));
        self.builder.clone().with_client_options(ClientOptions::new().with_default_headers(headers)).build()
    }

    /// Holds what is there against what was to be put.
    async fn same(&self, key: &str, path: &Path, body: &[u8]) -> Result<(), ObjectError> {
        let got = match self.within(key, 0, self.store.get_opts(path, GetOptions::default())).await? {
            Ok(got) => got,
            Err(error @ object_store::Error::PermissionDenied { .. }) => {
                let why = self.credentials.hide(&told(&error));
                let error = format!("it is there, and may not be read to see whether it is the same: {why}");
                return Err(ObjectError::Failed { place: self.address(key), error });
            }
            Err(error) => return Err(self.failed(key, &error)),
        };
        let release = got.attributes.get(&Attribute::Metadata(RELEASE_KEY.into())).map(|release| release.to_string());
        let same = got.meta.size == body.len() as u64 && {
            let there = self.within(key, got.meta.size, digest(got)).await?;
            there.map_err(|error| self.failed(key, &error))? == Sha256::digest(body).as_slice()
        };
        if same { Ok(()) } else { Err(ObjectError::Differs { place: self.address(key), release }) }
    }

    async fn within<T>(
        &self,
        key: &str,
        bytes: u64,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<object_store::Result<T>, ObjectError> {
        let after = self.timeout + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
        tokio::time::timeout(after, call).await.map_err(|_| ObjectError::Timeout { place: self.address(key), after })
    }

    fn failed(&self, key: &str, error: &object_store::Error) -> ObjectError {
        ObjectError::Failed { place: self.address(key), error: self.credentials.hide(&told(error)) }
    }
}

fn setting(text: &str) -> PlaceError {
    PlaceError::Setting(text.to_owned())
}

fn parsed(key: &str) -> Result<Path, ObjectError> {
    check_key(key)?;
    Path::parse(key)
        .map_err(|_| ObjectError::Key { key: key.to_owned(), why: "it has characters that keys cannot have" })
}

/// The builder with its endpoint, in the style in which the bucket is named there.
fn reached(builder: AmazonS3Builder, bucket: &str, config: &S3Config) -> Result<AmazonS3Builder, PlaceError> {
    let Some(endpoint) = &config.endpoint else {
        if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some() {
            return Ok(builder);
        }
        // The certificate of AWS does not cover a bucket's name with a dot in it.
        let path_style = config.path_style.unwrap_or(bucket.contains('.'));
        return Ok(builder.with_virtual_hosted_style_request(!path_style));
    };
    let scheme = ["http://", "https://"].into_iter().find(|scheme| endpoint.starts_with(scheme));
    let Some(scheme) = scheme else {
        return Err(PlaceError::Setting(format!("endpoint `{endpoint}` starts with neither http:// nor https://")));
    };
    let host = endpoint[scheme.len()..].trim_end_matches('/');
    if host.is_empty() {
        return Err(PlaceError::Setting(format!("endpoint `{endpoint}` names no host")));
    }
    Ok(if config.path_style.unwrap_or(true) {
        builder.with_endpoint(format!("{scheme}{host}")).with_virtual_hosted_style_request(false)
    } else {
        builder.with_endpoint(format!("{scheme}{bucket}.{host}")).with_virtual_hosted_style_request(true)
    })
}

fn client(endpoint: Option<&str>, ca: Option<&str>) -> Result<reqwest::Client, PlaceError> {
    let is_tls = !endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    // It follows no redirection: a request is signed for one host.
    let builder = http::builder(ca, is_tls).map_err(|_| setting("ca holds no certificate in PEM"))?;
    builder
        .user_agent(concat!("tailrace/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|error| PlaceError::Setting(format!("no HTTP client: {}", deepest(&error))))
}

async fn digest(got: GetResult) -> object_store::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut pieces = got.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        hash.update(&piece);
    }
    Ok(hash.finalize().to_vec())
}

/// An error in a line: what the store's answer says, or else the deepest cause.
fn told(error: &object_store::Error) -> String {
    let whole = error.to_string();
    let within = |name: &str| {
        let (_, behind) = whole.split_once(&format!("<{name}>"))?;
        behind.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    let text = match (within("Code"), within("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => deepest(error),
    };
    text.chars().take(ERROR_CHARS_MAX).collect()
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
