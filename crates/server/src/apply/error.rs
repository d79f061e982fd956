//! Why a template is not applied. The kind says what the operator does: change the template, or look at the data directory.

use tailrace_core::ApiError;
use tailrace_lambda::ConfigError;
use tailrace_mapping::MappingError;
use tailrace_store::StoreError;

/// Why a template is not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// What is there cannot become what the template says without a loss, or the template names what is not there; the
    /// text names the place in the template and what can be done.
    #[error("{0}")]
    Template(String),
    /// An operation on a table refuses.
    #[error("table {name}: {error}")]
    Table {
        /// The table.
        name: String,
        /// Why.
        error: ApiError,
    },
    /// A function cannot be registered as the template describes it.
    #[error("function {name}: {error}")]
    Function {
        /// The function.
        name: String,
        /// Why.
        error: ConfigError,
    },
    /// A mapping cannot be made or changed.
    #[error("mapping {id}: {error}")]
    Mapping {
        /// Its logical id.
        id: String,
        /// Why.
        error: MappingError,
    },
    /// A delivery stream cannot be made or changed.
    #[error("delivery stream {name}: {error}")]
    DeliveryStream {
        /// Its name.
        name: String,
        /// Why.
        error: ApiError,
    },
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
}
