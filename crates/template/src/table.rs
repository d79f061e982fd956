//! `AWS::DynamoDB::Table` and `AWS::Serverless::SimpleTable`.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, KeyType, OnDemandThroughput,
    ProvisionedThroughput, StreamSpecification, TableClass, TimeToLiveSpecification, WarmThroughput,
};
use tailrace_core::key::ScalarType;
use tailrace_core::{ViewType, limits};

use crate::TemplateError;
use crate::node::Node;
use crate::plan::TablePlan;
use crate::properties::Properties;
use crate::resolve::Resolver;

const VIEW_TYPES: &[(&str, ViewType)] = &[
    ("KEYS_ONLY", ViewType::KeysOnly),
    ("NEW_IMAGE", ViewType::NewImage),
    ("OLD_IMAGE", ViewType::OldImage),
    ("NEW_AND_OLD_IMAGES", ViewType::NewAndOldImages),
];
const NOT_APPLIED: &[&str] =
    &["KinesisStreamSpecification", "PointInTimeRecoverySpecification", "ResourcePolicy", "SSESpecification"];

pub(crate) fn table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    properties.without_effect(&["TableName", "Tags", "ContributorInsightsSpecification"]);
    properties.not_applied(NOT_APPLIED);
    properties.refuse("GlobalSecondaryIndexes", "global secondary indexes are not supported yet")?;
    properties.refuse("LocalSecondaryIndexes", "local secondary indexes are not supported yet")?;
    let time_to_live = time_to_live(&mut properties)?;

    let mut key_schema = Vec::new();
    for mut element in properties.maps("KeySchema")?.ok_or_else(|| properties.missing("KeySchema"))? {
        let attribute_name = element.required_text("AttributeName")?;
        let kind = element.word("KeyType", &[("HASH", KeyType::Hash), ("RANGE", KeyType::Range)])?;
        let key_type = kind.ok_or_else(|| element.missing("KeyType"))?;
        key_schema.push(KeySchemaElement { attribute_name, key_type });
        element.finish();
    }
    if let [KeySchemaElement { attribute_name: hash, .. }, range] = key_schema.as_slice()
        && *hash == range.attribute_name
    {
        return Err(TemplateError::at(
            properties.at("KeySchema"),
            format!("{hash} is both the HASH and the RANGE key"),
        ));
    }
    let roles: Vec<KeyType> = key_schema.iter().map(|element| element.key_type).collect();
    if roles != [KeyType::Hash] && roles != [KeyType::Hash, KeyType::Range] {
        return Err(TemplateError::at(properties.at("KeySchema"), "one HASH key, and at most one RANGE key behind it"));
    }
    let types = [("S", ScalarType::S), ("N", ScalarType::N), ("B", ScalarType::B)];
    let mut attribute_definitions: Vec<AttributeDefinition> = Vec::new();
    let defined = properties.maps("AttributeDefinitions")?;
    for mut element in defined.ok_or_else(|| properties.missing("AttributeDefinitions"))? {
        let attribute_name = element.required_text("AttributeName")?;
        let kind = element.word("AttributeType", &types)?;
        let attribute_type = kind.ok_or_else(|| element.missing("AttributeType"))?;
        if attribute_definitions.iter().any(|other| other.attribute_name == attribute_name) {
            return Err(TemplateError::at(element.at("AttributeName"), format!("{attribute_name} is defined twice")));
        }
        attribute_definitions.push(AttributeDefinition { attribute_name, attribute_type });
        element.finish();
    }
    let billing = properties.word("BillingMode", &[("PAY_PER_REQUEST", true), ("PROVISIONED", false)])?;
    let mut provisioned_throughput = throughput(&mut properties)?;
    // A table that gives no throughput could not be created with PROVISIONED: it is meant to be on demand.
    let pay_per_request = billing.unwrap_or(provisioned_throughput.is_none());
    if pay_per_request && provisioned_throughput.take().is_some() {
        resolver.skip(&properties.at("ProvisionedThroughput"), "not applied: the table is billed per request");
    }
    let on_demand =
        units(&mut properties, "OnDemandThroughput", ["MaxReadRequestUnits", "MaxWriteRequestUnits"], [1, 1])?;
    if !pay_per_request && on_demand.is_some() {
        let message = "a table that is PROVISIONED has none";
        return Err(TemplateError::at(properties.at("OnDemandThroughput"), message));
    }
    let warm_min = match (pay_per_request, provisioned_throughput) {
        (true, _) => [limits::WARM_READ_UNITS, limits::WARM_WRITE_UNITS],
        (false, Some(units)) => [units.read_capacity_units, units.write_capacity_units],
        (false, None) => [1, 1],
    };
    let warm = units(&mut properties, "WarmThroughput", ["ReadUnitsPerSecond", "WriteUnitsPerSecond"], warm_min)?;
    let classes =
        [("STANDARD", TableClass::Standard), ("STANDARD_INFREQUENT_ACCESS", TableClass::StandardInfrequentAccess)];
    let table_class = properties.word("TableClass", &classes)?;
    let deletion_protection_enabled = properties.boolean("DeletionProtectionEnabled")?;
    let stream = match properties.map("StreamSpecification")? {
        Some(mut specification) => {
            specification.without_effect(&["ResourcePolicy"]);
            // Plain CloudFormation knows no such switch; the API's own word for it does no harm.
            let enabled = specification.boolean("StreamEnabled")?.unwrap_or(true);
            let view = specification.word("StreamViewType", VIEW_TYPES)?;
            let view = if enabled { Some(view.ok_or_else(|| specification.missing("StreamViewType"))?) } else { None };
            specification.finish();
            view
        }
        None => None,
    };
    // Behind the rest: an index needs attribute definitions that the key does not, and its own name is the clearer one.
    properties.finish();
    let (defined, used) = (&attribute_definitions, &key_schema);
    if let Some(unused) = defined.iter().find(|it| used.iter().all(|key| key.attribute_name != it.attribute_name)) {
        let path = format!("Resources.{id}.Properties.AttributeDefinitions");
        return Err(TemplateError::at(path, format!("{} is defined, and no key uses it", unused.attribute_name)));
    }
    if let Some(missing) = used.iter().find(|key| defined.iter().all(|it| key.attribute_name != it.attribute_name)) {
        let path = format!("Resources.{id}.Properties.KeySchema");
        return Err(TemplateError::at(path, format!("{} is not in AttributeDefinitions", missing.attribute_name)));
    }
    let request = CreateTableRequest {
        table_name: resolver.name_of(id, resource, "TableName")?,
        attribute_definitions,
        key_schema,
        billing_mode: Some(billing_mode(pay_per_request)),
        provisioned_throughput,
        stream_specification: stream.map(StreamSpecification::enabled),
        table_class,
        deletion_protection_enabled,
        warm_throughput: warm.map(|[read_units_per_second, write_units_per_second]| WarmThroughput {
            read_units_per_second,
            write_units_per_second,
        }),
        on_demand_throughput: on_demand.map(|[max_read_request_units, max_write_request_units]| OnDemandThroughput {
            max_read_request_units,
            max_write_request_units,
        }),
        ..CreateTableRequest::default()
    };
    Ok(TablePlan { logical_id: id.to_owned(), request, time_to_live })
}

fn time_to_live(properties: &mut Properties<'_>) -> Result<Option<TimeToLiveSpecification>, TemplateError> {
    let Some(mut given) = properties.map("TimeToLiveSpecification")? else { return Ok(None) };
    let enabled = given.boolean("Enabled")?.unwrap_or(true);
    let attribute_name = match given.text("AttributeName")? {
        Some(name) if name.is_empty() || name.len() > limits::TTL_ATTRIBUTE_BYTES_MAX => {
            let message = format!("a name of 1 to {} bytes is expected", limits::TTL_ATTRIBUTE_BYTES_MAX);
            return Err(TemplateError::at(given.at("AttributeName"), message));
        }
        Some(name) => name,
        None if enabled => return Err(given.missing("AttributeName")),
        None => String::new(),
    };
    given.finish();
    Ok(Some(TimeToLiveSpecification { enabled, attribute_name }))
}

fn billing_mode(pay_per_request: bool) -> BillingMode {
    if pay_per_request { BillingMode::PayPerRequest } else { BillingMode::Provisioned }
}

pub(crate) fn simple_table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, resolver.globals("SimpleTable"))?;
    properties.without_effect(&["TableName", "Tags"]);
    properties.not_applied(&["SSESpecification", "PointInTimeRecoverySpecification"]);
    let (attribute_name, attribute_type) = match properties.map("PrimaryKey")? {
        Some(mut key) => {
            let types = [("String", ScalarType::S), ("Number", ScalarType::N), ("Binary", ScalarType::B)];
            let name = key.text("Name")?.unwrap_or_else(|| "id".to_owned());
            let kind = key.word("Type", &types)?.unwrap_or(ScalarType::S);
            key.finish();
            (name, kind)
        }
        None => ("id".to_owned(), ScalarType::S),
    };
    let provisioned_throughput = throughput(&mut properties)?;
    properties.finish();
    let request = CreateTableRequest {
        table_name: resolver.name_of(id, resource, "TableName")?,
        key_schema: vec![KeySchemaElement { attribute_name: attribute_name.clone(), key_type: KeyType::Hash }],
        attribute_definitions: vec![AttributeDefinition { attribute_name, attribute_type }],
        billing_mode: Some(billing_mode(provisioned_throughput.is_none())),
        provisioned_throughput,
        ..CreateTableRequest::default()
    };
    Ok(TablePlan { logical_id: id.to_owned(), request, time_to_live: None })
}

fn throughput(properties: &mut Properties<'_>) -> Result<Option<ProvisionedThroughput>, TemplateError> {
    let Some(mut throughput) = properties.map("ProvisionedThroughput")? else { return Ok(None) };
    let read = throughput.integer("ReadCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let write = throughput.integer("WriteCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let read_capacity_units = read.ok_or_else(|| throughput.missing("ReadCapacityUnits"))?;
    let write_capacity_units = write.ok_or_else(|| throughput.missing("WriteCapacityUnits"))?;
    throughput.finish();
    Ok(Some(ProvisionedThroughput { read_capacity_units, write_capacity_units }))
}

/// Units of reading and of writing, each where it is given; `None`: neither is.
fn units(
    properties: &mut Properties<'_>,
    name: &str,
    [read, write]: [&str; 2],
    [read_min, write_min]: [i64; 2],
) -> Result<Option<[Option<i64>; 2]>, TemplateError> {
    let Some(mut given) = properties.map(name)? else { return Ok(None) };
    let units = [given.integer(read, read_min, i64::MAX)?, given.integer(write, write_min, i64::MAX)?];
    given.finish();
    Ok(units.iter().any(Option::is_some).then_some(units))
}
