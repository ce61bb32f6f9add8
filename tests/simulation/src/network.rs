//! The simulated network: connections between processes pass through a proxy, which delays, holds
//! or cuts them.
//!
//! Bytes are read and written only between two ticks, so that no process sees a byte in the tick in
//! which it was sent.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::libc_overrides::split_mix;
use crate::record;

/// The length of a tick: the shortest delay of the network.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Number of possible delays of received bytes: 0, 1 or 2 ticks, chosen at random.
const DELAYS: u64 = 3;
/// Number of bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Connections to the listener of a process, from one other process or from several.
pub(crate) struct Link {
    /// Index of the process that connects; `None` if several do.
    pub(crate) client: Option<usize>,
    /// Index of the process that serves.
    pub(crate) server: usize,
    listener: TcpListener,
    port: u16,
    pipes: Vec<Pipe>,
    /// Time until which no byte passes.
    pub(crate) cut_until: Duration,
    /// Number of possible delays of received bytes, from 0 ticks on.
    delays: u64,
    random: AtomicU64,
    /// Number of bytes that have passed.
    bytes: u64,
}

/// One connection.
struct Pipe {
    client: End,
    /// `None` until the connection to the server is allowed.
    server: Option<End>,
}

/// One end of a connection, with the bytes for it.
struct End {
    stream: TcpStream,
    queue: VecDeque<(Duration, Vec<u8>)>,
    /// Whether the other end has stopped sending.
    has_peer_ended: bool,
    /// Whether this end has stopped sending.
    has_ended: bool,
}

impl Link {
    pub(crate) fn new(client: Option<usize>, server: usize, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let random = AtomicU64::new(seed);
        let (pipes, cut_until) = (Vec::new(), Duration::ZERO);
        // Several clients are validators of a miner, which must complete handshakes within 3 s.
        let delays = if client.is_some() { DELAYS } else { 1 };
        Ok(Self { client, server, listener, port, pipes, cut_until, delays, random, bytes: 0 })
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Moves the bytes that are due. `port` is that of the server, if it runs.
    pub(crate) fn forward(&mut self, now: Duration, port: Option<u16>) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Some(client) = End::new(stream) {
                self.pipes.push(Pipe { client, server: None });
            }
        }
        if now < self.cut_until {
            return;
        }
        let before = self.bytes;
        let (random, delays, bytes) = (&self.random, self.delays, &mut self.bytes);
        let delay = || TICK * (split_mix(random) % delays) as u32;
        self.pipes.retain_mut(|pipe| pipe.forward(now, port, delay, bytes));
        if self.bytes != before {
            let client = self.client.map_or_else(|| "any".to_owned(), |client| client.to_string());
            record::record_event(&format!("link {client}-{}: {} bytes", self.server, self.bytes));
        }
    }

    /// Closes all connections, as the end of a process does.
    pub(crate) fn reset(&mut self) {
        self.pipes.clear();
        while self.listener.accept().is_ok() {}
    }
}

impl Pipe {
    /// Moves bytes in both directions; returns false when the connection is over.
    fn forward(
        &mut self,
        now: Duration,
        port: Option<u16>,
        delay: impl Fn() -> Duration,
        bytes: &mut u64,
    ) -> bool {
        if self.server.is_none() {
            let connected = port
                .and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok())
                .and_then(End::new);
            // Nobody listens: the connection is refused.
            let Some(server) = connected else { return false };
            self.server = Some(server);
        }
        let Some(server) = &mut self.server else { return false };
        self.client.receive(server, now + delay(), bytes)
            && server.receive(&mut self.client, now + delay(), bytes)
            && {
                let is_open = self.client.send(now) && server.send(now);
                is_open && !(self.client.is_over() && server.is_over())
            }
    }
}

impl End {
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, queue: VecDeque::new(), has_peer_ended: false, has_ended: false })
    }

    fn is_over(&self) -> bool {
        self.has_ended && self.queue.is_empty()
    }

    /// Reads bytes for the other end, which arrive there at the time `due_at`. Returns false after
    /// an error.
    fn receive(&mut self, other: &mut Self, due_at: Duration, bytes: &mut u64) -> bool {
        // The delays of one connection do not reorder its bytes.
        let due_at = other.queue.back().map_or(due_at, |(last, _)| due_at.max(*last));
        while !self.has_ended {
            let mut chunk = vec![0; CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) => (self.has_ended, other.has_peer_ended) = (true, true),
                Ok(length) => {
                    chunk.truncate(length);
                    *bytes += length as u64;
                    other.queue.push_back((due_at, chunk));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes the bytes that are due. Returns false after an error.
    fn send(&mut self, now: Duration) -> bool {
        while let Some((due_at, chunk)) = self.queue.front_mut() {
            if *due_at > now {
                return true;
            }
            match self.stream.write(chunk) {
                Ok(length) if length == chunk.len() => drop(self.queue.pop_front()),
                Ok(length) => drop(chunk.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        if std::mem::take(&mut self.has_peer_ended) {
            return self.stream.shutdown(Shutdown::Write).is_ok();
        }
        true
    }
}
