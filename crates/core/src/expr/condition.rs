//! Conditions and filters: from the parsed text to a tree that was checked and owns what it needs.
//!
//! The tree answers [`Condition::matches`] for any item without an error: a missing attribute or one of another type
//! has an answer for every operator (`evaluate`). Source: docs/spec/dynamodb-api.md 4.2.

use std::sync::Arc;

use super::error::{ExprError, ExprKind};
use super::path::Path;
use super::placeholders::Placeholders;
use super::resolve::{
    check_path_words, misused_function, resolve_path, resolve_value, too_many_operators, unknown_function,
};
use super::syntax::{self, Comparator, RawCall, RawCondition, RawOperand};
use crate::limits;
use crate::value::{AttributeValue, Item};

/// A condition or filter, checked and ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(crate) root: Node,
}

/// A node of a condition's tree. What is made of operands is made by the checked constructors of `build`.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Two operands compared.
    Compare(Comparison, Operand, Operand),
    /// `BETWEEN`: the operand, and its lower and upper bound.
    Between([Operand; 3]),
    /// `IN`: the operand, then the candidates.
    In(Vec<Operand>),
    /// All hold.
    And(Vec<Node>),
    /// One holds.
    Or(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// `attribute_exists`.
    Exists(Path),
    /// `attribute_not_exists`.
    NotExists(Path),
    /// `attribute_type`, with the type's name on the wire.
    HasType(Operand, String),
    /// `begins_with`: the operand and the prefix.
    BeginsWith(Operand, Operand),
    /// `contains`: the container and the member.
    Contains(Operand, Operand),
}

/// A comparator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`.
    Equal,
    /// `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterEqual,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// The value at a path.
    Path(Path),
    /// A value of the request.
    Value(Arc<AttributeValue>),
    /// `size` of another operand.
    Size(Box<Operand>),
}

impl Comparison {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterEqual => ">=",
        }
    }
}

impl Operand {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Operand::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(super) fn literal(&self) -> Option<&AttributeValue> {
        match self {
            Operand::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The type, where it is known without an item.
    pub(super) fn type_name(&self) -> Option<&'static str> {
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

    /// The condition of a tree.
    pub fn of(root: Node) -> Condition {
        Condition { root }
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
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
                Node::compare(self.kind, comparison(*comparator), left, right)?
            }
            RawCondition::Between([value, lower, upper]) => {
                Node::between(self.kind, [self.operand(value)?, self.operand(lower)?, self.operand(upper)?])?
            }
            RawCondition::In(raw) => {
                Node::is_in(self.kind, raw.iter().map(|operand| self.operand(operand)).collect::<Result<_, _>>()?)?
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
                operand = Operand::size(self.kind, call.name, operands)?;
            }
        }
    }

    fn call(&mut self, call: &RawCall<'_>) -> Result<Node, ExprError> {
        let operands = call.operands.iter().map(|operand| self.operand(operand)).collect::<Result<_, _>>()?;
        Node::call(self.kind, call.name, operands)
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
