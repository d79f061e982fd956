//! Arbitrary text never panics, and updates agree with a model that knows no trees: it rewrites whole values one by one.

use proptest::prelude::*;

use super::*;

/// Text made of pieces of the grammar: reaches deeper than random characters.
fn grammar_soup() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "#a",
        "#ux",
        ":v",
        ":n",
        ":l",
        ":zz",
        "(",
        ")",
        "((",
        "[",
        "]",
        "[0]",
        "[01]",
        ".",
        ",",
        "=",
        "<>",
        "<",
        ">=",
        "+",
        "-",
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "IN",
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "size(",
        "contains(",
        "if_not_exists(",
        "list_append(",
        "attribute_exists(",
        "select",
        "é",
        "'",
        "!",
        "99999999999",
        " ",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..60).prop_map(|pieces| pieces.join(" "))
}

fn parse_as_everything(text: &str) {
    let _ = condition(text);
    let _ = projection(text);
    let _ = update(text).map(|update| update.apply(&Item::new()));
    let _ = KeyCondition::parse(text, &mut placeholders());
}

/// A list of small numbers, and changes of its elements by index.
type ListCase = (Vec<u8>, Vec<(u32, Option<u8>)>);

fn list_case() -> impl Strategy<Value = ListCase> {
    let changes = proptest::collection::btree_map(0u32..8, proptest::option::of(any::<u8>()), 1..6);
    (proptest::collection::vec(any::<u8>(), 0..6), changes.prop_map(|changes| changes.into_iter().collect()))
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        parse_as_everything(&text);
    }

    #[test]
    fn pieces_of_the_grammar_never_panic(text in grammar_soup()) {
        parse_as_everything(&text);
    }

    #[test]
    fn deep_nesting_never_overflows(depth in 0usize..2000, piece in proptest::sample::select(vec!["(", "NOT (", "size(", "a AND (", "(a = "])) {
        parse_as_everything(&piece.repeat(depth).chars().take(4096).collect::<String>());
    }

    #[test]
    fn changes_of_list_elements_agree_with_the_model((old, mut changes) in list_case(), seed in any::<u64>()) {
        // The order in which an update names its targets does not matter.
        let turn = (seed as usize) % changes.len();
        changes.rotate_left(turn);
        let number = |value: u8| n(&value.to_string());
        let mut values = BTreeMap::new();
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        for (index, change) in &changes {
            match change {
                Some(value) => {
                    sets.push(format!("l[{index}] = :v{index}"));
                    values.insert(format!(":v{index}"), number(*value));
                }
                None => removes.push(format!("l[{index}]")),
            }
        }
        let mut text = String::new();
        if !sets.is_empty() {
            text += &format!("SET {} ", sets.join(", "));
        }
        if !removes.is_empty() {
            text += &format!("REMOVE {}", removes.join(", "));
        }
        let values = if values.is_empty() { None } else { Some(values) };
        let update = Update::parse(&text, &mut Placeholders::new(None, values).unwrap()).unwrap();
        let new = update.apply(&item([("l", l(old.iter().map(|value| number(*value))))])).unwrap();

        // The model: one slot per index, emptied or filled, then the empty ones fall out.
        let mut slots: Vec<Option<u8>> = old.iter().copied().map(Some).collect();
        slots.resize(slots.len().max(8), None);
        for (index, change) in changes {
            slots[index as usize] = change;
        }
        prop_assert_eq!(&new["l"], &l(slots.into_iter().flatten().map(number)));
    }
}
