//! What to do about a package that a Python function imports and has not got: its list of packages lies there, and nobody has
//! installed what is on it. (The client of Node.js says so itself, where the error arises.)

use std::path::Path;

use serde::Deserialize;
use tailrace_core::function::FunctionConfig;

/// The list of packages that a function needs.
const REQUIREMENTS: &str = "requirements.txt";

/// The document that a runtime posts of an error; the members that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Error {
    #[serde(default)]
    error_message: String,
}

/// A line for the user, if the error that a runtime posted is of a module that cannot be found. It looks at the disk: two
/// files, which the import has just looked for.
pub(crate) fn hint(config: &FunctionConfig, document: &[u8]) -> Option<String> {
    let error: Error = serde_json::from_slice(document).ok()?;
    let (_, named) = error.error_message.split_once("No module named '")?;
    let module = named.split_once('\'')?.0;
    let package = module.split('.').next().unwrap_or(module);
    // The handler's own module is no package.
    if config.handler.split(['.', '/']).next() == Some(package) || config.code_dir.join(package).exists() {
        return None;
    }
    let dir = config.code_dir.as_path();
    let listed = [Some(dir), dir.parent()].into_iter().flatten().map(|dir| dir.join(REQUIREMENTS));
    let install = match listed.into_iter().find(|list| list.is_file()) {
        Some(list) => format!("-r {}", quoted(&list)),
        None => package.to_owned(),
    };
    Some(format!(
        "the module {module} is missing: run `pip install {install} -t {}`, or `sam build` where SAM builds the function",
        quoted(dir)
    ))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use tailrace_core::FunctionArn;

    use super::*;

    #[test]
    fn a_missing_module_names_the_list_and_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let code = dir.path().join("my src");
        std::fs::create_dir_all(code.join("mine")).unwrap();
        let config = FunctionConfig::new("f", FunctionArn::new("arn:f"), "python3.13", "app.handler", &code);
        let hint_of = |message: &str| {
            let document = serde_json::json!({ "errorMessage": message, "errorType": "Runtime.ImportModuleError" });
            hint(&config, document.to_string().as_bytes())
        };
        let missing = "Unable to import module 'app': No module named 'yaml.tokens'";
        let then = format!("-t '{}'`, or `sam build` where SAM builds the function", code.display());
        assert_eq!(hint_of(missing), Some(format!("the module yaml.tokens is missing: run `pip install yaml {then}")));
        std::fs::write(dir.path().join(REQUIREMENTS), "pyyaml").unwrap();
        let list = dir.path().join(REQUIREMENTS);
        let expected = format!("the module yaml.tokens is missing: run `pip install -r {} {then}", list.display());
        assert_eq!(hint_of(missing), Some(expected));
        for other in ["No module named 'app'", "No module named 'mine.part'", "invalid syntax (app.py, line 1)"] {
            assert_eq!(hint_of(&format!("Unable to import module 'app': {other}")), None, "{other}");
        }
    }
}
