//! A faulty TCP proxy in front of a database or another server.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::Postgres;

/// A fault that the proxy injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// All data is forwarded unchanged.
    None,
    /// All connections are closed, existing and new ones.
    Cut,
    /// Connections stay open without forwarding data, even after the fault ends; later connections
    /// work.
    HalfOpen,
    /// Connections stay open and forward only the client's data, even after the fault ends; later
    /// connections work.
    NoResponses,
    /// Each chunk of response data is delayed by this duration.
    Slow(Duration),
}

/// A TCP proxy in front of a server.
pub struct FaultyProxy {
    port: u16,
    fault: watch::Sender<ProxyFault>,
    /// The server's port, if it is a TCP server.
    server: Arc<OnceLock<u16>>,
}

impl FaultyProxy {
    pub async fn to(postgres: &Postgres) -> Self {
        let socket = postgres.socket();
        Self::start(Arc::default(), move || UnixStream::connect(socket.clone())).await
    }

    /// Starts a proxy that closes all connections until [`Self::forward`] sets the server, which
    /// may need the proxy's port.
    pub async fn unconnected() -> Self {
        let server = Arc::new(OnceLock::new());
        let target = Arc::clone(&server);
        let connect = move || {
            let port = target.get().copied();
            async move {
                TcpStream::connect(("127.0.0.1", port.ok_or(io::ErrorKind::NotConnected)?)).await
            }
        };
        Self::start(server, connect).await
    }

    /// Forwards connections to a TCP server on this machine.
    pub fn forward(&self, port: u16) {
        self.server.set(port).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    async fn start<S, C>(
        server: Arc<OnceLock<u16>>,
        connect: impl Fn() -> C + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        C: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, fault_receiver) = watch::channel(ProxyFault::None);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward_connection(client, connect(), fault_receiver.clone()));
            }
        });
        Self { port, fault, server }
    }

    pub fn set(&self, fault: ProxyFault) {
        self.fault.send_replace(fault);
    }

    /// Returns the URL of one of the server's databases through the proxy.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

async fn forward_connection<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: TcpStream,
    server: impl Future<Output = io::Result<S>>,
    mut fault: watch::Receiver<ProxyFault>,
) {
    let Ok(mut server) = server.await else { return };
    let (mut client_buffer, mut server_buffer) = ([0; 1 << 14], [0; 1 << 14]);
    let mut is_stalled = false;
    loop {
        let current_fault = *fault.borrow_and_update();
        is_stalled |= current_fault == ProxyFault::NoResponses;
        match current_fault {
            ProxyFault::Cut => return,
            ProxyFault::HalfOpen => std::future::pending().await,
            _ => {}
        }
        tokio::select! {
            changed = fault.changed() => if changed.is_err() { return },
            count = client.read(&mut client_buffer) => match count {
                // The server's side stays open after the client disconnects.
                Ok(0) | Err(_) if is_stalled => std::future::pending().await,
                Ok(0) | Err(_) => return,
                Ok(count) => if server.write_all(&client_buffer[..count]).await.is_err() { return },
            },
            count = server.read(&mut server_buffer), if !is_stalled => {
                let Ok(count @ 1..) = count else { return };
                if let ProxyFault::Slow(pause) = current_fault {
                    tokio::time::sleep(pause).await;
                }
                if client.write_all(&server_buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
