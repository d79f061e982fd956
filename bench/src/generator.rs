//! The load generator: one thread, N keep-alive connections, each with one request at a time; the requests are rendered
//! beforehand and only digits in them change. It has to be much cheaper than the server, since it runs beside it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;

/// A request whose digits change from one sending to the next.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    key_at: Vec<usize>,
    /// Where a key stands once more, and where it stood before.
    same_at: Vec<(usize, usize)>,
    value_at: Vec<usize>,
    keys: u64,
}

/// Digits of a key, and of a value, in a rendered request.
pub const DIGITS: usize = 10;
/// Stands for a key's digits in a request's body.
pub const KEY: &str = "KKKKKKKKKK";
/// Stands for the digits of the last key in front of it.
pub const SAME_KEY: &str = "SSSSSSSSSS";
/// Stands for a value's digits in a request's body; it changes with every sending, so that no write is a no-op.
pub const VALUE: &str = "VVVVVVVVVV";

impl Request {
    /// An operation; each `KEY` becomes a number below `keys`, each `VALUE` a number that was never sent before.
    pub fn new(target: &str, body: &str, keys: u64) -> Request {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: {target}\r\n\
             x-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=bench/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=0000000000000000000000000000000000000000000000000000000000000000\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let text = head + body;
        let all = |mark: &str| text.match_indices(mark).map(|(at, _)| at).collect::<Vec<_>>();
        let (key_at, value_at) = (all(KEY), all(VALUE));
        let same_at = all(SAME_KEY)
            .into_iter()
            .filter_map(|at| Some((at, *key_at[..key_at.partition_point(|key| *key < at)].last()?)))
            .collect();
        Request { bytes: text.into_bytes(), key_at, same_at, value_at, keys }
    }

    /// Changes the number of keys.
    pub fn set_keys(&mut self, keys: u64) {
        self.keys = keys;
    }

    fn render(&mut self, key: impl Fn(usize) -> u64, value: u64) {
        for (i, at) in self.key_at.iter().enumerate() {
            digits(&mut self.bytes[*at..*at + DIGITS], key(i));
        }
        for (at, key) in &self.same_at {
            self.bytes.copy_within(*key..*key + DIGITS, *at);
        }
        for (i, at) in self.value_at.iter().enumerate() {
            digits(&mut self.bytes[*at..*at + DIGITS], value + i as u64);
        }
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Which keys are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Any key, evenly.
    Random,
    /// Each key once, from the first; the run ends with the last.
    Sequential,
}

/// What a run measured.
#[derive(Clone)]
pub struct Measure {
    /// Answers.
    pub answers: u64,
    /// Answers a second.
    pub rate: f64,
    /// Latencies of answers.
    pub latency: Histogram,
    /// The longest time without any answer, milliseconds.
    pub stall_ms: f64,
}

/// The next value that is sent; it is below ten to the power of its digits, and begins with the clock so that a process never
/// meets the values of one before it.
#[expect(clippy::disallowed_methods, reason = "it numbers what is sent in real time")]
fn values() -> &'static AtomicU64 {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    NEXT.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        AtomicU64::new(now.unwrap_or_default().as_micros() as u64)
    })
}

struct Connection {
    stream: TcpStream,
    request: Request,
    sent: Instant,
    answer: Vec<u8>,
}

/// Sends `request` over `connections` connections for `time`.
///
/// # Errors
/// A connection breaks, or an answer is not 200: then nothing was measured.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
pub fn drive(
    address: SocketAddr,
    connections: usize,
    request: &Request,
    order: Order,
    time: Duration,
) -> Result<Measure> {
    let start = Instant::now();
    drive_while(address, connections, request, order, |now| now - start < time)
}

/// Sends `request` over `connections` connections until `goes_on` says no, which is asked at each answer, or, in sequential order,
/// each key was sent.
///
/// # Errors
/// A connection breaks, or an answer is not 200: then nothing was measured.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
pub fn drive_while(
    address: SocketAddr,
    connections: usize,
    request: &Request,
    order: Order,
    mut goes_on: impl FnMut(Instant) -> bool,
) -> Result<Measure> {
    let epoll = Epoll::new()?;
    let mut chance = Instant::now().elapsed().as_nanos() as u64 ^ address.port() as u64;
    let mut sent = 0_u64;
    let start = Instant::now();
    let mut pool = Vec::with_capacity(connections);
    for i in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.add(stream.as_raw_fd(), i)?;
        pool.push(Connection { stream, request: request.clone(), sent: start, answer: Vec::new() });
    }
    let per_request = request.key_at.len().max(1) as u64;
    let values_per_request = request.value_at.len() as u64;
    let mut next = |connection: &mut Connection, now: Instant| -> Result<bool> {
        if order == Order::Sequential && sent * per_request >= connection.request.keys {
            return Ok(false);
        }
        let keys = connection.request.keys.max(1);
        let seed = chance;
        chance = chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let first = sent * per_request;
        let key = |i: usize| match order {
            Order::Random => mix(seed ^ i as u64) % keys,
            Order::Sequential => (first + i as u64) % keys,
        };
        connection.request.render(key, values().fetch_add(values_per_request, Ordering::Relaxed));
        sent += 1;
        connection.sent = now;
        connection.answer.clear();
        // A request is far smaller than the socket's buffer.
        connection.stream.write_all(&connection.request.bytes)?;
        Ok(true)
    };
    let mut open = 0;
    for connection in &mut pool {
        open += usize::from(next(connection, Instant::now())?);
    }
    let (mut answers, mut latency) = (0_u64, Histogram::default());
    let (mut last_answer, mut stall) = (Instant::now(), Duration::ZERO);
    let (mut ready, mut bytes) = (Vec::new(), vec![0; 65536]);
    while open > 0 {
        epoll.wait(&mut ready)?;
        for i in ready.drain(..) {
            let connection = &mut pool[i];
            if !read_answer(connection, &mut bytes)? {
                continue;
            }
            let now = Instant::now();
            latency.record((now - connection.sent).as_nanos() as u64);
            stall = stall.max(now - last_answer);
            last_answer = now;
            answers += 1;
            let more = (order == Order::Sequential || goes_on(now)) && next(connection, now)?;
            open -= usize::from(!more);
        }
    }
    let rate = answers as f64 / start.elapsed().as_secs_f64();
    Ok(Measure { answers, rate, latency, stall_ms: stall.as_secs_f64() * 1e3 })
}

/// Reads what is there, through `bytes`. True: the answer is whole.
fn read_answer(connection: &mut Connection, bytes: &mut [u8]) -> Result<bool> {
    loop {
        match connection.stream.read(bytes) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
            Ok(n) => connection.answer.extend_from_slice(&bytes[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
        let Some(whole) = answer_len(&connection.answer) else { continue };
        if connection.answer.len() >= whole {
            let ok = connection.answer.starts_with(b"HTTP/1.1 200");
            return if ok {
                Ok(true)
            } else {
                Err(Error::other(String::from_utf8_lossy(&connection.answer).into_owned()))
            };
        }
    }
}

/// Length of the answer that starts here; `None`: its head is not whole.
pub fn answer_len(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let at = bytes[..head].windows(16).position(|window| window.eq_ignore_ascii_case(b"content-length: "))? + 16;
    let length = bytes[at..head].iter().take_while(|b| b.is_ascii_digit());
    Some(head + length.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

/// One connection whose answers are large: they are read into one buffer, so that reading costs little beside the server's work.
pub struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    /// A reader over a connection.
    pub fn new(stream: TcpStream) -> Reader {
        Reader { stream, buffer: vec![0; 1 << 22] }
    }

    /// One request and its answer's body.
    ///
    /// # Errors
    /// The connection breaks, or the answer is not 200.
    pub fn call(&mut self, target: &str, body: &str) -> Result<&[u8]> {
        self.stream.write_all(&Request::new(target, body, 0).bytes)?;
        let (mut read, mut whole) = (0, None);
        while whole.is_none_or(|whole| read < whole) {
            if read == self.buffer.len() {
                self.buffer.resize(2 * read, 0);
            }
            match self.stream.read(&mut self.buffer[read..])? {
                0 => return Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
                n => read += n,
            }
            // The head is looked for in the beginning alone: bodies are large here.
            whole = whole.or_else(|| answer_len(&self.buffer[..read.min(4096)]));
        }
        let answer = &self.buffer[..read];
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(Error::other(String::from_utf8_lossy(answer).into_owned()));
        }
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        Ok(&answer[head..])
    }
}

/// One request and its answer's body, for everything that is not load.
///
/// # Errors
/// The connection breaks, or the answer is not 200.
pub fn call(stream: &mut TcpStream, target: &str, body: &str) -> Result<Vec<u8>> {
    exchange(stream, &Request::new(target, body, 0).bytes)
}

/// Sends bytes, and reads an answer's body.
///
/// # Errors
/// The connection breaks, or the answer is none of success.
pub fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        let n = stream.read(&mut bytes)?;
        if n == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up"));
        }
        answer.extend_from_slice(&bytes[..n]);
        // The head is looked for in the beginning alone: bodies are large here.
        let Some(whole) = answer_len(&answer[..answer.len().min(4096)]) else { continue };
        if answer.len() >= whole {
            if !answer.starts_with(b"HTTP/1.1 20") {
                return Err(Error::other(String::from_utf8_lossy(&answer).into_owned()));
            }
            let head = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
            return Ok(answer.split_off(head));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

struct Epoll(i32);

impl Epoll {
    fn new() -> Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 { Err(Error::last_os_error()) } else { Ok(Epoll(fd)) }
    }

    fn add(&self, fd: i32, token: usize) -> Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token as u64 };
        // SAFETY: `event` lives through the call, which copies it.
        let result = unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, fd, &mut event) };
        if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    }

    fn wait(&self, ready: &mut Vec<usize>) -> Result<()> {
        const EVENTS_MAX: usize = 128;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the array has room for as many events as the call is told.
        let n = unsafe { libc::epoll_wait(self.0, events.as_mut_ptr(), EVENTS_MAX as i32, 10_000) };
        if n < 0 {
            let error = Error::last_os_error();
            return if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        if n == 0 {
            return Err(Error::new(ErrorKind::TimedOut, "no answer for 10 seconds"));
        }
        ready.extend(events[..n as usize].iter().map(|event| event.u64 as usize));
        Ok(())
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and is used no more.
        unsafe { libc::close(self.0) };
    }
}
