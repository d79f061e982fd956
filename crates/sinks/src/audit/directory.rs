//! A trail in a directory. Segments are appended to files, each of which is synced before it counts; a new file gets its name by a rename
//! when its content is synced.

use std::fs::{self, File};
use std::io::{self, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncSeekExt};

use super::place::{At, NewSegment, Place, PlaceError, Tried, file_name, file_of, is_another};

/// A file of so many bytes gets no more. Our reason: a file of this size is copied and looked through in a moment, and a trail of a
/// terabyte has some ten thousand.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What is read behind the place of a segment, to see whether another one comes there. Our reason: a line with the names of two chains and a path.
const BEHIND_BYTES: usize = 64 * 1024;
/// The longest earlier try that is looked for. Our reason: above what a flush makes of its bytes, as JSON and in base64.
const TRIED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Folders below each other that a trail has.
const DEPTH_MAX: usize = 4;

/// A trail in a directory.
pub struct Directory {
    root: PathBuf,
    file_bytes_max: u64,
}

impl Directory {
    /// The trail in `root`, which is made with its first segment.
    pub fn new(root: PathBuf) -> Directory {
        Directory { root, file_bytes_max: FILE_BYTES_MAX }
    }

    /// With files of another size.
    pub fn with_file_bytes_max(self, file_bytes_max: u64) -> Directory {
        Directory { file_bytes_max, ..self }
    }
}

impl Place for Directory {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn file_bytes_max(&self) -> u64 {
        self.file_bytes_max
    }

    fn write(&self, at: At, segment: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>> {
        let (root, path) = (self.root.clone(), self.path(&at.chain, at.file));
        async move {
            aside(move || match at.offset {
                0 => create(&root, &path, &segment),
                offset => append(&path, offset, &segment),
            })
            .await
            .unwrap_or_else(|error| Err(PlaceError::Io(error.to_string())))
        }
        .boxed()
    }

    fn chains(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        let root = self.root.clone();
        async move {
            aside(move || {
                let mut found = Vec::new();
                walk(&root, "", 0, &mut found)?;
                found.sort();
                Ok(found)
            })
            .await?
        }
        .boxed()
    }

    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, io::Result<(Vec<u64>, Vec<String>)>> {
        let folder = self.root.join(chain);
        async move {
            aside(move || {
                let (mut files, mut foreign) = (Vec::new(), Vec::new());
                for entry in fs::read_dir(folder)? {
                    let name = entry?.file_name().to_string_lossy().into_owned();
                    match file_of(&name) {
                        Some(file) => files.push(file),
                        None if name.starts_with(UNFINISHED) => {}
                        None => foreign.push(name),
                    }
                }
                files.sort_unstable();
                foreign.sort();
                Ok((files, foreign))
            })
            .await?
        }
        .boxed()
    }

    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, io::Result<Box<dyn AsyncRead + Send + Unpin>>> {
        async move {
            let mut opened = tokio::fs::File::open(self.path(&at.chain, at.file)).await?;
            if at.offset > 0 {
                opened.seek(SeekFrom::Start(at.offset)).await?;
            }
            Ok(Box::new(opened) as Box<dyn AsyncRead + Send + Unpin>)
        }
        .boxed()
    }
}

impl Directory {
    fn path(&self, chain: &str, file: u64) -> PathBuf {
        self.root.join(chain).join(file_name(file))
    }
}

/// What a file is called before it is whole.
const UNFINISHED: &str = ".unfinished-";

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> PlaceError {
    move |error| PlaceError::Io(format!("{}: {error}", path.display()))
}

/// Makes a file with its first segment. One that begins with it already stays as it is: somebody was quicker. So does another one.
fn create(root: &Path, path: &Path, segment: &NewSegment) -> Result<(), PlaceError> {
    let NewSegment { bytes, tried, .. } = segment;
    let folder = path.parent().unwrap_or(root);
    make_folders(folder).map_err(failed(folder))?;
    match File::open(path) {
        Ok(there) => {
            let (begin, goes_on) = read_from(&there, 0, longest(bytes, tried)).map_err(failed(path))?;
            if begin.starts_with(bytes) {
                return there.sync_all().map_err(failed(path));
            }
            if is_another(&begin, bytes, true, goes_on, tried) {
                return Err(PlaceError::Taken(path.display().to_string()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(path)(error)),
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = folder.join(format!("{UNFINISHED}{name}"));
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed(path))
}

/// The bytes of the segment, or of an earlier try at it that is longer.
fn longest(bytes: &[u8], tried: &[Tried]) -> usize {
    let tried = tried.iter().filter_map(|tried| usize::try_from(tried.bytes).ok()).max().unwrap_or(0);
    // More than a flush makes is none of ours.
    bytes.len().max(tried.min(TRIED_BYTES_MAX))
}

/// What a file has from an offset on, of a segment with so many bytes and the beginning of what is behind it; and whether it has more.
fn read_from(file: &File, offset: u64, bytes: usize) -> io::Result<(Vec<u8>, bool)> {
    let found = usize::try_from(file.metadata()?.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut there = vec![0; found.min(bytes + BEHIND_BYTES)];
    file.read_exact_at(&mut there, offset)?;
    let goes_on = there.len() < found;
    Ok((there, goes_on))
}

/// Appends a segment, over an earlier try at it. One that is there already stays, with whatever came behind it since: somebody was
/// quicker. So does another one.
fn append(path: &Path, offset: u64, segment: &NewSegment) -> Result<(), PlaceError> {
    let NewSegment { bytes, tried, .. } = segment;
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PlaceError::CutOff { file: path.display().to_string(), found: 0, expected: offset });
        }
        opened => opened.map_err(failed(path))?,
    };
    let found = file.metadata().map_err(failed(path))?.len();
    if found < offset {
        return Err(PlaceError::CutOff { file: path.display().to_string(), found, expected: offset });
    }
    let (there, goes_on) = read_from(&file, offset, longest(bytes, tried)).map_err(failed(path))?;
    if is_another(&there, bytes, false, goes_on, tried) {
        return Err(PlaceError::Taken(path.display().to_string()));
    }
    let write = || {
        if there.starts_with(bytes) {
            return file.sync_data();
        }
        let end = offset + bytes.len() as u64;
        file.write_all_at(bytes, offset)?;
        if found > end {
            file.set_len(end)?;
        }
        file.sync_data()
    };
    write().map_err(failed(path))
}

/// Makes the folders that are missing, and lets the ones above know of them durably.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_folders(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

/// The folders below `path` that have files in them.
fn walk(path: &Path, name: &str, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
    let mut has_files = false;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            has_files = true;
        } else if depth < DEPTH_MAX {
            let below = entry.file_name().to_string_lossy().into_owned();
            let joined = if name.is_empty() { below } else { format!("{name}/{below}") };
            walk(&entry.path(), &joined, depth + 1, found)?;
        }
    }
    if has_files && !name.is_empty() {
        found.push(name.to_owned());
    }
    Ok(())
}
