//! How the server listens: bounds and patience. The defaults are those of `tailrace_core::limits`.

use std::time::Duration;

use tailrace_core::limits;

/// How the server listens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region in the healthy text.
    pub region: String,
    /// Hosts that the guard lets in beside the names of loopback.
    pub extra_hosts: Vec<String>,
    /// Connections at once.
    pub connections_max: usize,
    /// Requests that are being worked on at once.
    pub requests_in_flight_max: usize,
    /// Bytes of bodies that arrive in pieces, all connections together.
    pub body_bytes_buffered_max: usize,
    /// Bytes of large answers that are not written yet, all connections together.
    pub answer_bytes_buffered_max: usize,
    /// Time for a request's headers.
    pub head_limit: Duration,
    /// Time for a request's body, beside what its bytes take at the slowest rate.
    pub body_limit: Duration,
    /// Time between two requests.
    pub idle_limit: Duration,
    /// Time without the client taking a byte of its answer.
    pub write_limit: Duration,
    /// Time for the answers of requests that have begun when the server stops.
    pub shutdown_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            extra_hosts: Vec::new(),
            connections_max: limits::HTTP_CONNECTIONS_DEFAULT_MAX,
            requests_in_flight_max: limits::HTTP_REQUESTS_IN_FLIGHT_DEFAULT_MAX,
            body_bytes_buffered_max: limits::HTTP_BODY_BYTES_BUFFERED_DEFAULT_MAX,
            answer_bytes_buffered_max: limits::HTTP_ANSWER_BYTES_BUFFERED_DEFAULT_MAX,
            head_limit: limits::HTTP_HEAD_DEFAULT,
            body_limit: limits::HTTP_BODY_DEFAULT,
            idle_limit: limits::HTTP_IDLE_DEFAULT,
            write_limit: limits::HTTP_WRITE_DEFAULT,
            shutdown_limit: limits::HTTP_SHUTDOWN_DEFAULT,
        }
    }
}

impl Settings {
    /// How often the connections are looked over: often enough for the shortest patience, seldom enough to cost nothing.
    pub(crate) fn sweep_interval(&self) -> Duration {
        let shortest = self.head_limit.min(self.body_limit).min(self.idle_limit).min(self.write_limit);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}
