//! A TCP proxy that injects network faults.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The fault applied to all connections, open ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards everything.
    Pass,
    /// Closes all open connections, and each new one immediately.
    Kill,
    /// Accepts connections and forwards nothing.
    Stall,
    /// Forwards the client's bytes, but no responses.
    NoResponses,
    /// Inserts garbage into the node's bytes.
    Garbage,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub(crate) async fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::channel(Mode::Pass).0);
        let modes = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(proxy_connection(client, node, modes.subscribe()));
            }
        });
        Self { address, mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

async fn proxy_connection(client: TcpStream, node: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Kill {
        return;
    }
    let Ok(node) = TcpStream::connect(node).await else { return };
    let (client_in, client_out) = client.into_split();
    let (node_in, node_out) = node.into_split();
    let up = forward(client_in, node_out, mode.clone(), |mode| matches!(mode, Mode::Stall), false);
    let down = forward(
        node_in,
        client_out,
        mode.clone(),
        |mode| matches!(mode, Mode::Stall | Mode::NoResponses),
        true,
    );
    let killed = mode.wait_for(|mode| *mode == Mode::Kill);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = killed => {}
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_paused: impl Fn(Mode) -> bool,
    inserts_garbage: bool,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 || mode.wait_for(|mode| !is_paused(*mode)).await.is_err() {
            return;
        }
        let is_garbage = inserts_garbage && *mode.borrow() == Mode::Garbage;
        if is_garbage && to.write_all(b"\x81\x05{]\xffgarbage").await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
