//! What is told of a delivery stream while it works.

use std::sync::Arc;

use parking_lot::Mutex;
use tailrace_delivery::{DeliveryEvent, Observer};

use crate::Notice;

/// Tells what happens on, each error once.
pub struct Events {
    notices: Arc<dyn Fn(Notice) + Send + Sync>,
    stream: String,
    /// The error that was told last, until a flush is well again.
    told: Mutex<Option<String>>,
}

impl Events {
    /// Of the stream of this name.
    pub fn new(notices: Arc<dyn Fn(Notice) + Send + Sync>, stream: String) -> Events {
        Events { notices, stream, told: Mutex::default() }
    }

    /// The error that holds up what is under way.
    pub fn error(&self) -> Option<String> {
        self.told.lock().clone()
    }

    /// Records are tried again.
    pub fn failing(&self, records: usize, error: &str) {
        let mut told = self.told.lock();
        if told.as_deref() != Some(error) {
            *told = Some(error.to_owned());
            self.tell(format!("{records} records are not delivered yet, and are tried again: {error}"));
        }
    }

    /// Records are not tried any more.
    pub fn given_up(&self, records: usize, error: &str) {
        self.told.lock().take();
        self.tell(format!("{records} records could not be delivered, and go to the errors of its bucket: {error}"));
    }

    /// What was told is another run's.
    pub fn forget(&self) {
        self.told.lock().take();
    }

    fn tell(&self, text: String) {
        (self.notices)(Notice { stream: self.stream.clone(), text });
    }
}

impl Observer for Events {
    fn on_event(&self, event: DeliveryEvent) {
        let text = match event {
            DeliveryEvent::Batch { records, error: Some(error), .. } => return self.failing(records, &error),
            DeliveryEvent::Batch { error: None, .. } => match self.told.lock().take() {
                Some(_) => "records are delivered again".to_owned(),
                None => return,
            },
            DeliveryEvent::Parked { records, error, .. } => format!("{records} records are set aside: {error}"),
            DeliveryEvent::Trimmed { .. } => {
                "records may be lost: they were trimmed before they were delivered".to_owned()
            }
            DeliveryEvent::Lost { .. } => "records are lost: their piece of the log was set aside".to_owned(),
            DeliveryEvent::Damaged { error, .. } => format!("a damaged record holds it up: {error}"),
            DeliveryEvent::TakenOver { .. } => "another server has taken it over".to_owned(),
            DeliveryEvent::Trouble { error, .. } => format!("a problem: {error}"),
            DeliveryEvent::WindowLost { .. } => return,
        };
        self.tell(text);
    }
}
