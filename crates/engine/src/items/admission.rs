//! Whether the changes of a commit may be made at the rate of their tables: asked and paid under the latches, where it is known what
//! each change writes. Source: docs/spec/dynamodb-api.md 7.4.

use bytes::Bytes;
use tailrace_api::items::Charge;
use tailrace_core::codec::stored_size;
use tailrace_core::{ApiError, ErrorCode};

use super::capacity::{transaction_read_units, transaction_write_charge, write_charge, write_units};
use super::plan::{Change, Plan, Written};
use crate::table::Table;
use crate::throttle::Throttle;

/// How the changes of a commit are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    /// Each as a write of its own.
    Writes,
    /// As those of a transaction.
    Transaction,
    /// Not at all: they are the service's, or are made once, whenever that is.
    None,
}

/// Admits the changes of a plan, all of them, and takes what they come to; or refuses those whose table or index is
/// throttled, and then none is made. `table`: as for the plan; `olds`: the items that it found; `paid`: what the writes of an
/// earlier run of the same commit were paid with, which is given back, and what these are.
pub(crate) fn admit<'t>(
    throttle: &Throttle,
    table: impl Fn(usize) -> &'t Table,
    changes: &[Change<'_>],
    olds: &[Option<Bytes>],
    metering: Metering,
    paid: &mut Vec<Charge>,
    plan: &mut Plan,
) {
    for (change, charge) in changes.iter().zip(paid.drain(..)) {
        throttle.give_back_write(table(change.table), &charge);
    }
    if plan.too_large || metering == Metering::None {
        return;
    }
    let size = |old: &Option<Bytes>| old.as_ref().map_or(0, |old| stored_size(old));
    if plan.made_before {
        for (change, old) in changes.iter().zip(olds) {
            throttle.take_read(table(change.table), &transaction_read_units(size(old)).into());
        }
        return;
    }
    let charge = |change: &Change<'_>, old: &Option<Bytes>, answer: &Result<Written, ApiError>| match answer {
        Ok(written) => write_charge(table(change.table), written),
        // The item was looked at all the same.
        Err(error) if error.code == ErrorCode::ConditionalCheckFailedException => write_units(size(old), 0).into(),
        Err(_) => Charge::default(),
    };
    let mut charges = Vec::with_capacity(changes.len());
    let mut refused = false;
    for ((change, old), answer) in changes.iter().zip(olds).zip(&mut plan.answers) {
        let charge = charge(change, old, answer);
        if let Err(error) = throttle.check_write(table(change.table), &charge) {
            *answer = Err(error);
            refused = true;
        }
        charges.push(if metering == Metering::Transaction { transaction_write_charge(charge) } else { charge });
    }
    if refused {
        plan.writes.clear();
        return;
    }
    for (change, charge) in changes.iter().zip(&charges) {
        throttle.take_write(table(change.table), charge);
    }
    *paid = charges;
}
