//! What a user says of a sink that sends messages, read from JSON or YAML, then checked as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use tailrace_core::json_text::ValueForm;
use tailrace_core::limits::THROTTLE_MESSAGES_MAX;

use super::address::{Destination, Mailer};
use super::signature::SigningKey;
use crate::aws::settings::{SettingsError, with_access};
use crate::secret::Secret;

/// Records of a flush where each has a message of its own. Our reason: a crash in the midst of a flush sends all of it again.
pub const RECORDS: usize = 100;
/// Bytes of a flush, as the API has its records.
pub const FLUSH_BYTES: usize = 4 << 20;
/// Most records of a digest.
pub const DIGEST_RECORDS_MAX: usize = 10_000;
/// Longest that a digest gathers, seconds.
pub const DIGEST_SECONDS_MAX: u64 = 3600;
/// Longest span of a throttle, seconds.
pub const THROTTLE_SECONDS_MAX: u64 = 3600;
/// Most requests of one flush at a time.
pub const CONCURRENCY_MAX: usize = 64;
/// Most secrets that sign: the new one, the old one, and some that somebody forgot.
pub const SECRETS_MAX: usize = 8;
/// Most addresses of a mail.
pub const RECIPIENTS_MAX: usize = 100;

with_access! {
    /// The settings.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// `webhook+https://host/path`, `smtp://host`, `smtps://host`, `sns:ARN`, `sqs:URL` or `sqs:ARN`.
        pub to: String,
        /// How values stand in the payload.
        #[serde(default)]
        #[schemars(schema_with = "crate::schema::value_form")]
        pub values: Values,
        /// The template of the subject of a mail, or of an SNS message.
        pub subject: Option<String>,
        /// The template of the text; without one the payload is JSON, and the text of a mail lists the changes.
        pub body: Option<String>,
        /// The template of a mail's text in HTML, beside the plain one.
        pub html: Option<String>,
        /// `Content-Type` of what `body` makes, to a web address.
        pub content_type: Option<String>,
        /// Further headers of a request.
        #[serde(default)]
        pub headers: BTreeMap<String, Secret>,
        /// What requests are signed with: one, or several while they change.
        #[serde(default, deserialize_with = "one_or_several")]
        #[schemars(schema_with = "crate::schema::one_or_several")]
        pub secrets: Vec<Secret>,
        /// Who a mail is from and for.
        pub mail: Option<MailConfig>,
        /// How the sink shows a mail server who it is.
        pub auth: Option<Auth>,
        /// Whether a connection to a mail server is encrypted after it was made; `smtps` is from the beginning.
        pub tls: Option<StartTls>,
        /// Several records a message.
        pub digest: Option<Digest>,
        /// How many messages at most.
        pub throttle: Option<Throttle>,
        /// Requests of one flush at a time.
        pub concurrency: Option<usize>,
        /// After how many tries of this process a message is parked; nothing: never.
        pub tries_max: Option<u32>,
    }
}

/// How values stand in a payload: without types unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Values(pub ValueForm);

impl Default for Values {
    fn default() -> Values {
        Values(ValueForm::Plain)
    }
}

/// Who a mail is from and for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The sender.
    pub from: String,
    /// The recipients; each may be a template over the record, if there is no digest.
    #[serde(deserialize_with = "one_or_several")]
    #[schemars(schema_with = "crate::schema::one_or_several")]
    pub to: Vec<String>,
    /// Who gets a copy.
    #[serde(default, deserialize_with = "one_or_several")]
    #[schemars(schema_with = "crate::schema::one_or_several")]
    pub cc: Vec<String>,
    /// Who gets one unseen.
    #[serde(default, deserialize_with = "one_or_several")]
    #[schemars(schema_with = "crate::schema::one_or_several")]
    pub bcc: Vec<String>,
    /// Who gets the answers.
    pub reply_to: Option<String>,
}

/// A name and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Whether a connection is encrypted after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// Nothing is sent before it is.
    Starttls,
    /// It is not.
    None,
}

/// Several records a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// How long records are gathered.
    #[serde(default = "digest_seconds")]
    pub seconds: u64,
    /// Most records.
    #[serde(default = "digest_records")]
    pub records: usize,
}

/// At most `messages` in any `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// Messages.
    pub messages: usize,
    /// Seconds.
    pub seconds: u64,
}

/// The settings cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl From<SettingsError> for ConfigError {
    fn from(error: SettingsError) -> ConfigError {
        ConfigError(error.to_string())
    }
}

fn digest_seconds() -> u64 {
    60
}

fn digest_records() -> usize {
    1000
}

fn one_or_several<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given<T> {
        Several(Vec<T>),
        One(T),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(one) => vec![one],
        Given::Several(several) => several,
    })
}

/// What a destination is; some settings are for one kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Webhooks,
    Mails,
    Queues,
}

impl For {
    fn of(destination: &Destination) -> For {
        match destination {
            Destination::Webhook(_) => For::Webhooks,
            Destination::Mail(_) => For::Mails,
            Destination::Queue(_) => For::Queues,
        }
    }

    fn name(self) -> &'static str {
        match self {
            For::Webhooks => "webhook+http(s)",
            For::Mails => "smtp(s)",
            For::Queues => "sns and sqs",
        }
    }
}

impl Config {
    /// How long a request may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// How long a connection may take to be made.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds)
    }

    /// What requests are signed with.
    pub(super) fn signing_keys(&self) -> Result<Vec<SigningKey>, ConfigError> {
        self.secrets.iter().map(SigningKey::parse).collect()
    }

    /// Where messages go, when everything but templates and keys was checked.
    pub(super) fn destination(&self) -> Result<Destination, ConfigError> {
        let destination = Destination::parse(self)?;
        self.check_kind(For::of(&destination))?;
        self.check_ranges()?;
        match (&destination, &self.mail) {
            (Destination::Mail(mailer), Some(mail)) => self.check_mail(mailer, mail)?,
            (Destination::Mail(_), None) => {
                return wrong("mail is missing: {from: shop@example.com, to: ann@example.com}");
            }
            (Destination::Queue(queue), _) if self.subject.is_some() && !queue.is_topic => {
                return wrong("subject is for mails and for SNS: a message in a queue has none");
            }
            _ => {}
        }
        Ok(destination)
    }

    /// A setting that is for another kind of destination is a mistake.
    fn check_kind(&self, kind: For) -> Result<(), ConfigError> {
        use For::{Mails, Queues, Webhooks};
        let given = [
            ("values", self.values != Values::default(), &[Webhooks, Queues][..]),
            ("subject", self.subject.is_some(), &[Mails, Queues]),
            ("html", self.html.is_some(), &[Mails]),
            ("content_type", self.content_type.is_some(), &[Webhooks]),
            ("headers", !self.headers.is_empty(), &[Webhooks]),
            ("secrets", !self.secrets.is_empty(), &[Webhooks]),
            ("concurrency", self.concurrency.is_some(), &[Webhooks, Queues]),
            ("mail", self.mail.is_some(), &[Mails]),
            ("auth", self.auth.is_some(), &[Mails]),
            ("tls", self.tls.is_some(), &[Mails]),
            ("endpoint", self.endpoint.is_some(), &[Queues]),
            ("region", self.region.is_some(), &[Queues]),
            ("access_key_id", self.access_key_id.is_some(), &[Queues]),
            ("secret_access_key", self.secret_access_key.is_some(), &[Queues]),
            ("session_token", self.session_token.is_some(), &[Queues]),
        ];
        match given.into_iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&kind)) {
            None => Ok(()),
            Some((name, _, kinds)) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                wrong(&format!("{name} is for {} alone", kinds.join(", ")))
            }
        }
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        if let Some(Digest { seconds, records }) = self.digest
            && (seconds > DIGEST_SECONDS_MAX || !(1..=DIGEST_RECORDS_MAX).contains(&records))
        {
            return wrong(&format!(
                "digest gathers for 0 to {DIGEST_SECONDS_MAX} seconds, and 1 to {DIGEST_RECORDS_MAX} records"
            ));
        }
        if let Some(Throttle { messages, seconds }) = self.throttle
            && (!(1..=THROTTLE_SECONDS_MAX).contains(&seconds) || !(1..=THROTTLE_MESSAGES_MAX).contains(&messages))
        {
            return wrong(&format!(
                "throttle lets 1 to {THROTTLE_MESSAGES_MAX} messages through in 1 to {THROTTLE_SECONDS_MAX} seconds"
            ));
        }
        if self.concurrency.is_some_and(|concurrency| !(1..=CONCURRENCY_MAX).contains(&concurrency)) {
            return wrong(&format!("concurrency is from 1 to {CONCURRENCY_MAX}"));
        }
        if self.tries_max == Some(0) {
            return wrong("tries_max is at least 1");
        }
        if self.secrets.len() > SECRETS_MAX {
            return wrong(&format!("secrets are {SECRETS_MAX} at most"));
        }
        self.access()?;
        Ok(())
    }

    fn check_mail(&self, mailer: &Mailer, mail: &MailConfig) -> Result<(), ConfigError> {
        if mailer.is_tls && self.tls.is_some() {
            return wrong("tls is for smtp:// alone: smtps:// is encrypted from the beginning");
        }
        if self.auth.is_some() && self.tls == Some(StartTls::None) {
            return wrong("auth with tls: none would show the password to everybody between here and the server");
        }
        let recipients = mail.to.len() + mail.cc.len() + mail.bcc.len();
        if mail.to.is_empty() || recipients > RECIPIENTS_MAX {
            return wrong(&format!("mail has 1 to {RECIPIENTS_MAX} recipients, and at least one of them in `to`"));
        }
        Ok(())
    }
}

pub(super) fn wrong<T>(text: &str) -> Result<T, ConfigError> {
    Err(ConfigError(text.to_owned()))
}
