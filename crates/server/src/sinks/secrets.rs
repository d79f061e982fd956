//! References to secrets in a configuration: `${env:NAME}` and `${file:PATH}` inside any text. What they stand for is put in when a sink
//! is made, and is neither stored nor shown.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Most bytes of a file that holds a secret. Our reason: a certificate chain has some thousands.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// What templates give in clear, by its reference, for as long as the process runs.
static KEPT: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Keeps a value that a template has in clear: the reference that stands for it. Another value has another reference.
pub fn keep(name: &str, value: &str) -> String {
    let digest: String = Sha256::digest(value).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{name}/{digest}");
    let reference = format!("${{pipe:{name}}}");
    KEPT.lock().insert(name, value.to_owned());
    reference
}

/// A reference stands for nothing, or for what cannot be read: with its name, never with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReferenceError(String);

/// Puts secrets in the place of their references. A relative path is meant from `base`.
///
/// # Errors
/// A reference that stands for nothing.
pub fn resolve(value: &mut Value, base: &Path) -> Result<(), ReferenceError> {
    match value {
        Value::String(text) => {
            if let Some(resolved) = resolve_text(text, base)? {
                *text = resolved;
            }
        }
        Value::Array(elements) => elements.iter_mut().try_for_each(|element| resolve(element, base))?,
        Value::Object(members) => members.values_mut().try_for_each(|member| resolve(member, base))?,
        _ => {}
    }
    Ok(())
}

/// The names of the environment's variables that a text refers to.
pub fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${env:").skip(1).filter_map(|behind| behind.split_once('}')).map(|(name, _)| name)
}

/// `None`: there is no reference in it.
fn resolve_text(text: &str, base: &Path) -> Result<Option<String>, ReferenceError> {
    let (mut rest, mut resolved) = (text, None::<String>);
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        let behind = &reference[2..];
        let known = behind.split_once('}').and_then(|(inside, behind)| Some((inside.split_once(':')?, behind)));
        let value = match known {
            Some((("env", name), behind)) => {
                let unknown = |_| ReferenceError(format!("the environment has no variable {name}"));
                Some((std::env::var(name).map_err(unknown)?, behind))
            }
            Some((("pipe", name), behind)) => {
                let kept = KEPT.lock().get(name).cloned();
                let unknown = || ReferenceError(format!("the template does not give the value of {name}"));
                Some((kept.ok_or_else(unknown)?, behind))
            }
            Some((("file", path), behind)) => Some((read_secret(&base.join(path))?, behind)),
            _ => None,
        };
        let out = resolved.get_or_insert_default();
        out.push_str(before);
        match value {
            Some((value, behind)) => {
                out.push_str(&value);
                rest = behind;
            }
            // Somebody else's: a template of a mail, for one.
            None => {
                out.push_str("${");
                rest = behind;
            }
        }
    }
    Ok(resolved.map(|resolved| resolved + rest))
}

fn read_secret(path: &Path) -> Result<String, ReferenceError> {
    let bytes = crate::files::read_at_most(path, SECRET_BYTES_MAX)
        .map_err(|error| ReferenceError(format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|_| ReferenceError(format!("{} is no text", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let mut value = json!({"to": format!("postgres://u:${{file:{}}}@db/x", path.display()), "list": ["${env:PATH}"],
            "body": "${item.id} costs {{ total }}", "n": 3});
        resolve(&mut value, Path::new("/elsewhere")).unwrap();
        assert_eq!(value["to"], "postgres://u:hunter2@db/x");
        let mut near = json!("${file:secret}");
        resolve(&mut near, dir.path()).unwrap();
        assert_eq!(near, "hunter2");
        assert_eq!(value["list"][0], std::env::var("PATH").unwrap());
        assert_eq!((value["body"].as_str(), value["n"].as_u64()), (Some("${item.id} costs {{ total }}"), Some(3)));
        for (text, part) in
            [("${env:TAILRACE_NO_SUCH}", "no variable TAILRACE_NO_SUCH"), ("${file:/no/such}", "cannot read /no/such")]
        {
            let error = resolve(&mut json!([text]), Path::new("")).unwrap_err();
            assert!(error.0.contains(part), "{error}");
        }
    }
}
