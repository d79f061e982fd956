//! `tailrace init`: a first project that starts as it is.
//!
//! It overwrites nothing: if one of its files is there, none is written.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tailrace_server::Code;

use crate::say::say;
use crate::{Failure, Outcome};

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where; it is made
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// With a handler in Python
    #[arg(long, conflicts_with = "node")]
    pub python: bool,
    /// With a handler in JavaScript
    #[arg(long)]
    pub node: bool,
}

/// Runs the command.
pub fn run(args: &InitArgs) -> Outcome {
    let dir = args.dir.as_path();
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Code::Setting, format_args!("cannot write {}: {error}", path.display()))
    };
    let files = files(args.node);
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).symlink_metadata().is_ok()) {
        let path = dir.join(name);
        return Err(Failure::new(
            Code::Setting,
            format_args!("{} is there already, and nothing was written: choose another directory", path.display()),
        ));
    }
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for (name, text) in &files {
        let path = dir.join(name);
        let file = std::fs::File::options().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, error))?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    say(format_args!("{} in {}; start it with: tailrace up {}", names.join(", "), dir.display(), dir.display()));
    Ok(ExitCode::SUCCESS)
}

fn files(node: bool) -> [(&'static str, String); 5] {
    let (runtime, name, handler) = match node {
        true => ("nodejs22.x", "app.mjs", include_str!("app.mjs")),
        false => ("python3.13", "app.py", include_str!("app.py")),
    };
    [
        ("template.yaml", include_str!("template.yaml").replace("RUNTIME", runtime)),
        (name, handler.to_owned()),
        ("writes.ndjson", include_str!("writes.ndjson").to_owned()),
        ("README.md", include_str!("readme.md").replace("HANDLER", name)),
        (".gitignore", ".tailrace/\n".to_owned()),
    ]
}
