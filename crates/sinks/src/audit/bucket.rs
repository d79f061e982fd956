//! A trail in a bucket: each segment is an object, which nobody may change or delete before its time where the bucket has Object Lock.

use std::io::{self, Cursor};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::clock::Clock;
use tokio::io::AsyncRead;

use super::place::{At, NewSegment, Place, PlaceError, file_name, file_of, is_another};
use crate::objects::store::{Destination, ObjectError, ObjectWriter, Over, PlaceError as NoPlace, Put};
use crate::objects::{Retention, S3Config};

/// Objects that are listed at once. Source: S3's limit.
const LISTED_AT_ONCE: usize = 1000;
/// The media type of a segment.
const CONTENT_TYPE: &str = "application/x-ndjson";

/// A trail in a bucket.
pub struct Bucket {
    writer: ObjectWriter,
    name: String,
    /// From the moment on in which a segment is written.
    lock: Option<(Retention, Arc<dyn Clock>)>,
}

impl Bucket {
    /// The trail at `s3://bucket/prefix`; the clock tells until when segments are locked.
    ///
    /// # Errors
    /// It is no bucket, or cannot be reached as it is said.
    pub fn new(to: &str, s3: &S3Config, lock: Option<(Retention, Arc<dyn Clock>)>) -> Result<Bucket, NoPlace> {
        let destination = Destination::parse(to)?;
        if !matches!(destination, Destination::S3 { .. }) {
            return Err(NoPlace::Setting(format!("{to} is no bucket: use s3://BUCKET/PREFIX")));
        }
        let writer = ObjectWriter::new(&destination, s3)?;
        Ok(Bucket { writer, name: destination.to_string(), lock })
    }

    async fn put(&self, key: &str, segment: NewSegment) -> Result<(), PlaceError> {
        let NewSegment { bytes, time_ms, tried } = segment;
        // Not from the record's time alone: what comes days later would be locked until a day that is over, which no store takes.
        let lock = self.lock.as_ref().map(|(retention, clock)| retention.lock(clock.now().max(time_ms)));
        let failed = |error: ObjectError| PlaceError::Io(error.to_string());
        let put = |over| self.writer.put(key, bytes.clone(), Put { over, lock, content_type: CONTENT_TYPE });
        match put(Over::Same).await {
            Err(ObjectError::Differs { .. }) => {}
            done => return done.map_err(failed),
        }
        // An earlier try at the same segment, with another signature for one, was not confirmed: this one counts.
        let there = self.writer.get(key).await.map_err(failed)?;
        if there.as_ref().is_some_and(|there| is_another(&there.body, &bytes, true, false, &tried)) {
            return Err(PlaceError::Taken(self.writer.address(key)));
        }
        put(Over::Read(there.as_ref().map(|there| &there.tag))).await.map_err(failed)
    }
}

impl Place for Bucket {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn file_bytes_max(&self) -> u64 {
        0
    }

    fn write(&self, at: At, segment: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>> {
        async move { self.put(&key(&at.chain, at.file), segment).await }.boxed()
    }

    fn chains(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        async {
            let (mut chains, mut after) = (Vec::new(), None::<String>);
            loop {
                let next = self.writer.list("", after.as_deref(), 1).await.map_err(io::Error::other)?;
                let Some(first) = next.into_iter().next() else { return Ok(chains) };
                let Some((chain, _)) = first.key.rsplit_once('/') else {
                    after = Some(first.key);
                    continue;
                };
                // The character behind the slash: what comes behind it is in no file of this chain.
                after = Some(format!("{chain}0"));
                chains.push(chain.to_owned());
            }
        }
        .boxed()
    }

    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, io::Result<(Vec<u64>, Vec<String>)>> {
        async move {
            let (mut files, mut foreign, mut after) = (Vec::new(), Vec::new(), None::<String>);
            loop {
                let listed = self.writer.list(chain, after.as_deref(), LISTED_AT_ONCE).await;
                let listed = listed.map_err(io::Error::other)?;
                let is_last = listed.len() < LISTED_AT_ONCE;
                for object in listed {
                    let name = object.key.strip_prefix(chain).and_then(|rest| rest.strip_prefix('/'));
                    match name.and_then(file_of) {
                        Some(file) => files.push(file),
                        None => foreign.push(object.key.clone()),
                    }
                    after = Some(object.key);
                }
                if is_last {
                    return Ok((files, foreign));
                }
            }
        }
        .boxed()
    }

    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, io::Result<Box<dyn AsyncRead + Send + Unpin>>> {
        async move {
            let object = self.writer.get(&key(&at.chain, at.file)).await.map_err(io::Error::other)?;
            let object = object.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            let mut cursor = Cursor::new(object.body);
            cursor.set_position(at.offset);
            Ok(Box::new(cursor) as Box<dyn AsyncRead + Send + Unpin>)
        }
        .boxed()
    }
}

fn key(chain: &str, file: u64) -> String {
    format!("{chain}/{}", file_name(file))
}
