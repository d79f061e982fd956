//! Verifying a trail: everything is read again, line by line, and the first line of each chain that is not as it was written is named.
//!
//! What is found: a byte that is another one, and a line, segment or file that is missing, stands in another place, is cut off or was put in between.
//! What is not: a chain that was written anew from some line to its end, unless heads behind that line are signed and the key is given; and a
//! chain whose last segments are missing, unless it is compared with the stream or with heads that are kept elsewhere. A chain that is missing
//! as a whole is found by what the control chain tells of it ([`super::announce`]), as far as that chain is there.

use std::collections::HashMap;
use std::fmt;

use tailrace_core::RecordNo;
use tailrace_core::SequenceNumber;

use super::announce::{Announced, CONTROL_FOLDER};
pub use super::chain::NotAsWritten;
use super::chain::{Hash, ReadLine};
use super::entry::{CONTROL, DAMAGED, GAP, Parent, SEGMENT, SIGNATURE};
use super::place::{At, Place, file_name};
use super::read::{FileLine, Lines};
use super::sign::{PublicKey, Signed, check_line};

/// The format that this code reads.
const FORMAT: u64 = 1;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The chain.
    pub chain: String,
    /// The file, if it is in one.
    pub file: Option<u64>,
    /// The line there, from 1.
    pub line: u64,
    /// The entry that is wrong, or before which something is.
    pub entry: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: entry {}: {}", self.chain, self.entry, self.what)?;
        match self.file {
            Some(file) => write!(f, " ({}, line {})", file_name(file), self.line),
            None => Ok(()),
        }
    }
}

/// Records that were lost before the trail had them, as it tells itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ToldGap {
    /// The number of its entry.
    pub entry: u64,
    /// The records behind this sequence number.
    pub after: String,
    /// And before this one.
    pub before: String,
    /// How they were lost.
    pub reason: String,
}

/// What a chain comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ChainReport {
    /// The chain: a path in the place.
    pub chain: String,
    /// The number of its first entry.
    pub first_entry: u64,
    /// The number that the next entry would have.
    pub next_entry: u64,
    /// How many segments.
    pub segments: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The hash of its last line, hex.
    pub head: String,
    /// The sequence number of the last record.
    pub last: Option<String>,
    /// Up to where heads are signed: the number of the first entry that is not.
    pub signed_up_to: Option<u64>,
    /// The stream that its records are of.
    pub stream: String,
    /// Where it was before, if it began in another place.
    pub continues: Option<String>,
    /// Records that it says were lost, at most [`GAPS_TOLD_MAX`].
    pub gaps: Vec<ToldGap>,
    /// How many there are.
    pub gap_count: u64,
    /// How many records could not be read when they were entered.
    pub damaged_count: u64,
}

/// A head that a chain is known to have had: of an earlier verification, whose report was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHead {
    /// How many entries there were: the number of the next one.
    pub next_entry: u64,
    /// The hash of the last line.
    pub head: String,
}

impl KnownHead {
    /// Reads what a report of a chain says, as JSON; the chain's name with it. `None`: it says nothing of one.
    pub fn read(report: &serde_json::Value) -> Option<(String, KnownHead)> {
        let chain = report.get("chain")?;
        let (next_entry, head) = (chain.get("next_entry")?.as_u64()?, chain.get("head")?.as_str()?.to_owned());
        Some((chain.get("chain")?.as_str()?.to_owned(), KnownHead { next_entry, head }))
    }
}

/// What a trail is verified with.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Each chain must have a head that was signed with one of these keys, and every signature must be of one of them; none: signatures are
    /// not looked at.
    pub keys: Vec<PublicKey>,
    /// Heads that chains must have had, by chain.
    pub heads: HashMap<String, Vec<KnownHead>>,
}

/// Most gaps of a chain that are told one by one. Our reason: memory.
pub const GAPS_TOLD_MAX: usize = 100;

/// What a trail comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its chains, by name.
    pub chains: Vec<ChainReport>,
    /// Others of this place that the control chain tells of.
    pub named: usize,
    /// The first fault of each chain, and faults of the whole.
    pub faults: Vec<Fault>,
}

/// Verifies lines of one chain, one after the other. Pure.
pub struct ChainVerifier<'a> {
    chain: String,
    keys: &'a [PublicKey],
    /// Heads that are still to come, the next one last.
    known: Vec<&'a KnownHead>,
    hash: Hash,
    report: ChainReport,
    parent: Option<Parent>,
    /// Entries that the segment is still to have.
    left: u64,
    /// The sequence number that the segment is to end with, if it is one of records.
    last: Option<String>,
    last_lsn: Option<SequenceNumber>,
    /// The first record of the segment comes next, and is to have this number.
    first: Option<String>,
    is_signed: bool,
    begun: bool,
}

impl<'a> ChainVerifier<'a> {
    /// A verifier of the chain in this folder.
    pub fn new(chain: &str, trusted: &'a Trusted) -> ChainVerifier<'a> {
        let mut known: Vec<&KnownHead> = trusted.heads.get(chain).into_iter().flatten().collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.next_entry));
        ChainVerifier {
            chain: chain.to_owned(),
            keys: &trusted.keys,
            known,
            hash: Hash::NONE,
            report: ChainReport { chain: chain.to_owned(), ..ChainReport::default() },
            parent: None,
            left: 0,
            last: None,
            last_lsn: None,
            first: None,
            is_signed: false,
            begun: false,
        }
    }

    /// The number of the entry that comes next.
    pub fn entry(&self) -> u64 {
        self.report.next_entry
    }

    /// A file begins. `file`: the number in its name.
    ///
    /// # Errors
    /// What is wrong.
    pub fn begin_file(&mut self, file: u64) -> Result<(), NotAsWritten> {
        self.end_file()?;
        let next = self.report.next_entry;
        match self.begun {
            true if file > next => Err(missing(next, file)),
            true if file < next => Err(format!("a file begins with entry {file} again").into()),
            _ => Ok(()),
        }
    }

    /// A file ends.
    ///
    /// # Errors
    /// What is wrong.
    pub fn end_file(&self) -> Result<(), NotAsWritten> {
        match self.left {
            0 => Ok(()),
            left => Err(format!("it is missing: the segment ends {left} entries too early").into()),
        }
    }

    /// The next line, without its line feed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn line(&mut self, line: &[u8]) -> Result<(), NotAsWritten> {
        self.report.bytes += line.len() as u64 + 1;
        let read = ReadLine::parse(line).ok_or("the line cannot be read: it was changed")?;
        let name = read.text("event_name").ok_or("the line has no name: it was changed")?;
        if name == SIGNATURE {
            return self.signature(line);
        }
        let seq = read.number("seq");
        self.follow(&read, name, seq)?;
        if name == SEGMENT {
            return self.segment(&read);
        }
        self.entry_line(&read, name)?;
        while let Some(known) = self.known.pop_if(|known| self.left == 0 && known.next_entry <= self.report.next_entry)
        {
            if known.next_entry != self.report.next_entry || known.head != self.hash.to_string() {
                return Err(format!(
                    "the chain is not the one that had {} entries: it was written anew",
                    known.next_entry
                )
                .into());
            }
        }
        Ok(())
    }

    /// Holds the line's hashes against what came before.
    fn follow(&mut self, read: &ReadLine<'_>, name: &str, seq: Option<u64>) -> Result<(), NotAsWritten> {
        let next = self.report.next_entry;
        let (before, own) = (read.hash("prev_hash"), read.hash("hash"));
        let (Some(before), Some(own)) = (before, own) else {
            return Err("its hashes cannot be read: it was changed".into());
        };
        if read.hash_behind(&before) != Some(own) {
            return Err("its hash is not that of its content: it was changed".into());
        }
        let is_first = !self.begun && name == SEGMENT;
        if !is_first && before != self.hash {
            return Err(match seq {
                Some(seq) if seq > next => missing(next, seq),
                Some(seq) if seq < next => format!("entry {seq} stands in its place").into(),
                _ if name == SEGMENT => "the segment before it is missing, or is another one".into(),
                _ => "it does not follow the line before it".into(),
            });
        }
        self.hash = own;
        Ok(())
    }

    /// The head of a segment, whose hashes are as they should be.
    fn segment(&mut self, read: &ReadLine<'_>) -> Result<(), NotAsWritten> {
        let wrong = |what: &str| Err(format!("the head of its segment is wrong: {what}").into());
        if self.left > 0 {
            return Err(format!("it is missing: the segment ends {} entries too early", self.left).into());
        }
        if read.number("format") != Some(FORMAT) {
            return Err(format!("its segment is of another format than {FORMAT}").into());
        }
        let (Some(seq), Some(segment), Some(entries)) =
            (read.number("seq"), read.number("segment"), read.number("entries"))
        else {
            return wrong("a number is missing");
        };
        if read.text("chain") != Some(&self.chain) {
            return wrong("it is of another chain");
        }
        if !self.begun {
            self.begin(read, seq, segment)?;
        }
        let next = self.report.next_entry;
        if seq != next || segment != self.report.segments {
            return if seq > next { Err(missing(next, seq)) } else { wrong("it is another one that belongs here") };
        }
        if entries == 0 {
            return wrong("it has no entries");
        }
        self.left = entries;
        self.last = read.text("last").map(str::to_owned);
        self.first = read.text("first").map(str::to_owned);
        self.report.segments += 1;
        self.is_signed = false;
        Ok(())
    }

    /// The first segment of the chain that is here.
    fn begin(&mut self, read: &ReadLine<'_>, seq: u64, segment: u64) -> Result<(), NotAsWritten> {
        let before = read.hash("prev_hash").unwrap_or(Hash::NONE);
        self.begun = true;
        self.report.continues = read.json("continues").map(unescaped);
        if let Some(parent) = read.json("parent") {
            let parent = ReadLine::parse(parent).and_then(|parent| {
                let (hash, entries) = (parent.hash("hash")?, parent.number("seq")?);
                Some(Parent { chain: parent.text("chain")?.to_owned(), hash, entries })
            });
            let parent = parent.filter(|parent| segment == 0 && parent.hash == before && parent.entries == seq);
            self.parent = Some(parent.ok_or("the head of its segment is wrong: it does not go on from its parent")?);
        } else if self.report.continues.is_none() && (seq, segment, before) != (0, 0, Hash::NONE) {
            return Err(missing(0, seq));
        }
        self.report.stream = read.json("stream").map(unescaped).unwrap_or_default();
        self.report.first_entry = seq;
        self.report.next_entry = seq;
        self.report.segments = segment;
        Ok(())
    }

    /// An entry, whose hashes are as they should be.
    fn entry_line(&mut self, read: &ReadLine<'_>, name: &str) -> Result<(), NotAsWritten> {
        let next = self.report.next_entry;
        if self.left == 0 {
            return Err("it is not announced by the head of its segment".into());
        }
        if read.number("seq") != Some(next) {
            return Err("it has the number of another one".into());
        }
        match name {
            GAP => self.gap(read, next),
            "INSERT" | "MODIFY" | "REMOVE" | CONTROL | DAMAGED => self.record(read, name)?,
            _ => return Err(format!("{name} is no kind of entry").into()),
        }
        self.left -= 1;
        self.report.next_entry += 1;
        if self.left == 0 && self.last.is_some() && self.last != self.report.last {
            return Err("its segment ends with another record than its head says".into());
        }
        Ok(())
    }

    fn gap(&mut self, read: &ReadLine<'_>, entry: u64) {
        self.report.gap_count += 1;
        if self.report.gaps.len() < GAPS_TOLD_MAX {
            let text = |name: &str| read.text(name).unwrap_or_default().to_owned();
            let (after, before, reason) = (text("after"), text("before"), text("reason"));
            self.report.gaps.push(ToldGap { entry, after, before, reason });
        }
    }

    fn record(&mut self, read: &ReadLine<'_>, name: &str) -> Result<(), NotAsWritten> {
        let lsn = read.text("lsn").and_then(SequenceNumber::parse).ok_or("it has no sequence number")?;
        // The records of a snapshot have the numbers of several shards.
        let is_ordered = self.last.is_some();
        if is_ordered && self.last_lsn.is_some_and(|last| last.0 >= lsn.0) {
            return Err("its sequence number is not above the one before it".into());
        }
        if let Some(first) = self.first.take()
            && read.text("lsn") != Some(&first)
        {
            return Err("its segment begins with another record than its head says".into());
        }
        self.last_lsn = Some(lsn);
        self.report.last = read.text("lsn").map(str::to_owned);
        self.report.damaged_count += u64::from(name == DAMAGED);
        Ok(())
    }

    fn signature(&mut self, line: &[u8]) -> Result<(), NotAsWritten> {
        if self.left > 0 {
            return Err(format!("it is missing: the segment ends {} entries too early", self.left).into());
        }
        if !self.begun || self.is_signed {
            return Err("a signature stands here that belongs elsewhere".into());
        }
        self.is_signed = true;
        let signed = check_line(line, &self.hash, self.report.next_entry, self.keys);
        match signed.map_err(|why| NotAsWritten(format!("the signature of the head before it: {why}")))? {
            Signed::Yes => self.report.signed_up_to = Some(self.report.next_entry),
            Signed::NotLookedAt => {}
        }
        Ok(())
    }

    /// What the chain comes to, and the chain that it goes on from.
    ///
    /// # Errors
    /// What is wrong with its end.
    pub fn end(mut self) -> Result<(ChainReport, Option<Parent>), NotAsWritten> {
        self.end_file()?;
        if !self.begun {
            return Err("the chain has no segment".into());
        }
        if let Some(known) = self.known.first() {
            return Err(format!("it is missing: the chain had {} entries, and was cut off", known.next_entry).into());
        }
        if !self.keys.is_empty() && self.report.signed_up_to.is_none() {
            return Err("no head of the chain is signed with the key".into());
        }
        self.report.head = self.hash.to_string();
        Ok((self.report, self.parent))
    }
}

fn missing(from: u64, to: u64) -> NotAsWritten {
    match to.saturating_sub(from) {
        0 | 1 => "it is missing".into(),
        _ => format!("it is missing, and all up to entry {}", to - 1).into(),
    }
}

/// The text of a JSON string.
fn unescaped(json: &[u8]) -> String {
    serde_json::from_slice(json).unwrap_or_default()
}

/// Where a chain's verifier has come to.
struct Reached {
    file: Option<u64>,
    line: u64,
}

/// Verifies a trail. `seen`: called with the line of each entry that is as it should be.
///
/// # Errors
/// The place cannot be read.
pub async fn verify(
    place: &dyn Place,
    trusted: &Trusted,
    mut seen: impl FnMut(&str, &[u8]) + Send,
) -> std::io::Result<Report> {
    let mut report = Report::default();
    let mut parents: HashMap<String, Parent> = HashMap::new();
    let mut trusted = trusted.clone();
    let is_control = |chain: &String| chain.starts_with(CONTROL_FOLDER);
    // What is done to tables comes first: it tells which other chains there are. A server that writes meanwhile tells of a chain
    // when that is there: so the others are looked for only then.
    let mut announced = Announced::default();
    for chain in place.chains().await?.into_iter().filter(is_control) {
        let mut seen = |chain: &str, line: &[u8]| {
            announced.line(chain, line);
            seen(chain, line);
        };
        verify_chain(place, chain, &trusted, (&mut report, &mut parents), &mut seen).await?;
    }
    for (chain, head) in announced.heads() {
        report.named += 1;
        trusted.heads.entry(chain).or_default().push(head);
    }
    for chain in place.chains().await?.into_iter().filter(|chain| !is_control(chain)) {
        verify_chain(place, chain, &trusted, (&mut report, &mut parents), &mut seen).await?;
    }
    report.faults.extend(lost_parents(&report, &parents));
    let mut lost: Vec<(&String, &KnownHead)> = Vec::new();
    for (chain, heads) in &trusted.heads {
        lost.extend(heads.iter().max_by_key(|known| known.next_entry).map(|last| (chain, last)));
    }
    lost.retain(|(chain, _)| {
        report.chains.iter().all(|found| found.chain != **chain)
            && report.faults.iter().all(|found| found.chain != **chain)
    });
    lost.sort_by_key(|(chain, _)| *chain);
    let faults = lost.into_iter().map(|(chain, known)| {
        let what = format!("it is missing: the chain had {} entries, and is not there", known.next_entry);
        Fault { chain: chain.clone(), file: None, line: 0, entry: 0, what }
    });
    let faults: Vec<Fault> = faults.collect();
    report.faults.extend(faults);
    Ok(report)
}

async fn verify_chain(
    place: &dyn Place,
    chain: String,
    trusted: &Trusted,
    (report, parents): (&mut Report, &mut HashMap<String, Parent>),
    seen: &mut (impl FnMut(&str, &[u8]) + Send),
) -> std::io::Result<()> {
    let (files, foreign) = place.files(&chain).await?;
    for name in foreign {
        let what = format!("{name} is no file of a trail");
        report.faults.push(Fault { chain: chain.clone(), file: None, line: 0, entry: 0, what });
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut verifier = ChainVerifier::new(&chain, trusted);
    let mut reached = Reached { file: None, line: 0 };
    let mut ended = Ok(());
    for file in files {
        ended = verify_file(place, &chain, file, &mut verifier, &mut reached, seen).await?;
        if ended.is_err() {
            break;
        }
    }
    let entry = verifier.entry();
    match ended.and_then(|()| verifier.end()) {
        Ok((chain_report, parent)) => {
            parents.extend(parent.map(|parent| (chain, parent)));
            report.chains.push(chain_report);
        }
        Err(NotAsWritten(what)) => {
            report.faults.push(Fault { chain, file: reached.file, line: reached.line, entry, what });
        }
    }
    Ok(())
}

async fn verify_file(
    place: &dyn Place,
    chain: &str,
    file: u64,
    verifier: &mut ChainVerifier<'_>,
    reached: &mut Reached,
    seen: &mut (impl FnMut(&str, &[u8]) + Send),
) -> std::io::Result<Result<(), NotAsWritten>> {
    let begun = verifier.begin_file(file);
    if begun.is_err() {
        return Ok(begun);
    }
    *reached = Reached { file: Some(file), line: 0 };
    let start = At::start_of(chain, file);
    let mut lines = Lines::new(place.open(&start).await?);
    while let Some(line) = lines.next().await? {
        reached.line += 1;
        let verified = match line {
            FileLine::Whole(line) => verifier.line(line).inspect(|()| seen(chain, line)),
            FileLine::Broken(_) => Err("the line is cut off".into()),
        };
        if verified.is_err() {
            return Ok(verified);
        }
        if reached.line == 1 && verifier.report.next_entry != file {
            return Ok(Err(format!("the file is named {}, and begins with another entry", file_name(file)).into()));
        }
    }
    if reached.line == 0 {
        return Ok(Err("it is missing: the file is empty".into()));
    }
    Ok(verifier.end_file())
}

/// Chains that do not go on from what their parents come to.
fn lost_parents(report: &Report, parents: &HashMap<String, Parent>) -> Vec<Fault> {
    let chains: HashMap<&str, &ChainReport> = report.chains.iter().map(|chain| (&*chain.chain, chain)).collect();
    let mut faults = Vec::new();
    for (child, parent) in parents {
        let what = match chains.get(&*parent.chain) {
            Some(found) if found.head == parent.hash.to_string() && found.next_entry == parent.entries => continue,
            Some(found) if found.next_entry < parent.entries => {
                format!("{} lacks its entries from {} on", parent.chain, found.next_entry)
            }
            Some(_) => format!("it does not go on from where {} ends", parent.chain),
            None if report.faults.iter().any(|fault| fault.chain == parent.chain) => continue,
            None => format!("{}, which it goes on from, is missing", parent.chain),
        };
        faults.push(Fault { chain: child.clone(), file: None, line: 0, entry: parent.entries, what });
    }
    faults.sort_by(|a, b| a.chain.cmp(&b.chain));
    faults
}

/// The number of a record in an entry's line.
pub fn record_number(line: &[u8]) -> Option<RecordNo> {
    ReadLine::parse(line)?.text("lsn").and_then(SequenceNumber::parse).map(|number| number.0)
}
