//! Conditions and filters: from the parsed text to a tree that was checked and owns what it needs.
//!
//! The tree answers [`Condition::matches`] for any item without an error: a missing attribute or one of another type
//! has an answer for every operator (`evaluate`). Source: docs/spec/dynamodb-api.md 4.2.

use std::sync::Arc;

use super::error::{ExprError, ExprKind};
use super::path::Path;
use super::placeholders::Placeholders;
use super::resolve::{
    check_path_words, misused_function, not_distinct, path_required, resolve_path, resolve_value, too_many_operators,
    unknown_function, wrong_operand_count, wrong_operand_type,
};
use super::syntax::{self, Comparator, RawCall, RawCondition, RawOperand};
use crate::echo::echo;
use crate::limits;
use crate::value::{AttributeValue, Item};

/// The types' names in the order in which two texts list them.
const TYPES_OF_PATH: &str = "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}";
const TYPES_VALID: &str = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}";

/// A condition or filter, checked and ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(crate) root: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Compare(Comparison, Operand, Operand),
    Between([Operand; 3]),
    In(Vec<Operand>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Exists(Path),
    NotExists(Path),
    HasType(Operand, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Arc<AttributeValue>),
    Size(Box<Operand>),
}

impl Operand {
    fn path(&self) -> Option<&Path> {
        match self {
            Operand::Path(path) => Some(path),
            _ => None,
        }
    }

    fn literal(&self) -> Option<&AttributeValue> {
        match self {
            Operand::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The type, where it is known without an item.
    fn type_name(&self) -> Option<&'static str> {
        match self {
            Operand::Path(_) => None,
            Operand::Value(value) => Some(value.type_name()),
            Operand::Size(_) => Some("N"),
        }
    }

    fn visit_paths<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        match self {
            Operand::Path(path) => visit(path),
            Operand::Value(_) => {}
            Operand::Size(inner) => inner.visit_paths(visit),
        }
    }
}

impl Condition {
    /// Parses and checks a `ConditionExpression` or `FilterExpression`.
    pub fn parse(kind: ExprKind, text: &str, placeholders: &mut Placeholders) -> Result<Condition, ExprError> {
        let (raw, operators) = syntax::condition(kind, text)?;
        let leaves = leaves(&raw);
        leaves.iter().try_for_each(|leaf| check_words(kind, leaf))?;
        let mut builder = Builder { kind, placeholders };
        // Every level of the tree is an operator, so that a tree with no more of them than allowed is not too deep to recurse.
        if operators > limits::EXPRESSION_OPERATORS_MAX {
            for leaf in leaves {
                builder.leaf(leaf)?;
            }
            return Err(too_many_operators(kind));
        }
        Ok(Condition { root: builder.node(&raw)? })
    }

    /// Whether the condition holds for `item`; an absent item is an empty one.
    pub fn matches(&self, item: &Item) -> bool {
        self.root.holds(item)
    }

    /// Calls `visit` with every document path, in written order.
    pub fn visit_paths<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        self.root.visit_paths(visit);
    }
}

impl Node {
    fn visit_paths<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        match self {
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.visit_paths(visit)),
            Node::Not(node) => node.visit_paths(visit),
            Node::Exists(path) | Node::NotExists(path) => visit(path),
            Node::HasType(operand, _) => operand.visit_paths(visit),
            Node::Compare(_, a, b) | Node::BeginsWith(a, b) | Node::Contains(a, b) => {
                a.visit_paths(visit);
                b.visit_paths(visit);
            }
            Node::Between(operands) => operands.iter().for_each(|operand| operand.visit_paths(visit)),
            Node::In(operands) => operands.iter().for_each(|operand| operand.visit_paths(visit)),
        }
    }
}

fn is_condition_function(name: &str) -> bool {
    matches!(name, "attribute_exists" | "attribute_not_exists" | "attribute_type" | "begins_with" | "contains")
}

/// What `AND`, `OR` and `NOT` join, left to right. Any text gets here, however deep it nests: nothing recurses.
fn leaves<'r, 'a>(raw: &'r RawCondition<'a>) -> Vec<&'r RawCondition<'a>> {
    let mut leaves = Vec::new();
    let mut waiting = vec![raw];
    while let Some(raw) = waiting.pop() {
        match raw {
            RawCondition::And(nodes) | RawCondition::Or(nodes) => waiting.extend(nodes.iter().rev()),
            RawCondition::Not(_, node) => waiting.push(node),
            _ => leaves.push(raw),
        }
    }
    leaves
}

/// The pass over function names and words, left to right, before anything is looked up.
fn check_words(kind: ExprKind, leaf: &RawCondition<'_>) -> Result<(), ExprError> {
    match leaf {
        RawCondition::Compare(_, left, right) => {
            check_operand_words(kind, left)?;
            check_operand_words(kind, right)
        }
        RawCondition::Between(operands) => operands.iter().try_for_each(|o| check_operand_words(kind, o)),
        RawCondition::In(operands) => operands.iter().try_for_each(|o| check_operand_words(kind, o)),
        RawCondition::Call(call) => {
            check_function(kind, call.name, true)?;
            call.operands.iter().try_for_each(|o| check_operand_words(kind, o))
        }
        RawCondition::And(_) | RawCondition::Or(_) | RawCondition::Not(..) => {
            unreachable!("invariant: these are no leaves")
        }
    }
}

/// Does not recurse, as [`leaves`] does not.
fn check_operand_words(kind: ExprKind, raw: &RawOperand<'_>) -> Result<(), ExprError> {
    let mut waiting = vec![raw];
    while let Some(raw) = waiting.pop() {
        match raw {
            RawOperand::Path(path) => check_path_words(kind, path)?,
            RawOperand::Value(_) => {}
            RawOperand::Call(call) => {
                check_function(kind, call.name, false)?;
                waiting.extend(call.operands.iter().rev());
            }
            RawOperand::Parenthesized(inner) => waiting.push(inner),
        }
    }
    Ok(())
}

fn check_function(kind: ExprKind, name: &str, as_condition: bool) -> Result<(), ExprError> {
    match name {
        "if_not_exists" | "list_append" => Err(ExprError::invalid(
            kind,
            format_args!("The function is not allowed in a condition expression; function: {name}"),
        )),
        "size" if as_condition => Err(misused_function(kind, name)),
        "size" => Ok(()),
        name if !is_condition_function(name) => Err(unknown_function(kind, name)),
        name if !as_condition => Err(misused_function(kind, name)),
        _ => Ok(()),
    }
}

struct Builder<'p> {
    kind: ExprKind,
    placeholders: &'p mut Placeholders,
}

impl Builder<'_> {
    /// Small, since conditions recurse here.
    fn node(&mut self, raw: &RawCondition<'_>) -> Result<Node, ExprError> {
        match raw {
            RawCondition::And(nodes) => Ok(Node::And(self.nodes(nodes)?)),
            RawCondition::Or(nodes) => Ok(Node::Or(self.nodes(nodes)?)),
            RawCondition::Not(times, inner) => Ok(negated(*times, self.node(inner)?)),
            _ => self.leaf(raw),
        }
    }

    fn nodes(&mut self, raw: &[RawCondition<'_>]) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::with_capacity(raw.len());
        for node in raw {
            nodes.push(self.node(node)?);
        }
        Ok(nodes)
    }

    fn leaf(&mut self, raw: &RawCondition<'_>) -> Result<Node, ExprError> {
        Ok(match raw {
            RawCondition::And(_) | RawCondition::Or(_) | RawCondition::Not(..) => {
                unreachable!("invariant: `node` keeps these")
            }
            RawCondition::Compare(comparator, left, right) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.check_distinct(comparator.symbol(), &left, std::slice::from_ref(&right))?;
                if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
                    self.check_ordered(comparator.symbol(), [&left, &right])?;
                }
                Node::Compare(comparison(*comparator), left, right)
            }
            RawCondition::Between([value, lower, upper]) => {
                let operands = [self.operand(value)?, self.operand(lower)?, self.operand(upper)?];
                self.check_ordered("BETWEEN", &operands)?;
                self.check_distinct("BETWEEN", &operands[0], &operands[1..])?;
                if let (Some(lower), Some(upper)) = (operands[1].literal(), operands[2].literal()) {
                    self.check_bounds(lower, upper)?;
                }
                Node::Between(operands)
            }
            RawCondition::In(raw) => {
                let operands = raw.iter().map(|operand| self.operand(operand)).collect::<Result<Vec<_>, _>>()?;
                let candidates = operands.len() - 1;
                if candidates > limits::IN_OPERANDS_MAX {
                    return Err(ExprError::invalid(
                        self.kind,
                        format_args!(
                            "The IN operator is provided with too many operands; number of operands: {candidates}"
                        ),
                    ));
                }
                self.check_distinct("IN", &operands[0], &operands[1..])?;
                Node::In(operands)
            }
            RawCondition::Call(call) => self.call(call)?,
        })
    }

    /// Does not recurse, as [`leaves`] does not. Only `size` is called here.
    fn operand(&mut self, mut raw: &RawOperand<'_>) -> Result<Operand, ExprError> {
        // The calls around `raw`, with the operands that they have so far.
        let mut around: Vec<(&RawCall<'_>, Vec<Operand>)> = Vec::new();
        loop {
            let mut operand = match raw {
                RawOperand::Path(path) => Operand::Path(resolve_path(self.kind, path, self.placeholders)?),
                RawOperand::Value(key) => Operand::Value(resolve_value(self.kind, key, self.placeholders)?),
                RawOperand::Parenthesized(inner) => {
                    raw = inner;
                    continue;
                }
                RawOperand::Call(call) => {
                    raw = &call.operands[0];
                    around.push((call, Vec::new()));
                    continue;
                }
            };
            loop {
                let Some((call, mut operands)) = around.pop() else { return Ok(operand) };
                operands.push(operand);
                if let Some(next) = call.operands.get(operands.len()) {
                    raw = next;
                    around.push((call, operands));
                    break;
                }
                operand = self.size(call, operands)?;
            }
        }
    }

    fn size(&self, call: &RawCall<'_>, operands: Vec<Operand>) -> Result<Operand, ExprError> {
        let [operand] = self.counted(call, operands)?;
        if let Some(type_name @ ("N" | "BOOL" | "NULL")) = operand.type_name() {
            return Err(wrong_operand_type(self.kind, call.name, type_name));
        }
        Ok(Operand::Size(Box::new(operand)))
    }

    /// The operands of a function that takes `N` of them.
    fn operands<const N: usize>(&mut self, call: &RawCall<'_>) -> Result<[Operand; N], ExprError> {
        let operands = call.operands.iter().map(|operand| self.operand(operand)).collect::<Result<Vec<_>, _>>()?;
        self.counted(call, operands)
    }

    fn counted<const N: usize>(&self, call: &RawCall<'_>, operands: Vec<Operand>) -> Result<[Operand; N], ExprError> {
        operands.try_into().map_err(|all: Vec<_>| wrong_operand_count(self.kind, call.name, all.len()))
    }

    fn call(&mut self, call: &RawCall<'_>) -> Result<Node, ExprError> {
        let (kind, name) = (self.kind, call.name);
        match name {
            "attribute_exists" | "attribute_not_exists" => match self.operands(call)? {
                [Operand::Path(path)] if name == "attribute_exists" => Ok(Node::Exists(path)),
                [Operand::Path(path)] => Ok(Node::NotExists(path)),
                [_] => Err(path_required(kind, name)),
            },
            "attribute_type" => {
                let [operand, wanted] = self.operands(call)?;
                self.check_distinct(name, &operand, std::slice::from_ref(&wanted))?;
                match &wanted {
                    Operand::Value(value) => match &**value {
                        AttributeValue::S(wanted) => Ok(Node::HasType(operand, self.known_type(wanted)?)),
                        other => Err(wrong_operand_type(kind, name, other.type_name())),
                    },
                    Operand::Path(_) => Err(wrong_operand_type(kind, name, TYPES_OF_PATH)),
                    Operand::Size(_) => Err(wrong_operand_type(kind, name, "N")),
                }
            }
            "begins_with" => {
                let [operand, prefix] = self.operands(call)?;
                self.check_distinct(name, &operand, std::slice::from_ref(&prefix))?;
                for operand in [&operand, &prefix] {
                    if let Some(type_name) = operand.type_name().filter(|name| !matches!(*name, "S" | "B")) {
                        return Err(wrong_operand_type(kind, name, type_name));
                    }
                }
                Ok(Node::BeginsWith(operand, prefix))
            }
            "contains" => {
                let [container, member] = self.operands(call)?;
                self.check_distinct(name, &container, std::slice::from_ref(&member))?;
                Ok(Node::Contains(container, member))
            }
            // `check_words` lets no other name through.
            _ => Err(unknown_function(kind, name)),
        }
    }

    fn known_type(&self, wanted: &str) -> Result<String, ExprError> {
        if TYPES_VALID[1..TYPES_VALID.len() - 1].split(',').any(|name| name == wanted) {
            return Ok(wanted.to_owned());
        }
        Err(ExprError::invalid(
            self.kind,
            format_args!("Invalid attribute type name found; type: {wanted}, valid types: {TYPES_VALID}"),
        ))
    }

    fn check_distinct(&self, operator: &str, first: &Operand, others: &[Operand]) -> Result<(), ExprError> {
        match first.path() {
            Some(path) if others.iter().any(|other| other.path() == Some(path)) => {
                Err(not_distinct(self.kind, operator, path))
            }
            _ => Ok(()),
        }
    }

    fn check_ordered<'a>(
        &self,
        operator: &str,
        operands: impl IntoIterator<Item = &'a Operand>,
    ) -> Result<(), ExprError> {
        for operand in operands {
            if let Some(type_name) = operand.type_name().filter(|name| !matches!(*name, "S" | "N" | "B")) {
                return Err(wrong_operand_type(self.kind, operator, type_name));
            }
        }
        Ok(())
    }

    fn check_bounds(&self, lower: &AttributeValue, upper: &AttributeValue) -> Result<(), ExprError> {
        let rule = match super::evaluate::order(lower, upper) {
            None => "same data type for lower and upper bounds",
            Some(std::cmp::Ordering::Greater) => "upper bound to be greater than or equal to lower bound",
            Some(_) => return Ok(()),
        };
        Err(ExprError::invalid(
            self.kind,
            format_args!(
                "The BETWEEN operator requires {rule}; lower bound operand: AttributeValue: {}, \
                 upper bound operand: AttributeValue: {}",
                Scalar(lower),
                Scalar(upper)
            ),
        ))
    }
}

/// An even run of NOTs is still a NOT to a key condition, which refuses the operator.
fn negated(times: usize, inner: Node) -> Node {
    let once = Node::Not(Box::new(inner));
    if times % 2 == 1 { once } else { Node::Not(Box::new(once)) }
}

fn comparison(comparator: Comparator) -> Comparison {
    match comparator {
        Comparator::Equal => Comparison::Equal,
        Comparator::NotEqual => Comparison::NotEqual,
        Comparator::Less => Comparison::Less,
        Comparator::LessEqual => Comparison::LessEqual,
        Comparator::Greater => Comparison::Greater,
        Comparator::GreaterEqual => Comparison::GreaterEqual,
    }
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
