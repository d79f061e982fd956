//! What to do about a package that a Python function imports and has not got: its list of packages lies there, and nobody has
//! installed what is on it. (The client of Node.js says so itself, where the error arises.)

use std::path::Path;

use serde::Deserialize;
use tailrace_core::function::FunctionConfig;

/// The list of packages that a function needs.
const REQUIREMENTS: &str = "requirements.txt";

/// Below the data directory: where archives and the code of templates are unpacked.
const UNPACKED: &str = "functions/packages";

/// What the packages of well-known modules are called where it is not as the modules.
const DISTRIBUTIONS: [(&str, &str); 11] = [
    ("Crypto", "pycryptodome"),
    ("PIL", "Pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("dotenv", "python-dotenv"),
    ("jwt", "PyJWT"),
    ("psycopg2", "psycopg2-binary"),
    ("sklearn", "scikit-learn"),
    ("yaml", "PyYAML"),
];

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
    if let Some(own) = own_module(config, package) {
        return Some(format!("the module {module} is missing: {own}"));
    }
    if dir.parent().is_some_and(|packages| packages.ends_with(UNPACKED)) {
        return Some(format!(
            "the module {module} is missing: it must be in the archive; code that is written in a template brings no packages, \
             and wants a CodeUri for them"
        ));
    }
    let listed = [Some(dir), dir.parent()].into_iter().flatten().map(|dir| dir.join(REQUIREMENTS));
    let install = match listed.into_iter().find(|list| list.is_file()) {
        Some(list) => format!("-r {}", quoted(&list)),
        None => DISTRIBUTIONS.iter().find(|(name, _)| *name == package).map_or(package, |(_, of)| of).to_owned(),
    };
    Some(format!(
        "the module {module} is missing: run `pip install {install} -t {}`, or `sam build` where SAM builds the function",
        quoted(dir)
    ))
}

/// What to say of a module that is the user's own, and lies where an import does not look for it.
fn own_module(config: &FunctionConfig, module: &str) -> Option<String> {
    let dir = config.code_dir.as_path();
    let is_in = |folder: &Path| folder.join(module).is_dir() || folder.join(format!("{module}.py")).is_file();
    let folder = Path::new(&config.handler).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| is_in(&dir.join(folder))) {
        let from = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join(".");
        return Some(format!(
            "it lies in {}, which is no place of modules: `from {from} import {module}`, or make that folder the CodeUri",
            quoted(&dir.join(folder))
        ));
    }
    if dir.file_name().is_some_and(|name| name == module) {
        return Some(format!("it is the code's own folder, {}: import what is in it by its own name", quoted(dir)));
    }
    let beside = dir.parent().filter(|parent| is_in(parent))?;
    Some(format!(
        "it lies in {}, outside of the code, which is {}: put it into the CodeUri",
        quoted(beside),
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
        assert_eq!(
            hint_of(missing),
            Some(format!("the module yaml.tokens is missing: run `pip install PyYAML {then}"))
        );
        std::fs::write(dir.path().join(REQUIREMENTS), "pyyaml").unwrap();
        let list = dir.path().join(REQUIREMENTS);
        let expected = format!("the module yaml.tokens is missing: run `pip install -r {} {then}", list.display());
        assert_eq!(hint_of(missing), Some(expected));
        for other in ["No module named 'app'", "No module named 'mine.part'", "invalid syntax (app.py, line 1)"] {
            assert_eq!(hint_of(&format!("Unable to import module 'app': {other}")), None, "{other}");
        }
    }

    #[test]
    fn a_module_of_the_users_own_is_not_to_be_installed() {
        let dir = tempfile::tempdir().unwrap();
        let code = dir.path().join("src");
        for folder in ["src/api", "shared"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(code.join("api/util.py"), "").unwrap();
        let unpacked = dir.path().join("data/functions/packages/abc");
        for (handler, code, module, expected) in [
            ("api/app.handler", &code, "util", "`from api import util`"),
            ("app.handler", &code, "src.util", "it is the code's own folder"),
            ("app.handler", &code, "shared.part", "outside of the code"),
            ("index.handler", &unpacked, "requests", "wants a CodeUri"),
        ] {
            let config = FunctionConfig::new("f", FunctionArn::new("arn:f"), "python3.13", handler, code);
            let text = format!("Unable to import module 'app': No module named '{module}'");
            let hint = hint(&config, serde_json::json!({ "errorMessage": text }).to_string().as_bytes()).unwrap();
            assert!(hint.contains(expected) && !hint.contains("pip install"), "{module}: {hint}");
        }
    }
}
