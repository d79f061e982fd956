//! Servers that are not Tailrace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

/// Answers every request with what `answer` makes of its target (or path) and body, as one text of head and body.
/// Lives as long as the test. Answers the port.
pub fn serve(mut answer: impl FnMut(&str, &str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut target, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                match line.trim_end().split_once(": ") {
                    Some(("x-amz-target", value)) => target = value.to_owned(),
                    Some(("content-length", value)) => length = value.parse().unwrap(),
                    None => target = line.split(' ').nth(1).unwrap().to_owned(),
                    Some(_) => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = answer(&target, &String::from_utf8(body).unwrap());
            // A client that has gone is no trouble of ours.
            let _ = reader.into_inner().write_all(answer.as_bytes());
        }
    });
    port
}

/// An answer as the service gives it.
pub fn service(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Status\r\nx-amz-crc32: 0\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A page of a web server.
pub fn page(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A listener that takes connections and says nothing. Keep it: it is gone when it is dropped.
pub fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
