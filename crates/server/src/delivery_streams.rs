//! The delivery streams of the server: the functions that transform their records, and where their buckets are.
//!
//! ```yaml
//! firehose:
//!   buckets: {lake: ./lake, archive: {to: s3://archive/, s3: {endpoint: "http://localhost:9000"}}}
//!   s3: {endpoint: "http://localhost:9000"}
//! ```
//!
//! A bucket is where `buckets` says; one that is not named is a bucket of S3 if `s3` is given, and otherwise a directory below the data
//! directory, `buckets/NAME`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tailrace_core::FunctionReference;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_engine::Db;
use tailrace_firehose::{Buckets, DeliveryStreams, Dependencies, Functions, Invoked, Notice};
use tailrace_mapping::{Invoked as Ran, Invoker, SystemTimer};
use tailrace_sinks::objects::S3Config;
use tailrace_sinks::objects::store::{Destination, ObjectWriter};
use tailrace_store::StoreError;
use tokio::sync::mpsc;

use crate::report::Event;
use crate::sinks::resolve_secrets;

/// The directory of buckets below the data directory.
const DIRECTORY: &str = "buckets";

/// Writers that are kept.
const WRITERS_MAX: usize = 1_000;

/// What a configuration says of buckets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Configured {
    buckets: BTreeMap<String, Place>,
    s3: Option<S3Config>,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    To(String),
    Whole(Whole),
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(to) => Ok(Place::To(to)),
            whole => serde_json::from_value(whole).map(Place::Whole).map_err(serde::de::Error::custom),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    to: String,
    s3: Option<S3Config>,
}

/// Reads what a configuration says of buckets, with secrets in it.
fn configured(document: &Value, base: &Path) -> Result<Configured, String> {
    if document.is_null() {
        return Ok(Configured::default());
    }
    let mut resolved = document.clone();
    resolve_secrets(&mut resolved, base).map_err(|text| format!("firehose: {text}"))?;
    // What is wrong is told of what is written: a secret in the wrong place would be in the error.
    serde_json::from_value(resolved).map_err(|_| match serde_json::from_value::<Configured>(document.clone()) {
        Err(error) => format!("firehose: {error}"),
        Ok(_) => "firehose: what a reference stands for does not fit where it stands".to_owned(),
    })
}

/// Checks what a configuration says of buckets; `base` is the directory that it lies in.
///
/// # Errors
/// What is wrong.
pub fn check(document: &Value, base: &Path) -> Result<(), String> {
    let configured = configured(document, base)?;
    let places = Places::new(configured, base, Path::new("/"), |_| {});
    for name in places.configured.buckets.keys() {
        places.find(name).map_err(|error| format!("firehose.buckets.{name}: {error}"))?;
    }
    Ok(())
}

/// Where buckets are.
struct Places {
    configured: Configured,
    /// Where the configuration lies: relative paths are meant from there.
    base: PathBuf,
    data_dir: PathBuf,
    /// Those of buckets that were asked for. A writer is made once: repeats of a write that nobody waits for any more wait in it.
    writers: Mutex<BTreeMap<String, ObjectWriter>>,
    tell: Box<dyn Fn(String) + Send + Sync>,
}

impl Places {
    fn new(
        configured: Configured,
        base: &Path,
        data_dir: &Path,
        tell: impl Fn(String) + Send + Sync + 'static,
    ) -> Places {
        let (base, data_dir) = (base.to_owned(), data_dir.to_owned());
        Places { configured, base, data_dir, writers: Mutex::default(), tell: Box::new(tell) }
    }

    fn find(&self, bucket: &str) -> Result<ObjectWriter, String> {
        let mut writers = self.writers.lock();
        if let Some(writer) = writers.get(bucket) {
            return Ok(writer.clone());
        }
        let (to, s3) = match (self.configured.buckets.get(bucket), &self.configured.s3) {
            (Some(Place::To(to)), s3) => (self.located(to), s3.as_ref()),
            (Some(Place::Whole(whole)), s3) => (self.located(&whole.to), whole.s3.as_ref().or(s3.as_ref())),
            (None, Some(s3)) => (format!("s3://{bucket}/"), Some(s3)),
            (None, None) => {
                let directory = self.data_dir.join(DIRECTORY).join(bucket);
                (directory.to_str().ok_or("the data directory's path is no text")?.to_owned(), None)
            }
        };
        let destination = Destination::parse(&to).map_err(|error| error.to_string())?;
        let writer = ObjectWriter::new(&destination, &s3.cloned().unwrap_or_default());
        let writer = writer.map_err(|error| error.to_string())?;
        (self.tell)(format!("delivery streams: the bucket {bucket} is {destination}"));
        // There are as many as there were buckets in destinations; of very many the first ones are made again.
        if writers.len() >= WRITERS_MAX {
            writers.pop_first();
        }
        writers.insert(bucket.to_owned(), writer.clone());
        Ok(writer)
    }

    fn located(&self, to: &str) -> String {
        let is_relative = !to.contains("://") && Path::new(to).is_relative();
        let path = is_relative.then(|| self.base.join(to)).and_then(|path| path.to_str().map(str::to_owned));
        path.unwrap_or_else(|| to.to_owned())
    }
}

impl Buckets for Places {
    fn place(&self, bucket: &str) -> Result<ObjectWriter, String> {
        self.find(bucket).map_err(|error| format!("the bucket {bucket}: {error}"))
    }
}

/// Runs the functions of the server.
struct Runner {
    functions: Arc<tailrace_lambda::Functions>,
    region: String,
    account: String,
}

impl Functions for Runner {
    fn invoke(&self, function: &str, event: Bytes) -> BoxFuture<'static, Invoked> {
        let Some(reference) = FunctionReference::parse(function, &self.region, &self.account) else {
            let text = format!("{function:?} is no ARN of a function");
            return async move { Invoked::NotInvoked(text) }.boxed();
        };
        let invocation = Invoker::invoke(&self.functions, reference, event, tailrace_mapping::Waits::default());
        async move {
            match invocation.await {
                Ran::Answered(payload) => Invoked::Answered(payload),
                Ran::FunctionError(error) => Invoked::Failed(error),
                Ran::NotInvoked(error) => Invoked::NotInvoked(error),
            }
        }
        .boxed()
    }
}

/// Reads the delivery streams of the store. `document` and `base`: what is configured, and where.
///
/// # Errors
/// The store's.
pub async fn load(
    db: &Arc<Db>,
    (clock, rng): (&Arc<dyn Clock>, &Arc<dyn Rng>),
    functions: tailrace_lambda::Functions,
    (document, base): (&Value, &Path),
    data_dir: &Path,
    events: mpsc::Sender<Event>,
) -> Result<DeliveryStreams, StoreError> {
    let told = events.clone();
    let tell = move |line: String| drop(told.try_send(Event::Notice(line)));
    // It was checked when it was read.
    let configured = configured(document, base).map_err(StoreError::Invalid)?;
    let notices = move |notice: Notice| {
        let _ = events.try_send(Event::Notice(format!("delivery stream {}: {}", notice.stream, notice.text)));
    };
    let settings = db.settings();
    DeliveryStreams::load(Dependencies {
        db: Arc::clone(db),
        clock: Arc::clone(clock),
        timer: Arc::new(SystemTimer(Arc::clone(clock))),
        rng: Arc::clone(rng),
        functions: Arc::new(Runner {
            functions: Arc::new(functions),
            region: settings.region.clone(),
            account: settings.account_id.clone(),
        }),
        buckets: Arc::new(Places::new(configured, base, data_dir, tell)),
        notices: Arc::new(notices),
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bucket_is_where_it_is_said_or_below_the_data_directory() {
        let document = json!({"buckets": {"a": "./lake", "b": "/x", "c": {"to": "s3://other/p/"}}});
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&told);
        let places = Places::new(
            configured(&document, Path::new("")).unwrap(),
            Path::new("/base"),
            Path::new("/data"),
            move |line| {
                lines.lock().push(line);
            },
        );
        for (bucket, expected) in [
            ("a", "/base/./lake/k"),
            ("b", "/x/k"),
            ("c", "s3://other/p/k"),
            ("d", "/data/buckets/d/k"),
            ("a", "/base/./lake/k"),
        ] {
            assert_eq!(places.place(bucket).unwrap().address("k"), expected);
        }
        assert_eq!(told.lock().len(), 4, "each is told of once");
        let all_s3 = configured(&json!({"s3": {"endpoint": "http://localhost:9"}}), Path::new("")).unwrap();
        let places = Places::new(all_s3, Path::new("/"), Path::new("/data"), |_| {});
        assert_eq!(places.place("d").unwrap().address("k"), "s3://d/k");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (document, part) in [
            (json!({"bucket": {}}), "firehose: unknown field `bucket`"),
            (json!({"buckets": {"a": "gs://x"}}), "firehose.buckets.a: "),
            (json!({"buckets": {"a": {"to": "./x", "s3": {"endpont": "x"}}}}), "unknown field `endpont`"),
            (json!({"s3": {"timeout_seconds": "${env:PATH}"}}), "invalid type: string \"${env:PATH}\""),
            (json!({"s3": {"secret_access_key": "${env:TAILRACE_NO_SUCH}"}}), "no variable TAILRACE_NO_SUCH"),
        ] {
            let error = check(&document, Path::new("")).unwrap_err();
            assert!(error.contains(part), "{document}: {error}");
        }
        assert_eq!(check(&Value::Null, Path::new("")), Ok(()));
    }
}
