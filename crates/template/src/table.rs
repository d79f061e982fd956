//! `AWS::DynamoDB::Table` and `AWS::Serverless::SimpleTable`.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, KeyType, OnDemandThroughput,
    ProvisionedThroughput, StreamSpecification, TableClass, WarmThroughput,
};
use tailrace_core::key::ScalarType;
use tailrace_core::{ViewType, limits};

use crate::TemplateError;
use crate::indexes::{PlacedKey, check_definitions};
use crate::node::Node;
use crate::plan::{TablePlan, TableSettings};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::{indexes, settings};

const VIEW_TYPES: &[(&str, ViewType)] = &[
    ("KEYS_ONLY", ViewType::KeysOnly),
    ("NEW_IMAGE", ViewType::NewImage),
    ("OLD_IMAGE", ViewType::OldImage),
    ("NEW_AND_OLD_IMAGES", ViewType::NewAndOldImages),
];

pub(crate) fn table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    of_properties(resolver, id, resource, Properties::of(resolver, id, resource, None)?)
}

/// A table with these properties, which are those of the resource in the form of `AWS::DynamoDB::Table`.
pub(crate) fn of_properties(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
    mut properties: Properties<'_>,
) -> Result<TablePlan, TemplateError> {
    properties.without_effect(&["TableName"]);
    let key_schema = indexes::key_schema(&mut properties)?;
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
    // How a table is billed changes nothing of what is kept: one that AWS refuses for want of a throughput is on demand.
    let pay_per_request = billing == Some(true) || provisioned_throughput.is_none();
    if pay_per_request && billing != Some(true) {
        let why = "AWS refuses a table without it, unless BillingMode is PAY_PER_REQUEST; billed per request";
        resolver.skip(&properties.at("ProvisionedThroughput"), why);
    }
    if pay_per_request && provisioned_throughput.take().is_some() {
        resolver.skip(&properties.at("ProvisionedThroughput"), "not applied: the table is billed per request");
    }
    let on_demand_throughput =
        units(&mut properties, "OnDemandThroughput", ["MaxReadRequestUnits", "MaxWriteRequestUnits"], [1, 1])?;
    if !pay_per_request && on_demand_throughput.is_some() {
        let message = "a table that is PROVISIONED has none";
        return Err(TemplateError::at(properties.at("OnDemandThroughput"), message));
    }
    let warm_min = match (pay_per_request, provisioned_throughput) {
        (true, _) => [limits::WARM_READ_UNITS, limits::WARM_WRITE_UNITS],
        (false, Some(units)) => [units.read_capacity_units, units.write_capacity_units],
        (false, None) => [1, 1],
    };
    let warm_throughput =
        units(&mut properties, "WarmThroughput", ["ReadUnitsPerSecond", "WriteUnitsPerSecond"], warm_min)?;
    let classes =
        [("STANDARD", TableClass::Standard), ("STANDARD_INFREQUENT_ACCESS", TableClass::StandardInfrequentAccess)];
    let table_class = properties.word("TableClass", &classes)?;
    let deletion_protection_enabled = properties.boolean("DeletionProtectionEnabled")?;
    let (global, mut contributor_insights) = indexes::global(&mut properties, pay_per_request)?;
    let local = indexes::local(&mut properties, &key_schema)?;
    contributor_insights.extend(settings::insights(&mut properties, None)?);
    let mut stream_policy = None;
    let stream = match properties.map("StreamSpecification")? {
        Some(mut specification) => {
            stream_policy = settings::policy(&mut specification);
            // Plain CloudFormation knows no such switch; the API's own word for it does no harm.
            let enabled = specification.boolean("StreamEnabled")?.unwrap_or(true);
            let view = specification.word("StreamViewType", VIEW_TYPES)?;
            let view = if enabled { Some(view.ok_or_else(|| specification.missing("StreamViewType"))?) } else { None };
            specification.finish();
            view
        }
        None => None,
    };
    let (tags, encryption) = (settings::tags(&mut properties)?, settings::encryption(&mut properties)?);
    let resource_policy = settings::policy(&mut properties);
    let settings = TableSettings {
        time_to_live: settings::time_to_live(&mut properties)?,
        point_in_time_recovery: settings::recovery(&mut properties)?,
        contributor_insights,
        stream_policy: stream_policy.filter(|_| stream.is_some()),
        kinesis: settings::kinesis(&mut properties)?,
    };
    // Whoever takes items from a bucket begins with them on AWS: here the table is empty.
    if properties.node("ImportSourceSpecification").is_some() {
        properties.skip("ImportSourceSpecification", "not applied: nothing is imported, the table begins empty");
    }
    properties.finish();
    let mut keys = vec![PlacedKey { property: "KeySchema", index: None, elements: &key_schema }];
    for (property, name, elements) in global
        .iter()
        .map(|index| ("GlobalSecondaryIndexes", &index.index_name, &index.key_schema))
        .chain(local.iter().map(|index| ("LocalSecondaryIndexes", &index.index_name, &index.key_schema)))
    {
        keys.push(PlacedKey { property, index: Some(name), elements });
    }
    check_definitions(&format!("Resources.{id}.Properties"), &attribute_definitions, &keys)?;
    let request = CreateTableRequest {
        table_name: resolver.name_of(id, resource, "TableName")?,
        attribute_definitions,
        key_schema,
        billing_mode: Some(billing_mode(pay_per_request)),
        provisioned_throughput,
        stream_specification: stream.map(StreamSpecification::enabled),
        table_class,
        deletion_protection_enabled,
        warm_throughput: warm_throughput.map(warm),
        on_demand_throughput: on_demand_throughput.map(on_demand),
        global_secondary_indexes: (!global.is_empty()).then_some(global),
        local_secondary_indexes: (!local.is_empty()).then_some(local),
        sse_specification: encryption,
        tags,
        resource_policy,
        ..CreateTableRequest::default()
    };
    Ok(TablePlan { logical_id: resolver.global(id), request, settings })
}

/// Limits of requests from units of reading and of writing.
pub(crate) fn on_demand([max_read_request_units, max_write_request_units]: [Option<i64>; 2]) -> OnDemandThroughput {
    OnDemandThroughput { max_read_request_units, max_write_request_units }
}

/// Warm throughput from units of reading and of writing.
pub(crate) fn warm([read_units_per_second, write_units_per_second]: [Option<i64>; 2]) -> WarmThroughput {
    WarmThroughput { read_units_per_second, write_units_per_second }
}

fn billing_mode(pay_per_request: bool) -> BillingMode {
    if pay_per_request { BillingMode::PayPerRequest } else { BillingMode::Provisioned }
}

pub(crate) fn simple_table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    let globals = resolver.globals("SimpleTable", resource);
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    properties.without_effect(&["TableName"]);
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
    let (tags, encryption) = (settings::tag_map(&mut properties)?, settings::encryption(&mut properties)?);
    let settings =
        TableSettings { point_in_time_recovery: settings::recovery(&mut properties)?, ..TableSettings::default() };
    properties.finish();
    let request = CreateTableRequest {
        table_name: resolver.name_of(id, resource, "TableName")?,
        key_schema: vec![KeySchemaElement { attribute_name: attribute_name.clone(), key_type: KeyType::Hash }],
        attribute_definitions: vec![AttributeDefinition { attribute_name, attribute_type }],
        billing_mode: Some(billing_mode(provisioned_throughput.is_none())),
        provisioned_throughput,
        sse_specification: encryption,
        tags,
        ..CreateTableRequest::default()
    };
    Ok(TablePlan { logical_id: resolver.global(id), request, settings })
}

pub(crate) fn throughput(properties: &mut Properties<'_>) -> Result<Option<ProvisionedThroughput>, TemplateError> {
    let Some(mut throughput) = properties.map("ProvisionedThroughput")? else { return Ok(None) };
    let read = throughput.integer("ReadCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let write = throughput.integer("WriteCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let read_capacity_units = read.ok_or_else(|| throughput.missing("ReadCapacityUnits"))?;
    let write_capacity_units = write.ok_or_else(|| throughput.missing("WriteCapacityUnits"))?;
    throughput.finish();
    Ok(Some(ProvisionedThroughput { read_capacity_units, write_capacity_units }))
}

/// Units of reading and of writing, each where it is given; `None`: neither is.
pub(crate) fn units(
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
