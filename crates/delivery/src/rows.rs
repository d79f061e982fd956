//! Rows of a range, page by page, and rows whose value is JSON with its version in `v`. No decisions.

use bytes::Bytes;
use serde::Deserialize;
use tailrace_core::limits::MAPPING_ROWS_PER_PAGE;
use tailrace_store::{Decision, Engine, Key, KeyRange, PageLimit, StoreError, Write, commit};

/// Hands every row of a range to `row`.
///
/// # Errors
/// The store's, and what `row` finds.
pub async fn each(
    store: &dyn Engine,
    mut range: KeyRange,
    mut row: impl FnMut(Key, Bytes) -> Result<(), StoreError> + Send,
) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: MAPPING_ROWS_PER_PAGE, cost_max: 1 << 20, cost: |_, value| value.len() };
    loop {
        let page = store.page(range.clone(), limit).await?;
        let last = page.rows.last().map(|(key, _)| key.clone());
        for (key, value) in page.rows {
            row(key, value)?;
        }
        match last {
            Some(last) if page.limited => range = range.after(&last),
            _ => return Ok(()),
        }
    }
}

/// Deletes every row of a range, some in each commit.
pub(crate) async fn delete_range(store: &dyn Engine, range: KeyRange) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: MAPPING_ROWS_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
    loop {
        let page = store.page(range.clone(), limit).await?;
        let keys: Vec<Key> = page.rows.into_iter().map(|(key, _)| key).collect();
        if !keys.is_empty() {
            let deletes = || keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
            commit(store, &[], &keys, |_| Decision::Apply(deletes(), ())).await?;
        }
        if !page.limited {
            return Ok(());
        }
    }
}

/// Reads the value of a row of which this program knows the versions up to `newest`. `what` names the row in errors.
///
/// # Errors
/// Corrupt: it is no such JSON, or of a newer program.
pub fn read<'a, T: Deserialize<'a>>(what: &str, newest: u32, value: &'a [u8]) -> Result<T, StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let Versioned { v } = serde_json::from_slice(value).map_err(|error| corrupt(what, error))?;
    if v > newest {
        return Err(corrupt(what, format_args!("version {v} is newer than {newest}")));
    }
    serde_json::from_slice(value).map_err(|error| corrupt(what, error))
}

pub(crate) fn corrupt(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {error}"))
}
