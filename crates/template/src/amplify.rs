//! Tables of Amplify's second generation: the custom resource `Custom::AmplifyDynamoDBTable`, which makes a table as its properties say.
//! They are those of `AWS::DynamoDB::Table`, and many of their names begin with a small letter.

use crate::node::{Node, is_intrinsic};

/// The type of the resource.
pub(crate) const TABLE: &str = "Custom::AmplifyDynamoDBTable";

/// What the provider of the resource is told beside what the table is.
const OF_THE_PROVIDER: [&str; 4] =
    ["AllowDestructiveGraphqlSchemaUpdates", "IsImported", "ReplaceTableUponGsiUpdate", "ServiceToken"];

/// Names that do not follow the rule, without regard to case.
const NAMES: [&str; 4] = ["KMSMasterKeyId", "SSEEnabled", "SSESpecification", "SSEType"];

/// A template whose tables of Amplify have properties with the names of CloudFormation.
pub(crate) fn with_tables(template: Node) -> Node {
    let Node::Map(mut sections) = template else { return template };
    for (_, resources) in sections.iter_mut().filter(|(name, _)| name == "Resources") {
        let Node::Map(resources) = resources else { continue };
        for (_, resource) in resources {
            let is_table = matches!(resource.get("Type"), Some(Node::Text(kind)) if kind == TABLE);
            let Node::Map(parts) = resource else { continue };
            for (_, properties) in parts.iter_mut().filter(|(name, _)| is_table && name == "Properties") {
                *properties = renamed(std::mem::replace(properties, Node::Null));
                if let Node::Map(pairs) = properties {
                    pairs.retain(|(name, _)| !OF_THE_PROVIDER.contains(&name.as_str()));
                }
            }
        }
    }
    Node::Map(sections)
}

/// The attribute of `AWS::DynamoDB::Table` that one of the resource is.
pub(crate) fn attribute(name: &str) -> &str {
    match name {
        "TableArn" => "Arn",
        "TableStreamArn" => "StreamArn",
        other => other,
    }
}

fn renamed(node: Node) -> Node {
    match node {
        Node::Map(pairs) if is_intrinsic(&pairs) => {
            let branches = |(name, argument): (String, Node)| match argument {
                Node::List(list) if name == "Fn::If" => (name, Node::List(list.into_iter().map(renamed).collect())),
                argument => (name, argument),
            };
            Node::Map(pairs.into_iter().map(branches).collect())
        }
        Node::Map(pairs) => {
            let mut all: Vec<(String, Node)> = Vec::with_capacity(pairs.len());
            for (name, value) in pairs {
                let name = name_of(&name);
                // What an override of the CDK adds stands behind what it replaces.
                all.retain(|(own, _)| *own != name);
                all.push((name, renamed(value)));
            }
            Node::Map(all)
        }
        Node::List(list) => Node::List(list.into_iter().map(renamed).collect()),
        other => other,
    }
}

fn name_of(name: &str) -> String {
    if let Some(own) = NAMES.iter().find(|own| own.eq_ignore_ascii_case(name)) {
        return (*own).to_owned();
    }
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
