//! Makes directories of wherever the code and the layers of a plan's functions come from, before anything is changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailrace_core::code::Package;
use tailrace_core::limits::{FUNCTION_CODE_ENTRIES_MAX, TEMPLATE_BYTES_MAX};
use tailrace_lambda::{PackageError, Packages};

use crate::apply::ApplyError;
use crate::files;
use crate::template::{FunctionPlan, Plan, did_you_mean, not_registered};

/// What the functions of a plan run from, by their names.
pub type Made = BTreeMap<String, Package>;

/// Makes the packages of a plan's functions. One that has none and that no mapping uses is told, and left out of the plan.
///
/// # Errors
/// What cannot be made, with the place in the template.
pub async fn make(mut plan: Plan, packages: &Arc<Packages>, tell: impl Fn(String)) -> Result<(Plan, Made), ApplyError> {
    let packages = Arc::clone(packages);
    let made = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        let made = make_all(&mut plan, &packages, &mut lines);
        (plan, made, lines)
    });
    let (plan, made, lines) = made.await.map_err(|error| ApplyError::Template(error.to_string()))?;
    lines.into_iter().for_each(tell);
    Ok((plan, made?))
}

fn make_all(plan: &mut Plan, packages: &Packages, lines: &mut Vec<String>) -> Result<Made, ApplyError> {
    let mut made = Made::new();
    let mut failed = Vec::new();
    for function in &plan.functions {
        match of_function(function, plan, packages) {
            Ok(package) => {
                lines.extend(missing_handler(function, &package));
                lines.extend(missing_node_packages(function, &package));
                made.insert(function.name.clone(), package);
            }
            Err(why) if plan.is_mapped(&function.name) => return Err(ApplyError::Template(why)),
            Err(why) => {
                lines.push(not_registered(why));
                failed.push(function.name.clone());
            }
        }
    }
    plan.functions.retain(|function| !failed.contains(&function.name));
    Ok(made)
}

/// Its package, or what stands in the way, with the place in the template.
fn of_function(function: &FunctionPlan, plan: &Plan, packages: &Packages) -> Result<Package, String> {
    let named = |path: &str, why: PackageError| format!("{path}: function {}: {why}", function.name);
    let code_dir = packages.directory(&function.code).map_err(|why| named(&function.code_path, why))?;
    let mut layers = Vec::with_capacity(function.layers.len());
    for used in &function.layers {
        let layer = plan.layers.iter().find(|layer| layer.arn == used.arn);
        let layer = layer.expect("invariant: a plan names the layers that it has");
        layers.push(packages.directory(&layer.content).map_err(|why| named(&layer.content_path, why))?);
    }
    Ok(Package { code_dir, layers })
}

/// Endings of the files in which a handler is, in Python and in Node.js.
const PYTHON: &[&str] = &["py", "so"];
const NODE: &[&str] = &["js", "mjs", "cjs", "ts", "mts", "cts"];

/// That there is no file in which the handler could be, in one line; known without running it.
fn missing_handler(function: &FunctionPlan, package: &Package) -> Option<String> {
    let handler = function.handler.as_str();
    // Node.js takes what is behind the last slash apart at its first dot, and Python the whole at its last one.
    let (endings, module, function_name) = if function.runtime.starts_with("python") {
        let (module, name) = handler.rsplit_once('.')?;
        (PYTHON, module.replace('.', "/"), name)
    } else if function.runtime.starts_with("nodejs") {
        let last = handler.rfind('/').map_or(0, |slash| slash + 1);
        let (module, name) = handler[last..].split_once('.')?;
        (NODE, format!("{}{module}", &handler[..last]), name)
    } else {
        return None;
    };
    // One in the image of AWS is found, or not, when it is asked for.
    if module.starts_with('/') {
        return None;
    }
    // As the functions' own paths have them.
    let site_packages = format!("python/lib/{}/site-packages", function.runtime);
    let below = ["", "python", &site_packages, "nodejs", "nodejs/node_modules"];
    let in_layers = package.layers.iter().flat_map(|layer| below.map(|below| layer.join(below)));
    let is_in = |place: PathBuf| {
        let base = place.join(&module);
        base.exists() || endings.iter().any(|ending| place.join(format!("{module}.{ending}")).is_file())
    };
    if std::iter::once(package.code_dir.clone()).chain(in_layers).any(is_in) {
        return None;
    }
    let (folder, file) = module.rsplit_once('/').unwrap_or(("", &module));
    let dir = if folder.is_empty() { package.code_dir.clone() } else { package.code_dir.join(folder) };
    let mut there = modules_in(&dir, endings);
    there.sort();
    let called = |module: &str| match folder {
        "" => format!("{module}.{function_name}"),
        _ if endings == PYTHON => format!("{}.{module}.{function_name}", folder.replace('/', ".")),
        _ => format!("{folder}/{module}.{function_name}"),
    };
    let hint = match (there.as_slice(), did_you_mean(file, there.iter().map(String::as_str))) {
        ([only], _) => format!("; did you mean {}?", called(only)),
        (_, near) => near,
    };
    let (name, dir, ending) = (&function.name, dir.display(), endings[0]);
    Some(format!("function {name}: its Handler {handler} asks for {file}.{ending}, which is not in {dir}{hint}"))
}

/// The names of the modules in a directory.
fn modules_in(dir: &Path, endings: &[&str]) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(FUNCTION_CODE_ENTRIES_MAX);
    let paths = entries.map(|entry| entry.path());
    let is_module = |path: &PathBuf| {
        path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
    };
    let modules = paths.filter(is_module).filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    modules.filter(|module| !module.starts_with("__")).collect()
}

/// What a function would miss of what its `package.json` asks for, in one line; known without running it.
fn missing_node_packages(function: &FunctionPlan, package: &Package) -> Option<String> {
    if !function.runtime.starts_with("nodejs") {
        return None;
    }
    let text = files::read_regular(&package.code_dir.join("package.json"), TEMPLATE_BYTES_MAX).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let dependencies = manifest.get("dependencies")?.as_object()?;
    let in_layers = package.layers.iter().map(|layer| layer.join("nodejs/node_modules"));
    let above = package.code_dir.ancestors().map(|dir| dir.join("node_modules"));
    let places: Vec<PathBuf> = in_layers.chain(above).filter(|place| place.is_dir()).collect();
    // The runtimes of AWS have its SDK; whether this machine's has it is found when it is asked for.
    let is_sdk = |name: &str| name == "aws-sdk" || name.starts_with("@aws-sdk/") || name.starts_with("@smithy/");
    let is_there = |name: &str| places.iter().any(|place| place.join(name).exists());
    let missing: Vec<&str> =
        dependencies.keys().map(String::as_str).filter(|name| !is_sdk(name) && !is_there(name)).collect();
    let shown = missing.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = if missing.len() > 3 { ", ..." } else { "" };
    let command = install_command(&package.code_dir);
    (!missing.is_empty()).then(|| {
        let dir = package.code_dir.display();
        format!("function {}: package.json asks for {shown}{more}, and node_modules has not got it: run `{command}` in {dir}", function.name)
    })
}

fn install_command(dir: &Path) -> &'static str {
    let locks = [("package-lock.json", "npm ci"), ("yarn.lock", "yarn install"), ("pnpm-lock.yaml", "pnpm install")];
    locks.into_iter().find(|(lock, _)| dir.join(lock).exists()).map_or("npm install", |(_, command)| command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Options, Templates, read};

    fn told(handler: &str, runtime: &str, files: &[&str]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("code")).unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let text = format!(
            r#"{{"Resources": {{"F": {{"Type": "AWS::Serverless::Function",
                "Properties": {{"Handler": "{handler}", "Runtime": "{runtime}", "CodeUri": "code"}}}}}}}}"#
        );
        let template = dir.path().join("template.json");
        std::fs::write(&template, text).unwrap();
        let plan = read(&Templates::one(template), &Options::default()).unwrap();
        let package = Package { code_dir: dir.path().join("code"), layers: vec![dir.path().join("layer")] };
        let line = missing_handler(&plan.functions[0], &package)?;
        Some(line.replace(&dir.path().display().to_string(), ""))
    }

    #[test]
    fn a_handler_in_no_file_is_told_at_start() {
        for (handler, runtime, files, expected) in [
            ("app.handler", "python3.12", &["code/app.py"][..], None),
            ("src.jobs.app.handler", "python3.12", &["code/src/jobs/app.py"], None),
            ("src/jobs/app.handler", "python3.12", &["code/src/jobs/app.py"], None),
            ("jobs.handler", "python3.12", &["code/jobs/__init__.py"], None),
            ("shared.handler", "python3.12", &["layer/python/shared.py"], None),
            ("shared.handler", "python3.12", &["layer/python/lib/python3.12/site-packages/shared.py"], None),
            (
                "shared.handler",
                "python3.12",
                &["layer/python/lib/python3.11/site-packages/shared.py"],
                Some("its Handler shared.handler asks for shared.py, which is not in /code"),
            ),
            ("src/app.handler", "nodejs20.x", &["code/src/app.mjs"], None),
            ("app.jobs.handler", "nodejs20.x", &["code/app.js"], None),
            ("node_modules/x/index.handler", "nodejs20.x", &["layer/nodejs/node_modules/x/index.js"], None),
            ("/opt/nodejs/x.handler", "nodejs20.x", &[], None),
            ("bootstrap", "provided.al2023", &[], None),
            (
                "app.handler",
                "python3.12",
                &["code/index.py"],
                Some("its Handler app.handler asks for app.py, which is not in /code; did you mean index.handler?"),
            ),
            (
                "src.ap.run",
                "python3.12",
                &["code/src/app.py", "code/src/__init__.py"],
                Some("its Handler src.ap.run asks for ap.py, which is not in /code/src; did you mean src.app.run?"),
            ),
            (
                "src/indx.handler",
                "nodejs20.x",
                &["code/src/index.ts", "code/src/other.ts"],
                Some("its Handler src/indx.handler asks for indx.js, which is not in /code/src; did you mean index?"),
            ),
            (
                "handler.main",
                "python3.12",
                &["code/one.py", "code/two.py"],
                Some("its Handler handler.main asks for handler.py, which is not in /code"),
            ),
        ] {
            let expected = expected.map(|line| format!("function F: {line}"));
            assert_eq!(told(handler, runtime, files), expected, "{handler} {files:?}");
        }
    }
}
