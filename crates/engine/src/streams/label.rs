//! A stream's label: the UTC instant of its enablement, `2015-05-20T20:51:10.252`. Source: docs/spec/streams.md 2.3.

use tailrace_core::EpochMs;

/// From the first of March of the year 0 to the epoch.
const DAYS_FROM_YEAR_ZERO: u64 = 719_468;
const DAYS_PER_400_YEARS: u64 = 146_097;

/// The label of an instant.
pub fn text(ms: EpochMs) -> String {
    let (days, in_day) = (ms.0 / 86_400_000, ms.0 % 86_400_000);
    let (year, month, day) = date(days);
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}", in_day % 1000)
}

/// The instant of a label; `None`: it is none.
pub(crate) fn instant(label: &str) -> Option<EpochMs> {
    let number = |from: usize, to: usize| label.get(from..to)?.parse::<u64>().ok();
    let day = day(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let in_day = (number(11, 13)? * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    let instant = EpochMs(day * 86_400_000 + in_day * 1000 + number(20, 23)?);
    (text(instant) == label).then_some(instant)
}

/// The day since the epoch of a civil date: [`date`] backwards.
fn day(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * DAYS_PER_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(DAYS_FROM_YEAR_ZERO)
}

/// The civil date of a day since the epoch: year, month from 1, day from 1. Years are counted from March, so that the leap day is the last of a year and
/// the lengths of the months before it repeat in a pattern of five months with 153 days.
pub fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_FROM_YEAR_ZERO;
    let (era, of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_as_labels() {
        for (ms, expect) in [
            (0, "1970-01-01T00:00:00.000"),
            (951_782_400_000, "2000-02-29T00:00:00.000"),
            (1_432_155_070_252, "2015-05-20T20:51:10.252"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000"),
        ] {
            assert_eq!(text(EpochMs(ms)), expect);
        }
    }

    #[test]
    fn labels_read_back_and_nothing_else_does() {
        for day in 0..60_000 {
            let ms = day * 86_400_000 + (day * 7_919_000_001) % 86_400_000;
            assert_eq!(instant(&text(EpochMs(ms))), Some(EpochMs(ms)));
        }
        for other in
            ["", "2023-11-14", "2023-02-29T00:00:00.000", "2023-11-14T24:00:00.000", "2023-11-14T22:13:20.0000"]
        {
            assert_eq!(instant(other), None, "{other}");
        }
        assert_eq!(instant("é023-11-14T22:13:20.000"), None);
    }
}
