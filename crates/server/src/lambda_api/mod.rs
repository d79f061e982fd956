//! The Lambda API on the server's port: event source mappings, the functions that templates have declared, and Invoke.
//! Source: docs/spec/event-source-mapping.md 1-4, 12.
//!
//! It reads requests and writes answers. What an operation does is of `tailrace_mapping` and `tailrace_lambda`; an operation of
//! AWS that is not here is refused by its name.

mod error;
mod events;
mod functions;
mod invoke;
mod mappings;
mod operations;
mod request;
mod tags;

use std::sync::Arc;

use serde::Serialize;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_engine::Db;
use tailrace_lambda::Functions;
use tailrace_wire::{RestAnswer, RestRequest};
use tokio::sync::mpsc;

use crate::mappings::Mappings;
use crate::report::Event;
use error::{Class, LambdaError};
use events::Events;
use request::Request;
pub use request::unescaped;

/// The operations, and what they work with.
pub struct LambdaApi {
    mappings: Arc<Mappings>,
    functions: Functions,
    events: Events,
    rng: Arc<dyn Rng>,
    region: String,
    account_id: String,
}

impl LambdaApi {
    /// The API of a server.
    pub fn new(
        db: &Db,
        mappings: Arc<Mappings>,
        functions: Functions,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        told: mpsc::Sender<Event>,
    ) -> LambdaApi {
        let events = Events::new(functions.clone(), clock, told);
        let (region, account_id) = (db.settings().region.clone(), db.settings().account_id.clone());
        LambdaApi { mappings, functions, events, rng, region, account_id }
    }

    /// Answers a request.
    pub async fn answer(&self, request: RestRequest) -> RestAnswer {
        let answered = match Request::route(&request) {
            Ok(request) => self.operate(&request).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| error.answer())
    }

    /// Gives up the events that are not done: how many those are.
    pub fn stop(&self) -> usize {
        self.events.stop()
    }

    async fn operate(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        match request.operation.name {
            "CreateEventSourceMapping" => self.create_event_source_mapping(request).await,
            "GetEventSourceMapping" => self.get_event_source_mapping(request).await,
            "ListEventSourceMappings" => self.list_event_source_mappings(request).await,
            "UpdateEventSourceMapping" => self.update_event_source_mapping(request).await,
            "DeleteEventSourceMapping" => self.delete_event_source_mapping(request).await,
            "ListTags" => self.list_tags(request),
            "TagResource" => self.tag_resource(request).await,
            "UntagResource" => self.untag_resource(request).await,
            "ListFunctions" => self.list_functions(request),
            "GetFunction" => self.get_function(request),
            "GetFunctionConfiguration" => self.get_function_configuration(request),
            "Invoke" => self.invoke(request).await,
            other => Err(LambdaError::new(
                Class::NotImplemented,
                format!("{other} is not supported by this server: functions come from the template given to it."),
            )),
        }
    }
}

fn document(status: u16, body: &impl Serialize) -> RestAnswer {
    let body = serde_json::to_vec(body).expect("invariant: documents have string keys alone");
    RestAnswer { status, headers: Vec::new(), body: body.into() }
}
