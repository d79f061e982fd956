//! The codes of what an operator meets: a start or a command that fails says why in one line, which ends with its code,
//! and `docs/errors/` has a page for each, with the cause and what to try.
//!
//! A number is never used again for something else.

use std::fmt;

use tailrace_store::StoreError;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The address cannot be listened on.
    Listen = 1,
    /// A flag or a variable has a value that is of no use.
    Setting = 2,
    /// The data directory cannot be made or entered.
    DataDirectory = 3,
    /// Another process has the data directory.
    DataDirectoryInUse = 4,
    /// A newer version wrote the data directory.
    NewerFormat = 5,
    /// Stored data is damaged.
    Damage = 6,
    /// The disk is full.
    DiskFull = 7,
    /// The data directory belongs to another region or account.
    OtherRegion = 8,
    /// The system refused to read or write the data directory.
    StoreInput = 9,
    /// A directory has no template.
    NoTemplate = 10,
    /// The template file cannot be read.
    TemplateUnreadable = 11,
    /// The template is no YAML, or no JSON.
    TemplateMalformed = 12,
    /// The template asks for what is not supported, or contradicts itself.
    TemplateContent = 13,
    /// What the template asks for cannot be reached from what is there.
    TemplateNotApplied = 14,
    /// The directory of the functions' processes cannot be prepared.
    FunctionDirectory = 15,
    /// No server answers.
    NoServer = 16,
    /// What answers is not Tailrace.
    ForeignServer = 17,
    /// The server is not ready.
    NotReady = 18,
    /// The server refused what was asked, or has not got it.
    Refused = 19,
    /// Writes cannot be read or played.
    Writes = 20,
    /// Data cannot be written to stdout.
    Stdout = 21,
    /// The check of a data directory found faults.
    FaultsFound = 22,
    /// A second signal ended the server.
    EndedAtOnce = 23,
    /// The system lacks what every process needs.
    System = 24,
    /// A fault of Tailrace's own.
    Internal = 25,
    /// An older version wrote the data directory, and this one does not read it.
    EarlierFormat = 26,
    /// `tailrace.yaml` cannot be used.
    SinksFile = 27,
}

impl Code {
    /// All of them, by number.
    pub const ALL: [Code; 27] = [
        Code::Listen,
        Code::Setting,
        Code::DataDirectory,
        Code::DataDirectoryInUse,
        Code::NewerFormat,
        Code::Damage,
        Code::DiskFull,
        Code::OtherRegion,
        Code::StoreInput,
        Code::NoTemplate,
        Code::TemplateUnreadable,
        Code::TemplateMalformed,
        Code::TemplateContent,
        Code::TemplateNotApplied,
        Code::FunctionDirectory,
        Code::NoServer,
        Code::ForeignServer,
        Code::NotReady,
        Code::Refused,
        Code::Writes,
        Code::Stdout,
        Code::FaultsFound,
        Code::EndedAtOnce,
        Code::System,
        Code::Internal,
        Code::EarlierFormat,
        Code::SinksFile,
    ];

    /// The code of a failure of the store.
    pub fn of_store(error: &StoreError) -> Code {
        match error {
            StoreError::Full(_) => Code::DiskFull,
            StoreError::Corrupt(_) => Code::Damage,
            StoreError::Io(_) => Code::StoreInput,
            StoreError::NoDataDirectory(_) => Code::DataDirectory,
            StoreError::InUse(_) => Code::DataDirectoryInUse,
            StoreError::NewerFormat(_) => Code::NewerFormat,
            StoreError::EarlierFormat(_) => Code::EarlierFormat,
            _ => Code::Internal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TR{:04}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The page of a code. A match: whoever adds a code has to write its page, and with that the test below asks for the code
    /// among all.
    fn page(code: Code) -> &'static str {
        match code {
            Code::Listen => include_str!("../../../docs/errors/TR0001.md"),
            Code::Setting => include_str!("../../../docs/errors/TR0002.md"),
            Code::DataDirectory => include_str!("../../../docs/errors/TR0003.md"),
            Code::DataDirectoryInUse => include_str!("../../../docs/errors/TR0004.md"),
            Code::NewerFormat => include_str!("../../../docs/errors/TR0005.md"),
            Code::Damage => include_str!("../../../docs/errors/TR0006.md"),
            Code::DiskFull => include_str!("../../../docs/errors/TR0007.md"),
            Code::OtherRegion => include_str!("../../../docs/errors/TR0008.md"),
            Code::StoreInput => include_str!("../../../docs/errors/TR0009.md"),
            Code::NoTemplate => include_str!("../../../docs/errors/TR0010.md"),
            Code::TemplateUnreadable => include_str!("../../../docs/errors/TR0011.md"),
            Code::TemplateMalformed => include_str!("../../../docs/errors/TR0012.md"),
            Code::TemplateContent => include_str!("../../../docs/errors/TR0013.md"),
            Code::TemplateNotApplied => include_str!("../../../docs/errors/TR0014.md"),
            Code::FunctionDirectory => include_str!("../../../docs/errors/TR0015.md"),
            Code::NoServer => include_str!("../../../docs/errors/TR0016.md"),
            Code::ForeignServer => include_str!("../../../docs/errors/TR0017.md"),
            Code::NotReady => include_str!("../../../docs/errors/TR0018.md"),
            Code::Refused => include_str!("../../../docs/errors/TR0019.md"),
            Code::Writes => include_str!("../../../docs/errors/TR0020.md"),
            Code::Stdout => include_str!("../../../docs/errors/TR0021.md"),
            Code::FaultsFound => include_str!("../../../docs/errors/TR0022.md"),
            Code::EndedAtOnce => include_str!("../../../docs/errors/TR0023.md"),
            Code::System => include_str!("../../../docs/errors/TR0024.md"),
            Code::Internal => include_str!("../../../docs/errors/TR0025.md"),
            Code::EarlierFormat => include_str!("../../../docs/errors/TR0026.md"),
            Code::SinksFile => include_str!("../../../docs/errors/TR0027.md"),
        }
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
        assert_eq!(pages, codes);
        let overview = std::fs::read_to_string(dir.join("README.md")).unwrap();
        for (n, code) in (1..).zip(Code::ALL) {
            assert_eq!(code as u16, n, "{code:?} is in its place");
            let page = page(code);
            let title =
                page.lines().next().unwrap().strip_prefix(&format!("# {code}: ")).expect("a title with the code");
            assert!(overview.contains(&format!("| [{code}]({code}.md) | {title} |")), "{code} is in the overview");
            for part in ["\n## Cause\n", "\n## What to try\n"] {
                assert!(page.contains(part), "{code}: {part}");
            }
        }
    }
}
