//! `tailrace logs FUNCTION`: what a function wrote, from the server that runs or from the files of a data directory.
//!
//! With `--follow` it outlives the server: what is kept is kept over a restart, and so is the place in it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use tailrace_core::limits::{CLIENT_CALL, KEPT_LOG_WAIT};
use tailrace_server::Code;
use tailrace_server::logs::{self, KeptLine, LogPage, Selection};
use tailrace_server::template::did_you_mean;

use crate::args::{Output, ReadArgs};
use crate::client::{Client, NoAnswer};
use crate::follow::{Away, until_left};
use crate::output::{self, Out};
use crate::say::{Reader, print, printable, say};
use crate::{Failure, Outcome};

/// `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Function name
    pub function: String,
    /// Go on with the lines as they come, over restarts of the server
    #[arg(long, short)]
    pub follow: bool,
    /// Only those of this invocation: its request id, or the beginning of that
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// Of what is there only the last lines
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub lines: Option<usize>,
    /// Read the files of this data directory, whether a server runs or not
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Between two looks at files that may have grown.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the command.
pub async fn run(args: LogsArgs) -> Outcome {
    if !args.follow {
        show(args).await?;
        return Ok(ExitCode::SUCCESS);
    }
    until_left(show(args)).await
}

/// Where the lines come from.
enum Source {
    Server(Box<Client>),
    Files(PathBuf),
}

/// Why there is no page.
enum Trouble {
    /// Nobody is there: it may be otherwise soon.
    Lost(String),
    Fatal(Failure),
}

async fn show(args: LogsArgs) -> Result<(), Failure> {
    let mut source = match &args.data_dir {
        Some(dir) => Source::Files(logs::directory(dir)),
        None => {
            let patience = CLIENT_CALL.saturating_add(KEPT_LOG_WAIT);
            Source::Server(Box::new(Client::new(&args.read.client.endpoint())?.patient(patience)))
        }
    };
    source.check(&args.function)?;
    let mut selection = Selection { function: args.function.clone(), after: None, request: args.request.clone() };
    let mut last = args.lines.map(|max| (max, VecDeque::new()));
    let (mut away, mut reached) = (Away::default(), false);
    loop {
        let wait = args.follow && last.is_none();
        let page = match source.page(&selection, wait).await {
            Ok(page) => page,
            // The first word with a server decides whether there is one.
            Err(Trouble::Lost(why)) if args.follow && reached => {
                away.lost(why).await;
                continue;
            }
            Err(Trouble::Lost(why)) => return Err(Failure::new(Code::NoServer, why)),
            Err(Trouble::Fatal(failure)) => return Err(failure),
        };
        away.back();
        reached = true;
        if page.gap && selection.after.is_some() {
            say("older lines are not kept any more: there is a gap here");
        }
        selection.after = page.next;
        let more = page.more;
        match &mut last {
            Some((max, kept)) => {
                kept.extend(page.lines);
                kept.drain(..kept.len().saturating_sub(*max));
            }
            None => {
                if print_all(&args, page.lines)? == Reader::Gone {
                    return Ok(());
                }
            }
        }
        if more {
            continue;
        }
        if let Some((_, kept)) = last.take()
            && print_all(&args, kept)? == Reader::Gone
        {
            return Ok(());
        }
        if !args.follow {
            return Ok(());
        }
    }
}

impl Source {
    /// A function without a file is told at once; the server knows those that have written nothing.
    fn check(&self, function: &str) -> Result<(), Failure> {
        let Source::Files(directory) = self else { return Ok(()) };
        let there = logs::functions(directory);
        if there.iter().any(|name| name == function) {
            return Ok(());
        }
        let hint = did_you_mean(function, there.iter().map(String::as_str));
        let text = format!("{} has nothing of a function {function}{hint}", directory.display());
        Err(Failure::new(Code::Refused, text))
    }

    async fn page(&mut self, selection: &Selection, wait: bool) -> Result<LogPage, Trouble> {
        match self {
            Source::Files(directory) => {
                let page = logs::read(directory, selection);
                let page = page.map_err(|error| Trouble::Fatal(Failure::new(Code::System, error)))?;
                if wait && page.lines.is_empty() && !page.more {
                    tokio::time::sleep(LOOK).await;
                }
                Ok(page)
            }
            Source::Server(client) => {
                let Selection { function, after, request } = selection;
                let mut path = format!("/_admin/logs?function={}", escaped(function));
                if let Some(after) = after {
                    path += &format!("&after={after}");
                }
                if let Some(request) = request {
                    path += &format!("&request={}", escaped(request));
                }
                if wait {
                    path += "&wait=true";
                }
                let (status, body) = client.get(&path).await.map_err(|why| match why {
                    NoAnswer::Unreachable(text) => Trouble::Lost(text),
                    NoAnswer::Foreign(_) => Trouble::Fatal(why.into()),
                })?;
                // Another server that speaks the same API answers any path with a page of its own.
                let page = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK);
                page.ok_or_else(|| Trouble::Fatal(client.refused(status, &String::from_utf8_lossy(&body))))
            }
        }
    }
}

/// A text as a part of a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn print_all(args: &LogsArgs, lines: impl IntoIterator<Item = KeptLine>) -> Result<Reader, Failure> {
    for line in lines {
        let shown = match args.read.output {
            Output::Json => serde_json::to_string(&line)?,
            Output::Text => text(&line, output::is_terminal(Out::Stdout)),
        };
        if print(shown)? == Reader::Gone {
            return Ok(Reader::Gone);
        }
    }
    Ok(Reader::There)
}

/// A line for people; each of its own lines has time, invocation and stream.
fn text(line: &KeptLine, is_terminal: bool) -> String {
    let request = line.request_id.as_deref().unwrap_or("-");
    let head = format!("{} {request} {}", line.time, line.stream);
    let lines = line.text.split('\n').map(|text| {
        let text = if is_terminal { printable(text) } else { text.into() };
        format!("{head} {text}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_text_has_time_invocation_and_stream() {
        let line = KeptLine {
            time: "2026-01-01T00:00:00.000Z".into(),
            request_id: Some("r-1".into()),
            stream: "stderr".into(),
            text: "a\n\u{1b}[31mb".into(),
        };
        let shown = "2026-01-01T00:00:00.000Z r-1 stderr a\n2026-01-01T00:00:00.000Z r-1 stderr ";
        assert_eq!(text(&line, true), format!("{shown}\\x1b[31mb"));
        assert_eq!(text(&line, false), format!("{shown}\u{1b}[31mb"), "a file gets what the function wrote");
        assert!(text(&KeptLine { request_id: None, ..line }, true).starts_with("2026-01-01T00:00:00.000Z - stderr a"));
        assert_eq!(escaped("a b/\u{e9}"), "a%20b%2F%C3%A9");
    }
}
