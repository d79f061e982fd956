//! Requests and answers of the operations on tables: one file an operation.
