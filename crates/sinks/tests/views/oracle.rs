//! What a view has to show, computed from all the items of its source at once, with nothing of what views are made with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The view that the random tests have. Amounts are whole numbers there, or no numbers.
pub fn config(table: &str) -> Value {
    json!({
        "to": format!("table:{table}"),
        "where": {"status": ["SHIPPED", "PAID"]},
        "group_by": ["day"],
        "aggregates": {
            "orders": "count", "tagged": "count(tag)", "kinds": "count(distinct tag)", "total": "sum(amount)", "mean": "avg(amount)",
            "least": "min(amount)", "most": "max(amount)", "best": "top(2, amount)",
        },
        "stream": "NEW_AND_OLD_IMAGES",
    })
}

/// The value of an attribute that is there and not NULL.
fn there<'a>(item: &'a Value, name: &str) -> Option<&'a Value> {
    item.get(name).filter(|value| value.get("NULL").is_none())
}

/// Numbers before strings before binaries; the numbers are whole.
fn rank(value: &Value) -> Option<(u8, i128, String)> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("N"), text("S")) {
        (Some(number), _) => Some((1, number.parse().unwrap(), String::new())),
        (_, Some(text)) => Some((2, 0, text.to_owned())),
        _ => None,
    }
}

/// A quotient to 38 significant digits, half to even, as DynamoDB writes it.
pub fn quotient(dividend: i128, divisor: i128) -> String {
    let (mut rest, mut digits, mut point) = (dividend.unsigned_abs(), String::new(), None);
    let divisor = divisor.unsigned_abs();
    let whole = (rest / divisor).to_string();
    rest %= divisor;
    if whole != "0" {
        digits.push_str(&whole);
    }
    let mut fraction_digits = 0;
    while rest > 0 && digits.len() < 38 {
        point.get_or_insert(());
        rest *= 10;
        let digit = rest / divisor;
        rest %= divisor;
        fraction_digits += 1;
        if digit > 0 || !digits.is_empty() {
            digits.push_str(&digit.to_string());
        }
    }
    let mut number: u128 = if digits.is_empty() { 0 } else { digits.parse().unwrap() };
    if 2 * rest > divisor || (2 * rest == divisor && number % 2 == 1) {
        number += 1;
    }
    let mut text = number.to_string();
    if fraction_digits > 0 {
        while text.len() <= fraction_digits {
            text.insert(0, '0');
        }
        text.insert(text.len() - fraction_digits, '.');
        text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if dividend < 0 && text != "0" { format!("-{text}") } else { text }
}

/// The items of the view.
pub fn expected(items: &[Value]) -> Vec<Value> {
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for item in items {
        let status = item["status"]["S"].as_str().unwrap_or_default();
        let day = item["day"]["S"].as_str().unwrap_or_default();
        if ["SHIPPED", "PAID"].contains(&status) && !day.is_empty() {
            groups.entry(day).or_default().push(item);
        }
    }
    let mut shown: Vec<Value> = groups.into_iter().map(|(day, items)| group(day, &items)).collect();
    shown.sort_by_key(Value::to_string);
    shown
}

fn group(day: &str, items: &[&Value]) -> Value {
    let number = |n: usize| json!({"N": n.to_string()});
    let tags: Vec<&Value> = items.iter().filter_map(|item| there(item, "tag")).collect();
    let distinct: BTreeSet<String> = tags.iter().map(|tag| tag.to_string()).collect();
    let mut shown = json!({"day": {"S": day}, "orders": number(items.len()), "tagged": number(tags.len()), "kinds": number(distinct.len())});
    let amounts: Vec<i128> =
        items.iter().filter_map(|item| item["amount"]["N"].as_str()).map(|n| n.parse().unwrap()).collect();
    if !amounts.is_empty() {
        let sum: i128 = amounts.iter().sum();
        shown["total"] = json!({"N": sum.to_string()});
        shown["mean"] = json!({"N": quotient(sum, amounts.len() as i128)});
    }
    let ranked = items.iter().filter_map(|item| {
        let rank = rank(there(item, "amount")?)?;
        Some(((rank, item["pk"]["S"].as_str().unwrap()), *item))
    });
    let ranked: BTreeMap<_, &Value> = ranked.collect();
    if let (Some((_, least)), Some((_, most))) = (ranked.first_key_value(), ranked.last_key_value()) {
        shown["least"] = least["amount"].clone();
        shown["most"] = most["amount"].clone();
        let best = ranked.values().rev().take(2);
        let best: Vec<Value> = best.map(|item| json!({"M": {"pk": item["pk"], "amount": item["amount"]}})).collect();
        shown["best"] = json!({"L": best});
    }
    shown
}

#[test]
fn a_quotient_is_written_out() {
    for (dividend, divisor, expected) in [
        (10, 4, "2.5"),
        (-1, 3, "-0.33333333333333333333333333333333333333"),
        (2, 3, "0.66666666666666666666666666666666666667"),
        (100, 1, "100"),
        (0, 5, "0"),
        (1, 300, "0.0033333333333333333333333333333333333333"),
        (1000, 7, "142.85714285714285714285714285714285714"),
    ] {
        assert_eq!(quotient(dividend, divisor), expected);
    }
}
