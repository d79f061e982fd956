//! The delivery streams of the server: the functions that transform their records, and where their buckets, domains and clusters are.
//!
//! ```yaml
//! firehose:
//!   buckets: {lake: ./lake, archive: {to: s3://archive/, s3: {endpoint: "http://localhost:9000"}}}
//!   s3: {endpoint: "http://localhost:9000"}
//!   domains: {logs: "http://localhost:9200"}
//!   opensearch: {endpoint: "https://localhost:9201", auth: {basic: {user: u, password: "${env:PASSWORD}"}}}
//!   redshift: {"localhost:5439": {sslmode: disable}, "logs.x.eu-west-1.redshift.amazonaws.com": {iam_role: default}}
//! ```
//!
//! A bucket is where `buckets` says; one that is not named is a bucket of S3 if `s3` is given, and otherwise a directory below the data
//! directory, `buckets/NAME`. A domain is where `domains` says, by its name or its ARN; one that is not named is where `opensearch` says. A
//! cluster of Redshift is where its address says; `redshift` says the rest, by its host and port, or its host.

use std::collections::{BTreeMap, VecDeque};
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
use tailrace_firehose::{
    Buckets, ClusterAt, Clusters, DeliveryStreams, Dependencies, DoorError, Functions, Invoked, Load, Notice,
    Warehouses,
};
use tailrace_mapping::{Invoked as Ran, Invoker, Room, Stopping, SystemTimer, Waits};
use tailrace_sinks::objects::S3Config;
use tailrace_sinks::objects::store::{Destination, ObjectWriter, PlaceError};
use tailrace_sinks::post::Poster;
use tailrace_sinks::search::{Cluster, ClusterConfig, Documents, Indexed};
use tailrace_sinks::spec::SpecError;
use tailrace_sinks::warehouse::load::{LoadError, Loader, LoaderConfig, Login};
use tailrace_store::StoreError;
use tokio::sync::mpsc;

use crate::report::Event;
use crate::sinks::{Names, read_section};

/// The directory of buckets below the data directory.
const DIRECTORY: &str = "buckets";

/// Writers that are kept.
const WRITERS_MAX: usize = 1_000;

/// Clients of clusters that are kept.
const CLUSTERS_MAX: usize = 100;

/// What a configuration says of buckets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Configured {
    buckets: BTreeMap<String, Place>,
    s3: Option<S3Config>,
    domains: BTreeMap<String, Domain>,
    opensearch: Option<ClusterConfig>,
    redshift: BTreeMap<String, LoaderConfig>,
}

impl Configured {
    /// What is said of the cluster of a login.
    fn warehouse(&self, login: &Login) -> LoaderConfig {
        let named = self.redshift.get(&format!("{}:{}", login.host, login.port));
        named.or_else(|| self.redshift.get(&login.host)).cloned().unwrap_or_default()
    }

    /// The cluster that a destination means.
    fn cluster(&self, at: &ClusterAt) -> Result<ClusterConfig, DoorError> {
        let named = match at {
            // Who is asked for there is known, if it is one that is named.
            ClusterAt::Endpoint(endpoint) => {
                let mut all = self.domains.values().map(|domain| &domain.0).chain(&self.opensearch);
                let is_it =
                    |cluster: &&ClusterConfig| cluster.endpoint.trim_end_matches('/') == endpoint.trim_end_matches('/');
                return Ok(all.find(is_it).cloned().unwrap_or_else(|| ClusterConfig::at(endpoint)));
            }
            ClusterAt::Domain { arn, name } => self.domains.get(arn).or_else(|| self.domains.get(name)),
        };
        let cluster = named.map(|domain| &domain.0).or(self.opensearch.as_ref());
        cluster.cloned().ok_or_else(|| {
            DoorError::Nowhere(format!("nothing says where the domain {at} is: firehose.domains in tailrace.yaml does"))
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Domain(ClusterConfig);

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Domain, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(endpoint) => Ok(Domain(ClusterConfig::at(&endpoint))),
            whole => serde_json::from_value(whole).map(Domain).map_err(serde::de::Error::custom),
        }
    }
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

/// Reads what a configuration says of buckets and domains, with secrets in it.
fn configured(document: &Value, base: &Path) -> Result<Configured, SpecError> {
    if document.is_null() {
        return Ok(Configured::default());
    }
    read_section(document, base, Names::default()).map_err(|text| SpecError(format!("firehose: {text}")))
}

/// Checks what a configuration says of buckets and domains; `base` is the directory that it lies in.
///
/// # Errors
/// What is wrong.
pub fn check(document: &Value, base: &Path) -> Result<(), SpecError> {
    let configured = configured(document, base)?;
    let domains = configured.domains.iter().map(|(name, domain)| (format!("domains.{name}"), &domain.0));
    let all = configured.opensearch.iter().map(|cluster| ("opensearch".to_owned(), cluster));
    for (place, cluster) in domains.chain(all) {
        Cluster::new(cluster).map_err(|error| SpecError(format!("firehose.{place}: {error}")))?;
    }
    for (name, cluster) in &configured.redshift {
        cluster.validate().map_err(|error| SpecError(format!("firehose.redshift.{name}: {error}")))?;
    }
    let places = Places::new(configured, base, Path::new("/"), |_| {});
    for name in places.configured.buckets.keys() {
        places.find(name).map_err(|error| SpecError(format!("firehose.buckets.{name}: {error}")))?;
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

    fn find(&self, bucket: &str) -> Result<ObjectWriter, PlaceError> {
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
                let no_text = || PlaceError::Setting("the data directory's path is no text".to_owned());
                (directory.to_str().ok_or_else(no_text)?.to_owned(), None)
            }
        };
        let destination = Destination::parse(&to)?;
        let writer = ObjectWriter::new(&destination, &s3.cloned().unwrap_or_default())?;
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
    fn place(&self, bucket: &str) -> Result<ObjectWriter, DoorError> {
        self.find(bucket).map_err(|error| DoorError::Setting(format!("the bucket {bucket}: {error}")))
    }
}

/// Where clusters are.
struct Domains {
    configured: Configured,
    /// Those that were asked for, by how destinations name them.
    clusters: Arc<Mutex<BTreeMap<String, Cluster>>>,
}

impl Clusters for Domains {
    fn index(&self, at: &ClusterAt, documents: Documents) -> BoxFuture<'static, Result<Vec<Indexed>, DoorError>> {
        let key = match at {
            ClusterAt::Endpoint(name) | ClusterAt::Domain { arn: name, .. } => name.clone(),
        };
        let known = self.clusters.lock().get(&key).cloned();
        let (config, clusters) = (self.configured.cluster(at), Arc::clone(&self.clusters));
        async move {
            let cluster = match known {
                Some(cluster) => cluster,
                None => {
                    let config = config?;
                    // The system's authorities are many files.
                    let made = tokio::task::spawn_blocking(move || Cluster::new(&config)).await;
                    let made = made.map_err(|error| DoorError::NotNow(error.to_string()))?;
                    let cluster = made.map_err(|error| DoorError::Setting(error.to_string()))?;
                    let mut clusters = clusters.lock();
                    if clusters.len() >= CLUSTERS_MAX {
                        clusters.pop_first();
                    }
                    clusters.insert(key, cluster.clone());
                    cluster
                }
            };
            Ok(cluster.index(documents).await)
        }
        .boxed()
    }
}

/// Clusters of Redshift.
struct Loaders {
    configured: Configured,
    /// Those that were asked for last, each with its login: the certificates of the system are many files.
    known: Arc<Mutex<VecDeque<(Login, Loader)>>>,
}

impl Warehouses for Loaders {
    fn load(&self, load: Load) -> BoxFuture<'static, Result<Result<(), LoadError>, DoorError>> {
        let Load { login, copy, role, manifest } = load;
        let (config, known) = (self.configured.warehouse(&login), Arc::clone(&self.known));
        let there = known.lock().iter().find(|(other, _)| *other == login).map(|(_, loader)| loader.clone());
        async move {
            let loader = match there {
                Some(loader) => loader,
                None => {
                    let of = login.clone();
                    let made = tokio::task::spawn_blocking(move || Loader::new(&of, &config)).await;
                    let made = made.map_err(|error| DoorError::NotNow(error.to_string()))?;
                    let loader = made.map_err(|error| DoorError::Setting(error.to_string()))?;
                    let mut known = known.lock();
                    if known.len() >= CLUSTERS_MAX {
                        known.pop_front();
                    }
                    known.push_back((login, loader.clone()));
                    loader
                }
            };
            Ok(loader.load(&copy, &role, &manifest).await)
        }
        .boxed()
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
        // Whoever drops the future has called it off.
        let (waits, recalled) = (Waits::default(), Stopping::default());
        let invocation = Invoker::invoke(&self.functions, reference, event, waits, recalled);
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
    (clock, rng, room): (&Arc<dyn Clock>, &Arc<dyn Rng>, &Room),
    functions: tailrace_lambda::Functions,
    (document, base): (&Value, &Path),
    data_dir: &Path,
    events: mpsc::Sender<Event>,
) -> Result<DeliveryStreams, StoreError> {
    let told = events.clone();
    let tell = move |line: String| drop(told.try_send(Event::Notice(line)));
    // It was checked when it was read.
    let configured = configured(document, base).map_err(|SpecError(text)| StoreError::Invalid(text))?;
    let notices = move |notice: Notice| {
        let _ = events.try_send(Event::Notice(format!("delivery stream {}: {}", notice.stream, notice.text)));
    };
    let settings = db.settings();
    DeliveryStreams::load(Dependencies {
        db: Arc::clone(db),
        clock: Arc::clone(clock),
        timer: Arc::new(SystemTimer(Arc::clone(clock))),
        rng: Arc::clone(rng),
        room: room.clone(),
        functions: Arc::new(Runner {
            functions: Arc::new(functions),
            region: settings.region.clone(),
            account: settings.account_id.clone(),
        }),
        warehouses: Arc::new(Loaders { configured: configured.clone(), known: Arc::default() }),
        clusters: Arc::new(Domains { configured: configured.clone(), clusters: Arc::default() }),
        buckets: Arc::new(Places::new(configured, base, data_dir, tell)),
        endpoints: Arc::new(Poster::default()),
        notices: Arc::new(notices),
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tailrace_core::ErrorKind;
    use tailrace_sinks::secret::Secret;

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
    fn a_domain_is_where_it_is_said_and_only_a_named_cluster_is_told_who_asks() {
        let auth = json!({"api_key": "hunter2"});
        let document = json!({
            "domains": {"logs": "http://a:9200/", "arn:aws:es:r:1:domain/logs2": {"endpoint": "http://b", "auth": auth}},
            "opensearch": {"endpoint": "http://c", "auth": auth},
        });
        let all = configured(&document, Path::new("")).unwrap();
        let domain =
            |name: &str| ClusterAt::Domain { arn: format!("arn:aws:es:r:1:domain/{name}"), name: name.to_owned() };
        let endpoint = |endpoint: &str| ClusterAt::Endpoint(endpoint.to_owned());
        for (at, expected, is_known) in [
            (domain("logs"), "http://a:9200/", false),
            (domain("logs2"), "http://b", true),
            (domain("others"), "http://c", true),
            (endpoint("http://b/"), "http://b", true),
            (endpoint("http://c"), "http://c", true),
            (endpoint("http://elsewhere"), "http://elsewhere", false),
        ] {
            let cluster = all.cluster(&at).unwrap();
            assert_eq!((&*cluster.endpoint, cluster.auth.is_some()), (expected, is_known), "{at:?}");
        }
        let error = Configured::default().cluster(&domain("logs")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = error.to_string();
        assert!(error.contains("where the domain arn:aws:es:r:1:domain/logs is: firehose.domains"), "{error}");
    }

    /// An access key is shown to a cluster that is named, and to no other, whose address a client gave.
    #[test]
    fn what_is_said_of_a_cluster_is_found_by_its_host_and_port() {
        let keys = json!({"access_key_id": "AKIA", "secret_access_key": "hunter2"});
        let document = json!({"redshift": {"a": keys, "a:1": {"iam_role": "default"}}});
        let all = configured(&document, Path::new("")).unwrap();
        for (host, port, has_keys, role) in
            [("a", 5439, true, None), ("a", 1, false, Some("default")), ("b", 5439, false, None)]
        {
            let (database, user, password) = ("d".to_owned(), "u".to_owned(), Secret::new("p"));
            let found = all.warehouse(&Login { host: host.to_owned(), port, database, user, password });
            assert_eq!((found.access_key_id.is_some(), found.iam_role.as_deref()), (has_keys, role), "{host}:{port}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (document, part) in [
            (json!({"bucket": {}}), "firehose: unknown field `bucket`"),
            (json!({"buckets": {"a": "gs://x"}}), "firehose.buckets.a: "),
            (json!({"buckets": {"a": {"to": "./x", "s3": {"endpont": "x"}}}}), "unknown field `endpont`"),
            (json!({"domains": {"a": "localhost:9200"}}), "firehose.domains.a: endpoint: an address begins with"),
            (json!({"domains": {"a": {"endpoint": "http://h", "aut": 1}}}), "unknown field `aut`"),
            (json!({"opensearch": {"endpoint": "http://u:p@h"}}), "firehose.opensearch: endpoint: user and password"),
            (json!({"redshift": {"a": {"at": "x"}}}), "firehose.redshift.a: `at` is host:port"),
            (json!({"redshift": {"a": {"rol": "x"}}}), "unknown field `rol`"),
            (
                json!({"s3": {"timeout_seconds": "${env:PATH}"}}),
                "`s3.timeout_seconds`: a number is expected, not \"${env:PATH}\"",
            ),
            (json!({"s3": {"secret_access_key": "${env:TAILRACE_NO_SUCH}"}}), "no variable TAILRACE_NO_SUCH"),
        ] {
            let error = check(&document, Path::new("")).unwrap_err();
            assert!(error.0.contains(part), "{document}: {error}");
        }
        assert_eq!(check(&Value::Null, Path::new("")), Ok(()));
    }
}
