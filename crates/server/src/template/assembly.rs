//! Cloud assemblies: the directory that `cdk synth` writes (`cdk.out`), with the templates of its stacks, those of its
//! stages included.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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
    /// Its other names: that of the artifact, and that of the stack on AWS.
    names: Vec<String>,
    /// The file of its template.
    pub(super) template: PathBuf,
}

impl Stack {
    /// Whether it is called so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.shown == name || self.names.iter().any(|own| own == name)
    }
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
        let Artifact { kind, display_name, properties } = artifact;
        match kind.as_str() {
            "aws:cloudformation:stack" => {
                let Some(file) = properties.template_file else { continue };
                let shown = display_name.unwrap_or_else(|| format!("{stage}{id}"));
                // CDK shows the name on AWS behind it, in parentheses, where that differs.
                let shown = shown.split(" (").next().unwrap_or_default().to_owned();
                let names = [id].into_iter().chain(properties.stack_name).collect();
                stacks.push(Stack { shown, names, template: dir.join(file) });
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
