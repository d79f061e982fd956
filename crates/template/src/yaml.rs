//! YAML into the tree of a template: short tags (`!Ref`) become their long form, merge keys are merged, aliases are
//! replaced by what they name.
//!
//! Scalars are those of YAML 1.2's core schema, and a number stays as it is written (`1.10`, `0x1F`), since most of them end
//! up as texts. The truths that YAML 1.1 adds (`yes`, `off`) are texts here, and truths where a property is one: which of
//! the two is meant shows only there.
//!
//! Invariants: the text is read once; what is nested too deeply, and what aliases would blow up, is refused before it is
//! built; an error names the place in the tree and in the text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use tailrace_core::limits::{TEMPLATE_DEPTH_MAX, TEMPLATE_NODES_MAX};

use crate::TemplateError;
use crate::node::Node;

/// Reads a text; what is wrong with it, with the place.
pub(crate) fn parse(text: &str) -> Result<Node, TemplateError> {
    let stand_in = StandIn::of(text);
    let text = stand_in.put_in(text);
    let mut reader =
        Reader { events: Parser::new_from_str(&text), stand_in, anchors: BTreeMap::new(), nodes: 0, path: Vec::new() };
    reader.document().map_err(|fault| TemplateError::Malformed(fault.0))
}

/// A character that the text does not have, in the place of dashes that stand alone before a comma or a bracket:
/// `!Join [-, [a, b]]`. CloudFormation takes such a dash for a text; the parser, which keeps strictly to YAML 1.2, does not.
/// Wherever else such a dash is, in quotes or in a comment, putting in and taking out cancel each other.
#[derive(Clone, Copy)]
pub(crate) struct StandIn(char);

impl StandIn {
    /// The first character for private use that the text does not have.
    pub(crate) fn of(text: &str) -> StandIn {
        let unused = ('\u{E000}'..='\u{F8FF}').find(|c| !text.contains(*c));
        // A text with all of them has no use for them: its dashes alone are then refused.
        StandIn(unused.unwrap_or('-'))
    }

    pub(crate) fn put_in(self, text: &str) -> Cow<'_, str> {
        let is_alone = |at: usize| {
            let before = text[..at].bytes().next_back().is_none_or(|byte| b" \t\r\n,[{".contains(&byte));
            let behind = text[at + 1..].bytes().next().is_some_and(|byte| b",[]{}".contains(&byte));
            before && behind
        };
        let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).filter(|at| is_alone(*at)).collect();
        if dashes.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut replaced, mut from) = (String::with_capacity(text.len() + 2 * dashes.len()), 0);
        for at in dashes {
            replaced.push_str(&text[from..at]);
            replaced.push(self.0);
            from = at + 1;
        }
        replaced.push_str(&text[from..]);
        Cow::Owned(replaced)
    }

    fn take_out(self, text: Cow<'_, str>) -> String {
        if text.contains(self.0) { text.replace(self.0, "-") } else { text.into_owned() }
    }
}

/// What is wrong, as a line.
struct Fault(String);

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Fault {
        Fault(format!("{} {}", error.info(), place(error.marker())))
    }
}

fn place(marker: &Marker) -> String {
    format!("at line {} column {}", marker.line(), marker.col() + 1)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    stand_in: StandIn,
    /// What has an anchor. An anchor is here once all that it names is read.
    anchors: BTreeMap<usize, Anchored>,
    /// Nodes so far, with those that stand in an alias's place.
    nodes: usize,
    /// The way to what is being read.
    path: Vec<String>,
}

/// What an alias stands for.
#[derive(Clone)]
struct Anchored {
    node: Node,
    /// How many nodes that are.
    nodes: usize,
    /// How deep they are nested.
    height: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Fault> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or(Node::Null)),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => return Err(self.fault(&span.start, "there is more than one document")),
                event => root = Some(self.node(event, span)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        let end = || Err(Fault("the text ends in the midst of something".to_owned()));
        self.events.next_event().map_or_else(end, |event| Ok(event?))
    }

    /// The value that begins with this event.
    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Fault> {
        if self.path.len() >= TEMPLATE_DEPTH_MAX {
            return Err(self.fault(&span.start, TOO_DEEP));
        }
        let before = self.nodes;
        let (node, anchor, tag) = match event {
            Event::Alias(anchor) => {
                let Some(Anchored { node, nodes, height }) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.fault(&span.start, "an alias stands inside of what it names"));
                };
                // What stands behind this reads nodes by recursion: aliases of aliases must not go deeper than a text may.
                if self.path.len() + height > TEMPLATE_DEPTH_MAX {
                    return Err(self.fault(&span.start, TOO_DEEP));
                }
                self.count(nodes, &span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, &span)?;
                let is_text = style != ScalarStyle::Plain || tag.as_deref().is_some_and(is_tag_of_texts);
                let text = self.stand_in.take_out(text);
                (if is_text { Node::Text(text) } else { plain(text) }, anchor, tag)
            }
            Event::SequenceStart(anchor, tag) => {
                self.count(1, &span)?;
                (self.list()?, anchor, tag)
            }
            Event::MappingStart(anchor, tag) => {
                self.count(1, &span)?;
                (self.map(span)?, anchor, tag)
            }
            _ => return Err(self.fault(&span.start, "a value is expected")),
        };
        let node = match tag.as_deref().and_then(intrinsic) {
            Some(name) => {
                self.count(1, &span)?;
                long_form(name, node)
            }
            None => node,
        };
        if anchor > 0 {
            let anchored = Anchored { node: node.clone(), nodes: self.nodes - before, height: height(&node) };
            self.anchors.insert(anchor, anchored);
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Node, Fault> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Node::List(list)),
                (event, span) => {
                    self.path.push(list.len().to_string());
                    list.push(self.node(event, span)?);
                    self.path.pop();
                }
            }
        }
    }

    fn map(&mut self, start: Span) -> Result<Node, Fault> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut keys = HashSet::new();
        let mut merged = None;
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => self.stand_in.take_out(text),
                Event::Alias(anchor) => match self.anchors.get(&anchor) {
                    Some(Anchored { node: Node::Text(text) | Node::Number(text), .. }) => text.clone(),
                    _ => return Err(self.fault(&span.start, "a text is expected as a key")),
                },
                _ => return Err(self.fault(&span.start, "a text is expected as a key")),
            };
            if !keys.insert(key.clone()) {
                return Err(self.fault(&span.start, format_args!("the key {key:?} is given twice")));
            }
            self.path.push(key.clone());
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            self.path.pop();
            if key == MERGE {
                merged = Some(value);
            } else {
                map.push((key, value));
            }
        }
        for value in merged.iter().flat_map(Node::one_or_many) {
            let Node::Map(more) = value else {
                let why = format!("a map is expected behind `{MERGE}`, not {}", value.brief());
                return Err(self.fault(&start.start, why));
            };
            for (key, value) in more {
                if keys.insert(key.clone()) {
                    map.push((key.clone(), value.clone()));
                }
            }
        }
        Ok(Node::Map(map))
    }

    fn count(&mut self, nodes: usize, span: &Span) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes <= TEMPLATE_NODES_MAX {
            return Ok(());
        }
        let why = format!("with its aliases the text has more than {TEMPLATE_NODES_MAX} values");
        Err(self.fault(&span.start, why))
    }

    fn fault(&self, marker: &Marker, message: impl std::fmt::Display) -> Fault {
        let path = self.path.join(".");
        let colon = if path.is_empty() { "" } else { ": " };
        Fault(format!("{path}{colon}{message} {}", place(marker)))
    }
}

const TOO_DEEP: &str = "maps and lists are nested too deeply";

/// How many maps and lists stand in each other. What was read is nested within bounds, so this may recurse.
fn height(node: &Node) -> usize {
    match node {
        Node::List(list) => 1 + list.iter().map(height).max().unwrap_or(0),
        Node::Map(map) => 1 + map.iter().map(|(_, value)| height(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The key whose maps are merged into its own.
const MERGE: &str = "<<";

/// `!` and `!!str`: a text however it looks.
fn is_tag_of_texts(tag: &Tag) -> bool {
    (tag.handle.is_empty() && tag.suffix == "!") || (tag.is_yaml_core_schema() && tag.suffix == "str")
}

/// The name of the intrinsic function that a tag is short for; none: the tag is YAML's own.
fn intrinsic(tag: &Tag) -> Option<&str> {
    let name = tag.suffix.trim_start_matches('!');
    (!tag.is_yaml_core_schema() && !name.is_empty()).then_some(name)
}

fn long_form(name: &str, value: Node) -> Node {
    match (name, value) {
        ("Ref" | "Condition", value) => Node::Map(vec![(name.to_owned(), value)]),
        ("GetAtt", Node::Text(text)) => {
            let (id, attribute) = text.split_once('.').unwrap_or((&text, ""));
            let pair = vec![Node::Text(id.to_owned()), Node::Text(attribute.to_owned())];
            Node::Map(vec![("Fn::GetAtt".to_owned(), Node::List(pair))])
        }
        (_, value) => Node::Map(vec![(format!("Fn::{name}"), value)]),
    }
}

/// A scalar without quotes.
fn plain(text: String) -> Node {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        number if is_number(number) => Node::Number(text),
        _ => Node::Text(text),
    }
}

fn is_number(text: &str) -> bool {
    let positive = text.strip_prefix(['+', '-']).unwrap_or(text);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = positive.strip_prefix(prefix) {
            return !digits.starts_with(['+', '-']) && u128::from_str_radix(digits, radix).is_ok();
        }
    }
    // With a leading zero it is none, so that `007` and account numbers stay texts.
    let has_leading_zero =
        positive.len() > 1 && positive.starts_with('0') && positive.bytes().all(|b| b.is_ascii_digit());
    let is_named = matches!(positive, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let is_finite = positive.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && positive.parse::<f64>().is_ok_and(f64::is_finite);
    is_named || (is_finite && !has_leading_zero)
}
