//! Delivery streams: `AWS::KinesisFirehose::DeliveryStream`.
//!
//! The properties are the members of CreateDeliveryStream, so that a plan has that request; what a delivery stream can be is the business of
//! the operation. A bucket or a role that is not made here has a stand-in: a bucket's name is all that is needed of it.

use serde_json::{Map, Value as Json};

use crate::TemplateError;
use crate::node::Node;
use crate::plan::DeliveryStreamPlan;
use crate::properties::Properties;
use crate::resolve::Resolver;

/// The type.
pub(crate) const DELIVERY_STREAM: &str = "AWS::KinesisFirehose::DeliveryStream";

/// The members of the request that are properties.
const PROPERTIES: &[&str] = &[
    "AmazonOpenSearchServerlessDestinationConfiguration",
    "AmazonopensearchserviceDestinationConfiguration",
    "DatabaseSourceConfiguration",
    "DeliveryStreamEncryptionConfigurationInput",
    "DeliveryStreamType",
    "DirectPutSourceConfiguration",
    "ElasticsearchDestinationConfiguration",
    "ExtendedS3DestinationConfiguration",
    "HttpEndpointDestinationConfiguration",
    "IcebergDestinationConfiguration",
    "KinesisStreamSourceConfiguration",
    "MSKSourceConfiguration",
    "RedshiftDestinationConfiguration",
    "S3DestinationConfiguration",
    "SnowflakeDestinationConfiguration",
    "SplunkDestinationConfiguration",
    "Tags",
];

/// The members inside of them that are numbers. All other scalars but `Enabled` are texts, however they are written.
const NUMBERS: &[&str] = &["SizeInMBs", "IntervalInSeconds", "DurationInSeconds", "ThroughputHintInMBs"];

/// A delivery stream.
pub(crate) fn delivery_stream(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
) -> Result<DeliveryStreamPlan, TemplateError> {
    let name = resolver.name_of(id, resource, "DeliveryStreamName")?;
    let mut properties = Properties::of(resolver, id, resource, None)?;
    properties.without_effect(&["DeliveryStreamName"]);
    let mut request = Map::from_iter([("DeliveryStreamName".to_owned(), Json::from(name.clone()))]);
    for property in PROPERTIES {
        let path = properties.at(property);
        if let Some(value) = properties.value(property)? {
            let json = value.as_json();
            let json = json.ok_or_else(|| TemplateError::at(path, "what is not known yet cannot stand here"))?;
            request.insert((*property).to_owned(), typed(property, json));
        }
    }
    properties.finish();
    Ok(DeliveryStreamPlan { logical_id: resolver.global(id), name, request: Json::Object(request) })
}

/// A value with the types that the operation asks for.
fn typed(name: &str, value: Json) -> Json {
    let text = match value {
        Json::Object(members) => {
            return members
                .into_iter()
                .map(|(name, value)| {
                    let value = typed(&name, value);
                    (name, value)
                })
                .collect();
        }
        Json::Array(elements) => return elements.into_iter().map(|element| typed(name, element)).collect(),
        Json::Null => return Json::Null,
        Json::String(text) => text,
        scalar => scalar.to_string(),
    };
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" if name == "Enabled" => true.into(),
        "false" | "no" | "off" if name == "Enabled" => false.into(),
        // What is no number is for the operation to refuse.
        number if NUMBERS.contains(&name) => number.parse::<i64>().map_or(Json::String(text), Json::from),
        _ => Json::String(text),
    }
}
