//! The wiring of Tailrace: start-up and shutdown, templates, background work.

pub mod template;
