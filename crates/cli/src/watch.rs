//! Watches the files that a running `up` was started from: when one was edited, the templates are applied again, or the lines
//! that the writes gained are played. What `tailrace.yaml` gained is told, since it is read at a start alone. (The code of functions that is used in place is watched where functions run.)
//!
//! A file that is only touched, or is gone or empty for a moment (editors save so), is no edit: one counts when it is still
//! the same at the next look.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tailrace_core::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_LOOK};
use tailrace_server::template::Templates;
use tailrace_server::{Server, files, sinks};

use crate::play;
use crate::say::{complain, say};

/// The files as they were at the last look.
pub struct Watch {
    templates: Templates,
    writes: PathBuf,
    /// `tailrace.yaml`, if there is one.
    config: Option<PathBuf>,
    files: BTreeMap<PathBuf, Seen>,
}

/// A file at the last look.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// Another stamp than that, at the last look.
    unsettled: Option<Stamp>,
    /// Of its content; `None`: it is too large to be read for that, and its stamp alone counts.
    digest: Option<[u8; 32]>,
}

/// When it was written, and its length.
type Stamp = (SystemTime, u64);

impl Watch {
    /// From now on; call it before the template is applied, and `config` read, so that no edit is missed.
    pub async fn start(templates: &Templates, writes: &Path, config: Option<PathBuf>) -> Watch {
        let (templates, writes) = (templates.clone(), writes.to_owned());
        let mut watch = Watch { templates, writes, config, files: BTreeMap::new() };
        watch.follow(Vec::new()).await;
        watch
    }

    /// Acts on each edit, for ever. `plays`: on new lines of the writes, too.
    pub async fn run(mut self, server: &Server, plays: bool) -> Infallible {
        let mut looks = tokio::time::interval(TEMPLATE_LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.follow(server.sources().await).await;
        loop {
            looks.tick().await;
            let mut edited = self.edited().await;
            let writes_edited = edited.contains(&self.writes);
            if let Some(config) = self.config.as_ref().filter(|config| edited.contains(config)) {
                tell_of_config(config).await;
            }
            edited.retain(|path| *path != self.writes && Some(path) != self.config.as_ref());
            if let Some(first) = edited.first() {
                self.apply(first, server).await;
                self.follow(server.sources().await).await;
            }
            if writes_edited
                && plays
                && let Err(failure) = play::play(&self.writes, &Arc::clone(server.db())).await
            {
                complain(failure);
            }
        }
    }

    async fn apply(&self, edited: &Path, server: &Server) {
        match server.reload(&self.templates).await {
            Ok(reloaded) => {
                let changes = match reloaded.changes.is_empty() {
                    true => "nothing in it is new".to_owned(),
                    false => reloaded.changes.join(", "),
                };
                say(format_args!("{} has changed and is applied: {changes}", edited.display()));
                reloaded.lines.iter().for_each(|line| say(format_args!("template: {line}")));
            }
            Err(error) => {
                complain(format_args!(
                    "{} has changed and is not applied: {error}; what runs goes on as it was",
                    edited.display()
                ));
            }
        }
    }

    /// Watches these files, beside the templates, the writes and the configuration.
    async fn follow(&mut self, sources: Vec<PathBuf>) {
        let mut former = std::mem::take(&mut self.files);
        let own: Vec<PathBuf> = self.templates.files().map(Path::to_owned).collect();
        for path in sources.into_iter().chain(own).chain([self.writes.clone()]).chain(self.config.clone()) {
            let seen = match former.remove(&path) {
                Some(seen) => seen,
                None => Seen { stamp: stamp(&path).await, unsettled: None, digest: digest(&path).await },
            };
            self.files.insert(path, seen);
        }
    }

    /// The files that were edited.
    async fn edited(&mut self) -> Vec<PathBuf> {
        let mut edited = Vec::new();
        for (path, seen) in &mut self.files {
            if seen.was_edited(path).await {
                edited.push(path.clone());
            }
        }
        edited
    }
}

impl Seen {
    async fn was_edited(&mut self, path: &Path) -> bool {
        let stamp = stamp(path).await;
        let is_new = stamp.is_some() && stamp != self.stamp;
        if !is_new || stamp != self.unsettled {
            self.unsettled = stamp.filter(|_| is_new);
            return false;
        }
        self.stamp = stamp;
        let digest = digest(path).await;
        let is_same = digest.is_some() && digest == self.digest;
        self.digest = digest;
        !is_same
    }
}

/// Says what an edit of `tailrace.yaml` comes to.
async fn tell_of_config(path: &Path) {
    let (own, shown) = (path.to_owned(), path.display());
    match tokio::task::spawn_blocking(move || sinks::read(&own)).await {
        Ok(Err(error)) => {
            return complain(format_args!("{shown} has changed, and no start would take it: {error}"));
        }
        Ok(Ok(read)) => read.doubts.iter().for_each(|line| say(format_args!("{shown}: {line}"))),
        Err(_) => {}
    }
    say(format_args!("{shown} has changed: the next start reads it; what runs goes on as it was"));
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn digest(path: &Path) -> Option<[u8; 32]> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read_regular(&path, TEMPLATE_BYTES_MAX));
    Some(Sha256::digest(read.await.ok()?.ok()?).into())
}
