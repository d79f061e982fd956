//! A parent for tests: opens a pool over the directories that it is told, invokes the function once, and prints what
//! came back. It then stays, with the process warm, until it is killed.

use std::sync::Arc;
use tailrace_core::EpochMs;
use tailrace_core::FunctionArn;

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_lambda::{FunctionConfig, Functions, InvokeContext, InvokeOutcome, PythonClient, Settings};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, state_dir, code_dir] = arguments.as_slice() else { panic!("usage: parent STATE_DIR CODE_DIR") };
    let mut settings = Settings::new(state_dir);
    settings.python_client = PythonClient::Own;
    let (logs, _output) = tokio::sync::mpsc::channel(16);
    let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
    let functions = Functions::open(settings, clock, Arc::new(SeededRng::new(7)), logs).expect("a pool");
    let config = FunctionConfig::new("f", FunctionArn::new("arn:f"), "python3.13", "app.handler", code_dir);
    functions.put(config).expect("a function");
    match functions.invoke("f", Bytes::from_static(b"{}"), InvokeContext::default()).await {
        InvokeOutcome::Success { payload, .. } => println!("{}", String::from_utf8_lossy(&payload)),
        other => println!("{other:?}"),
    }
    std::future::pending::<()>().await;
}
