//! `tailrace audit verify PLACE`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tailrace_server::Code;
use tailrace_server::sinks::TrailPage;
use tailrace_sinks::audit::CONTROL_FOLDER;
use tailrace_sinks::audit::sign::PublicKey;
use tailrace_sinks::audit::verify::{ChainReport, KnownHead, Report, Trusted, verify};

use super::{PlaceArgs, against, unreadable};
use crate::args::Output;
use crate::check::count;
use crate::say::{Reader, print, say};
use crate::{Failure, Outcome};

/// `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where it lies.
    #[command(flatten)]
    place: PlaceArgs,
    /// A file with a public key, as `audit keygen` makes it: each chain must have a head that is signed with it, and no signature may be
    /// wrong; may be repeated, for keys of other times
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// A file with what an earlier run said with --output json, kept where the trail is not: each chain still has the head that it had
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// So many gaps, which the trail tells of itself, are known and no fault
    #[arg(long, value_name = "NUMBER", default_value_t)]
    known_gaps: u64,
    /// Compare with the server at this address as well, which writes the trail: every chain that it knows of is there, as far as it was
    /// written, every record that the streams still have, up to the last one that the trail has, is in it, and nothing else is
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// With --against: a record that is not in the trail yet is a fault
    #[arg(long, requires = "against")]
    complete: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command: each fault is a line on stdout, and any is exit code 1.
pub async fn run(args: VerifyArgs) -> Outcome {
    let keys = args.public_key.iter().map(|file| PublicKey::read(file)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| Failure::new(Code::Setting, error))?;
    let trail = args.place.open()?;
    let place = &args.place.place;
    let mut heads = args.known.as_deref().map(known_heads).transpose()?.unwrap_or_default();
    let known = match args.against.as_deref() {
        Some(endpoint) => against::known(trail.as_ref(), endpoint).await?,
        None => TrailPage::default(),
    };
    for (chain, head) in against::heads(&known, &args.place.name()) {
        heads.entry(chain).or_default().push(head);
    }
    let trusted = Trusted { keys, heads };
    let report = verify(trail.as_ref(), &trusted, |_, _| {}).await.map_err(|error| unreadable(place, &error))?;
    let mut faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    if report.chains.is_empty() && faults.is_empty() {
        return Err(Failure::new(Code::Setting, format_args!("{place} holds no trail")));
    }
    let gaps: u64 = report.chains.iter().map(|chain| chain.gap_count).sum();
    if gaps > args.known_gaps {
        faults.push(format!("the trail tells of {}, of which {} are known", counted(gaps, "gap"), args.known_gaps));
    }
    if let Some(endpoint) = args.against.as_deref().filter(|_| report.faults.is_empty()) {
        faults.extend(against::compare(trail.as_ref(), &report, &known, endpoint, args.complete).await?);
    }
    tell(&report, &faults, args.output)?;
    if !faults.is_empty() {
        let found = count(faults.len(), "fault");
        return Err(Failure::new(Code::FaultsFound, format_args!("{place}: {found} found")));
    }
    if let Some(why) = unnamed(&report) {
        say(format_args!("{place}: {why}: nothing names its chains, and one that was taken away is not missed"));
    }
    let entries = report.chains.iter().map(|chain| chain.next_entry - chain.first_entry).sum();
    let (entries, chains) = (counted(entries, "entry"), count(report.chains.len(), "chain"));
    let signatures = if trusted.keys.is_empty() { "; signatures were not looked at" } else { "" };
    say(format_args!("{place}: no fault found in {entries} of {chains}{signatures}"));
    Ok(ExitCode::SUCCESS)
}

/// Why nothing names the chains of a trail, if nothing does.
fn unnamed(report: &Report) -> Option<&'static str> {
    let is_control = |chain: &&ChainReport| chain.chain.starts_with(CONTROL_FOLDER);
    match report.chains.iter().filter(is_control).count() {
        0 => Some("it has no control chain"),
        // Of an older version, which named none; each is named as it goes on.
        all if report.named == 0 && all < report.chains.len() => Some("its control chain tells of no other"),
        _ => None,
    }
}

fn known_heads(file: &Path) -> Result<HashMap<String, Vec<KnownHead>>, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::new(Code::Setting, format_args!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let read: Result<Vec<(String, KnownHead)>, _> =
        lines.filter_map(|line| line.map(|line| KnownHead::read(&line)).transpose()).collect();
    let mut heads: HashMap<String, Vec<KnownHead>> = HashMap::new();
    for (chain, head) in read.map_err(|error| wrong(&error))? {
        heads.entry(chain).or_default().push(head);
    }
    if heads.is_empty() { Err(wrong(&"it tells of no chain")) } else { Ok(heads) }
}

fn tell(report: &Report, faults: &[String], output: Output) -> Result<(), Failure> {
    let chains = report.chains.iter().flat_map(|chain| match output {
        Output::Json => vec![json!({ "chain": chain }).to_string()],
        Output::Text => text(chain),
    });
    let faults = faults.iter().map(|fault| match output {
        Output::Json => json!({ "fault": fault }).to_string(),
        Output::Text => fault.clone(),
    });
    for line in chains.chain(faults) {
        if print(line)? == Reader::Gone {
            break;
        }
    }
    Ok(())
}

/// The lines that tell of a chain.
fn text(chain: &ChainReport) -> Vec<String> {
    let entries = counted(chain.next_entry - chain.first_entry, "entry");
    let mut line = format!("{}: {entries} in {}", chain.chain, counted(chain.segments, "segment"));
    if chain.first_entry > 0 {
        line.push_str(&format!(", from entry {}", chain.first_entry));
    }
    match chain.signed_up_to {
        Some(up_to) if up_to == chain.next_entry => line.push_str(", signed to its end"),
        Some(up_to) => line.push_str(&format!(", signed up to entry {}", up_to.saturating_sub(1))),
        None => {}
    }
    if let Some(place) = &chain.continues {
        line.push_str(&format!(", begun in {place}"));
    }
    if chain.damaged_count > 0 {
        line.push_str(&format!(", {} that could not be read", counted(chain.damaged_count, "record")));
    }
    let gaps = chain.gaps.iter().map(|gap| {
        format!(
            "{}: entry {}: records between {} and {} were lost: {}",
            chain.chain, gap.entry, gap.after, gap.before, gap.reason
        )
    });
    std::iter::once(line).chain(gaps).collect()
}

/// `1 entry`, `2 entries`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_whose_chains_nothing_names_says_so() {
        let chain = |name: &str| ChainReport { chain: name.to_owned(), ..ChainReport::default() };
        let report = |names: &[&str], named: usize| Report {
            chains: names.iter().map(|name| chain(name)).collect(),
            named,
            ..Report::default()
        };
        assert_eq!(unnamed(&report(&["tables/T/s"], 0)), Some("it has no control chain"));
        assert_eq!(unnamed(&report(&["control/c", "tables/T/s"], 0)), Some("its control chain tells of no other"));
        assert_eq!(unnamed(&report(&["control/c", "tables/T/s"], 1)), None);
        assert_eq!(unnamed(&report(&["control/c"], 0)), None);
    }
}
