//! What a condition says of the key: one item, ranges of partitions, or nothing that would spare a scan. Pure.
//!
//! `=`, `IN` and `OR` of the partition key give the partitions; of what is said of the sort key, one condition (or each of several
//! alternatives) narrows the range, and all the rest is a filter. Alternatives must not overlap, so that no item comes twice.
//! Source: docs/spec/dynamodb-api.md 7.3.

use std::ops::Bound;
use std::sync::Arc;

use tailrace_core::expr::{Comparison, Node, Operand, Path};
use tailrace_core::key::{KeyAttribute, ScalarType, key_value_bytes};
use tailrace_core::limits::STATEMENT_RANGES_MAX;
use tailrace_core::{ApiError, AttributeValue, Item, KeySchema};

use super::refusal::Refusal;
use super::source::Keys;

/// How a `SELECT` reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Access {
    /// Everything.
    Scan,
    /// These ranges, in this order.
    Ranges(Vec<Range>),
}

/// A range of one partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    /// The partition key's values.
    pub hash: Vec<Arc<AttributeValue>>,
    /// The condition on the key.
    pub key: Vec<Node>,
    /// What else must hold.
    pub filter: Option<Node>,
    /// The part of the partition.
    bounds: Bounds,
}

/// A part of a partition: key bytes of the leading sort keys, and bounds of the next one.
#[derive(Clone, Debug, PartialEq)]
struct Bounds {
    leading: Vec<Vec<u8>>,
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
}

/// The condition of a read or a write by the whole key: the key, and what else must hold. `None`: the condition does not say what
/// the key is.
///
/// # Errors
/// A value that no key attribute can have, or two values for one.
pub(crate) fn whole_key(condition: Option<&Node>, schema: &KeySchema) -> Result<Option<(Item, Vec<Node>)>, Refusal> {
    let mut rest: Vec<Node> = condition.map(conjuncts).unwrap_or_default().into_iter().cloned().collect();
    let mut key = Item::new();
    for attribute in schema.attributes() {
        let name = &attribute.name;
        let Some(at) = rest.iter().position(|node| equal_to(node, name).is_some()) else { return Ok(None) };
        let node = rest.remove(at);
        if rest.iter().any(|node| equal_to(node, name).is_some()) {
            return Err(Refusal::statement(format!(
                "Multiple conditions on same key {name}. Only single item Update/Insert/Delete are supported"
            )));
        }
        let value = equal_to(&node, name).expect("invariant: it was found as such");
        check_value(attribute, value)?;
        key.insert(attribute.name.clone(), (**value).clone());
    }
    Ok(Some((key, rest)))
}

/// How a `SELECT` with this condition reads.
///
/// # Errors
/// A value that no key attribute can have, or alternatives that overlap.
pub(crate) fn access(condition: Option<&Node>, keys: &Keys<'_>) -> Result<Access, Refusal> {
    let alternatives: Vec<&Node> = match condition {
        None => return Ok(Access::Scan),
        Some(Node::Or(nodes)) => nodes.iter().collect(),
        Some(node) => vec![node],
    };
    let mut ranges: Vec<Range> = Vec::new();
    for alternative in alternatives {
        let Some(more) = ranges_of(alternative, keys)? else { return Ok(Access::Scan) };
        for range in more {
            add(&mut ranges, range)?;
        }
        if ranges.len() > STATEMENT_RANGES_MAX {
            return Ok(Access::Scan);
        }
    }
    sort_within_partitions(&mut ranges);
    Ok(Access::Ranges(ranges))
}

/// Adds a range to others, of which none may overlap it; one that is the same is joined with it.
fn add(ranges: &mut Vec<Range>, range: Range) -> Result<(), Refusal> {
    for other in ranges.iter_mut().filter(|other| other.hash == range.hash) {
        if other.bounds == range.bounds && other.key == range.key {
            if other.filter != range.filter {
                other.filter = other.filter.take().zip(range.filter).map(|(a, b)| Node::Or(vec![a, b]));
            }
            return Ok(());
        }
        if other.bounds.overlaps(&range.bounds) {
            return Err(Refusal::statement("Overlapping conditions with range keys are not supported in where clause"));
        }
    }
    ranges.push(range);
    Ok(())
}

/// Partitions stay in the order in which they were named; their ranges ascend.
fn sort_within_partitions(ranges: &mut Vec<Range>) {
    let mut sorted: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        let same = |other: &Range| other.hash == range.hash;
        let at = sorted.iter().position(|other| same(other) && range.bounds.before(&other.bounds));
        let behind = sorted.iter().rposition(same).map_or(sorted.len(), |last| last + 1);
        sorted.insert(at.unwrap_or(behind), range);
    }
    *ranges = sorted;
}

/// The ranges that one alternative means; `None`: it says too little of the partition key.
fn ranges_of(node: &Node, keys: &Keys<'_>) -> Result<Option<Vec<Range>>, Refusal> {
    let mut rest = conjuncts(node);
    let mut partitions: Vec<Vec<Arc<AttributeValue>>> = vec![Vec::new()];
    for attribute in &keys.hash {
        let Some(values) = take(&mut rest, |node| values_of(node, &attribute.name)) else { return Ok(None) };
        values.iter().try_for_each(|value| check_value(attribute, value))?;
        if partitions.len() * values.len() > STATEMENT_RANGES_MAX {
            return Ok(None);
        }
        let with = |value: &Arc<AttributeValue>| {
            partitions.iter().map(|partition| [&partition[..], &[Arc::clone(value)]].concat()).collect::<Vec<_>>()
        };
        partitions = values.iter().flat_map(with).collect();
    }
    // Equalities of the leading sort keys, then one condition or its alternatives.
    let mut leading: Vec<Node> = Vec::new();
    let mut bounds = Bounds { leading: Vec::new(), lower: Bound::Unbounded, upper: Bound::Unbounded };
    let mut last: Vec<(Node, Bounds)> = Vec::new();
    for attribute in &keys.range {
        let find_equal = |node: &Node| equal_to(node, &attribute.name).map(|_| vec![node.clone()]);
        let any = |node: &Node| conditions_of(node, &attribute.name);
        let before = rest.clone();
        let Some(conditions) = take(&mut rest, find_equal).or_else(|| take(&mut rest, any)) else { break };
        for condition in &conditions {
            literals(condition).iter().try_for_each(|value| check_value(attribute, value))?;
        }
        if conditions.len() * partitions.len() > STATEMENT_RANGES_MAX {
            rest = before;
            break;
        }
        if let [condition] = &conditions[..]
            && let Some(value) = equal_to(condition, &attribute.name)
        {
            leading.push(condition.clone());
            bounds.leading.push(bytes(value));
            continue;
        }
        last = conditions.into_iter().map(|condition| (condition.clone(), bounds.with(&condition))).collect();
        break;
    }
    let filter = joined(rest.into_iter().cloned().collect());
    let mut ranges = Vec::new();
    for hash in partitions {
        let equal = |(attribute, value): (&&KeyAttribute, &Arc<AttributeValue>)| {
            let path = Operand::Path(Path::attribute(attribute.name.as_str()));
            Node::Compare(Comparison::Equal, path, Operand::Value(Arc::clone(value)))
        };
        let mut key: Vec<Node> = keys.hash.iter().zip(&hash).map(equal).collect();
        key.extend(leading.iter().cloned());
        let range = |key: Vec<Node>, bounds: &Bounds| Range {
            hash: hash.clone(),
            key,
            filter: filter.clone(),
            bounds: bounds.clone(),
        };
        if last.is_empty() {
            ranges.push(range(key, &bounds));
            continue;
        }
        for (condition, bounds) in &last {
            ranges.push(range(key.iter().chain([condition]).cloned().collect(), bounds));
        }
    }
    Ok(Some(ranges))
}

impl Range {
    /// The key of the one item that this is, if nothing else is asked of it.
    pub fn point(&self, keys: &Keys<'_>) -> Option<Item> {
        if self.filter.is_some() || self.key.len() != keys.attributes().count() {
            return None;
        }
        let value = |(attribute, node): (&KeyAttribute, &Node)| {
            Some((attribute.name.clone(), (**equal_to(node, &attribute.name)?).clone()))
        };
        keys.attributes().zip(&self.key).map(value).collect()
    }

    /// The key bytes of the partition.
    pub fn hash_bytes(&self) -> Vec<Vec<u8>> {
        self.hash.iter().map(|value| bytes(value)).collect()
    }
}

impl Bounds {
    /// The part of this one that a condition on the next sort key leaves.
    fn with(&self, condition: &Node) -> Bounds {
        use Bound::{Excluded, Included, Unbounded};
        let (lower, upper) = match condition {
            Node::Compare(comparison, left, right) => {
                let (value, turned) = match (left, right) {
                    (_, Operand::Value(value)) => (bytes(value), false),
                    (Operand::Value(value), _) => (bytes(value), true),
                    _ => return self.clone(),
                };
                match (comparison, turned) {
                    (Comparison::Less, false) | (Comparison::Greater, true) => (Unbounded, Excluded(value)),
                    (Comparison::LessEqual, false) | (Comparison::GreaterEqual, true) => (Unbounded, Included(value)),
                    (Comparison::Greater, false) | (Comparison::Less, true) => (Excluded(value), Unbounded),
                    (Comparison::GreaterEqual, false) | (Comparison::LessEqual, true) => (Included(value), Unbounded),
                    _ => (Included(value.clone()), Included(value)),
                }
            }
            Node::Between([_, Operand::Value(lower), Operand::Value(upper)]) => {
                (Included(bytes(lower)), Included(bytes(upper)))
            }
            Node::BeginsWith(_, Operand::Value(prefix)) => {
                let lower = bytes(prefix);
                let mut end = lower.clone();
                while end.last() == Some(&u8::MAX) {
                    end.pop();
                }
                let upper = match end.last_mut() {
                    Some(last) => {
                        *last += 1;
                        Excluded(end)
                    }
                    None => Unbounded,
                };
                (Included(lower), upper)
            }
            _ => (Unbounded, Unbounded),
        };
        Bounds { leading: self.leading.clone(), lower, upper }
    }

    /// Whether two parts of one partition have something in common.
    fn overlaps(&self, other: &Bounds) -> bool {
        if self.leading.len() != other.leading.len() {
            // The shorter one has a bound where the longer one has a value.
            let (short, long) = if self.leading.len() < other.leading.len() { (self, other) } else { (other, self) };
            let common = short.leading.len();
            let value = &long.leading[common];
            return short.leading[..] == long.leading[..common]
                && !ends_before(Bound::Included(value), short.lower.as_ref())
                && !ends_before(short.upper.as_ref(), Bound::Included(value));
        }
        self.leading == other.leading
            && !ends_before(self.upper.as_ref(), other.lower.as_ref())
            && !ends_before(other.upper.as_ref(), self.lower.as_ref())
    }

    /// Whether this part, which does not overlap the other, lies before it.
    fn before(&self, other: &Bounds) -> bool {
        let first = |bounds: &Bounds| {
            let mut first = bounds.leading.clone();
            if let Bound::Included(value) | Bound::Excluded(value) = &bounds.lower {
                first.push(value.clone());
            }
            first
        };
        first(self) < first(other)
    }
}

/// Whether an upper bound ends before a lower one begins.
fn ends_before(upper: Bound<&Vec<u8>>, lower: Bound<&Vec<u8>>) -> bool {
    match (upper, lower) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(upper), Bound::Included(lower)) => upper < lower,
        (Bound::Included(upper) | Bound::Excluded(upper), Bound::Included(lower) | Bound::Excluded(lower)) => {
            upper <= lower
        }
    }
}

/// What all must hold.
fn conjuncts(node: &Node) -> Vec<&Node> {
    match node {
        Node::And(nodes) => nodes.iter().flat_map(conjuncts).collect(),
        node => vec![node],
    }
}

/// The condition that all of these hold.
pub(crate) fn joined(mut nodes: Vec<Node>) -> Option<Node> {
    if nodes.len() > 1 { Some(Node::And(nodes)) } else { nodes.pop() }
}

/// Takes the first node out that `read` can make something of.
fn take<T>(nodes: &mut Vec<&Node>, read: impl Fn(&Node) -> Option<T>) -> Option<T> {
    let (at, made) = nodes.iter().enumerate().find_map(|(at, node)| Some((at, read(node)?)))?;
    nodes.remove(at);
    Some(made)
}

/// The value that a node says the attribute is equal to.
fn equal_to<'n>(node: &'n Node, name: &str) -> Option<&'n Arc<AttributeValue>> {
    match node {
        Node::Compare(Comparison::Equal, Operand::Path(path), Operand::Value(value))
        | Node::Compare(Comparison::Equal, Operand::Value(value), Operand::Path(path))
            if is(path, name) =>
        {
            Some(value)
        }
        _ => None,
    }
}

fn is(path: &Path, name: &str) -> bool {
    !path.is_nested() && path.head() == name
}

/// The values of which a node says that the attribute has one.
fn values_of(node: &Node, name: &str) -> Option<Vec<Arc<AttributeValue>>> {
    let mut values: Vec<Arc<AttributeValue>> = match node {
        Node::In(operands) => candidates(operands, name)?,
        Node::Or(nodes) => {
            nodes.iter().map(|node| values_of(node, name)).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
        }
        node => vec![Arc::clone(equal_to(node, name)?)],
    };
    without_doubles(&mut values);
    Some(values)
}

fn candidates(operands: &[Operand], name: &str) -> Option<Vec<Arc<AttributeValue>>> {
    let (first, candidates) = operands.split_first()?;
    match first {
        Operand::Path(path) if is(path, name) => {}
        _ => return None,
    }
    let literal = |operand: &Operand| match operand {
        Operand::Value(value) => Some(Arc::clone(value)),
        _ => None,
    };
    candidates.iter().map(literal).collect()
}

fn without_doubles<T: PartialEq>(values: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    *values = seen;
}

/// The conditions on the sort key of which a node says that one holds.
fn conditions_of(node: &Node, name: &str) -> Option<Vec<Node>> {
    let of = |operand: &Operand| matches!(operand, Operand::Path(path) if is(path, name));
    let literal = |operand: &Operand| matches!(operand, Operand::Value(_));
    let mut conditions = match node {
        Node::Compare(Comparison::NotEqual, ..) => return None,
        Node::Compare(_, left, right) if (of(left) && literal(right)) || (literal(left) && of(right)) => {
            vec![node.clone()]
        }
        Node::Between([value, lower, upper]) if of(value) && literal(lower) && literal(upper) => vec![node.clone()],
        Node::BeginsWith(value, prefix) if of(value) && literal(prefix) => vec![node.clone()],
        Node::In(operands) => {
            let path = || Operand::Path(Path::attribute(name));
            let equal = |value| Node::Compare(Comparison::Equal, path(), Operand::Value(value));
            candidates(operands, name)?.into_iter().map(equal).collect()
        }
        Node::Or(nodes) => {
            let each = nodes.iter().map(|node| conditions_of(node, name)).collect::<Option<Vec<_>>>()?;
            each.into_iter().flatten().collect()
        }
        _ => return None,
    };
    without_doubles(&mut conditions);
    Some(conditions)
}

/// The values in a condition that [`conditions_of`] made.
fn literals(node: &Node) -> Vec<Arc<AttributeValue>> {
    let operands: Vec<&Operand> = match node {
        Node::Compare(_, a, b) | Node::BeginsWith(a, b) => vec![a, b],
        Node::Between(operands) => operands.iter().collect(),
        _ => Vec::new(),
    };
    let value = |operand: &'_ Operand| match operand {
        Operand::Value(value) => Some(Arc::clone(value)),
        _ => None,
    };
    operands.into_iter().filter_map(value).collect()
}

fn bytes(value: &AttributeValue) -> Vec<u8> {
    key_value_bytes(value).expect("invariant: the value's type was checked")
}

/// A value of a key attribute must be one that it can have.
///
/// # Errors
/// It is of another type.
pub(crate) fn check_value(attribute: &KeyAttribute, value: &AttributeValue) -> Result<(), Refusal> {
    if attribute.scalar.admits(value) {
        return Ok(());
    }
    let (name, actual) = (&attribute.name, value.type_name());
    Err(Refusal::Key(ApiError::validation(match ScalarType::from_name(actual) {
        None => format!("Key value must be of type S, N, or B. Key name: {name}, Key type: {actual}"),
        Some(_) => format!("Key attribute's data type should match its data type in table's schema: Key {name}"),
    })))
}
