//! What a condition answers for an item. Never an error: a missing operand, or one of another type, has an answer for
//! every operator. Source: docs/spec/dynamodb-api.md 4.4.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::condition::{Comparison, Node, Operand};
use crate::number::Number;
use crate::value::{AttributeValue, Item};

impl Node {
    /// Whether the condition holds.
    pub(super) fn holds(&self, item: &Item) -> bool {
        match self {
            Node::And(nodes) => nodes.iter().all(|node| node.holds(item)),
            Node::Or(nodes) => nodes.iter().any(|node| node.holds(item)),
            Node::Not(node) => !node.holds(item),
            Node::Exists(path) => path.get(item).is_some(),
            Node::NotExists(path) => path.get(item).is_none(),
            Node::Compare(comparison, left, right) => compare(*comparison, left.value(item), right.value(item)),
            Node::Between([value, lower, upper]) => match (value.value(item), lower.value(item), upper.value(item)) {
                (Some(value), Some(lower), Some(upper)) => {
                    order(&lower, &value).is_some_and(Ordering::is_le)
                        && order(&value, &upper).is_some_and(Ordering::is_le)
                }
                _ => false,
            },
            Node::In(operands) => match operands[0].value(item) {
                Some(value) => operands[1..].iter().any(|candidate| candidate.value(item).is_some_and(|c| c == value)),
                None => false,
            },
            Node::HasType(operand, wanted) => operand.value(item).is_some_and(|value| value.type_name() == wanted),
            Node::BeginsWith(operand, prefix) => match (operand.value(item), prefix.value(item)) {
                (Some(value), Some(prefix)) => begins_with(&value, &prefix),
                _ => false,
            },
            Node::Contains(container, member) => match (container.value(item), member.value(item)) {
                (Some(container), Some(member)) => contains(&container, &member),
                _ => false,
            },
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, AttributeValue>> {
        match self {
            Operand::Path(path) => path.get(item).map(Cow::Borrowed),
            Operand::Value(value) => Some(Cow::Borrowed(value)),
            Operand::Size(inner) => {
                let size = size(&*inner.value(item)?)?;
                Some(Cow::Owned(AttributeValue::N(Number::from(size as i64))))
            }
        }
    }
}

fn compare(
    comparison: Comparison,
    left: Option<Cow<'_, AttributeValue>>,
    right: Option<Cow<'_, AttributeValue>>,
) -> bool {
    let (Some(left), Some(right)) = (left, right) else {
        return comparison == Comparison::NotEqual;
    };
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Less => order(&left, &right).is_some_and(Ordering::is_lt),
        Comparison::LessEqual => order(&left, &right).is_some_and(Ordering::is_le),
        Comparison::Greater => order(&left, &right).is_some_and(Ordering::is_gt),
        Comparison::GreaterEqual => order(&left, &right).is_some_and(Ordering::is_ge),
    }
}

/// The order of two strings, two numbers or two binaries; nothing else has one.
pub(crate) fn order(a: &AttributeValue, b: &AttributeValue) -> Option<Ordering> {
    match (a, b) {
        (AttributeValue::S(a), AttributeValue::S(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (AttributeValue::N(a), AttributeValue::N(b)) => Some(a.cmp(b)),
        (AttributeValue::B(a), AttributeValue::B(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// `begins_with`, on two strings or two binaries.
pub(super) fn begins_with(value: &AttributeValue, prefix: &AttributeValue) -> bool {
    match (value, prefix) {
        (AttributeValue::S(value), AttributeValue::S(prefix)) => value.starts_with(prefix.as_str()),
        (AttributeValue::B(value), AttributeValue::B(prefix)) => value.starts_with(prefix),
        _ => false,
    }
}

/// `contains`. A search in text or bytes is linear in the two together, whatever they hold: a filter may run it hundreds
/// of times on an item of 400 KB.
fn contains(container: &AttributeValue, member: &AttributeValue) -> bool {
    match (container, member) {
        (AttributeValue::S(text), AttributeValue::S(part)) => {
            memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
        }
        (AttributeValue::B(bytes), AttributeValue::B(part)) => memchr::memmem::find(bytes, part).is_some(),
        (AttributeValue::Ss(set), AttributeValue::S(member)) => set.contains(member),
        (AttributeValue::Ns(set), AttributeValue::N(member)) => set.contains(member),
        (AttributeValue::Bs(set), AttributeValue::B(member)) => set.contains(member),
        (AttributeValue::L(elements), member) => elements.contains(member),
        _ => false,
    }
}

/// `size`: UTF-16 code units, bytes, or members; the other types have none.
fn size(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.encode_utf16().count()),
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::L(elements) => Some(elements.len()),
        AttributeValue::M(members) => Some(members.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    }
}
