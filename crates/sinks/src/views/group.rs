//! A group: what is kept of it in its row, how a delta changes that, and the item that it is in the view's table. Pure.
//!
//! Invariants: the row alone says what the item is; a group without items has neither. Of an ordered structure the row holds how many
//! members it has, its lowest one, and its highest ones, as many as the definition shows; where a delta takes one of them away,
//! and what comes next is in the structure alone, it has to be read there ([`GroupState::lacks`]) before the delta is applied.

use std::collections::BTreeSet;

use bytes::Bytes;
use tailrace_core::codec::encode_stored;
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::number::ExactSum;
use tailrace_core::size::item_size;
use tailrace_core::{AttributeValue, Number};
use tailrace_store::keyspace::GroupKey;

use super::aggregate::{Measure, Show};
use super::delta::{GroupDelta, MeasureDelta};
use super::shape::Shape;

const STATE_VERSION: u8 = 1;

/// What is kept of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Items.
    pub rows: u64,
    /// Of each measure of the definition.
    pub measures: Vec<MeasureState>,
}

/// What is kept of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasureState {
    /// Of [`Measure::Present`].
    Present(u64),
    /// Of [`Measure::Sum`].
    Sum {
        /// Numbers.
        count: u64,
        /// Their sum.
        sum: ExactSum,
    },
    /// Of [`Measure::Ordered`].
    Ordered {
        /// Members of the structure.
        count: u64,
        /// The lowest one, if it is kept.
        low: Option<Vec<u8>>,
        /// The highest ones, the highest first, as many as are kept.
        high: Vec<Vec<u8>>,
    },
    /// Of [`Measure::Distinct`]: values of the structure.
    Distinct(u64),
}

/// Something is taken away that was never added: the group does not stand for the table's items any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a change takes away what was never added: records were lost or came before the view's snapshot; rebuild the view"
)]
pub struct LostChange;

/// What of an ordered structure has to be read before a delta is applied: members that it has and the delta does not take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// The lowest one.
    pub low: bool,
    /// So many of the highest ones.
    pub high: usize,
}

/// What was read of an ordered structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refill {
    /// The lowest member that stays.
    pub low: Option<Vec<u8>>,
    /// The highest ones that stay, the highest first.
    pub high: Vec<Vec<u8>>,
}

impl GroupState {
    /// A group without items.
    pub fn empty(measures: &[Measure]) -> GroupState {
        let measure = |measure: &Measure| match measure {
            Measure::Present(_) => MeasureState::Present(0),
            Measure::Sum(_) => MeasureState::Sum { count: 0, sum: ExactSum::ZERO },
            Measure::Ordered { .. } => MeasureState::Ordered { count: 0, low: None, high: Vec::new() },
            Measure::Distinct(_) => MeasureState::Distinct(0),
        };
        GroupState { rows: 0, measures: measures.iter().map(measure).collect() }
    }

    /// What is to be read of the ordered structure of a measure before the delta is applied. `None`: nothing.
    pub fn lacks(&self, measure: usize, definition: &Measure, delta: &MeasureDelta) -> Option<Lacks> {
        let (MeasureState::Ordered { count, low, high }, MeasureDelta::Ordered(members)) =
            (&self.measures[measure], delta)
        else {
            return None;
        };
        let Measure::Ordered { low: keeps_low, high: kept, .. } = definition else { return None };
        let is_gone = |member: &Vec<u8>| members.get(member).is_some_and(|by| *by < 0);
        let gone = members.values().filter(|by| **by < 0).count() as u64;
        let stays = count.saturating_sub(gone);
        let mut lacks = Lacks::default();
        if let Some(low) = low.as_ref().filter(|low| *keeps_low && stays > 0 && is_gone(low)) {
            // Every other member is above the one that goes.
            lacks.low = !members.iter().any(|(member, by)| *by > 0 && member < low);
        }
        let left = high.iter().filter(|member| !is_gone(member)).count();
        if left < high.len() && stays > left as u64 {
            // Those that are not at hand are below the last one that is.
            let last = high.last().expect("invariant: one of them goes");
            let above = members.iter().filter(|(member, by)| **by > 0 && *member > last).count();
            if left + above < *kept {
                lacks.high = *kept;
            }
        }
        (lacks != Lacks::default()).then_some(lacks)
    }

    /// The group after a delta, whose items are `refills` of each measure that [`GroupState::lacks`] something, and `distinct`: of
    /// each measure how many values more there are. `None`: it has no items any more.
    ///
    /// # Errors
    /// There would be less than nothing.
    pub fn changed(
        &self,
        definition: &[Measure],
        delta: &GroupDelta,
        refills: &[Option<Refill>],
        distinct: &[i64],
    ) -> Result<Option<GroupState>, LostChange> {
        let rows = moved(self.rows, delta.rows)?;
        let mut measures = Vec::with_capacity(self.measures.len());
        for (at, (state, delta)) in self.measures.iter().zip(&delta.measures).enumerate() {
            measures.push(match (state, delta) {
                (MeasureState::Present(count), MeasureDelta::Present(by)) => MeasureState::Present(moved(*count, *by)?),
                (MeasureState::Sum { count, sum }, MeasureDelta::Sum { count: by, sum: more }) => {
                    let mut sum = *sum;
                    sum.merge(more);
                    MeasureState::Sum { count: moved(*count, *by)?, sum }
                }
                (MeasureState::Distinct(count), MeasureDelta::Distinct(_)) => {
                    MeasureState::Distinct(moved(*count, distinct[at])?)
                }
                (MeasureState::Ordered { count, low, high }, MeasureDelta::Ordered(members)) => {
                    let Measure::Ordered { low: keeps_low, high: kept, .. } = &definition[at] else {
                        unreachable!("invariant: measures are those of the definition")
                    };
                    let count = moved(*count, members.values().sum())?;
                    let refill = refills.get(at).and_then(Option::as_ref);
                    let stays = |member: &&Vec<u8>| members.get(*member).is_none_or(|by| *by >= 0);
                    let added = || members.iter().filter(|(_, by)| **by > 0).map(|(member, _)| member);
                    let lows = low.iter().filter(stays).chain(refill.and_then(|refill| refill.low.as_ref()));
                    let low = lows.chain(added()).min().filter(|_| *keeps_low).cloned();
                    let known = high.iter().filter(stays).chain(refill.iter().flat_map(|refill| &refill.high));
                    // Of those that are there already some may be named twice.
                    let highest: BTreeSet<&Vec<u8>> = known.chain(added()).collect();
                    let high = highest.into_iter().rev().take(*kept).cloned().collect();
                    MeasureState::Ordered { count, low, high }
                }
                _ => unreachable!("invariant: states and deltas are of one definition"),
            });
        }
        Ok((rows > 0).then_some(GroupState { rows, measures }))
    }

    /// The row's value.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![STATE_VERSION];
        push_varint(&mut out, self.rows);
        for measure in &self.measures {
            match measure {
                MeasureState::Present(count) | MeasureState::Distinct(count) => push_varint(&mut out, *count),
                MeasureState::Sum { count, sum } => {
                    push_varint(&mut out, *count);
                    sum.encode(&mut out);
                }
                MeasureState::Ordered { count, low, high } => {
                    push_varint(&mut out, *count);
                    for members in [low.as_slice(), high.as_slice()] {
                        push_varint(&mut out, members.len() as u64);
                        for member in members {
                            push_varint(&mut out, member.len() as u64);
                            out.extend_from_slice(member);
                        }
                    }
                }
            }
        }
        out.into()
    }

    /// Reads a row's value. `None`: it is none of this definition.
    pub fn decode(value: &[u8], definition: &[Measure]) -> Option<GroupState> {
        let (version, mut rest) = value.split_first()?;
        if *version != STATE_VERSION {
            return None;
        }
        let rows = read_varint(&mut rest)?;
        let mut measures = Vec::with_capacity(definition.len());
        for measure in definition {
            let count = read_varint(&mut rest)?;
            measures.push(match measure {
                Measure::Present(_) => MeasureState::Present(count),
                Measure::Distinct(_) => MeasureState::Distinct(count),
                Measure::Sum(_) => {
                    let (sum, behind) = ExactSum::decode(rest)?;
                    rest = behind;
                    MeasureState::Sum { count, sum }
                }
                Measure::Ordered { .. } => {
                    let low = read_members(&mut rest)?;
                    let high = read_members(&mut rest)?;
                    MeasureState::Ordered { count, low: low.into_iter().next(), high }
                }
            });
        }
        rest.is_empty().then_some(GroupState { rows, measures })
    }

    /// The stored item of the group. `None`: the key is none of this shape, or a member none.
    pub fn item(&self, shape: &Shape, group: &GroupKey) -> Option<Bytes> {
        let mut item = shape.attributes_of(group)?;
        for column in &shape.definition.columns {
            if let Some(value) = self.shown(shape, column.show)? {
                item.insert(column.name.clone(), value);
            }
        }
        // Only lists of large members come to this; without them it is small.
        if item_size(&item) > ITEM_BYTES_MAX {
            item.retain(|_, value| !matches!(value, AttributeValue::L(_)));
        }
        Some(encode_stored(&item).into())
    }

    /// The value of an attribute; the inner `None`: there is nothing to show.
    fn shown(&self, shape: &Shape, show: Show) -> Option<Option<AttributeValue>> {
        let count = |count: u64| Some(AttributeValue::N(whole(count)));
        let value = |member: Option<&Vec<u8>>| match member {
            Some(member) => shape.read_member(member).map(|(value, _)| Some(value)),
            None => Some(None),
        };
        Some(match show {
            Show::Count => count(self.rows),
            Show::CountOf(measure) => match &self.measures[measure] {
                MeasureState::Present(there) | MeasureState::Distinct(there) => count(*there),
                _ => None,
            },
            Show::Sum(measure) => match &self.measures[measure] {
                MeasureState::Sum { count: 1.., sum } => sum.number().map(AttributeValue::N),
                _ => None,
            },
            Show::Avg(measure) => match &self.measures[measure] {
                MeasureState::Sum { count, sum } => sum.divided_by(*count).map(AttributeValue::N),
                _ => None,
            },
            Show::Min(measure) => match &self.measures[measure] {
                MeasureState::Ordered { low, .. } => value(low.as_ref())?,
                _ => None,
            },
            Show::Max(measure) => match &self.measures[measure] {
                MeasureState::Ordered { high, .. } => value(high.first())?,
                _ => None,
            },
            Show::Top(measure, shown) => match &self.measures[measure] {
                MeasureState::Ordered { high, .. } if !high.is_empty() => {
                    let Measure::Ordered { path, .. } = &shape.definition.measures[measure] else { return None };
                    let element = |member: &Vec<u8>| {
                        let (value, mut element) = shape.read_member(member)?;
                        element.insert(path.last_name().to_owned(), value);
                        Some(AttributeValue::M(element))
                    };
                    let elements: Option<Vec<AttributeValue>> = high.iter().take(shown).map(element).collect();
                    Some(AttributeValue::L(elements?))
                }
                _ => None,
            },
        })
    }
}

/// A count after a change.
fn moved(count: u64, by: i64) -> Result<u64, LostChange> {
    count.checked_add_signed(by).ok_or(LostChange)
}

/// A count as a number; it is moved one by one, so it fits.
fn whole(count: u64) -> Number {
    Number::from(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(shift).filter(|part| part >> shift == u64::from(byte & 0x7f))?;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_members(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = read_varint(rest)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(read_varint(rest)?).ok()?;
        let (member, behind) = rest.split_at_checked(length)?;
        members.push(member.to_owned());
        *rest = behind;
    }
    Some(members)
}
