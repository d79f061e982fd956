//! A way to the server that can be cut: after so many bytes in either direction, or for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
struct Way {
    /// Bytes that still get through before the way is cut once; negative: all do.
    left: AtomicI64,
    is_down: AtomicBool,
    cuts: AtomicI64,
}

/// The proxy. It ends with the test's runtime.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    way: Arc<Way>,
}

impl Proxy {
    /// A proxy before the server of `url`; its own address has the same user and database.
    pub async fn before(url: &str) -> Proxy {
        let settings: tokio_postgres::Config = url.parse().unwrap();
        let tokio_postgres::config::Host::Tcp(host) = &settings.get_hosts()[0] else {
            panic!("{url} is no TCP address")
        };
        let (host, port) = (host.clone(), settings.get_ports()[0]);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap();
        let way = Arc::new(Way { left: AtomicI64::new(-1), ..Way::default() });
        let accepting = way.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect((host.as_str(), port)).await else { continue };
                tokio::spawn(connected(client, server, accepting.clone()));
            }
        });
        let (user, database) = (settings.get_user().unwrap(), settings.get_dbname().unwrap());
        Proxy { address: format!("postgres://{user}@{own}/{database}?sslmode=disable"), way }
    }

    /// Cuts the connection when so many more bytes have gone through, whichever way.
    pub fn cut_after(&self, bytes: i64) {
        self.way.left.store(bytes, Ordering::SeqCst);
    }

    /// Lets nobody through, or everybody again.
    pub fn down(&self, is_down: bool) {
        self.way.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.cut_after(0);
        }
    }

    /// How often it was cut.
    pub fn cuts(&self) -> i64 {
        self.way.cuts.load(Ordering::SeqCst)
    }
}

async fn connected(client: TcpStream, server: TcpStream, way: Arc<Way>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, &way) => {}
        () = pass(&mut from_server, &mut to_client, &way) => {}
    }
}

async fn pass(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), way: &Way) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let left = way.left.load(Ordering::SeqCst);
        let through = if left < 0 { length } else { length.min(usize::try_from(left).unwrap()) };
        if left >= 0 {
            way.left.store(left - i64::try_from(through).unwrap(), Ordering::SeqCst);
        }
        if to.write_all(&buffer[..through]).await.is_err() {
            return;
        }
        if through < length {
            way.left.store(-1, Ordering::SeqCst);
            way.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}
