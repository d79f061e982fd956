//! What an operation is charged. Nothing is throttled by it. Source: docs/spec/dynamodb-api.md 7.4.

const READ_UNIT_BYTES: usize = 4096;
const WRITE_UNIT_BYTES: usize = 1024;

/// Units of a read of `bytes`, rounded up once; at least one block.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let blocks = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { blocks } else { blocks / 2.0 }
}

/// Units of a write that found `old` bytes and left `new` bytes.
pub(crate) fn write_units(old: usize, new: usize) -> f64 {
    old.max(new).div_ceil(WRITE_UNIT_BYTES).max(1) as f64
}

/// Units of the read of an item of `bytes` in a transaction, and of what a token answers instead of a write.
pub(crate) fn transaction_read_units(bytes: usize) -> f64 {
    2.0 * read_units(bytes, true)
}

/// Units of the write, or the check, of an item in a transaction, from those of the same write alone.
pub(crate) fn transaction_write_units(of_a_write: f64) -> f64 {
    2.0 * of_a_write
}
