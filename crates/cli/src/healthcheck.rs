//! `tailrace healthcheck`: 0 if the server is ready, for container health checks and scripts.

use std::process::ExitCode;

use hyper::StatusCode;
use serde_json::json;
use tailrace_server::Code;

use crate::args::{Output, ReadArgs};
use crate::client::Client;
use crate::say::print;
use crate::{Failure, Outcome};

/// Runs the command: exit code 1 if the server is not ready, with the reason.
pub async fn run(args: ReadArgs) -> Outcome {
    let checked = check(&args.client.endpoint()).await;
    if args.output == Output::Json {
        print(match &checked {
            Ok(()) => json!({ "ready": true, "reason": null }),
            Err(why) => json!({ "ready": false, "reason": why.text(), "reasonCode": why.code().to_string() }),
        })?;
    }
    checked.map(|()| ExitCode::SUCCESS)
}

async fn check(endpoint: &str) -> Result<(), Failure> {
    let mut client = Client::new(endpoint)?;
    let (status, body) = client.get("/health/ready").await?;
    let body = String::from_utf8_lossy(&body);
    if status == StatusCode::OK && body == "ready\n" {
        return Ok(());
    }
    match body.lines().next() {
        Some(line) if status == StatusCode::SERVICE_UNAVAILABLE && line.starts_with("not ready: ") => {
            Err(Failure::new(Code::NotReady, line))
        }
        _ => Err(client.refused(status, &body)),
    }
}
