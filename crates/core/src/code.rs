//! Where the code of a function, or the content of a layer, comes from, and what it is once it is there.
//!
//! Plain data: a template says the source, whoever may read the disk makes a package of it, and a function is registered
//! with that.

use std::fmt;
use std::path::PathBuf;

/// Where the code of a function, or the content of a layer, comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeSource {
    /// A path of this machine: a directory, a zip archive, or one file, which then is all of the code.
    Path(PathBuf),
    /// A text that a template holds.
    Inline {
        /// The file that it is written as: `index.py`, `index.js`.
        file_name: String,
        /// The text.
        text: String,
    },
    /// An object in a bucket.
    Object {
        /// The bucket, or what stands for it.
        bucket: String,
        /// The key.
        key: String,
    },
}

impl fmt::Display for CodeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeSource::Path(path) => path.display().fmt(f),
            CodeSource::Inline { file_name, .. } => write!(f, "{file_name} in the template"),
            CodeSource::Object { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// What a function runs from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The directory of its code.
    pub code_dir: PathBuf,
    /// The directories of its layers, in the order of the function's list: where two have the same, the later one's counts.
    pub layers: Vec<PathBuf>,
}
