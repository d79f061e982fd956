//! The operations as the wire calls them: the engine's, and the pages of Tailrace's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tailrace_core::{ApiError, Service};
use tailrace_engine::{Caller, Client, Db, Written, ops};
use tailrace_firehose::DeliveryStreams;
use tailrace_sinks::runtime::Sinks;
use tailrace_wire::{AdminRequest, Api, Context, NotReady, Operation, Page, RestAnswer, RestRequest};

use crate::admin;
use crate::as_of;
use crate::background::Jobs;
use crate::lambda_api::LambdaApi;
use crate::logs::FunctionLogs;
use crate::mappings::Mappings;

/// The server behind the wire.
#[derive(Clone)]
pub struct ServerApi {
    /// The database.
    pub db: Arc<Db>,
    /// The mappings.
    pub mappings: Arc<Mappings>,
    /// The sinks.
    pub sinks: Sinks,
    /// The delivery streams.
    pub delivery_streams: DeliveryStreams,
    /// What functions wrote.
    pub logs: FunctionLogs,
    /// What is done behind the operations.
    pub jobs: Jobs,
    /// The Lambda API.
    pub lambda: Arc<LambdaApi>,
    /// Everything has started, and nothing has begun to stop.
    pub ready: Arc<AtomicBool>,
}

impl Api for ServerApi {
    fn find(&self, operation: Operation<'_>) -> Result<(), ApiError> {
        let Operation { service, name } = operation;
        if service.api().validates(name) { Ok(()) } else { Err(service.api().unknown_operation(name)) }
    }

    async fn call(&self, service: Service, operation: &str, body: Bytes, context: &Context) -> Result<Bytes, ApiError> {
        let (access_key, request_id) = (context.access_key(), Some(context.request_id()));
        let written = Written::default();
        let host = context.host();
        let caller = Caller::Client(Client { operation, access_key, request_id, host, written: Some(&written) });
        if service == Service::Firehose {
            return Box::pin(tailrace_firehose::execute(&self.delivery_streams, operation, &body, &caller)).await;
        }
        if let (Some(as_of), Service::DynamoDb) = (context.as_of(), service) {
            Box::pin(as_of::wait(&self.sinks, operation, &body, as_of)).await?;
        }
        let answer = ops::execute(&self.db, service, operation, &body, &caller).await?;
        if let Some(written) = as_of::text(written) {
            context.note_written(written);
        }
        Ok(Bytes::from(answer))
    }

    fn ready(&self) -> Result<(), NotReady> {
        if !self.ready.load(Ordering::Acquire) {
            return Err(NotReady::StartingOrStopping);
        }
        match self.db.store().refuses_commits() {
            None => Ok(()),
            Some(why) => Err(NotReady::WritesRefused(why.to_string())),
        }
    }

    async fn admin(&self, request: AdminRequest<'_>) -> Option<Page> {
        let parts = (&self.sinks, &self.delivery_streams, &self.logs, &self.jobs);
        admin::answer(&self.db, &self.mappings, parts, request).await
    }

    async fn rest(&self, request: RestRequest) -> RestAnswer {
        self.lambda.answer(request).await
    }
}
