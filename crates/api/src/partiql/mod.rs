//! Requests and answers of the operations that run PartiQL statements. A statement is still a text here: what it means is
//! found out by the run. The operations speak the older wording only. Source: docs/spec/dynamodb-api.md 7.3.

mod batch_execute_statement;
mod execute_statement;
mod execute_transaction;
mod prepared_statement;

pub use batch_execute_statement::{
    BatchExecuteStatementAnswer, BatchExecuteStatementRequest, BatchStatement, StatementFailure, StatementResponse,
};
pub use execute_statement::{ExecuteStatementAnswer, ExecuteStatementRequest};
pub use execute_transaction::{ExecuteTransactionAnswer, ExecuteTransactionRequest, TransactStatement};
pub use prepared_statement::PreparedStatement;
