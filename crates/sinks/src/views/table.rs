//! The table of a view: made if there is none, and held against the definition.

use std::sync::Arc;

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, DeleteTableRequest, KeySchemaElement, KeyType,
    StreamSpecification,
};
use tailrace_core::key::KeyAttribute;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_engine::{Caller, StoredTable, ops};
use tailrace_store::keyspace::ViewVersion;

use super::registry::{self, Publishing, VersionEntry, ViewEntry};
use super::shape::{Shape, ShownKey};
use super::{Inner, Place, failed};
use crate::sink::{SinkError, SourceTable};

impl Inner {
    /// Enters the version into the view's row. If it is the live one, makes its table if there is none, and finishes what a crash has cut
    /// off.
    pub(super) async fn prepare(&self, source: &SourceTable) -> Result<Arc<Place>, SinkError> {
        let wanted = VersionEntry {
            version: self.version,
            rows: ViewVersion(0),
            definition: self.definition.digest.clone(),
            source: source.table.clone(),
            table: self.config.table().to_owned(),
            table_id: None,
        };
        let entry = registry::register(&self.db, &self.name, &wanted).await?;
        let rows = entry.rows_of(self.version).ok_or_else(|| registry::replaced(&self.name, self.version))?;
        let place = Place { shape: Shape::new(self.definition.clone(), source), rows, table: None };
        if entry.live.rows == rows {
            return self.with_table(place, entry).await;
        }
        Ok(self.settle(place))
    }

    /// The place of a live version, with the table that shows it.
    pub(super) async fn with_table(&self, place: Place, entry: ViewEntry) -> Result<Arc<Place>, SinkError> {
        let table = self.table(&place.shape, &entry).await?;
        if entry.live.table_id != Some(table.id) {
            let Some((mut now, row)) = registry::read(&self.db, &self.name).await?.filter(|(now, _)| *now == entry)
            else {
                return Err(SinkError(format!("the view {} is being changed", self.name)));
            };
            now.live.table_id = Some(table.id);
            now.publishing.get_or_insert(Publishing { replaced: None });
            if !registry::change(&self.db, &self.name, &row, Some(now.encode()), &[]).await? {
                return Err(SinkError(format!("the view {} is being changed", self.name)));
            }
        }
        let place = Place { table: Some(table), ..place };
        // Before any flush finds it: what is cut off here is begun again by the next one.
        self.publish(&place).await?;
        Ok(self.settle(place))
    }

    fn settle(&self, place: Place) -> Arc<Place> {
        let place = Arc::new(place);
        *self.place.lock() = Some(Arc::clone(&place));
        place
    }

    /// The table of a live version, made if there is none. One that showed the version before, and cannot show this one because its
    /// key is another, is replaced.
    async fn table(&self, shape: &Shape, entry: &ViewEntry) -> Result<Arc<StoredTable>, SinkError> {
        let (db, name) = (self.db.as_ref(), self.config.table());
        if let Some(table) = db.find_table(name).await.map_err(failed)? {
            if table.key == shape.key {
                return Ok(table);
            }
            let before = entry.publishing.as_ref().and_then(|publishing| publishing.replaced.as_ref());
            if !before.is_some_and(|before| before.table == name && before.table_id == Some(table.id)) {
                let (needed, found) = (ShownKey(&shape.key), ShownKey(&table.key));
                return Err(SinkError(format!(
                    "the table {name} has the key {found}, and the view {} needs {needed}: name another table, or delete it",
                    self.name
                )));
            }
            tracing::warn!(table = %name, view = %self.name, "the table of the view is made anew, because its key is another one now");
            let deleted = ops::delete_table(db, DeleteTableRequest::of(name), &Caller::default()).await;
            done(deleted, "DeleteTable", name, ErrorCode::ResourceNotFoundException)?;
        }
        let created = ops::create_table(db, self.request(shape), &Caller::default()).await;
        done(created, "CreateTable", name, ErrorCode::ResourceInUseException)?;
        match db.find_table(name).await.map_err(failed)? {
            Some(table) if table.key == shape.key => Ok(table),
            _ => Err(SinkError(format!("somebody else makes and deletes the table {name}"))),
        }
    }

    /// The request for a table of this shape. What the model of the API asks of names, the configuration was held against.
    fn request(&self, shape: &Shape) -> CreateTableRequest {
        let key = || shape.key.attributes().cloned();
        let definition =
            |key: KeyAttribute| AttributeDefinition { attribute_name: key.name, attribute_type: key.scalar };
        let element =
            |(key, key_type): (KeyAttribute, KeyType)| KeySchemaElement { attribute_name: key.name, key_type };
        CreateTableRequest {
            table_name: self.config.table().to_owned(),
            attribute_definitions: key().map(definition).collect(),
            key_schema: key().zip([KeyType::Hash, KeyType::Range]).map(element).collect(),
            billing_mode: Some(BillingMode::PayPerRequest),
            stream_specification: self.config.stream.map(StreamSpecification::enabled),
            ..CreateTableRequest::default()
        }
    }
}

/// What came of an operation. `first`: the error that says that somebody else was first.
fn done<T>(answer: Result<T, ApiError>, operation: &str, table: &str, first: ErrorCode) -> Result<(), SinkError> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.code == first => Ok(()),
        Err(error) => Err(SinkError(format!("{operation} of {table}: {error}"))),
    }
}
