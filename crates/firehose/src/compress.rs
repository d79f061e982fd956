//! Compressed objects. Invariant: the bytes are a function of what they hold.

use tailrace_sinks::objects::encode::{self, EncodeError};

/// How objects are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Compression {
    /// Not at all.
    #[default]
    #[serde(rename = "UNCOMPRESSED")]
    None,
    /// Gzip.
    #[serde(rename = "GZIP")]
    Gzip,
    /// A zip archive.
    #[serde(rename = "ZIP")]
    Zip,
    /// Snappy.
    Snappy,
    /// Snappy, as Hadoop has it.
    #[serde(rename = "HADOOP_SNAPPY")]
    HadoopSnappy,
    /// A compressor that refuses all bytes, as none in memory does.
    #[cfg(test)]
    Broken,
}

impl Compression {
    /// Whether objects can be compressed so here.
    pub fn is_here(self) -> bool {
        match self {
            Compression::None | Compression::Gzip => true,
            Compression::Zip | Compression::Snappy | Compression::HadoopSnappy => false,
            #[cfg(test)]
            Compression::Broken => true,
        }
    }

    /// As requests spell it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "UNCOMPRESSED",
            Compression::Gzip => "GZIP",
            Compression::Zip => "ZIP",
            Compression::Snappy => "Snappy",
            Compression::HadoopSnappy => "HADOOP_SNAPPY",
            #[cfg(test)]
            Compression::Broken => "Broken",
        }
    }

    /// What names end in. Source: docs/spec/sinks.md 2.1.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zip => ".zip",
            Compression::Snappy => ".snappy",
            Compression::HadoopSnappy => ".hsnappy",
            #[cfg(test)]
            Compression::Broken => ".broken",
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Compression::Gzip => "application/gzip",
            _ => "application/octet-stream",
        }
    }

    /// Compresses.
    ///
    /// # Errors
    /// The compressor's; or there is none of this kind here, which no destination that was read has.
    pub fn of(self, bytes: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
        match self {
            Compression::None => Ok(bytes),
            Compression::Gzip => encode::compress(bytes, encode::Compression::Gzip),
            other => Err(EncodeError::Format(format!("nothing here compresses to {}", other.name()))),
        }
    }
}
