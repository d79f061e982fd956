//! A function in Rust with the standard library alone: what `bootstrap` of a provided runtime has to do. Projects use the
//! crate `lambda_runtime` for it. The tests run this one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The answer to an event; `Err`: the error's message.
fn handle(event: &serde_json::Value) -> Result<serde_json::Value, String> {
    if let Some(why) = event["fail"].as_str() {
        return Err(why.to_owned());
    }
    let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
    for record in records {
        println!("{} {}", record["eventName"].as_str().unwrap_or("?"), record["dynamodb"]["Keys"]["pk"]["S"]);
    }
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    Ok(serde_json::json!({ "records": records.len(), "function": function }))
}

fn main() -> std::io::Result<()> {
    let host = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(std::io::Error::other)?;
    let mut client = Client { stream: BufReader::new(TcpStream::connect(&host)?), host };
    loop {
        let (id, event) = client.call("GET", "next", "")?;
        let event = serde_json::from_slice(&event)?;
        let (kind, answer) = match handle(&event) {
            Ok(answer) => ("response", answer),
            Err(why) => ("error", serde_json::json!({ "errorType": "Error", "errorMessage": why })),
        };
        client.call("POST", &format!("{id}/{kind}"), &answer.to_string())?;
    }
}

/// The Runtime API over one connection.
struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    /// One call; the request's id of the answer, and its body.
    fn call(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(String, Vec<u8>)> {
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all((head + body).as_bytes())?;
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") => {
                    value.clone_into(&mut id)
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(std::io::Error::other)?;
                }
                _ if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((id, body))
    }
}
