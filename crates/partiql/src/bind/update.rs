//! `SET` and `REMOVE`: targets and right-hand sides. Source: docs/spec/dynamodb-api.md 7.3, 4.6, 4.7.

use std::sync::Arc;

use tailrace_core::AttributeValue;
use tailrace_core::expr::{Action, Change, Path, SetValue, Update};

use super::{Binder, KIND, path};
use crate::error::StatementError;
use crate::syntax::{Expr, RawAction, Term};

impl Binder<'_> {
    pub(super) fn update(self, raw: &[RawAction]) -> Result<Update, StatementError> {
        let actions = raw.iter().map(|action| {
            Ok(match action {
                RawAction::Remove(target) => Action { target: path(target)?, change: Change::Remove },
                RawAction::Set(target, value) => {
                    let target = path(target)?;
                    let change = self.change(&target, value)?;
                    Action { target, change }
                }
            })
        });
        let actions = actions.collect::<Result<_, StatementError>>()?;
        Ok(Update::of_statement(actions)?)
    }

    fn change(self, target: &Path, value: &Expr) -> Result<Change, StatementError> {
        if let Term::Call { name, operands } = &value.term {
            let (function, change): (_, fn(Arc<AttributeValue>) -> Change) = match name.to_ascii_lowercase().as_str() {
                "set_add" => ("SET_ADD", Change::Add),
                "set_delete" => ("SET_DELETE", Change::Delete),
                _ => return Ok(Change::Set(self.set_value(value)?)),
            };
            return self.set_change(target, function, operands).map(change);
        }
        Ok(Change::Set(self.set_value(value)?))
    }

    /// The members of `set_add` and `set_delete`.
    fn set_change(
        self,
        target: &Path,
        function: &'static str,
        operands: &[Expr],
    ) -> Result<Arc<AttributeValue>, StatementError> {
        let [first, second] = operands else {
            return Err(StatementError::Core(format!(
                "Incorrect number of operands for operator or function; operator or function: {}, number of operands: {}",
                function.to_ascii_lowercase(),
                operands.len()
            )));
        };
        match &first.term {
            Term::Path(steps) if path(steps)? == *target => {}
            _ => return Err(StatementError::SetTarget(function)),
        }
        let no_set = StatementError::SetOperand { function, place: first.place };
        match &second.term {
            Term::Bag(_) | Term::Parameter(_) => match self.value(second)? {
                set @ (AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_)) => Ok(Arc::new(set)),
                _ => Err(no_set),
            },
            _ => Err(no_set),
        }
    }

    fn set_value(self, expr: &Expr) -> Result<SetValue, StatementError> {
        match &expr.term {
            Term::Path(steps) => Ok(SetValue::Path(path(steps)?)),
            Term::Infix(sign @ ("+" | "-"), operands) => {
                let [left, right] = &**operands;
                Ok(SetValue::arithmetic(KIND, sign, self.set_value(left)?, self.set_value(right)?)?)
            }
            Term::Sign(sign, _) => Err(StatementError::Core(format!(
                "Incorrect number of operands for operator or function; operator or function: {sign}, number of operands: 1"
            ))),
            Term::Call { name, operands } => match name.to_ascii_lowercase().as_str() {
                known @ ("list_append" | "if_not_exists") => {
                    let mut values = Vec::with_capacity(operands.len());
                    for operand in operands {
                        values.push(self.set_value(operand)?);
                    }
                    Ok(SetValue::call(KIND, known, values)?)
                }
                known @ ("size"
                | "attribute_exists"
                | "attribute_not_exists"
                | "attribute_type"
                | "begins_with"
                | "contains"
                | "set_add"
                | "set_delete") => Err(StatementError::Core(format!(
                    "The function is not allowed in an update expression; function: {known}"
                ))),
                _ => Err(StatementError::UnrecognizedFunction { name: name.clone(), place: expr.place }),
            },
            Term::Infix(..)
            | Term::Compare(..)
            | Term::In(_)
            | Term::Between(_)
            | Term::Is(..)
            | Term::Not(_)
            | Term::And(_)
            | Term::Or(_) => Err(StatementError::UpdateOperator(expr.term.name())),
            _ => Ok(SetValue::Value(Arc::new(self.value(expr)?))),
        }
    }
}
