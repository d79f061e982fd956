//! Views over whole databases: the model engine with its crashes, and the embedded one. Source: docs/spec/sinks.md 6 and 9.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod bench;
mod cases;
mod oracle;
mod random;
mod versions;
