//! TLS: who is trusted. The certificates beside this file are a test authority's, and one that it gave to localhost; its own
//! key is thrown away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::{flush, record, sink};
use crate::search::Config;
use crate::sink::Sink;

const AUTHORITY: &str = include_str!("ca.pem");

/// A server with a certificate for localhost: to each connection's one request it answers that a document is there.
fn start() -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, socket.unwrap()));
            // A client that trusts nobody here leaves in the middle of the handshake.
            let _ = answer(&mut stream);
        }
    });
    port
}

fn answer(stream: &mut BufReader<impl Read + Write>) -> std::io::Result<()> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    let body = r#"{"items":[{"index":{"status":201}}]}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.get_mut().write_all((head + body).as_bytes())?;
    stream.get_mut().flush()
}

async fn send(port: u16, host: &str, ca: Option<&str>) -> Result<(), String> {
    let to = format!("opensearch+https://{host}:{port}/orders");
    let config: Config = serde_json::from_value(json!({"to": to, "ca": ca})).unwrap();
    let records = vec![record(1, "a", Some(&json!({})))];
    sink(config, 1).flush(flush(records)).await.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_authority_that_is_named_is_trusted_and_no_other() {
    let port = start();
    assert_eq!(send(port, "localhost", Some(AUTHORITY)).await, Ok(()));
    let other = include_str!("server.pem");
    let error = send(port, "localhost", Some(other)).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    // The certificate is another host's.
    let error = send(port, "127.0.0.2", Some(AUTHORITY)).await.unwrap_err();
    assert!(!error.contains("Ok"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_is_told_when_the_sink_is_made() {
    let address = "https://localhost:1";
    for ca in ["", "no PEM"] {
        let config = super::config(address, &json!({ "ca": ca }));
        let made = super::super::Search::new(config, "search", 1, super::RecordWriter::of_directory("r", "d"));
        let error = made.err().unwrap();
        assert!(error.to_string().starts_with("ca: "), "{error}");
    }
}
