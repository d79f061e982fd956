//! The documents of resource policies: checked for what every one needs, kept in the form that AWS gives back (without spaces, members
//! in one order, a list of one as the one, an account as its root's ARN). Nothing enforces them. Pure. Source: docs/spec/dynamodb-api.md 8.6.

use tailrace_core::limits::POLICY_BYTES_MAX;
use tailrace_core::{ApiError, Json};

use super::rules::invalid;

/// The members of a document and of a statement in the order in which they are kept; others come behind them.
const DOCUMENT_ORDER: &[&str] = &["Version", "Id", "Statement"];
const STATEMENT_ORDER: &[&str] =
    &["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// The document as it is kept.
///
/// # Errors
/// It is too large, or no policy.
pub(crate) fn canonical(document: &str) -> Result<String, ApiError> {
    if document.len() > POLICY_BYTES_MAX {
        return Err(invalid(format!("Maximum policy size of {POLICY_BYTES_MAX} bytes exceeded")));
    }
    let faulty = |what: &str| invalid(format!("Invalid policy document: {what}"));
    let members = match Json::parse(document.as_bytes()) {
        Ok(Json::Object(members)) => members,
        Ok(Json::Null) => return Err(faulty("This text appears not to be a policy")),
        _ => return Err(faulty("This policy contains invalid Json")),
    };
    if members.is_empty() {
        return Err(faulty("Syntax error at position (1,3)"));
    }
    let mut out = Vec::with_capacity(members.len());
    let mut has_statement = false;
    for (name, value) in members {
        if name != "Statement" {
            out.push((name, value));
            continue;
        }
        has_statement = true;
        let statements = match value {
            Json::Array(statements) => statements,
            one => vec![one],
        };
        if statements.is_empty() {
            return Err(faulty("Could not parse the policy: Statement is empty!"));
        }
        let statements = statements.into_iter().map(statement).collect::<Result<_, _>>().map_err(|e| faulty(&e))?;
        out.push((name, Json::Array(statements)));
    }
    if !has_statement {
        return Err(faulty("Missing required field Statement"));
    }
    sort(&mut out, DOCUMENT_ORDER);
    let mut text = String::with_capacity(document.len());
    write(&Json::Object(out), &mut text);
    Ok(text)
}

fn sort(members: &mut [(String, Json)], order: &[&str]) {
    members.sort_by_key(|(name, _)| order.iter().position(|known| known == name).unwrap_or(order.len()));
}

/// A statement in its order, with its lists of one written as the one. The error names what it lacks.
fn statement(statement: Json) -> Result<Json, String> {
    let Json::Object(members) = statement else { return Err("This policy contains invalid Json".to_owned()) };
    let has = |name: &str| members.iter().any(|(member, _)| member == name);
    for (name, other) in
        [("Effect", ""), ("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")]
    {
        if !has(name) && !has(other) {
            return Err(format!("Missing required field {name}"));
        }
    }
    let members = members.into_iter().map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("Effect", Json::String(effect)) if effect.eq_ignore_ascii_case("allow") => {
                Json::String("Allow".to_owned())
            }
            ("Effect", Json::String(effect)) if effect.eq_ignore_ascii_case("deny") => Json::String("Deny".to_owned()),
            ("Principal" | "NotPrincipal", value) => without_lists_of_one(with_roots(value)),
            (_, value) => without_lists_of_one(value),
        };
        (name, value)
    });
    let mut members: Vec<(String, Json)> = members.collect();
    sort(&mut members, STATEMENT_ORDER);
    Ok(Json::Object(members))
}

/// A principal whose accounts are named by the ARN of their root, each once.
fn with_roots(principal: Json) -> Json {
    let Json::Object(members) = principal else { return principal };
    let root = |value: Json| match value {
        Json::String(id) if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) => {
            Json::String(format!("arn:aws:iam::{id}:root"))
        }
        other => other,
    };
    let members = members.into_iter().map(|(name, value)| match value {
        Json::Array(elements) if name == "AWS" => {
            let mut roots: Vec<Json> = Vec::with_capacity(elements.len());
            for element in elements.into_iter().map(root) {
                if !roots.contains(&element) {
                    roots.push(element);
                }
            }
            (name, Json::Array(roots))
        }
        one if name == "AWS" => (name, root(one)),
        other => (name, other),
    });
    Json::Object(members.collect())
}

fn without_lists_of_one(value: Json) -> Json {
    match value {
        Json::Array(mut elements) if elements.len() == 1 => elements.remove(0),
        Json::Object(members) => {
            Json::Object(members.into_iter().map(|(name, value)| (name, without_lists_of_one(value))).collect())
        }
        other => other,
    }
}

fn write(value: &Json, out: &mut String) {
    let separated = |out: &mut String, at: usize| {
        if at > 0 {
            out.push(',');
        }
    };
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Integer(literal) | Json::Decimal(literal) => out.push_str(literal),
        Json::String(text) => write_text(text, out),
        Json::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                separated(out, at);
                write(element, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                separated(out, at);
                write_text(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#" {"Version": "2012-10-17", "Statement": {"Effect": "allow", "Principal": {"AWS": ["1"]},
        "Action": ["dynamodb:GetItem"], "Resource": ["a", "b"]}} "#;

    #[test]
    fn documents_are_kept_without_what_says_nothing() {
        assert_eq!(
            canonical(VALID).unwrap(),
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"1"},"Action":"dynamodb:GetItem","Resource":["a","b"]}]}"#
        );
        assert_eq!(canonical(&canonical(VALID).unwrap()), canonical(VALID), "it stays as it is");
    }

    #[test]
    fn documents_that_say_the_same_are_one() {
        let kept = r#"{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":["a","b"],"Resource":"*","Condition":{"Bool":{"x":"true"}}}]}"#;
        for same in [
            r#"{"Statement":[{"Condition":{"Bool":{"x":["true"]}},"Resource":"*","Action":["a","b"],
                "Principal":{"AWS":"000000000000"},"Effect":"Allow","Sid":"s"}],"Version":"2012-10-17"}"#,
            r#"{"Version":"2012-10-17","Statement":{"Sid":"s","Effect":"Allow","Action":["a","b"],"Resource":["*"],
                "Principal":{"AWS":["000000000000","arn:aws:iam::000000000000:root"]},"Condition":{"Bool":{"x":"true"}}}}"#,
        ] {
            assert_eq!(canonical(same).unwrap(), kept);
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_fault() {
        let long = format!(r#"{{"Statement":"{}"}}"#, "x".repeat(POLICY_BYTES_MAX));
        for (document, fault) in [
            ("", "Invalid policy document: This policy contains invalid Json"),
            ("[]", "Invalid policy document: This policy contains invalid Json"),
            ("null", "Invalid policy document: This text appears not to be a policy"),
            ("{}", "Invalid policy document: Syntax error at position (1,3)"),
            (r#"{"Statement":[]}"#, "Invalid policy document: Could not parse the policy: Statement is empty!"),
            (r#"{"Statement":[{}]}"#, "Invalid policy document: Missing required field Effect"),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"}]}"#,
                "Invalid policy document: Missing required field Resource",
            ),
            (long.as_str(), "Maximum policy size of 20480 bytes exceeded"),
        ] {
            let error = canonical(document).unwrap_err().to_string();
            assert_eq!(error, format!("ValidationException: One or more parameter values were invalid: {fault}"));
        }
    }
}
