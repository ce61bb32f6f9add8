//! Accepts connections and builds the service stack of each.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jsonrpsee::Methods;
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::response::{malformed, too_large};
use jsonrpsee::server::middleware::http::HostFilterLayer;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::ws::is_upgrade_request;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, StopHandle, TowerServiceBuilder};
use taonet_http::{ConnectionSlot, ConnectionSlots, Progress};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tower::layer::util::{Identity, Stack};

use super::RpcLimits;
use super::count::{Counted, Names};
use super::origin::{Origins, refusal};
use super::pace::{Pace, Paced};

/// The pause after a failed accept, for instance with too many open files.
const RETRY: Duration = Duration::from_millis(50);

/// Timeout of a request head, and idle timeout of a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Connections beyond [`RpcLimits::connections`], which get the response that there are too many.
const SPARE: usize = 64;

/// Shared state of all connections.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) builder: TowerServiceBuilder<Identity, Stack<HostFilterLayer, Identity>>,
    pub(super) methods: Methods,
    pub(super) names: Names,
    pub(super) limits: RpcLimits,
    pub(super) origins: Origins,
    pub(super) stop: StopHandle,
}

impl Front {
    /// Accepts connections until shutdown. At the limit, evicts the connection that has waited longest for a complete
    /// request.
    pub(super) async fn accept(self, listener: TcpListener) {
        let slots = ConnectionSlots::new(self.limits.connections as usize + SPARE, usize::MAX);
        loop {
            let next = async {
                let (socket, peer) = listener.accept().await?;
                Ok::<_, std::io::Error>((socket, slots.acquire(peer.ip()).await))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = self.stop.clone().shutdown() => return,
            };
            match accepted {
                Ok((socket, Some(slot))) => self.clone().serve(socket, slot),
                // Does not happen: one address may use all slots.
                Ok((_, None)) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot accept connection");
                    if !slots.evict() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    fn serve(self, socket: TcpStream, slot: ConnectionSlot) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "connection lost during the handshake");
            return;
        }
        let pace = Pace::new(self.limits.backlog, self.limits.waiting_bytes);
        let (progress, stop) = (slot.progress(), self.stop.clone());
        let paced = Paced::new(socket, pace.clone()).holding(slot);
        let answers = progress.clone();
        let service = tower::service_fn(move |request| self.clone().answer(request, pace.clone(), answers.clone()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
        let connection = http.serve_connection(TokioIo::new(paced), TowerToHyperService::new(service)).with_upgrades();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // How a connection ends is its client's business.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = progress.evicted() => {}
                () = stop.shutdown() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }

    /// Answers a request once it is complete: until then it has no part of what all requests share.
    async fn answer(
        self,
        mut request: HttpRequest<Incoming>,
        pace: Arc<Pace>,
        progress: Progress,
    ) -> Result<HttpResponse, BoxError> {
        if !self.origins.allow(request.headers()) {
            return Ok(refusal());
        }
        let is_upgrade = is_upgrade_request(&request);
        if is_upgrade {
            pace.start();
        }
        request.extensions_mut().insert(pace.clone());
        let request = match complete(request, self.limits.request_bytes).await {
            Ok(request) => request,
            Err(refusal) => return Ok(refusal),
        };
        if !progress.complete() {
            return Ok(malformed());
        }
        let (names, stop) = (self.names, self.stop);
        let counted = move |service| Counted::new(service, names.clone(), pace.clone());
        let builder = self.builder.set_rpc_middleware(RpcServiceBuilder::new().layer_fn(counted));
        let response = builder.build(self.methods, stop).call(request).await;
        // A WebSocket is never idle: pings find out whether its client is there.
        if !is_upgrade {
            progress.answered();
        }
        response
    }
}

/// Reads the body of a request, of at most so many bytes.
async fn complete(request: HttpRequest<Incoming>, limit: u32) -> Result<HttpRequest<HttpBody>, HttpResponse> {
    let (head, mut body) = request.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| malformed())?.into_data() else { continue };
        if whole.len() + chunk.len() > limit as usize {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(HttpRequest::from_parts(head, HttpBody::from(whole)))
}
