//! `AWS::DynamoDB::Table` and `AWS::Serverless::SimpleTable`.

use tailrace_core::limits;

use crate::TemplateError;
use crate::node::Node;
use crate::plan::{AttributeType, KeyType, TablePlan, Units, ViewType};
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
    if let Some(mut time_to_live) = properties.map("TimeToLiveSpecification")? {
        let path = properties.at("TimeToLiveSpecification");
        if time_to_live.boolean("Enabled")?.unwrap_or(true) {
            let why = "time to live is not supported yet: items would stay that the template lets expire";
            return Err(TemplateError::at(path, why));
        }
        resolver.skip(&path, "not applied");
    }

    let mut key_schema = Vec::new();
    for mut element in properties.maps("KeySchema")?.ok_or_else(|| properties.missing("KeySchema"))? {
        let name = element.required_text("AttributeName")?;
        let kind = element.word("KeyType", &[("HASH", KeyType::Hash), ("RANGE", KeyType::Range)])?;
        key_schema.push((name, kind.ok_or_else(|| element.missing("KeyType"))?));
        element.finish();
    }
    if let [(hash, _), (range, _)] = key_schema.as_slice()
        && hash == range
    {
        return Err(TemplateError::at(
            properties.at("KeySchema"),
            format!("{hash} is both the HASH and the RANGE key"),
        ));
    }
    let roles: Vec<KeyType> = key_schema.iter().map(|(_, kind)| *kind).collect();
    if roles != [KeyType::Hash] && roles != [KeyType::Hash, KeyType::Range] {
        return Err(TemplateError::at(properties.at("KeySchema"), "one HASH key, and at most one RANGE key behind it"));
    }
    let types = [("S", AttributeType::S), ("N", AttributeType::N), ("B", AttributeType::B)];
    let mut attribute_definitions = Vec::new();
    let defined = properties.maps("AttributeDefinitions")?;
    for mut element in defined.ok_or_else(|| properties.missing("AttributeDefinitions"))? {
        let name = element.required_text("AttributeName")?;
        let kind = element.word("AttributeType", &types)?.ok_or_else(|| element.missing("AttributeType"))?;
        if attribute_definitions.iter().any(|(other, _)| *other == name) {
            return Err(TemplateError::at(element.at("AttributeName"), format!("{name} is defined twice")));
        }
        attribute_definitions.push((name, kind));
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
    if !pay_per_request && on_demand != Units::default() {
        let message = "a table that is PROVISIONED has none";
        return Err(TemplateError::at(properties.at("OnDemandThroughput"), message));
    }
    let warm_min = match (pay_per_request, provisioned_throughput) {
        (true, _) => [limits::WARM_READ_UNITS, limits::WARM_WRITE_UNITS],
        (false, Some((read, write))) => [read as i64, write as i64],
        (false, None) => [1, 1],
    };
    let warm = units(&mut properties, "WarmThroughput", ["ReadUnitsPerSecond", "WriteUnitsPerSecond"], warm_min)?;
    let classes = [("STANDARD", "STANDARD"), ("STANDARD_INFREQUENT_ACCESS", "STANDARD_INFREQUENT_ACCESS")];
    let class = properties.word("TableClass", &classes)?;
    let deletion_protection = properties.boolean("DeletionProtectionEnabled")?;
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
    if let Some((name, _)) =
        attribute_definitions.iter().find(|(name, _)| key_schema.iter().all(|(key, _)| key != name))
    {
        let path = format!("Resources.{id}.Properties.AttributeDefinitions");
        return Err(TemplateError::at(path, format!("{name} is defined, and no key uses it")));
    }
    if let Some((name, _)) =
        key_schema.iter().find(|(key, _)| attribute_definitions.iter().all(|(name, _)| key != name))
    {
        let path = format!("Resources.{id}.Properties.KeySchema");
        return Err(TemplateError::at(path, format!("{name} is not in AttributeDefinitions")));
    }
    Ok(TablePlan {
        logical_id: id.to_owned(),
        name: resolver.name_of(id, resource, "TableName")?,
        key_schema,
        attribute_definitions,
        pay_per_request,
        provisioned_throughput,
        stream,
        class,
        deletion_protection,
        on_demand,
        warm,
    })
}

pub(crate) fn simple_table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, resolver.globals("SimpleTable"))?;
    properties.without_effect(&["TableName", "Tags"]);
    properties.not_applied(&["SSESpecification", "PointInTimeRecoverySpecification"]);
    let (name, kind) = match properties.map("PrimaryKey")? {
        Some(mut key) => {
            let types = [("String", AttributeType::S), ("Number", AttributeType::N), ("Binary", AttributeType::B)];
            let name = key.text("Name")?.unwrap_or_else(|| "id".to_owned());
            let kind = key.word("Type", &types)?.unwrap_or(AttributeType::S);
            key.finish();
            (name, kind)
        }
        None => ("id".to_owned(), AttributeType::S),
    };
    let provisioned_throughput = throughput(&mut properties)?;
    properties.finish();
    Ok(TablePlan {
        logical_id: id.to_owned(),
        name: resolver.name_of(id, resource, "TableName")?,
        key_schema: vec![(name.clone(), KeyType::Hash)],
        attribute_definitions: vec![(name, kind)],
        pay_per_request: provisioned_throughput.is_none(),
        provisioned_throughput,
        stream: None,
        class: None,
        deletion_protection: None,
        on_demand: Units::default(),
        warm: Units::default(),
    })
}

fn throughput(properties: &mut Properties<'_>) -> Result<Option<(u64, u64)>, TemplateError> {
    let Some(mut throughput) = properties.map("ProvisionedThroughput")? else { return Ok(None) };
    let read = throughput.integer("ReadCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let write = throughput.integer("WriteCapacityUnits", 1, limits::CAPACITY_UNITS_MAX)?;
    let read = read.ok_or_else(|| throughput.missing("ReadCapacityUnits"))?;
    let write = write.ok_or_else(|| throughput.missing("WriteCapacityUnits"))?;
    throughput.finish();
    Ok(Some((read as u64, write as u64)))
}

fn units(
    properties: &mut Properties<'_>,
    name: &str,
    [read, write]: [&str; 2],
    [read_min, write_min]: [i64; 2],
) -> Result<Units, TemplateError> {
    let Some(mut given) = properties.map(name)? else { return Ok(Units::default()) };
    let units =
        Units { read: given.integer(read, read_min, i64::MAX)?, write: given.integer(write, write_min, i64::MAX)? };
    given.finish();
    Ok(units)
}
