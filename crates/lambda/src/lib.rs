//! Functions: their registry, the pool of their processes, and the host side of the Lambda Runtime API.
//!
//! A function is an unmodified Lambda handler. Each concurrent invocation has an operating system process of its own
//! (an *environment*) that asks for work over a loopback listener of its own; the port is the process's identity.
//!
//! Invariants
//! - An environment works on one invocation at a time; an answer belongs to the invocation that is open there.
//! - When an invocation ends with its process, the group and whatever left it with our token in its environment are gone
//!   or were told to be killed with SIGKILL before the outcome is reported: a caller that retries never runs beside its
//!   own earlier attempt.
//! - No process outlives this one: parent-death signal, and a ledger on disk whose leftovers are killed at start.
//! - A child's environment is built from nothing; the parent's variables never reach it.
//!
//! What it does not do: it is no sandbox for hostile code, it does not freeze idle processes, and it does not know
//! about streams, retries or HTTP clients; those live in `mapping` and `wire`.

mod busy;
mod cgroup;
mod code;
mod document;
mod end;
mod entrypoint;
mod environment;
mod functions;
mod host;
mod interpreters;
mod invoke;
mod java;
mod launch;
mod layers;
mod ledger;
mod logs;
mod look;
mod missing;
mod orphans;
mod output;
mod package;
mod proc;
mod process;
mod report;
mod slots;
mod start;
mod sweeper;
mod turns;

pub use code::CodeFacts;
pub use functions::{Functions, OpenError, PythonClient, Settings, Unlimited};
pub use invoke::{FunctionErrorKind, InvokeContext, InvokeOutcome, NotInvocable, OnWait, ThrottleReason, Withdraw};
pub use logs::{LogLine, LogStream, LogTail};
pub use package::{ArchiveError, PackageError, Packages};
pub use tailrace_core::function::{ConfigError, FunctionConfig};
