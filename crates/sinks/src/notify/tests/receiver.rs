//! A web server on loopback that answers as it is told.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    headers: hyper::HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is answered so.
    Answer { status: u16, header: Option<(&'static str, String)>, body: String },
    /// The connection is cut.
    HangUp,
    /// Nobody ever answers.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Answer { status, header: None, body: String::new() }
    }

    pub fn body(status: u16, body: impl Into<String>) -> Reply {
        Reply::Answer { status, header: None, body: body.into() }
    }
}

pub struct State {
    pub asked: Vec<Asked>,
    pub replies: Box<dyn FnMut(&Asked) -> Reply + Send>,
}

pub struct Receiver {
    pub address: String,
    state: Arc<Mutex<State>>,
    came: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that asks `replies` for each answer.
    pub async fn start(replies: impl FnMut(&Asked) -> Reply + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { asked: Vec::new(), replies: Box::new(replies) }));
        let (shared, came) = (state.clone(), Arc::new(Notify::new()));
        let told = came.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let (state, came) = (shared.clone(), told.clone());
                let service = service_fn(move |request| answer(state.clone(), came.clone(), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move {
                    // A connection that is cut ends with an error.
                    let _ = connection.await;
                });
            }
        });
        Receiver { address, state, came, task }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The requests that came, and none of them any more.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().asked)
    }

    /// The next requests, when so many have come, and none of them any more.
    pub async fn wait_for(&self, count: usize) -> Vec<Asked> {
        loop {
            {
                let mut state = self.state.lock();
                if state.asked.len() >= count {
                    return state.asked.drain(..count).collect();
                }
            }
            self.came.notified().await;
        }
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    came: Arc<Notify>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let headers = request.headers().clone();
    let cut = || io::Error::other("cut");
    let body = request.into_body().collect().await.map_err(|_| cut())?.to_bytes();
    let asked = Asked { headers, body: String::from_utf8(body.to_vec()).unwrap() };
    let reply = {
        let mut state = state.lock();
        state.asked.push(asked.clone());
        came.notify_one();
        (state.replies)(&asked)
    };
    match reply {
        Reply::HangUp => Err(cut()),
        Reply::Silence => std::future::pending().await,
        Reply::Answer { status, header, body } => {
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(body))).unwrap())
        }
    }
}
