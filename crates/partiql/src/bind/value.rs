//! Values that a statement writes out, with the parameters in them. Source: docs/spec/dynamodb-api.md 7.3, 3.2, 3.3.

use std::collections::{BTreeMap, BTreeSet};

use tailrace_core::attribute_json::check_name;
use tailrace_core::limits::NESTING_LEVELS_MAX;
use tailrace_core::{AttributeValue, Item};

use super::Binder;
use crate::error::StatementError;
use crate::syntax::{Expr, Term};

impl Binder<'_> {
    /// The item that is inserted.
    pub(super) fn item(self, expr: &Expr) -> Result<Item, StatementError> {
        match &expr.term {
            Term::Struct(members) => self.members(members, "root", 0),
            _ => Err(StatementError::ItemFormat(expr.place)),
        }
    }

    /// A value.
    pub(super) fn value(self, expr: &Expr) -> Result<AttributeValue, StatementError> {
        self.value_under(expr, "root", 1)
    }

    /// `under`: the names down to the value. `level`: how deep it is, an attribute's own value being at 1.
    fn value_under(self, expr: &Expr, under: &str, level: usize) -> Result<AttributeValue, StatementError> {
        if level > NESTING_LEVELS_MAX {
            return Err(nesting());
        }
        let no_value =
            || StatementError::NoValue { name: expr.term.name(), under: under.to_owned(), place: expr.place };
        let elements = |elements: &[Expr]| -> Result<Vec<AttributeValue>, StatementError> {
            if level == NESTING_LEVELS_MAX {
                return Err(nesting());
            }
            let element = |(index, element)| self.value_under(element, &format!("{under}.{index}"), level + 1);
            elements.iter().enumerate().map(element).collect()
        };
        match &expr.term {
            Term::Value(value) => Ok(value.clone()),
            Term::Parameter(index) => {
                let value = self.parameters.get(*index).ok_or(StatementError::ParameterCount)?;
                if level - 1 + levels(value) > NESTING_LEVELS_MAX {
                    return Err(nesting());
                }
                Ok(value.clone())
            }
            Term::Row(values) if values.len() == 1 => self.value_under(&values[0], under, level),
            Term::List(values) | Term::Row(values) => Ok(AttributeValue::L(elements(values)?)),
            Term::Bag(values) => self.set(values),
            Term::Struct(members) => {
                if level == NESTING_LEVELS_MAX {
                    return Err(nesting());
                }
                Ok(AttributeValue::M(self.members(members, under, level)?))
            }
            Term::Ion(name) => Err(StatementError::Ion { name, under: under.to_owned(), place: expr.place }),
            Term::Missing if level == 1 => Err(StatementError::MissingCompared),
            _ => Err(no_value()),
        }
    }

    fn members(self, members: &[(Expr, Expr)], under: &str, level: usize) -> Result<Item, StatementError> {
        let mut read = BTreeMap::new();
        for (key, value) in members {
            let Term::Value(AttributeValue::S(name)) = &key.term else {
                return Err(StatementError::TupleKey {
                    name: key.term.name(),
                    under: under.to_owned(),
                    place: key.place,
                });
            };
            check_name(name).map_err(|e| StatementError::Core(e.current))?;
            if read.contains_key(name) {
                let (name, under) = (name.clone(), under.to_owned());
                return Err(StatementError::DuplicateTupleKey { name, under, place: key.place });
            }
            // The names begin below the attribute.
            let under = if level == 0 { under.to_owned() } else { format!("{under}.{name}") };
            let value = match self.value_under(value, &under, level + 1) {
                // Inside of an item it is a value like any other that there is not.
                Err(StatementError::MissingCompared) => {
                    return Err(StatementError::NoValue { name: "MISSING", under, place: value.place });
                }
                value => value?,
            };
            read.insert(name.clone(), value);
        }
        Ok(read)
    }

    /// A set: all numbers, all strings, or (parameters) all binaries.
    fn set(self, members: &[Expr]) -> Result<AttributeValue, StatementError> {
        let Some(first) = members.first() else { return Err(StatementError::EmptyBag) };
        let mut set = match self.value(first)? {
            AttributeValue::S(_) => AttributeValue::Ss(BTreeSet::new()),
            AttributeValue::N(_) => AttributeValue::Ns(BTreeSet::new()),
            AttributeValue::B(_) => AttributeValue::Bs(BTreeSet::new()),
            _ => return Err(StatementError::BagMember(first.place)),
        };
        for member in members {
            let fresh = match (&mut set, self.value(member)?) {
                (AttributeValue::Ss(set), AttributeValue::S(text)) => set.insert(text),
                (AttributeValue::Ns(set), AttributeValue::N(number)) => set.insert(number),
                (AttributeValue::Bs(set), AttributeValue::B(bytes)) => set.insert(bytes),
                _ => return Err(StatementError::BagMember(member.place)),
            };
            if !fresh {
                return Err(StatementError::DuplicateMember);
            }
        }
        Ok(set)
    }
}

/// How many levels a value has; an empty list or map counts as if it held something.
fn levels(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::L(elements) => 1 + elements.iter().map(levels).max().unwrap_or(1),
        AttributeValue::M(members) => 1 + members.values().map(levels).max().unwrap_or(1),
        _ => 1,
    }
}

fn nesting() -> StatementError {
    StatementError::Core(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
            .to_owned(),
    )
}
