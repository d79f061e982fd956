//! The parameters of a template: their values, and the rules that a value must keep.

use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::syntax;

use crate::node::Node;
use crate::text::Text;
use crate::value::Value;
use crate::{Options, TemplateError};

/// A parameter's value: the given one, else the default; `None`: neither, an error only where it is used.
pub(crate) fn value(
    name: &str,
    declared: &Node,
    options: &Options,
    path: &str,
    skipped: &mut Vec<String>,
) -> Result<Option<Value>, TemplateError> {
    let text = match (options.given(name), declared.get("Default")) {
        (Some(given), _) => given.to_owned(),
        (None, Some(Node::Text(text) | Node::Number(text))) => text.clone(),
        (None, Some(Node::Bool(value))) => value.to_string(),
        (None, None | Some(Node::Null)) => return Ok(None),
        (None, Some(other)) => {
            let message = format!("a text is expected, not {}", other.brief());
            return Err(TemplateError::at(format!("{path}.Default"), message));
        }
    };
    let Some(Node::Text(kind)) = declared.get("Type") else {
        return Err(TemplateError::at(path, "there is no Type"));
    };
    // Its text is the name of an SSM parameter, to which the rules do not apply.
    if kind.starts_with("AWS::SSM::Parameter::Value<") {
        return Ok(Some(Value::Text(Text::literal(text))));
    }
    // What is secret is not shown.
    let is_secret = matches!(declared.get("NoEcho"), Some(Node::Bool(true)))
        || matches!(declared.get("NoEcho"), Some(Node::Text(text)) if text.eq_ignore_ascii_case("true"));
    let shown = |element: &str| if is_secret { "the value (NoEcho)".to_owned() } else { format!("{element:?}") };
    let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
    let elements: Vec<&str> = if is_list { text.split(',').map(str::trim).collect() } else { vec![&text] };
    for element in &elements {
        check(element, kind, declared).map_err(|why| TemplateError::at(path, format!("{} {why}", shown(element))))?;
    }
    if let Some(Node::Text(pattern)) = declared.get("AllowedPattern") {
        match elements.iter().find(|element| matches(pattern, element) == Some(false)) {
            Some(element) => {
                let message = format!("{} does not match AllowedPattern {pattern:?}", shown(element));
                return Err(TemplateError::at(path, message));
            }
            None if matches(pattern, "").is_none() => {
                skipped.push(format!("{path}.AllowedPattern: not checked: {pattern:?} cannot be read here"));
            }
            None => {}
        }
    }
    let value = |text: &str| Value::Text(Text::literal(text));
    Ok(Some(match is_list {
        true => Value::List(elements.into_iter().map(value).collect()),
        false => value(&text),
    }))
}

/// The rules of one value, or of one element of a list.
fn check(text: &str, kind: &str, declared: &Node) -> Result<(), String> {
    if let Some(Node::List(allowed)) = declared.get("AllowedValues") {
        let is_allowed = allowed.iter().any(|value| match value {
            Node::Text(value) | Node::Number(value) => value == text,
            Node::Bool(value) => value.to_string() == text,
            _ => false,
        });
        if !is_allowed {
            return Err("is not among AllowedValues".to_owned());
        }
    }
    let bound = |rule: &str| match declared.get(rule) {
        Some(Node::Text(bound) | Node::Number(bound)) => bound.parse::<f64>().ok().map(|value| (value, bound.clone())),
        _ => None,
    };
    let number = if kind == "Number" || kind == "List<Number>" {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        Some(number.ok_or("is no number, and the Type is Number")?)
    } else {
        None
    };
    let chars = text.chars().count() as f64;
    let rules = [("MinValue", number, true), ("MaxValue", number, false)];
    let rules = rules.into_iter().chain([("MinLength", Some(chars), true), ("MaxLength", Some(chars), false)]);
    for (rule, value, at_least) in rules {
        let (Some(value), Some((bound, written))) = (value, bound(rule)) else { continue };
        if if at_least { value < bound } else { value > bound } {
            return Err(format!("breaks {rule} {written}"));
        }
    }
    Ok(())
}

/// Whether all of a text matches a pattern; `None`: the pattern is of a kind that only Java knows.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    let whole = PikeVM::builder().syntax(syntax).build(&format!("^(?:{pattern})$")).ok()?;
    Some(whole.is_match(&mut whole.create_cache(), text))
}
