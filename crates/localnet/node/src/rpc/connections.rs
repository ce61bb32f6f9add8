//! Accepts connections, and builds the service stack of each.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jsonrpsee::Methods;
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::response::{malformed, too_large, too_many_requests};
use jsonrpsee::server::middleware::http::{HostFilterLayer, ProxyGetRequestLayer};
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::ws::is_upgrade_request;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, StopHandle, TowerServiceBuilder};
use taonet_http::{
    BodyLimits, BodyRefusal, ConnectionSlot, ConnectionSlots, Progress, WriteDeadline,
};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tower::layer::util::{Identity, Stack};

use super::RpcLimits;
use super::backpressure::{Backpressure, BackpressuredStream};
use super::count::{MethodNames, RequestCounter};
use super::origin::{Origins, forbidden_response};

/// The pause after a failed accept, for instance with too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Timeout of a request head, and idle timeout of a connection.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for write progress: a client that does not read is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a request body.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory limit of all request bodies beyond their first 64 KiB each, as a number of bodies of the
/// maximum size.
pub(super) const MAX_LARGE_BODIES: usize = 4;
/// Maximum number of connections beyond the limits, which only receive the response 429.
const MAX_REJECTED_CONNECTIONS: usize = 64;

/// Layers of HTTP requests: the filter of host names, then `GET /health`.
pub(super) type HttpLayers = Stack<ProxyGetRequestLayer, Stack<HostFilterLayer, Identity>>;

/// Shared state of all connections.
#[derive(Clone)]
pub(super) struct SharedState {
    pub(super) builder: TowerServiceBuilder<Identity, HttpLayers>,
    pub(super) methods: Methods,
    pub(super) method_names: MethodNames,
    pub(super) limits: RpcLimits,
    pub(super) body_limits: BodyLimits,
    pub(super) origins: Origins,
    pub(super) stop: StopHandle,
}

impl SharedState {
    /// Accepts connections until shutdown. At a limit, evicts an idle connection; see
    /// [`ConnectionSlots`].
    pub(super) async fn accept(self, listener: TcpListener) {
        let limits = self.limits;
        let slots = ConnectionSlots::new(
            limits.connections as usize,
            limits.connections_per_address as usize,
        );
        let rejection_slots =
            ConnectionSlots::new(MAX_REJECTED_CONNECTIONS, MAX_REJECTED_CONNECTIONS);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.clone().shutdown() => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    if let Some(slot) = slots.try_acquire(peer.ip()) {
                        self.clone().serve(socket, slot, true);
                    } else if let Some(slot) = rejection_slots.try_acquire(peer.ip()) {
                        self.clone().serve(socket, slot, false);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept connection");
                    if !rejection_slots.evict() && !slots.evict() {
                        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    }
                }
            }
        }
    }

    /// Serves a connection. A connection that is not admitted receives the response 429.
    fn serve(self, socket: TcpStream, slot: ConnectionSlot, is_admitted: bool) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "connection lost during the handshake");
            return;
        }
        let (progress, stop) = (slot.progress(), self.stop.clone());
        let backpressure = Backpressure::new(
            self.limits.in_flight_requests,
            self.limits.buffered_bytes,
            Some(progress.clone()),
        );
        let socket = WriteDeadline::new(socket, progress.clone(), WRITE_TIMEOUT);
        let stream = BackpressuredStream::new(socket, backpressure.clone()).with_slot(slot);
        let request_progress = progress.clone();
        let service = tower::service_fn(move |request| {
            self.clone().respond(
                request,
                backpressure.clone(),
                request_progress.clone(),
                is_admitted,
            )
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD_TIMEOUT);
        let connection = http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // Connection errors are the client's concern and are ignored.
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

    /// Responds to a request once its body is complete; an incomplete request uses no shared
    /// resources.
    async fn respond(
        self,
        mut request: HttpRequest<Incoming>,
        backpressure: Arc<Backpressure>,
        progress: Progress,
        is_admitted: bool,
    ) -> Result<HttpResponse, BoxError> {
        if !is_admitted {
            return Ok(self.refuse(request).await);
        }
        if !self.origins.allows(request.headers()) {
            return Ok(forbidden_response());
        }
        let is_upgrade = is_upgrade_request(&request);
        request.extensions_mut().insert(backpressure.clone());
        let (head, body) = request.into_parts();
        let mut body = match self.body_limits.read(body).await {
            Ok(body) => body,
            Err(refusal) => return Ok(self.body_error_response(refusal)),
        };
        if !progress.complete() {
            return Ok(malformed());
        }
        if is_upgrade {
            backpressure.enable();
        }
        let request = HttpRequest::from_parts(
            head,
            HttpBody::from(Vec::from(std::mem::take(&mut body.bytes))),
        );
        let (method_names, stop) = (self.method_names, self.stop);
        let counter_layer = {
            let backpressure = backpressure.clone();
            move |service| RequestCounter::new(service, method_names.clone(), backpressure.clone())
        };
        let builder =
            self.builder.set_rpc_middleware(RpcServiceBuilder::new().layer_fn(counter_layer));
        let response = builder.build(self.methods, stop).call(request).await;
        if is_upgrade {
            backpressure.report_idle();
        } else {
            progress.mark_answered();
        }
        response
    }

    /// Returns the response 429. Reads the request first, since many clients write all of it before
    /// they read.
    async fn refuse(self, request: HttpRequest<Incoming>) -> HttpResponse {
        let mut response = match self.body_limits.read(request.into_body()).await {
            Ok(_) => too_many_requests(),
            Err(refusal) => self.body_error_response(refusal),
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn body_error_response(&self, refusal: BodyRefusal) -> HttpResponse {
        match refusal {
            BodyRefusal::TooLarge { .. } => too_large(self.limits.request_bytes),
            BodyRefusal::Incomplete => malformed(),
            refusal => {
                let mut response = HttpResponse::new(HttpBody::from(refusal.to_string()));
                *response.status_mut() = refusal.status();
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                response
            }
        }
    }
}
