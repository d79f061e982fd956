//! The tests of order, checkpoints, redrive, windows and ownership once more, over an engine that numbers the records of each shard by
//! themselves: nothing may rest on one order of all numbers.

#![allow(
    clippy::duplicate_mod,
    reason = "each file has the stage as its own module, as the binary that it is elsewhere"
)]

#[path = "../crashes.rs"]
mod crashes;
#[path = "../filters.rs"]
mod filters;
#[path = "../operator.rs"]
mod operator;
#[path = "../ownership.rs"]
mod ownership;
#[path = "../runner.rs"]
mod runner;
#[path = "../windows.rs"]
mod windows;
