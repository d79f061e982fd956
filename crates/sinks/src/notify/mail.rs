//! Mails: letters, and the mail server that takes them. A letter is one mail to all its recipients; its `Message-ID` is made of that of the
//! message and the sink's name, so that a repeat is known, and two sinks' letters about one change are two.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, MultiPartKind, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error as SmtpError, commands::Noop};
use parking_lot::Mutex;
use tailrace_core::EpochMs;

use super::Sent;
use super::address::Mailer;
use super::config::{Auth, Config, ConfigError, MailConfig, StartTls};
use super::message::{Content, Message};
use super::template::{RenderError, recipient};
use crate::hidden::Hidden;

/// Characters of a server's words that are kept.
const WORDS_CHARS_MAX: usize = 300;
/// The code of a server that closes the connection. Source: RFC 5321, 3.8.
const CLOSING: &str = "421";
/// The code of a letter that is too large. Source: RFC 1870.
const TOO_LARGE: &str = "552";

/// Writes letters.
pub(super) struct Letters {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    /// How many recipients there are of each kind.
    recipients: [(&'static str, usize); 3],
}

/// A mail, written.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    from: Address,
    to: Vec<Address>,
    bytes: Arc<[u8]>,
}

impl Letter {
    /// Its length.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn needs_utf8(&self) -> bool {
        let envelope = Envelope::new(Some(self.from.clone()), self.to.clone());
        envelope.is_ok_and(|envelope| {
            envelope.to().iter().chain(envelope.from()).any(|address| !address.to_string().is_ascii())
        })
    }
}

fn mailbox(name: &str, text: &str) -> Result<Mailbox, ConfigError> {
    text.parse().map_err(|error| ConfigError(format!("{name}: {text:?} is no address of a mail: {error}")))
}

impl Letters {
    /// # Errors
    /// An address is none.
    pub fn new(mail: &MailConfig) -> Result<Letters, ConfigError> {
        let reply_to = mail.reply_to.as_deref().map(|text| mailbox("mail.reply_to", text)).transpose()?;
        for (member, addresses) in [("to", &mail.to), ("cc", &mail.cc), ("bcc", &mail.bcc)] {
            for address in addresses.iter().filter(|address| !address.contains('{')) {
                mailbox(&format!("mail.{member}"), address)?;
            }
        }
        let recipients = [("to", mail.to.len()), ("cc", mail.cc.len()), ("bcc", mail.bcc.len())];
        Ok(Letters { from: mailbox("mail.from", &mail.from)?, reply_to, recipients })
    }

    /// The letter of the message `id` of a sink, whose last change was at `time_ms`.
    pub fn write(
        &self,
        (id, sink): (&str, &str),
        time_ms: EpochMs,
        render: impl Fn(&str) -> Option<Result<String, RenderError>>,
    ) -> Result<Letter, RenderError> {
        let render = |name: &str| render(name).unwrap_or_else(|| Ok(String::new()));
        // Dots may not stand everywhere there, and no sink's name has an equals sign. Source: RFC 5322, 3.2.3 and 3.6.4.
        let unique_id = format!("{id}-{}", sink.replace('.', "="));
        let mut builder = MessageBuilder::new()
            .from(self.from.clone())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms.0))
            .message_id(Some(format!("<{unique_id}@{}>", self.from.email.domain())))
            // Nobody's holiday notice is wanted. Source: RFC 3834.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let mut to = Vec::new();
        for (member, count) in self.recipients {
            for index in 0..count {
                let name = recipient(member, index);
                let text = render(&name)?;
                let read: Mailbox = text.trim().parse().map_err(|error| {
                    RenderError::new(&name, format_args!("{text:?} is no address of a mail: {error}"))
                })?;
                if !to.contains(&read.email) {
                    to.push(read.email.clone());
                }
                builder = match member {
                    "to" => builder.to(read),
                    "cc" => builder.cc(read),
                    _ => builder,
                };
            }
        }
        // A subject is one line, whatever was put into it.
        let subject = render("subject")?.split_whitespace().collect::<Vec<_>>().join(" ");
        builder = builder.subject(subject);
        let envelope = Envelope::new(Some(self.from.email.clone()), to.clone())
            .map_err(|error| RenderError::new("mail", error))?;
        builder = builder.envelope(envelope);
        let (text, html) = (render("body")?, render("html")?);
        let written = if html.is_empty() {
            builder.singlepart(SinglePart::plain(text))
        } else {
            let parts = MultiPart::builder().kind(MultiPartKind::Alternative).boundary(format!("part-{id}"));
            builder.multipart(parts.singlepart(SinglePart::plain(text)).singlepart(SinglePart::html(html)))
        };
        let bytes = written.map_err(|error| RenderError::new("mail", error))?.formatted();
        Ok(Letter { from: self.from.email.clone(), to, bytes: bytes.into() })
    }
}

/// A mail server.
pub(super) struct Mail {
    mailer: Mailer,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    timeout: Duration,
    connect_timeout: Duration,
    /// What the server knows us by.
    hidden: Hidden,
    /// A connection that the last letter left.
    idle: Mutex<Option<AsyncSmtpConnection>>,
}

/// What became of a letter, and whether the connection can have another.
struct Handed {
    sent: Sent,
    is_open: bool,
}

impl Mail {
    pub fn new(config: &Config, mailer: Mailer) -> Result<Mail, ConfigError> {
        let is_plain = !mailer.is_tls && config.tls == Some(StartTls::None);
        let tls = if is_plain { None } else { Some(tls(&mailer.host, config.ca.as_deref())?) };
        let credentials =
            config.auth.as_ref().map(|auth| Credentials::new(auth.user.clone(), auth.password.expose().to_owned()));
        let (timeout, connect_timeout) = (config.timeout(), config.connect_timeout());
        // The password, and what is sent of it. Source: RFC 4616 and 4954.
        let known = |Auth { user, password }: &Auth| {
            let password = password.expose();
            [password.to_owned(), BASE64.encode(password), BASE64.encode(format!("\0{user}\0{password}"))]
        };
        let hidden = Hidden::new(config.auth.iter().flat_map(known));
        Ok(Mail { mailer, tls, credentials, timeout, connect_timeout, hidden, idle: Mutex::default() })
    }

    pub async fn send(&self, message: &Message) -> Sent {
        let Content::Letter(letter) = &message.content else {
            return Sent::Rejected("a text is not for a mail server".to_owned());
        };
        match tokio::time::timeout(self.timeout, self.hand_over(letter)).await {
            Ok(Ok(sent)) => sent,
            // It may repeat what it does not take.
            Ok(Err(error)) => Sent::again(line(&self.hidden.hide(&error.to_string()))),
            Err(_) => Sent::again(format!("the mail server took longer than {} s", self.timeout.as_secs())),
        }
    }

    async fn hand_over(&self, letter: &Letter) -> Result<Sent, SmtpError> {
        let mut connection = self.connection().await?;
        let Handed { sent, is_open } = transaction(&mut connection, letter).await?;
        if is_open && !connection.has_broken() {
            *self.idle.lock() = Some(connection);
        }
        Ok(sent)
    }

    async fn connection(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let idle = self.idle.lock().take();
        if let Some(mut idle) = idle
            && idle.command(Noop).await.is_ok()
        {
            return Ok(idle);
        }
        let Mailer { host, port, is_tls } = &self.mailer;
        let hello = ClientId::default();
        let implicit = self.tls.clone().filter(|_| *is_tls);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(self.connect_timeout),
            &hello,
            implicit,
            None,
        );
        let mut connection = connecting.await?;
        if let Some(tls) = self.tls.clone().filter(|_| !is_tls) {
            connection.starttls(tls, &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }
}

/// Hands a letter over. Recipients that the server will never take are told, and the others have it.
///
/// # Errors
/// The connection failed: nobody knows what became of the letter.
async fn transaction(connection: &mut AsyncSmtpConnection, letter: &Letter) -> Result<Handed, SmtpError> {
    let mut options = Vec::new();
    if letter.needs_utf8() {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let text = "the server takes no addresses beyond ASCII (SMTPUTF8)".to_owned();
            return Ok(Handed { sent: Sent::Rejected(text), is_open: true });
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !letter.bytes.is_ascii() {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if let Err(error) = connection.command(MailFrom::new(Some(letter.from.clone()), options)).await {
        // Who sends is the same in all letters: somebody has to mend it, and then they pass.
        return answered(error, |code| code == TOO_LARGE);
    }
    let mut refused = Vec::new();
    for address in &letter.to {
        let Err(error) = connection.command(Rcpt::new(address.clone(), Vec::new())).await else { continue };
        if !error.is_permanent() {
            // None of them has it yet, so that the repeat is no second letter to anybody.
            let handed = answered(error, |_| false)?;
            return reset(connection, handed).await;
        }
        refused.push(format!("{address}: {}", words(&error)));
    }
    if refused.len() == letter.to.len() {
        let handed = Handed { sent: Sent::Rejected(refused.join("; ")), is_open: true };
        return reset(connection, handed).await;
    }
    if let Err(error) = connection.command(Data).await {
        let handed = answered(error, |code| code.starts_with('5'))?;
        return reset(connection, handed).await;
    }
    if let Err(error) = connection.message(&letter.bytes).await {
        return answered(error, |code| code.starts_with('5'));
    }
    let sent = match &refused[..] {
        [] => Sent::Done,
        refused => Sent::Rejected(format!("{} (the other recipients have it)", refused.join("; "))),
    };
    Ok(Handed { sent, is_open: true })
}

/// A server's refusal: for ever if `is_final` says so of its code.
fn answered(error: SmtpError, is_final: impl Fn(&str) -> bool) -> Result<Handed, SmtpError> {
    let Some(code) = error.status().map(|code| code.to_string()) else { return Err(error) };
    let text = words(&error);
    let sent = if is_final(&code) { Sent::Rejected(text) } else { Sent::again(text) };
    Ok(Handed { sent, is_open: code != CLOSING })
}

/// Ends a transaction that has begun.
async fn reset(connection: &mut AsyncSmtpConnection, handed: Handed) -> Result<Handed, SmtpError> {
    let is_open = handed.is_open && connection.command(Rset).await.is_ok();
    Ok(Handed { is_open, ..handed })
}

fn tls(host: &str, ca: Option<&str>) -> Result<TlsParameters, ConfigError> {
    let told = |error: SmtpError| ConfigError(format!("ca: {}", words(&error)));
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(ca) = ca {
        if !ca.contains("-----BEGIN CERTIFICATE-----") {
            return Err(ConfigError("ca: there is no certificate in it; PEM is expected".to_owned()));
        }
        let authorities = Certificate::from_pem(ca.as_bytes()).map_err(told)?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    builder.build_rustls().map_err(told)
}

fn words(error: &SmtpError) -> String {
    line(&error.to_string())
}

/// The beginning of a text, in a line.
fn line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(WORDS_CHARS_MAX).collect()
}
