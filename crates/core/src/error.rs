//! The errors that a client sees: a code, its namespace and HTTP status, and the exact message.
//! Source: docs/spec/dynamodb-api.md 1.3.

use crate::value::Item;

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ErrorCode {
    /// A request that breaks a rule.
    ValidationException,
    /// A JSON value of the wrong type, or no JSON at all.
    SerializationException,
    /// An operation that does not exist here.
    UnknownOperationException,
    /// No authentication material.
    MissingAuthenticationTokenException,
    /// Authentication material with parts missing.
    IncompleteSignatureException,
    /// Authentication material that is wrong.
    InvalidSignatureException,
    /// An access key nobody knows.
    UnrecognizedClientException,
    /// Not allowed.
    AccessDeniedException,
    /// Slow down: the control plane, and tables on demand with a limit of their own.
    ThrottlingException,
    /// More than the provisioned throughput of a table or an index.
    ProvisionedThroughputExceededException,
    /// No such table, stream or shard.
    ResourceNotFoundException,
    /// No such table, in the words of backups.
    TableNotFoundException,
    /// No policy, or another one than was expected.
    PolicyNotFoundException,
    /// No such global table.
    GlobalTableNotFoundException,
    /// The table's state does not allow it.
    ResourceInUseException,
    /// A quota.
    LimitExceededException,
    /// A condition that does not hold; may carry the item.
    ConditionalCheckFailedException,
    /// An INSERT of an item that exists.
    DuplicateItemException,
    /// A transaction that was not made; carries the reason of each of its actions.
    TransactionCanceledException,
    /// Two writers of one item in transactions.
    TransactionConflictException,
    /// A token whose first request is still being answered.
    TransactionInProgressException,
    /// A token that was given before, with another request.
    IdempotentParameterMismatchException,
    /// A stream position that was trimmed.
    TrimmedDataAccessException,
    /// A shard iterator older than 15 minutes.
    ExpiredIteratorException,
    /// A parameter that a delivery stream cannot have.
    InvalidArgumentException,
    /// Another one changed the delivery stream.
    ConcurrentModificationException,
    /// A delivery stream cannot take records for now: HTTP 503.
    ServiceUnavailableException,
    /// A fault of the server: HTTP 500.
    InternalServerError,
}

impl ErrorCode {
    /// The whole `__type`, namespace included.
    pub fn type_name(self) -> &'static str {
        match self {
            ErrorCode::ValidationException => "com.amazon.coral.validate#ValidationException",
            ErrorCode::SerializationException => "com.amazon.coral.service#SerializationException",
            ErrorCode::UnknownOperationException => "com.amazon.coral.service#UnknownOperationException",
            ErrorCode::MissingAuthenticationTokenException => {
                "com.amazon.coral.service#MissingAuthenticationTokenException"
            }
            ErrorCode::IncompleteSignatureException => "com.amazon.coral.service#IncompleteSignatureException",
            ErrorCode::InvalidSignatureException => "com.amazon.coral.service#InvalidSignatureException",
            ErrorCode::UnrecognizedClientException => "com.amazon.coral.service#UnrecognizedClientException",
            ErrorCode::AccessDeniedException => "com.amazon.coral.service#AccessDeniedException",
            ErrorCode::ThrottlingException => "com.amazon.coral.availability#ThrottlingException",
            ErrorCode::ProvisionedThroughputExceededException => {
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
            }
            ErrorCode::ResourceNotFoundException => "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            ErrorCode::TableNotFoundException => "com.amazonaws.dynamodb.v20120810#TableNotFoundException",
            ErrorCode::PolicyNotFoundException => "com.amazonaws.dynamodb.v20120810#PolicyNotFoundException",
            ErrorCode::GlobalTableNotFoundException => "com.amazonaws.dynamodb.v20120810#GlobalTableNotFoundException",
            ErrorCode::ResourceInUseException => "com.amazonaws.dynamodb.v20120810#ResourceInUseException",
            ErrorCode::LimitExceededException => "com.amazonaws.dynamodb.v20120810#LimitExceededException",
            ErrorCode::ConditionalCheckFailedException => {
                "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
            }
            ErrorCode::DuplicateItemException => "com.amazonaws.dynamodb.v20120810#DuplicateItemException",
            ErrorCode::TransactionCanceledException => "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            ErrorCode::TransactionConflictException => "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
            ErrorCode::TransactionInProgressException => {
                "com.amazonaws.dynamodb.v20120810#TransactionInProgressException"
            }
            ErrorCode::IdempotentParameterMismatchException => {
                "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"
            }
            ErrorCode::TrimmedDataAccessException => "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException",
            ErrorCode::ExpiredIteratorException => "com.amazonaws.dynamodb.v20120810#ExpiredIteratorException",
            ErrorCode::InvalidArgumentException => "com.amazonaws.firehose.v20150804#InvalidArgumentException",
            ErrorCode::ConcurrentModificationException => {
                "com.amazonaws.firehose.v20150804#ConcurrentModificationException"
            }
            ErrorCode::ServiceUnavailableException => "com.amazonaws.firehose.v20150804#ServiceUnavailableException",
            ErrorCode::InternalServerError => "com.amazonaws.dynamodb.v20120810#InternalServerError",
        }
    }

    /// The class alone, without its namespace.
    pub fn class(self) -> &'static str {
        let name = self.type_name();
        name.rsplit_once('#').map_or(name, |(_, class)| class)
    }

    /// The HTTP status: 500 for a fault of the server, 503 for what may be tried again soon, 400 for everything else.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorCode::InternalServerError => 500,
            ErrorCode::ServiceUnavailableException => 503,
            _ => 400,
        }
    }
}

/// An error answer: what the client reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The class.
    pub code: ErrorCode,
    /// The exact text; `None`: the body has no message member.
    pub message: Option<String>,
    /// The current item, for a failed condition that asked for it.
    pub item: Option<Box<Item>>,
    /// Why each action of a cancelled transaction was not done, in the order of the request; else empty.
    pub reasons: Vec<CancellationReason>,
    /// The error is of a PartiQL statement: some bodies differ.
    pub of_statement: bool,
    /// What was used too much, if the request was refused for its rate.
    pub throttling: Option<Box<ThrottlingReason>>,
}

/// What of a table or an index was used too much. Source: the service model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottlingReason {
    /// `TableReadProvisionedThroughputExceeded`, `IndexWriteMaxOnDemandThroughputExceeded` and their like.
    pub reason: String,
    /// The ARN of the table or the index.
    pub resource: String,
}

/// Why an action of a transaction was not done. Source: docs/spec/dynamodb-api.md 7.2.
#[derive(Clone, Debug, PartialEq)]
pub struct CancellationReason {
    /// The class.
    pub code: CancellationCode,
    /// The text; nothing is wrong with the action: `None`.
    pub message: Option<String>,
    /// The current item, for a failed condition that asked for it.
    pub item: Option<Box<Item>>,
}

/// The class of a [`CancellationReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancellationCode {
    /// Nothing is wrong with this action: others cancelled it.
    None,
    /// A condition that does not hold.
    ConditionalCheckFailed,
    /// An item of that key exists (INSERT of PartiQL).
    DuplicateItem,
    /// Another transaction has the item. Not raised here: commits wait for each other.
    TransactionConflict,
    /// A request that breaks a rule.
    ValidationError,
    /// More than the provisioned throughput.
    ProvisionedThroughputExceeded,
    /// More than a table on demand is allowed to take.
    ThrottlingError,
}

impl ApiError {
    /// An error of class `code` with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::bare(code) }
    }

    /// An error of class `code` whose body has no message member.
    pub fn bare(code: ErrorCode) -> Self {
        Self { code, message: None, item: None, reasons: Vec::new(), of_statement: false, throttling: None }
    }

    /// A ValidationException.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ValidationException, message)
    }

    /// A ResourceNotFoundException.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFoundException, message)
    }

    /// A TransactionCanceledException: one reason for each action. Source: docs/spec/dynamodb-api.md 7.2.
    pub fn cancelled(reasons: Vec<CancellationReason>) -> Self {
        let codes: Vec<&str> = reasons.iter().map(|reason| reason.code.name()).collect();
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        Self { reasons, ..Self::new(ErrorCode::TransactionCanceledException, message) }
    }

    /// The message member's name in the body: `Message` for SerializationException, AccessDeniedException and
    /// TransactionCanceledException, and for a failed condition of a PartiQL statement that brings the item; `message` for all
    /// others. Source: docs/spec/dynamodb-api.md 1.3.
    pub fn message_member(&self) -> &'static str {
        match self.code {
            ErrorCode::SerializationException
            | ErrorCode::AccessDeniedException
            | ErrorCode::TransactionCanceledException => "Message",
            ErrorCode::ConditionalCheckFailedException if self.of_statement && self.item.is_some() => "Message",
            _ => "message",
        }
    }
}

impl CancellationCode {
    /// As answers spell it.
    pub fn name(self) -> &'static str {
        match self {
            CancellationCode::None => "None",
            CancellationCode::ConditionalCheckFailed => "ConditionalCheckFailed",
            CancellationCode::DuplicateItem => "DuplicateItem",
            CancellationCode::TransactionConflict => "TransactionConflict",
            CancellationCode::ValidationError => "ValidationError",
            CancellationCode::ProvisionedThroughputExceeded => "ProvisionedThroughputExceeded",
            CancellationCode::ThrottlingError => "ThrottlingError",
        }
    }
}

impl CancellationReason {
    /// Of an action that nothing is wrong with.
    pub const NONE: CancellationReason = CancellationReason { code: CancellationCode::None, message: None, item: None };

    /// Why an action was refused.
    ///
    /// # Errors
    /// The error itself, if it is no reason but ends the whole request (a fault of the server).
    pub fn of(error: ApiError) -> Result<CancellationReason, ApiError> {
        let code = match error.code {
            ErrorCode::ConditionalCheckFailedException => CancellationCode::ConditionalCheckFailed,
            ErrorCode::TransactionConflictException => CancellationCode::TransactionConflict,
            ErrorCode::ValidationException => CancellationCode::ValidationError,
            ErrorCode::ProvisionedThroughputExceededException => CancellationCode::ProvisionedThroughputExceeded,
            ErrorCode::ThrottlingException => CancellationCode::ThrottlingError,
            _ => return Err(error),
        };
        Ok(CancellationReason { code, message: error.message, item: error.item })
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.code.class();
        match &self.message {
            Some(message) => write!(f, "{name}: {message}"),
            None => f.write_str(name),
        }
    }
}

impl std::error::Error for ApiError {}
