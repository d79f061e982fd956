//! Code in buckets: the objects that a template names and that are no files of this machine, fetched from a store that speaks S3.
//!
//! Invariants: nothing is asked of anybody unless an operator names the store; what is kept is a whole object, under a name made of
//! its bucket, its key and its version's tag; of one object the newest version is kept. An object that cannot be fetched now and
//! was before is used as it was, which is told.
//! What it does not do: it does not look into what it fetched; that is unpacked as any file is (`tailrace_lambda::Packages`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tailrace_core::code::CodeSource;
use tailrace_core::limits::PACKAGE_BYTES_MAX;
use tailrace_sinks::objects::S3Config;
use tailrace_sinks::objects::store::{Destination, ObjectError, ObjectWriter, Opened};
use tokio::io::AsyncWriteExt;

use crate::apply::ApplyError;
use crate::template::{FunctionPlan, Plan, not_registered};

/// What a file is called while it is being written; no tag's digest begins so.
const FETCHING: &str = "fetching";

/// Where the objects of a template are fetched from, and where they are kept.
#[derive(Clone, Debug)]
pub struct Buckets {
    endpoint: Option<String>,
    dir: PathBuf,
}

/// The objects that were asked for, each once.
type Fetched = BTreeMap<(String, String), Result<PathBuf, String>>;

impl Buckets {
    /// A store, if one is named, and the directory of what is fetched from it; it is made when it is needed.
    pub fn new(endpoint: Option<String>, dir: PathBuf) -> Buckets {
        Buckets { endpoint, dir }
    }

    /// Makes files of the objects that the plan's functions and their layers are. A function whose object cannot be had and that
    /// no mapping uses is told, and left out of the plan.
    ///
    /// # Errors
    /// An object cannot be had, with the place in the template.
    pub async fn fetch(&self, plan: &mut Plan, tell: impl Fn(String)) -> Result<(), ApplyError> {
        let mut fetched = Fetched::new();
        let mut failed = Vec::new();
        let sources_of = |function: &FunctionPlan| {
            let layers = plan.layers.iter().filter(|layer| function.layers.iter().any(|used| used.arn == layer.arn));
            let layers = layers.map(|layer| (layer.content_path.clone(), layer.content.clone()));
            let code = (function.code_path.clone(), function.code.clone());
            (function.name.clone(), std::iter::once(code).chain(layers).collect::<Vec<_>>())
        };
        let wanted: Vec<(String, Vec<(String, CodeSource)>)> = plan.functions.iter().map(sources_of).collect();
        for (name, sources) in wanted {
            for (path, source) in sources {
                if let Err(why) = self.have(&source, &mut fetched, &tell).await {
                    let why = format!("{path}: function {name}: {why}");
                    if plan.is_mapped(&name) {
                        return Err(ApplyError::Template(why));
                    }
                    tell(not_registered(why));
                    failed.push(name.clone());
                }
            }
        }
        plan.functions.retain(|function| !failed.contains(&function.name));
        let codes = plan.functions.iter_mut().map(|function| &mut function.code);
        for source in codes.chain(plan.layers.iter_mut().map(|layer| &mut layer.content)) {
            let CodeSource::Object { bucket, key } = &*source else { continue };
            if let Some(Ok(path)) = fetched.get(&(bucket.clone(), key.clone())) {
                *source = CodeSource::Path(path.clone());
            }
        }
        Ok(())
    }

    /// Sees that an object is here.
    async fn have(&self, source: &CodeSource, fetched: &mut Fetched, tell: &impl Fn(String)) -> Result<(), String> {
        let CodeSource::Object { bucket, key } = source else { return Ok(()) };
        let id = (bucket.clone(), key.clone());
        if !fetched.contains_key(&id) {
            let one = self.one(bucket, key, tell).await;
            fetched.insert(id.clone(), one);
        }
        fetched[&id].clone().map(drop)
    }

    async fn one(&self, bucket: &str, key: &str, tell: &impl Fn(String)) -> Result<PathBuf, String> {
        let Some(endpoint) = &self.endpoint else { return Err(not_here(bucket, key)) };
        let place = Destination::parse(&format!("s3://{bucket}")).map_err(|error| error.to_string())?;
        let config = S3Config { endpoint: Some(endpoint.clone()), ..S3Config::default() };
        let store = ObjectWriter::new(&place, &config).map_err(|error| error.to_string())?;
        let home = self.dir.join(digest(&format!("{bucket}/{key}")));
        let why = match store.open(key).await {
            Ok(Some(object)) if object.bytes > PACKAGE_BYTES_MAX => {
                return Err(format!(
                    "s3://{bucket}/{key} has {} bytes; {PACKAGE_BYTES_MAX} at most are fetched",
                    object.bytes
                ));
            }
            Ok(Some(object)) => match keep(object, &home, key).await {
                Ok(path) => return Ok(path),
                Err(error) => error,
            },
            Ok(None) => return Err(format!("{endpoint} has no object s3://{bucket}/{key}")),
            Err(error) => error,
        };
        let kept = kept(&home).await;
        let why = format!("{why} (at {endpoint})");
        let Some(kept) = kept else { return Err(why) };
        tell(format!("{why}; what was fetched before is used"));
        Ok(kept)
    }
}

/// What is to be said of an object that no file stands for, where no store is named.
pub(crate) fn not_here(bucket: &str, key: &str) -> String {
    format!(
        "the code is in the bucket {bucket}, as {key}: say which directory of this machine that is (--resource {bucket}=DIR; \
         `aws s3 cp s3://{bucket}/{key} DIR/{key}` fetches it), or which store has it (--s3-endpoint URL, with the credentials of \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    )
}

/// Writes an object into its directory, unless that version is there, and removes the others.
async fn keep(object: Opened, home: &Path, key: &str) -> Result<PathBuf, ObjectError> {
    let place = format!("the object {key}");
    let failed = |error: std::io::Error| ObjectError::Failed { place: place.clone(), error: error.to_string() };
    let version = digest(object.tag.as_str());
    let name = key.rsplit('/').next().unwrap_or(key);
    let path = home.join(&version).join(name);
    if object.tag.as_str().is_empty() || !tokio::fs::try_exists(&path).await.map_err(failed)? {
        let fetching = home.join(FETCHING);
        let _ = tokio::fs::remove_dir_all(&fetching).await;
        tokio::fs::create_dir_all(&fetching).await.map_err(failed)?;
        let after = object.patience();
        let file = fetching.join(name);
        let written = tokio::time::timeout(after, write(object, &file)).await;
        written.map_err(|_| ObjectError::Timeout { place: place.clone(), after })??;
        let whole = home.join(&version);
        let _ = tokio::fs::remove_dir_all(&whole).await;
        tokio::fs::rename(&fetching, &whole).await.map_err(failed)?;
    }
    let mut entries = tokio::fs::read_dir(home).await.map_err(failed)?;
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        if entry.file_name() != *version {
            let _ = tokio::fs::remove_dir_all(entry.path()).await;
        }
    }
    Ok(path)
}

/// Writes an object into a file.
async fn write(mut object: Opened, path: &Path) -> Result<(), ObjectError> {
    let failed =
        |error: std::io::Error| ObjectError::Failed { place: path.display().to_string(), error: error.to_string() };
    let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
    while let Some(piece) = object.next().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)
}

/// The file of the version that was fetched last.
async fn kept(home: &Path) -> Option<PathBuf> {
    let mut entries = tokio::fs::read_dir(home).await.ok()?;
    while let Some(entry) = entries.next_entry().await.ok()? {
        if entry.file_name() == FETCHING {
            continue;
        }
        let mut files = tokio::fs::read_dir(entry.path()).await.ok()?;
        if let Some(file) = files.next_entry().await.ok()? {
            return Some(file.path());
        }
    }
    None
}

/// A name of a directory for any text.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
