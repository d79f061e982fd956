//! The JSON body of an error. Source: docs/spec/dynamodb-api.md 1.3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tailrace_core::{ApiError, AttributeValue, CancellationReason, ErrorCode, Item, Service, ThrottlingReason};

#[derive(Serialize)]
struct Body<'a> {
    __type: &'a str,
    #[serde(rename = "CancellationReasons", skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    capital_message: Option<&'a str>,
    #[serde(rename = "Item", skip_serializing_if = "Option::is_none")]
    item: Option<Value>,
    #[serde(rename = "ThrottlingReasons", skip_serializing_if = "Option::is_none")]
    provisioned: Option<[Throttling<'a>; 1]>,
    #[serde(rename = "throttlingReasons", skip_serializing_if = "Option::is_none")]
    throttling: Option<[Throttling<'a>; 1]>,
}

#[derive(Serialize)]
struct Throttling<'a> {
    reason: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reason<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> Reason<'a> {
    fn of(reason: &'a CancellationReason) -> Reason<'a> {
        Reason {
            code: reason.code.name(),
            item: reason.item.as_deref().map(item_json),
            message: reason.message.as_deref(),
        }
    }
}

/// [`render`], as the service does that was asked: delivery streams name the class alone.
pub fn render_of(service: Option<Service>, error: &ApiError) -> Vec<u8> {
    if service != Some(Service::Firehose) {
        return render(error);
    }
    let mut body = Map::from_iter([("__type".to_owned(), Value::from(error.code.class()))]);
    body.extend(error.message.as_deref().map(|message| ("message".to_owned(), Value::from(message))));
    serde_json::to_vec(&body).expect("invariant: texts can be written as JSON")
}

/// `{"__type":...}`, with the message in the member that the class uses, and the item that a failed condition shows.
pub fn render(error: &ApiError) -> Vec<u8> {
    let capital = error.message_member() == "Message";
    let message = error.message.as_deref();
    // The service model spells the member in two ways.
    let lower = error.code == ErrorCode::ThrottlingException;
    let throttling = || {
        let ThrottlingReason { reason, resource } = error.throttling.as_deref()?;
        Some([Throttling { reason, resource }])
    };
    let body = Body {
        __type: error.code.type_name(),
        reasons: error.reasons.iter().map(Reason::of).collect(),
        message: message.filter(|_| !capital),
        capital_message: message.filter(|_| capital),
        item: error.item.as_deref().map(item_json),
        provisioned: throttling().filter(|_| !lower),
        throttling: throttling().filter(|_| lower),
    };
    serde_json::to_vec(&body).expect("invariant: texts and JSON values can be written as JSON")
}

fn item_json(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), value_json(value))).collect())
}

fn value_json(value: &AttributeValue) -> Value {
    let base64 = |bytes: &Vec<u8>| BASE64.encode(bytes);
    let inner = match value {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(number) => json!(number.to_string()),
        AttributeValue::B(bytes) => json!(base64(bytes)),
        AttributeValue::Bool(value) => json!(value),
        AttributeValue::Null => json!(true),
        AttributeValue::Ss(texts) => json!(texts),
        AttributeValue::Ns(numbers) => numbers.iter().map(ToString::to_string).collect(),
        AttributeValue::Bs(all) => all.iter().map(base64).collect(),
        AttributeValue::L(values) => values.iter().map(value_json).collect(),
        AttributeValue::M(values) => item_json(values),
    };
    Value::Object(Map::from_iter([(value.type_name().to_owned(), inner)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailrace_core::CancellationCode;

    #[track_caller]
    fn check(error: &ApiError, expect: &str) {
        assert_eq!(String::from_utf8(render(error)).unwrap(), expect);
    }

    #[test]
    fn delivery_streams_name_the_class_alone() {
        let error = ApiError::new(ErrorCode::ResourceNotFoundException, "no");
        let body = |service| String::from_utf8(render_of(service, &error)).unwrap();
        assert_eq!(body(Some(Service::Firehose)), r#"{"__type":"ResourceNotFoundException","message":"no"}"#);
        assert_eq!(body(Some(Service::Streams)), String::from_utf8(render(&error)).unwrap());
    }

    #[test]
    fn bodies() {
        check(
            &ApiError::validation("a \"b\""),
            r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"a \"b\""}"#,
        );
        check(
            &ApiError::bare(ErrorCode::SerializationException),
            r#"{"__type":"com.amazon.coral.service#SerializationException"}"#,
        );
        check(
            &ApiError::new(ErrorCode::SerializationException, "m"),
            r#"{"__type":"com.amazon.coral.service#SerializationException","Message":"m"}"#,
        );
        let item = Item::from([("a".to_owned(), AttributeValue::Null)]);
        let failed = CancellationReason {
            code: CancellationCode::ConditionalCheckFailed,
            message: Some("The conditional request failed".to_owned()),
            item: Some(Box::new(item)),
        };
        check(
            &ApiError::cancelled(vec![CancellationReason::NONE, failed]),
            concat!(
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","#,
                r#""CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed","Item":{"a":{"NULL":true}},"#,
                r#""Message":"The conditional request failed"}],"Message":"Transaction cancelled, please refer "#,
                r#"cancellation reasons for specific reasons [None, ConditionalCheckFailed]"}"#
            ),
        );
        let item = Item::from([
            ("a".to_owned(), AttributeValue::S("x".into())),
            ("b".to_owned(), AttributeValue::Bs([vec![1, 2]].into())),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::Null, AttributeValue::Bool(false)])),
        ]);
        let mut failed = ApiError::new(ErrorCode::ConditionalCheckFailedException, "The conditional request failed");
        failed.item = Some(Box::new(item));
        check(
            &failed,
            concat!(
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","#,
                r#""message":"The conditional request failed","#,
                r#""Item":{"a":{"S":"x"},"b":{"BS":["AQI="]},"l":{"L":[{"NULL":true},{"BOOL":false}]}}}"#
            ),
        );
    }
}
