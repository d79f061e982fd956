//! Makes directories of wherever the code and the layers of a plan's functions come from, before anything is changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailrace_core::code::Package;
use tailrace_core::limits::TEMPLATE_BYTES_MAX;
use tailrace_lambda::{PackageError, Packages};

use crate::apply::ApplyError;
use crate::files;
use crate::template::{FunctionPlan, Plan, not_registered};

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
