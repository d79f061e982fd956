//! The operations as the wire calls them: the engine's, and the pages of Tailrace's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tailrace_core::{ApiError, model};
use tailrace_engine::{Db, RequestContext};
use tailrace_wire::{AdminRequest, Api, Context, Operation, Page, Service};

use crate::admin;
use crate::mappings::Mappings;

/// The server behind the wire.
#[derive(Clone)]
pub struct ServerApi {
    /// The database.
    pub db: Arc<Db>,
    /// The mappings.
    pub mappings: Arc<Mappings>,
    /// Everything has started, and nothing has begun to stop.
    pub ready: Arc<AtomicBool>,
}

impl Api for ServerApi {
    fn knows(&self, operation: Operation<'_>) -> bool {
        let api = match operation.service {
            Service::DynamoDb => model::dynamodb(),
            Service::Streams => model::streams(),
        };
        api.validates(operation.name)
    }

    async fn call(&self, service: Service, operation: &str, body: Bytes, context: &Context) -> Result<Bytes, ApiError> {
        let service = match service {
            Service::DynamoDb => tailrace_engine::Service::DynamoDb,
            Service::Streams => tailrace_engine::Service::Streams,
        };
        // One operation says where the client found us; for the others the copy would be for nothing.
        let host = (operation == "DescribeEndpoints").then(|| context.host().map(str::to_owned)).flatten();
        self.db.execute(service, operation, &body, &RequestContext { host }).await.map(Bytes::from)
    }

    fn ready(&self) -> Result<(), String> {
        if self.ready.load(Ordering::Acquire) { Ok(()) } else { Err("starting or stopping".to_owned()) }
    }

    async fn admin(&self, request: AdminRequest<'_>) -> Option<Page> {
        admin::answer(&self.mappings, request).await
    }
}
