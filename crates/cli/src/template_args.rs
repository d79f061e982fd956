//! What a template is given on the command line and by the environment: values of its parameters, and of what is not here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use tailrace_server::template::{CONFIG_ENVIRONMENT, parameter_pairs, read_parameters};
use tailrace_server::{Code, TemplateValues};

use crate::Failure;

/// A variable that begins so gives the parameter that the rest names.
const VARIABLE: &str = "TAILRACE_PARAM_";

/// Flags for the values that a template asks for.
#[derive(Debug, Default, Args)]
pub struct TemplateArgs {
    /// Value of a parameter of the template; may be repeated, and may hold several pairs as `sam deploy` takes them; of
    /// several templates, Stack/NAME is that of one
    /// [env: TAILRACE_PARAM_NAME]
    #[arg(long = "parameter", visible_alias = "parameter-overrides", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// File with values of parameters: SAM's samconfig.toml ([default.deploy.parameters]), or CloudFormation's JSON
    /// [env: TAILRACE_PARAMETERS_FILE]
    #[arg(long, value_name = "FILE")]
    pub parameters_file: Option<PathBuf>,
    /// The environment of a samconfig.toml that is read, as for sam deploy [env: TAILRACE_CONFIG_ENV] [default: default]
    #[arg(long, value_name = "NAME")]
    pub config_env: Option<String>,
    /// Value of what is not here, instead of a stand-in; may be repeated. NAME is a resource's Id (what Ref gives),
    /// Id.Attribute (GetAtt), import:EXPORT, output:STACK.OUTPUT, ssm:NAME or secretsmanager:ID[:KEY]; of several stacks
    /// Stack/Id is that of one
    #[arg(long = "resource", value_name = "NAME=VALUE")]
    pub resources: Vec<String>,
    /// Store from which code in buckets is fetched, one that speaks S3, with the credentials of AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY [env: AWS_ENDPOINT_URL_S3]
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
}

impl TemplateArgs {
    /// The values, with those of the environment and of the file.
    pub fn values(self) -> Result<TemplateValues, Failure> {
        let wrong = |name: &str, why: String| Failure::new(Code::Setting, format_args!("{name}: {why}"));
        let mut values = TemplateValues::default();
        for text in &self.parameters {
            values.parameters.extend(parameter_pairs(text).map_err(|why| wrong("--parameter", why.to_string()))?);
        }
        for text in &self.resources {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| wrong("--resource", format!("{text:?} is not NAME=VALUE")))?;
            values.resources.insert(name.to_owned(), value.to_owned());
        }
        let file = self.parameters_file.or_else(|| std::env::var_os("TAILRACE_PARAMETERS_FILE").map(PathBuf::from));
        if let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) {
            let environment = self.config_env.or_else(|| std::env::var("TAILRACE_CONFIG_ENV").ok());
            let environment = environment.filter(|name| !name.is_empty());
            let read = read_parameters(&file, environment.as_deref().unwrap_or(CONFIG_ENVIRONMENT));
            values.shared_parameters =
                read.map_err(|why| wrong("--parameters-file", format!("{}: {why}", file.display())))?;
            values.has_file = true;
        } else if self.config_env.is_some() {
            let why = "it is of a samconfig.toml, which --parameters-file names";
            return Err(wrong("--config-env", why.to_owned()));
        }
        let endpoint = self.s3_endpoint.or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok());
        values.s3_endpoint = endpoint.filter(|url| !url.is_empty());
        values.shared_parameters.extend(environment());
        Ok(values)
    }
}

/// The parameters of the environment. One that is empty counts: a value may be so.
fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix(VARIABLE)?.to_owned();
        Some((name, value.to_str()?.to_owned()))
    });
    variables.collect()
}
