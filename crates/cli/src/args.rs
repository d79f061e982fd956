//! The command line: flags over environment variables (`TAILRACE_*`) over defaults.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tailrace_engine::ThrottledTables;
use tailrace_server::template::ALL_STACKS;
use tailrace_server::{Code, Config};

use crate::Failure;
use crate::audit::AuditArgs;
use crate::data::{InvokeArgs, PutArgs, QueryArgs};
use crate::delivery_streams::DeliveryStreamsArgs;
use crate::init::InitArgs;
use crate::logs::LogsArgs;
use crate::mappings::MappingsArgs;
use crate::sinks::{ConfigCommand, SinksArgs};
use crate::style::Color;
use crate::template_args::TemplateArgs;

/// A durable database that speaks the DynamoDB API and runs functions on its streams.
#[derive(Debug, Parser)]
#[command(name = "tailrace", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Say nothing but errors (what functions print is data)
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start with the template of a directory, play its writes once, and show what its functions do
    Up(UpArgs),
    /// Start with what the data directory holds
    Serve(ServerArgs),
    /// Show the changes of a table as they happen
    Tail(TailArgs),
    /// Show each mapping: state, lag, last result
    Mappings(MappingsArgs),
    /// Show each sink and what it set aside; pause, resume, rebuild, replay, retry or remove one
    Sinks(SinksArgs),
    /// Show each delivery stream; set damaged records of one aside
    DeliveryStreams(DeliveryStreamsArgs),
    /// Check tailrace.yaml
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show what a function wrote
    Logs(LogsArgs),
    /// Show the records that were given up; redrive or discard them
    Parked(ParkedArgs),
    /// Write a first project: a template, a handler, writes to play
    Init(InitArgs),
    /// Show the tables
    Tables(ReadArgs),
    /// Show the items of a table with a partition key, in plain values
    Query(QueryArgs),
    /// Put an item, in plain values
    Put(PutArgs),
    /// Run a function on an event, and show what it answers
    Invoke(InvokeArgs),
    /// End with 0 if the server is ready
    Healthcheck(ReadArgs),
    /// Verify every byte of a data directory
    Check(CheckArgs),
    /// Verify audit trails, show what is in them, and make their keys
    Audit(AuditArgs),
    /// Write the completions of a shell to stdout
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory
    Man {
        /// The directory
        dir: PathBuf,
    },
}

/// An address to listen on; `localhost` is one.
#[derive(Clone, Copy, Debug)]
pub struct Host(IpAddr);

impl std::str::FromStr for Host {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Host, Self::Err> {
        match text {
            "localhost" => Ok(Host(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            address => address.parse().map(Host),
        }
    }
}

/// Flags of a server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Port [env: TAILRACE_PORT] [default: 8000]
    #[arg(long)]
    pub port: Option<u16>,
    /// Address to listen on [env: TAILRACE_HOST] [default: 127.0.0.1]
    #[arg(long)]
    pub host: Option<Host>,
    /// Listen on an address that other machines reach, though nothing asks them who they are [env: TAILRACE_INSECURE]
    #[arg(long)]
    pub insecure: bool,
    /// Everything durable is in here [env: TAILRACE_DATA_DIR] [default: DIR/.tailrace for up, ./.tailrace for serve]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// SAM or CloudFormation template to apply at start, or a directory with one [env: TAILRACE_TEMPLATE]
    #[arg(long)]
    pub template: Option<PathBuf>,
    /// A stack of a cdk.out that has several, or a pattern of their names (`*`; `**` crosses the stages' `/`); may be repeated
    /// [env: TAILRACE_STACK, separated by commas]
    #[arg(long = "stack", value_name = "NAME")]
    stacks: Vec<String>,
    /// All stacks of a cdk.out
    #[arg(long, conflicts_with = "stacks")]
    all_stacks: bool,
    /// The configuration of sinks [env: TAILRACE_CONFIG] [default: tailrace.yaml beside the template]
    #[arg(long = "config")]
    pub sinks: Option<PathBuf>,
    /// Where Kinesis is, for tables with such a destination [env: AWS_ENDPOINT_URL_KINESIS] [default: as `kinesis` in tailrace.yaml says]
    #[arg(long, value_name = "URL")]
    pub kinesis_endpoint: Option<String>,
    /// What the template asks for.
    #[command(flatten)]
    pub template_values: TemplateArgs,
    /// A further host name, for any port, under which clients may reach a server on loopback; may be repeated
    /// [env: TAILRACE_ALLOWED_HOSTS, separated by commas]
    #[arg(long = "allowed-host")]
    pub allowed_hosts: Vec<String>,
    /// Region in ARNs and records [env: TAILRACE_REGION] [default: us-east-1]
    #[arg(long)]
    pub region: Option<String>,
    /// Wording of AWS in error texts [env: TAILRACE_WORDING] [default: current]
    #[arg(long)]
    pub wording: Option<Wording>,
    /// Shards of a new stream [env: TAILRACE_SHARDS] [default: 4]
    #[arg(long)]
    pub shards: Option<usize>,
    /// How long stream records, and streams that were disabled, can be read: a number with s, m, h or d
    /// [env: TAILRACE_STREAM_RETENTION] [default: 24h]
    #[arg(long)]
    pub stream_retention: Option<Retention>,
    /// Lets tables and indexes stay CREATING, UPDATING and DELETING for up to some seconds, as on AWS, with what is refused
    /// meanwhile [env: TAILRACE_AWS_LIKE_STATES]
    #[arg(long)]
    pub aws_like_states: bool,
    /// How long an item stays after its time to live has ended, as on AWS it does: a number with s, m, h or d
    /// [env: TAILRACE_TTL_DELAY] [default: 0s]
    #[arg(long)]
    pub ttl_delay: Option<Delay>,
    /// Refuses requests above the provisioned throughput of tables and global indexes, or above their limits on demand, after a
    /// burst of 300 seconds, as on AWS: of all tables, or of those that are named, separated by commas
    /// [env: TAILRACE_THROTTLE_PROVISIONED, true or names]
    #[arg(long, value_name = "TABLES", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub throttle_provisioned: Option<Throttled>,
}

/// The two wordings that AWS has today.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Wording {
    /// The newer request validation.
    Current,
    /// The older one.
    Classic,
}

impl ServerArgs {
    /// The stacks that were chosen, by names and patterns.
    pub fn stacks(&self) -> Vec<String> {
        if self.all_stacks {
            return vec![ALL_STACKS.to_owned()];
        }
        let of_environment = || env("TAILRACE_STACK").as_deref().map(listed).unwrap_or_default();
        if self.stacks.is_empty() { of_environment() } else { self.stacks.clone() }
    }

    /// The template that was named.
    pub fn template(&self) -> Option<PathBuf> {
        self.template.clone().or_else(|| env("TAILRACE_TEMPLATE").map(PathBuf::from))
    }

    /// The configuration, with environment variables and defaults filled in.
    pub fn config(self, default_data_dir: &Path) -> Result<Config, Failure> {
        let data_dir = self.data_dir.or_else(|| env("TAILRACE_DATA_DIR").map(PathBuf::from));
        let mut config = Config::new(data_dir.unwrap_or_else(|| default_data_dir.to_owned()));
        config.last_words = |why| crate::say::last_words(why);
        config.port = choose(self.port, "TAILRACE_PORT", config.port)?;
        config.host = choose(self.host, "TAILRACE_HOST", Host(config.host))?.0;
        let insecure = self.insecure || choose(None, "TAILRACE_INSECURE", false)?;
        if !config.host.is_loopback() && !insecure {
            return Err(Failure::new(
                Code::Setting,
                format_args!(
                    "{} is an address that other machines reach, and there is no authentication: whoever reaches it reads and \
                     writes everything, and runs functions; --insecure (or TAILRACE_INSECURE=true) listens there all the same",
                    config.host
                ),
            ));
        }
        config.sinks = self.sinks.or_else(|| env("TAILRACE_CONFIG").map(PathBuf::from));
        config.kinesis_endpoint = self.kinesis_endpoint.or_else(|| env("AWS_ENDPOINT_URL_KINESIS"));
        config.template_values = self.template_values.values()?;
        config.allowed_hosts = self.allowed_hosts;
        if config.allowed_hosts.is_empty() {
            config.allowed_hosts = env("TAILRACE_ALLOWED_HOSTS").as_deref().map(listed).unwrap_or_default();
        }
        config.engine.region = choose(self.region, "TAILRACE_REGION", config.engine.region.clone())?;
        config.engine.shards_per_stream = choose(self.shards, "TAILRACE_SHARDS", config.engine.shards_per_stream)?;
        let wording = match (self.wording, env("TAILRACE_WORDING").as_deref()) {
            (Some(wording), _) => wording,
            (None, Some("classic")) => Wording::Classic,
            (None, None | Some("current")) => Wording::Current,
            (None, Some(other)) => {
                return Err(Failure::new(
                    Code::Setting,
                    format_args!("TAILRACE_WORDING={other} is not current or classic"),
                ));
            }
        };
        config.engine.wording = match wording {
            Wording::Current => tailrace_core::model::Wording::Current,
            Wording::Classic => tailrace_core::model::Wording::Classic,
        };
        let retention = Retention(config.engine.stream_retention);
        let Retention(length) = choose(self.stream_retention, "TAILRACE_STREAM_RETENTION", retention)?;
        config.engine.stream_retention = length;
        config.engine.aws_like_states = self.aws_like_states || choose(None, "TAILRACE_AWS_LIKE_STATES", false)?;
        let Delay(delay) = choose(self.ttl_delay, "TAILRACE_TTL_DELAY", Delay(config.engine.ttl_delay))?;
        config.engine.ttl_delay = delay;
        let throttled = Throttled(config.engine.throttled.clone());
        config.engine.throttled = choose(self.throttle_provisioned, "TAILRACE_THROTTLE_PROVISIONED", throttled)?.0;
        let shards_max = tailrace_core::limits::SHARDS_PER_STREAM_MAX;
        if !(1..=shards_max).contains(&config.engine.shards_per_stream) {
            return Err(Failure::new(Code::Setting, format_args!("a stream has 1 to {shards_max} shards")));
        }
        Ok(config)
    }
}

/// What is separated by commas.
fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

/// A stream's retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(pub Duration);

impl std::str::FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Retention, String> {
        let range = tailrace_core::limits::STREAM_RETENTION_RANGE;
        length(text).filter(|length| range.contains(length)).map(Retention).ok_or_else(|| {
            let days = range.end().as_secs() / 86_400;
            format!("{text:?} is no retention: a number with s, m, h or d is expected, from 1s to {days}d")
        })
    }
}

/// How long an expired item stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay(pub Duration);

impl std::str::FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Delay, String> {
        length(text).filter(|delay| *delay <= tailrace_core::limits::TTL_DELAY_MAX).map(Delay).ok_or_else(|| {
            let days = tailrace_core::limits::TTL_DELAY_MAX.as_secs() / 86_400;
            format!("{text:?} is no delay: a number with s, m, h or d is expected, up to {days}d")
        })
    }
}

/// Which tables are throttled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled(pub ThrottledTables);

impl std::str::FromStr for Throttled {
    type Err = String;

    fn from_str(text: &str) -> Result<Throttled, String> {
        Ok(Throttled(match text {
            "true" => ThrottledTables::All,
            "false" => ThrottledTables::None,
            names => {
                let names: Vec<&str> = names.split(',').map(str::trim).collect();
                if names.iter().any(|name| name.is_empty()) {
                    return Err(format!("{text:?} is no list of tables: names, separated by commas"));
                }
                ThrottledTables::Named(names.into_iter().map(str::to_owned).collect())
            }
        }))
    }
}

/// A length of time as it is written: a number with s, m, h or d.
fn length(text: &str) -> Option<Duration> {
    const UNITS_S: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (unit, seconds) = UNITS_S.iter().find(|(unit, _)| text.ends_with(*unit))?;
    text.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(*seconds).map(Duration::from_secs)
}

/// `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// A template, or a directory with one, and, if it likes, with a writes.ndjson: a project's own, or what sam build, cdk
    /// synth (cdk.out), serverless package (.serverless) or terraform show -json (tfplan.json) wrote. Several are started together,
    /// each as a stack
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// End once every record is processed: with 0, or with 3 when a record that fails, or a function that cannot be invoked,
    /// blocks a shard
    #[arg(long)]
    pub exit_when_drained: bool,
    /// The server's flags.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of a client.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// The server [env: TAILRACE_ENDPOINT, AWS_ENDPOINT_URL_DYNAMODB] [default: http://127.0.0.1:8000]
    #[arg(long, global = true)]
    pub endpoint: Option<String>,
}

impl ClientArgs {
    /// The endpoint, with environment variables and default filled in.
    pub fn endpoint(&self) -> String {
        self.endpoint
            .clone()
            .or_else(|| env("TAILRACE_ENDPOINT"))
            .or_else(|| env("AWS_ENDPOINT_URL_DYNAMODB"))
            .unwrap_or_else(|| "http://127.0.0.1:8000".to_owned())
    }
}

/// How data is written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: JSON, one document a line where there are several.
    Json,
}

/// A client command that answers with data.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// The client's flags.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Form of the output
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
}

/// `parked`.
#[derive(Debug, Args)]
pub struct ParkedArgs {
    /// Only those of this mapping: its uuid or the beginning of that, its function, or its table
    pub mapping: Option<String>,
    /// Hand them to the function again, one after the other; those that it accepts are parked no longer. Ends with 1 at the
    /// first that it does not accept
    #[arg(long, conflicts_with = "discard")]
    pub redrive: bool,
    /// Remove them for good; of one mapping, which is named
    #[arg(long)]
    pub discard: bool,
    /// Set the damaged records aside that shards of the mapping stand before, which is named; they are parked as they are
    #[arg(long, conflicts_with_all = ["redrive", "discard"])]
    pub skip: bool,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Table name; it needs a stream
    pub table: String,
    /// Start with the oldest record instead of with the next one
    #[arg(long)]
    pub from_start: bool,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Data directory
    pub dir: PathBuf,
    /// Go on without a damaged piece of the log, named as the check names it; what is lost with it is told to its readers
    #[arg(long, value_name = "FILE:OFFSET")]
    pub set_aside: Option<String>,
    /// Set it aside even if acknowledged writes are lost with it
    #[arg(long, requires = "set_aside")]
    pub lose_writes: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn choose<T: std::str::FromStr>(flag: Option<T>, name: &str, default: T) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    match (flag, env(name)) {
        (Some(value), _) => Ok(value),
        (None, Some(text)) => text.parse().map_err(|e| Failure::new(Code::Setting, format_args!("{name}={text}: {e}"))),
        (None, None) => Ok(default),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Delay, Retention, Throttled};
    use tailrace_engine::ThrottledTables;

    #[test]
    fn a_delay_is_a_number_with_a_unit_up_to_a_month() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("48h", 172_800), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Delay(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "s", "1", "-1s", "31d", "1w"] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
    }

    #[test]
    fn throttled_are_all_tables_none_or_those_of_a_list() {
        assert_eq!("true".parse(), Ok(Throttled(ThrottledTables::All)));
        assert_eq!("false".parse(), Ok(Throttled(ThrottledTables::None)));
        let named = ThrottledTables::Named(["a".to_owned(), "b".to_owned()].into());
        assert_eq!("a, b".parse(), Ok(Throttled(named)));
        assert!("a,,b".parse::<Throttled>().is_err());
    }

    #[test]
    fn a_retention_is_a_number_with_a_unit_within_a_second_and_a_year() {
        for (text, seconds) in [("1s", 1), ("90m", 5_400), ("24h", 86_400), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Retention(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "s", "0s", "24", "-1h", "1.5h", "367d", "99999999999999999999d", "1w", "1é"] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }
}
