//! A place in memory, each file one segment as in an object store; and one that fails at every step.

use std::collections::BTreeMap;
use std::io::Cursor;

use tokio::io::AsyncRead;

use super::*;
use crate::audit::place::{NewSegment, PlaceError, is_another};

/// Files by chain and number.
#[derive(Clone, Default)]
pub struct MemoryPlace {
    #[allow(clippy::type_complexity, reason = "a test")]
    pub files: Arc<Mutex<BTreeMap<(String, u64), Vec<u8>>>>,
    pub file_bytes_max: u64,
}

impl MemoryPlace {
    pub fn of(files: BTreeMap<(String, u64), Vec<u8>>) -> MemoryPlace {
        MemoryPlace { files: Arc::new(Mutex::new(files)), file_bytes_max: 0 }
    }
}

impl Place for MemoryPlace {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn file_bytes_max(&self) -> u64 {
        self.file_bytes_max
    }

    fn write(&self, at: At, NewSegment { bytes, tried, .. }: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>> {
        let mut files = self.files.lock();
        let there = files.entry((at.chain.clone(), at.file)).or_default();
        let answer = match at.offset {
            offset if (there.len() as u64) < offset => {
                Err(PlaceError::CutOff { file: at.chain, found: there.len() as u64, expected: offset })
            }
            offset if is_another(&there[offset as usize..], &bytes, offset == 0, false, &tried) => {
                Err(PlaceError::Taken(format!("{}/{}", at.chain, at.file)))
            }
            offset => {
                there.truncate(offset as usize);
                there.extend_from_slice(&bytes);
                Ok(())
            }
        };
        async { answer }.boxed()
    }

    fn chains(&self) -> BoxFuture<'_, std::io::Result<Vec<String>>> {
        let mut chains: Vec<String> = self.files.lock().keys().map(|(chain, _)| chain.clone()).collect();
        chains.dedup();
        async { Ok(chains) }.boxed()
    }

    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, std::io::Result<(Vec<u64>, Vec<String>)>> {
        let files = self.files.lock();
        let of_chain = files.keys().filter(|(known, _)| known == chain).map(|(_, file)| *file).collect();
        async { Ok((of_chain, Vec::new())) }.boxed()
    }

    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, std::io::Result<Box<dyn AsyncRead + Send + Unpin>>> {
        let bytes = self.files.lock().get(&(at.chain.clone(), at.file)).cloned();
        async move {
            let bytes = bytes.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
            let mut cursor = Cursor::new(bytes);
            cursor.set_position(at.offset);
            Ok(Box::new(cursor) as Box<dyn AsyncRead + Send + Unpin>)
        }
        .boxed()
    }
}

/// What a write does before it fails.
#[derive(Clone, Copy, Debug)]
pub enum Fails {
    /// Nothing.
    Before,
    /// The first half of it is there; of a new file, which comes by its name when it is whole, nothing.
    Half,
    /// All of it, and nobody is told.
    After,
}

/// A place whose next write fails.
pub struct Failing<P> {
    pub place: P,
    pub next: Mutex<Option<Fails>>,
}

impl<P: Place> Place for Failing<P> {
    fn name(&self) -> String {
        self.place.name()
    }

    fn file_bytes_max(&self) -> u64 {
        self.place.file_bytes_max()
    }

    fn write(&self, at: At, segment: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>> {
        let fails = self.next.lock().take();
        async move {
            let effect = match fails {
                None => return self.place.write(at, segment).await,
                Some(Fails::Before) => None,
                Some(Fails::Half) if at.offset == 0 => None,
                Some(Fails::Half) => Some(segment.bytes.slice(..segment.bytes.len() / 2)),
                Some(Fails::After) => Some(segment.bytes.clone()),
            };
            if let Some(bytes) = effect {
                self.place.write(at, NewSegment { bytes, ..segment }).await?;
            }
            Err(PlaceError::Io("it fails on purpose".to_owned()))
        }
        .boxed()
    }

    fn chains(&self) -> BoxFuture<'_, std::io::Result<Vec<String>>> {
        self.place.chains()
    }

    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, std::io::Result<(Vec<u64>, Vec<String>)>> {
        self.place.files(chain)
    }

    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, std::io::Result<Box<dyn AsyncRead + Send + Unpin>>> {
        self.place.open(at)
    }
}

/// A place that tells when a segment is written.
pub struct Watched<P> {
    pub place: P,
    pub written: Box<dyn Fn() + Send + Sync>,
}

impl<P: Place> Place for Watched<P> {
    fn name(&self) -> String {
        self.place.name()
    }

    fn file_bytes_max(&self) -> u64 {
        self.place.file_bytes_max()
    }

    fn write(&self, at: At, segment: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>> {
        let written = self.place.write(at, segment);
        written.inspect(|_| (self.written)()).boxed()
    }

    fn chains(&self) -> BoxFuture<'_, std::io::Result<Vec<String>>> {
        self.place.chains()
    }

    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, std::io::Result<(Vec<u64>, Vec<String>)>> {
        self.place.files(chain)
    }

    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, std::io::Result<Box<dyn AsyncRead + Send + Unpin>>> {
        self.place.open(at)
    }
}
