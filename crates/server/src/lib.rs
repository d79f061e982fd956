//! The wiring of Tailrace: start-up and shutdown, templates, background work.
//!
//! Invariants
//! - Start-up order: port taken, data directory locked and recovered, leftovers of an earlier server killed, functions,
//!   template, requests, mappings; ready only then. Shutdown runs the other way round.
//! - Real time and the system's randomness are read in [`clock`] alone.

mod admin;
mod allocator;
mod api;
mod apply;
mod as_of;
mod background;
mod buckets;
pub mod clock;
mod code;
mod config;
mod delivery_streams;
pub mod files;
mod functions;
mod holder;
mod kinesis;
mod lambda_api;
pub mod logs;
pub mod mappings;
mod open_files;
mod packages;
mod parked;
mod reload;
mod report;
mod server;
pub mod sinks;
mod store;
pub mod template;

pub use admin::{DeliveryStreamsPage, Skipped, StreamAction, StreamRequest};
pub use allocator::Allocator;
pub use code::Code;
pub use config::{Config, TemplateValues};
pub use reload::StackContents;
pub use report::{
    Event, InvokeAnswer, InvokeRequest, MappingsPage, ParkedPage, ParkedReport, RecordName, RedriveAnswer,
};
pub use server::{Server, StartError, sinks_path};
pub use store::{check_offline, set_aside_offline};
pub use tailrace_firehose::StreamStatus;
pub use tailrace_store_embedded::SetAsideError;
pub use tailrace_template::did_you_mean;
