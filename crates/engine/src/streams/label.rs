//! A stream's label: the UTC instant of its enablement, `2015-05-20T20:51:10.252`. Source: docs/spec/streams.md 2.3.

/// The label of an instant, milliseconds since the epoch.
pub(crate) fn text(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}", in_day % 1000)
}

/// The civil date of a day since the epoch. Years are counted from March, so that the leap day is the last of a year and
/// the lengths of the months before it repeat in a pattern of five months with 153 days.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_ZERO: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
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
    use super::text;

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
            assert_eq!(text(ms), expect);
        }
    }
}
