//! What the layers of a function add to its environment. Source: docs/spec/lambda-runtime.md 6.
//!
//! On AWS layers are laid over each other below `/opt`. Here each stays a directory of its own, since nothing but root
//! could mount one there: the variables name the same places in each, the later layer first, as the one that would have
//! covered the others. A function that opens a path below `/opt` by itself does not find it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

use tailrace_core::function::FunctionConfig;

/// Adds them to the command's variables: as on AWS, behind what is the function's own, but in front of the packages of the
/// runtime where Node.js looks last.
pub(crate) fn add(config: &FunctionConfig, command: &mut Command) {
    if config.layers.is_empty() {
        return;
    }
    let site_packages = format!("python/lib/{}/site-packages", config.runtime);
    let node = config.runtime.trim_end_matches(".x").trim_start_matches("nodejs");
    let node_modules = format!("nodejs/node{node}/node_modules");
    for (variable, places) in [
        // Our client puts it on the path once it has imported what it needs itself.
        ("TAILRACE_PYTHON_PATH", [&*site_packages, "python"]),
        ("NODE_PATH", [&*node_modules, "nodejs/node_modules"]),
        ("PATH", ["bin", ""]),
        ("LD_LIBRARY_PATH", ["lib", ""]),
    ] {
        let there = there(config, &places);
        if there.is_empty() {
            continue;
        }
        let present = variable_of(command, variable);
        let present = std::env::split_paths(&present).filter(|path| !path.as_os_str().is_empty());
        let (first, last): (Vec<_>, Vec<_>) = match variable {
            "NODE_PATH" => (there, present.collect()),
            _ => (present.collect(), there),
        };
        let all: Vec<OsString> = first.into_iter().chain(last).map(PathBuf::into_os_string).collect();
        command.env(variable, all.join(OsStr::new(":")));
    }
}

/// The directories that the layers have at these places. A layer with none of the places of any runtime is one that `sam
/// build` would have put there: its files stand for those of its one runtime.
fn there(config: &FunctionConfig, places: &[&str]) -> Vec<PathBuf> {
    const ALL: [&str; 6] = ["python", "nodejs", "java", "bin", "lib", "extensions"];
    let places = places.iter().filter(|place| !place.is_empty());
    let mut there = Vec::new();
    for layer in config.layers.iter().rev() {
        if ALL.iter().any(|place| layer.join(place).is_dir()) {
            there.extend(places.clone().map(|place| layer.join(place)).filter(|path| path.is_dir()));
        } else if places.clone().any(|place| *place == "python") {
            there.push(layer.clone());
        } else if places.clone().any(|place| *place == "nodejs/node_modules") {
            there.extend([layer.join("node_modules")].into_iter().filter(|path| path.is_dir()));
        }
    }
    there
}

fn variable_of(command: &Command, name: &str) -> OsString {
    let mut set = command.get_envs().filter(|(key, _)| *key == OsStr::new(name));
    set.find_map(|(_, value)| value.map(OsStr::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tailrace_core::FunctionArn;

    use super::*;

    #[test]
    fn each_place_of_a_layer_comes_behind_the_functions_own_and_the_later_layer_first() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "raw/node_modules",
            "a/python",
            "a/bin",
            "b/python/lib/python3.12/site-packages",
            "b/lib",
            "b/nodejs/node_modules",
        ] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        let check = |runtime: &str, variable: &str, own: &str, expected: &[&str]| {
            let mut config = FunctionConfig::new("f", FunctionArn::new("arn:f"), runtime, "app.handler", "/code");
            config.layers = vec![at("raw"), at("a"), at("b")];
            let mut command = Command::new("/bin/true");
            command.env(variable, own);
            add(&config, &mut command);
            let expected: Vec<PathBuf> = expected.iter().map(|path| at(path)).collect();
            let seen: Vec<PathBuf> = std::env::split_paths(&variable_of(&command, variable)).collect();
            assert_eq!(seen, expected, "{runtime} {variable}");
        };
        check(
            "python3.12",
            "TAILRACE_PYTHON_PATH",
            "/own",
            &["/own", "b/python/lib/python3.12/site-packages", "b/python", "a/python", "raw"],
        );
        check("python3.13", "TAILRACE_PYTHON_PATH", "", &["b/python", "a/python", "raw"]);
        check("nodejs20.x", "NODE_PATH", "/last", &["b/nodejs/node_modules", "raw/node_modules", "/last"]);
        check("provided.al2023", "PATH", "/usr/bin", &["/usr/bin", "a/bin"]);
        check("provided.al2023", "LD_LIBRARY_PATH", "/code/lib", &["/code/lib", "b/lib"]);
    }
}
