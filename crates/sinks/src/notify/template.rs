//! Subjects and bodies as users write them, in minijinja. What a template may not name is an error when the sink is made; what a
//! record does not have is an error of that record.
//!
//! Invariant: a template ends, and what it makes is bounded: it has fuel, and its output a limit.

use std::collections::BTreeMap;
use std::io;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use super::config::{Config, ConfigError};
use super::seen::{COMMON, OF_A_RECORD};

/// Steps of one rendering. Our reason: some hundred for each of the most records of a digest.
const FUEL: u64 = 2_000_000;

const SUBJECT: &str =
    "{{ sink }}: {% if count == 1 %}{{ records[0].type }}{% else %}{{ count }} changes of {{ table }}{% endif %}";
const TEXT: &str = "\
{% for record in records[:100] %}{{ record.event_time }} {{ record.type }} {{ record.keys|readable }}
{% if count == 1 and record.new_image %}{{ record.new_image|readable(true) }}
{% endif %}{% endfor %}{% if count > 100 %}and {{ count - 100 }} more
{% endif %}";

/// The templates of a sink.
pub(super) struct Templates {
    environment: Environment<'static>,
    names: Vec<String>,
}

/// A rendering failed: the words are for people.
pub(super) struct RenderError {
    pub text: String,
}

impl RenderError {
    pub fn new(name: &str, error: impl std::fmt::Display) -> RenderError {
        RenderError { text: format!("{name}: {error}") }
    }
}

impl Templates {
    /// None is configured.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Compiles what is configured. A mail has a subject and a text even if nothing is.
    ///
    /// # Errors
    /// One is no template, or names what there is not.
    pub fn new(config: &Config) -> Result<Templates, ConfigError> {
        let mut environment = Environment::new();
        // Until all are tried out.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("readable", readable);
        environment.set_auto_escape_callback(|name| match name {
            "html" => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        let mut templates = Templates { environment, names: Vec::new() };
        let (subject, body) = match config.mail {
            Some(_) => (config.subject.as_deref().or(Some(SUBJECT)), config.body.as_deref().or(Some(TEXT))),
            None => (config.subject.as_deref(), config.body.as_deref()),
        };
        let is_digest = config.digest.is_some();
        for (name, source) in [("subject", subject), ("body", body), ("html", config.html.as_deref())] {
            if let Some(source) = source {
                templates.add(name, source, is_digest)?;
            }
        }
        if let Some(mail) = &config.mail {
            for (member, addresses) in [("to", &mail.to), ("cc", &mail.cc), ("bcc", &mail.bcc)] {
                for (index, address) in addresses.iter().enumerate() {
                    templates.add(&recipient(member, index), address, is_digest)?;
                }
            }
        }
        templates.try_out(is_digest)?;
        templates.environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Ok(templates)
    }

    /// Finds filters, tests and functions that there are not, which a template only looks for when it comes to them: as far as it does
    /// with a record that has nothing.
    fn try_out(&self, is_digest: bool) -> Result<(), ConfigError> {
        let mut context: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
        if !is_digest {
            context.extend(OF_A_RECORD.map(|name| (name, serde_json::json!({}))));
        }
        context.extend([
            ("count", 1.into()),
            ("records", serde_json::json!([{}])),
            ("sink", "".into()),
            ("table", "".into()),
        ]);
        let context = Value::from(Serde(context));
        for name in &self.names {
            let template = self.environment.get_template(name);
            let Err(error) = template.and_then(|template| template.render(context.clone())) else { continue };
            if matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction) {
                return Err(ConfigError(format!("{name}: {error}")));
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, source: &str, is_digest: bool) -> Result<(), ConfigError> {
        let told = |error: minijinja::Error| ConfigError(format!("{name}: {error}"));
        self.environment.add_template_owned(name.to_owned(), source.to_owned()).map_err(told)?;
        let template = self.environment.get_template(name).map_err(told)?;
        let mut named: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        named.sort_unstable();
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        for unknown in named {
            let is_of_a_record = OF_A_RECORD.contains(&unknown.as_str());
            if COMMON.contains(&unknown.as_str()) || globals.contains(&&*unknown) || (is_of_a_record && !is_digest) {
                continue;
            }
            return Err(ConfigError(if is_of_a_record {
                format!(
                    "{name}: `{unknown}` is of one record, and a digest has several: {{% for record in records %}}{{{{ record.{unknown} }}}}"
                )
            } else {
                let known = if is_digest { COMMON.join(", ") } else { [&COMMON[..], &OF_A_RECORD].concat().join(", ") };
                format!("{name}: `{unknown}` is not known; known are {known}")
            }));
        }
        self.names.push(name.to_owned());
        Ok(())
    }

    /// What the template of this name makes; `None`: there is none.
    pub fn render(&self, name: &str, context: &Value, bytes_max: usize) -> Option<Result<String, RenderError>> {
        if !self.names.iter().any(|known| known == name) {
            return None;
        }
        let mut out = Limited { bytes: Vec::new(), bytes_max, is_full: false };
        let template = self.environment.get_template(name);
        let rendered = template.and_then(|template| template.render_captured_to(context.clone(), &mut out).map(drop));
        Some(match rendered {
            _ if out.is_full => Err(RenderError { text: format!("{name}: it has more than {bytes_max} bytes") }),
            Err(error) => Err(RenderError::new(name, error)),
            Ok(()) => String::from_utf8(out.bytes).map_err(|error| RenderError::new(name, error)),
        })
    }
}

/// JSON for people: unlike `tojson`, whose JSON may stand in HTML, it writes no `'` as `\u0027`.
fn readable(value: &Value, is_pretty: Option<bool>) -> Result<String, minijinja::Error> {
    let written = match is_pretty {
        Some(true) => serde_json::to_string_pretty(value),
        _ => serde_json::to_string(value),
    };
    written.map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// The name of the template of a recipient.
pub(super) fn recipient(member: &str, index: usize) -> String {
    format!("mail.{member}.{index}")
}

/// Takes so many bytes, and no more.
struct Limited {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.bytes_max {
            self.is_full = true;
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
