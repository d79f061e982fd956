//! `WHERE`: what is a condition, and what can stand in one. Source: docs/spec/dynamodb-api.md 7.3, 4.4.

use std::sync::Arc;

use tailrace_core::expr::{ExprError, Node, Operand};

use super::{Binder, KIND, path};
use crate::error::{At, StatementError};
use crate::syntax::{Expr, Term};

/// Where an expression stands that should be a condition.
#[derive(Clone, Copy)]
enum Around {
    Nothing,
    AndOr,
    Not,
}

impl Binder<'_> {
    pub(super) fn condition(self, expr: &Expr) -> Result<Node, StatementError> {
        self.node(expr, Around::Nothing)
    }

    /// Small, since conditions recurse here.
    fn node(self, expr: &Expr, around: Around) -> Result<Node, StatementError> {
        match &expr.term {
            Term::And(nodes) => Ok(Node::And(self.nodes(nodes)?)),
            Term::Or(nodes) => Ok(Node::Or(self.nodes(nodes)?)),
            Term::Not(inner) => Ok(Node::Not(Box::new(self.node(inner, Around::Not)?))),
            _ => self.leaf(expr, around),
        }
    }

    fn nodes(self, exprs: &[Expr]) -> Result<Vec<Node>, StatementError> {
        let mut nodes = Vec::with_capacity(exprs.len());
        for expr in exprs {
            nodes.push(self.node(expr, Around::AndOr)?);
        }
        Ok(nodes)
    }

    fn leaf(self, expr: &Expr, around: Around) -> Result<Node, StatementError> {
        let no_condition = || match around {
            Around::Nothing => StatementError::NoCondition,
            Around::AndOr => StatementError::NoConditionInside,
            Around::Not => StatementError::NoConditionNegated,
        };
        match &expr.term {
            Term::Compare(comparison, operands) => {
                let [left, right] = self.operands(&operands[..])?;
                Ok(Node::compare(KIND, *comparison, left, right)?)
            }
            Term::Between(operands) => Ok(Node::between(KIND, self.operands(&operands[..])?)?),
            Term::In(operands) => {
                let [operand, candidates] = &**operands;
                let (Term::List(candidates) | Term::Row(candidates) | Term::Bag(candidates)) = &candidates.term else {
                    return Err(StatementError::InOperands);
                };
                if candidates.is_empty() {
                    return Err(StatementError::InOperands);
                }
                let all = std::iter::once(operand).chain(candidates).map(|operand| self.operand(operand));
                Ok(Node::is_in(KIND, all.collect::<Result<_, _>>()?)?)
            }
            Term::Is(operand, name) => self.is(expr, operand, name),
            Term::Call { name, operands } => self.call(expr, name, operands, no_condition),
            Term::Infix(operator, _) | Term::Sign(operator, _) => Err(StatementError::ConditionOperator(operator)),
            Term::Exists(_) => Err(StatementError::Exists),
            Term::Missing => Err(StatementError::MissingCompared),
            Term::Row(values) if values.len() == 1 => self.leaf(&values[0], around),
            _ => Err(no_condition()),
        }
    }

    fn is(self, expr: &Expr, operand: &Expr, name: &str) -> Result<Node, StatementError> {
        let type_name = match name {
            "MISSING" => "",
            "NULL" => "NULL",
            "BOOLEAN" => "BOOL",
            "BLOB" => "B",
            "STRING" => "S",
            "NUMERIC" => "N",
            "STRUCT" | "TUPLE" => "M",
            "LIST" => "L",
            _ => return Err(StatementError::IsType { name: name.to_owned(), place: expr.place }),
        };
        let operand = match &operand.term {
            Term::Path(_) | Term::Value(_) | Term::Parameter(_) | Term::Row(_) => self.operand(operand)?,
            _ => return Err(StatementError::IsOperand),
        };
        Ok(match operand {
            Operand::Path(path) if type_name.is_empty() => Node::NotExists(path),
            // A value is there.
            _ if type_name.is_empty() => Node::Or(Vec::new()),
            operand => Node::HasType(operand, type_name.to_owned()),
        })
    }

    fn call(
        self,
        expr: &Expr,
        name: &str,
        operands: &[Expr],
        no_condition: impl Fn() -> StatementError,
    ) -> Result<Node, StatementError> {
        match name.to_ascii_lowercase().as_str() {
            "size" => Err(no_condition()),
            known @ ("attribute_exists" | "attribute_not_exists" | "attribute_type" | "begins_with" | "contains") => {
                let operands = operands.iter().map(|operand| self.operand(operand)).collect::<Result<_, _>>()?;
                Ok(Node::call(KIND, known, operands)?)
            }
            other => Err(no_condition_function(expr, name, other)),
        }
    }

    fn operands<const N: usize>(self, exprs: &[Expr]) -> Result<[Operand; N], StatementError> {
        let operands: Vec<Operand> = exprs.iter().map(|expr| self.operand(expr)).collect::<Result<_, _>>()?;
        Ok(operands.try_into().unwrap_or_else(|_| unreachable!("invariant: an operator has its operands")))
    }

    fn operand(self, expr: &Expr) -> Result<Operand, StatementError> {
        match &expr.term {
            Term::Path(steps) => Ok(Operand::Path(path(steps)?)),
            Term::Call { name, operands } => match name.to_ascii_lowercase().as_str() {
                "size" => {
                    let operands = operands.iter().map(|operand| self.operand(operand)).collect::<Result<_, _>>()?;
                    Ok(Operand::size(KIND, "size", operands)?)
                }
                known @ ("attribute_exists"
                | "attribute_not_exists"
                | "attribute_type"
                | "begins_with"
                | "contains") => Err(ExprError::bare(format!(
                    "The function is not allowed to be used this way in an expression; function: {known}"
                ))
                .into()),
                other => Err(no_condition_function(expr, name, other)),
            },
            Term::Infix(operator, _) | Term::Sign(operator, _) => Err(StatementError::ConditionOperator(operator)),
            Term::Compare(..)
            | Term::In(_)
            | Term::Between(_)
            | Term::Is(..)
            | Term::Not(_)
            | Term::And(_)
            | Term::Or(_) => Err(StatementError::ConditionOperator(expr.term.name())),
            Term::Exists(_) => Err(StatementError::Exists),
            _ => Ok(Operand::Value(Arc::new(self.value(expr)?))),
        }
    }
}

/// A function that no condition has; `lower`: its name in small letters.
fn no_condition_function(expr: &Expr, name: &str, lower: &str) -> StatementError {
    match lower {
        "list_append" | "if_not_exists" => {
            StatementError::Core(format!("The function is not allowed in a condition expression; function: {lower}"))
        }
        "count" | "sum" | "avg" | "min" | "max" => {
            StatementError::UnsupportedToken { name: lower.to_owned(), place: At(Some(expr.place)) }
        }
        _ => StatementError::UnrecognizedFunction { name: name.to_owned(), place: expr.place },
    }
}
