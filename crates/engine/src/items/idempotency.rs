//! Idempotency marks: that something was done, or refused for good, and must not be done again.
//!
//! A mark is one more row of a plan. It is read in the commit of what it marks: if it is there, the commit does nothing and
//! answers what was decided then; else it is written with the rest. Of a line that is played it says also that it was refused;
//! a client's token counts only once its request was done, so that one that was refused can be tried again.
//! Marks that no longer count are removed by a task (`background::marks`).

use bytes::Bytes;
use tailrace_core::{ApiError, EpochMs, ErrorCode};
use tailrace_store::keyspace::{IdempotencyExpiryKey, IdempotencyKey, IdempotencyScope, IdempotencyValue, Refused};
use tailrace_store::{Key, Write};

use crate::db::Db;
use crate::failure::corrupt_row;

/// A mark to be made.
#[derive(Clone, Debug)]
pub struct IdempotencyMark {
    /// Who gives out the token.
    pub scope: IdempotencyScope,
    /// The token.
    pub token: Bytes,
    /// A digest of what is asked for.
    pub request: [u8; 32],
    /// The mark counts no longer from this instant on; `None`: it counts for ever.
    pub expires_ms: Option<EpochMs>,
}

impl IdempotencyMark {
    /// The key of the row.
    pub fn key(&self) -> Key {
        self.row().encode()
    }

    fn row(&self) -> IdempotencyKey {
        IdempotencyKey { scope: self.scope, token: self.token.clone() }
    }

    /// The mark of a part of what this one marks as a whole.
    pub(crate) fn part(&self, index: usize) -> IdempotencyMark {
        let index = u16::try_from(index).expect("invariant: a request has few parts");
        let mut token = self.token.to_vec();
        token.extend_from_slice(&index.to_be_bytes());
        IdempotencyMark { token: token.into(), ..self.clone() }
    }

    /// What was decided before, if `row`, what there is of the mark, says so.
    ///
    /// # Errors
    /// The row is no mark, or one of another request.
    pub(crate) fn decided(
        &self,
        row: Option<&Bytes>,
        now_ms: EpochMs,
    ) -> Result<Option<Result<(), ApiError>>, ApiError> {
        let Some(row) = row else { return Ok(None) };
        let value = IdempotencyValue::decode(row).ok_or_else(|| corrupt_row("an idempotency mark"))?;
        if value.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            return Ok(None);
        }
        if value.request != self.request {
            return Err(ApiError::bare(ErrorCode::IdempotentParameterMismatchException));
        }
        Ok(Some(match value.refused {
            None => Ok(()),
            Some(Refused { code, message }) => Err(ApiError { message, ..ApiError::bare(code) }),
        }))
    }

    /// The writes of the mark. `refused`: why what it marks is not done.
    pub(crate) fn writes(&self, refused: Option<&ApiError>) -> impl Iterator<Item = Write> {
        let counts = refused.is_none() || self.scope == IdempotencyScope::PlayedLine;
        let mark = counts.then(|| {
            let refused = refused.map(|error| Refused { code: error.code, message: error.message.clone() });
            let value = IdempotencyValue::new(self.request, self.expires_ms, refused);
            Write::Put { key: self.key(), value: value.encode() }
        });
        let end = self.expires_ms.filter(|_| counts).map(|at| {
            let key = IdempotencyExpiryKey { at: EpochMs(at.0), mark: self.row() }.encode();
            Write::Put { key, value: Bytes::new() }
        });
        mark.into_iter().chain(end)
    }
}

/// What was decided before of what the mark marks.
///
/// # Errors
/// As for [`marked`].
pub(crate) async fn decided_before(db: &Db, mark: &IdempotencyMark) -> Result<Option<Result<(), ApiError>>, ApiError> {
    let rows = db.rows(&[mark.key()]).await?;
    mark.decided(rows[0].as_ref(), db.clock().now())
}

/// Which of these marks are made.
///
/// # Errors
/// The store's failure, or a row that is not the mark.
pub async fn marked(db: &Db, marks: &[IdempotencyMark]) -> Result<Vec<bool>, ApiError> {
    let keys: Vec<Key> = marks.iter().map(IdempotencyMark::key).collect();
    let rows = db.rows(&keys).await?;
    let now_ms = db.clock().now();
    let decided = marks.iter().zip(&rows).map(|(mark, row)| mark.decided(row.as_ref(), now_ms));
    decided.map(|decided| decided.map(|decided| decided.is_some())).collect()
}
