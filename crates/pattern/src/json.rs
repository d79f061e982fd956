//! JSON values as events.

use std::borrow::Cow;
use std::convert::Infallible;

use serde_json::Value;

use crate::node::{Kind, Node};

impl Node for &Value {
    type Error = Infallible;

    fn kind(&self) -> Result<Kind<'_>, Infallible> {
        Ok(match self {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Kind::Text(Cow::Borrowed(text)),
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
        })
    }

    fn member(&self, name: &str) -> Result<Option<Self>, Infallible> {
        Ok(self.get(name))
    }

    fn any_element(&self, answer: &mut dyn FnMut(Self) -> Result<bool, Infallible>) -> Result<bool, Infallible> {
        for element in self.as_array().into_iter().flatten() {
            if answer(element)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
