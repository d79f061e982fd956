//! The request charge of UpdateItem: what the update itself weighs, which must fit the largest item, whatever is
//! stored. Source: docs/spec/dynamodb-api.md 3.4, limits.

use super::error::ExprError;
use super::path::{Element, Path};
use super::update::{Change, Dialect, SetValue, Update};
use crate::limits;
use crate::size::value_size;

impl Update {
    /// Refuses an update whose request charge is above the largest item. Checked before the condition.
    pub fn check_request_charge(&self) -> Result<(), ExprError> {
        if self.dialect == Dialect::Expression && self.request_charge_bytes() > limits::ITEM_BYTES_MAX {
            return Err(ExprError::bare("Item size to update has exceeded the maximum allowed size"));
        }
        Ok(())
    }

    fn request_charge_bytes(&self) -> usize {
        let actions = self.actions.iter().map(|action| {
            let target = target_bytes(&action.target);
            match &action.change {
                Change::Set(value) => 19 + target + set_value_bytes(value),
                Change::Add(value) => 19 + target + value_size(value),
                Change::Remove | Change::Delete(_) => 1 + target,
            }
        });
        3 + actions.sum::<usize>()
    }
}

fn element_bytes(element: &Element) -> usize {
    match element {
        Element::Name(name) => name.len(),
        Element::Index(index) => index.checked_ilog10().unwrap_or(0) as usize + 1,
    }
}

fn target_bytes(path: &Path) -> usize {
    let below = path.elements()[1..].iter().map(|element| 4 + element_bytes(element));
    path.head().len() + below.sum::<usize>()
}

fn path_operand_bytes(path: &Path) -> usize {
    1 + path.elements().iter().map(|element| 14 + element_bytes(element)).sum::<usize>()
}

fn set_value_bytes(value: &SetValue) -> usize {
    match value {
        SetValue::Value(value) => value_size(value),
        SetValue::Path(path) => path_operand_bytes(path),
        SetValue::Plus(a, b) => 34 + set_value_bytes(a) + set_value_bytes(b),
        SetValue::Minus(a, b) | SetValue::ListAppend(a, b) => 37 + set_value_bytes(a) + set_value_bytes(b),
        SetValue::IfNotExists(path, otherwise) => 39 + path_operand_bytes(path) + set_value_bytes(otherwise),
    }
}
