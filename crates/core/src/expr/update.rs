//! Updates: from the parsed text to checked actions that own what they need. `apply` carries them out.
//! Source: docs/spec/dynamodb-api.md 4.6.

use std::sync::Arc;

use super::error::{ExprError, ExprKind};
use super::path::Path;
use super::placeholders::Placeholders;
use super::resolve::{
    check_distinct_paths, check_path_words, misused_function, not_distinct, path_required, resolve_distinct_paths,
    resolve_path, resolve_value, too_many_operators, unknown_function, wrong_operand_count, wrong_operand_type,
};
use super::syntax::{self, RawAction, RawCall, RawOperand, RawPath, RawSetValue, RawUpdate};
use crate::limits;
use crate::value::AttributeValue;

const KIND: ExprKind = ExprKind::Update;

/// A checked update: actions whose targets do not stand in each other's way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// In written order.
    pub(crate) actions: Vec<Action>,
    /// Whose rules apply.
    pub(crate) dialect: Dialect,
}

/// What an update was written in; the rules and texts differ a little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `UpdateExpression`.
    #[default]
    Expression,
    /// `AttributeUpdates`.
    Legacy,
    /// A PartiQL statement: it has no request charge, and what it touched in a list is answered packed (3.4, 4.8).
    Statement,
}

/// What happens to one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What is changed.
    pub target: Path,
    /// How.
    pub change: Change,
}

/// How a target is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It becomes this.
    Set(SetValue),
    /// It is taken away.
    Remove,
    /// A number is added to, or members to a set.
    Add(Arc<AttributeValue>),
    /// Members are taken out of a set.
    Delete(Arc<AttributeValue>),
}

/// A right-hand side of `SET`.
#[derive(Clone, Debug, PartialEq)]
pub enum SetValue {
    /// The value at a path.
    Path(Path),
    /// A value of the request.
    Value(Arc<AttributeValue>),
    /// The value at a path, or another where there is none.
    IfNotExists(Path, Box<SetValue>),
    /// Two lists, one behind the other.
    ListAppend(Box<SetValue>, Box<SetValue>),
    /// A sum.
    Plus(Box<SetValue>, Box<SetValue>),
    /// A difference.
    Minus(Box<SetValue>, Box<SetValue>),
}

impl Update {
    /// Parses and checks an `UpdateExpression`.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Update, ExprError> {
        let (raw, operators) = syntax::update(text)?;
        check_sections(&raw)?;
        let targets = resolve_distinct_paths(KIND, raw.actions.iter().map(target), placeholders)?;
        let mut actions = Vec::with_capacity(targets.len());
        // The last action is looked at first, as in the API's own parser.
        for (raw, target) in raw.actions.iter().zip(targets).rev() {
            let change = match raw {
                RawAction::Set(_, value) => Change::Set(set_value(value, placeholders)?),
                RawAction::Remove(_) => Change::Remove,
                RawAction::Add(_, key) => Change::Add(set_operand("ADD", key, placeholders)?),
                RawAction::Delete(_, key) => Change::Delete(set_operand("DELETE", key, placeholders)?),
            };
            actions.push(Action { target, change });
        }
        actions.reverse();
        if operators > limits::EXPRESSION_OPERATORS_MAX {
            return Err(too_many_operators(KIND));
        }
        Ok(Update { actions, dialect: Dialect::Expression })
    }

    /// Whether it is one of `AttributeUpdates`.
    pub fn is_legacy(&self) -> bool {
        self.dialect == Dialect::Legacy
    }

    /// The update of a PartiQL statement.
    ///
    /// # Errors
    /// Two targets stand in each other's way.
    pub fn of_statement(actions: Vec<Action>) -> Result<Update, ExprError> {
        check_distinct_paths(actions.iter().map(|action| &action.target))?;
        Ok(Update { actions, dialect: Dialect::Statement })
    }

    /// Calls `visit` with every target, in written order.
    pub fn visit_targets<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        self.actions.iter().for_each(|action| visit(&action.target));
    }

    /// Calls `visit` with every target that is set to a value of the request, or that one is added to, and the value.
    pub fn visit_values<'a>(&'a self, visit: &mut dyn FnMut(&'a Path, &'a AttributeValue)) {
        for action in &self.actions {
            if let Change::Set(SetValue::Value(value)) | Change::Add(value) = &action.change {
                visit(&action.target, value);
            }
        }
    }

    /// Calls `visit` with every document path that a right-hand side reads, in written order.
    pub fn visit_read_paths<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        for action in &self.actions {
            if let Change::Set(value) = &action.change {
                value.visit_paths(visit);
            }
        }
    }
}

impl SetValue {
    /// `left + right` or `left - right`.
    ///
    /// # Errors
    /// An operand is a value that is no number.
    pub fn arithmetic(kind: ExprKind, sign: &str, left: SetValue, right: SetValue) -> Result<SetValue, ExprError> {
        for operand in [&left, &right] {
            if let Some(type_name) = operand.literal_type().filter(|name| *name != "N") {
                return Err(wrong_operand_type(kind, sign, type_name));
            }
        }
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(if sign == "+" { SetValue::Plus(left, right) } else { SetValue::Minus(left, right) })
    }

    /// `list_append` or `if_not_exists`; the caller has seen that it is one of them.
    ///
    /// # Errors
    /// The operands are not what it takes.
    pub fn call(kind: ExprKind, name: &str, operands: Vec<SetValue>) -> Result<SetValue, ExprError> {
        let [first, second] =
            <[SetValue; 2]>::try_from(operands).map_err(|all| wrong_operand_count(kind, name, all.len()))?;
        if name == "list_append" {
            for operand in [&first, &second] {
                if let Some(type_name) = operand.literal_type().filter(|name| *name != "L") {
                    return Err(wrong_operand_type(kind, name, type_name));
                }
            }
            return Ok(SetValue::ListAppend(Box::new(first), Box::new(second)));
        }
        let SetValue::Path(path) = first else {
            return Err(path_required(kind, name));
        };
        if second == SetValue::Path(path.clone()) {
            return Err(not_distinct(kind, name, &path));
        }
        Ok(SetValue::IfNotExists(path, Box::new(second)))
    }

    fn visit_paths<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        match self {
            SetValue::Path(path) => visit(path),
            SetValue::Value(_) => {}
            SetValue::IfNotExists(path, otherwise) => {
                visit(path);
                otherwise.visit_paths(visit);
            }
            SetValue::ListAppend(a, b) | SetValue::Plus(a, b) | SetValue::Minus(a, b) => {
                a.visit_paths(visit);
                b.visit_paths(visit);
            }
        }
    }

    fn literal_type(&self) -> Option<&'static str> {
        match self {
            SetValue::Value(value) => Some(value.type_name()),
            _ => None,
        }
    }
}

fn target<'a>(action: &'a RawAction<'a>) -> &'a RawPath<'a> {
    match action {
        RawAction::Set(path, _) | RawAction::Remove(path) | RawAction::Add(path, _) | RawAction::Delete(path, _) => {
            path
        }
    }
}

/// Section by section: the words of its actions, then that it is the first of its kind.
fn check_sections(raw: &RawUpdate<'_>) -> Result<(), ExprError> {
    for (i, &(section, first)) in raw.sections.iter().enumerate() {
        let end = raw.sections.get(i + 1).map_or(raw.actions.len(), |&(_, first)| first);
        raw.actions[first..end].iter().try_for_each(check_words)?;
        if raw.sections[..i].iter().any(|&(before, _)| before == section) {
            return Err(ExprError::invalid(
                KIND,
                format_args!("The \"{section}\" section can only be used once in an update expression;"),
            ));
        }
    }
    Ok(())
}

fn check_words(action: &RawAction<'_>) -> Result<(), ExprError> {
    check_path_words(KIND, target(action))?;
    match action {
        RawAction::Set(_, RawSetValue::Operand(operand)) => check_operand_words(operand, Place::Value),
        RawAction::Set(_, RawSetValue::Plus(a, b) | RawSetValue::Minus(a, b)) => {
            check_operand_words(a, Place::Inside)?;
            check_operand_words(b, Place::Inside)
        }
        RawAction::Remove(_) | RawAction::Add(..) | RawAction::Delete(..) => Ok(()),
    }
}

/// Where an operand stands: `list_append` is allowed only as a whole right-hand side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Value,
    Inside,
}

fn check_operand_words(operand: &RawOperand<'_>, place: Place) -> Result<(), ExprError> {
    match operand {
        RawOperand::Path(path) => check_path_words(KIND, path),
        RawOperand::Value(_) => Ok(()),
        RawOperand::Parenthesized(inner) => check_operand_words(inner, place),
        RawOperand::Call(call) => {
            match call.name {
                "if_not_exists" => {}
                "list_append" if place == Place::Value => {}
                "list_append" => return Err(misused_function(KIND, call.name)),
                "size"
                | "attribute_exists"
                | "attribute_not_exists"
                | "attribute_type"
                | "begins_with"
                | "contains" => {
                    return Err(ExprError::invalid(
                        KIND,
                        format_args!("The function is not allowed in an update expression; function: {}", call.name),
                    ));
                }
                name => return Err(unknown_function(KIND, name)),
            }
            call.operands.iter().try_for_each(|operand| check_operand_words(operand, Place::Inside))
        }
    }
}

fn set_value(raw: &RawSetValue<'_>, placeholders: &mut Placeholders) -> Result<SetValue, ExprError> {
    let (sign, left, right) = match raw {
        RawSetValue::Operand(operand) => return set_value_operand(operand, placeholders),
        RawSetValue::Plus(left, right) => ("+", left, right),
        RawSetValue::Minus(left, right) => ("-", left, right),
    };
    let (left, right) = (set_value_operand(left, placeholders)?, set_value_operand(right, placeholders)?);
    SetValue::arithmetic(KIND, sign, left, right)
}

fn set_value_operand(raw: &RawOperand<'_>, placeholders: &mut Placeholders) -> Result<SetValue, ExprError> {
    match raw {
        RawOperand::Path(path) => Ok(SetValue::Path(resolve_path(KIND, path, placeholders)?)),
        RawOperand::Value(key) => Ok(SetValue::Value(resolve_value(KIND, key, placeholders)?)),
        RawOperand::Parenthesized(inner) => set_value_operand(inner, placeholders),
        RawOperand::Call(call) => function(call, placeholders),
    }
}

fn function(call: &RawCall<'_>, placeholders: &mut Placeholders) -> Result<SetValue, ExprError> {
    let name = call.name;
    // A loop, not an iterator: this is where an update of hundreds of calls in each other recurses.
    let mut operands = Vec::with_capacity(call.operands.len());
    for raw in &call.operands {
        operands.push(set_value_operand(raw, placeholders)?);
    }
    SetValue::call(KIND, name, operands)
}

/// The literal operand of `ADD` or `DELETE`, whose texts have names of their own for the types.
fn set_operand(section: &str, key: &str, placeholders: &mut Placeholders) -> Result<Arc<AttributeValue>, ExprError> {
    let value = resolve_value(KIND, key, placeholders)?;
    let type_name = match &*value {
        AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => return Ok(value),
        AttributeValue::N(_) if section == "ADD" => return Ok(value),
        AttributeValue::N(_) => "NUMBER",
        AttributeValue::S(_) => "STRING",
        AttributeValue::B(_) => "BINARY",
        AttributeValue::Null => "NULL",
        AttributeValue::Bool(_) => "BOOLEAN",
        AttributeValue::L(_) => "LIST",
        AttributeValue::M(_) => "MAP",
    };
    Err(ExprError::invalid(
        KIND,
        format_args!(
            "Incorrect operand type for operator or function; operator: {section}, operand type: {type_name}, \
             typeSet: ALLOWED_FOR_{section}_OPERAND"
        ),
    ))
}
