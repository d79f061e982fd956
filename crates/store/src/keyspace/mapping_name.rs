//! Mappings by what they connect: kind ‖ ARN of the stream ‖ `00` ‖ ARN of the function. No ARN holds a zero byte.

use super::{KeyKind, text};
use crate::engine::Key;
use tailrace_core::{FunctionArn, StreamArn};

/// The key of the row that says which mapping a stream and a function have: there is one for each, so that no two mappings
/// are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingNameKey {
    /// The stream's ARN.
    pub source_arn: StreamArn,
    /// The function's ARN, qualifier included.
    pub function_arn: FunctionArn,
}

impl MappingNameKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes =
            KeyKind::MappingName.start(self.source_arn.as_str().len() + 1 + self.function_arn.as_str().len());
        bytes.extend_from_slice(self.source_arn.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.function_arn.as_str().as_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<MappingNameKey> {
        let arns = text(KeyKind::MappingName.strip(&key.0)?)?;
        let (source_arn, function_arn) = arns.split_once('\0')?;
        Some(MappingNameKey { source_arn: StreamArn::new(source_arn), function_arn: FunctionArn::new(function_arn) })
    }
}
