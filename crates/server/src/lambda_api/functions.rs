//! ListFunctions, GetFunction and GetFunctionConfiguration, of the functions that templates have declared.
//! Source: docs/spec/event-source-mapping.md 1, 12; docs/spec/lambda-runtime.md 8.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tailrace_core::function::{LogLevel, Logging};
use tailrace_core::{FunctionArn, FunctionReference, limits};
use tailrace_engine::streams::label;
use tailrace_lambda::{CodeFacts, FunctionConfig};
use tailrace_mapping::Constraints;
use tailrace_wire::RestAnswer;

use super::error::{Class, LambdaError};
use super::request::Request;
use super::{LambdaApi, document};

/// FunctionConfiguration.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    function_name: String,
    function_arn: String,
    runtime: String,
    handler: String,
    code_size: u64,
    description: &'static str,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Variables>,
    tracing_config: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Value>,
    state: &'static str,
    last_update_status: &'static str,
    package_type: &'static str,
    architectures: [&'static str; 1],
    ephemeral_storage: Value,
    snap_start: Value,
    logging_config: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Variables {
    variables: BTreeMap<String, String>,
}

/// The architecture in Lambda's words.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };

impl LambdaApi {
    fn function_document(&self, config: FunctionConfig) -> Configuration {
        let CodeFacts { digest, bytes, written_ms } = self.functions.code(&config.name).unwrap_or_default();
        let layers = config.layers.iter().map(|layer| json!({ "Arn": layer.display().to_string(), "CodeSize": 0 }));
        let environment = Some(config.environment).filter(|variables| !variables.is_empty());
        Configuration {
            function_arn: config.arn.to_string(),
            runtime: config.runtime,
            handler: config.handler,
            code_size: bytes,
            description: "",
            timeout: config.timeout_s,
            memory_size: config.memory_mb,
            last_modified: format!("{}+0000", label::text(written_ms)),
            // Of the code's files by name, size and time: they are a directory, and no archive.
            code_sha256: BASE64.encode(Sha256::digest(digest.to_be_bytes())),
            version: config.version,
            environment: environment.map(|variables| Variables { variables }),
            tracing_config: json!({ "Mode": "PassThrough" }),
            layers: layers.collect(),
            state: "Active",
            last_update_status: "Successful",
            package_type: "Zip",
            architectures: [ARCHITECTURE],
            ephemeral_storage: json!({ "Size": 512 }),
            snap_start: json!({ "ApplyOn": "None", "OptimizationStatus": "Off" }),
            logging_config: logging(&config.name, &config.logging),
            function_name: config.name,
        }
    }

    /// What the model says of the function that the path names.
    pub(super) fn constrain_function(&self, request: &Request<'_>, constraints: &mut Constraints) {
        constraints.function(request.label(), &self.region, &self.account_id);
    }

    /// The function that the path names, and as it names it. Every function has one version, which any qualifier stands for. The
    /// model was looked at before.
    ///
    /// # Errors
    /// There is none. `qualified`: the text has a qualifier in any case, as that of Invoke does.
    pub(super) fn function_of(
        &self,
        request: &Request<'_>,
        qualified: bool,
    ) -> Result<(FunctionConfig, FunctionReference), LambdaError> {
        let given = request.label();
        let reference = FunctionReference::parse(given, &self.region, &self.account_id);
        let mut reference = reference.expect("invariant: the model was looked at");
        let own = qualifier(&reference).map(str::to_owned);
        if let Some(asked) = request.parameter("Qualifier") {
            if own.as_deref().is_some_and(|own| own != asked) {
                let text = "The derived qualifier from the function name does not match the specified qualifier.";
                return Err(LambdaError::new(Class::InvalidParameterValue, text));
            }
            if own.is_none() {
                reference.arn = FunctionArn::new(format!("{}:{asked}", reference.arn));
            }
        }
        match self.functions.get(&reference.name) {
            Some(config) => Ok((config, reference)),
            None => {
                let suffix = if qualified && qualifier(&reference).is_none() { ":$LATEST" } else { "" };
                let text = format!("Function not found: {}{suffix}", reference.arn);
                Err(LambdaError::new(Class::ResourceNotFound, text))
            }
        }
    }

    pub(super) fn list_functions(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let mut constraints = Constraints::default();
        constraints.text(
            "masterRegion",
            request.parameter("MasterRegion"),
            REGION_CHARS_MAX,
            REGION_PATTERN,
            is_region,
        );
        constraints.choice("functionVersion", request.parameter("FunctionVersion"), &["ALL"]);
        let max = request.max_items(limits::FUNCTIONS_PER_PAGE_MAX, &mut constraints);
        constraints.check()?;
        let after = request.parameter("Marker").unwrap_or_default();
        let mut functions = self.functions.list().into_iter().filter(|config| config.name.as_str() > after);
        let page: Vec<Configuration> =
            functions.by_ref().take(max).map(|config| self.function_document(config)).collect();
        let next = functions.next().and_then(|_| Some(page.last()?.function_name.clone()));
        Ok(document(
            200,
            &match next {
                Some(next) => json!({ "Functions": page, "NextMarker": next }),
                None => json!({ "Functions": page }),
            },
        ))
    }

    /// The function that is asked for, the model first.
    fn asked_for(&self, request: &Request<'_>) -> Result<FunctionConfig, LambdaError> {
        let mut constraints = Constraints::default();
        self.constrain_function(request, &mut constraints);
        constrain_qualifier(request, &mut constraints);
        constraints.check()?;
        Ok(self.function_of(request, false)?.0)
    }

    pub(super) fn get_function(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let config = self.asked_for(request)?;
        let location = format!("file://{}", config.code_dir.display());
        let mut answer = json!({ "Code": { "RepositoryType": "directory", "Location": location } });
        if let Some(reserved) = config.reserved_concurrency {
            answer["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
        }
        answer["Configuration"] = json!(self.function_document(config));
        Ok(document(200, &answer))
    }

    pub(super) fn get_function_configuration(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        Ok(document(200, &self.function_document(self.asked_for(request)?)))
    }
}

/// The rules of the model for MasterRegion.
const REGION_CHARS_MAX: usize = 50;
const REGION_PATTERN: &str = r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}";

/// Regions of any name are taken, since a server may have any.
fn is_region(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The rules of the model for Qualifier.
const QUALIFIER_CHARS_MAX: usize = 128;
const QUALIFIER_PATTERN: &str = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";

pub(super) fn constrain_qualifier(request: &Request<'_>, constraints: &mut Constraints) {
    let given = request.parameter("Qualifier");
    constraints.text("qualifier", given, QUALIFIER_CHARS_MAX, QUALIFIER_PATTERN, is_qualifier);
}

fn is_qualifier(text: &str) -> bool {
    text == "$LATEST.PUBLISHED" || text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_$".contains(&byte))
}

/// What stands behind the name in the ARN.
fn qualifier(reference: &FunctionReference) -> Option<&str> {
    let (_, behind) = reference.arn.as_str().split_once(":function:")?;
    behind.split_once(':').map(|(_, qualifier)| qualifier)
}

/// The LoggingConfig of a function. The levels are those of JSON alone.
fn logging(name: &str, logging: &Logging) -> serde_json::Value {
    let log_group = format!("/aws/lambda/{name}");
    if !logging.json {
        return json!({ "LogFormat": "Text", "LogGroup": log_group });
    }
    let level = |level: Option<LogLevel>| level.unwrap_or(LogLevel::Info).name();
    json!({
        "LogFormat": "JSON",
        "ApplicationLogLevel": level(logging.application_level),
        "SystemLogLevel": level(logging.system_level),
        "LogGroup": log_group,
    })
}
