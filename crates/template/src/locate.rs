//! The line of a template at which a place of it is: for messages, so it is looked for only when there is one.

use saphyr_parser::{Event, Parser};

use crate::yaml::StandIn;

/// A place is worth a line from here on: `Resources.Name`.
const DEPTH_MIN: usize = 2;

/// One map or list that is being read.
enum Level {
    Map { at_key: bool },
    List { next: usize },
}

/// The line of the nearest thing to `path` (`Resources.X.Properties.Y`) that the text has. `None`: nothing near is there, or the
/// text is one line. JSON is YAML, so both are read alike.
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let wanted: Vec<&str> = path.split('.').collect();
    let stand_in = StandIn::of(text);
    let text = stand_in.put_in(text);
    text.trim_end().lines().nth(1)?;
    let (mut levels, mut place): (Vec<Level>, Vec<String>) = (Vec::new(), Vec::new());
    let mut best = (0, None);
    for event in Parser::new_from_str(&text) {
        let Ok((event, span)) = event else { break };
        if matches!(event, Event::MappingEnd | Event::SequenceEnd) {
            levels.pop();
            place.truncate(levels.len().saturating_sub(1));
            continue;
        }
        let is_value =
            matches!(event, Event::Scalar(..) | Event::Alias(_) | Event::MappingStart(..) | Event::SequenceStart(..));
        if !is_value {
            continue;
        }
        let depth = levels.len();
        match (levels.last_mut(), &event) {
            (Some(Level::Map { at_key: at_key @ true }), Event::Scalar(key, ..)) => {
                *at_key = false;
                place.truncate(depth - 1);
                place.push(key.to_string());
            }
            (Some(Level::Map { at_key }), _) => *at_key = true,
            (Some(Level::List { next }), _) => {
                place.truncate(depth - 1);
                place.push(next.to_string());
                *next += 1;
            }
            (None, _) => {}
        }
        let is_on_the_way = place.len() == depth && wanted.iter().zip(&place).filter(|(a, b)| *a == b).count() == depth;
        if is_on_the_way && depth > best.0 {
            best = (depth, Some(span.start.line()));
        }
        match event {
            Event::MappingStart(..) => levels.push(Level::Map { at_key: true }),
            Event::SequenceStart(..) => levels.push(Level::List { next: 0 }),
            _ => {}
        }
    }
    best.1.filter(|_| best.0 >= DEPTH_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_line_of_what_is_nearest_to_it() {
        let yaml = "Resources:\n  A:\n    Type: x\n    List:\n      - a\n      - {b: 1,\n         c: 2}\n  B: !Join [-, [a]]\n  C: {d: 1}\n";
        for (path, line) in [
            ("Resources.A", Some(2)),
            ("Resources.A.Type", Some(3)),
            ("Resources.A.Type.Deeper", Some(3)),
            ("Resources.A.List.1.c", Some(7)),
            ("Resources.C.d", Some(9)),
            ("Resources.Nothing", None),
            ("Elsewhere.A", None),
        ] {
            assert_eq!(line_of(yaml, path), line, "{path}");
        }
        let json = "{\n\t\"Resources\": {\n\t\t\"A\": {\"Type\": \"x\",\n\t\t\t\"Properties\": {\"P\": [1]}}}}";
        assert_eq!(line_of(json, "Resources.A.Properties.P"), Some(4));
        assert_eq!(line_of("{\"Resources\": {\"A\": {}}}", "Resources.A"), None);
    }
}
