//! YAML into the tree of a template: short tags (`!Ref`) become their long form, merge keys are merged.
//!
//! Numbers stay as they are written (`1.10`, `0x1F`), since most of them end up as texts. The reader tells a number from a
//! text but then no longer has what was written, so the text is read twice: once for its shape, and once along that shape
//! with every number as a text.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, de};

use crate::node::Node;

/// Reads a text; what is wrong with it, with the line.
pub(crate) fn parse(text: &str) -> Result<Node, String> {
    let reader = || serde_yaml_ng::Deserializer::from_str(text);
    let mut tree = Yaml::deserialize(reader()).map_err(|error| error.to_string())?;
    Numbers(&mut tree).deserialize(reader()).map_err(|error| error.to_string())?;
    tree.into_node()
}

enum Yaml {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
    Tagged(String, Box<Yaml>),
}

impl Yaml {
    fn into_node(self) -> Result<Node, String> {
        Ok(match self {
            Yaml::Null => Node::Null,
            Yaml::Bool(value) => Node::Bool(value),
            Yaml::Number(text) => Node::Number(text),
            Yaml::Text(text) => Node::Text(text),
            Yaml::List(list) => Node::List(list.into_iter().map(Yaml::into_node).collect::<Result<_, _>>()?),
            Yaml::Map(pairs) => {
                let mut map = Vec::with_capacity(pairs.len());
                let mut merged = Vec::new();
                for (key, value) in pairs {
                    match value.into_node()? {
                        value if key == "<<" => merged.push(value),
                        value => map.push((key, value)),
                    }
                }
                for value in merged.iter().flat_map(Node::one_or_many) {
                    let Node::Map(more) = value else {
                        return Err(format!("a map is expected behind `<<`, not {}", value.brief()));
                    };
                    for (key, value) in more {
                        if !map.iter().any(|(present, _)| present == key) {
                            map.push((key.clone(), value.clone()));
                        }
                    }
                }
                Node::Map(map)
            }
            Yaml::Tagged(name, value) => match (name.as_str(), value.into_node()?) {
                ("Ref" | "Condition", value) => Node::Map(vec![(name, value)]),
                ("GetAtt", Node::Text(text)) => {
                    let (id, attribute) = text.split_once('.').unwrap_or((&text, ""));
                    let pair = vec![Node::Text(id.to_owned()), Node::Text(attribute.to_owned())];
                    Node::Map(vec![("Fn::GetAtt".to_owned(), Node::List(pair))])
                }
                (_, value) => Node::Map(vec![(format!("Fn::{name}"), value)]),
            },
        })
    }
}

/// The name of a tag, without its `!`.
fn tag(name: &str) -> String {
    name.trim_start_matches('!').to_owned()
}

/// The first reading: the shape. Numbers have no text yet.
impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(String::new()))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(String::new()))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Yaml, E> {
        Ok(Yaml::Number(String::new()))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Yaml, E> {
        Ok(Yaml::Number(String::new()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Yaml, E> {
        Ok(Yaml::Number(String::new()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Yaml, A::Error> {
        let mut map: Vec<(String, Yaml)> = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            if map.iter().any(|(present, _)| *present == key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is given twice")));
            }
            map.push((key, members.next_value()?));
        }
        Ok(Yaml::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Yaml, A::Error> {
        let (name, content) = tagged.variant::<String>()?;
        Ok(Yaml::Tagged(tag(&name), Box::new(content.newtype_variant()?)))
    }
}

/// The second reading: fills in the numbers of a shape.
struct Numbers<'a>(&'a mut Yaml);

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Yaml::Number(text) => *text = String::deserialize(deserializer)?,
            Yaml::List(_) | Yaml::Map(_) | Yaml::Tagged(..) => deserializer.deserialize_any(self)?,
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) => drop(IgnoredAny::deserialize(deserializer)?),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was read before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Yaml::List(list) = self.0 else { return Err(A::Error::invalid_type(de::Unexpected::Seq, &self)) };
        for element in list {
            elements.next_element_seed(Numbers(element))?;
        }
        elements.next_element::<IgnoredAny>().map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Yaml::Map(map) = self.0 else { return Err(A::Error::invalid_type(de::Unexpected::Map, &self)) };
        for (_, value) in map {
            members.next_key::<IgnoredAny>()?;
            members.next_value_seed(Numbers(value))?;
        }
        members.next_key::<IgnoredAny>().map(drop)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let Yaml::Tagged(_, content) = self.0 else { return Err(A::Error::invalid_type(de::Unexpected::Enum, &self)) };
        tagged.variant::<IgnoredAny>()?.1.newtype_variant_seed(Numbers(content))
    }
}
