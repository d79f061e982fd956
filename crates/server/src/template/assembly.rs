//! Cloud assemblies: the directory that `cdk synth` writes (`cdk.out`), with the templates of its stacks, those of its
//! stages included, and which depends on which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tailrace_template::StackFile;

use crate::files;

/// The file that tells what is in an assembly.
pub(super) const MANIFEST: &str = "manifest.json";

/// Assemblies inside of each other, at most: a stage has stages seldom.
const DEPTH_MAX: usize = 8;

/// A stack of an assembly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stack {
    /// How the CDK shows it: `Stage/Stack`.
    pub(super) shown: String,
    /// The name of the artifact.
    id: String,
    /// The name on AWS.
    stack_name: String,
    /// The file of its template.
    template: PathBuf,
    /// The artifacts that have to be there before it, of which some are stacks.
    dependencies: Vec<String>,
}

impl Stack {
    /// Whether it is called so, or what it is called matches the pattern.
    fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || self.stack_name == wanted || matches(wanted.as_bytes(), self.shown.as_bytes())
    }
}

/// The stacks that are wanted. A name is that of one, also where stages have stacks of one name; a pattern may be that of several.
pub(super) fn chosen<'a>(stacks: &'a [Stack], wanted: &str) -> Vec<&'a Stack> {
    let called = stacks.iter().filter(|stack| stack.is_called(wanted));
    if wanted.contains(['*', '?']) { called.collect() } else { called.take(1).collect() }
}

impl From<Stack> for StackFile {
    fn from(stack: Stack) -> StackFile {
        StackFile { name: stack.shown, stack_name: stack.stack_name, file: stack.template }
    }
}

/// Whether all of a text matches a pattern: `*` is anything but `/`, `**` anything, `?` one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Which beginnings of the text the pattern so far matches.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    let mut rest = pattern;
    while let Some((first, behind)) = rest.split_first() {
        let is_star = *first == b'*';
        let crosses = is_star && behind.first() == Some(&b'*');
        rest = if crosses { &behind[1..] } else { behind };
        let mut next = vec![false; ends.len()];
        for end in 0..ends.len() {
            let before = end.checked_sub(1).map(|before| (before, text[before]));
            next[end] = match before {
                _ if is_star && ends[end] => true,
                Some((before, c)) if is_star => next[before] && (crosses || c != b'/'),
                Some((before, c)) => ends[before] && (c == *first || *first == b'?' && c != b'/'),
                None => false,
            };
        }
        ends = next;
    }
    ends[text.len()]
}

/// The stacks in an order in which each is behind those on which it depends; else as they come.
pub(super) fn in_order(stacks: Vec<Stack>) -> Vec<Stack> {
    let mut left = stacks;
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free = |stack: &Stack| {
            let waits_for = |other: &Stack| other.id != stack.id && stack.dependencies.contains(&other.id);
            !left.iter().any(waits_for)
        };
        // In a circle any is as good as another: AWS refuses it, and here values are found in any order.
        let first = left.iter().position(is_free).unwrap_or(0);
        ordered.push(left.remove(first));
    }
    ordered
}

/// The members that are used; others are not named.
#[derive(Deserialize)]
struct Manifest {
    artifacts: BTreeMap<String, Artifact>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    #[serde(rename = "type")]
    kind: String,
    display_name: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    template_file: Option<String>,
    stack_name: Option<String>,
    directory_name: Option<String>,
    display_name: Option<String>,
}

/// The stacks of the assembly in a directory, by the names that are shown; `None`: there is no assembly.
pub(super) fn stacks(dir: &Path) -> Option<Vec<Stack>> {
    let mut stacks = Vec::new();
    collect(dir, "", 0, &mut stacks)?;
    stacks.sort_by(|one, other| one.shown.cmp(&other.shown));
    Some(stacks)
}

fn collect(dir: &Path, stage: &str, depth: usize, stacks: &mut Vec<Stack>) -> Option<()> {
    // A web page's manifest.json has the same name, and no artifacts.
    let manifest: Manifest = serde_json::from_slice(&files::read_regular(&dir.join(MANIFEST), u64::MAX).ok()?).ok()?;
    for (id, artifact) in manifest.artifacts {
        let Artifact { kind, display_name, dependencies, properties } = artifact;
        match kind.as_str() {
            "aws:cloudformation:stack" => {
                let Some(file) = properties.template_file else { continue };
                let shown = display_name.unwrap_or_else(|| format!("{stage}{id}"));
                // CDK shows the name on AWS behind it, in parentheses, where that differs.
                let shown = shown.split(" (").next().unwrap_or_default().to_owned();
                let stack_name = properties.stack_name.unwrap_or_else(|| id.clone());
                stacks.push(Stack { shown, id, stack_name, template: dir.join(file), dependencies });
            }
            "cdk:cloud-assembly" if depth < DEPTH_MAX => {
                let Some(directory) = properties.directory_name else { continue };
                let stage = properties.display_name.map_or_else(|| stage.to_owned(), |name| format!("{name}/"));
                // A stage that cannot be read has no stacks: which there are is told where one is missing.
                let _ = collect(&dir.join(directory), &stage, depth + 1, stacks);
            }
            _ => {}
        }
    }
    Some(())
}
