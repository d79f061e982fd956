//! The operations, a function each. Source: the service model; texts as the service has them where they are known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tailrace_core::{ApiError, EpochMs, ErrorCode, Json, Service};
use tailrace_engine::{Caller, ops};

use crate::answer::{invalid, limit};
use crate::config::{self, Config, Kind};
use crate::limits::{BATCH_BYTES_MAX, LIST_PAGE, TAGS_MAX};
use crate::row::{Asked, Encryption, Row};
use crate::streams::DeliveryStreams;

/// The one destination of a stream.
const DESTINATION_ID: &str = "destinationId-000000000001";
const DIRECT_PUT: &str = "DirectPut";

/// Runs an operation: a JSON body in, a JSON body out. `caller` is who asks.
///
/// # Errors
/// What the client is to read.
pub async fn execute(
    streams: &DeliveryStreams,
    operation: &str,
    body: &[u8],
    caller: &Caller<'_>,
) -> Result<Bytes, ApiError> {
    let asked = Asked { operation, caller };
    let valid = ops::validated(streams.db(), Service::Firehose, operation, body)?;
    let answer = match operation {
        "PutRecord" => put_record(streams, valid).await?,
        "PutRecordBatch" => put_record_batch(streams, valid).await?,
        "CreateDeliveryStream" => create(streams, read(body)?, asked).await?,
        "DeleteDeliveryStream" => {
            streams.delete(&read::<Named>(body)?.name, asked).await?;
            json!({})
        }
        "DescribeDeliveryStream" => describe(streams, &read::<Named>(body)?.name)?,
        "ListDeliveryStreams" => list(streams, &read(body)?),
        "UpdateDestination" => update(streams, read(body)?, asked).await?,
        "TagDeliveryStream" => tag(streams, read(body)?, asked).await?,
        "UntagDeliveryStream" => untag(streams, read(body)?, asked).await?,
        "ListTagsForDeliveryStream" => tags(streams, &read(body)?)?,
        "StartDeliveryStreamEncryption" => start_encryption(streams, read(body)?, asked).await?,
        "StopDeliveryStreamEncryption" => {
            let change = |row: &mut Row| {
                row.encryption = None;
                Ok(())
            };
            streams.change(&read::<Named>(body)?.name, change, asked).await?;
            json!({})
        }
        _ => return Err(Service::Firehose.api().unknown_operation(operation)),
    };
    Ok(answer.to_string().into())
}

/// Makes a delivery stream as a request of CreateDeliveryStream says, or what is there of its name like that. Answers whether anything was
/// changed.
///
/// # Errors
/// What a client would read.
pub async fn ensure(streams: &DeliveryStreams, request: &Value) -> Result<bool, ApiError> {
    let body = request.to_string();
    ops::validated(streams.db(), Service::Firehose, "CreateDeliveryStream", body.as_bytes())?;
    let request: Create = read(body.as_bytes())?;
    let name = &request.delivery_stream_name;
    let caller = Caller::default();
    let asked = |operation| Asked { operation, caller: &caller };
    let Ok(row) = streams.row(name) else {
        return create(streams, request, asked("CreateDeliveryStream")).await.map(|_| true);
    };
    let config = checked(&request)?;
    let mut tags = row.tags.clone();
    add_tags(&mut tags, request.tags.unwrap_or_default())?;
    let encryption = request.delivery_stream_encryption_configuration_input.or_else(|| row.encryption.clone());
    let is_new = row.config() != config;
    if is_new {
        streams.update(name, |_| Ok(config), asked("UpdateDestination")).await?;
    }
    let is_changed = (&tags, &encryption) != (&row.tags, &row.encryption);
    let operation = if tags == row.tags { "StartDeliveryStreamEncryption" } else { "TagDeliveryStream" };
    if is_changed {
        let change = |row: &mut Row| {
            (row.tags, row.encryption) = (tags, encryption);
            Ok(())
        };
        streams.change(name, change, asked(operation)).await?;
    }
    Ok(is_new || is_changed)
}

/// A request whose structure was found valid.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| ApiError::new(ErrorCode::SerializationException, error.to_string()))
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "DeliveryStreamName")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: Option<String>,
}

// ------------------------------------------------------------------------------------------------------------------ records

fn data(record: Option<Json>) -> Result<Vec<u8>, ApiError> {
    let data = record.and_then(|mut record| record.take("Data"));
    let text = data.as_ref().and_then(Json::as_str).unwrap_or_default();
    BASE64.decode(text).map_err(|error| ApiError::new(ErrorCode::SerializationException, error.to_string()))
}

fn name_of(body: &Json) -> &str {
    body.get("DeliveryStreamName").and_then(Json::as_str).unwrap_or_default()
}

async fn put_record(streams: &DeliveryStreams, mut body: Json) -> Result<Value, ApiError> {
    let data = data(body.take("Record"))?;
    let name = name_of(&body);
    let (ids, encrypted) = streams.put(name, vec![data]).await?;
    Ok(json!({"RecordId": ids.first(), "Encrypted": encrypted}))
}

async fn put_record_batch(streams: &DeliveryStreams, mut body: Json) -> Result<Value, ApiError> {
    let records = match body.take("Records") {
        Some(Json::Array(records)) => records,
        _ => Vec::new(),
    };
    let all: Vec<Vec<u8>> = records.into_iter().map(|record| data(Some(record))).collect::<Result<_, _>>()?;
    if all.iter().map(Vec::len).sum::<usize>() > BATCH_BYTES_MAX {
        return Err(invalid("Records size exceeds 4 MB limit"));
    }
    let name = name_of(&body);
    let (ids, encrypted) = streams.put(name, all).await?;
    let responses: Vec<Value> = ids.into_iter().map(|id| json!({"RecordId": id})).collect();
    Ok(json!({"FailedPutCount": 0, "Encrypted": encrypted, "RequestResponses": responses}))
}

// ------------------------------------------------------------------------------------------------------------------ streams

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    delivery_stream_name: String,
    #[serde(default)]
    delivery_stream_type: Option<String>,
    #[serde(default)]
    delivery_stream_encryption_configuration_input: Option<Encryption>,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
    /// Sources and destinations.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The members of a request whose names end in this, with values.
fn ending<'a>(rest: &'a Map<String, Value>, end: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    rest.iter()
        .filter(move |(name, value)| name.ends_with(end) && !value.is_null())
        .map(|(name, value)| (&**name, value))
}

/// The destination of a request.
fn destination(rest: &Map<String, Value>, end: &str) -> Result<Config, ApiError> {
    let mut all = ending(rest, end);
    let (Some((name, value)), None) = (all.next(), all.next()) else {
        return Err(invalid("Exactly one destination configuration is supported for a Firehose"));
    };
    let of = name.strip_suffix(end).unwrap_or(name);
    match (Kind::named(of), value.as_object()) {
        (Some(kind), Some(members)) => Ok(Config { kind, members: members.clone() }),
        _ => Err(invalid(format!(
            "Tailrace does not deliver a delivery stream to {of}: ExtendedS3{end}, HttpEndpoint{end}, Amazonopensearchservice{end}, \
             AmazonOpenSearchServerless{end}, Elasticsearch{end} and Redshift{end} are supported, and sinks of tables have other targets (docs/sinks.md)"
        ))),
    }
}

/// The destination of a request that can be made.
fn checked(request: &Create) -> Result<Config, ApiError> {
    let kind = request.delivery_stream_type.as_deref().unwrap_or(DIRECT_PUT);
    if kind != DIRECT_PUT {
        return Err(invalid(format!("DeliveryStreamType {kind} is not supported by Tailrace: {DIRECT_PUT} is")));
    }
    let mut sources = ending(&request.rest, "SourceConfiguration");
    if let Some((source, _)) = sources.find(|(name, _)| !name.starts_with(DIRECT_PUT)) {
        return Err(invalid(format!("{source} does not go with the DeliveryStreamType {DIRECT_PUT}")));
    }
    let config = destination(&request.rest, "DestinationConfiguration")?;
    config::read(&config).map_err(|error| invalid(error.to_string()))?;
    request.delivery_stream_encryption_configuration_input.as_ref().map(check_encryption).transpose()?;
    Ok(config)
}

async fn create(streams: &DeliveryStreams, request: Create, asked: Asked<'_>) -> Result<Value, ApiError> {
    let config = checked(&request)?;
    let Create { delivery_stream_name: name, delivery_stream_encryption_configuration_input: encryption, tags, .. } =
        request;
    let mut row_tags = Tags::new();
    add_tags(&mut row_tags, tags.unwrap_or_default())?;
    let with = |row: &mut Row| (row.encryption, row.tags) = (encryption, row_tags);
    streams.create(&name, config, with, asked).await?;
    Ok(json!({"DeliveryStreamARN": streams.arn(&name)}))
}

fn seconds(instant: EpochMs) -> Value {
    json!(instant.0 as f64 / 1000.0)
}

fn describe(streams: &DeliveryStreams, name: &str) -> Result<Value, ApiError> {
    let row = streams.row(name)?;
    let mut encryption = json!({"Status": "DISABLED"});
    if let Some(asked) = &row.encryption {
        encryption = json!({"Status": "ENABLED", "KeyType": asked.key_type});
        if let Some(key) = &asked.key_arn {
            encryption["KeyARN"] = key.as_str().into();
        }
    }
    let mut destination = config::descriptions(&row.config());
    destination.insert("DestinationId".to_owned(), DESTINATION_ID.into());
    let mut described = json!({
        "DeliveryStreamName": row.name,
        "DeliveryStreamARN": streams.arn(name),
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamEncryptionConfiguration": encryption,
        "DeliveryStreamType": DIRECT_PUT,
        "VersionId": row.version.to_string(),
        "CreateTimestamp": seconds(row.created_ms),
        "Destinations": [destination],
        "HasMoreDestinations": false,
    });
    if let Some(updated_ms) = row.updated_ms {
        described["LastUpdateTimestamp"] = seconds(updated_ms);
    }
    Ok(json!({"DeliveryStreamDescription": described}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    delivery_stream_type: Option<String>,
    #[serde(default)]
    exclusive_start_delivery_stream_name: Option<String>,
}

fn list(streams: &DeliveryStreams, request: &List) -> Value {
    let mut names = streams.names();
    if request.delivery_stream_type.as_deref().is_some_and(|kind| kind != DIRECT_PUT) {
        names.clear();
    }
    if let Some(start) = &request.exclusive_start_delivery_stream_name {
        names.retain(|name| name > start);
    }
    let page = request.limit.unwrap_or(LIST_PAGE);
    let more = names.len() > page;
    names.truncate(page);
    json!({"DeliveryStreamNames": names, "HasMoreDeliveryStreams": more})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    delivery_stream_name: String,
    current_delivery_stream_version_id: String,
    destination_id: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

async fn update(streams: &DeliveryStreams, request: Update, asked: Asked<'_>) -> Result<Value, ApiError> {
    let name = &request.delivery_stream_name;
    let arn = streams.arn(name);
    let change = |row: &Row| {
        let (there, given) = (row.version.to_string(), &request.current_delivery_stream_version_id);
        if there != *given {
            let text = format!(
                "Cannot update firehose: {arn} since the current version id: {there} and specified version id: {given} do not match"
            );
            return Err(ApiError::new(ErrorCode::ConcurrentModificationException, text));
        }
        if request.destination_id != DESTINATION_ID {
            return Err(invalid(format!("Destination Id {} not found", request.destination_id)));
        }
        let update = destination(&request.rest, "DestinationUpdate")?;
        let updated = config::updated(&row.config(), &update);
        config::read(&updated).map_err(|error| invalid(error.to_string()))?;
        Ok(updated)
    };
    streams.update(name, change, asked).await?;
    Ok(json!({}))
}

// --------------------------------------------------------------------------------------------------------------------- tags

type Tags = std::collections::BTreeMap<String, Option<String>>;

fn add_tags(tags: &mut Tags, added: Vec<Tag>) -> Result<(), ApiError> {
    let mut named = std::collections::BTreeSet::new();
    for Tag { key, value } in added {
        if !named.insert(key.clone()) {
            return Err(invalid(format!("The tag key {key} is there twice.")));
        }
        if key.starts_with("aws:") {
            return Err(invalid(format!("The tag key {key} is reserved: it begins with aws:")));
        }
        tags.insert(key, value);
    }
    if tags.len() > TAGS_MAX {
        return Err(limit(format!("A delivery stream has {TAGS_MAX} tags at most.")));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagRequest {
    delivery_stream_name: String,
    tags: Vec<Tag>,
}

async fn tag(streams: &DeliveryStreams, request: TagRequest, asked: Asked<'_>) -> Result<Value, ApiError> {
    let TagRequest { delivery_stream_name, tags } = request;
    streams.change(&delivery_stream_name, |row| add_tags(&mut row.tags, tags), asked).await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Untag {
    delivery_stream_name: String,
    tag_keys: Vec<String>,
}

async fn untag(streams: &DeliveryStreams, request: Untag, asked: Asked<'_>) -> Result<Value, ApiError> {
    let change = |row: &mut Row| {
        row.tags.retain(|key, _| !request.tag_keys.contains(key));
        Ok(())
    };
    streams.change(&request.delivery_stream_name, change, asked).await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTags {
    delivery_stream_name: String,
    #[serde(default)]
    exclusive_start_tag_key: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

fn tags(streams: &DeliveryStreams, request: &ListTags) -> Result<Value, ApiError> {
    let row = streams.row(&request.delivery_stream_name)?;
    let page = request.limit.unwrap_or(TAGS_MAX);
    let behind = |key: &String| request.exclusive_start_tag_key.as_ref().is_none_or(|start| key > start);
    let mut tags: Vec<Value> = Vec::new();
    for (key, value) in row.tags.iter().filter(|(key, _)| behind(key)) {
        let mut tag = json!({"Key": key});
        if let Some(value) = value {
            tag["Value"] = value.as_str().into();
        }
        tags.push(tag);
    }
    let more = tags.len() > page;
    tags.truncate(page);
    Ok(json!({"Tags": tags, "HasMoreTags": more}))
}

// --------------------------------------------------------------------------------------------------------------- encryption

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartEncryption {
    delivery_stream_name: String,
    #[serde(default)]
    delivery_stream_encryption_configuration_input: Option<Encryption>,
}

fn check_encryption(encryption: &Encryption) -> Result<(), ApiError> {
    match (encryption.key_type == "CUSTOMER_MANAGED_CMK", &encryption.key_arn) {
        (true, None) => Err(invalid("KeyARN must be given when KeyType is CUSTOMER_MANAGED_CMK.")),
        (false, Some(_)) => Err(invalid("KeyARN can only be given when KeyType is CUSTOMER_MANAGED_CMK.")),
        _ => Ok(()),
    }
}

async fn start_encryption(
    streams: &DeliveryStreams,
    request: StartEncryption,
    asked: Asked<'_>,
) -> Result<Value, ApiError> {
    let aws = || Encryption { key_type: "AWS_OWNED_CMK".to_owned(), key_arn: None };
    let encryption = request.delivery_stream_encryption_configuration_input.unwrap_or_else(aws);
    check_encryption(&encryption)?;
    let change = |row: &mut Row| {
        row.encryption = Some(encryption);
        Ok(())
    };
    streams.change(&request.delivery_stream_name, change, asked).await?;
    Ok(json!({}))
}
