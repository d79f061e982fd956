//! Accepts connections, serves them, and ends them: at the client's wish, by the sweeper, or when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use rustix::io::Errno;
use tailrace_core::limits;
use tailrace_core::rng::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::body::BodyBudget;
use crate::connection::{Patience, WatchedIo};
use crate::guard::Guard;
use crate::registry::{Entry, Registry};
use crate::request_id::RequestIds;
use crate::route::{self, WireState};
use crate::settings::Settings;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were cut because their request did not finish in time.
    pub connections_cut: usize,
    /// Requests still being worked on when the time was over.
    pub requests_left: usize,
}

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
    let shared = Arc::new(WireState {
        api,
        guard: Guard::new(listener.local_addr()?, &settings.extra_hosts),
        healthy: Bytes::from(format!("healthy: dynamodb.{}.amazonaws.com ", settings.region)),
        ids: RequestIds::new(rng),
        budget: BodyBudget::new(settings.body_bytes_buffered_max),
        answers: BodyBudget::new(settings.answer_bytes_buffered_max),
        in_flight: Arc::new(Semaphore::new(settings.requests_in_flight_max)),
        large: Arc::new(Semaphore::new(limits::HTTP_LARGE_BODIES_BYTES_MAX)),
    });
    let registry = Registry::default();
    let mut sweep = tokio::time::interval(settings.sweep_interval());
    let patience = Patience::new(&settings);
    let mut connections = JoinSet::new();
    let mut refusals = JoinSet::new();
    let mut next_number = 0;
    let mut short_of_files = false;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Some(_) = refusals.join_next(), if !refusals.is_empty() => {}
            _ = sweep.tick() => registry.sweep(&patience),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if make_room(&registry, &mut connections, settings.connections_max).await => {
                    let shared = Arc::clone(&shared);
                    registry.enter(next_number, |entry| connections.spawn(connection(stream, shared, entry)));
                    next_number += 1;
                }
                Ok((stream, _)) if refusals.len() < limits::HTTP_REFUSALS_MAX => {
                    refusals.spawn(refuse(stream, refusal(&shared.ids)));
                }
                Ok(_) => {}
                Err(error) if is_out_of_files(&error) => {
                    if !short_of_files {
                        tracing::warn!(%error, "connections wait, and idle ones are closed: raise the limit of open files");
                    }
                    short_of_files = true;
                    registry.evict();
                    tokio::time::sleep(limits::HTTP_ACCEPT_PAUSE).await;
                }
                // The connection is gone already; should it be the listener, nothing must spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
        }
    }
    drop(listener);
    drop(refusals);
    registry.evict_all();
    finish(connections, &shared.in_flight, &settings).await
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Makes room for one more connection, at the cost of the longest idle one if there is none. False: none is idle, or the
/// idle one has just got a request.
async fn make_room(registry: &Registry, connections: &mut JoinSet<()>, max: usize) -> bool {
    while connections.try_join_next().is_some() {}
    if connections.len() < max {
        return true;
    }
    if registry.evict() {
        let patience = limits::HTTP_EVICTION;
        let _ = tokio::time::timeout(patience, connections.join_next()).await;
    }
    connections.len() < max
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

async fn connection<A: Api>(stream: TcpStream, shared: Arc<WireState<A>>, entry: Entry) {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let watch = &entry.watch;
    let io = WatchedIo::new(stream, Arc::clone(watch));
    let service = service_fn(move |request| {
        let answer = route::handle(Arc::clone(&shared), request, Arc::clone(watch));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // The library reads ahead by up to as much again before it gives up on a head.
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX / 2)
        // Without it the library tries to read while an operation waits for its sync, only to see a hang-up early: a
        // system call and a buffer for each write. A hang-up changes nothing here before the answer is written.
        .half_close(true)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    // Errors are the client's: bytes that are not HTTP, or a hang-up. It has been told, or is gone.
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = watch.asked_to_leave() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn refusal(ids: &RequestIds) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nx-amzn-requestid: {}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-crc32: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        String::from_utf8_lossy(&ids.next()),
        crc32fast::hash(route::BUSY),
        route::BUSY.len()
    );
    [head.as_bytes(), route::BUSY].concat()
}

/// Tells a client that there is no room for it. What it sends is taken and thrown away until it has seen the answer: a
/// socket that is closed with something unread is reset, and the answer lost.
async fn refuse(mut stream: TcpStream, answer: Vec<u8>) {
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(limits::HTTP_REFUSAL, told).await;
}
