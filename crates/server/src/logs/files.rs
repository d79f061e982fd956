//! The files of a function's log: `<function>/<number>.ndjson`, the number in ten digits. The highest is written, the others are
//! as they will stay until they go.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tailrace_core::limits;

use super::{KeptLine, LogPage};

/// A file of a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct LogFileError {
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl LogFileError {
    pub(super) fn ended_early() -> LogFileError {
        LogFileError { path: PathBuf::from("function-logs"), source: io::Error::other("the read ended early") }
    }
}

/// A place between two lines: a file's number, and bytes from its beginning. Its text: `12/3456`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl Place {
    /// Reads the text.
    pub fn parse(text: &str) -> Option<Place> {
        let (file, offset) = text.split_once('/')?;
        Some(Place { file: file.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.file, self.offset)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        let text = String::deserialize(deserializer)?;
        Place::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no place in a log")))
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The function's name.
    pub function: String,
    /// Behind this place; `None`: from the oldest that is kept.
    pub after: Option<Place>,
    /// Only those of this invocation: its request id, or the beginning of that.
    pub request: Option<String>,
}

const ENDING: &str = ".ndjson";

/// The directory of a function's log. Names of functions are letters, digits, `-` and `_`; anything else is written by its code, so
/// that no name leads elsewhere.
pub(super) fn of_function(directory: &Path, function: &str) -> PathBuf {
    let mut name = String::with_capacity(function.len());
    for character in function.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => name.push(character),
            other => name.push_str(&format!("%{:x}%", u32::from(other))),
        }
    }
    directory.join(name)
}

/// The functions that have a log, by name.
pub fn functions(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

pub(super) fn file_name(number: u64) -> String {
    format!("{number:010}{ENDING}")
}

/// The numbers of a log's files, in order. A directory that is not there has none.
pub(super) fn numbers(directory: &Path) -> Result<Vec<u64>, LogFileError> {
    let failed = |source| LogFileError { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A page of lines, at most `KEPT_LOG_PAGE_LINES_MAX` of them and about `KEPT_LOG_PAGE_BYTES_MAX`. It reads the disk.
///
/// # Errors
/// A file cannot be read.
pub fn read(directory: &Path, selection: &Selection) -> Result<LogPage, LogFileError> {
    let own = of_function(directory, &selection.function);
    let numbers = numbers(&own)?;
    let Some(&oldest) = numbers.first() else {
        return Ok(LogPage { next: selection.after, ..LogPage::default() });
    };
    let gap = selection.after.is_some_and(|after| after.file < oldest);
    let start = selection.after.filter(|_| !gap).unwrap_or(Place { file: oldest, offset: 0 });
    let mut page = LogPage { next: Some(start), gap, ..LogPage::default() };
    let mut room = Room { lines: limits::KEPT_LOG_PAGE_LINES_MAX, bytes: limits::KEPT_LOG_PAGE_BYTES_MAX };
    for number in numbers.into_iter().filter(|number| *number >= start.file) {
        let offset = if number == start.file { start.offset } else { 0 };
        let place = Place { file: number, offset };
        match read_file(&own.join(file_name(number)), place, selection, &mut room, &mut page) {
            Ok(()) => {}
            // It was the oldest, and has just gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => page.gap = true,
            Err(source) => return Err(LogFileError { path: own.join(file_name(number)), source }),
        }
        if page.more {
            break;
        }
    }
    Ok(page)
}

/// What a page still takes. Lines that are not wanted count with their bytes, so that a page ends in bounded time.
struct Room {
    lines: usize,
    bytes: usize,
}

fn read_file(
    path: &Path,
    mut place: Place,
    selection: &Selection,
    room: &mut Room,
    page: &mut LogPage,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        reader.read_until(b'\n', &mut bytes)?;
        // The rest of a line that is being written comes later.
        let Some(line) = bytes.strip_suffix(b"\n") else { break };
        if room.lines == 0 || room.bytes == 0 {
            page.more = true;
            break;
        }
        place.offset += bytes.len() as u64;
        room.bytes = room.bytes.saturating_sub(bytes.len());
        let line = KeptLine::read(line);
        let is_of = |wanted: &String| line.request_id.as_ref().is_some_and(|id| id.starts_with(wanted.as_str()));
        if selection.request.as_ref().is_none_or(is_of) {
            room.lines -= 1;
            page.lines.push(line);
        }
    }
    page.next = Some(place);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_a_name_leads_nowhere_else() {
        let place = Place { file: 12, offset: 3456 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        assert_eq!(Place::parse("12"), None);
        let root = Path::new("/logs");
        assert_eq!(of_function(root, "level-up_2"), root.join("level-up_2"));
        assert_eq!(of_function(root, "../a/\u{e9}"), root.join("%2e%%2e%%2f%a%2f%%e9%"));
    }
}
