//! Documents that somebody else has made.

use bytes::Bytes;
use serde_json::{Value, json};

use super::fake::{Fake, Fault, ItemFault};
use crate::search::{Cluster, ClusterConfig, Document, Documents, Indexed, Refusal};

fn documents(all: impl IntoIterator<Item = (u64, Value)>) -> Documents {
    let document = |(id, body): (u64, Value)| Document { id: Some(format!("d{id}")), body: body.to_string().into() };
    Documents { index: "clicks".to_owned(), kind: None, all: all.into_iter().map(document).collect() }
}

async fn started() -> (Fake, Cluster) {
    let fake = Fake::start().await;
    let cluster = Cluster::new(&ClusterConfig::at(&format!("{}/", fake.address))).unwrap();
    (fake, cluster)
}

fn refusal(status: u16, words: &str) -> Refusal {
    Refusal { status, words: words.to_owned() }
}

/// Spec: sinks.md 3.3, the rules of item status, each for its document.
#[tokio::test]
async fn each_document_is_answered_for() {
    let (fake, cluster) = started().await;
    fake.state().item_faults = Box::new(|id| match id {
        "d2" => Some(ItemFault::Refuse(429)),
        "d3" => Some(ItemFault::Refuse(400)),
        "d4" => Some(ItemFault::DoneThen(503)),
        _ => None,
    });
    let all = documents((1..=5).map(|n| (n, json!({ "n": n }))));
    let expected = [
        Indexed::Done,
        Indexed::Again(refusal(429, "refused: by a test")),
        Indexed::Rejected(refusal(400, "refused: by a test")),
        Indexed::Again(refusal(503, "too_late: by a test")),
        Indexed::Done,
    ];
    assert_eq!(cluster.index(all.clone()).await, expected);
    fake.state().item_faults = Box::new(|_| None);
    assert_eq!(cluster.index(all).await, vec![Indexed::Done; 5]);
    let state = fake.state();
    let bulks = state.bulks();
    assert_eq!(bulks[0].path, "/clicks/_bulk");
    assert!(bulks[0].body.starts_with("{\"index\":{\"_id\":\"d1\"}}\n{\"n\":1}\n{\"index\":{\"_id\":\"d2\"}}\n"));
    assert_eq!(state.documents("clicks").len(), 5, "a repeat makes no doubles");
}

#[tokio::test]
async fn an_id_and_a_type_are_sent_where_there_are_such() {
    let (fake, cluster) = started().await;
    let all = vec![Document { id: None, body: Bytes::from_static(b"{}") }];
    let of =
        |kind: Option<&str>| Documents { index: "clicks".to_owned(), kind: kind.map(str::to_owned), all: all.clone() };
    cluster.index(of(None)).await;
    cluster.index(of(Some("ty\"pe"))).await;
    let state = fake.state();
    let bodies: Vec<&str> = state.bulks().iter().map(|bulk| &*bulk.body).collect();
    assert_eq!(bodies, ["{\"index\":{}}\n{}\n", "{\"index\":{\"_type\":\"ty\\\"pe\"}}\n{}\n"]);
}

/// Spec: sinks.md 3.3: status 413 halves the bulk.
#[tokio::test]
async fn what_is_too_large_is_halved_and_a_single_one_rejected() {
    let (fake, cluster) = started().await;
    fake.state().bytes_max = 3_000;
    let text = |n: u64| "x".repeat(if n == 4 { 4_000 } else { 600 });
    let indexed = cluster.index(documents((1..=9).map(|n| (n, json!({ "t": text(n) }))))).await;
    for (number, indexed) in (1..).zip(indexed) {
        match indexed {
            Indexed::Rejected(refusal) if number == 4 => {
                assert_eq!((refusal.status, &refusal.words[..27]), (413, "the target takes no bulk of"));
            }
            Indexed::Done => assert_ne!(number, 4),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(fake.state().documents("clicks").len(), 8);
}

/// Each way in which a bulk can fail: nothing is told to be there that is not, and what would come behind it is not sent.
#[tokio::test]
async fn a_bulk_that_fails_is_no_success() {
    let known = |status| Indexed::Again(refusal(status, "refused: by a test"));
    for (fault, expected) in [
        (Fault::Refuse(403), Some(known(403))),
        (Fault::Refuse(500), Some(known(500))),
        (Fault::HangUp, None),
        (Fault::DoneThenHangUp, None),
        (Fault::DoneThenGarbage, None),
        (Fault::DoneThenShort, None),
        (Fault::DoneThenCut(70), None),
    ] {
        let (fake, cluster) = started().await;
        fake.state().fail("_bulk", &[fault]);
        // Of two bulks.
        let all = documents((1..=6).map(|n| (n, json!({"t": "x".repeat(1 << 20)}))));
        let indexed = cluster.index(all.clone()).await;
        assert_eq!((indexed.len(), fake.state().bulks().len()), (6, 1), "{fault:?}");
        for indexed in indexed {
            match &expected {
                Some(expected) => assert_eq!(indexed, *expected),
                None => assert!(matches!(indexed, Indexed::Unknown(_)), "{fault:?}: {indexed:?}"),
            }
        }
        assert_eq!(cluster.index(all).await, vec![Indexed::Done; 6]);
        assert_eq!(fake.state().documents("clicks").len(), 6, "{fault:?}");
    }
    // Refused for the moment: the next bulk may be taken.
    let (fake, cluster) = started().await;
    fake.state().fail("_bulk", &[Fault::Refuse(429)]);
    let indexed = cluster.index(documents((1..=6).map(|n| (n, json!({"t": "x".repeat(1 << 20)}))))).await;
    assert!(matches!(&indexed[0], Indexed::Again(refusal) if refusal.status == 429) && indexed[5] == Indexed::Done);
}

#[test]
fn what_is_no_cluster_is_told() {
    for (endpoint, part) in [
        ("localhost:9200", "endpoint: an address begins with https:// or http://"),
        ("http://u:p@h", "user and password do not belong"),
        ("http://h/?a", "has no query"),
    ] {
        let error = Cluster::new(&ClusterConfig::at(endpoint)).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}
