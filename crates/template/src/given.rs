//! Values of parameters as users write them: on a command line, in SAM's `samconfig.toml`, in the files of CloudFormation.

use std::collections::BTreeMap;
use std::path::Path;

use crate::node::{Format, Node};

/// Values of parameters that cannot be read as they are written: what is wrong, for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParameterError(pub String);

fn wrong<T>(what: impl Into<String>) -> Result<T, ParameterError> {
    Err(ParameterError(what.into()))
}

/// The pairs of a text: `A=b`, several as `sam deploy --parameter-overrides` takes them (`A=b C="d e"`), and the long form
/// (`ParameterKey=A,ParameterValue=b`). A word that begins no pair belongs to the value before it.
///
/// # Errors
/// What is no pair.
pub fn parameter_pairs(text: &str) -> Result<Vec<(String, String)>, ParameterError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for Word { text: word, before, is_quoted } in words(text) {
        let long = word.strip_prefix("ParameterKey=").and_then(|rest| rest.split_once(",ParameterValue="));
        // `Stack/Name` stands alone, or first: behind others it may be a value's.
        let is_meant = |name: &str| is_name(name) || (pairs.is_empty() && is_name_of_a_stack(name));
        let pair = long.or_else(|| word.split_once('=').filter(|(name, _)| is_meant(name)));
        match (pair, pairs.last_mut()) {
            (Some((name, value)), _) if !is_quoted => pairs.push((name.to_owned(), value.to_owned())),
            (_, Some((_, value))) => {
                value.push_str(before);
                value.push_str(&word);
            }
            (Some((name, value)), None) => pairs.push((name.to_owned(), value.to_owned())),
            (None, None) => return wrong(format!("{word:?} is no pair: NAME=VALUE is expected")),
        }
    }
    match pairs.is_empty() {
        true => wrong("NAME=VALUE is expected"),
        false => Ok(pairs),
    }
}

/// Names of parameters are of letters and digits.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `Stack/Name`: of several templates the one that is called so.
fn is_name_of_a_stack(text: &str) -> bool {
    text.rsplit_once('/').is_some_and(|(stack, name)| !stack.is_empty() && is_name(name))
}

struct Word<'a> {
    text: String,
    /// The spaces before it.
    before: &'a str,
    /// It begins with a quote: no pair begins here.
    is_quoted: bool,
}

/// The words of a text, as a shell splits them: quotes keep spaces, and go.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        let before = &rest[..rest.len() - trimmed.len()];
        if trimmed.is_empty() {
            return words;
        }
        let mut word = String::new();
        let mut quote = None;
        let mut end = trimmed.len();
        let mut chars = trimmed.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (_, '\\') if chars.peek().is_some_and(|(_, next)| matches!(next, '"' | '\'' | '\\')) => {
                    word.extend(chars.next().map(|(_, next)| next));
                }
                (_, c) => word.push(c),
            }
        }
        // A quote that is not closed is a text like any other.
        if quote.is_some() {
            word = trimmed.to_owned();
            end = trimmed.len();
        }
        words.push(Word { text: word, before, is_quoted: trimmed.starts_with(['"', '\'']) });
        rest = &trimmed[end..];
    }
}

/// The environment of a `samconfig.toml` that is read if no other is asked for.
pub const CONFIG_ENVIRONMENT: &str = "default";

/// The values in a file: SAM's configuration (`samconfig.toml`, or the same in YAML), of which one environment is read;
/// CloudFormation's list of `ParameterKey` and `ParameterValue`, its `{"Parameters": {...}}`, or a plain map, in JSON or YAML.
///
/// # Errors
/// What is wrong.
pub fn parameters_of_file(
    file: &Path,
    text: &str,
    environment: &str,
) -> Result<BTreeMap<String, String>, ParameterError> {
    let node = if file.extension().is_some_and(|extension| extension == "toml") {
        let table: toml::Table = text.parse().or_else(|error: toml::de::Error| wrong(error.message()))?;
        of_toml(toml::Value::Table(table))
    } else {
        Node::parse_any(text, Format::of(file, text)).or_else(|error| wrong(error.to_string()))?
    };
    if let Node::List(list) = &node {
        return of_list(list);
    }
    if let Some(parameters) = node.get("Parameters") {
        return of_map(parameters);
    }
    if !is_sam(&node) {
        return of_map(&node);
    }
    match node.get(environment) {
        Some(of_environment) => of_sam(of_environment),
        None => {
            let pairs = node.pairs();
            let has_commands =
                |(name, commands): &&(String, Node)| !commands.pairs().is_empty() && *name != environment;
            let there: Vec<&str> = pairs.iter().filter(has_commands).map(|(name, _)| name.as_str()).collect();
            let there = if there.is_empty() { String::new() } else { format!(" (there are: {})", there.join(", ")) };
            wrong(format!("it has no [{environment}.deploy.parameters]{there}"))
        }
    }
}

/// Something that only SAM's configuration has.
fn is_sam(node: &Node) -> bool {
    node.pairs()
        .iter()
        .any(|(_, environment)| environment.pairs().iter().any(|(_, command)| command.get("parameters").is_some()))
}

/// `parameter_overrides` of an environment's `deploy.parameters`, else of its `global.parameters`.
fn of_sam(environment: &Node) -> Result<BTreeMap<String, String>, ParameterError> {
    let overrides = |command: &str| environment.get(command)?.get("parameters")?.get("parameter_overrides");
    match overrides("deploy").or_else(|| overrides("global")) {
        None => Ok(BTreeMap::new()),
        Some(Node::Text(text)) if text.trim().is_empty() => Ok(BTreeMap::new()),
        Some(Node::Text(text)) => Ok(parameter_pairs(text)?.into_iter().collect()),
        Some(Node::List(list)) => {
            let mut all = BTreeMap::new();
            for element in list {
                match element {
                    Node::Text(text) => {
                        // An element is one pair, with the spaces that it has.
                        match text.split_once('=').filter(|(name, _)| is_name(name) && *name != "ParameterKey") {
                            Some((name, value)) => drop(all.insert(name.to_owned(), unquoted(value).to_owned())),
                            None => all.extend(parameter_pairs(text)?),
                        }
                    }
                    Node::Map(_) => all.extend(of_map(element)?),
                    other => return wrong(format!("parameter_overrides: a text is expected, not {}", other.brief())),
                }
            }
            Ok(all)
        }
        Some(map @ Node::Map(_)) => of_map(map),
        Some(other) => wrong(format!("parameter_overrides: a text or a list is expected, not {}", other.brief())),
    }
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

/// A list of `{ParameterKey, ParameterValue}`, or of `NAME=VALUE`.
fn of_list(list: &[Node]) -> Result<BTreeMap<String, String>, ParameterError> {
    let mut all = BTreeMap::new();
    for element in list {
        match (element.get("ParameterKey"), element.get("ParameterValue"), element) {
            (Some(Node::Text(name)), Some(value), _) => drop(all.insert(name.clone(), scalar(name, value)?)),
            // `UsePreviousValue`: there is none.
            (Some(Node::Text(_)), None, _) => {}
            (_, _, Node::Text(pair)) => all.extend(parameter_pairs(pair)?),
            _ => return wrong("a list of {ParameterKey, ParameterValue} is expected"),
        }
    }
    Ok(all)
}

fn of_map(node: &Node) -> Result<BTreeMap<String, String>, ParameterError> {
    let Node::Map(pairs) = node else { return wrong(format!("a map of values is expected, not {}", node.brief())) };
    pairs.iter().map(|(name, value)| Ok((name.clone(), scalar(name, value)?))).collect()
}

/// A value as a text; a list as CloudFormation writes one.
fn scalar(name: &str, value: &Node) -> Result<String, ParameterError> {
    match value {
        Node::Text(text) | Node::Number(text) => Ok(text.clone()),
        Node::Bool(value) => Ok(value.to_string()),
        Node::Null => Ok(String::new()),
        Node::List(list) => {
            let elements: Result<Vec<String>, ParameterError> =
                list.iter().map(|element| scalar(name, element)).collect();
            Ok(elements?.join(","))
        }
        Node::Map(_) => wrong(format!("{name}: a text is expected, not {}", value.brief())),
    }
}

fn of_toml(value: toml::Value) -> Node {
    match value {
        toml::Value::String(text) => Node::Text(text),
        toml::Value::Boolean(value) => Node::Bool(value),
        toml::Value::Array(list) => Node::List(list.into_iter().map(of_toml).collect()),
        toml::Value::Table(table) => Node::Map(table.into_iter().map(|(key, value)| (key, of_toml(value))).collect()),
        toml::Value::Integer(number) => Node::Number(number.to_string()),
        toml::Value::Float(number) => Node::Number(number.to_string()),
        toml::Value::Datetime(time) => Node::Text(time.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let pairs = parameter_pairs(text).unwrap();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expected, "{text}");
    }

    #[test]
    fn a_pair_may_name_the_stack_where_it_stands_first() {
        check("a/b/Who=me", &[("a/b/Who", "me")]);
        check("Url=x a/b=c", &[("Url", "x a/b=c")]);
        assert!(parameter_pairs("/Who=me").is_err());
    }

    #[test]
    fn pairs_are_written_as_for_sam() {
        check("Sender=a@b.c", &[("Sender", "a@b.c")]);
        check("A=b C=d", &[("A", "b"), ("C", "d")]);
        check("A=\"b c\" D='e f=g'", &[("A", "b c"), ("D", "e f=g")]);
        check("ParameterKey=A,ParameterValue=b ParameterKey=C,ParameterValue=\"d e\"", &[("A", "b"), ("C", "d e")]);
        check("Greeting=hello there", &[("Greeting", "hello there")]);
        check("Url=https://a/?b=c&d=e", &[("Url", "https://a/?b=c&d=e")]);
        check("Empty=", &[("Empty", "")]);
        check("Quote=it's", &[("Quote", "it's")]);
        check(r#"Json={\"a\":1}"#, &[("Json", "{\"a\":1}")]);
        for text in ["", "nothing", "-x=1"] {
            assert!(parameter_pairs(text).is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check_file(name: &str, text: &str, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parameters_of_file(Path::new(name), text, CONFIG_ENVIRONMENT), Ok(expected), "{text}");
    }

    #[test]
    fn files_of_sam_and_of_cloudformation_are_read() {
        let expected = [("A", "b c"), ("D", "1,2")];
        for toml in [
            "version = 0.1\n[default.deploy.parameters]\nstack_name = 'x'\nparameter_overrides = \"A=\\\"b c\\\" D=\\\"1,2\\\"\"",
            "version = 0.1\n[default.deploy.parameters]\nparameter_overrides = ['A=b c', 'D=\"1,2\"']",
            "[default.global.parameters]\nparameter_overrides = 'A=\"b c\" ParameterKey=D,ParameterValue=1,2'\n[prod.deploy.parameters]\nparameter_overrides = 'A=no'",
        ] {
            check_file("samconfig.toml", toml, &expected);
        }
        check_file(
            "samconfig.yaml",
            "version: 0.1\ndefault: {deploy: {parameters: {parameter_overrides: ['A=b c', 'D=1,2']}}}",
            &expected,
        );
        for json in [
            r#"[{"ParameterKey": "A", "ParameterValue": "b c"}, {"ParameterKey": "D", "ParameterValue": "1,2"}]"#,
            r#"{"Parameters": {"A": "b c", "D": [1, 2]}}"#,
            r#"{"A": "b c", "D": "1,2"}"#,
            r#"["A=\"b c\"", "D=1,2"]"#,
        ] {
            check_file("parameters.json", json, &expected);
        }
        check_file("samconfig.toml", "version = 0.1\n[default.deploy.parameters]\nstack_name = 'x'", &[]);
        for (name, text) in [
            ("samconfig.toml", "version = 0.1\n[prod.deploy.parameters]\nparameter_overrides = 'A=b'"),
            ("samconfig.toml", "a = = b"),
            ("p.json", "{\"A\": {\"B\": 1}}"),
            ("p.json", "[1]"),
            ("p.json", "\"text\""),
        ] {
            assert!(parameters_of_file(Path::new(name), text, CONFIG_ENVIRONMENT).is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_of_a_configuration_is_chosen() {
        let file = Path::new("samconfig.toml");
        let text = "version = 0.1\n[default.deploy.parameters]\nparameter_overrides = 'A=b'\n\
                    [prod.global.parameters]\nparameter_overrides = 'A=c'\n";
        let of = |environment: &str| parameters_of_file(file, text, environment);
        assert_eq!(of("default").unwrap()["A"], "b");
        assert_eq!(of("prod").unwrap()["A"], "c");
        assert_eq!(
            of("stage").unwrap_err().to_string(),
            "it has no [stage.deploy.parameters] (there are: default, prod)"
        );
        let plain = parameters_of_file(Path::new("p.json"), r#"{"A": "d"}"#, "prod");
        assert_eq!(plain.unwrap()["A"], "d", "other files have no environments");
    }
}
