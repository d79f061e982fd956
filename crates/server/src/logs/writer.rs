//! Writes the lines, and lets the oldest files go.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use tailrace_core::limits;
use tailrace_lambda::LogLine;
use tokio::sync::mpsc;

use super::KeptLine;
use super::files::{self, file_name, numbers};
use crate::report::Event;

/// Writes lines to the files of their functions.
pub(super) struct Writer {
    directory: Arc<Path>,
    open: BTreeMap<Arc<str>, Open>,
    events: mpsc::Sender<Event>,
    /// The last lines could not be written, and that was told.
    failing: bool,
}

/// The newest file of a function.
struct Open {
    file: File,
    number: u64,
    bytes: u64,
}

impl Writer {
    pub fn new(directory: Arc<Path>, events: mpsc::Sender<Event>) -> Writer {
        Writer { directory, open: BTreeMap::new(), events, failing: false }
    }

    /// Writes lines. Those that cannot be written are gone, which is told once.
    pub fn write(&mut self, lines: &[LogLine]) {
        let mut of_functions: BTreeMap<Arc<str>, Vec<u8>> = BTreeMap::new();
        for line in lines {
            let bytes = of_functions.entry(Arc::clone(&line.function)).or_default();
            serde_json::to_writer(&mut *bytes, &KeptLine::of(line)).expect("invariant: texts can be written as JSON");
            bytes.push(b'\n');
        }
        for (function, bytes) in of_functions {
            let written = self.append(&function, &bytes);
            match written {
                Ok(()) => self.failing = false,
                Err(error) => {
                    // The file may end in the middle of a line: it is looked at again.
                    self.open.remove(&function);
                    if !std::mem::replace(&mut self.failing, true) {
                        let text = format!("what {function} writes cannot be kept: {error}; it is tried again");
                        let _ = self.events.try_send(Event::Notice(text));
                    }
                }
            }
        }
    }

    fn append(&mut self, function: &Arc<str>, bytes: &[u8]) -> io::Result<()> {
        let directory = files::of_function(&self.directory, function);
        if !self.open.contains_key(function) {
            if self.open.len() >= limits::KEPT_LOG_FILES_OPEN_MAX {
                self.open.clear();
            }
            self.open.insert(Arc::clone(function), Open::newest(&directory)?);
        }
        let Some(open) = self.open.get_mut(function) else { return Ok(()) };
        if open.bytes > 0 && open.bytes + bytes.len() as u64 > limits::KEPT_LOG_FILE_BYTES_MAX {
            *open = Open::make(&directory, open.number + 1)?;
            drop_oldest(&directory, open.number);
        }
        open.file.write_all(bytes)?;
        open.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Open {
    /// The newest file of a directory, or its first one.
    fn newest(directory: &Path) -> io::Result<Open> {
        // What a function writes may be nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let newest = numbers(directory).map_err(|error| error.source)?.last().copied();
        let mut open = Open::make(directory, newest.unwrap_or(1))?;
        // A process that was killed, or a full disk, may have left half a line: it stays one of its own.
        if open.bytes > 0 {
            let mut last = [0];
            open.file.seek(SeekFrom::End(-1))?;
            open.file.read_exact(&mut last)?;
            if last != *b"\n" {
                open.file.write_all(b"\n")?;
                open.bytes += 1;
            }
        }
        Ok(open)
    }

    fn make(directory: &Path, number: u64) -> io::Result<Open> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(directory.join(file_name(number)))?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, number, bytes })
    }
}

/// Removes the files that are too many. One that stays goes the next time.
fn drop_oldest(directory: &Path, newest: u64) {
    for number in numbers(directory).unwrap_or_default() {
        if number + limits::KEPT_LOG_FILES_MAX <= newest {
            let _ = fs::remove_file(directory.join(file_name(number)));
        }
    }
}
