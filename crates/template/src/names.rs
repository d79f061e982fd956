//! What the names of a template refer to: parameters, pseudo-parameters, resources and their attributes.
//!
//! A resource is made here (a table, a function), or it is another name of one (an alias, a version), or it is not here: then
//! what a reference gives is a stand-in, or what the user gave for it.

use tailrace_core::limits::{TABLE_NAME_CHARS_MAX, TABLE_NAME_CHARS_MIN};

use crate::TemplateError;
use crate::amplify;
use crate::app::Wanted;
use crate::delivery_stream::DELIVERY_STREAM;
use crate::node::Node;
use crate::plan::FUNCTION_NAME_CHARS_MAX;
use crate::resolve::{Resolved, Resolver};
use crate::suggest::{did_you_mean, nearest};
use crate::text::{Origin, Part, Text};
use crate::value::Value;

/// The pseudo-parameters, for suggestions.
const PSEUDO: &[&str] = &[
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

/// A resource that other parts of the template refer to.
enum Named {
    Table(String),
    Function(String),
    Layer(String),
    DeliveryStream(String),
    /// A version or an alias: the ARN of the function with a qualifier.
    Qualified(Text),
    /// It is not here: its type and its name.
    Elsewhere(String, String),
}

/// The types that are tables here.
pub(crate) const TABLES: [&str; 4] =
    ["AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable", amplify::TABLE];

/// The types that are functions here.
pub(crate) const FUNCTIONS: [&str; 2] = ["AWS::Lambda::Function", "AWS::Serverless::Function"];

/// The types that are layers here.
pub(crate) const LAYERS: [&str; 2] = ["AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion"];

/// What `--resource` names that is no resource of the template.
const FROM_ELSEWHERE: [&str; 5] = ["import:", "output:", "ssm:", "ssm-secure:", "secretsmanager:"];

/// By these the CDK brings a value to a stack of another region: the one puts it there as an SSM parameter, by whose name the
/// other has it as an attribute.
pub(crate) const EXPORT_WRITER: &str = "Custom::CrossRegionExportWriter";
pub(crate) const EXPORT_READER: &str = "Custom::CrossRegionExportReader";

impl Resolver<'_> {
    /// What the user gave for resources is for resources that are there, and that are not made here.
    pub(super) fn check_given_resources(&self) -> Resolved<()> {
        let names =
            self.options.resources.keys().filter(|name| !FROM_ELSEWHERE.iter().any(|kind| name.starts_with(kind)));
        for name in names {
            // Of a stack inside: told there.
            let id = name.split(['.', '/']).next().unwrap_or(name);
            let at = |message: String| Err(TemplateError::at(format!("--resource {name}"), message));
            match self.kind(id) {
                Some(kind) if TABLES.contains(&kind) || FUNCTIONS.contains(&kind) || kind == DELIVERY_STREAM => {
                    return at(format!("{id} is made here, and has its own"));
                }
                Some(_) => {}
                None if self.generated_kind(id).is_some() => {}
                // Or a bucket of another stack, in which code is.
                None if self.parameters().any(|(parameter, _)| parameter == id) => {
                    return at(format!("{id} is a parameter: --parameter {id}=VALUE gives it"));
                }
                None => {
                    if let Some(near) = nearest(id, self.resources.iter().map(|(name, _)| name.as_str())) {
                        return at(format!("the template has no resource {id}; did you mean {near}?"));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn reference(&self, target: &str, path: &str) -> Resolved<Value> {
        if let Some(value) = self.parameter(target, path)? {
            return Ok(value);
        }
        let text = |text: &str| Ok(Value::Text(Text::literal(text)));
        let options = self.options;
        match target {
            "AWS::Region" => text(&options.region),
            "AWS::AccountId" => text(&options.account_id),
            "AWS::Partition" => text("aws"),
            "AWS::StackName" => text(&options.stack_name),
            "AWS::URLSuffix" => text("amazonaws.com"),
            "AWS::StackId" => text(&format!(
                "arn:aws:cloudformation:{}:{}:stack/{}/tailrace",
                options.region, options.account_id, options.stack_name
            )),
            "AWS::NoValue" => Ok(Value::Absent),
            "AWS::NotificationARNs" => Ok(Value::List(Vec::new())),
            _ => Ok(Value::Text(match self.named(target, path)? {
                Named::Table(name) | Named::Function(name) | Named::DeliveryStream(name) => Text::literal(name),
                Named::Layer(name) => Text::literal(self.layer_arn(&name)),
                Named::Qualified(arn) => arn,
                Named::Elsewhere(kind, name) => {
                    self.given_or_stand_in(target, None, &kind, || self.place().reference(&kind, &name))
                }
            })),
        }
    }

    pub(crate) fn attribute(&self, id: &str, attribute: &str, path: &str) -> Resolved<Value> {
        if let Some(value) = self.output(id, attribute, path)? {
            return Ok(value);
        }
        let text = |text: String| Ok(Value::Text(Text::literal(text)));
        let attribute = match self.kind(id) {
            Some(amplify::TABLE) if attribute == "TableName" => return self.reference(id, path),
            Some(amplify::TABLE) => amplify::attribute(attribute),
            _ => attribute,
        };
        let known: &[&str] = match (self.named(id, path)?, attribute) {
            (Named::Table(name), "Arn") => return text(self.table_arn(&name)),
            (Named::Table(name), "StreamArn") => {
                let id = self.global(id);
                self.streams.borrow_mut().push((id.clone(), path.to_owned()));
                self.stack.shared.tables.borrow_mut().insert(id.clone(), name);
                return Ok(Value::Text(Text(vec![Part::StreamOf(id)])));
            }
            (Named::Table(_), "TableId") => return text("00000000-0000-0000-0000-000000000000".to_owned()),
            (Named::Function(name), "Arn") => return text(self.function_arn(&name)),
            (Named::Layer(name), "LayerVersionArn" | "Arn") => return text(self.layer_arn(&name)),
            (Named::DeliveryStream(name), "Arn") => return text(self.delivery_stream_arn(&name)),
            (Named::DeliveryStream(_), _) => &["Arn"],
            (Named::Function(_), "Version") => return text("$LATEST".to_owned()),
            (Named::Qualified(arn), attribute) if attribute.ends_with("Arn") => return Ok(Value::Text(arn)),
            (Named::Qualified(_), "Version") => return text("$LATEST".to_owned()),
            (Named::Elsewhere(kind, _), "Value") if kind == "AWS::SSM::Parameter" => {
                match self.value_of_parameter(id)? {
                    Some(value) => return Ok(Value::Text(value)),
                    None => &[],
                }
            }
            (Named::Elsewhere(kind, name), attribute) => {
                let stored = if kind == EXPORT_READER { self.stored(attribute) } else { None };
                let made = || self.place().attribute(&kind, &name, attribute);
                let text = stored.unwrap_or_else(|| self.given_or_stand_in(id, Some(attribute), &kind, made));
                return Ok(Value::Text(text));
            }
            (Named::Table(_), _) => &["Arn", "StreamArn"],
            (Named::Function(_), _) => &["Arn", "Version"],
            (Named::Layer(_), _) => &["LayerVersionArn"],
            (Named::Qualified(_), _) => &["FunctionArn", "AliasArn", "Version"],
        };
        let hint = did_you_mean(attribute, known.iter().copied());
        Err(TemplateError::at(path, format!("the attribute {id}.{attribute} cannot be resolved{hint}")))
    }

    /// What the user gave for a resource that is not here, or what stands in for it.
    fn given_or_stand_in(&self, id: &str, attribute: Option<&str>, kind: &str, made: impl FnOnce() -> String) -> Text {
        let name = attribute.map_or_else(|| id.to_owned(), |attribute| format!("{id}.{attribute}"));
        self.given_or(&name, format!("{name} ({kind})"), true, made)
    }

    /// What `--resource` gave for a key, or what stands in for it.
    pub(super) fn given_or(&self, key: &str, what: String, is_resource: bool, made: impl FnOnce() -> String) -> Text {
        match self.options.resources.get(key) {
            Some(given) => Text::literal(given.clone()),
            None => {
                let place = if is_resource { self.stack.place() } else { "" };
                Text::stand_in(made(), Origin { what, option: format!("--resource {place}{key}=VALUE"), is_resource })
            }
        }
    }

    /// What an SSM parameter of this name holds: given, or made by this template or one that is started with it; `None`: only
    /// AWS knows.
    pub(super) fn stored(&self, name: &str) -> Option<Text> {
        let wanted = Wanted::Stored(name);
        let key = wanted.key();
        if let Some(given) = self.options.resources.get(&key) {
            return Some(Text::literal(given.clone()));
        }
        let of_members = || self.of_members(&wanted, &key).ok().flatten();
        self.own_stored(name).or_else(|| of_members()?.as_text())
    }

    /// What an SSM parameter of this name holds that this template makes.
    pub(super) fn own_stored(&self, name: &str) -> Option<Text> {
        // A name that hangs on what another parameter of the template holds is not looked for by that again: each would ask all.
        if self.comparing_names.get() {
            return None;
        }
        for (id, resource) in self.resources.iter() {
            if let Some(node) = exports_of_writer(resource).and_then(|exports| exports.get(name)) {
                let path = format!("Resources.{id}.Properties.WriterProps.exports.{name}");
                return self.deeper(&path, || Ok(self.value(node, &path)?.as_text())).ok().flatten();
            }
            let Some(node) = name_of_stored(resource) else { continue };
            let path = format!("Resources.{id}.Properties.Name");
            self.comparing_names.set(true);
            let own = self.deeper(&path, || self.literal(node, &path));
            self.comparing_names.set(false);
            if own.is_ok_and(|own| own == name) {
                return self.value_of_parameter(id).ok().flatten();
            }
        }
        None
    }

    /// The `Value` of an SSM parameter of the template.
    fn value_of_parameter(&self, id: &str) -> Resolved<Option<Text>> {
        let path = format!("Resources.{id}.Properties.Value");
        let node = self.resource(id).and_then(|resource| resource.get("Properties")).and_then(|own| own.get("Value"));
        let Some(node) = node else { return Ok(None) };
        self.deeper(&path, || Ok(self.value(node, &path)?.as_text()))
    }

    pub(super) fn table_arn(&self, name: &str) -> String {
        format!("arn:aws:dynamodb:{}:{}:table/{name}", self.options.region, self.options.account_id)
    }

    pub(crate) fn function_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.options.region, self.options.account_id)
    }

    fn delivery_stream_arn(&self, name: &str) -> String {
        format!("arn:aws:firehose:{}:{}:deliverystream/{name}", self.options.region, self.options.account_id)
    }

    /// The ARN of the one version that a layer has here.
    pub(crate) fn layer_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:layer:{name}:1", self.options.region, self.options.account_id)
    }

    pub(crate) fn resource(&self, id: &str) -> Option<&Node> {
        self.resources.iter().find(|(name, _)| name == id).map(|(_, resource)| resource)
    }

    fn kind(&self, id: &str) -> Option<&str> {
        match self.resource(id)?.get("Type") {
            Some(Node::Text(kind)) => Some(kind),
            _ => None,
        }
    }

    /// Everything that a reference may name, but for pseudo-parameters.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().chain(self.parameters()).map(|(name, _)| name.as_str())
    }

    /// Whether a reference may name it.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.ids().chain(PSEUDO.iter().copied()).any(|known| known == name) || self.generated_kind(name).is_some()
    }

    /// A name in a text with variables of its own that is neither one of them nor anything else.
    pub(super) fn unknown_variable(&self, name: &str, variables: &[(String, Node)], path: &str) -> TemplateError {
        let own = variables.iter().map(|(own, _)| own.as_str());
        let hint = did_you_mean(name, own.chain(self.ids()).chain(PSEUDO.iter().copied()));
        TemplateError::at(path, format!("there is no variable, no parameter and no resource {name}{hint}"))
    }

    fn parameters(&self) -> impl Iterator<Item = &(String, Node)> {
        self.template.get("Parameters").map_or(&[][..], Node::pairs).iter()
    }

    /// What a resource is said to depend on and is not there, each with the name that was likely meant. Nothing waits for it here; AWS
    /// refuses the template.
    pub(crate) fn unknown_dependencies(&self, resource: &Node) -> Vec<(String, String)> {
        let names = resource.get("DependsOn").into_iter().flat_map(Node::one_or_many).filter_map(|name| match name {
            Node::Text(name) => Some(name.as_str()),
            _ => None,
        });
        let unknown = names.filter(|name| self.resource(name).is_none() && self.generated_kind(name).is_none());
        let hint = |name: &str| did_you_mean(name, self.resources.iter().map(|(id, _)| id.as_str()));
        unknown.map(|name| (name.to_owned(), hint(name))).collect()
    }

    /// A resource that other resources may refer to, by its logical id.
    fn named(&self, id: &str, path: &str) -> Resolved<Named> {
        let Some(resource) = self.resource(id) else {
            if let Some(named) = self.generated(id, path)? {
                return Ok(named);
            }
            let hint = did_you_mean(id, self.ids().chain(PSEUDO.iter().copied()));
            return Err(TemplateError::at(path, format!("there is no parameter and no resource {id}{hint}")));
        };
        if let Some(Node::Text(condition)) = resource.get("Condition")
            && !self.condition(condition, path)?
        {
            let message = format!("the resource {id} is left out, since its condition {condition} does not hold");
            return Err(TemplateError::at(path, message));
        }
        let Some(Node::Text(kind)) = resource.get("Type") else {
            return Err(TemplateError::at(path, format!("it refers to {id}, which has no Type")));
        };
        Ok(match kind.as_str() {
            kind if TABLES.contains(&kind) => Named::Table(self.name_of(id, resource, "TableName")?),
            kind if FUNCTIONS.contains(&kind) => Named::Function(self.name_of(id, resource, "FunctionName")?),
            kind if LAYERS.contains(&kind) => Named::Layer(self.name_of(id, resource, "LayerName")?),
            DELIVERY_STREAM => Named::DeliveryStream(self.name_of(id, resource, "DeliveryStreamName")?),
            "AWS::Lambda::Alias" => Named::Qualified(self.qualified(id, resource, "Name")?),
            "AWS::Lambda::Version" => Named::Qualified(self.qualified(id, resource, "")?),
            kind => Named::Elsewhere(kind.to_owned(), self.physical_name(id, kind, resource)),
        })
    }

    /// The ARN of a version or an alias.
    fn qualified(&self, id: &str, resource: &Node, qualifier: &str) -> Resolved<Text> {
        let own = resource.get("Properties");
        let path = format!("Resources.{id}.Properties.FunctionName");
        let function = own.and_then(|own| own.get("FunctionName"));
        let function = function.ok_or_else(|| TemplateError::at(&path, "this property is required"))?;
        let mut arn = self.deeper(&path, || self.value(function, &path))?.as_text().unwrap_or_default();
        if arn.as_literal().is_some_and(|name| !name.starts_with("arn:")) {
            let mut whole = Text::literal(self.function_arn(""));
            whole.append(arn);
            arn = whole;
        }
        let qualifier = match own.and_then(|own| own.get(qualifier)) {
            Some(node) => self.deeper(&path, || self.literal(node, &path))?,
            None => "1".to_owned(),
        };
        arn.push(Part::Literal(format!(":{qualifier}")));
        Ok(arn)
    }

    /// What SAM makes of a resource of its own, and names by it: `<function>Role`, `<function>.Alias`, `ServerlessRestApi`.
    fn generated(&self, id: &str, path: &str) -> Resolved<Option<Named>> {
        let Some((base, kind)) = self.generated_kind(id) else { return Ok(None) };
        if kind == "AWS::Lambda::Alias" || kind == "AWS::Lambda::Version" {
            let Named::Function(name) = self.named(&base, path)? else { return Ok(None) };
            let alias = self.resource(&base).and_then(|resource| resource.get("Properties")?.get("AutoPublishAlias"));
            let qualifier = match alias {
                Some(alias) if kind == "AWS::Lambda::Alias" => self.literal(alias, path)?,
                _ => "1".to_owned(),
            };
            return Ok(Some(Named::Qualified(Text::literal(format!("{}:{qualifier}", self.function_arn(&name))))));
        }
        let name = format!("{}-{}", self.options.stack_name, id.replace('.', "-"));
        Ok(Some(Named::Elsewhere(kind.to_owned(), name)))
    }

    /// The resource of the template behind one that SAM makes, and its type.
    fn generated_kind(&self, id: &str) -> Option<(String, &'static str)> {
        match id {
            "ServerlessRestApi" => return Some((id.to_owned(), "AWS::ApiGateway::RestApi")),
            "ServerlessHttpApi" => return Some((id.to_owned(), "AWS::ApiGatewayV2::Api")),
            "ServerlessDeploymentApplication" => return Some((id.to_owned(), "AWS::CodeDeploy::Application")),
            _ if id.starts_with("ServerlessRestApi") || id.starts_with("ServerlessHttpApi") => {
                return Some((id.to_owned(), "AWS::ApiGateway::Stage"));
            }
            _ => {}
        }
        let of_sam = self.resources.iter().filter(|(_, resource)| {
            matches!(resource.get("Type"), Some(Node::Text(kind)) if kind.starts_with("AWS::Serverless::"))
        });
        of_sam
            .filter_map(|(base, resource)| {
                let suffix = id.strip_prefix(base.as_str())?;
                let events = resource.get("Properties").and_then(|own| own.get("Events")).map_or(&[][..], Node::pairs);
                let kind = match suffix {
                    "Role" | ".Role" => "AWS::IAM::Role",
                    "Url" => "AWS::Lambda::Url",
                    ".Alias" => "AWS::Lambda::Alias",
                    ".Version" => "AWS::Lambda::Version",
                    ".Stage" => "AWS::ApiGateway::Stage",
                    ".Deployment" => "AWS::ApiGateway::Deployment",
                    ".DestinationQueue" => "AWS::SQS::Queue",
                    ".DestinationTopic" => "AWS::SNS::Topic",
                    suffix if suffix.starts_with("Alias") => "AWS::Lambda::Alias",
                    suffix if suffix.starts_with("Version") => "AWS::Lambda::Version",
                    suffix if suffix.ends_with("Stage") => "AWS::ApiGateway::Stage",
                    suffix if suffix.starts_with("Deployment") => "AWS::ApiGateway::Deployment",
                    suffix if suffix.starts_with("EventInvokeConfig") => "AWS::Lambda::EventInvokeConfig",
                    suffix if events.iter().any(|(event, _)| suffix.starts_with(event.as_str())) => "AWS::Events::Rule",
                    _ => return None,
                };
                Some((base.clone(), kind))
            })
            .next()
    }

    /// The name of a resource that is not here: its own, or one like those that CloudFormation makes.
    fn physical_name(&self, id: &str, kind: &str, resource: &Node) -> String {
        let what = kind.rsplit("::").next().unwrap_or(kind);
        let own = |property: &str| {
            let node = resource.get("Properties")?.get(property)?;
            let path = format!("Resources.{id}.Properties.{property}");
            let text = self.deeper(&path, || self.value(node, &path)).ok()?.as_literal()?;
            (!text.is_empty()).then_some(text)
        };
        let named = own(&format!("{what}Name")).or_else(|| own("Name"));
        named.unwrap_or_else(|| {
            let name = format!("{}-{id}", self.options.stack_name);
            let is_fifo = |property: &str| own(property).is_some_and(|value| value == "true");
            match kind {
                "AWS::S3::Bucket" => name.to_lowercase(),
                "AWS::SQS::Queue" if is_fifo("FifoQueue") => name + ".fifo",
                "AWS::SNS::Topic" if is_fifo("FifoTopic") => name + ".fifo",
                _ => name,
            }
        })
    }

    /// Where the name of a resource comes from: its property, or else the resource itself.
    pub(crate) fn name_path(&self, id: &str, property: &str) -> String {
        match self.resource(id).and_then(|resource| resource.get("Properties")).and_then(|own| own.get(property)) {
            Some(_) => format!("Resources.{id}.Properties.{property}"),
            None => format!("Resources.{id}"),
        }
    }

    /// The name of a resource that is made here: its property, or else its logical id.
    pub(crate) fn name_of(&self, id: &str, resource: &Node, property: &str) -> Resolved<String> {
        let path = format!("Resources.{id}.Properties.{property}");
        let generated = || match property {
            "TableName" if id.len() < TABLE_NAME_CHARS_MIN => format!("{}-{id}", self.stack_name_for(id)),
            "TableName" => self.generated_name(id, TABLE_NAME_CHARS_MAX),
            _ => self.generated_name(id, FUNCTION_NAME_CHARS_MAX),
        };
        let Some(node) = resource.get("Properties").and_then(|properties| properties.get(property)) else {
            return Ok(generated());
        };
        let value = self.deeper(&path, || self.value(node, &path))?;
        if let Some(Origin { what, option, is_resource }) = value.origin() {
            // Amplify makes the name of a table of its API's id, which only AWS knows.
            if *is_resource && !is_of(resource, amplify::TABLE) {
                return Err(TemplateError::at(path, not_here(what, option)));
            }
            let name = value.brief();
            self.skip(&path, format_args!("{name} is made of a stand-in for {what}; give it with {option}"));
        }
        match value {
            Value::Absent | Value::Null => Ok(generated()),
            value => {
                value.as_text().and_then(|text| text.as_literal()).filter(|name| !name.is_empty()).ok_or_else(|| {
                    let hint = self.taken_for(node);
                    TemplateError::at(&path, format!("a name is expected, not {}{hint}", value.brief()))
                })
            }
        }
    }
}

/// Why a value that is needed is not known, and what to do.
pub(crate) fn not_here(what: &str, option: &str) -> String {
    format!("its value is needed, and comes from {what}, which is not here: give it with {option}")
}

/// What a resource that is a writer of exports writes, by the names of SSM parameters.
pub(crate) fn exports_of_writer(resource: &Node) -> Option<&Node> {
    let own = resource.get("Properties").filter(|_| is_of(resource, EXPORT_WRITER))?;
    own.get("WriterProps")?.get("exports")
}

/// The name of a resource that is an SSM parameter.
pub(crate) fn name_of_stored(resource: &Node) -> Option<&Node> {
    resource.get("Properties").filter(|_| is_of(resource, "AWS::SSM::Parameter"))?.get("Name")
}

fn is_of(resource: &Node, wanted: &str) -> bool {
    matches!(resource.get("Type"), Some(Node::Text(kind)) if kind == wanted)
}
