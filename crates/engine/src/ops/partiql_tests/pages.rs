//! Pages of a `SELECT`: `Limit`, `NextToken`, `LastEvaluatedKey`. Source: docs/spec/dynamodb-api.md 7.3.

use serde_json::{Value, json};

use super::column;
use crate::ops::item_tests::{Bench, n, s, ve};

async fn games(items: i64) -> Bench {
    let bench = Bench::new().await;
    for pk in ["a", "b", "c"] {
        for sk in 0..items {
            bench.put("games", json!({"pk": s(pk), "sk": n(sk), "v": n(sk % 2)})).await;
        }
    }
    bench
}

/// All pages of a statement: what each answers, and the items together.
async fn pages(bench: &Bench, text: &str, limit: usize) -> (Vec<Value>, Vec<String>) {
    let (mut pages, mut items) = (Vec::new(), Vec::new());
    let mut body = json!({"Statement": text, "Limit": limit});
    loop {
        let page = bench.ok("ExecuteStatement", body.clone()).await;
        let (pk, sk) = (column(&page["Items"], "pk"), column(&page["Items"], "sk"));
        items.extend(pk.iter().zip(sk).map(|(pk, sk)| format!("{pk}{sk}")));
        body["NextToken"] = page["NextToken"].clone();
        pages.push(page);
        if body["NextToken"] == Value::Null {
            return (pages, items);
        }
    }
}

#[tokio::test]
async fn the_pages_of_a_statement_are_its_items_whatever_they_are_cut_into() {
    let bench = games(4).await;
    for text in [
        "SELECT * FROM games",
        "SELECT * FROM games WHERE v = 1",
        "SELECT * FROM games WHERE pk = 'a'",
        "SELECT * FROM games WHERE pk = 'a' AND sk = 1",
        "SELECT * FROM games WHERE pk IN ['c', 'a'] AND v = 1",
        "SELECT * FROM games WHERE pk IN ['c', 'a'] AND sk > 0 ORDER BY pk DESC, sk DESC",
        "SELECT * FROM games WHERE pk = 'b' AND sk IN [0, 2, 3]",
    ] {
        let (_, whole) = pages(&bench, text, 1000).await;
        assert!(!whole.is_empty(), "{text}");
        for limit in [1, 2, 3, 5] {
            let (pages, items) = pages(&bench, text, limit).await;
            assert_eq!(items, whole, "{text}, {limit} rows a page");
            assert!(pages.len() > whole.len() / limit, "{text}: {}", pages.len());
        }
    }
}

#[tokio::test]
async fn the_limit_counts_rows_before_the_filter_and_the_last_key_is_told() {
    let bench = games(4).await;
    let body = json!({"Statement": "SELECT * FROM games WHERE pk = 'a' AND v = 1", "Limit": 3});
    let page = bench.ok("ExecuteStatement", body).await;
    assert_eq!(column(&page["Items"], "sk"), ["1"]);
    assert_eq!(page["LastEvaluatedKey"], json!({"pk": s("a"), "sk": n(2)}));
    let whole = bench.ok("ExecuteStatement", json!({"Statement": "SELECT * FROM games WHERE pk = 'a'"})).await;
    assert!(whole.get("NextToken").is_none() && whole.get("LastEvaluatedKey").is_none());
    bench
        .refused(
            "ExecuteStatement",
            json!({"Statement": "SELECT * FROM games", "Limit": 0}),
            &ve("1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater \
                 than or equal to 1"),
        )
        .await;
}

#[tokio::test]
async fn a_token_belongs_to_its_statement_and_parameters() {
    let bench = games(2).await;
    let body = |text: &str, value: &str| json!({"Statement": text, "Parameters": [s(value)], "Limit": 1});
    let text = "SELECT * FROM games WHERE pk = ?";
    let token = bench.ok("ExecuteStatement", body(text, "a")).await["NextToken"].clone();
    let with = |mut body: Value, token: Value| {
        body["NextToken"] = token;
        body
    };
    let page = bench.ok("ExecuteStatement", with(body(text, "a"), token.clone())).await;
    assert_eq!(column(&page["Items"], "sk"), ["1"]);
    let other = ve("NextToken does not match request");
    bench.refused("ExecuteStatement", with(body(text, "b"), token.clone()), &other).await;
    bench.refused("ExecuteStatement", with(body("SELECT pk FROM games WHERE pk = ?", "a"), token), &other).await;
    bench.refused("ExecuteStatement", with(body(text, "a"), json!("xx")), &ve("Invalid NextToken")).await;
}

#[tokio::test]
async fn a_page_ends_at_a_megabyte_also_between_ranges() {
    let bench = Bench::new().await;
    for pk in ["a", "b", "c", "d"] {
        bench.put("users", json!({"pk": s(pk), "fat": s(&"x".repeat(380_000))})).await;
    }
    let body = json!({"Statement": "SELECT * FROM users WHERE pk IN ['a', 'b', 'c', 'd']"});
    let page = bench.ok("ExecuteStatement", body.clone()).await;
    assert_eq!(column(&page["Items"], "pk"), ["a", "b", "c"]);
    assert_eq!(page["LastEvaluatedKey"], json!({"pk": s("c")}));
    let mut next = body;
    next["NextToken"] = page["NextToken"].clone();
    let page = bench.ok("ExecuteStatement", next).await;
    assert_eq!(column(&page["Items"], "pk"), ["d"]);
    assert!(page.get("NextToken").is_none());
}

/// docs/spec/dynamodb-api.md 7.3: a page has a megabyte of all its ranges together.
#[tokio::test]
async fn a_page_ends_within_a_range_at_a_megabyte_of_all_that_was_read() {
    let bench = Bench::new().await;
    for (pk, rows) in [("a", 9), ("b", 9), ("c", 2)] {
        for sk in 0..rows {
            bench.put("games", json!({"pk": s(pk), "sk": n(sk), "fat": s(&"x".repeat(100_000))})).await;
        }
    }
    let mut body = json!({"Statement": "SELECT pk, sk FROM games WHERE pk IN ['a', 'b', 'c']"});
    let page = bench.ok("ExecuteStatement", body.clone()).await;
    assert_eq!(page["Items"].as_array().unwrap().len(), 11);
    assert_eq!(page["LastEvaluatedKey"], json!({"pk": s("b"), "sk": n(1)}));
    body["NextToken"] = page["NextToken"].clone();
    let page = bench.ok("ExecuteStatement", body).await;
    assert_eq!(column(&page["Items"], "pk"), ["b", "b", "b", "b", "b", "b", "b", "c", "c"]);
    assert!(page.get("NextToken").is_none());
}

/// docs/spec/dynamodb-api.md 7.3: a page is of what was read, whatever a filter leaves of it and a projection shows.
#[tokio::test]
async fn a_page_ends_at_a_megabyte_of_what_was_read() {
    let bench = Bench::new().await;
    for pk in ["a", "b", "c", "d"] {
        bench.put("users", json!({"pk": s(pk), "n": n(1), "fat": s(&"x".repeat(380_000))})).await;
    }
    for (what, shown) in [("pk FROM users WHERE", vec!["a", "b", "c"]), ("* FROM users WHERE n = 9 AND", vec![])] {
        let body = json!({"Statement": format!("SELECT {what} pk IN ['a', 'b', 'c', 'd']")});
        let page = bench.ok("ExecuteStatement", body.clone()).await;
        assert_eq!(column(&page["Items"], "pk"), shown, "{what}");
        let mut next = body;
        next["NextToken"] = page["NextToken"].clone();
        assert!(next["NextToken"].is_string(), "{what}: the fourth is another page's");
        let page = bench.ok("ExecuteStatement", next).await;
        assert_eq!(column(&page["Items"], "pk").len(), usize::from(!shown.is_empty()), "{what}");
        assert!(page.get("NextToken").is_none(), "{what}");
    }
}
