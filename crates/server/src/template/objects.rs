//! Objects of buckets that are files of this machine: what deployment tools are about to put into a bucket lies beside the
//! template, and an operator may say which directory a bucket is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tailrace_core::code::CodeSource;
use tailrace_core::limits::TEMPLATE_BYTES_MAX;
use tailrace_template::LocateError;

use crate::files;

/// The ending of the files in which the CDK lists what it would upload.
const ASSETS_ENDING: &str = ".assets.json";

/// What stands for the objects of a template.
pub(super) struct Objects<'a> {
    /// The directories of the template and of those inside of it.
    dirs: Vec<PathBuf>,
    /// Buckets that are directories of this machine.
    resources: &'a BTreeMap<String, String>,
    /// The files of the CDK's assets, by key.
    assets: BTreeMap<String, PathBuf>,
}

impl<'a> Objects<'a> {
    /// Those of templates in these directories.
    pub(super) fn of(dirs: Vec<PathBuf>, resources: &'a BTreeMap<String, String>) -> Objects<'a> {
        let assets = dirs.iter().flat_map(|dir| assets_of(dir)).collect();
        Objects { dirs, resources, assets }
    }

    /// The path of this machine that a source is; an object that nothing stands for stays what it is.
    ///
    /// # Errors
    /// A bucket that is a directory has no such file.
    pub(super) fn locate(&self, source: &CodeSource) -> Result<CodeSource, LocateError> {
        let CodeSource::Object { bucket, key } = source else { return Ok(source.clone()) };
        if !Path::new(key).components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(LocateError(format!("the key {key} of the bucket {bucket} leads out of it")));
        }
        if let Some(dir) = self.resources.get(bucket) {
            let path = std::path::absolute(Path::new(dir).join(key)).unwrap_or_else(|_| Path::new(dir).join(key));
            return match path.exists() {
                true => Ok(CodeSource::Path(path)),
                false => Err(LocateError(format!("the bucket {bucket} is {dir}, and {} is not there", path.display()))),
            };
        }
        if let Some(path) = self.assets.get(key) {
            return Ok(CodeSource::Path(path.clone()));
        }
        // Serverless and SAM leave the archive beside the template; the CDK a directory of the same name.
        let file = key.rsplit('/').next().unwrap_or(key);
        let stem = file.strip_suffix(".zip").unwrap_or(file);
        let beside = [file.to_owned(), format!("asset.{file}"), format!("asset.{stem}")];
        let names = || beside.iter().filter(|name| !name.is_empty());
        let mut places = self.dirs.iter().flat_map(|dir| names().map(|name| dir.join(name)));
        Ok(places.find(|path| path.exists()).map_or_else(|| source.clone(), CodeSource::Path))
    }
}

/// A file that lists assets. Members that are not used here are not named.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    files: BTreeMap<String, Asset>,
}

#[derive(Deserialize)]
struct Asset {
    source: AssetSource,
    #[serde(default)]
    destinations: BTreeMap<String, Destination>,
}

#[derive(Deserialize)]
struct AssetSource {
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    object_key: Option<String>,
}

/// The assets that the lists beside a template name. One that cannot be read names none: what it would have named is missing
/// then, and told where it is used.
fn assets_of(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut assets = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return assets };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().ends_with(ASSETS_ENDING) {
            continue;
        }
        let text = files::read_regular(&entry.path(), TEMPLATE_BYTES_MAX).unwrap_or_default();
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { continue };
        for asset in manifest.files.into_values() {
            let Some(path) = asset.source.path.map(|path| dir.join(path)) else { continue };
            let keys = asset.destinations.into_values().filter_map(|destination| destination.object_key);
            assets.extend(keys.map(|key| (key, path.clone())));
        }
    }
    assets
}
