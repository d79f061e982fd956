//! Which servers are talked to: a server of the protocol's first steps, with a certificate for `localhost` of a root of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::*;
use crate::sink::Sink;
use crate::warehouse::Warehouse;

const OWN_ROOT: &str = include_str!("certificates/ca.pem");
const OTHER_ROOT: &str = include_str!("certificates/other.pem");
/// The protocol's code of a question for TLS.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Answers one client: how it came, as the error of its login.
fn serve(listener: &TcpListener, has_tls: bool) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 8];
    stream.read_exact(&mut head).unwrap();
    if head != TLS_REQUEST {
        return refuse(&mut stream, "plain");
    }
    if !has_tls {
        stream.write_all(b"N").unwrap();
        let _ = stream.read(&mut [0; 1024]);
        return refuse(&mut stream, "plain");
    }
    stream.write_all(b"S").unwrap();
    let certificate = CertificateDer::from_pem_slice(include_bytes!("certificates/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let mut stream: StreamOwned<ServerConnection, TcpStream> =
        StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
    if stream.read(&mut [0; 1024]).is_ok() {
        refuse(&mut stream, "encrypted");
    }
}

fn refuse(stream: &mut impl Write, how: &str) {
    let mut fields = Vec::new();
    for (field, text) in [(b'S', "FATAL"), (b'C', "28000"), (b'M', how)] {
        fields.push(field);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let mut message = vec![b'E'];
    message.extend_from_slice(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(&fields);
    let _ = stream.write_all(&message);
    let _ = stream.flush();
}

async fn came(host: &str, parameters: &str, ca: Option<&str>, has_tls: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || serve(&listener, has_tls));
    // The name is the certificate's or is not; the address is ours.
    let to = format!("postgres://u:s3cr3t@{host}:{port}/d?hostaddr=127.0.0.1{parameters}");
    let settings = match ca {
        None => json!({"to": to}),
        Some(ca) => json!({"to": to, "ca": ca}),
    };
    let sink = Warehouse::new("wh", serde_json::from_value(settings).unwrap(), None).unwrap();
    let error = sink.prepare(source("2026-01-01T00:00:00.000")).await.unwrap_err().0;
    server.join().unwrap();
    assert!(!error.contains("s3cr3t"), "{error}");
    error
}

#[tokio::test]
async fn servers_are_looked_at_as_strictly_as_asked_for() {
    let (own, other) = (Some(OWN_ROOT), Some(OTHER_ROOT));
    for (host, parameters, ca, expected) in [
        ("localhost", "&sslmode=disable", None, ": plain"),
        ("localhost", "", None, ": encrypted"),
        ("elsewhere", "&sslmode=require", None, ": encrypted"),
        ("localhost", "", own, ": encrypted"),
        ("localhost", "&sslmode=verify-full", own, ": encrypted"),
        ("elsewhere", "&sslmode=verify-full", own, "certificate not valid for name \"elsewhere\""),
        ("elsewhere", "&sslmode=verify-ca", own, ": encrypted"),
        ("localhost", "&sslmode=verify-ca", other, "invalid peer certificate"),
        ("localhost", "&sslmode=require", other, "invalid peer certificate"),
        ("localhost", "", other, "invalid peer certificate"),
        ("localhost", "&sslmode=verify-full", None, "invalid peer certificate"),
    ] {
        let error = came(host, parameters, ca, true).await;
        assert!(error.contains(expected), "{host} {parameters}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_talked_to_only_if_that_is_allowed() {
    assert!(came("localhost", "", None, false).await.ends_with(": plain"));
    let error = came("localhost", "&sslmode=require", None, false).await;
    assert!(error.contains("server does not support TLS"), "{error}");
}

/// A server that has understood the password may repeat it.
#[tokio::test]
async fn a_password_that_the_server_repeats_is_not_shown() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        // AuthenticationCleartextPassword, and what comes then: `p`, a length, the password, 0.
        stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        refuse(&mut stream, &format!("password \"{}\" is wrong", str::from_utf8(&answer[5..length - 1]).unwrap()));
    });
    let to = format!("postgres://u:hunt%2Fr2@127.0.0.1:{port}/d?sslmode=disable");
    let sink = Warehouse::new("wh", serde_json::from_value(json!({"to": to})).unwrap(), None).unwrap();
    let error = sink.prepare(source("2026-01-01T00:00:00.000")).await.unwrap_err().0;
    server.join().unwrap();
    assert_eq!(error, "127.0.0.1: password \"***\" is wrong");
}
