//! More clients, requests and bytes than there is room for: who is served, who waits, who has to go, and who is told.

mod support;

use std::time::Duration;

use support::{AMZ_JSON, AUTH, Client, Server, post, post_with};

fn call(operation: &str, body: &str) -> Vec<u8> {
    post_with(&[AMZ_JSON, &format!("x-amz-target: DynamoDB_20120810.{operation}"), AUTH], body)
}

#[test]
fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let server = Server::with(|settings| settings.connections_max = 2);
    let mut first = server.client();
    assert_eq!(first.roundtrip(&post("{}")).status, 200);
    let mut second = server.client();
    assert_eq!(second.roundtrip(&post("{}")).status, 200);
    let mut third = server.client();
    assert_eq!(third.roundtrip(&post("{}")).status, 200);
    assert!(first.until_closed().is_empty());
    assert_eq!(second.roundtrip(&post("{}")).status, 200, "the others stay in");
    assert_eq!(third.roundtrip(&post("{}")).status, 200);
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let server = Server::with(|settings| settings.connections_max = 4);
    let silent: Vec<Client> = (0..40).map(|_| server.client()).collect();
    for _ in 0..10 {
        assert_eq!(server.client().roundtrip(&post("{}")).status, 200);
    }
    drop(silent);
}

#[test]
fn a_client_without_room_is_told_even_if_it_writes_first() {
    let server = Server::with(|settings| settings.connections_max = 2);
    let mut busy = [server.client(), server.client()];
    busy.iter_mut().for_each(|client| client.send(&call("Slow", "{}")));
    server.until(|| server.calls() == 2);
    let mut refused = server.client();
    // Closed with something unread, the connection would be reset: most clients fail to write then, and never read.
    for part in post(&" ".repeat(64 * 1024)).chunks(16 * 1024) {
        refused.try_send(part).unwrap();
        server.pause(Duration::from_millis(20));
    }
    let reply = refused.receive();
    assert_eq!((reply.status, reply.closed), (503, true));
    assert!(reply.text().contains("ServiceUnavailableException"));
    busy.iter_mut().for_each(|client| assert_eq!(client.receive().status, 200, "those that are in stay in"));
    assert_eq!(server.client().roundtrip(&post("{}")).status, 200);
}

#[test]
fn large_bodies_take_their_turn_and_small_ones_do_not_wait_for_them() {
    let server = Server::start();
    let large = call("Block", &format!(r#"{{"a":"{}"}}"#, "x".repeat(9 * 1024 * 1024)));
    let mut clients: Vec<Client> = (0..2).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&large));
    server.until(|| server.calls() == 1);
    assert_eq!(server.client().roundtrip(&post("{}")).status, 200);
    server.pause(Duration::from_millis(500));
    assert_eq!(server.calls(), 2);
    server.unblock();
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().status, 200));
    assert_eq!(server.most_at_once(), 2, "one large and the small one");
}

#[test]
fn to_read_a_large_body_holds_up_no_other_connection() {
    let server = Server::start();
    let large = call("Block", &format!(r#"{{"a":"{}"}}"#, "x".repeat(200 * 1024)));
    // As many as the server has threads.
    let mut clients: Vec<Client> = (0..2).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&large));
    server.until(|| server.calls() == 2);
    assert_eq!(server.client().roundtrip(&post("{}")).text(), "{}");
    assert_eq!(server.finished(), 1, "the small one alone");
    server.unblock();
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().status, 200));
}

#[test]
fn bodies_in_pieces_share_a_budget() {
    let server = Server::with(|settings| settings.body_bytes_buffered_max = 256 * 1024);
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(300 * 1024));
    let reply = server.client().roundtrip(&post(&body));
    assert_eq!(reply.status, 503);
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(200 * 1024));
    for _ in 0..3 {
        assert_eq!(server.client().roundtrip(&post(&body)).status, 200, "the budget is given back");
    }
}

#[test]
fn answers_that_nobody_reads_share_a_budget() {
    let server = Server::with(|settings| settings.answer_bytes_buffered_max = 20 * 1024 * 1024);
    // More than the sockets take.
    let large = post(&format!(r#"{{"a":"{}"}}"#, "x".repeat(15 * 1024 * 1024)));
    let mut silent = server.client();
    silent.send(&large);
    server.until(|| server.client().roundtrip(&large).status == 503);
    assert_eq!(server.client().roundtrip(&post("{}")).status, 200, "small ones are answered");
    assert_eq!(silent.receive().status, 200);
    server.until(|| server.client().roundtrip(&large).status == 200);
    let mut gone = server.client();
    gone.send(&large);
    server.until(|| server.client().roundtrip(&large).status == 503);
    drop(gone);
    server.until(|| server.client().roundtrip(&large).status == 200);
}

#[test]
fn requests_over_the_bound_wait_for_their_turn() {
    let server = Server::with(|settings| settings.requests_in_flight_max = 1);
    let slow = post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.Slow", AUTH], "{}");
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&slow));
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().status, 200));
    assert_eq!(server.most_at_once(), 1);
}
