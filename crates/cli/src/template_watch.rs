//! Tells when the template that a server was started with is edited: it is applied at a start, and at no other time.
//!
//! A file that is only touched, or is gone or empty for a moment (editors save so), is no edit: one counts when it is still
//! there at the next look.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tailrace_core::limits::TEMPLATE_LOOK;

use crate::say::say;

/// A template as it was at the last look.
pub struct TemplateWatch {
    path: PathBuf,
    text: Vec<u8>,
    stamp: Option<Stamp>,
    /// Another stamp than that, at the last look.
    unsettled: Option<Stamp>,
}

/// When it was written, and its length.
type Stamp = (SystemTime, u64);

impl TemplateWatch {
    /// From now on; call it before the template is applied, so that no edit is missed.
    pub async fn start(path: &Path) -> TemplateWatch {
        let stamp = stamp(path).await;
        let text = tokio::fs::read(path).await.unwrap_or_default();
        TemplateWatch { path: path.to_owned(), text, stamp, unsettled: None }
    }

    /// Tells of each edit, for ever.
    pub async fn run(mut self) -> Infallible {
        let mut looks = tokio::time::interval(TEMPLATE_LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.was_edited().await {
                say(format_args!("{} has changed; the next start applies it", self.path.display()));
            }
        }
    }

    async fn was_edited(&mut self) -> bool {
        let stamp = stamp(&self.path).await;
        let is_new = stamp.is_some() && stamp != self.stamp;
        if !is_new || stamp != self.unsettled {
            self.unsettled = stamp.filter(|_| is_new);
            return false;
        }
        let Ok(text) = tokio::fs::read(&self.path).await else { return false };
        self.stamp = stamp;
        let is_edited = text != self.text;
        self.text = text;
        is_edited
    }
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
