//! Accepts connections, serves them, and ends them: at the client's wish, by the sweeper, or when the server stops.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use parking_lot::Mutex;
use tailrace_core::limits;
use tailrace_core::rng::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch as channel};
use tokio::task::{AbortHandle, JoinSet};

use crate::api::Api;
use crate::body::BodyBudget;
use crate::connection::{Patience, Watch, WatchedIo};
use crate::guard::Guard;
use crate::request_id::RequestIds;
use crate::route::{self, Shared};
use crate::settings::Settings;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were cut because their request did not finish in time.
    pub connections_cut: usize,
    /// Requests still being worked on when the time was over.
    pub requests_left: usize,
}

type Registry = Arc<Mutex<HashMap<u64, (Arc<Watch>, AbortHandle)>>>;

/// Serves `api` on `listener` until `shutdown` resolves; then takes no more connections and requests, and waits for the
/// answers of those that have begun, up to a bound.
///
/// # Errors
/// The listener's address cannot be read.
pub async fn serve<A: Api>(
    listener: TcpListener,
    api: A,
    settings: Settings,
    rng: &dyn Rng,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<ServeReport> {
    let shared = Arc::new(Shared {
        api,
        guard: Guard::new(listener.local_addr()?, &settings.extra_hosts),
        healthy: Bytes::from(format!("healthy: dynamodb.{}.amazonaws.com ", settings.region)),
        ids: RequestIds::new(rng),
        budget: BodyBudget::new(settings.body_bytes_buffered_max),
        in_flight: Arc::new(Semaphore::new(settings.requests_in_flight_max)),
    });
    let (stop, stopped) = channel::channel(());
    let registry = Registry::default();
    let ticks = Arc::new(AtomicU32::new(0));
    let mut sweep = tokio::time::interval(settings.sweep_interval());
    let patience = Patience::new(&settings);
    let mut connections = JoinSet::new();
    let mut next_number = 0;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = sweep.tick() => {
                ticks.fetch_add(1, Ordering::Relaxed);
                cut_overdue(&registry, &patience);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() >= settings.connections_max => refuse(&stream, &shared.ids),
                Ok((stream, _)) => {
                    let watch = Arc::new(Watch::new(Arc::clone(&ticks)));
                    let entry = Entry { number: next_number, registry: Arc::clone(&registry) };
                    let task = connection(stream, Arc::clone(&shared), Arc::clone(&watch), stopped.clone(), entry);
                    // Locked across the spawn, so that the task cannot leave the registry before it is in it.
                    let mut registry = registry.lock();
                    let handle = connections.spawn(task);
                    registry.insert(next_number, (watch, handle));
                    next_number += 1;
                }
                // The connection is gone already, or the process is out of descriptors: either way others must go on.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
        }
    }
    drop(listener);
    drop(stop);
    finish(connections, &shared.in_flight, &settings).await
}

async fn finish(
    mut connections: JoinSet<()>,
    in_flight: &Arc<Semaphore>,
    settings: &Settings,
) -> std::io::Result<ServeReport> {
    let deadline = tokio::time::sleep(settings.shutdown_limit);
    let mut deadline = std::pin::pin!(deadline);
    let all = u32::try_from(settings.requests_in_flight_max).unwrap_or(u32::MAX);
    let drained = async {
        while connections.join_next().await.is_some() {}
        // Calls whose clients have hung up.
        let _ = in_flight.acquire_many(all).await;
    };
    tokio::select! {
        () = drained => return Ok(ServeReport { connections_cut: 0, requests_left: 0 }),
        () = &mut deadline => {}
    }
    let connections_cut = connections.len();
    let requests_left = settings.requests_in_flight_max - in_flight.available_permits();
    connections.shutdown().await;
    Ok(ServeReport { connections_cut, requests_left })
}

/// A connection's place in the registry.
struct Entry {
    number: u64,
    registry: Registry,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

async fn connection<A: Api>(
    stream: TcpStream,
    shared: Arc<Shared<A>>,
    watch: Arc<Watch>,
    mut stopped: channel::Receiver<()>,
    entry: Entry,
) {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let io = WatchedIo::new(stream, Arc::clone(&watch));
    let service = service_fn(move |request| {
        let answer = route::handle(Arc::clone(&shared), request, Arc::clone(&watch));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // The library reads ahead by up to as much again before it gives up on a head.
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX / 2)
        .max_headers(limits::HTTP_HEADERS_MAX)
        // Without it the library tries to read while an operation waits for its sync, only to see a hang-up early: a
        // system call and a buffer for each write. A hang-up changes nothing here before the answer is written.
        .half_close(true)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    // Errors are the client's: bytes that are not HTTP, or a hang-up. It has been told, or is gone.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(entry);
}

fn cut_overdue(registry: &Registry, patience: &Patience) {
    for (watch, task) in registry.lock().values() {
        if watch.overdue(patience) {
            task.abort();
        }
    }
}

/// Tells a client that there is no room for it; whoever does not read that at once does not get to keep us busy.
fn refuse(stream: &TcpStream, ids: &RequestIds) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nx-amzn-requestid: {}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-crc32: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        String::from_utf8_lossy(&ids.next()),
        crc32fast::hash(route::BUSY),
        route::BUSY.len()
    );
    let _ = stream.try_write(&[head.as_bytes(), route::BUSY].concat());
}
