//! `tailrace healthcheck`: 0 if the server is ready, for container health checks and scripts.

use std::process::ExitCode;

use hyper::StatusCode;

use crate::args::ClientArgs;
use crate::client::Client;
use crate::{Failure, Outcome};

/// Runs the command.
pub async fn run(args: ClientArgs) -> Outcome {
    let (status, body) = Client::new(&args.endpoint())?.get("/health/ready").await?;
    let body = String::from_utf8_lossy(&body);
    if status == StatusCode::OK && body == "ready\n" {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure(body.lines().next().unwrap_or("no answer").to_owned()))
}
