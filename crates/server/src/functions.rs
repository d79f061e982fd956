//! Functions as the data directory keeps them: one JSON row each, so that `serve` alone starts with what is there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use tailrace_core::FunctionArn;
use tailrace_core::function::Logging;

use serde::{Deserialize, Serialize};
use tailrace_lambda::{FunctionConfig, Functions};
use tailrace_store::keyspace::FunctionKey;
use tailrace_store::{Decision, Engine, Key, PageLimit, StoreError, Write, commit};

use crate::apply::ApplyError;

/// The version of a row that this code writes, and reads.
const ROW_VERSION: u32 = 1;

/// A function's row. Members are only ever added.
#[derive(Serialize, Deserialize)]
struct StoredFunction {
    v: u32,
    name: String,
    arn: FunctionArn,
    handler: String,
    runtime: String,
    code_dir: PathBuf,
    #[serde(default)]
    layers: Vec<PathBuf>,
    timeout_s: u32,
    memory_mb: u32,
    environment: BTreeMap<String, String>,
    reserved_concurrency: Option<u32>,
    #[serde(default)]
    logging: Logging,
    version: String,
}

impl From<FunctionConfig> for StoredFunction {
    fn from(config: FunctionConfig) -> Self {
        let FunctionConfig {
            name,
            arn,
            handler,
            runtime,
            code_dir,
            layers,
            timeout_s,
            memory_mb,
            environment,
            reserved_concurrency,
            logging,
            version,
        } = config;
        Self {
            v: ROW_VERSION,
            name,
            arn,
            handler,
            runtime,
            code_dir,
            layers,
            timeout_s,
            memory_mb,
            environment,
            reserved_concurrency,
            logging,
            version,
        }
    }
}

impl From<StoredFunction> for FunctionConfig {
    fn from(stored: StoredFunction) -> Self {
        let mut config = FunctionConfig::new(stored.name, stored.arn, stored.runtime, stored.handler, stored.code_dir);
        config.layers = stored.layers;
        config.timeout_s = stored.timeout_s;
        config.memory_mb = stored.memory_mb;
        config.environment = stored.environment;
        config.reserved_concurrency = stored.reserved_concurrency;
        config.logging = stored.logging;
        config.version = stored.version;
        config
    }
}

impl StoredFunction {
    /// Reads a row.
    ///
    /// # Errors
    /// It is none, or of another version.
    fn read(key: &Key, value: &[u8]) -> Result<StoredFunction, StoreError> {
        let of =
            || format!("the row of function {}", FunctionKey::decode(key).map_or_else(String::new, |key| key.name));
        let stored: StoredFunction =
            serde_json::from_slice(value).map_err(|e| StoreError::Corrupt(format!("{}: {e}", of())))?;
        match stored.v {
            ROW_VERSION => Ok(stored),
            other => Err(StoreError::NewerFormat(format!("{} has version {other}, and this is {ROW_VERSION}", of()))),
        }
    }
}

/// Keeps a function and registers it.
///
/// # Errors
/// The function cannot be registered; the store's.
pub async fn put(store: &dyn Engine, functions: &Functions, config: FunctionConfig) -> Result<(), ApplyError> {
    let name = config.name.clone();
    functions.put(config.clone()).map_err(|error| ApplyError::Function { name: name.clone(), error })?;
    let key = FunctionKey { name: name.clone() }.encode();
    let value =
        serde_json::to_vec(&StoredFunction::from(config)).expect("invariant: a function can be written as JSON");
    let value = bytes::Bytes::from(value);
    let keys = [key.clone()];
    let stored = commit(store, &[], &keys, |reads| match &reads.exclusive[0] {
        Some(present) if *present == value => Decision::Reject(()),
        _ => Decision::Apply(vec![Write::Put { key: key.clone(), value: value.clone() }], ()),
    });
    stored.await?;
    Ok(())
}

/// Registers every function that the data directory holds. What cannot be registered any more is returned, one line
/// each; it does not keep the others from running.
///
/// # Errors
/// The store's.
pub async fn load(store: &dyn Engine, functions: &Functions) -> Result<Vec<String>, StoreError> {
    let mut refused = Vec::new();
    let mut range = FunctionKey::range();
    loop {
        let limit = PageLimit { rows_max: 100, cost_max: usize::MAX, cost: |_, _| 0 };
        let page = store.page(range.clone(), limit).await?;
        for (key, value) in &page.rows {
            let stored = StoredFunction::read(key, value)?;
            let name = stored.name.clone();
            if let Err(error) = functions.put(stored.into()) {
                refused.push(format!("function {name}: {error}"));
            }
        }
        match page.rows.last() {
            Some((key, _)) if page.limited => range = range.after(key),
            _ => return Ok(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_version_is_refused_by_name() {
        let arn = FunctionArn::new("arn:aws:lambda:us-east-1:000000000000:function:f");
        let config = FunctionConfig::new(
            "f".to_owned(),
            arn,
            "python3.11".to_owned(),
            "app.h".to_owned(),
            std::path::PathBuf::from("/tmp"),
        );
        let key = FunctionKey { name: "f".to_owned() }.encode();
        let mut row = serde_json::to_value(StoredFunction::from(config)).unwrap();
        let read = |row: &serde_json::Value| StoredFunction::read(&key, row.to_string().as_bytes()).map(|row| row.name);
        assert_eq!(read(&row).unwrap(), "f");
        row["v"] = 2.into();
        let refused = read(&row).unwrap_err().to_string();
        assert_eq!(refused, "the row of function f has version 2, and this is 1");
    }
}
