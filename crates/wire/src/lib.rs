//! HTTP in and out: one port, routing by `X-Amz-Target` and path, the checks that come before an operation, error
//! bodies, and the limits that keep clients from piling up. No logic: operations are behind [`Api`].
//!
//! Invariants
//! - Every answer made here carries a request id and the checksum of its body. (Bytes that are not HTTP at all are
//!   answered 400 or 431 by the HTTP library, without them.)
//! - A request that has begun is finished, also when its client hangs up.
//! - Connections, headers, bodies, requests at once and every wait for a client have a bound (`tailrace_core::limits`).
//! - On loopback, without authentication, a web page of a foreign origin gets nothing but 403.
//!
//! What it does not do: it verifies no signature, and it does not know what an operation means.

mod api;
mod auth;
mod body;
mod connection;
mod error_body;
mod foreign;
mod guard;
mod gzip;
mod memory;
mod registry;
mod request_id;
mod response;
mod rest;
mod route;
mod server;
mod settings;
mod target;

pub use api::{AdminRequest, Api, Context, NotReady, Page};
pub use guard::{Guard, host_name};
pub use rest::{RestAnswer, RestRequest};
pub use server::{ServeReport, serve};
pub use settings::Settings;
pub use tailrace_core::Service;
pub use target::Operation;
