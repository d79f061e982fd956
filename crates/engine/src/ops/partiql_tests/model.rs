//! Whatever a condition says of keys, what is read by it is what the condition holds for: random conditions against a model that
//! knows no key.

use std::collections::BTreeSet;

use serde_json::json;
use tailrace_core::expr::Condition;
use tailrace_core::{AttributeValue, Item};
use tailrace_partiql::{Parsed, Statement};

use crate::ops::item_tests::{Bench, n, s};

/// Numbers by chance, the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn leaf(&mut self) -> String {
        let number = self.below(5);
        let partition = self.one(&["a", "b", "c"]);
        match self.below(9) {
            0..=2 => format!("pk = '{partition}'"),
            3 => format!("pk IN ['{partition}', '{}']", self.one(&["a", "b", "c"])),
            4 => format!("sk {} {number}", self.one(&["=", "<", "<=", ">", ">=", "<>"])),
            5 => format!("sk IN [{number}, {}]", self.below(5)),
            6 => format!("sk BETWEEN {number} AND {}", number + self.below(3)),
            7 => format!("v = {}", self.below(3)),
            _ => format!("{number} > sk"),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 1 } else { 6 }) {
            0 => self.leaf(),
            1..=3 => format!("({} AND {})", self.condition(depth - 1), self.condition(depth - 1)),
            4 => format!("({} OR {})", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("NOT {}", self.condition(depth - 1)),
        }
    }
}

#[tokio::test]
async fn a_condition_reads_what_it_holds_for() {
    let bench = Bench::new().await;
    let mut items: Vec<Item> = Vec::new();
    for pk in ["a", "b", "c"] {
        for sk in 0..5 {
            bench.put("games", json!({"pk": s(pk), "sk": n(sk), "v": n(sk % 3)})).await;
            let number = |number: i64| AttributeValue::N(number.into());
            let item = [("pk", AttributeValue::S(pk.to_owned())), ("sk", number(sk)), ("v", number(sk % 3))];
            items.push(item.map(|(name, value)| (name.to_owned(), value)).into());
        }
    }
    let (mut dice, mut compared) = (Dice(7), 0);
    for _ in 0..1500 {
        let text = format!("SELECT pk, sk FROM games WHERE {}", dice.condition(3));
        let Statement::Select(select) = Parsed::parse(&text).unwrap().bind(&[]).unwrap() else { unreachable!() };
        let condition = Condition::of(select.condition.unwrap());
        let expected: BTreeSet<String> = items
            .iter()
            .filter(|item| condition.matches(item))
            .map(|item| json!({"pk": item["pk"], "sk": item["sk"]}).to_string())
            .collect();
        let limit = 1 + dice.below(6);
        let mut body = json!({"Statement": text, "Limit": limit});
        let mut found = Vec::new();
        loop {
            let page = match bench.call("ExecuteStatement", body.clone()).await {
                Ok(page) => page,
                Err(error) => {
                    assert!(error.to_string().contains("Overlapping conditions"), "{text}: {error}");
                    break;
                }
            };
            found.extend(page["Items"].as_array().unwrap().iter().map(ToString::to_string));
            body["NextToken"] = page["NextToken"].clone();
            if body["NextToken"].is_null() {
                let count = found.len();
                let found: BTreeSet<String> = found.into_iter().collect();
                assert_eq!(found, expected, "{text}");
                assert_eq!(found.len(), count, "{text}: no item comes twice");
                compared += 1;
                break;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}
