//! A frame: one commit in a segment, with what proves that it is whole and in its place.

/// Bytes before the body.
pub const HEADER_BYTES: usize = 64;
/// A frame's length is a multiple of this.
pub const ALIGN_BYTES: usize = 8;
