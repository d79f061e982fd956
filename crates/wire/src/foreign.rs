//! Requests to other services of AWS: a function's environment leads all of its clients here, and one that asks for a queue is to read
//! that there is none, and what helps. The shape is that of the service's protocol, so that the SDK has a code and a text to show.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;

use crate::response::ContentType;

/// Services that are spoken here, as signatures name them.
const OURS: [&str; 3] = ["dynamodb", "lambda", "firehose"];

/// Longest name of a service in a text.
const NAME_BYTES_MAX: usize = 40;

/// What a request to another service is answered; `None`: it is to none.
pub fn answer(head: &Parts) -> Option<(u16, ContentType, Bytes)> {
    let service = service(head)?;
    let variable = variable(service).map_or_else(String::new, |name| format!(" (AWS_ENDPOINT_URL_{name})"));
    let text = format!(
        "Tailrace has no {service}: AWS_ENDPOINT_URL led this request here. Give its client an endpoint of its own{variable}."
    );
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Some(if service == "s3" {
        (501, ContentType::Xml, format!("<Error><Code>NotImplemented</Code><Message>{text}</Message></Error>\n").into())
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        let error = format!(
            "<Error><Type>Sender</Type><Code>UnknownOperationException</Code><Message>{text}</Message></Error>"
        );
        (400, ContentType::Xml, format!("<ErrorResponse>{error}</ErrorResponse>\n").into())
    } else {
        let body = format!(r#"{{"__type":"UnknownOperationException","message":"{text}"}}"#);
        (400, if content_type.ends_with("1.1") { ContentType::AmzJson11 } else { ContentType::AmzJson10 }, body.into())
    })
}

/// The end of the variable that says where a service is: made of its id, which is not the name that signatures have of it. `None`: not
/// known. Source: AWS SDKs and tools reference guide, "Service-specific endpoints".
fn variable(service: &str) -> Option<&'static str> {
    const VARIABLES: [(&str, &str); 15] = [
        ("cognito-idp", "COGNITO_IDENTITY_PROVIDER"),
        ("email", "SES"),
        ("es", "OPENSEARCH"),
        ("events", "EVENTBRIDGE"),
        ("kinesis", "KINESIS"),
        ("kms", "KMS"),
        ("logs", "CLOUDWATCH_LOGS"),
        ("monitoring", "CLOUDWATCH"),
        ("s3", "S3"),
        ("secretsmanager", "SECRETS_MANAGER"),
        ("sns", "SNS"),
        ("sqs", "SQS"),
        ("ssm", "SSM"),
        ("states", "SFN"),
        ("sts", "STS"),
    ];
    VARIABLES.iter().find(|(name, _)| *name == service).map(|(_, variable)| *variable)
}

/// The service that a request is signed for, if it is none of ours.
fn service(head: &Parts) -> Option<&str> {
    let authorization = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, scope) = authorization.split_once("Credential=")?;
    let scope = scope.split([',', ' ']).next()?;
    // KEY/DATE/REGION/SERVICE/aws4_request; a key may have slashes.
    let service = scope.strip_suffix("/aws4_request")?.rsplit('/').next()?;
    let is_name = !service.is_empty()
        && service.len() <= NAME_BYTES_MAX
        && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (is_name && !OURS.contains(&service)).then_some(service)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn answered(scope: &str, content_type: &str) -> Option<(u16, String)> {
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let request = Request::post("/").header(AUTHORIZATION, authorization).header(CONTENT_TYPE, content_type);
        let (head, ()) = request.body(()).unwrap().into_parts();
        answer(&head).map(|(status, _, body)| (status, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn another_service_is_named_in_the_form_of_its_protocol() {
        let of = |service: &str| format!("key/20260101/eu-west-1/{service}/aws4_request");
        for (service, content_type, status, beginning) in [
            (
                "sqs",
                "application/x-amz-json-1.0",
                400,
                r#"{"__type":"UnknownOperationException","message":"Tailrace has no sqs: "#,
            ),
            (
                "sns",
                "application/x-www-form-urlencoded; charset=utf-8",
                400,
                "<ErrorResponse><Error><Type>Sender</Type><Code>Unknown",
            ),
            ("s3", "", 501, "<Error><Code>NotImplemented</Code><Message>Tailrace has no s3: "),
        ] {
            let (answered, body) = answered(&of(service), content_type).unwrap();
            assert_eq!(answered, status);
            assert!(body.starts_with(beginning), "{body}");
            assert!(body.contains(&format!("(AWS_ENDPOINT_URL_{})", service.to_uppercase())), "{body}");
        }
        assert!(answered(&of("events"), "").unwrap().1.contains("(AWS_ENDPOINT_URL_EVENTBRIDGE)"));
        assert!(answered(&of("appsync"), "").unwrap().1.contains("an endpoint of its own."));
        for service in ["dynamodb", "lambda", "firehose", "", "<b>", "Sqs"] {
            assert_eq!(answered(&of(service), ""), None, "{service}");
        }
        assert_eq!(answered("key", ""), None);
    }
}
