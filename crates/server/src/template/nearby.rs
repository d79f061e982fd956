//! What lies around a place that has no template: the project of a tool that makes one, or templates under other names.

use std::path::{Path, PathBuf};

use tailrace_core::limits::{FUNCTION_CODE_ENTRIES_MAX, TEMPLATE_BYTES_MAX};

use crate::files;

/// Files that say how a Serverless project is made.
const SERVERLESS: [&str; 5] =
    ["serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js"];

/// The file that says how a CDK project is made.
const CDK: &str = "cdk.json";

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
    SERVERLESS.contains(&name) || name == CDK || is_terraform(name)
}

fn is_terraform(name: &str) -> bool {
    TERRAFORM.iter().any(|ending| name.ends_with(ending))
}

/// What a directory without a template has to be put through, or which of its files are templates.
pub(super) fn hint(dir: &Path) -> Option<String> {
    let has = |names: &[&str]| names.iter().any(|name| dir.join(name).is_file());
    if has(&SERVERLESS) {
        return Some("this is a Serverless project: run `serverless package` first".to_owned());
    }
    if has(&[CDK]) {
        return Some("this is a CDK project: run `cdk synth` first".to_owned());
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    if entries.take(FUNCTION_CODE_ENTRIES_MAX).any(|entry| is_terraform(&entry.file_name().to_string_lossy())) {
        let how = "this is a Terraform project: run \
                   `terraform plan -out tfplan && terraform show -json tfplan > tfplan.json` first";
        return Some(how.to_owned());
    }
    let near = templates_near(dir);
    match near.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {}?", one.display())),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Some(format!("there are templates: {}", names.join(", ")))
        }
    }
}

/// Files in a directory, and below it, that are templates by what they hold.
fn templates_near(dir: &Path) -> Vec<PathBuf> {
    const PASSED_OVER: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];
    let (mut found, mut level) = (Vec::new(), vec![dir.to_owned()]);
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
            if path.is_dir() {
                if !name.starts_with('.') && !PASSED_OVER.contains(&&*name) {
                    below.push(path);
                }
            } else if !is_of_a_tool(&name) && is_template(&text_of(&path)) {
                found.push(path);
                if found.len() == NAMED_MAX {
                    return found;
                }
            }
        }
        level = below;
    }
    found
}

/// The text of a file that may be a template by its name; of another one, none.
fn text_of(path: &Path) -> Vec<u8> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml" | "json" | "template") => files::read_regular(path, TEMPLATE_BYTES_MAX).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn is_template(text: &[u8]) -> bool {
    let holds = |word: &[u8]| text.windows(word.len()).any(|piece| piece == word);
    holds(b"Resources") && (holds(b"AWS::DynamoDB::") || holds(b"AWS::Serverless::") || holds(b"AWS::Lambda::"))
}
