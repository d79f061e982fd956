//! What `terraform show -json` writes, of a plan or of a state, as a template of CloudFormation: tables, functions, layers,
//! aliases and event source mappings, and the type of everything else, so that it is named and has stand-ins.
//!
//! Invariants
//! - A logical id is the address of the resource, with `_` for what an id cannot have.
//! - What a plan knows only after an apply is a reference where its configuration says to what; what is left of that is named.
//!
//! What it does not do: it reads no configuration (`.tf`), and evaluates no expression of one. A plan does not tell the names of
//! variables whose values are not known before an apply.

mod archive;
mod references;

use std::collections::BTreeSet;

use archive::Archives;
use references::{Configuration, Referred};

use crate::node::{Node, is_intrinsic};

/// What `Ref` gives no value for.
const NO_VALUE: &str = "AWS::NoValue";

/// The member of code of which nothing is known but why.
pub(crate) const NOT_KNOWN: &str = "Tailrace::NotKnown";

/// A document of Terraform as a template.
pub(crate) struct Converted {
    pub(crate) template: Node,
    /// What is to be told of it, one line each.
    pub(crate) told: Vec<String>,
}

/// A resource as the document has it.
struct Resource<'a> {
    id: String,
    kind: &'a str,
    address: &'a str,
    values: &'a Node,
}

/// The types that are read, and those whose names and ARNs functions ask for, with their names in CloudFormation.
const TYPES: [(&str, &str); 19] = [
    ("aws_cloudwatch_event_bus", "AWS::Events::EventBus"),
    ("aws_dynamodb_table", "AWS::DynamoDB::Table"),
    ("aws_iam_role", "AWS::IAM::Role"),
    ("aws_kinesis_stream", "AWS::Kinesis::Stream"),
    ("aws_kms_key", "AWS::KMS::Key"),
    ("aws_lambda_alias", "AWS::Lambda::Alias"),
    ("aws_lambda_event_source_mapping", "AWS::Lambda::EventSourceMapping"),
    ("aws_lambda_function", "AWS::Lambda::Function"),
    ("aws_lambda_layer_version", "AWS::Lambda::LayerVersion"),
    ("aws_lambda_permission", "AWS::Lambda::Permission"),
    ("aws_opensearch_domain", "AWS::OpenSearchService::Domain"),
    ("aws_s3_bucket", "AWS::S3::Bucket"),
    ("aws_secretsmanager_secret", "AWS::SecretsManager::Secret"),
    ("aws_security_group", "AWS::EC2::SecurityGroup"),
    ("aws_sfn_state_machine", "AWS::StepFunctions::StateMachine"),
    ("aws_sns_topic", "AWS::SNS::Topic"),
    ("aws_sqs_queue", "AWS::SQS::Queue"),
    ("aws_subnet", "AWS::EC2::Subnet"),
    ("aws_vpc", "AWS::EC2::VPC"),
];

/// The template that a document of Terraform stands for; `None`: it is none of Terraform's.
pub(crate) fn template_of(document: &Node) -> Option<Converted> {
    document.get("terraform_version")?;
    let values = document.get("planned_values").or_else(|| document.get("values"))?;
    let mut resources = Vec::new();
    if let Some(root) = values.get("root_module") {
        collect(root, &mut resources);
    }
    // A plan has what was read for it in the state before it, whose resources may be about to go.
    let prior = document.get("prior_state").and_then(|state| state.get("values")?.get("root_module"));
    let mut before = Vec::new();
    if let Some(root) = prior {
        collect(root, &mut before);
    }
    let archives = Archives::of(document, resources.iter().chain(&before).copied());
    let managed = resources.iter().filter(|resource| {
        text(resource, "mode") == Some("managed") && text(resource, "type") != Some(archive::ARCHIVE)
    });
    let mut ids = BTreeSet::new();
    let found: Vec<Resource<'_>> = managed
        .filter_map(|resource| {
            let address = text(resource, "address")?;
            let (kind, values) = (text(resource, "type")?, resource.get("values")?);
            // Two addresses may differ in what an id cannot have alone.
            let (plain, mut n) = (id_of(address), 1);
            let mut id = plain.clone();
            while !ids.insert(id.clone()) {
                n += 1;
                id = format!("{plain}_{n}");
            }
            Some(Resource { id, kind, address, values })
        })
        .collect();
    let configuration = Configuration::of(document, found.iter().map(|resource| resource.address));
    let reading = Reading { resources: &found, archives: &archives, configuration };
    let (mut pairs, mut told) = (Vec::new(), Vec::new());
    for resource in &found {
        let kind = TYPES.iter().find(|(own, _)| *own == resource.kind).map_or(resource.kind, |(_, kind)| *kind);
        let properties = match resource.kind {
            "aws_dynamodb_table" => table(resource),
            "aws_lambda_function" => reading.function(resource, &mut told),
            "aws_lambda_layer_version" => reading.layer(resource),
            "aws_lambda_event_source_mapping" => match reading.mapping(resource) {
                Some(mapping) => mapping,
                None => {
                    let address = resource.address;
                    told.push(format!(
                        "{address}: nothing here says what its event_source_arn or its function_name is, so it is left out: what \
                         `terraform show -json` writes of the state, behind an apply, has it"
                    ));
                    continue;
                }
            },
            "aws_lambda_alias" => reading.alias(resource),
            "aws_sqs_queue" => some([("QueueName", resource.value("name"))]),
            "aws_sns_topic" => some([("TopicName", resource.value("name"))]),
            "aws_s3_bucket" => some([("BucketName", resource.value("bucket"))]),
            _ => some([("Name", resource.value("name"))]),
        };
        let body = vec![("Type".to_owned(), Node::Text(kind.to_owned())), ("Properties".to_owned(), properties)];
        pairs.push((resource.id.clone(), Node::Map(body)));
    }
    Some(Converted { template: Node::Map(vec![("Resources".to_owned(), Node::Map(pairs))]), told })
}

/// The resources of a module and of those below it.
fn collect<'a>(module: &'a Node, resources: &mut Vec<&'a Node>) {
    resources.extend(module.get("resources").map_or(&[][..], Node::one_or_many));
    for inner in module.get("child_modules").map_or(&[][..], Node::one_or_many) {
        collect(inner, resources);
    }
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    match node.get(name) {
        Some(Node::Text(text)) => Some(text),
        _ => None,
    }
}

/// An address as a logical id.
fn id_of(address: &str) -> String {
    let mut id = String::with_capacity(address.len());
    for part in
        address.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').filter(|part| !part.is_empty())
    {
        if !id.is_empty() {
            id.push('_');
        }
        id.push_str(part);
    }
    id
}

impl Resource<'_> {
    /// A value that is known, and not null.
    fn value(&self, name: &str) -> Option<Node> {
        known(self.values, name)
    }

    /// The blocks of this name.
    fn blocks(&self, name: &str) -> &[Node] {
        match self.values.get(name) {
            Some(Node::List(blocks)) => blocks,
            _ => &[],
        }
    }

    fn block(&self, name: &str) -> Option<&Node> {
        self.blocks(name).first()
    }
}

fn known(values: &Node, name: &str) -> Option<Node> {
    values.get(name).filter(|value| **value != Node::Null).cloned()
}

/// A map of what there is.
fn some<const N: usize>(pairs: [(&str, Option<Node>); N]) -> Node {
    Node::Map(pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn of_text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

/// A map that is none of a function, whatever its one member is called: what Terraform writes calls none. The member beside it is
/// left out wherever the map is read.
fn no_call(map: Node) -> Node {
    match map {
        Node::Map(mut pairs) if is_intrinsic(&pairs) => {
            pairs.push((NO_VALUE.to_owned(), reference(NO_VALUE)));
            Node::Map(pairs)
        }
        other => other,
    }
}

/// A call of GetAtt.
fn attribute(id: &str, name: &str) -> Node {
    Node::Map(vec![("Fn::GetAtt".to_owned(), Node::List(vec![of_text(id), of_text(name)]))])
}

fn reference(id: &str) -> Node {
    Node::Map(vec![("Ref".to_owned(), of_text(id))])
}

/// The keys of a table or an index.
fn key_schema(hash: Option<Node>, range: Option<Node>) -> Node {
    let element = |name: Node, kind| some([("AttributeName", Some(name)), ("KeyType", Some(of_text(kind)))]);
    let hash = hash.map(|name| element(name, "HASH"));
    Node::List(hash.into_iter().chain(range.map(|name| element(name, "RANGE"))).collect())
}

fn throughput(values: &Node) -> Option<Node> {
    let (read, write) = (known(values, "read_capacity")?, known(values, "write_capacity")?);
    Some(some([("ReadCapacityUnits", Some(read)), ("WriteCapacityUnits", Some(write))]))
}

fn index(block: &Node, hash: Option<Node>, billed_by_units: bool) -> Node {
    let others = known(block, "non_key_attributes").filter(|list| !list.one_or_many().is_empty());
    let projection = some([("ProjectionType", known(block, "projection_type")), ("NonKeyAttributes", others)]);
    some([
        ("IndexName", known(block, "name")),
        ("KeySchema", Some(key_schema(hash, known(block, "range_key")))),
        ("Projection", Some(projection)),
        ("ProvisionedThroughput", throughput(block).filter(|_| billed_by_units)),
    ])
}

fn table(table: &Resource<'_>) -> Node {
    let is_on = |block: &&Node| known(block, "enabled") == Some(Node::Bool(true));
    let by_units = table.value("billing_mode") != Some(of_text("PAY_PER_REQUEST"));
    let attributes = table.blocks("attribute").iter();
    let attributes =
        attributes.map(|one| some([("AttributeName", known(one, "name")), ("AttributeType", known(one, "type"))]));
    let list = |nodes: Vec<Node>| (!nodes.is_empty()).then_some(Node::List(nodes));
    let global = table.blocks("global_secondary_index").iter();
    let local = table.blocks("local_secondary_index").iter();
    let stream = some([("StreamViewType", table.value("stream_view_type"))]);
    let has_stream = table.value("stream_enabled") == Some(Node::Bool(true));
    let ttl = table.block("ttl").filter(is_on);
    let encryption = table.block("server_side_encryption").filter(is_on);
    let tags = table.value("tags").unwrap_or(Node::Null);
    let tags =
        tags.pairs().iter().map(|(key, value)| some([("Key", Some(of_text(key))), ("Value", Some(value.clone()))]));
    some([
        ("TableName", table.value("name")),
        ("BillingMode", table.value("billing_mode")),
        ("ProvisionedThroughput", throughput(table.values).filter(|_| by_units)),
        ("KeySchema", Some(key_schema(table.value("hash_key"), table.value("range_key")))),
        ("AttributeDefinitions", Some(Node::List(attributes.collect()))),
        ("GlobalSecondaryIndexes", list(global.map(|one| index(one, known(one, "hash_key"), by_units)).collect())),
        ("LocalSecondaryIndexes", list(local.map(|one| index(one, table.value("hash_key"), false)).collect())),
        ("StreamSpecification", has_stream.then_some(stream)),
        (
            "TimeToLiveSpecification",
            ttl.map(|ttl| some([("Enabled", Some(Node::Bool(true))), ("AttributeName", known(ttl, "attribute_name"))])),
        ),
        (
            "PointInTimeRecoverySpecification",
            table
                .block("point_in_time_recovery")
                .filter(is_on)
                .map(|_| some([("PointInTimeRecoveryEnabled", Some(Node::Bool(true)))])),
        ),
        ("SSESpecification", encryption.map(|_| some([("SSEEnabled", Some(Node::Bool(true)))]))),
        ("TableClass", table.value("table_class")),
        ("DeletionProtectionEnabled", table.value("deletion_protection_enabled")),
        ("ImportSourceSpecification", table.block("import_table").cloned()),
        ("Tags", list(tags.collect())),
    ])
}

/// The document, for resources that name others.
struct Reading<'a> {
    resources: &'a [Resource<'a>],
    archives: &'a Archives<'a>,
    configuration: Configuration<'a>,
}

impl Reading<'_> {
    fn function(&self, function: &Resource<'_>, told: &mut Vec<String>) -> Node {
        let variables = function.block("environment").and_then(|block| known(block, "variables"));
        if variables.is_none() && function.block("environment").is_some() {
            told.push(format!(
                "Resources.{}: its variables are not known before `terraform apply`, and are not set; \
                 `terraform show -json` of what is applied knows them",
                function.id
            ));
        }
        let environment = variables.map(|variables| some([("Variables", Some(no_call(variables)))]));
        let logging = function.block("logging_config").map(|block| {
            some([
                ("LogFormat", known(block, "log_format")),
                ("ApplicationLogLevel", known(block, "application_log_level")),
                ("SystemLogLevel", known(block, "system_log_level")),
            ])
        });
        let reserved = function.value("reserved_concurrent_executions").filter(|n| *n != Node::Number("-1".to_owned()));
        let layers: Vec<Node> = match function.value("layers") {
            Some(list) => list.one_or_many().iter().map(|arn| self.layer_here(arn)).collect(),
            None => {
                let layers = self.all(function, "layers", "aws_lambda_layer_version");
                layers.iter().map(|layer| reference(&layer.id)).collect()
            }
        };
        some([
            ("FunctionName", function.value("function_name")),
            ("Handler", function.value("handler").filter(|handler| *handler != of_text(""))),
            ("Runtime", function.value("runtime").filter(|runtime| *runtime != of_text(""))),
            ("Code", self.code(function)),
            ("PackageType", function.value("package_type")),
            ("ImageUri", function.value("image_uri").filter(|uri| *uri != of_text(""))),
            ("Timeout", function.value("timeout")),
            ("MemorySize", function.value("memory_size")),
            ("ReservedConcurrentExecutions", reserved),
            ("Environment", environment),
            ("Layers", (!layers.is_empty()).then_some(Node::List(layers))),
            ("LoggingConfig", logging),
            ("VpcConfig", function.block("vpc_config").cloned()),
            ("FileSystemConfigs", function.block("file_system_config").cloned()),
            ("DeadLetterConfig", function.block("dead_letter_config").cloned()),
        ])
    }

    /// A layer by its ARN: that of the document, where a state knows it.
    fn layer_here(&self, arn: &Node) -> Node {
        let mut layers = self.resources.iter().filter(|resource| resource.kind == "aws_lambda_layer_version");
        let layer = layers.find(|layer| layer.value("arn").as_ref() == Some(arn));
        layer.map_or_else(|| arn.clone(), |layer| reference(&layer.id))
    }

    fn layer(&self, layer: &Resource<'_>) -> Node {
        some([("LayerName", layer.value("layer_name")), ("Content", self.code(layer))])
    }

    /// Where code is: what an archive is made of rather than the archive, so that an edit is run.
    fn code(&self, of: &Resource<'_>) -> Option<Node> {
        if let Some(file) = of.value("filename") {
            return Some(self.archives.made_of(&file).unwrap_or(file));
        }
        // Null is not given; what is not there is known only behind an apply.
        if of.values.get("filename").is_none() {
            let archives = self.configuration.referred(of.address, "filename");
            if let Some(source) = archives.iter().find_map(|archive| self.archives.made_of_address(&archive.address)) {
                return Some(source);
            }
        }
        let bucket = of
            .value("s3_bucket")
            .or_else(|| self.all(of, "s3_bucket", "aws_s3_bucket").first().map(|bucket| reference(&bucket.id)));
        if let (Some(bucket), Some(key)) = (bucket, of.value("s3_key")) {
            return Some(some([("S3Bucket", Some(bucket)), ("S3Key", Some(key))]));
        }
        let unknown = ["filename", "s3_bucket", "s3_key"].into_iter().find(|name| of.values.get(name).is_none())?;
        let why = format!(
            "{}: its {unknown} is known behind `terraform apply` only: what `terraform show -json` writes behind one tells it",
            of.address
        );
        Some(some([(NOT_KNOWN, Some(of_text(&why)))]))
    }

    fn alias(&self, alias: &Resource<'_>) -> Node {
        let function = self.all(alias, "function_name", "aws_lambda_function").first().map(|to| reference(&to.id));
        some([("FunctionName", alias.value("function_name").or(function)), ("Name", alias.value("name"))])
    }

    /// `None`: what its source or its function is, is not told.
    fn mapping(&self, mapping: &Resource<'_>) -> Option<Node> {
        // Kafka of one's own has no ARN.
        let is_self_managed = mapping.block("self_managed_event_source").is_some();
        let (source, target) = (self.source(mapping), self.target(mapping));
        if (source.is_none() && !is_self_managed) || target.is_none() {
            return None;
        }
        let patterns = mapping
            .block("filter_criteria")
            .map_or(&[][..], |block| block.get("filter").map_or(&[][..], Node::one_or_many));
        let filters = patterns.iter().map(|filter| some([("Pattern", known(filter, "pattern"))])).collect();
        let filters = (!patterns.is_empty()).then(|| some([("Filters", Some(Node::List(filters)))]));
        let failure =
            mapping.block("destination_config").and_then(|block| block.get("on_failure")?.one_or_many().first());
        let destination = failure.map(|failure| {
            let named = || self.any(mapping, "destination_config").map(|to| attribute(&to.id, "Arn"));
            let arn = known(failure, "destination_arn").or_else(named);
            some([("OnFailure", Some(some([("Destination", arn)])))])
        });
        let metrics = mapping.block("metrics_config").and_then(|block| known(block, "metrics"));
        Some(some([
            ("EventSourceArn", source),
            ("SelfManagedEventSource", is_self_managed.then(|| Node::Map(Vec::new()))),
            ("FunctionName", target),
            ("StartingPosition", mapping.value("starting_position")),
            ("BatchSize", mapping.value("batch_size")),
            ("MaximumBatchingWindowInSeconds", mapping.value("maximum_batching_window_in_seconds")),
            ("ParallelizationFactor", mapping.value("parallelization_factor")),
            ("MaximumRecordAgeInSeconds", mapping.value("maximum_record_age_in_seconds")),
            ("MaximumRetryAttempts", mapping.value("maximum_retry_attempts")),
            ("BisectBatchOnFunctionError", mapping.value("bisect_batch_on_function_error")),
            ("TumblingWindowInSeconds", mapping.value("tumbling_window_in_seconds")),
            ("FunctionResponseTypes", mapping.value("function_response_types")),
            ("FilterCriteria", filters),
            ("DestinationConfig", destination),
            ("Enabled", mapping.value("enabled")),
            ("KmsKeyArn", mapping.value("kms_key_arn").filter(|arn| *arn != of_text(""))),
            ("MetricsConfig", metrics.map(|metrics| some([("Metrics", Some(metrics))]))),
        ]))
    }

    /// The stream: that of a table of the document, by the ARN that a state knows or by what the configuration refers to.
    fn source(&self, mapping: &Resource<'_>) -> Option<Node> {
        if let Some(arn) = mapping.value("event_source_arn") {
            let table = self.resources.iter().find(|table| table.value("stream_arn").as_ref() == Some(&arn));
            return Some(table.map_or(arn, |table| attribute(&table.id, "StreamArn")));
        }
        let table = self.all(mapping, "event_source_arn", "aws_dynamodb_table");
        match table.first() {
            Some(table) => Some(attribute(&table.id, "StreamArn")),
            None => self.any(mapping, "event_source_arn").map(|other| attribute(&other.id, "Arn")),
        }
    }

    /// The function, or the alias of one.
    fn target(&self, mapping: &Resource<'_>) -> Option<Node> {
        let of = |kind| self.all(mapping, "function_name", kind).first().map(|to| reference(&to.id));
        mapping.value("function_name").or_else(|| of("aws_lambda_alias")).or_else(|| of("aws_lambda_function"))
    }

    /// The resources of a type that the configuration of a property refers to: of several that one configuration makes, those
    /// that stand beside this one.
    fn all(&self, from: &Resource<'_>, property: &str, kind: &str) -> Vec<&Resource<'_>> {
        let referred = self.referred(from, property).into_iter().map(|(resource, _)| resource);
        referred.filter(|resource| resource.kind == kind).collect()
    }

    /// One of any type: not what `each.value` may be, which is an object of several as a rule.
    fn any(&self, from: &Resource<'_>, property: &str) -> Option<&Resource<'_>> {
        self.referred(from, property).into_iter().find(|(_, is_of_each)| !is_of_each).map(|(resource, _)| resource)
    }

    /// With each, whether it is known by `each.value`.
    fn referred(&self, from: &Resource<'_>, property: &str) -> Vec<(&Resource<'_>, bool)> {
        let mut found: Vec<(&Resource<'_>, bool)> = Vec::new();
        for Referred { address, each, is_vague, .. } in self.configuration.referred(from.address, property) {
            let at = |address: &str| self.resources.iter().find(|resource| resource.address == address);
            let with_key = |key: &str| at(&format!("{address}[{key}]"));
            let beside = || with_key(references::key_of(from.address)?);
            let first = || {
                let begins = format!("{address}[");
                self.resources.iter().find(|resource| resource.address.starts_with(&begins))
            };
            let resource = match &each {
                Some(key) => with_key(key).or_else(|| at(&address).filter(|_| !is_vague)),
                None => at(&address).or_else(beside).or_else(first),
            };
            if let Some(resource) = resource
                && !found.iter().any(|(other, _)| other.address == resource.address)
            {
                found.push((resource, each.is_some()));
            }
        }
        found
    }
}
