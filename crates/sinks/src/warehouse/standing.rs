//! What of a flush is at the target already: the decision, apart from all that asks and acts.

use tailrace_core::{RecordNo, SequenceNumber};
use tailrace_delivery::Taken;

use super::Trouble;
use super::config::Mode;
use super::ledger::Progress;
use super::records::number;
use crate::sink::{Flush, Origin};

/// What is to be done with a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which of its records are not there yet.
    pub fresh: Fresh,
    /// What the progress is when they are.
    pub to: Progress,
}

/// Records that are not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// All of them.
    All,
    /// Those with a higher number.
    After(i64),
    /// None.
    None,
}

/// Compares a flush with how far the target is.
///
/// # Errors
/// A later owner has been there: this one must not go on.
pub fn standing(flush: &Flush, mode: Mode, at: Progress) -> Result<Standing, Trouble> {
    let epoch = i64::try_from(flush.epoch).unwrap_or(i64::MAX);
    if epoch < at.epoch {
        return Err(Trouble::Stop(format!(
            "shard {} is delivered by a later owner: the target has seen epoch {}, and this one has {epoch}",
            flush.shard.id, at.epoch
        )));
    }
    let (fresh, last) = match flush.origin {
        Origin::Stream | Origin::Retry => {
            let last = flush.records.last().map_or(at.last, number);
            (if last <= at.last { Fresh::None } else { Fresh::After(at.last) }, last)
        }
        Origin::Snapshot { page, .. } => {
            let page = i64::try_from(page).unwrap_or(i64::MAX);
            // The rows of items say themselves what they are older than; those of a change log do not, and its pages are
            // planned.
            (if mode == Mode::Append && page <= at.last { Fresh::None } else { Fresh::All }, page)
        }
    };
    Ok(Standing { fresh, to: Progress { last: last.max(at.last), epoch } })
}

/// The last record that the target still has, where it has lost some that it had taken: it was restored from a backup, or another
/// server took its place that had not all of them.
///
/// # Errors
/// It does not even know how far it is.
pub fn lost_behind(flush: &Flush, at: Progress) -> Result<Option<RecordNo>, Trouble> {
    let lost = |taken: &Taken| flush.origin == Origin::Stream && at.last < number_of(taken.last);
    let Some(taken) = flush.taken.filter(lost) else { return Ok(None) };
    // Under another version it may have been another database, of which this one knows nothing.
    if at.last < 0 && taken.mark != flush.version {
        return Ok(None);
    }
    let known = u64::try_from(at.last).map_err(|_| {
        Trouble::Stop(format!(
            "the target had the changes of {} up to {} and knows nothing of them any more; fill it anew: tailrace sinks rebuild {}",
            flush.source.table,
            SequenceNumber(taken.last),
            flush.sink
        ))
    })?;
    Ok(Some(RecordNo(known)))
}

fn number_of(record: RecordNo) -> i64 {
    i64::try_from(record.0).unwrap_or(i64::MAX)
}

impl Fresh {
    /// Whether a record of this number is not there yet.
    pub fn has(self, number: i64) -> bool {
        match self {
            Fresh::All => true,
            Fresh::After(last) => number > last,
            Fresh::None => false,
        }
    }
}

/// The name under which the progress of a flush is kept.
pub fn progress_name(flush: &Flush) -> String {
    match flush.origin {
        Origin::Snapshot { .. } => "snapshot".to_owned(),
        Origin::Stream | Origin::Retry => flush.shard.id.to_string(),
    }
}

/// What the progress says of a record of the flush: its number, or the flush's page.
pub fn place(flush: &Flush, index: usize) -> i64 {
    match flush.origin {
        Origin::Snapshot { page, .. } => i64::try_from(page).unwrap_or(i64::MAX),
        Origin::Stream | Origin::Retry => flush.records.get(index).map_or(-1, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::tests::{flush, put};

    /// docs/spec/sinks.md 4.2: the target's progress is trusted over the checkpoint.
    #[test]
    fn a_target_that_has_lost_some_says_how_far_it_is() {
        let at = |last| Progress { last, epoch: 3 };
        let mut given = flush(vec![put(20, "a", &[])]);
        assert_eq!(lost_behind(&given, at(-1)), Ok(None), "nothing was taken yet");
        given.taken = Some(Taken { mark: 1, last: RecordNo(12) });
        for (last, expected) in [(12, None), (19, None), (11, Some(RecordNo(11))), (0, Some(RecordNo(0)))] {
            assert_eq!(lost_behind(&given, at(last)), Ok(expected), "{last}");
        }
        let Err(Trouble::Stop(told)) = lost_behind(&given, at(-1)) else { panic!("it goes on") };
        assert!(told.ends_with("tailrace sinks rebuild wh"), "{told}");
        given.version = 2;
        assert_eq!(lost_behind(&given, at(-1)), Ok(None), "it may be another database");
        assert_eq!(lost_behind(&given, at(11)), Ok(Some(RecordNo(11))), "it has the progress of the version before");
        given.origin = Origin::Retry;
        assert_eq!(lost_behind(&given, at(-1)), Ok(None), "progress says nothing of a retry");
    }

    #[test]
    fn what_is_there_is_left_out() {
        let at = |last, epoch| Progress { last, epoch };
        let mut given = flush(vec![put(10, "a", &[]), put(12, "b", &[])]);
        given.epoch = 3;
        let stand = |given: &Flush, mode, progress| standing(given, mode, progress).map(|s| (s.fresh, s.to));
        assert_eq!(stand(&given, Mode::Merge, at(-1, 0)), Ok((Fresh::After(-1), at(12, 3))));
        assert_eq!(stand(&given, Mode::Merge, at(10, 3)), Ok((Fresh::After(10), at(12, 3))));
        assert_eq!(stand(&given, Mode::Append, at(12, 2)), Ok((Fresh::None, at(12, 3))), "the older owner is fenced");
        assert_eq!(stand(&given, Mode::Merge, at(99, 3)), Ok((Fresh::None, at(99, 3))));
        let Err(Trouble::Stop(told)) = stand(&given, Mode::Merge, at(-1, 4)) else { panic!("it goes on") };
        assert!(told.contains("epoch 4, and this one has 3"), "{told}");

        given.origin = Origin::Snapshot { page: 7, made_by: 1 };
        assert_eq!(stand(&given, Mode::Merge, at(8, 3)), Ok((Fresh::All, at(8, 3))), "rows compare numbers themselves");
        assert_eq!(stand(&given, Mode::Append, at(6, 3)), Ok((Fresh::All, at(7, 3))));
        assert_eq!(stand(&given, Mode::Append, at(7, 3)), Ok((Fresh::None, at(7, 3))));
        assert_eq!((place(&given, 1), progress_name(&given)), (7, "snapshot".to_owned()));
    }
}
