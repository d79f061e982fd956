//! Texts, parts of which are known only after a table was created, or stand in for what is not made here.

use tailrace_core::StreamArn;

/// A text, parts of which may be known only after a table was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Part>);

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Literal(String),
    /// The ARN of the stream of the table with this logical id.
    StreamOf(String),
    /// The label of that stream: the part of its ARN behind `/stream/`.
    LabelOf(String),
    /// It looks like what would be here on AWS.
    StandIn(StandIn),
}

/// What stands in for a value that only AWS knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The text.
    pub text: String,
    /// What it stands in for.
    pub origin: Origin,
}

/// Where a value would come from on AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// In words: `Out (AWS::SQS::Queue)`.
    pub what: String,
    /// The option that gives it: `--resource Out=VALUE`.
    pub option: String,
    /// It is a resource of the template; else a value from elsewhere: a parameter, an export, a secret.
    pub is_resource: bool,
}

impl Text {
    /// The whole text; `stream_arn` tells the ARN of a table's stream by the table's logical id. `None`: it does not.
    pub fn resolve(&self, stream_arn: impl Fn(&str) -> Option<StreamArn>) -> Option<String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(text) | Part::StandIn(StandIn { text, .. }) => Some(text.clone()),
                Part::StreamOf(id) => Some(stream_arn(id)?.to_string()),
                Part::LabelOf(id) => Some(stream_arn(id)?.as_str().rsplit('/').next()?.to_owned()),
            })
            .collect()
    }

    pub(crate) fn literal(text: impl Into<String>) -> Text {
        Text(vec![Part::Literal(text.into())])
    }

    pub(crate) fn stand_in(text: impl Into<String>, origin: Origin) -> Text {
        Text(vec![Part::StandIn(StandIn { text: text.into(), origin })])
    }

    /// The text, where all of it is known by now; what stands in for something is.
    pub(crate) fn as_literal(&self) -> Option<String> {
        self.resolve(|_| None)
    }

    /// How many bytes are known of it.
    pub(crate) fn bytes(&self) -> usize {
        let of = |part: &Part| match part {
            Part::Literal(text) | Part::StandIn(StandIn { text, .. }) => text.len(),
            Part::StreamOf(_) | Part::LabelOf(_) => 0,
        };
        self.0.iter().map(of).sum()
    }

    /// What parts of it stand in for.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter().filter_map(|part| match part {
            Part::StandIn(stand_in) => Some(&stand_in.origin),
            _ => None,
        })
    }

    pub(crate) fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (_, Part::Literal(empty)) if empty.is_empty() => {}
            (Some(Part::Literal(text)), Part::Literal(more)) => text.push_str(&more),
            (_, part) => self.0.push(part),
        }
    }

    pub(crate) fn append(&mut self, more: Text) {
        more.0.into_iter().for_each(|part| self.push(part));
    }

    /// The pieces between delimiters. `None`: the delimiter may lie in a part that is not known yet. A label is a time, so
    /// one that no time has a character of does not.
    pub(crate) fn split(&self, delimiter: &str) -> Option<Vec<Text>> {
        let is_in_times = |c: char| c.is_ascii_digit() || "T:.-".contains(c);
        let mut pieces = vec![Text::default()];
        for part in &self.0 {
            let (text, piece): (_, &dyn Fn(&str) -> Part) = match part {
                Part::Literal(text) => (text, &|piece| Part::Literal(piece.to_owned())),
                Part::StandIn(StandIn { text, origin }) => {
                    (text, &|piece| Part::StandIn(StandIn { text: piece.to_owned(), origin: origin.clone() }))
                }
                Part::LabelOf(_) if !delimiter.contains(is_in_times) => {
                    pieces.last_mut()?.push(part.clone());
                    continue;
                }
                Part::LabelOf(_) | Part::StreamOf(_) => return None,
            };
            for (n, between) in text.split(delimiter).enumerate() {
                if n > 0 {
                    pieces.push(Text::default());
                }
                pieces.last_mut()?.push(piece(between));
            }
        }
        Some(pieces)
    }
}
