//! A process without a free descriptor. The limit is the whole process's, so this test has a file of its own.

mod support;

use std::fs::File;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Client, Server, post};

#[test]
fn idle_connections_give_their_descriptors_to_new_ones() {
    let server = Server::with(|settings| settings.head_limit = Duration::from_secs(60));
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: before.maximum }).unwrap();
    let idle: Vec<Client> = (0..8).map(|_| server.client()).collect();
    server.pause(Duration::from_secs(2));
    let mut rest: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // One descriptor for the client, none for the server's end of the connection.
    rest.pop();
    let mut client = server.client();
    assert_eq!(client.roundtrip(&post("{}")).status, 200);
    drop((rest, idle));
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(server.client().roundtrip(&post("{}")).status, 200, "and it goes on");
}
