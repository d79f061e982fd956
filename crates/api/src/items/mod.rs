//! Requests and answers of the operations on items: one file an operation.
