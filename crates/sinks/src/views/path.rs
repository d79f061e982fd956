//! Attribute paths as a configuration writes them: `total`, `address.city`, `lines[0].price`, `` `odd name`.x ``.

use std::fmt;

use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Encoded, EncodedValue};
use tailrace_core::limits::NESTING_LEVELS_MAX;

/// A place in an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributePath {
    head: String,
    steps: Vec<Step>,
}

/// One step further down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    /// Into a map.
    Name(String),
    /// Into a list.
    Index(usize),
}

/// The text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no attribute path: write it like total, address.city or lines[0].price, odd names in backticks")]
pub struct PathError(String);

impl AttributePath {
    /// Reads a path.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<AttributePath, PathError> {
        let error = || PathError(text.to_owned());
        let mut rest = text.trim();
        let head = name(&mut rest).ok_or_else(error)?;
        let mut steps = Vec::new();
        while let Some(mark) = rest.chars().next() {
            rest = &rest[mark.len_utf8()..];
            steps.push(match mark {
                '.' => Step::Name(name(&mut rest).ok_or_else(error)?),
                '[' => {
                    let (digits, behind) = rest.split_once(']').ok_or_else(error)?;
                    rest = behind;
                    Step::Index(digits.parse().map_err(|_| error())?)
                }
                _ => return Err(error()),
            });
        }
        if steps.len() >= NESTING_LEVELS_MAX {
            return Err(error());
        }
        Ok(AttributePath { head, steps })
    }

    /// The path of a top-level attribute.
    pub fn top_level(name: &str) -> AttributePath {
        AttributePath { head: name.to_owned(), steps: Vec::new() }
    }

    /// The last name in it: what a column of it is called if nothing else is said.
    pub fn last_name(&self) -> &str {
        let names = self.steps.iter().rev().filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        });
        names.chain([self.head.as_str()]).next().unwrap_or_default()
    }

    /// What a stored item has there; `None`: nothing, or NULL.
    ///
    /// # Errors
    /// The bytes up to it are no item.
    pub fn find<'a>(&self, item: &StoredItem<'a>) -> Result<Option<(EncodedValue<'a>, Encoded<'a>)>, CodecError> {
        let Some(mut value) = item.members().find(&self.head)? else { return Ok(None) };
        let mut read = value.read()?;
        for step in &self.steps {
            let next = match (step, read) {
                (Step::Name(name), Encoded::M(members)) => members.find(name)?,
                (Step::Index(index), Encoded::L(mut elements)) => {
                    let mut element = elements.next_value()?;
                    for _ in 0..*index {
                        if element.is_none() {
                            break;
                        }
                        element = elements.next_value()?;
                    }
                    element
                }
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            read = next.read()?;
            value = next;
        }
        Ok((!matches!(read, Encoded::Null)).then_some((value, read)))
    }
}

/// A name at the beginning of `rest`, which goes on behind it.
fn name(rest: &mut &str) -> Option<String> {
    let (name, behind) = match rest.strip_prefix('`') {
        Some(quoted) => quoted.split_once('`')?,
        None => {
            let ends = |c: char| c.is_whitespace() || ".[]()`,:".contains(c);
            rest.split_at(rest.find(ends).unwrap_or(rest.len()))
        }
    };
    *rest = behind;
    (!name.is_empty()).then(|| name.to_owned())
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |name: &str| {
            let mut rest = name;
            self::name(&mut rest).is_some() && rest.is_empty()
        };
        let write = |name: &str, f: &mut fmt::Formatter<'_>| match plain(name) {
            true => f.write_str(name),
            false => write!(f, "`{name}`"),
        };
        write(&self.head, f)?;
        for step in &self.steps {
            match step {
                Step::Name(name) => {
                    f.write_str(".")?;
                    write(name, f)?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::Json;
    use tailrace_core::attribute_json::read_item;
    use tailrace_core::codec::encode_stored;

    use super::*;

    #[test]
    fn a_path_finds_what_is_there_and_nothing_else() {
        let item = r#"{"a":{"N":"1"},"m":{"M":{"b c":{"S":"x"},"l":{"L":[{"N":"7"},{"M":{"p":{"BOOL":true}}}]}}},"z":{"NULL":true}}"#;
        let item = encode_stored(&read_item(Json::parse(item.as_bytes()).unwrap()).unwrap());
        for (path, expected) in [
            ("a", Some("N")),
            (" m.`b c` ", Some("S")),
            ("m.l[0]", Some("N")),
            ("m.l[1].p", Some("BOOL")),
            ("m.l", Some("L")),
            ("m.l[2]", None),
            ("m.l[1].q", None),
            ("a.b", None),
            ("a[0]", None),
            ("z", None),
            ("b", None),
        ] {
            let parsed = AttributePath::parse(path).unwrap();
            let stored = StoredItem::new(&item).unwrap();
            let kind = parsed.find(&stored).unwrap().map(|(_, value)| match value {
                Encoded::N(_) => "N",
                Encoded::S(_) => "S",
                Encoded::Bool(_) => "BOOL",
                Encoded::L(_) => "L",
                _ => "?",
            });
            assert_eq!(kind, expected, "{path}");
            assert_eq!(AttributePath::parse(&parsed.to_string()), Ok(parsed));
        }
        for text in ["", ".a", "a.", "a[", "a[x]", "a[-1]", "a b", "a[0]b", "`a", "``", "a,b", "a()"] {
            assert_eq!(AttributePath::parse(text), Err(PathError(text.to_owned())), "{text}");
        }
        for (text, name) in [("a", "a"), ("a.b", "b"), ("a.b[1][2]", "b"), ("a[0]", "a")] {
            assert_eq!(AttributePath::parse(text).unwrap().last_name(), name);
        }
    }
}
