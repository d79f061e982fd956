//! Applying the template again while the server runs.
//!
//! It is what a start does, with the same rules: what cannot be done without a loss is refused before anything is changed, and
//! what is not in the template any more is kept. What runs goes on meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::code::CodeSource;
use tailrace_core::limits::PACKAGES_UNUSED_MAX;
use tailrace_lambda::FunctionConfig;

use crate::apply;
use crate::server::{Server, StartError};
use crate::template::{self, Plan, Templates};

/// What became of a template that was applied again.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// What is new or changed, a few words each.
    pub changes: Vec<String>,
    /// What is to be known of it and was not told before, one line each.
    pub lines: Vec<String>,
}

/// A stack of several, and what it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackContents {
    /// What it is called.
    pub name: String,
    /// The names of its tables, functions, delivery streams and sinks.
    pub made: Vec<String>,
}

/// The plan that was applied last.
#[derive(Default)]
pub(crate) struct Applied {
    plan: Plan,
}

impl Applied {
    pub(crate) fn new(plan: Plan) -> Applied {
        Applied { plan }
    }

    /// The files that the plan was made of, but for the template itself: those inside of it, archives and single files of
    /// code and layers.
    fn sources(&self) -> Vec<PathBuf> {
        let codes = self.plan.functions.iter().map(|function| &function.code);
        let contents = self.plan.layers.iter().map(|layer| &layer.content);
        let paths = codes.chain(contents).filter_map(|source| match source {
            CodeSource::Path(path) => Some(path.clone()),
            CodeSource::Inline { .. } | CodeSource::Object { .. } => None,
        });
        paths.chain(self.plan.files.iter().cloned()).collect()
    }
}

impl Server {
    /// The files whose change is a change of what was applied, beside the template itself. A directory is none of them.
    pub async fn sources(&self) -> Vec<PathBuf> {
        let paths = self.applied.lock().await.sources();
        // Away from the runtime's threads: a path may lie on a slow disk.
        let files = tokio::task::spawn_blocking(|| paths.into_iter().filter(|path| path.is_file()).collect());
        files.await.unwrap_or_default()
    }

    /// The enabled mappings of the template that were not started, since their functions cannot run here: their logical ids.
    pub async fn not_started(&self) -> Vec<String> {
        self.applied.lock().await.plan.not_run.iter().flat_map(|one| one.enabled.clone()).collect()
    }

    /// The stacks that were applied together, and what they made; none: it was one template.
    pub async fn stacks(&self) -> Vec<StackContents> {
        let applied = self.applied.lock().await;
        let plan = &applied.plan;
        let of_stack = |name: &String| {
            let is_its = |logical_id: &str| plan.stack_of(logical_id) == Some(name.as_str());
            let tables = plan.tables.iter().map(|table| (&table.logical_id, table.name()));
            let functions = plan.functions.iter().map(|function| (&function.logical_id, function.name.as_str()));
            let streams = plan.delivery_streams.iter().map(|stream| (&stream.logical_id, stream.name.as_str()));
            let sinks = plan.sinks.iter().map(|sink| (&sink.logical_id, sink.name.as_str()));
            let all = tables.chain(functions).chain(streams).chain(sinks);
            let made = all.filter(|(id, _)| is_its(id)).map(|(_, name)| name.to_owned()).collect();
            StackContents { name: name.clone(), made }
        };
        plan.stacks.iter().map(of_stack).collect()
    }

    /// Applies templates as a start does, while the server runs.
    ///
    /// # Errors
    /// What stands in the way; unless it is told of a table, a function or a mapping by name, nothing is changed.
    pub fn reload<'a>(&'a self, templates: &'a Templates) -> BoxFuture<'a, Result<Reloaded, StartError>> {
        self.apply_again(templates).boxed()
    }

    async fn apply_again(&self, templates: &Templates) -> Result<Reloaded, StartError> {
        // One after the other.
        let mut applied = self.applied.lock().await;
        let (templates, options) = (templates.clone(), self.template_options.clone());
        let read = tokio::task::spawn_blocking(move || template::read(&templates, &options)).await;
        let plan = read.map_err(|error| StartError::StoreThread(error.to_string()))??;
        let before = self.configs();
        let told = Mutex::new(Vec::new());
        let tell = |line: String| told.lock().push(line);
        let mut fetched = plan.clone();
        self.buckets.fetch(&mut fetched, tell).await?;
        let made = apply::begin(fetched, &self.db, &self.functions, tell).await?;
        apply::delivery_streams(made.delivery_streams(), &self.delivery_streams, tell).await?;
        apply::mappings(made, &self.db, &self.mappings, tell).await?;
        // A function that was waited for may be there now.
        self.delivery_streams.wake();
        let functions = self.functions.clone();
        let _ = tokio::task::spawn_blocking(move || functions.sweep_packages(PACKAGES_UNUSED_MAX)).await;
        let changes = changes(&applied.plan, &plan, &before, &self.configs());
        let skipped = plan.skipped.iter().filter(|line| !applied.plan.skipped.contains(line)).cloned();
        let lines = skipped.chain(told.into_inner()).collect();
        *applied = Applied::new(plan);
        Ok(Reloaded { changes, lines })
    }

    fn configs(&self) -> BTreeMap<String, FunctionConfig> {
        self.functions.list().into_iter().map(|config| (config.name.clone(), config)).collect()
    }
}

/// What is new or changed, in the order of the template.
fn changes(
    old: &Plan,
    new: &Plan,
    before: &BTreeMap<String, FunctionConfig>,
    after: &BTreeMap<String, FunctionConfig>,
) -> Vec<String> {
    let word = |is_new: bool| if is_new { "new" } else { "changed" };
    let mut changes = Vec::new();
    for table in &new.tables {
        let former = old.tables.iter().find(|former| former.name() == table.name());
        if former != Some(table) {
            changes.push(format!("{} table {}", word(former.is_none()), table.name()));
        }
    }
    for function in &new.functions {
        let (former, now) = (before.get(&function.name), after.get(&function.name));
        if former != now {
            changes.push(format!("{} function {}", word(former.is_none()), function.name));
        }
    }
    for stream in &new.delivery_streams {
        let former = old.delivery_streams.iter().find(|former| former.name == stream.name);
        if former != Some(stream) {
            changes.push(format!("{} delivery stream {}", word(former.is_none()), stream.name));
        }
    }
    for mapping in &new.mappings {
        let is_it = |former: &&template::MappingPlan| former.logical_id == mapping.logical_id;
        let former = old.mappings.iter().find(is_it);
        if former != Some(mapping) {
            changes.push(format!("{} mapping {}", word(former.is_none()), mapping.logical_id));
        }
    }
    changes
}
