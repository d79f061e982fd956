//! What lies around a place that has no template: the project of a tool that makes one, or templates under other names.

use std::path::{Path, PathBuf};

use tailrace_core::limits::{FUNCTION_CODE_ENTRIES_MAX, TEMPLATE_BYTES_MAX};

use super::assembly;
use crate::files;

/// Files that say how a Serverless project is made.
const SERVERLESS: [&str; 5] =
    ["serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js"];

/// The file that says how a CDK project is made.
const CDK: &str = "cdk.json";

/// The file that says how the backend of an Amplify project (of its second generation) is made.
const AMPLIFY: &str = "amplify/backend.ts";

/// The file that says how a project of the CDK for Terraform is made.
const CDKTF: &str = "cdktf.json";

/// Files of tools of which not every version, or none, makes a template.
const SST: &str = "sst.config.ts";
const PULUMI: [&str; 2] = ["Pulumi.yaml", "Pulumi.yml"];

/// The directory that says how a Chalice project is made.
const CHALICE: &str = ".chalice";

/// How a template is made of a project of Terraform.
const OF_TERRAFORM: &str = "`terraform plan -out tfplan && terraform show -json tfplan > tfplan.json`";

/// The endings of Terraform's configurations.
const TERRAFORM: [&str; 2] = [".tf", ".tf.json"];

/// Levels of directories in which templates are looked for: the directory itself, and two below it.
const LEVELS: usize = 3;

/// Templates that are named, at most.
const NAMED_MAX: usize = 3;

/// The directory of a tool's project that is named by the tool's own file, which is no template.
pub(super) fn project_of(file: &Path) -> Option<&Path> {
    let name = file.file_name()?.to_str()?;
    // What is called as Serverless' file is, and has the sections of a template, is somebody's template.
    let is_template = || {
        let text = text_of(file);
        is_template(&text) && text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"Resources:"))
    };
    (is_of_a_tool(name) && !is_template()).then(|| files::directory_of(file))
}

fn is_of_a_tool(name: &str) -> bool {
    SERVERLESS.contains(&name) || [CDK, CDKTF, SST].contains(&name) || PULUMI.contains(&name) || is_terraform(name)
}

fn is_terraform(name: &str) -> bool {
    TERRAFORM.iter().any(|ending| name.ends_with(ending))
}

/// What a file is that is no template, and what makes one of it; `None`: it may be one.
pub(super) fn instead_of_template(file: &Path, bytes: &[u8]) -> Option<String> {
    let shown = file.display();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if bytes.starts_with(ZIP) {
        return Some(match holds(bytes, b"tfplan") {
            true => format!(
                "a plan of Terraform, which only Terraform reads: `terraform show -json {shown} > tfplan.json` writes what is read here"
            ),
            false => "a zip archive".to_owned(),
        });
    }
    if bytes.starts_with(b"{\"@level\"") {
        return Some(format!("what `terraform plan -json` tells while it works, and no plan: run {OF_TERRAFORM}"));
    }
    if is_terraform(&name) {
        return Some(format!("a configuration of Terraform: run {OF_TERRAFORM}"));
    }
    let is_state = || {
        let state: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        ["serial", "lineage", "terraform_version"].iter().all(|name| state.get(name).is_some())
    };
    let may_be = holds(bytes, b"\"lineage\"") && is_state();
    may_be.then(|| {
        format!("a state as Terraform keeps it: `terraform show -json {shown} > tfplan.json` writes what is read here")
    })
}

/// How a zip archive begins, as a plan of Terraform is one.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// What a directory without a template has to be put through, or which of its files are templates.
pub(super) fn hint(dir: &Path) -> Option<String> {
    if let Some(project) = project_in(dir) {
        return Some(format!("this is {project}"));
    }
    let Near { templates, projects } = Near::of(dir);
    match templates.as_slice() {
        [] => (!projects.is_empty()).then(|| projects.join("; ")),
        [one] => Some(format!("did you mean {}?", one.display())),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Some(format!("there are templates: {}", names.join(", ")))
        }
    }
}

/// The project of a tool that a directory is, and what makes a template of it.
fn project_in(dir: &Path) -> Option<String> {
    let has = |names: &[&str]| names.iter().any(|name| dir.join(name).is_file());
    let by_hand = "its tables and functions have to be written in one (`tailrace init` shows how)";
    if has(&SERVERLESS) {
        return Some("a Serverless project: run `serverless package` first".to_owned());
    }
    if has(&[CDK]) {
        return Some("a CDK project: run `cdk synth` first".to_owned());
    }
    if has(&[AMPLIFY]) {
        let how = "an Amplify project: `npx ampx sandbox` makes .amplify/artifacts/cdk.out, which is read here \
                   (and deploys to AWS)";
        return Some(how.to_owned());
    }
    if has(&[SST]) {
        return Some(format!(
            "an SST project: of SST 2, `npx sst build --to cdk.out` makes what is read here; SST 3 makes no \
             template, so that {by_hand}"
        ));
    }
    if has(&PULUMI) {
        return Some(format!("a Pulumi project, and Pulumi makes no template: {by_hand}"));
    }
    if dir.join(CHALICE).is_dir() {
        return Some("a Chalice project: run `chalice package build && tailrace up build/sam.json`".to_owned());
    }
    if has(&[CDKTF]) {
        return Some(format!(
            "a project of the CDK for Terraform: run `cdktf synth`, and {OF_TERRAFORM} in cdktf.out/stacks/NAME"
        ));
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.take(FUNCTION_CODE_ENTRIES_MAX).map(|entry| entry.file_name());
    let is_terraform = names.any(|name| is_terraform(&name.to_string_lossy()));
    is_terraform.then(|| format!("a Terraform project: run {OF_TERRAFORM} first"))
}

/// What lies in a directory and below it.
#[derive(Default)]
struct Near {
    /// Files that are templates by what they hold, and assemblies of the CDK.
    templates: Vec<PathBuf>,
    /// Projects of tools, with what makes a template of each.
    projects: Vec<String>,
}

impl Near {
    fn of(dir: &Path) -> Near {
        const PASSED_OVER: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];
        let (mut near, mut level) = (Near::default(), vec![dir.to_owned()]);
        let mut entries_left = FUNCTION_CODE_ENTRIES_MAX;
        for _ in 0..LEVELS {
            let mut below = Vec::new();
            let mut paths: Vec<PathBuf> = level
                .iter()
                .filter_map(|dir| std::fs::read_dir(dir).ok())
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .take(entries_left)
                .collect();
            entries_left -= paths.len();
            paths.sort();
            for path in paths {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_dir = path.is_dir();
                if is_dir && (name.starts_with('.') || PASSED_OVER.contains(&&*name)) {
                    continue;
                }
                // Of an assembly not the files are started, but it.
                let is_template = match is_dir {
                    true => assembly::stacks(&path).is_some_and(|stacks| !stacks.is_empty()),
                    false => !is_of_a_tool(&name) && is_template(&text_of(&path)),
                };
                if is_template {
                    near.templates.push(path);
                    if near.templates.len() == NAMED_MAX {
                        return near;
                    }
                } else if is_dir {
                    if near.projects.len() < NAMED_MAX
                        && let Some(project) = project_in(&path)
                    {
                        near.projects.push(format!("{} is {project}", path.display()));
                    }
                    below.push(path);
                }
            }
            level = below;
        }
        near
    }
}

/// The text of a file that may be a template by its name; of another one, none.
fn text_of(path: &Path) -> Vec<u8> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml" | "json" | "template") => files::read_regular(path, TEMPLATE_BYTES_MAX).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn is_template(text: &[u8]) -> bool {
    let holds = |word: &[u8]| holds(text, word);
    holds(b"Resources") && (holds(b"AWS::DynamoDB::") || holds(b"AWS::Serverless::") || holds(b"AWS::Lambda::"))
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|piece| piece == word)
}
