//! Archives of code that a configuration makes, and what they are made of: so that an edit is run, and that none has to be built.

use super::{known, of_text, text};
use crate::node::{Format, Node};

/// The type of what makes an archive of a directory or a file.
pub(super) const ARCHIVE: &str = "archive_file";

/// The archives of a document.
#[derive(Default)]
pub(super) struct Archives<'a> {
    /// Those of `archive_file`, with their addresses.
    files: Vec<(&'a str, &'a Node)>,
    /// What the module `terraform-aws-modules/lambda` is about to build: the archive, and the one directory or file that is in it.
    packages: Vec<(Node, Node)>,
}

impl<'a> Archives<'a> {
    /// Those of a document with these resources.
    pub(super) fn of(document: &'a Node, resources: impl Iterator<Item = &'a Node>) -> Archives<'a> {
        let mut archives = Archives::default();
        for resource in resources {
            archives.add(resource, resource.get("values"));
        }
        // What is read only behind an apply, as where the archive hangs on something that is made, is a change of the plan.
        for change in document.get("resource_changes").map_or(&[][..], Node::one_or_many) {
            archives.add(change, change.get("change").and_then(|change| change.get("after")));
        }
        archives
    }

    fn add(&mut self, resource: &'a Node, values: Option<&'a Node>) {
        let (Some(kind), Some(address), Some(values)) = (text(resource, "type"), text(resource, "address"), values)
        else {
            return;
        };
        match kind {
            ARCHIVE => self.files.push((address, values)),
            "local_file" => self.packages.extend(text(values, "content").and_then(package)),
            _ => {}
        }
    }

    /// What the archive of this path is made of.
    pub(super) fn made_of(&self, path: &Node) -> Option<Node> {
        let mut files = self.files.iter().filter(|(_, values)| known(values, "output_path").as_ref() == Some(path));
        let package = || self.packages.iter().find(|(archive, _)| archive == path).map(|(_, source)| source.clone());
        files.find_map(|(_, values)| source(values)).or_else(package)
    }

    /// What the archive with this address, or that of one of several with it, is made of.
    pub(super) fn made_of_address(&self, address: &str) -> Option<Node> {
        let is_it = |own: &str| own.strip_prefix(address).is_some_and(|key| key.is_empty() || key.starts_with('['));
        self.files.iter().filter(|(own, _)| is_it(own)).find_map(|(_, values)| source(values))
    }
}

fn source(archive: &Node) -> Option<Node> {
    let given = |name| known(archive, name).filter(|path| *path != of_text(""));
    given("source_dir").or_else(|| given("source_file"))
}

/// What a plan of a build, in JSON, makes, and of what: only where that is one directory or file as it is.
fn package(plan: &str) -> Option<(Node, Node)> {
    if !plan.contains("\"build_plan\"") {
        return None;
    }
    let plan = Node::parse_any(plan, Format::Json).ok()?;
    let [step] = plan.get("build_plan")?.one_or_many() else { return None };
    let mut source = None;
    for action in step.one_or_many() {
        match action.one_or_many() {
            [Node::Text(name), path @ Node::Text(_), Node::Null] if name == "zip" && source.is_none() => {
                source = Some(path.clone());
            }
            // Files that it leaves out do no harm.
            [Node::Text(name), ..] if name == "set:filter" => {}
            _ => return None,
        }
    }
    Some((known(&plan, "filename")?, source?))
}
