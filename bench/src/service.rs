//! Real servers for the lines that need one: a program starts them (`cargo xtask` does, out of the package registries), and ends
//! them when its input ends.

use std::io::{BufRead, BufReader, Error, Read, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::cpu_of_all;

/// How the servers are had.
pub struct Services {
    /// The program that starts them, which is given a name, and prints an address.
    pub program: Option<PathBuf>,
    /// A PostgreSQL that runs already, `postgres://...`.
    pub postgres: Option<String>,
    /// An OpenSearch that runs already, `opensearch+http://...`.
    pub search: Option<String>,
}

impl Services {
    /// A PostgreSQL.
    ///
    /// # Errors
    /// None is to be had: why.
    pub fn postgres(&self) -> Result<Service> {
        self.had("postgres", self.postgres.as_ref(), "--postgres postgres://...")
    }

    /// An OpenSearch.
    ///
    /// # Errors
    /// None is to be had: why.
    pub fn search(&self) -> Result<Service> {
        let mut service = self.had("opensearch", self.search.as_ref(), "--search opensearch+http://...")?;
        if !service.url.starts_with("opensearch+") {
            service.url.insert_str(0, "opensearch+");
        }
        Ok(service)
    }

    fn had(&self, name: &str, given: Option<&String>, option: &str) -> Result<Service> {
        match (given, &self.program) {
            (Some(url), _) => Ok(Service { url: url.clone(), child: None }),
            (None, Some(program)) => Service::start(program, name),
            (None, None) => Err(Error::other(format!(
                "no server: say {option}, run `cargo xtask bench`, which starts one, or leave it out with --without {name}"
            ))),
        }
    }
}

/// A server; one that was started here ends with this.
pub struct Service {
    /// Its address.
    pub url: String,
    child: Option<Child>,
}

impl Service {
    fn start(program: &Path, name: &str) -> Result<Service> {
        let failed = |why: String| Error::other(format!("{name} cannot be had here: {why}"));
        let mut command = Command::new(program);
        command.args(["service", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("{}: {error}", program.display())))?;
        let mut stderr = child.stderr.take().expect("invariant: it is piped");
        let talk = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdout = child.stdout.take().expect("invariant: it is piped");
        // What installs the server may talk before.
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        if let Some(url) = lines.find(|line| line.contains("://") && !line.contains(' ')) {
            return Ok(Service { url, child: Some(child) });
        }
        let status = child.wait()?;
        let told = talk.join().unwrap_or_default();
        let last = told.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(failed(format!("{status}: {last}")))
    }

    /// Processor time of its processes so far; `None`: it runs where nobody looks.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu(&self) -> Result<Option<Duration>> {
        self.child.as_ref().map(|child| cpu_of_all(child.id())).transpose()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The end of its input ends it.
        drop(child.stdin.take());
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(dir: &Path, script: &str) -> Services {
        let program = dir.join("program");
        // Another process writes it: one that another test starts just then would hold it open, and what is written to cannot be run.
        let mut writer = Command::new("sh");
        writer.args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod +x "$0""#]).arg(&program).arg(script);
        assert!(writer.status().unwrap().success());
        Services { program: Some(program), postgres: None, search: None }
    }

    #[test]
    fn a_server_is_started_asked_for_its_time_and_ends_with_its_input() {
        let scratch = crate::process::Scratch::new(&std::env::temp_dir(), "service").unwrap();
        let ended = scratch.0.join("ended");
        let script = format!("echo a word before; echo http://127.0.0.1:1/$2; read line; touch {}", ended.display());
        let service = services(&scratch.0, &script).search().unwrap();
        assert_eq!(service.url, "opensearch+http://127.0.0.1:1/opensearch");
        assert!(service.cpu().unwrap().is_some());
        assert!(!ended.exists());
        drop(service);
        assert!(ended.exists(), "it was waited for");
    }

    #[test]
    fn why_there_is_no_server_is_told_in_one_line() {
        let scratch = crate::process::Scratch::new(&std::env::temp_dir(), "no-service").unwrap();
        let error =
            services(&scratch.0, "echo a long story >&2; echo no java here >&2; exit 3").postgres().err().unwrap();
        assert_eq!(error.to_string(), "postgres cannot be had here: exit status: 3: no java here");
        let nobody = Services { program: None, postgres: None, search: Some("opensearch+http://h:1".to_owned()) };
        assert!(nobody.postgres().err().unwrap().to_string().contains("--without postgres"));
        assert_eq!(nobody.search().unwrap().url, "opensearch+http://h:1");
    }
}
