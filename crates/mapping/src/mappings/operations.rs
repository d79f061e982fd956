//! CreateEventSourceMapping, UpdateEventSourceMapping and DeleteEventSourceMapping.
//! Source: docs/spec/event-source-mapping.md 2, 4.

use std::sync::Arc;

use tailrace_core::limits::MAPPINGS_MAX;
use tailrace_core::{FunctionReference, MappingId, StartingPosition};
use tailrace_delivery::Consumer;
use tailrace_store::{LogPosition, StoreError};
use tokio::sync::oneshot;

use super::{Caller, Entry, MappingState, Mappings};
use crate::config::{CreateMapping, Mapping, Parameters, is_stream, no_stream};
use crate::error::{MappingError, invalid};
use crate::row::{self, Put};

/// A change that is decided: the mapping's row says so, and its tasks follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The mapping as it is to be.
    pub mapping: Mapping,
    /// The state until the change is over.
    pub state: MappingState,
}

impl Mappings {
    /// CreateEventSourceMapping. LATEST is fixed, durably, before this returns.
    ///
    /// # Errors
    /// As docs/spec/event-source-mapping.md 2 has them.
    pub async fn create(&self, request: CreateMapping) -> Result<Mapping, MappingError> {
        let this = self.clone();
        whole(|_| async move { this.create_now(request).await }).await
    }

    async fn create_now(&self, request: CreateMapping) -> Result<Mapping, MappingError> {
        let (function, arn, position) = request.check(&self.region, &self.account_id)?;
        let function = self.function(function)?;
        let Some(source) = self.streams.find(arn).await? else {
            return if is_stream(arn) { invalid(format!("Stream not found: {arn}")) } else { Err(no_stream(arn)) };
        };
        if self.entries.lock().len() >= MAPPINGS_MAX {
            return invalid(format!("There are {MAPPINGS_MAX} mappings already."));
        }
        let uuid = self.context.rng.uuid();
        let id = MappingId::parse(&uuid).expect("invariant: a generated uuid is one");
        let now_ms = self.context.clock.now();
        let mapping = Mapping::new(id, function, source, position, &request.parameters, now_ms);
        mapping.check()?;
        let position = match position {
            StartingPosition::Latest => LogPosition::End,
            StartingPosition::TrimHorizon => LogPosition::Horizon,
        };
        let lanes = mapping.rules.lanes;
        let positions = Consumer::begin_at(&self.context, id, mapping.source.id, lanes, position).await?;
        let stored = match row::create(self.store(), &mapping, &positions).await? {
            Put::Done(stored) => stored,
            Put::Taken(other) => return Err(conflict(&mapping, other)),
            Put::Changed => return Err(MappingError::InUse),
        };
        let entry = self.enter((mapping.clone(), stored));
        let change = entry.changing.lock().await;
        let _change = entry.passes_through(change, MappingState::Creating, &self.context);
        // Whoever found it in between may have disabled or deleted it.
        let now = entry.mapping();
        if now.runs() {
            entry.consumer.start().await;
        }
        Ok(mapping)
    }

    /// UpdateEventSourceMapping. Disabling returns when nothing is under way any more; the checkpoint stays. What would
    /// change nothing writes nothing; what waits to be retried is retried at once either way.
    ///
    /// # Errors
    /// As docs/spec/event-source-mapping.md 2 and 4 have them.
    pub async fn update(
        &self,
        uuid: &str,
        function: Option<&str>,
        parameters: &Parameters,
    ) -> Result<Mapping, MappingError> {
        let (this, uuid, parameters) = (self.clone(), uuid.to_owned(), parameters.clone());
        let function = function.map(str::to_owned);
        whole(|caller| async move { this.update_now(caller, &uuid, function.as_deref(), &parameters, |_| ()).await })
            .await
    }

    /// As [`Self::update`], but it returns when the change is decided: what is under way ends behind it, and until then other
    /// changes are refused.
    ///
    /// # Errors
    /// As for [`Self::update`].
    pub async fn begin_update(
        &self,
        uuid: &str,
        function: Option<&str>,
        parameters: &Parameters,
    ) -> Result<Begun, MappingError> {
        let (this, uuid, parameters) = (self.clone(), uuid.to_owned(), parameters.clone());
        let function = function.map(str::to_owned);
        begun(|tell| async move {
            // As if somebody waited for all of it: another call is refused meanwhile, as the service does.
            let waits = Arc::new(());
            let caller = Caller(Arc::downgrade(&waits));
            let done = this.update_now(caller, &uuid, function.as_deref(), &parameters, tell).await;
            drop(waits);
            done
        })
        .await
    }

    async fn update_now(
        &self,
        caller: Caller,
        uuid: &str,
        function: Option<&str>,
        parameters: &Parameters,
        tell: impl FnOnce(Begun) + Send,
    ) -> Result<Mapping, MappingError> {
        let entry = self.entry(uuid)?;
        parameters.check(function, &self.region, &self.account_id)?;
        if entry.mapping().deleting {
            return Err(MappingError::InUse);
        }
        let change = entry.change(caller).await?;
        let writing = entry.writing.lock().await;
        let mut mapping = entry.mapping();
        if mapping.deleting {
            return Err(MappingError::InUse);
        }
        if let Some(reference) = function {
            mapping.function = self.function(reference)?;
        }
        parameters.apply(&mut mapping);
        mapping.check()?;
        let before = entry.mapping();
        if mapping != before {
            mapping.modified_ms = self.context.clock.now();
            self.put(&entry, &mapping).await?;
        }
        drop(writing);
        let state = match (before.enabled, mapping.enabled) {
            (true, false) => MappingState::Disabling,
            (false, true) => MappingState::Enabling,
            (true, true) | (false, false) => MappingState::Updating,
        };
        let _change = entry.passes_through(change, state, &self.context);
        tell(Begun { mapping: mapping.clone(), state });
        if !mapping.enabled {
            // Before anything is told that hands out again what waits.
            entry.consumer.begin_to_stop();
        }
        if mapping.filters != before.filters || mapping.rules.tumbling_window != before.rules.tumbling_window {
            // What is read ahead was chosen by the old filters, and measured for other batches: it is read again.
            entry.consumer.stop().await;
        }
        entry.target.configure(&mapping);
        entry.consumer.configure(mapping.rules.clone());
        match mapping.enabled {
            true => entry.consumer.start().await,
            false => entry.consumer.stop().await,
        }
        Ok(mapping)
    }

    /// DeleteEventSourceMapping: waits for what is under way, then removes the mapping, its checkpoints and its parked
    /// records.
    ///
    /// # Errors
    /// Unknown, in use, or the store's.
    pub async fn delete(&self, uuid: &str) -> Result<Mapping, MappingError> {
        let (this, uuid) = (self.clone(), uuid.to_owned());
        whole(|caller| async move { this.delete_now(caller, &uuid, |_| ()).await }).await
    }

    /// As [`Self::delete`], but it returns when the deletion is decided.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn begin_delete(&self, uuid: &str) -> Result<Begun, MappingError> {
        let (this, uuid) = (self.clone(), uuid.to_owned());
        begun(|tell| async move {
            let waits = Arc::new(());
            let done = this.delete_now(Caller(Arc::downgrade(&waits)), &uuid, tell).await;
            drop(waits);
            done
        })
        .await
    }

    async fn delete_now(
        &self,
        caller: Caller,
        uuid: &str,
        tell: impl FnOnce(Begun) + Send,
    ) -> Result<Mapping, MappingError> {
        let entry = self.entry(uuid)?;
        let _changing = entry.change(caller).await?;
        let writing = entry.writing.lock().await;
        let mapping = Mapping { deleting: true, ..entry.mapping() };
        if !self.entries.lock().contains_key(&mapping.id) {
            // A delete that nobody waited for has done it meanwhile.
            return Ok(mapping);
        }
        self.put(&entry, &mapping).await?;
        drop(writing);
        self.context.changed();
        tell(Begun { mapping: mapping.clone(), state: MappingState::Deleting });
        entry.consumer.stop().await;
        self.delete_rows(&mapping).await?;
        self.entries.lock().remove(&mapping.id);
        self.context.changed();
        Ok(mapping)
    }

    /// Removes a mapping's rows; its own goes last, so that a crash in between is repeated. What a runner that knows nothing
    /// of this claimed in between goes behind it: from then on nobody can claim any more.
    pub(super) async fn delete_rows(&self, mapping: &Mapping) -> Result<(), StoreError> {
        Consumer::delete_rows(&self.context, mapping.id).await?;
        row::delete(self.store(), mapping).await?;
        Consumer::delete_rows(&self.context, mapping.id).await
    }

    /// Stores a mapping in place of what this process has seen of it.
    pub(super) async fn put(&self, entry: &Entry, mapping: &Mapping) -> Result<(), MappingError> {
        let seen = entry.stored.lock().clone();
        match row::change(self.store(), &seen, mapping).await? {
            Put::Done(bytes) => {
                *entry.stored.lock() = (mapping.clone(), bytes);
                Ok(())
            }
            Put::Taken(other) => Err(conflict(mapping, other)),
            // Another process changed it: the next try begins from what it made of it.
            Put::Changed => match row::get(self.store(), mapping.id).await? {
                Some(newer) => {
                    *entry.stored.lock() = newer;
                    Err(MappingError::InUse)
                }
                None => Err(MappingError::NotFound),
            },
        }
    }

    fn function(&self, reference: &str) -> Result<FunctionReference, MappingError> {
        FunctionReference::parse(reference, &self.region, &self.account_id)
            .filter(|function| self.environment.invoker.exists(&function.name))
            .ok_or_else(|| MappingError::InvalidParameterValue("Function does not exist".into()))
    }
}

/// Makes a change in a task of its own: a caller that goes away half-way leaves none half made. A shutdown waits for it, since
/// the task holds the mapping's lock.
pub(super) async fn whole<T, F>(change: impl FnOnce(Caller) -> F) -> Result<T, MappingError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, MappingError>> + Send + 'static,
{
    // Dropped with this future, whether the change is over or not.
    let waits = Arc::new(());
    let joined = tokio::spawn(change(Caller(Arc::downgrade(&waits)))).await;
    joined.unwrap_or_else(|error| Err(MappingError::Internal(format!("the change ended early: {error}"))))
}

/// Makes a change in a task of its own, and answers as soon as the change tells that it is decided. What fails behind that is
/// logged: the row says what is to be, and the next start sees to it.
async fn begun<F>(change: impl FnOnce(Box<dyn FnOnce(Begun) + Send>) -> F) -> Result<Begun, MappingError>
where
    F: Future<Output = Result<Mapping, MappingError>> + Send + 'static,
{
    let (sender, decided) = oneshot::channel();
    // Whoever has called may have gone away.
    let change = change(Box::new(|begun| drop(sender.send(begun))));
    let whole = tokio::spawn(async move {
        let done = change.await;
        if let Err(error) = &done {
            tracing::debug!(%error, "a change of a mapping was refused, or did not come to its end");
        }
        done
    });
    if let Ok(begun) = decided.await {
        return Ok(begun);
    }
    // It ended without a word: it was refused, or another deletion was faster.
    match whole.await {
        Ok(Ok(mapping)) => Ok(Begun { mapping, state: MappingState::Deleting }),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(MappingError::Internal(format!("the change ended early: {error}"))),
    }
}

fn conflict(mapping: &Mapping, other: MappingId) -> MappingError {
    MappingError::Conflict {
        source_arn: mapping.source.arn.clone(),
        function: mapping.function.name.clone(),
        uuid: other.to_string(),
    }
}
