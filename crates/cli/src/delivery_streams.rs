//! `tailrace delivery-streams`: where every delivery stream stands; `skip` sets the damaged records of one aside.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tailrace_server::{DeliveryStreamsPage, Skipped, StreamAction, StreamRequest, StreamStatus};

use crate::Outcome;
use crate::args::{Output, ReadArgs};
use crate::check::count;
use crate::client::Client;
use crate::mappings::duration;
use crate::say::{on_one_line, print, say};
use crate::table::table;

/// `delivery-streams`.
#[derive(Debug, Args)]
pub struct DeliveryStreamsArgs {
    /// What is to be done; without it they are shown
    #[command(subcommand)]
    pub action: Option<Action>,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What is to be done to a delivery stream.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Set the damaged records aside that hold it up
    Skip {
        /// Its name
        name: String,
    },
}

const COLUMNS: [&str; 6] = ["DELIVERY STREAM", "TO", "STATE", "BEHIND", "LAG", "LAST ERROR"];

/// Runs `delivery-streams`.
pub async fn run(args: DeliveryStreamsArgs) -> Outcome {
    let mut client = Client::new(&args.read.client.endpoint())?;
    let path = "/_admin/delivery-streams";
    if let Some(Action::Skip { name }) = args.action {
        let request = StreamRequest { name, action: StreamAction::Skip };
        let Skipped { skipped } = client.ask(path, &request).await?;
        say(format_args!("{} skipped", count(skipped, "damaged record")));
        return Ok(ExitCode::SUCCESS);
    }
    let (page, text) = client.page::<DeliveryStreamsPage>(path).await?;
    print(match args.read.output {
        Output::Json => text,
        Output::Text => table(COLUMNS, page.delivery_streams.iter().map(row)),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn row(stream: &StreamStatus) -> [String; COLUMNS.len()] {
    let state = match stream {
        StreamStatus { blocked: true, .. } => "blocked",
        StreamStatus { last_error: Some(_), drained: false, .. } => "retrying",
        StreamStatus { drained: true, .. } => "idle",
        StreamStatus { .. } => "delivering",
    };
    [
        stream.name.clone(),
        stream.endpoint.as_ref().unwrap_or(&stream.bucket).clone(),
        state.to_owned(),
        format!("{}{}", stream.pending_records, if stream.pending_is_more { "+" } else { "" }),
        duration(Duration::from_millis(stream.lag_ms)),
        stream.last_error.as_deref().map_or_else(|| "-".to_owned(), on_one_line),
    ]
}
