//! The nodes of a condition that have rules of their own: what may stand beside what, known without an item.
//! Source: docs/spec/dynamodb-api.md 4.2.

use super::condition::{Comparison, Node, Operand};
use super::error::{ExprError, ExprKind};
use super::evaluate::order;
use super::resolve::{not_distinct, path_required, unknown_function, wrong_operand_count, wrong_operand_type};
use crate::echo::echo;
use crate::limits;
use crate::value::AttributeValue;

/// The types' names in the order in which two texts list them.
const TYPES_OF_PATH: &str = "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}";
const TYPES_VALID: &str = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}";

impl Node {
    /// A comparison.
    ///
    /// # Errors
    /// Both operands are one path, or one has a type without an order.
    pub fn compare(kind: ExprKind, comparison: Comparison, left: Operand, right: Operand) -> Result<Node, ExprError> {
        check_distinct(kind, comparison.symbol(), &left, std::slice::from_ref(&right))?;
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            check_ordered(kind, comparison.symbol(), [&left, &right])?;
        }
        Ok(Node::Compare(comparison, left, right))
    }

    /// `BETWEEN`.
    ///
    /// # Errors
    /// As for [`Node::compare`], or the bounds are no range.
    pub fn between(kind: ExprKind, operands: [Operand; 3]) -> Result<Node, ExprError> {
        check_ordered(kind, "BETWEEN", &operands)?;
        check_distinct(kind, "BETWEEN", &operands[0], &operands[1..])?;
        if let (Some(lower), Some(upper)) = (operands[1].literal(), operands[2].literal()) {
            check_bounds(kind, lower, upper)?;
        }
        Ok(Node::Between(operands))
    }

    /// `IN`: the operand, then the candidates.
    ///
    /// # Errors
    /// There are too many candidates, or the operand is one of them.
    pub fn is_in(kind: ExprKind, operands: Vec<Operand>) -> Result<Node, ExprError> {
        let candidates = operands.len() - 1;
        if candidates > limits::IN_OPERANDS_MAX {
            return Err(ExprError::invalid(
                kind,
                format_args!("The IN operator is provided with too many operands; number of operands: {candidates}"),
            ));
        }
        check_distinct(kind, "IN", &operands[0], &operands[1..])?;
        Ok(Node::In(operands))
    }

    /// A function that is a condition.
    ///
    /// # Errors
    /// There is no such function, or its operands are not what it takes.
    pub fn call(kind: ExprKind, name: &str, operands: Vec<Operand>) -> Result<Node, ExprError> {
        match name {
            "attribute_exists" | "attribute_not_exists" => match counted(kind, name, operands)? {
                [Operand::Path(path)] if name == "attribute_exists" => Ok(Node::Exists(path)),
                [Operand::Path(path)] => Ok(Node::NotExists(path)),
                [_] => Err(path_required(kind, name)),
            },
            "attribute_type" => {
                let [operand, wanted] = counted(kind, name, operands)?;
                check_distinct(kind, name, &operand, std::slice::from_ref(&wanted))?;
                match &wanted {
                    Operand::Value(value) => match &**value {
                        AttributeValue::S(wanted) => Ok(Node::HasType(operand, known_type(kind, wanted)?)),
                        other => Err(wrong_operand_type(kind, name, other.type_name())),
                    },
                    Operand::Path(_) => Err(wrong_operand_type(kind, name, TYPES_OF_PATH)),
                    Operand::Size(_) => Err(wrong_operand_type(kind, name, "N")),
                }
            }
            "begins_with" => {
                let [operand, prefix] = counted(kind, name, operands)?;
                check_distinct(kind, name, &operand, std::slice::from_ref(&prefix))?;
                for operand in [&operand, &prefix] {
                    if let Some(type_name) = operand.type_name().filter(|name| !matches!(*name, "S" | "B")) {
                        return Err(wrong_operand_type(kind, name, type_name));
                    }
                }
                Ok(Node::BeginsWith(operand, prefix))
            }
            "contains" => {
                let [container, member] = counted(kind, name, operands)?;
                check_distinct(kind, name, &container, std::slice::from_ref(&member))?;
                Ok(Node::Contains(container, member))
            }
            _ => Err(unknown_function(kind, name)),
        }
    }
}

impl Operand {
    /// The function `size`, called `name` in texts.
    ///
    /// # Errors
    /// It is not called with one operand that can have a size.
    pub fn size(kind: ExprKind, name: &str, operands: Vec<Operand>) -> Result<Operand, ExprError> {
        let [operand] = counted(kind, name, operands)?;
        if let Some(type_name @ ("N" | "BOOL" | "NULL")) = operand.type_name() {
            return Err(wrong_operand_type(kind, name, type_name));
        }
        Ok(Operand::Size(Box::new(operand)))
    }
}

/// The operands of a function that takes `N` of them.
fn counted<const N: usize>(kind: ExprKind, name: &str, operands: Vec<Operand>) -> Result<[Operand; N], ExprError> {
    operands.try_into().map_err(|all: Vec<_>| wrong_operand_count(kind, name, all.len()))
}

fn known_type(kind: ExprKind, wanted: &str) -> Result<String, ExprError> {
    if TYPES_VALID[1..TYPES_VALID.len() - 1].split(',').any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    Err(ExprError::invalid(
        kind,
        format_args!("Invalid attribute type name found; type: {wanted}, valid types: {TYPES_VALID}"),
    ))
}

fn check_distinct(kind: ExprKind, operator: &str, first: &Operand, others: &[Operand]) -> Result<(), ExprError> {
    match first.path() {
        Some(path) if others.iter().any(|other| other.path() == Some(path)) => Err(not_distinct(kind, operator, path)),
        _ => Ok(()),
    }
}

fn check_ordered<'a>(
    kind: ExprKind,
    operator: &str,
    operands: impl IntoIterator<Item = &'a Operand>,
) -> Result<(), ExprError> {
    for operand in operands {
        if let Some(type_name) = operand.type_name().filter(|name| !matches!(*name, "S" | "N" | "B")) {
            return Err(wrong_operand_type(kind, operator, type_name));
        }
    }
    Ok(())
}

fn check_bounds(kind: ExprKind, lower: &AttributeValue, upper: &AttributeValue) -> Result<(), ExprError> {
    let rule = match order(lower, upper) {
        None => "same data type for lower and upper bounds",
        Some(std::cmp::Ordering::Greater) => "upper bound to be greater than or equal to lower bound",
        Some(_) => return Ok(()),
    };
    Err(ExprError::invalid(
        kind,
        format_args!(
            "The BETWEEN operator requires {rule}; lower bound operand: AttributeValue: {}, \
             upper bound operand: AttributeValue: {}",
            Scalar(lower),
            Scalar(upper)
        ),
    ))
}

/// A string, number or binary as the text about BETWEEN prints it: `{S:z}`.
struct Scalar<'a>(&'a AttributeValue);

impl std::fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use base64::Engine as _;
        match self.0 {
            AttributeValue::S(text) => write!(f, "{{S:{}}}", echo(text)),
            AttributeValue::N(number) => write!(f, "{{N:{number}}}"),
            AttributeValue::B(bytes) => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                write!(f, "{{B:{}}}", echo(&text))
            }
            other => write!(f, "{{{}}}", other.type_name()),
        }
    }
}
