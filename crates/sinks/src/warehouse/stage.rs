//! Where the rows of a load from objects are put.

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A prefix of a bucket.
pub trait Stage: Send + Sync + 'static {
    /// Puts an object, whole. A repeat brings the same bytes. The error is for people and holds no secret.
    fn put(&self, key: String, body: Bytes, content_type: &'static str) -> BoxFuture<'static, Result<(), String>>;

    /// `s3://bucket/prefix/key`
    fn address(&self, key: &str) -> String;
}
