//! What records change of groups, gathered: of each group one delta, whatever number of records it comes from.
//! Source: docs/spec/sinks.md 6.
//!
//! A record takes its old image away from the group that this was in, and adds its new one to the group that this is in; an image
//! that does not pass the filter, or is in no group, is neither. So a change that moves an item to another group, or into or out
//! of the filter, is right without being told apart. Everything is a function of the images: what was added once is taken away
//! by the image that follows it.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::Encoded;
use tailrace_core::number::ExactSum;
use tailrace_engine::streams::record::StreamRecord;

use super::aggregate::Measure;
use super::limits::{COMMIT_BYTES_MAX, COMMIT_GROUPS_MAX, DISTINCT_VALUE_BYTES_MAX};
use super::shape::Shape;
use crate::PlainItem;

/// About how many bytes a group's row and its item take beside their keys, with the item's record.
const GROUP_BYTES: usize = 512;
/// About how many bytes a member's row takes beside its key and the group's.
const MEMBER_BYTES: usize = 64;

/// The deltas of some records.
#[derive(Debug, Default)]
pub struct Deltas {
    groups: HashMap<Vec<u8>, GroupDelta>,
    /// About how many bytes are to be written for them.
    bytes: usize,
    /// Memory that is used again.
    group: Vec<u8>,
    member: Vec<u8>,
}

/// What changes of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDelta {
    /// Items.
    pub rows: i64,
    /// Of each measure of the definition.
    pub measures: Vec<MeasureDelta>,
}

/// What changes of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasureDelta {
    /// Of [`Measure::Present`].
    Present(i64),
    /// Of [`Measure::Sum`].
    Sum {
        /// Numbers.
        count: i64,
        /// By how much they change the sum.
        sum: ExactSum,
    },
    /// Of [`Measure::Ordered`]: how often each member was added less how often it was taken away, which is 1, -1 or 0.
    Ordered(HashMap<Vec<u8>, i64>),
    /// Of [`Measure::Distinct`]: the same of each value, which is any number.
    Distinct(HashMap<Vec<u8>, i64>),
}

impl MeasureDelta {
    fn none(measure: &Measure) -> MeasureDelta {
        match measure {
            Measure::Present(_) => MeasureDelta::Present(0),
            Measure::Sum(_) => MeasureDelta::Sum { count: 0, sum: ExactSum::ZERO },
            Measure::Ordered { .. } => MeasureDelta::Ordered(HashMap::new()),
            Measure::Distinct(_) => MeasureDelta::Distinct(HashMap::new()),
        }
    }

    fn is_none(&self) -> bool {
        match self {
            MeasureDelta::Present(count) => *count == 0,
            MeasureDelta::Sum { count, sum } => *count == 0 && sum.is_zero(),
            MeasureDelta::Ordered(members) | MeasureDelta::Distinct(members) => members.values().all(|by| *by == 0),
        }
    }
}

impl GroupDelta {
    /// Nothing changes: what was added was taken away again.
    pub fn is_none(&self) -> bool {
        self.rows == 0 && self.measures.iter().all(MeasureDelta::is_none)
    }
}

impl Deltas {
    /// Gathers what a record changes.
    ///
    /// # Errors
    /// One of its images is no item, as far as it was looked at.
    pub fn add(&mut self, shape: &Shape, record: &StreamRecord) -> Result<(), CodecError> {
        let keys = StoredItem::new(&record.meta.keys)?;
        for (image, by) in [(&record.old, -1), (&record.new, 1)] {
            if let Some(image) = image {
                self.add_image(shape, &StoredItem::new(image)?, &keys, by)?;
            }
        }
        Ok(())
    }

    fn add_image(
        &mut self,
        shape: &Shape,
        image: &StoredItem<'_>,
        keys: &StoredItem<'_>,
        by: i64,
    ) -> Result<(), CodecError> {
        let definition = &shape.definition;
        if !definition.filter.passes(&PlainItem::new(image))? || !shape.group_of(image, &mut self.group)? {
            return Ok(());
        }
        let Deltas { groups, bytes, group, member } = self;
        if !groups.contains_key(&group[..]) {
            *bytes += 2 * group.len() + GROUP_BYTES;
            let measures = definition.measures.iter().map(MeasureDelta::none).collect();
            groups.insert(group.clone(), GroupDelta { rows: 0, measures });
        }
        let delta = groups.get_mut(&group[..]).expect("invariant: it was put there");
        delta.rows += by;
        for (measure, delta) in definition.measures.iter().zip(&mut delta.measures) {
            let Some((encoded, value)) = measure.path().find(image)? else { continue };
            match delta {
                MeasureDelta::Present(count) => *count += by,
                MeasureDelta::Sum { count, sum } => {
                    if let Encoded::N(number) = value {
                        *count += by;
                        match by {
                            1 => sum.add(number.number()),
                            _ => sum.subtract(number.number()),
                        }
                    }
                }
                MeasureDelta::Ordered(members) => {
                    if shape.ordered_member(&value, keys, member)? {
                        change(members, member, by, group.len(), bytes);
                    }
                }
                MeasureDelta::Distinct(values) => {
                    distinct_value(encoded.bytes()?, member);
                    change(values, member, by, group.len(), bytes);
                }
            }
        }
        Ok(())
    }

    /// They are as much as one commit should write.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= COMMIT_GROUPS_MAX || self.bytes >= COMMIT_BYTES_MAX
    }

    /// The groups that change, by the bytes of their keys, in no order.
    pub fn into_groups(self) -> impl Iterator<Item = (Vec<u8>, GroupDelta)> {
        self.groups.into_iter().filter(|(_, delta)| !delta.is_none())
    }
}

/// Changes how often a member is there.
fn change(members: &mut HashMap<Vec<u8>, i64>, member: &[u8], by: i64, group_bytes: usize, bytes: &mut usize) {
    match members.get_mut(member) {
        Some(there) => *there += by,
        None => {
            *bytes += group_bytes + member.len() + MEMBER_BYTES;
            members.insert(member.to_owned(), by);
        }
    }
}

const AS_IT_IS: u8 = 0;
const HASHED: u8 = 1;

/// Writes what stands for an encoded value among the distinct ones to `out`, in the place of what is there.
fn distinct_value(encoded: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if encoded.len() < DISTINCT_VALUE_BYTES_MAX {
        out.push(AS_IT_IS);
        out.extend_from_slice(encoded);
    } else {
        out.push(HASHED);
        out.extend_from_slice(&Sha256::digest(encoded));
    }
}
