//! Queues of SQS and topics of SNS: ten messages a request, each with an outcome of its own.
//!
//! A FIFO queue or topic gets the group of the partition key and the sink's name with the message's id for its own recognition of repeats,
//! which reaches back five minutes: two sinks may send to it. Source: Amazon SQS API Reference, SendMessageBatch; Amazon SNS API Reference, PublishBatch.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::HeaderName;
use serde::{Deserialize, Serialize};

use super::Sent;
use super::address;
use super::config::{Config, ConfigError};
use super::http;
use super::message::{Content, Message};
use crate::aws::{Answer, Service, Unanswered, content_type};

/// Messages of a request.
pub(super) const BATCH_MAX: usize = 10;
/// Bytes of a message to a topic, and of all messages of a request, unless one alone has more. So many has a message of several records to a
/// queue, too: what a queue takes is a setting of its own, which was this at most until 2025.
pub(super) const BYTES_MAX: usize = 262_144;
/// Bytes of a message to a queue. Source: Amazon SQS API Reference, SendMessageBatch.
pub(super) const QUEUED_BYTES_MAX: usize = 1_048_576;
/// An SNS subject has fewer characters. Source: Amazon SNS API Reference, Publish.
const SUBJECT_CHARS_MAX: usize = 100;

/// What a service says of messages that it never takes, of one as of a whole request.
const NEVER: [&str; 6] = [
    "InvalidMessageContents",
    "InvalidParameterValue",
    "InvalidParameter",
    "InvalidAttributeValue",
    "BatchRequestTooLong",
    "MessageTooLong",
];
/// Parts of the codes that blame the sender for what is not in the message.
const NOT_THE_MESSAGE: [&str; 5] = ["Throttl", "AccessDenied", "Authorization", "Kms", "KMS"];

/// A queue or a topic.
pub(super) struct Queue {
    service: Service,
    queue: address::Queue,
}

/// What became of a message of a request.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
struct Failed {
    id: String,
    code: String,
    message: String,
    sender_fault: bool,
}

/// What was answered to a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    done: Vec<String>,
    failed: Vec<Failed>,
}

/// None of the messages of a request is known to be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NotTaken {
    /// The service refuses the request as a whole, and has nothing of it.
    #[error("{code}: {message}")]
    Refused {
        /// Its word for why.
        code: String,
        /// For people.
        message: String,
    },
    /// There is no answer, or none that tells: nobody knows what was done.
    #[error("{0}")]
    Unknown(String),
}

impl NotTaken {
    /// Whether one of the messages is to blame, whenever it comes.
    fn is_of_a_message(&self) -> bool {
        match self {
            NotTaken::Refused { code, message } => is_never(code) && !names_the_address(message),
            NotTaken::Unknown(_) => false,
        }
    }
}

impl From<Unanswered> for NotTaken {
    fn from(error: Unanswered) -> NotTaken {
        NotTaken::Unknown(error.to_string())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SqsRequest<'a> {
    queue_url: &'a str,
    entries: Vec<SqsEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SqsEntry<'a> {
    id: String,
    message_body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsAnswer {
    // Not there, or null.
    successful: Option<Vec<SqsSuccessful>>,
    failed: Option<Vec<Failed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsSuccessful {
    id: String,
}

#[derive(Deserialize)]
struct SqsError {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

impl Queue {
    pub fn new(config: &Config, queue: address::Queue) -> Result<Queue, ConfigError> {
        let name = if queue.is_topic { "sns" } else { "sqs" };
        let service =
            Service::new(&config.access()?, (name, &queue.region), queue.endpoint.clone(), http::ANSWER_BYTES_MAX);
        Ok(Queue { service: service.map_err(|error| ConfigError(error.to_string()))?, queue })
    }

    /// Sends at most [`BATCH_MAX`] messages, each of another group, and says of each what became of it.
    pub fn send<'a>(&'a self, messages: &'a [&'a Message]) -> BoxFuture<'a, Vec<Sent>> {
        async move {
            let texts: Vec<(Option<&str>, &str)> = messages.iter().map(|message| text(message)).collect();
            let unfit: Vec<Option<String>> = texts.iter().map(|(subject, text)| unfit(*subject, text)).collect();
            if unfit.iter().any(Option::is_some) {
                return self.send_fit(messages, unfit).await;
            }
            let answered = match self.queue.is_topic {
                true => self.publish(messages, &texts).await,
                false => self.enqueue(messages, &texts).await,
            };
            match answered {
                Ok(outcomes) => outcomes.of(messages.len()),
                Err(error) if error.is_of_a_message() => match messages {
                    [_] => vec![Sent::Rejected(error.to_string())],
                    // One of them is to blame.
                    several => {
                        let mut sent = Vec::with_capacity(several.len());
                        for one in several {
                            sent.extend(self.send(std::slice::from_ref(one)).await);
                        }
                        sent
                    }
                },
                Err(error) => vec![Sent::again(error.to_string()); messages.len()],
            }
        }
        .boxed()
    }

    /// Sends what can be sent of messages some of which cannot.
    async fn send_fit(&self, messages: &[&Message], unfit: Vec<Option<String>>) -> Vec<Sent> {
        let fit: Vec<&Message> =
            messages.iter().zip(&unfit).filter(|(_, unfit)| unfit.is_none()).map(|(message, _)| *message).collect();
        let mut sent = if fit.is_empty() { Vec::new() } else { self.send(&fit).await }.into_iter();
        let each = unfit.into_iter().map(|unfit| match unfit {
            Some(why) => Sent::Rejected(why),
            None => sent.next().unwrap_or_else(|| Sent::again("it has no outcome".to_owned())),
        });
        each.collect()
    }

    /// The group and the id of a message, for a FIFO.
    fn order<'a>(&self, message: &'a Message) -> (Option<String>, Option<&'a str>) {
        match self.queue.is_fifo {
            true => (Some(message.due.group.name()), Some(&message.unique_id)),
            false => (None, None),
        }
    }

    async fn enqueue(&self, messages: &[&Message], texts: &[(Option<&str>, &str)]) -> Result<Outcomes, NotTaken> {
        let entry = |(index, (message, (_, text)))| {
            let (message_group_id, message_deduplication_id) = self.order(message);
            SqsEntry { id: format!("{index}"), message_body: text, message_group_id, message_deduplication_id }
        };
        let entries = messages.iter().copied().zip(texts.iter().copied()).enumerate().map(entry).collect();
        let request = SqsRequest { queue_url: &self.queue.name, entries };
        let body = serde_json::to_vec(&request).map_err(|error| NotTaken::Unknown(error.to_string()))?;
        let target = (HeaderName::from_static("x-amz-target"), "AmazonSQS.SendMessageBatch");
        let headers = [content_type("application/x-amz-json-1.0"), target];
        let Answer { status, body } = self.service.post(&headers, body.into()).await?;
        if status.is_success() {
            let answer: SqsAnswer = serde_json::from_slice(&body)
                .map_err(|error| NotTaken::Unknown(format!("the answer is damaged: {error}")))?;
            let done = answer.successful.unwrap_or_default().into_iter().map(|done| done.id).collect();
            return Ok(Outcomes { done, failed: answer.failed.unwrap_or_default() });
        }
        match serde_json::from_slice::<SqsError>(&body) {
            Ok(SqsError { kind, message }) if status.is_client_error() => {
                let code = kind.rsplit('#').next().unwrap_or_default().to_owned();
                Err(NotTaken::Refused { code, message })
            }
            _ => Err(NotTaken::Unknown(format!("{status}: {}", http::shown(&body)))),
        }
    }

    async fn publish(&self, messages: &[&Message], texts: &[(Option<&str>, &str)]) -> Result<Outcomes, NotTaken> {
        // A form is written as the query of an address is.
        let mut form = Url::parse("http://form").map_err(|error| NotTaken::Unknown(error.to_string()))?;
        {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("Action", "PublishBatch").append_pair("Version", "2010-03-31");
            pairs.append_pair("TopicArn", &self.queue.name);
            for (index, (message, (subject, text))) in messages.iter().zip(texts).enumerate() {
                let entry = format!("PublishBatchRequestEntries.member.{}", index + 1);
                pairs.append_pair(&format!("{entry}.Id"), &index.to_string());
                pairs.append_pair(&format!("{entry}.Message"), text);
                if let Some(subject) = subject {
                    pairs.append_pair(&format!("{entry}.Subject"), subject);
                }
                if let (Some(group), Some(id)) = self.order(message) {
                    pairs.append_pair(&format!("{entry}.MessageGroupId"), &group);
                    pairs.append_pair(&format!("{entry}.MessageDeduplicationId"), id);
                }
            }
        }
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        let form = content_type("application/x-www-form-urlencoded; charset=utf-8");
        let Answer { status, body } = self.service.post(&[form], body).await?;
        let text = String::from_utf8_lossy(&body);
        if status.is_success() {
            return match within(&text, "PublishBatchResult") {
                Some(result) => Ok(published(result)),
                None => Err(NotTaken::Unknown("the answer is damaged".to_owned())),
            };
        }
        match within(&text, "Error").filter(|_| status.is_client_error()) {
            Some(error) => {
                let member = |name: &str| within(error, name).map(unescaped).unwrap_or_default();
                Err(NotTaken::Refused { code: member("Code"), message: member("Message") })
            }
            None => Err(NotTaken::Unknown(format!("{status}: {}", http::shown(&body)))),
        }
    }
}

impl Outcomes {
    /// The outcome of each of `count` messages; one that the answer does not name comes again.
    fn of(self, count: usize) -> Vec<Sent> {
        let each = (0..count).map(|index| {
            let id = index.to_string();
            if let Some(failed) = self.failed.iter().find(|failed| failed.id == id) {
                let text = format!("{}: {}", failed.code, failed.message);
                let blames_us = NOT_THE_MESSAGE.iter().any(|part| failed.code.contains(part));
                return match failed.sender_fault && !blames_us {
                    true => Sent::Rejected(text),
                    false => Sent::again(text),
                };
            }
            match self.done.contains(&id) {
                true => Sent::Done,
                false => Sent::again("the answer does not tell of it".to_owned()),
            }
        });
        each.collect()
    }
}

/// Whether what is said of a whole request is about where it goes, not what is in it.
fn names_the_address(text: &str) -> bool {
    ["TopicArn", "TargetArn", "QueueUrl"].iter().any(|word| text.contains(word))
}

fn is_never(code: &str) -> bool {
    NEVER.iter().any(|never| code.ends_with(never))
}

fn text(message: &Message) -> (Option<&str>, &str) {
    match &message.content {
        Content::Text { subject, text } => (subject.as_deref(), text),
        Content::Letter(_) => (None, ""),
    }
}

/// Why a message can never be taken, before anybody is asked: one such message would make a request fail as a whole.
fn unfit(subject: Option<&str>, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("the message is empty".to_owned());
    }
    // What XML 1.0 has. Source: Amazon SQS API Reference, SendMessage.
    let is_taken =
        |char: char| !matches!(char, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    if let Some(char) = text.chars().find(|char| !is_taken(*char)) {
        return Some(format!("the message has the character {:#06x}, which is not taken", char as u32));
    }
    let subject = subject?;
    let is_sound =
        !subject.is_empty() && subject.chars().count() < SUBJECT_CHARS_MAX && !subject.chars().any(char::is_control);
    (!is_sound).then(|| format!("subject: SNS takes 1 to {} characters in one line", SUBJECT_CHARS_MAX - 1))
}

/// The text within the first element of this name.
fn within<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    behind.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// The members of the first element of this name.
fn members<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let mut rest = within(text, name).unwrap_or_default();
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once("<member>")?;
        let (member, behind) = behind.split_once("</member>")?;
        rest = behind;
        Some(member)
    })
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    http::shown(text.replace("&#39;", "'").replace("&amp;", "&").as_bytes())
}

fn published(result: &str) -> Outcomes {
    let member = |text: &str, name: &str| within(text, name).map(unescaped).unwrap_or_default();
    let failed = members(result, "Failed").map(|text| Failed {
        id: member(text, "Id"),
        code: member(text, "Code"),
        message: member(text, "Message"),
        sender_fault: member(text, "SenderFault") == "true",
    });
    Outcomes { failed: failed.collect(), done: members(result, "Successful").map(|text| member(text, "Id")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_sns_is_read() {
        let answer = "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult><Failed><member>\
                      <Id>1</Id><Code>InternalError</Code><Message>a &amp; b</Message><SenderFault>false</SenderFault></member><member>\
                      <Id>2</Id><Code>InvalidParameter</Code><SenderFault>true</SenderFault></member></Failed><Successful><member>\
                      <Id>0</Id><MessageId>x</MessageId></member></Successful></PublishBatchResult></PublishBatchResponse>";
        let outcomes = published(within(answer, "PublishBatchResult").unwrap());
        let expected = vec![
            Sent::Done,
            Sent::again("InternalError: a & b".to_owned()),
            Sent::Rejected("InvalidParameter: ".to_owned()),
            Sent::again("the answer does not tell of it".to_owned()),
        ];
        assert_eq!(outcomes.of(4), expected);
        assert_eq!(published("<Failed/><Successful/>"), Outcomes::default());
    }

    /// A refusal whose words are about the address is not the message's, whatever its code; and what nobody answered to is never.
    #[test]
    fn a_message_is_blamed_for_what_is_in_it_alone() {
        let refused = |code: &str, message: &str| NotTaken::Refused { code: code.into(), message: message.into() };
        for (error, is_blamed) in [
            (refused("AWS.SimpleQueueService.BatchRequestTooLong", "too long"), true),
            (refused("InvalidParameter", "Invalid parameter: Message"), true),
            (refused("InvalidParameter", "Invalid parameter: TopicArn"), false),
            (refused("AccessDenied", "no"), false),
            (NotTaken::Unknown("InvalidParameter: reset".to_owned()), false),
        ] {
            assert_eq!(error.is_of_a_message(), is_blamed, "{error}");
        }
        assert_eq!(refused("InvalidParameter", "no").to_string(), "InvalidParameter: no");
    }

    #[test]
    fn a_sender_is_not_blamed_for_what_is_not_in_the_message() {
        for code in ["RequestThrottled", "AccessDenied", "AuthorizationErrorException", "KmsDisabled"] {
            let failed = Failed { id: "0".into(), code: code.into(), message: String::new(), sender_fault: true };
            let sent = Outcomes { done: Vec::new(), failed: vec![failed] }.of(1);
            assert!(matches!(sent[..], [Sent::Again { .. }]), "{code}: {sent:?}");
        }
    }

    #[test]
    fn what_no_service_takes_is_not_sent() {
        for (subject, text, is_fit) in [
            (None, "{}\r\n\t\u{1f600}", true),
            (None, "", false),
            (None, "a\u{1}", false),
            (None, "a\u{ffff}", false),
            (Some("Order 7"), "{}", true),
            (Some(""), "{}", false),
            (Some("a\nb"), "{}", false),
            (Some("caf\u{e9}"), "{}", true),
            (Some("a\u{85}"), "{}", false),
        ] {
            assert_eq!(unfit(subject, text).is_none(), is_fit, "{subject:?} {text:?}");
        }
        assert!(unfit(Some(&"a".repeat(100)), "{}").is_some() && unfit(Some(&"a".repeat(99)), "{}").is_none());
    }
}
