//! Query. Source: docs/spec/dynamodb-api.md 5.

use tailrace_api::ErrorWording;
use tailrace_api::items::{PageAnswer, PageRequest, QueryRequest};
use tailrace_core::ApiError;
use tailrace_core::expr::{ExprError, KeyAttribute, KeyCondition, ResolvedKeyCondition};

use crate::Caller;
use crate::db::Db;
use crate::items::projection::{check_key_paths, check_projection};
use crate::items::read::{filter_paths, read_page};
use crate::items::read_source::ReadSource;
use crate::items::start_key::{MismatchText, check_within_query, start_place};

/// Runs Query.
///
/// # Errors
/// What the client is to read.
pub async fn query(db: &Db, request: QueryRequest, _caller: &Caller<'_>) -> Result<PageAnswer, ApiError> {
    Ok(query_measured(db, request).await?.0)
}

/// The answer of Query, with the bytes that were read for it: see [`read_page`].
///
/// # Errors
/// What the client is to read.
pub(crate) async fn query_measured(db: &Db, request: QueryRequest) -> Result<(PageAnswer, usize), ApiError> {
    let table = db.table(&request.table_name).await?;
    let source = ReadSource::find(&table, request.index_name.as_deref(), &request.page)?;
    let wording = ErrorWording::of_read(db.settings().wording);
    let condition = resolve(&request.key_condition, &source).map_err(|e| wording.expression(e))?;
    check_key_paths(&table, filter_paths(&request.page))?;
    if !request.page.keys_in_filter {
        check_filter(&request.page, &source)?;
    }
    check_projection(&request.page.projection, &table)?;
    let mut range = source.range_of(&condition);
    if !request.forward {
        range = range.reversed();
    }
    if let Some(start) = &request.exclusive_start_key {
        let place = start_place(&source, start, MismatchText::Short)?;
        check_within_query(&source, start, &condition)?;
        range = range.after(&place.row);
    }
    source.check_filter_is_held(&request.page)?;
    let fetches = source.fetches(&request.page, false)?;
    read_page(db, source, request.page, (!range.is_empty()).then_some(range), fetches).await
}

fn resolve<'a>(condition: &KeyCondition, source: &ReadSource<'a>) -> Result<ResolvedKeyCondition, ExprError> {
    let index = source.index.map(|index| index.name.as_str());
    let named = |key: &'a tailrace_core::key::KeyAttribute| KeyAttribute {
        name: &key.name,
        type_name: key.scalar.name(),
        index,
    };
    let of = |attributes: &'a [tailrace_core::key::KeyAttribute]| attributes.iter().map(named).collect::<Vec<_>>();
    condition.resolve(&of(source.hash()), &of(source.range()))
}

/// A filter of a query says nothing of the key of what is read; of an index, it may of the table's.
fn check_filter(page: &PageRequest, source: &ReadSource<'_>) -> Result<(), ApiError> {
    match filter_paths(page).into_iter().find(|path| source.has_key(path.head())) {
        Some(path) => Err(ApiError::validation(format!(
            "{} can only contain non-primary key attributes: Primary key attribute: {}",
            if page.legacy_filter { "QueryFilter" } else { "Filter Expression" },
            path.head()
        ))),
        None => Ok(()),
    }
}
