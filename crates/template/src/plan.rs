//! What a template asks for, in plain types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tailrace_api::tables::{
    BillingMode, ContributorInsightsMode, CreateTableRequest, PointInTimeRecoverySpecification, TimePrecision,
    TimeToLiveSpecification,
};
use tailrace_core::code::{CodeSource, Package};
use tailrace_core::function::{ConfigError, FunctionConfig, Logging};
use tailrace_core::limits::{TABLE_NAME_CHARS_MAX, TABLE_NAME_CHARS_MIN};
use tailrace_core::model::is_table_name;
use tailrace_core::{FunctionArn, StartingPosition, StreamArn, ViewType};

use crate::filters;
use crate::resolve::Resolver;
use crate::text::Text;
use crate::{Options, TemplateError};

/// Length of a function's name, at most. Source: Lambda's CreateFunction.
pub(crate) const FUNCTION_NAME_CHARS_MAX: usize = 64;

/// Everything that a template asks for, in the order of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tables to create.
    pub tables: Vec<TablePlan>,
    /// Functions to register.
    pub functions: Vec<FunctionPlan>,
    /// Layers that functions name.
    pub layers: Vec<LayerPlan>,
    /// Event source mappings to create, once tables and functions are there.
    pub mappings: Vec<MappingPlan>,
    /// Functions that mappings would use, and that cannot run here.
    pub not_run: Vec<NotRun>,
    /// Delivery streams to make.
    pub delivery_streams: Vec<DeliveryStreamPlan>,
    /// Sinks to have beside those that are configured: pipes to other targets than functions.
    pub sinks: Vec<SinkPlan>,
    /// The templates inside of the template that were read.
    pub files: Vec<PathBuf>,
    /// What is not applied: one line each, for the user.
    pub skipped: Vec<String>,
    /// The stacks that were read together; none: it was one template.
    pub stacks: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// Its name in the template.
    pub logical_id: String,
    /// What makes it. Billed by units, it has units only where the template gives them.
    pub request: CreateTableRequest,
    /// What is set of it once it stands.
    pub settings: TableSettings,
}

/// What is set of a table once it stands; `None`: the template does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// Whether and by which attribute its items expire.
    pub time_to_live: Option<TimeToLiveSpecification>,
    /// Whether it could be restored.
    pub point_in_time_recovery: Option<PointInTimeRecoverySpecification>,
    /// Whose insights are asked for.
    pub contributor_insights: Vec<InsightsPlan>,
    /// The policy of its stream.
    pub stream_policy: Option<String>,
    /// Where its changes are to go.
    pub kinesis: Option<KinesisPlan>,
}

/// Contributor insights of a table or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsightsPlan {
    /// The index; `None`: the table itself.
    pub index: Option<String>,
    /// On or off.
    pub enabled: bool,
    /// `None`: the default.
    pub mode: Option<ContributorInsightsMode>,
}

/// A Kinesis data stream that is to get a table's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KinesisPlan {
    /// Its ARN.
    pub stream_arn: String,
    /// How exact the times of the records are.
    pub precision: Option<TimePrecision>,
}

impl TablePlan {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.request.table_name
    }

    /// The view type of its stream; `None`: it has none.
    pub fn stream(&self) -> Option<ViewType> {
        self.request.stream_specification.and_then(|stream| stream.stream_view_type)
    }

    /// It is billed by request.
    pub fn is_on_demand(&self) -> bool {
        self.request.billing_mode == Some(BillingMode::PayPerRequest)
    }
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPlan {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: FunctionArn,
    /// The handler.
    pub handler: String,
    /// The runtime's identifier.
    pub runtime: String,
    /// Where the code comes from; a path is joined to the template's directory.
    pub code: CodeSource,
    /// Where the template says so.
    pub code_path: String,
    /// Its layers, of those that the template makes: the later one covers the earlier.
    pub layers: Vec<LayerUse>,
    /// The timeout, seconds.
    pub timeout_s: u32,
    /// The memory, MB.
    pub memory_mb: u32,
    /// The function's variables.
    pub environment: BTreeMap<String, Text>,
    /// Its reserved concurrency.
    pub reserved_concurrency: Option<u32>,
    /// How its lines are written.
    pub logging: Logging,
}

impl FunctionPlan {
    /// The configuration to register, with what its code has become; `stream_arn` tells the ARN of a table's stream by the
    /// table's logical id. `None`: a variable names a stream that it does not tell.
    pub fn config(&self, package: Package, stream_arn: impl Fn(&str) -> Option<StreamArn>) -> Option<FunctionConfig> {
        let mut config =
            FunctionConfig::new(&self.name, self.arn.clone(), &self.runtime, &self.handler, package.code_dir);
        config.layers = package.layers;
        config.timeout_s = self.timeout_s;
        config.memory_mb = self.memory_mb;
        config.reserved_concurrency = self.reserved_concurrency;
        config.logging = self.logging.clone();
        for (name, text) in &self.environment {
            config.environment.insert(name.clone(), text.resolve(&stream_arn)?);
        }
        Some(config)
    }

    /// Checks the rules of the function registry, so that a breach is told with its place.
    pub(crate) fn check(&self) -> Result<(), TemplateError> {
        let Some(Err(error)) =
            self.config(Package::default(), |_| Some(StreamArn::new(String::new()))).map(|config| config.validate())
        else {
            return Ok(());
        };
        let property = match error {
            ConfigError::UnsupportedRuntime(_) => "Runtime",
            ConfigError::Timeout(_) => "Timeout",
            ConfigError::Memory(_) => "MemorySize",
            ConfigError::ReservedVariable(_)
            | ConfigError::MalformedVariable(_)
            | ConfigError::VariablesTooLarge(_) => "Environment.Variables",
        };
        Err(TemplateError::at(format!("Resources.{}.Properties.{property}", self.logical_id), error.to_string()))
    }
}

/// A function that cannot run here. Its mappings are not in the plan: those of other functions are to run all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
    /// Its name.
    pub function: String,
    /// Why, with the place in the template.
    pub why: String,
    /// The logical ids of its mappings.
    pub mappings: Vec<String>,
    /// Those of them that are enabled, and would deliver.
    pub enabled: Vec<String>,
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NotRun { function, why, mappings, .. } = self;
        let (noun, is) = if mappings.len() == 1 { ("mapping", "is") } else { ("mappings", "are") };
        let mappings = mappings.join(", ");
        write!(f, "{why}; the function {function} is left out, and its {noun} {mappings} {is} not started")
    }
}

/// A delivery stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryStreamPlan {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// The CreateDeliveryStream request, in JSON.
    pub request: serde_json::Value,
}

/// A layer of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// Its name in the template.
    pub logical_id: String,
    /// The ARN of its one version, by which functions name it.
    pub arn: String,
    /// Where its content comes from.
    pub content: CodeSource,
    /// Where the template says so.
    pub content_path: String,
}

/// A layer that a function names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// The ARN of its version.
    pub arn: String,
    /// Where the template says so.
    pub path: String,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// What would be said of it in tailrace.yaml.
    pub config: serde_json::Value,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingPlan {
    /// Its name in the template; for an event of a function `<function><event>`, as SAM names it.
    pub logical_id: String,
    /// The function's name.
    pub function: String,
    /// Where the template names the function.
    pub function_path: String,
    /// The stream.
    pub source: Source,
    /// Where the template names the stream.
    pub source_path: String,
    /// Whether it runs.
    pub enabled: bool,
    /// BatchSize.
    pub batch_size: u32,
    /// MaximumBatchingWindowInSeconds.
    pub batching_window_s: u32,
    /// StartingPosition.
    pub starting_position: StartingPosition,
    /// ParallelizationFactor.
    pub parallelization_factor: u32,
    /// MaximumRetryAttempts; `None`: until the record expires.
    pub retry_attempts_max: Option<u32>,
    /// MaximumRecordAgeInSeconds; `None`: until the record expires.
    pub record_age_max_s: Option<u32>,
    /// BisectBatchOnFunctionError.
    pub bisect_on_error: bool,
    /// FunctionResponseTypes holds ReportBatchItemFailures.
    pub report_item_failures: bool,
    /// An event is the array of its records, without an object around it: what a pipe hands over.
    pub bare_records: bool,
    /// The patterns of FilterCriteria.
    pub filters: Vec<String>,
    /// TumblingWindowInSeconds; 0: none.
    pub tumbling_window_s: u32,
    /// MetricsConfig: Metrics.
    pub metrics: Vec<String>,
    /// KMSKeyArn.
    pub kms_key_arn: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// Where a mapping's records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The stream of the table with this logical id.
    StreamOf(String),
    /// A stream's ARN.
    Arn(StreamArn),
}

/// How much of each kind a plan has.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    functions: usize,
    layers: usize,
    mappings: usize,
    not_run: usize,
}

/// The name of the table that a stream is of.
pub fn table_of(stream: &StreamArn) -> Option<&str> {
    stream.as_str().split_once(":table/")?.1.split('/').next()
}

/// What resolves the variables that a name was left with.
fn hint_of_variables(name: &str) -> &'static str {
    const OF_SERVERLESS: [&str; 6] = ["${self:", "${opt:", "${env:", "${sls:", "${param:", "${file("];
    if OF_SERVERLESS.iter().any(|begin| name.contains(begin)) {
        "; Serverless has such variables: `serverless package` resolves them, and makes .serverless, which is read here"
    } else if name.contains("${") {
        "; ${...} is resolved in !Sub alone"
    } else {
        ""
    }
}

impl Plan {
    pub(crate) fn counts(&self) -> Counts {
        let Plan { functions, layers, mappings, not_run, .. } = self;
        Counts { functions: functions.len(), layers: layers.len(), mappings: mappings.len(), not_run: not_run.len() }
    }

    /// Names the template of what was added since: the places that are kept are places in it.
    pub(crate) fn name_template(&mut self, since: Counts, template: &str) {
        let name = |path: &mut String| path.insert_str(0, &format!("{template}: "));
        for function in &mut self.functions[since.functions..] {
            name(&mut function.code_path);
            function.layers.iter_mut().for_each(|used| name(&mut used.path));
        }
        self.layers[since.layers..].iter_mut().for_each(|layer| name(&mut layer.content_path));
        for mapping in &mut self.mappings[since.mappings..] {
            name(&mut mapping.function_path);
            name(&mut mapping.source_path);
        }
        self.not_run[since.not_run..].iter_mut().for_each(|not_run| name(&mut not_run.why));
    }

    /// Takes the mappings of functions that cannot run here out of the plan.
    pub(crate) fn leave_out_what_does_not_run(&mut self) {
        for NotRun { function, mappings, enabled, .. } in &mut self.not_run {
            for mapping in self.mappings.extract_if(.., |mapping| mapping.function == *function) {
                enabled.extend(mapping.enabled.then(|| mapping.logical_id.clone()));
                mappings.push(mapping.logical_id);
            }
        }
    }

    /// Gives the mappings of streams of AWS, by their ARNs, those of the tables here that are called so: told, since nothing but the
    /// name says so. An ARN of this server counts as it is.
    pub(crate) fn take_streams_of_own_tables(&mut self, options: &Options) {
        let own = format!("arn:aws:dynamodb:{}:{}:", options.region, options.account_id);
        let mut lines = Vec::new();
        for mapping in &mut self.mappings {
            let Source::Arn(arn) = &mapping.source else { continue };
            let Some(name) = table_of(arn).filter(|_| !arn.as_str().starts_with(&own)) else { continue };
            let table = self.tables.iter().find(|table| table.name() == name && table.stream().is_some());
            if let Some(table) = table {
                let path = &mapping.source_path;
                lines.push(format!("{path}: {arn} is a stream of AWS; the stream of the table {name} here is taken"));
                mapping.source = Source::StreamOf(table.logical_id.clone());
            }
        }
        lines.into_iter().for_each(|line| self.tell(line));
    }

    /// Names the filters that match no record of their table's stream.
    pub(crate) fn tell_of_filters(&mut self) {
        let mut lines = Vec::new();
        for mapping in &self.mappings {
            let Source::StreamOf(id) = &mapping.source else { continue };
            let view = self.tables.iter().find(|table| table.logical_id == *id).and_then(TablePlan::stream);
            let Some(view) = view else { continue };
            // A pipe has them among the parameters of its source.
            let criteria = match mapping.source_path.rsplit_once('.') {
                Some((place, "Source")) => format!("{place}.SourceParameters.FilterCriteria"),
                Some((place, _)) => format!("{place}.FilterCriteria"),
                None => continue,
            };
            for (n, pattern) in mapping.filters.iter().enumerate() {
                let pattern = serde_json::from_str(pattern).ok();
                if let Some(why) = pattern.and_then(|pattern| filters::never_in(&pattern, view)) {
                    lines.push(format!("{criteria}.Filters.{n}.Pattern: {why}"));
                }
            }
        }
        lines.into_iter().for_each(|line| self.tell(line));
    }

    /// Adds a line of what is not applied, once.
    pub(crate) fn tell(&mut self, line: String) {
        if !self.skipped.contains(&line) {
            self.skipped.push(line);
        }
    }

    /// Whether a mapping hands records to the function of this name: then it has to run, else it need not.
    pub fn is_mapped(&self, function: &str) -> bool {
        self.mappings.iter().any(|mapping| mapping.function == function)
    }

    /// A function's name has the form that AWS asks for.
    pub(crate) fn check_function_name(resolver: &Resolver<'_>, id: &str, name: &str) -> Result<(), TemplateError> {
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if (1..=FUNCTION_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_name_char) {
            return Ok(());
        }
        let message = format!(
            "a function's name has 1 to {FUNCTION_NAME_CHARS_MAX} of the characters a-z, A-Z, 0-9, `_` and `-`, and \
             {name:?} has not{}",
            hint_of_variables(name)
        );
        Err(TemplateError::at(resolver.name_path(id, "FunctionName"), message))
    }

    /// The stack, of several that were read together, that has this logical id of the plan.
    pub fn stack_of(&self, logical_id: &str) -> Option<&str> {
        let has_it = |stack: &&String| logical_id.strip_prefix(stack.as_str()).is_some_and(|own| own.starts_with('/'));
        self.stacks.iter().filter(has_it).max_by_key(|stack| stack.len()).map(String::as_str)
    }

    /// The rules between resources: names are given once, and a stream that is read exists. `name_path` tells where the name of a
    /// resource comes from, `needed` the tables whose stream is used and where.
    pub(crate) fn check(
        &self,
        name_path: impl Fn(&str, &str) -> String,
        needed: &[(String, String)],
    ) -> Result<(), TemplateError> {
        for (n, table) in self.tables.iter().enumerate() {
            let at = |message: String| TemplateError::at(name_path(&table.logical_id, "TableName"), message);
            let name = table.name();
            if !is_table_name(name) {
                let hint = hint_of_variables(name);
                return Err(at(format!(
                    "a table's name has {TABLE_NAME_CHARS_MIN} to {TABLE_NAME_CHARS_MAX} of the characters a-z, A-Z, 0-9, `_`, `-` \
                     and `.`, and {name:?} has not{hint}"
                )));
            }
            if let Some(other) = self.tables[..n].iter().find(|other| other.name() == name) {
                return Err(at(format!("the table name {name:?} is taken by {}", other.logical_id)));
            }
        }
        for (n, function) in self.functions.iter().enumerate() {
            let at = |message: String| TemplateError::at(name_path(&function.logical_id, "FunctionName"), message);
            let name = &function.name;
            if let Some(other) = self.functions[..n].iter().find(|other| other.name == *name) {
                return Err(at(format!("the function name {name:?} is taken by {}", other.logical_id)));
            }
        }
        for (n, mapping) in self.mappings.iter().enumerate() {
            let is_same = |other: &&MappingPlan| other.function == mapping.function && other.source == mapping.source;
            if let Some(other) = self.mappings[..n].iter().find(is_same) {
                let message =
                    format!("the function {} has this stream already, by {}", mapping.function, other.source_path);
                return Err(TemplateError::at(&mapping.source_path, message));
            }
        }
        let with_stream = |id: &str| self.tables.iter().any(|table| table.logical_id == id && table.stream().is_some());
        match needed.iter().find(|(id, _)| !with_stream(id)) {
            Some((id, path)) => Err(TemplateError::at(path, format!("the table {id} has no StreamSpecification"))),
            None => Ok(()),
        }
    }
}
