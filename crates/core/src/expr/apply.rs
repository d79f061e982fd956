//! Carries out an update on an item.
//!
//! Every right-hand side and every list index sees the item as it was before: what each target gets is computed first,
//! then the targets are sorted into a tree of changes that is laid over the item in one walk. Source: docs/spec/dynamodb-api.md
//! 4.6-4.8; what `AttributeUpdates` does differently: 6.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::ExprError;
use super::path::{Element, Path};
use super::projection::Projection;
use super::update::{Action, Change, Dialect, SetValue, Update};
use crate::limits;
use crate::number::{Number, NumberError};
use crate::value::{AttributeValue, Item};

/// The effects below one place of the item.
enum Plan<'u> {
    /// The value that the place gets; `None`: nothing is to be there.
    Here(Option<AttributeValue>),
    Members(BTreeMap<&'u str, Plan<'u>>),
    Elements(BTreeMap<u32, Plan<'u>>),
}

impl Update {
    /// The item after the update. `old` is the item before it; for an item that does not exist yet, its key alone.
    pub fn apply(&self, old: &Item) -> Result<Item, ExprError> {
        let mut plans: BTreeMap<&str, Plan<'_>> = BTreeMap::new();
        for action in &self.actions {
            let effect = self.effect(action, old)?;
            let below = &action.target.elements()[1..];
            match plans.entry(action.target.head()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(Plan::chain(below, effect));
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(below, effect),
            }
        }
        let mut item = old.clone();
        Self::change_members(&mut item, plans, 1)?;
        Ok(item)
    }

    /// What `UPDATED_OLD` answers of the item before, and `UPDATED_NEW` of the item after: the targets that are there.
    /// Of a list with such a target in it, all of it; a statement is answered the touched elements alone.
    pub fn touched(&self, item: &Item) -> Item {
        if self.dialect == Dialect::Statement {
            return Projection::of(self.actions.iter().map(|action| action.target.clone()).collect()).apply(item);
        }
        let present = self.actions.iter().filter(|action| action.target.get(item).is_some());
        let whole_lists = present.map(|action| {
            let elements = action.target.elements();
            let names = elements.iter().take_while(|element| matches!(element, Element::Name(_))).count();
            Path::of(elements[..names].to_vec())
        });
        Projection::of(whole_lists.collect()).apply(item)
    }

    /// What the target gets. The faults of one action come in the order target, values, types.
    fn effect(&self, action: &Action, old: &Item) -> Result<Option<AttributeValue>, ExprError> {
        check_target(&action.target, old)?;
        let before = || action.target.get(old);
        match &action.change {
            Change::Set(value) => Ok(Some(value.evaluate(old)?.into_owned())),
            Change::Remove => Ok(None),
            Change::Add(operand) => self.add(before().cloned(), operand).map(Some),
            Change::Delete(operand) => self.delete(before().cloned(), operand),
        }
    }

    fn change_members(members: &mut Item, plans: BTreeMap<&str, Plan<'_>>, depth: usize) -> Result<(), ExprError> {
        for (name, plan) in plans {
            let old = members.remove(name);
            if let Some(new) = Self::change(old, plan, depth)? {
                members.insert(name.to_owned(), new);
            }
        }
        Ok(())
    }

    /// The value at a place after `plan`; `None`: nothing is there any more.
    fn change(old: Option<AttributeValue>, plan: Plan<'_>, depth: usize) -> Result<Option<AttributeValue>, ExprError> {
        match (plan, old) {
            (Plan::Here(Some(value)), _) => {
                check_depth(&value, depth)?;
                Ok(Some(value))
            }
            (Plan::Here(None), _) => Ok(None),
            (Plan::Members(plans), Some(AttributeValue::M(mut members))) => {
                Self::change_members(&mut members, plans, depth + 1)?;
                Ok(Some(AttributeValue::M(members)))
            }
            (Plan::Elements(plans), Some(AttributeValue::L(elements))) => {
                Ok(Some(AttributeValue::L(Self::change_elements(elements, plans, depth + 1)?)))
            }
            (Plan::Members(_) | Plan::Elements(_), _) => {
                Err(ExprError::bare("The document path provided in the update expression is invalid for update"))
            }
        }
    }

    /// Indexes count in the list as it was; what is put behind its end is appended in the order of the indexes.
    fn change_elements(
        elements: Vec<AttributeValue>,
        mut plans: BTreeMap<u32, Plan<'_>>,
        depth: usize,
    ) -> Result<Vec<AttributeValue>, ExprError> {
        let mut changed = Vec::with_capacity(elements.len() + plans.len());
        for (index, element) in (0..).zip(elements) {
            match plans.remove(&index) {
                None => changed.push(element),
                Some(plan) => changed.extend(Self::change(Some(element), plan, depth)?),
            }
        }
        for plan in plans.into_values() {
            changed.extend(Self::change(None, plan, depth)?);
        }
        Ok(changed)
    }

    fn add(&self, old: Option<AttributeValue>, operand: &AttributeValue) -> Result<AttributeValue, ExprError> {
        match (old, operand) {
            (None, operand) => Ok(operand.clone()),
            (Some(AttributeValue::N(a)), AttributeValue::N(b)) => {
                a.checked_add(*b).map(AttributeValue::N).map_err(arithmetic_error)
            }
            (Some(AttributeValue::Ss(mut set)), AttributeValue::Ss(more)) => {
                set.extend(more.iter().cloned());
                Ok(AttributeValue::Ss(set))
            }
            (Some(AttributeValue::Ns(mut set)), AttributeValue::Ns(more)) => {
                set.extend(more.iter().copied());
                Ok(AttributeValue::Ns(set))
            }
            (Some(AttributeValue::Bs(mut set)), AttributeValue::Bs(more)) => {
                set.extend(more.iter().cloned());
                Ok(AttributeValue::Bs(set))
            }
            (Some(AttributeValue::L(mut list)), AttributeValue::L(more)) if self.dialect == Dialect::Legacy => {
                list.extend(more.iter().cloned());
                Ok(AttributeValue::L(list))
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn delete(
        &self,
        old: Option<AttributeValue>,
        operand: &AttributeValue,
    ) -> Result<Option<AttributeValue>, ExprError> {
        match (old, operand) {
            (None, _) => Ok(None),
            (Some(AttributeValue::Ss(mut set)), AttributeValue::Ss(gone)) => {
                set.retain(|member| !gone.contains(member));
                Ok((!set.is_empty()).then_some(AttributeValue::Ss(set)))
            }
            (Some(AttributeValue::Ns(mut set)), AttributeValue::Ns(gone)) => {
                set.retain(|member| !gone.contains(member));
                Ok((!set.is_empty()).then_some(AttributeValue::Ns(set)))
            }
            (Some(AttributeValue::Bs(mut set)), AttributeValue::Bs(gone)) => {
                set.retain(|member| !gone.contains(member));
                Ok((!set.is_empty()).then_some(AttributeValue::Bs(set)))
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn wrong_type(&self) -> ExprError {
        if self.dialect == Dialect::Legacy {
            ExprError::bare("Type mismatch for attribute to update")
        } else {
            wrong_data_type()
        }
    }
}

impl<'u> Plan<'u> {
    /// The plan that leads down `below` to `effect`.
    fn chain(below: &'u [Element], effect: Option<AttributeValue>) -> Plan<'u> {
        let mut plan = Plan::Here(effect);
        for element in below.iter().rev() {
            plan = match element {
                Element::Name(name) => Plan::Members(BTreeMap::from([(name.as_str(), plan)])),
                Element::Index(index) => Plan::Elements(BTreeMap::from([(*index, plan)])),
            };
        }
        plan
    }

    fn add(&mut self, below: &'u [Element], effect: Option<AttributeValue>) {
        use std::collections::btree_map::Entry;
        let Some((first, below)) = below.split_first() else {
            unreachable!("invariant: targets of one update do not overlap");
        };
        match (self, first) {
            (Plan::Members(members), Element::Name(name)) => match members.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Plan::chain(below, effect));
                }
                Entry::Occupied(mut entry) => entry.get_mut().add(below, effect),
            },
            (Plan::Elements(elements), Element::Index(index)) => match elements.entry(*index) {
                Entry::Vacant(entry) => {
                    entry.insert(Plan::chain(below, effect));
                }
                Entry::Occupied(mut entry) => entry.get_mut().add(below, effect),
            },
            _ => unreachable!("invariant: targets of one update neither overlap nor conflict"),
        }
    }
}

impl SetValue {
    fn evaluate<'a>(&'a self, old: &'a Item) -> Result<Cow<'a, AttributeValue>, ExprError> {
        match self {
            SetValue::Value(value) => Ok(Cow::Borrowed(value)),
            SetValue::Path(path) => path.get(old).map(Cow::Borrowed).ok_or_else(|| {
                ExprError::bare("The provided expression refers to an attribute that does not exist in the item")
            }),
            SetValue::IfNotExists(path, otherwise) => {
                // The second operand must have a value even where the first is the answer, as in the API's own parser.
                let otherwise = otherwise.evaluate(old)?;
                Ok(path.get(old).map_or(otherwise, Cow::Borrowed))
            }
            SetValue::ListAppend(first, second) => {
                let (first, second) = (first.evaluate(old)?, second.evaluate(old)?);
                match (&*first, &*second) {
                    (AttributeValue::L(first), AttributeValue::L(second)) => {
                        Ok(Cow::Owned(AttributeValue::L(first.iter().chain(second).cloned().collect())))
                    }
                    _ => Err(wrong_data_type()),
                }
            }
            SetValue::Plus(a, b) => arithmetic(a.evaluate(old)?, b.evaluate(old)?, Number::checked_add),
            SetValue::Minus(a, b) => arithmetic(a.evaluate(old)?, b.evaluate(old)?, Number::checked_sub),
        }
    }
}

fn arithmetic<'a>(
    a: Cow<'a, AttributeValue>,
    b: Cow<'a, AttributeValue>,
    operation: fn(Number, Number) -> Result<Number, NumberError>,
) -> Result<Cow<'a, AttributeValue>, ExprError> {
    match (&*a, &*b) {
        (AttributeValue::N(a), AttributeValue::N(b)) => {
            operation(*a, *b).map(|sum| Cow::Owned(AttributeValue::N(sum))).map_err(arithmetic_error)
        }
        _ => Err(wrong_data_type()),
    }
}

fn invalid_path() -> ExprError {
    ExprError::bare("The document path provided in the update expression is invalid for update")
}

/// Looks for the map or list that the target's last element is to be changed in.
fn check_target(target: &Path, old: &Item) -> Result<(), ExprError> {
    let Some((last, parent)) = target.elements().split_last().filter(|(_, parent)| !parent.is_empty()) else {
        return Ok(());
    };
    match (last, Path::of(parent.to_vec()).get(old)) {
        (Element::Name(_), Some(AttributeValue::M(_))) | (Element::Index(_), Some(AttributeValue::L(_))) => Ok(()),
        _ => Err(invalid_path()),
    }
}

fn wrong_data_type() -> ExprError {
    ExprError::bare("An operand in the update expression has an incorrect data type")
}

fn arithmetic_error(error: NumberError) -> ExprError {
    ExprError::bare(error.to_string())
}

/// A value that is put at `depth` (1: a top-level attribute) must not reach below the deepest level. An empty list or map
/// counts as if it held something.
fn check_depth(value: &AttributeValue, depth: usize) -> Result<(), ExprError> {
    fn levels(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::L(elements) => 1 + elements.iter().map(levels).max().unwrap_or(1),
            AttributeValue::M(members) => 1 + members.values().map(levels).max().unwrap_or(1),
            _ => 1,
        }
    }
    if depth - 1 + levels(value) > limits::NESTING_LEVELS_MAX {
        return Err(ExprError::bare("Nesting Levels have exceeded supported limits"));
    }
    Ok(())
}
