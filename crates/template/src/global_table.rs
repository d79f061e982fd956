//! `AWS::DynamoDB::GlobalTable` (CDK's `TableV2`): a table of one region, with the settings of the replica that is in it.

use crate::TemplateError;
use crate::node::Node;
use crate::plan::TablePlan;
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::table;

/// What a replica says of its own table.
const OF_REPLICA: [&str; 7] = [
    "ContributorInsightsSpecification",
    "DeletionProtectionEnabled",
    "KinesisStreamSpecification",
    "PointInTimeRecoverySpecification",
    "ResourcePolicy",
    "TableClass",
    "Tags",
];

/// Units where the text gives none that could be taken.
const UNITS_DEFAULT: i64 = 5;

pub(crate) fn global_table(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<TablePlan, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    let replicas = properties.maps("Replicas")?.filter(|replicas| !replicas.is_empty());
    let mut replicas = replicas.ok_or_else(|| properties.missing("Replicas"))?;
    let regions = replicas.iter_mut().map(|replica| replica.required_text("Region"));
    let mut regions: Vec<String> = regions.collect::<Result<_, _>>()?;
    let own = regions.iter().position(|region| *region == resolver.options.region);
    let mut replica = replicas.remove(own.unwrap_or(0));
    let region = regions.remove(own.unwrap_or(0));
    if own.is_none() {
        let why = format!("the settings of {region} are taken, since none is of {}", resolver.options.region);
        properties.skip("Replicas", &why);
    }
    if !regions.is_empty() {
        properties.skip("Replicas", &format!("there is one region here: none in {}", regions.join(", ")));
        if properties.peek("StreamSpecification").is_none() {
            // Replication is by the stream, so there is one.
            properties.put("StreamSpecification", map("StreamViewType", "NEW_AND_OLD_IMAGES"));
        }
    }
    for name in OF_REPLICA {
        if let Some(node) = replica.node(name) {
            properties.put(name, node);
        }
    }
    for (name, of_replica) in
        [("SSESpecification", "SSESpecification"), ("StreamSpecification", "ReplicaStreamSpecification")]
    {
        if let Some(more) = replica.node(of_replica)
            && let Some(node) = properties.node(name)
        {
            properties.put(name, node.overlaid(&more));
        }
    }
    throughput(&mut properties, &mut replica)?;
    let mut of_indexes = replica.maps("GlobalSecondaryIndexes")?.unwrap_or_default();
    if let Some(indexes) = properties.maps("GlobalSecondaryIndexes")? {
        let mut nodes = Vec::with_capacity(indexes.len());
        for mut index in indexes {
            let name = index.peek("IndexName").cloned();
            let here = of_indexes.iter().position(|of_index| of_index.peek("IndexName") == name.as_ref());
            let mut of_index = match here {
                Some(here) => of_indexes.remove(here),
                None => Properties::new(resolver, replica.at("GlobalSecondaryIndexes"), Node::Map(Vec::new()))?,
            };
            throughput(&mut index, &mut of_index)?;
            if let Some(node) = of_index.node("ContributorInsightsSpecification") {
                index.put("ContributorInsightsSpecification", node);
            }
            of_index.without_effect(&["IndexName"]);
            of_index.finish();
            nodes.push(index.into_node());
        }
        properties.put("GlobalSecondaryIndexes", Node::List(nodes));
    }
    replica.without_effect(&["GlobalTableSettingsReplicationMode"]);
    replica.finish();
    properties.not_applied(&["MultiRegionConsistency", "GlobalTableWitnesses"]);
    properties.without_effect(&["GlobalTableSourceArn", "ReadProvisionedThroughputSettings"]);
    table::of_properties(resolver, id, resource, properties)
}

/// Units in the form of `AWS::DynamoDB::Table`: of writing the table's (or the index's), of reading the replica's.
fn throughput(properties: &mut Properties<'_>, replica: &mut Properties<'_>) -> Result<(), TemplateError> {
    let write = units(properties, "WriteProvisionedThroughputSettings", "Write")?;
    let read = units(replica, "ReadProvisionedThroughputSettings", "Read")?;
    if write.or(read).is_some() {
        let number = |units: Option<i64>| Node::Number(units.unwrap_or(UNITS_DEFAULT).to_string());
        let units =
            vec![("ReadCapacityUnits".to_owned(), number(read)), ("WriteCapacityUnits".to_owned(), number(write))];
        properties.put("ProvisionedThroughput", Node::Map(units));
    }
    let mut on_demand = Vec::new();
    for (from, name) in [
        (properties.node("WriteOnDemandThroughputSettings"), "MaxWriteRequestUnits"),
        (replica.node("ReadOnDemandThroughputSettings"), "MaxReadRequestUnits"),
    ] {
        if let Some(node) = from.as_ref().and_then(|settings| settings.get(name)) {
            on_demand.push((name.to_owned(), node.clone()));
        }
    }
    if !on_demand.is_empty() {
        properties.put("OnDemandThroughput", Node::Map(on_demand));
    }
    Ok(())
}

/// The units of `<what>ProvisionedThroughputSettings`: fixed, or those that scaling begins with.
fn units(properties: &mut Properties<'_>, name: &str, what: &str) -> Result<Option<i64>, TemplateError> {
    let Some(mut settings) = properties.map(name)? else { return Ok(None) };
    let fixed = settings.integer_or_default(&format!("{what}CapacityUnits"), 1, i64::MAX)?;
    let scaled = match settings.map(&format!("{what}CapacityAutoScalingSettings"))? {
        Some(mut scaling) => {
            let seed = scaling.integer_or_default("SeedCapacity", 1, i64::MAX)?;
            let min = scaling.integer_or_default("MinCapacity", 1, i64::MAX)?;
            scaling.without_effect(&["MaxCapacity", "TargetTrackingScalingPolicyConfiguration"]);
            scaling.finish();
            seed.or(min)
        }
        None => None,
    };
    settings.finish();
    Ok(Some(fixed.or(scaled).unwrap_or(UNITS_DEFAULT)))
}

fn map(key: &str, value: &str) -> Node {
    Node::Map(vec![(key.to_owned(), Node::Text(value.to_owned()))])
}
