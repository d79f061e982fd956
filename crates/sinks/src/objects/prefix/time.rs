//! Times as prefixes write them: the patterns of Java's `DateTimeFormatter`, with English names, in a fixed offset from UTC.
//!
//! What it does not do: letters whose text depends on a country (week-based years, weeks, localised days), on a zone's name, or
//! on padding rules (`p`) are refused when a pattern is read, and so are zones by name, whose offsets are other ones with the
//! next release of the time zone database: a repeat must not get another key.

use std::fmt::Write as _;

use tailrace_core::EpochMs;
use tailrace_engine::streams::label;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAY_MS: u64 = 86_400_000;
/// Most letters of one field that is padded with zeros.
const WIDTH_MAX: usize = 19;
/// Java's largest offset, hours.
const OFFSET_HOURS_MAX: i32 = 18;

/// A pattern, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePattern(Vec<Field>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Literal(String),
    Letters(char, usize),
}

/// An offset from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    minutes: i32,
}

/// A pattern or a zone is none, or none that is known here. It completes a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimePatternError(String);

impl Zone {
    /// UTC.
    pub const UTC: Zone = Zone { minutes: 0 };

    /// Reads `UTC`, `GMT`, `Z` or an offset: `+09:00`, `-0330`, `+9`, each also behind `UTC` or `GMT`.
    ///
    /// # Errors
    /// It is none of them; the name of a zone is not.
    pub fn parse(text: &str) -> Result<Zone, TimePatternError> {
        let offset = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")).unwrap_or(text);
        if offset.is_empty() && !text.is_empty() || text == "Z" {
            return Ok(Zone::UTC);
        }
        let read = || {
            let (sign, digits) = match offset.as_bytes().first()? {
                b'+' => (1, &offset[1..]),
                b'-' => (-1, &offset[1..]),
                _ => return None,
            };
            let (hours, minutes) = match digits.split_once(':') {
                Some(parts) => parts,
                None if digits.len() == 4 => digits.split_at_checked(2)?,
                None => (digits, "00"),
            };
            let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
                let digits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
                if digits { text.parse::<i32>().ok() } else { None }
            };
            let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
            let whole = hours * 60 + minutes;
            (minutes < 60 && whole <= OFFSET_HOURS_MAX * 60).then_some(Zone { minutes: sign * whole })
        };
        read().ok_or_else(|| {
            TimePatternError(format!(
                "time zone `{text}` is unknown: use UTC or an offset like +09:00 (zones by name change with their database, and a \
                 repeated object would get another name)"
            ))
        })
    }

    fn local_ms(self, instant: EpochMs) -> u64 {
        instant.0.saturating_add_signed(i64::from(self.minutes) * 60_000)
    }
}

impl TimePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, or asks for something that is not known here.
    pub fn parse(text: &str) -> Result<TimePattern, TimePatternError> {
        let mut fields = Vec::new();
        let mut chars = text.chars().peekable();
        let literal = |fields: &mut Vec<Field>, char: char| match fields.last_mut() {
            Some(Field::Literal(text)) => text.push(char),
            _ => fields.push(Field::Literal(char.to_string())),
        };
        while let Some(char) = chars.next() {
            match char {
                '\'' if chars.next_if_eq(&'\'').is_some() => literal(&mut fields, '\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal(&mut fields, '\''),
                        Some('\'') => break,
                        Some(char) => literal(&mut fields, char),
                        None => return Err(TimePatternError(format!("`{text}` ends within quotes"))),
                    }
                },
                'A'..='Z' | 'a'..='z' => {
                    let mut count = 1;
                    while chars.next_if_eq(&char).is_some() {
                        count += 1;
                    }
                    check(char, count)?;
                    fields.push(Field::Letters(char, count));
                }
                '{' | '}' | '#' => return Err(TimePatternError(format!("`{char}` is reserved; quote it"))),
                // Optional sections: all there is in a time is always there.
                '[' | ']' => {}
                char => literal(&mut fields, char),
            }
        }
        if fields.is_empty() {
            return Err(TimePatternError("it is empty".to_owned()));
        }
        Ok(TimePattern(fields))
    }

    /// Writes an instant.
    pub fn write(&self, instant: EpochMs, zone: Zone, out: &mut String) {
        let time = Local::of(instant, zone);
        for field in &self.0 {
            match field {
                Field::Literal(text) => out.push_str(text),
                Field::Letters(letter, count) => time.write(*letter, *count, out),
            }
        }
    }
}

fn check(letter: char, count: usize) -> Result<(), TimePatternError> {
    let most = match letter {
        'y' | 'u' | 'A' | 'n' | 'N' => WIDTH_MAX,
        'M' | 'L' | 'E' | 'Q' | 'q' | 'G' => 5,
        'D' | 'X' | 'x' | 'Z' => 3,
        'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's' => 2,
        'S' => 9,
        'a' => 1,
        'Y' => {
            return Err(TimePatternError(
                "`Y` is the year of the week, another one around New Year: use `yyyy`".to_owned(),
            ));
        }
        other => return Err(TimePatternError(format!("the letter `{other}` is not known"))),
    };
    if count > most {
        return Err(TimePatternError(format!("{count} times `{letter}` are too many: {most} at most")));
    }
    Ok(())
}

/// An instant's fields.
struct Local {
    offset_minutes: i32,
    days: u64,
    year: u64,
    month: u64,
    day: u64,
    ms_of_day: u64,
}

impl Local {
    fn of(instant: EpochMs, zone: Zone) -> Local {
        let ms = zone.local_ms(instant);
        let (days, ms_of_day) = (ms / DAY_MS, ms % DAY_MS);
        let (year, month, day) = label::date(days);
        Local { offset_minutes: zone.minutes, days, year, month, day, ms_of_day }
    }

    fn write(&self, letter: char, count: usize, out: &mut String) {
        let mut padded = |number: u64, width: usize| {
            let _ = write!(out, "{number:0width$}");
        };
        let (hour, ms) = (self.ms_of_day / 3_600_000, self.ms_of_day % 1000);
        let quarter = self.month.div_ceil(3);
        match letter {
            'y' | 'u' if count == 2 => padded(self.year % 100, 2),
            'y' | 'u' => padded(self.year, count),
            'M' | 'L' if count > 2 => name(MONTHS[self.month as usize - 1], count, out),
            'M' | 'L' => padded(self.month, count),
            'Q' | 'q' if count == 3 => out.extend(["Q", &quarter.to_string()]),
            'Q' | 'q' if count == 4 => {
                out.push_str(["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][quarter as usize - 1]);
            }
            'Q' | 'q' => padded(quarter, if count == 5 { 1 } else { count }),
            'd' => padded(self.day, count),
            'D' => padded(self.day_of_year(), count),
            'E' => name(DAYS[((self.days + 3) % 7) as usize], count, out),
            'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'H' => padded(hour, count),
            'k' => padded(if hour == 0 { 24 } else { hour }, count),
            'K' => padded(hour % 12, count),
            'h' => padded(if hour.is_multiple_of(12) { 12 } else { hour % 12 }, count),
            'm' => padded(self.ms_of_day / 60_000 % 60, count),
            's' => padded(self.ms_of_day / 1000 % 60, count),
            'S' => out.push_str(&format!("{:09}", ms * 1_000_000)[..count]),
            'A' => padded(self.ms_of_day, count),
            'n' => padded(ms * 1_000_000, count),
            'N' => padded(self.ms_of_day * 1_000_000, count),
            'G' => out.push_str(match count {
                4 => "Anno Domini",
                5 => "A",
                _ => "AD",
            }),
            'X' if self.offset_minutes == 0 => out.push('Z'),
            'X' | 'x' => self.write_offset(count == 3, count == 1, out),
            'Z' => self.write_offset(false, false, out),
            _ => {}
        }
    }

    fn day_of_year(&self) -> u64 {
        const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        BEFORE_MONTH[self.month as usize - 1] + self.day + u64::from(leap && self.month > 2)
    }

    /// `+0900`; with a colon between, or without minutes that are none.
    fn write_offset(&self, colon: bool, short: bool, out: &mut String) {
        let (hours, minutes) = (self.offset_minutes.abs() / 60, self.offset_minutes.abs() % 60);
        out.push(if self.offset_minutes < 0 { '-' } else { '+' });
        let _ = write!(out, "{hours:02}");
        if !short || minutes != 0 {
            let _ = write!(out, "{}{minutes:02}", if colon { ":" } else { "" });
        }
    }
}

/// A name by the number of letters: short, full, or its first letter.
fn name(full: &str, count: usize, out: &mut String) {
    out.push_str(match count {
        4 => full,
        5 => &full[..1],
        _ => &full[..3],
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 27 August 2018, 10:30:05.678 UTC.
    const AUGUST: EpochMs = EpochMs(1_535_365_805_678);

    fn written(pattern: &str, instant: EpochMs, zone: &str) -> String {
        let mut out = String::new();
        TimePattern::parse(pattern).unwrap().write(instant, Zone::parse(zone).unwrap(), &mut out);
        out
    }

    #[test]
    fn fields_are_written_as_java_does() {
        for (pattern, expect) in [
            ("yyyy", "2018"),
            ("yy-u", "18-2018"),
            ("yyyyyy", "002018"),
            ("M MM MMM MMMM MMMMM", "8 08 Aug August A"),
            ("d dd D DDD", "27 27 239 239"),
            ("E EEEE EEEEE", "Mon Monday M"),
            ("Q QQ QQQ QQQQ", "3 03 Q3 3rd quarter"),
            ("H HH k K h a", "10 10 10 10 10 AM"),
            ("m mm s ss S SSS SSSSSS A n", "30 30 5 05 6 678 678000 37805678 678000000"),
            ("X XXX x xxx Z G", "Z Z +00 +00:00 +0000 AD"),
            ("yyyy'year''s'/MM''", "2018year's/08'"),
            ("'dt='yyyy-MM-dd[/HH]", "dt=2018-08-27/10"),
        ] {
            assert_eq!(written(pattern, AUGUST, "UTC"), expect, "{pattern}");
        }
    }

    #[test]
    fn hours_of_noon_and_midnight() {
        for (ms, expect) in [(0, "0 24 0 12 AM"), (12 * 3_600_000, "12 12 0 12 PM"), (23 * 3_600_000, "23 23 11 11 PM")]
        {
            assert_eq!(written("H k K h a", EpochMs(ms), "UTC"), expect);
        }
    }

    #[test]
    fn days_of_the_year() {
        for (ms, expect) in [
            (0, "1970-01-01 001 Thu"),
            (364 * DAY_MS, "1970-12-31 365 Thu"),
            (951_782_400_000, "2000-02-29 060 Tue"),
            (1_735_603_200_000, "2024-12-31 366 Tue"),
        ] {
            assert_eq!(written("yyyy-MM-dd DDD E", EpochMs(ms), "UTC"), expect);
        }
    }

    #[test]
    fn zones_are_offsets() {
        for (zone, expect) in [
            ("UTC", "2018-08-27 10:30 Z"),
            ("GMT", "2018-08-27 10:30 Z"),
            ("Z", "2018-08-27 10:30 Z"),
            ("+09:00", "2018-08-27 19:30 +09:00"),
            ("UTC+14", "2018-08-28 00:30 +14:00"),
            ("-0330", "2018-08-27 07:00 -03:30"),
        ] {
            assert_eq!(written("yyyy-MM-dd HH:mm XXX", AUGUST, zone), expect, "{zone}");
        }
        for zone in ["", "Asia/Tokyo", "+", "+25:00", "+09:60", "09:00", "+9:0", "UTCx"] {
            assert!(Zone::parse(zone).is_err(), "{zone}");
        }
        assert_eq!(written("yyyy", EpochMs(0), "-01:00"), "1970", "there is no time before the epoch");
    }

    #[test]
    fn patterns_that_cannot_be_repeated_are_refused() {
        for pattern in ["", "YYYY", "ww", "ee", "VV", "zzz", "p", "'open", "HHH", "yyyy{", "DDDD", "J"] {
            assert!(TimePattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
