//! Reading a trail: lines of a file, one after the other, in memory for one line.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::chain::{Hash, ReadLine};
use super::entry::SIGNATURE;
use super::head::Head;
use super::place::{At, Place, file_name};
use crate::sink::SinkError;

/// Longest line, bytes. Our reason: two images of 400 KB whose every byte is escaped have some 5 MB.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum FileLine<'a> {
    /// Whole, without its line feed.
    Whole(&'a [u8]),
    /// The file ends within it, or it is longer than any line is.
    Broken(&'a [u8]),
}

/// The lines of a file.
pub struct Lines {
    file: Box<dyn AsyncRead + Send + Unpin>,
    buffer: Vec<u8>,
    /// What of the buffer was handed out.
    taken: usize,
    ended: bool,
}

impl Lines {
    /// The lines of what is read from `file`.
    pub fn new(file: Box<dyn AsyncRead + Send + Unpin>) -> Lines {
        Lines { file, buffer: Vec::new(), taken: 0, ended: false }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn next(&mut self) -> std::io::Result<Option<FileLine<'_>>> {
        let mut looked_at = self.taken;
        loop {
            if let Some(length) = find_line_feed(&self.buffer[looked_at..]) {
                let line = self.taken..looked_at + length;
                self.taken = line.end + 1;
                return Ok(Some(FileLine::Whole(&self.buffer[line])));
            }
            looked_at = self.buffer.len();
            if self.ended || looked_at - self.taken > LINE_BYTES_MAX {
                let rest = self.taken..looked_at;
                self.taken = looked_at;
                let is_end = self.ended && rest.is_empty();
                return Ok((!is_end).then(|| FileLine::Broken(&self.buffer[rest])));
            }
            if self.taken > 0 {
                self.buffer.drain(..self.taken);
                looked_at -= self.taken;
                self.taken = 0;
            }
            self.buffer.reserve(PIECE_BYTES);
            self.ended = self.file.read_buf(&mut self.buffer).await? == 0;
        }
    }
}

fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Whether the place still ends with the segment that was confirmed last: what was changed or cut off behind the server's back is not gone on from.
///
/// # Errors
/// It does not, or cannot be read.
pub(super) async fn check_end(place: &dyn Place, head: &Head) -> Result<(), SinkError> {
    let name = format!("{}/{} in {}", head.chain, file_name(head.file), place.name());
    let last = At { chain: head.chain.clone(), file: head.file, offset: head.last_at };
    let bytes = async {
        let file = place.open(&last).await?;
        let mut bytes = Vec::new();
        file.take(head.end - head.last_at).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    let bytes = bytes.await.map_err(|error| SinkError(format!("{name}: {error}")))?;
    if (bytes.len() as u64) < head.end - head.last_at {
        return Err(SinkError(format!(
            "{name} was cut off: it has fewer than the {} bytes that were written",
            head.end
        )));
    }
    let hash = head.hash()?;
    let mut last = None;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let changed = || SinkError(format!("{name} was changed: its last segment is not what was written"));
        let read = ReadLine::parse(line).ok_or_else(changed)?;
        if read.text("event_name") == Some(SIGNATURE) {
            continue;
        }
        let before: Hash = read.hash("prev_hash").ok_or_else(changed)?;
        let own = read.hash_behind(&before).filter(|own| read.hash("hash") == Some(*own)).ok_or_else(changed)?;
        if last.is_some_and(|last| last != before) {
            return Err(changed());
        }
        last = Some(own);
    }
    match last {
        Some(last) if last == hash => Ok(()),
        _ => Err(SinkError(format!("{name} was changed: its last segment is not what was written"))),
    }
}
