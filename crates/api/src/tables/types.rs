//! What the requests about tables are made of, in the words of the service.
//!
//! `read` takes a value whose structure the model has validated; `None` stands for a value that is not of it.

use serde::{Deserialize, Serialize};
use tailrace_core::key::ScalarType;
use tailrace_core::{ApiError, Json, ViewType};

use crate::member;

/// The elements of a list member; `None`: it was not sent.
pub(crate) fn list<T>(body: &Json, name: &str, read: impl Fn(&Json) -> Option<T>) -> Option<Vec<T>> {
    Some(body.get(name)?.as_array()?.iter().filter_map(read).collect())
}

/// The names among `names` of members that ask for something: an empty list asks for nothing.
pub(crate) fn asked(body: &Json, names: &[&'static str]) -> Vec<&'static str> {
    let asks = |name: &&&'static str| match body.get(name) {
        None => false,
        Some(Json::Array(elements)) => !elements.is_empty(),
        Some(_) => true,
    };
    names.iter().filter(asks).copied().collect()
}

fn long(body: &Json, name: &str) -> Option<i64> {
    body.get(name).and_then(Json::as_saturated_i64)
}

/// How a table is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BillingMode {
    /// By units.
    Provisioned,
    /// By request.
    PayPerRequest,
}

impl BillingMode {
    /// Reads the member `BillingMode`.
    pub(crate) fn read(body: &Json) -> Option<BillingMode> {
        match member::text(body, "BillingMode")? {
            "PAY_PER_REQUEST" => Some(BillingMode::PayPerRequest),
            _ => Some(BillingMode::Provisioned),
        }
    }
}

/// `TableClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TableClass {
    /// STANDARD.
    Standard,
    /// STANDARD_INFREQUENT_ACCESS.
    StandardInfrequentAccess,
}

impl TableClass {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TableClass::Standard => "STANDARD",
            TableClass::StandardInfrequentAccess => "STANDARD_INFREQUENT_ACCESS",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<TableClass> {
        match text {
            "STANDARD" => Some(TableClass::Standard),
            "STANDARD_INFREQUENT_ACCESS" => Some(TableClass::StandardInfrequentAccess),
            _ => None,
        }
    }

    /// Reads the member `TableClass`: its error has a text of its own. Source: docs/spec/dynamodb-api.md 1.5.
    pub(crate) fn read(body: &Json) -> Result<Option<TableClass>, ApiError> {
        let Some(text) = member::text(body, "TableClass") else { return Ok(None) };
        let invalid = || {
            ApiError::validation(
                "Invalid table-class parameter provided. Please try again with a valid table-class value: [STANDARD, \
                 STANDARD_INFREQUENT_ACCESS].",
            )
        };
        TableClass::parse(text).map(Some).ok_or_else(invalid)
    }
}

/// The role of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyType {
    /// The partition key.
    Hash,
    /// The sort key.
    Range,
}

impl KeyType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Hash => "HASH",
            KeyType::Range => "RANGE",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<KeyType> {
        [KeyType::Hash, KeyType::Range].into_iter().find(|kind| kind.name() == text)
    }
}

/// `KeySchemaElement`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeySchemaElement {
    /// The attribute's name.
    pub attribute_name: String,
    /// Its role.
    pub key_type: KeyType,
}

impl KeySchemaElement {
    /// Reads an element of `KeySchema`.
    pub(crate) fn read(element: &Json) -> Option<KeySchemaElement> {
        let attribute_name = member::text(element, "AttributeName")?.to_owned();
        Some(KeySchemaElement { attribute_name, key_type: KeyType::parse(member::text(element, "KeyType")?)? })
    }
}

/// `AttributeDefinition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeDefinition {
    /// The attribute's name.
    pub attribute_name: String,
    /// Its type.
    pub attribute_type: ScalarType,
}

impl AttributeDefinition {
    /// Reads an element of `AttributeDefinitions`.
    pub(crate) fn read(element: &Json) -> Option<AttributeDefinition> {
        let attribute_name = member::text(element, "AttributeName")?.to_owned();
        let attribute_type = ScalarType::from_name(member::text(element, "AttributeType")?)?;
        Some(AttributeDefinition { attribute_name, attribute_type })
    }
}

/// `ProvisionedThroughput`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvisionedThroughput {
    /// Units of reading.
    pub read_capacity_units: i64,
    /// Units of writing.
    pub write_capacity_units: i64,
}

impl ProvisionedThroughput {
    /// Reads the member `ProvisionedThroughput`.
    pub(crate) fn read(body: &Json) -> Option<ProvisionedThroughput> {
        let given = body.get("ProvisionedThroughput")?;
        Some(ProvisionedThroughput {
            read_capacity_units: long(given, "ReadCapacityUnits").unwrap_or_default(),
            write_capacity_units: long(given, "WriteCapacityUnits").unwrap_or_default(),
        })
    }
}

/// `OnDemandThroughput`: only what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDemandThroughput {
    /// Units of reading.
    pub max_read_request_units: Option<i64>,
    /// Units of writing.
    pub max_write_request_units: Option<i64>,
}

impl OnDemandThroughput {
    /// Reads the member `OnDemandThroughput`.
    pub(crate) fn read(body: &Json) -> Option<OnDemandThroughput> {
        let given = body.get("OnDemandThroughput")?;
        Some(OnDemandThroughput {
            max_read_request_units: long(given, "MaxReadRequestUnits"),
            max_write_request_units: long(given, "MaxWriteRequestUnits"),
        })
    }

    /// It names no limit.
    pub fn is_empty(&self) -> bool {
        *self == OnDemandThroughput::default()
    }
}

/// `WarmThroughput`: only what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmThroughput {
    /// Units of reading.
    pub read_units_per_second: Option<i64>,
    /// Units of writing.
    pub write_units_per_second: Option<i64>,
}

impl WarmThroughput {
    /// Reads the member `WarmThroughput`.
    pub(crate) fn read(body: &Json) -> Option<WarmThroughput> {
        let given = body.get("WarmThroughput")?;
        Some(WarmThroughput {
            read_units_per_second: long(given, "ReadUnitsPerSecond"),
            write_units_per_second: long(given, "WriteUnitsPerSecond"),
        })
    }

    /// It names no units.
    pub fn is_empty(&self) -> bool {
        *self == WarmThroughput::default()
    }
}

/// `StreamSpecification`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSpecification {
    /// Whether there is to be a stream.
    pub stream_enabled: bool,
    /// What its records hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_view_type: Option<ViewType>,
}

impl StreamSpecification {
    /// A stream whose records hold this.
    pub fn enabled(view: ViewType) -> StreamSpecification {
        StreamSpecification { stream_enabled: true, stream_view_type: Some(view) }
    }

    /// Reads the member `StreamSpecification`.
    pub(crate) fn read(body: &Json) -> Option<StreamSpecification> {
        let given = body.get("StreamSpecification")?;
        Some(StreamSpecification {
            stream_enabled: member::boolean(given, "StreamEnabled")?,
            stream_view_type: member::text(given, "StreamViewType").and_then(ViewType::parse),
        })
    }
}

/// `SSEType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SseType {
    /// AES256: a key of the service.
    Aes256,
    /// KMS.
    Kms,
}

/// `SSESpecification`: only what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseSpecification {
    /// `Enabled`.
    pub enabled: Option<bool>,
    /// `SSEType`.
    pub sse_type: Option<SseType>,
    /// `KMSMasterKeyId`.
    pub kms_master_key_id: Option<String>,
}

impl SseSpecification {
    /// It asks for a key of KMS: a type alone does, nothing at all does not. Source: docs/spec/dynamodb-api.md 2.1 row 35.
    pub fn is_on(&self) -> bool {
        self.enabled.unwrap_or(self.sse_type.is_some())
    }

    /// Reads the member `SSESpecification`.
    pub(crate) fn read(body: &Json) -> Option<SseSpecification> {
        let given = body.get("SSESpecification")?;
        Some(SseSpecification {
            enabled: member::boolean(given, "Enabled"),
            sse_type: member::text(given, "SSEType").and_then(|text| match text {
                "AES256" => Some(SseType::Aes256),
                "KMS" => Some(SseType::Kms),
                _ => None,
            }),
            kms_master_key_id: member::text(given, "KMSMasterKeyId").map(str::to_owned),
        })
    }

    /// It asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == SseSpecification::default()
    }
}

/// `Tag`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Tag {
    /// Reads the member `Tags`; `None`: it was not sent.
    ///
    /// # Errors
    /// A tag without a key or a value. Source: docs/spec/dynamodb-api.md 8.3.
    pub(crate) fn read_list(body: &Json) -> Result<Option<Vec<Tag>>, ApiError> {
        let Some(elements) = body.get("Tags").and_then(Json::as_array) else { return Ok(None) };
        let lacks = |what| ApiError::validation(format!("The Tag {what} provided is invalid, {what}: null"));
        let read = |element: &Json| {
            let key = member::text(element, "Key").ok_or_else(|| lacks("Key"))?.to_owned();
            let value = member::text(element, "Value").ok_or_else(|| lacks("Value"))?.to_owned();
            Ok(Tag { key, value })
        };
        elements.iter().map(read).collect::<Result<_, _>>().map(Some)
    }
}
