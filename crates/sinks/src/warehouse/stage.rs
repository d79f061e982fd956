//! Where the rows of a load from objects are put.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::objects::store::ObjectError;

/// A prefix of a bucket.
pub trait Stage: Send + Sync + 'static {
    /// Puts an object, whole. A repeat brings the same bytes.
    ///
    /// # Errors
    /// It is not known to be there.
    fn put(&self, key: String, body: Bytes, content_type: &'static str) -> BoxFuture<'static, Result<(), ObjectError>>;

    /// `s3://bucket/prefix/key`
    fn address(&self, key: &str) -> String;
}
