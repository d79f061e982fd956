//! Which index of a change log a record belongs to: by its own time, UTC. Source: docs/spec/sinks.md 3.1.

use tailrace_core::EpochMs;
use tailrace_engine::streams::label;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How often a change log begins a new index; the words are those of Firehose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum Rotation {
    /// Never: `trail`.
    #[default]
    NoRotation,
    /// `trail-2016-02-25-13`.
    OneHour,
    /// `trail-2016-02-25`.
    OneDay,
    /// `trail-2016-w09`. A week begins on Sunday; the first of a year has the year's first Saturday.
    OneWeek,
    /// `trail-2016-02`.
    OneMonth,
}

impl Rotation {
    /// The index of a record of this time.
    pub fn index(self, name: &str, time: EpochMs) -> String {
        let label = label::text(time);
        let (month, day, hour) = (&label[..7], &label[..10], &label[11..13]);
        match self {
            Rotation::NoRotation => name.to_owned(),
            Rotation::OneHour => format!("{name}-{day}-{hour}"),
            Rotation::OneDay => format!("{name}-{day}"),
            Rotation::OneWeek => {
                let (year, week) = week(time.0 / DAY_MS);
                format!("{name}-{year}-w{week:02}")
            }
            Rotation::OneMonth => format!("{name}-{month}"),
        }
    }

    /// Times with one answer here are in one index, whatever the rotation.
    pub(super) fn slot(time: EpochMs) -> u64 {
        time.0 / HOUR_MS
    }
}

/// Year and number of the week of a day since the epoch. Both are those of the week's Saturday.
fn week(day: u64) -> (String, u64) {
    // The epoch was a Thursday; Saturday is the day 6 of a week that begins with Sunday.
    let saturday = day + 6 - (day + 4) % 7;
    let year = |day: u64| label::text(EpochMs(day * DAY_MS))[..4].to_owned();
    let of_saturday = year(saturday);
    let earlier = (1..).take_while(|weeks| saturday.checked_sub(7 * weeks).map(year).as_ref() == Some(&of_saturday));
    (of_saturday.clone(), earlier.count() as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight of a day since the epoch, and something.
    fn at(day: u64, hour: u64) -> EpochMs {
        EpochMs(day * DAY_MS + hour * HOUR_MS + 59 * 60_000)
    }

    #[test]
    fn an_index_is_named_by_the_records_time() {
        // 2016-02-25, the day of Firehose's own example.
        let time = at(16_856, 13);
        for (rotation, expected) in [
            (Rotation::NoRotation, "idx"),
            (Rotation::OneHour, "idx-2016-02-25-13"),
            (Rotation::OneDay, "idx-2016-02-25"),
            (Rotation::OneWeek, "idx-2016-w09"),
            (Rotation::OneMonth, "idx-2016-02"),
        ] {
            assert_eq!(rotation.index("idx", time), expected);
        }
    }

    #[test]
    fn weeks_begin_on_sunday_and_the_first_has_the_years_first_saturday() {
        for (day, expected) in [
            (0, "1970-w01"),      // Thursday 1970-01-01
            (16_795, "2015-w52"), // Saturday 2015-12-26
            (16_796, "2016-w01"), // Sunday 2015-12-27: its Saturday is 2016-01-02
            (16_802, "2016-w01"), // that Saturday
            (16_803, "2016-w02"), // Sunday 2016-01-03
            (17_166, "2016-w53"), // Saturday 2016-12-31
            (17_167, "2017-w01"), // Sunday 2017-01-01
        ] {
            assert_eq!(Rotation::OneWeek.index("i", at(day, 0)), format!("i-{expected}"), "day {day}");
        }
    }
}
