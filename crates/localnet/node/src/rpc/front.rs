//! Accepts connections and builds the service stack of each.

use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::server::middleware::http::HostFilterLayer;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::ws::is_upgrade_request;
use jsonrpsee::server::{HttpRequest, StopHandle, TowerServiceBuilder, serve_with_graceful_shutdown};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tower::layer::util::{Identity, Stack};

use super::RpcLimits;
use super::count::{Counted, Names};
use super::origin::{Origins, refusal};
use super::pace::{Pace, Paced};

/// The pause after a failed accept, for instance with too many open files.
const RETRY: Duration = Duration::from_millis(50);

/// The shared parts of every connection's service.
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
    /// Accepts connections until shutdown.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.clone().shutdown() => return,
            };
            match accepted {
                Ok((socket, _)) => self.clone().serve(socket),
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn serve(self, socket: TcpStream) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection was lost at once");
            return;
        }
        let pace = Pace::new(self.limits.backlog, self.limits.waiting_bytes);
        let (paced, stopped) = (Paced::new(socket, pace.clone()), self.stop.clone().shutdown());
        let service = tower::service_fn(move |mut request: HttpRequest<_>| {
            if is_upgrade_request(&request) {
                pace.start();
            }
            request.extensions_mut().insert(pace.clone());
            let (names, pace) = (self.names.clone(), pace.clone());
            let counted = move |service| Counted::new(service, names.clone(), pace.clone());
            let builder = self.builder.clone().set_rpc_middleware(RpcServiceBuilder::new().layer_fn(counted));
            let mut service = builder.build(self.methods.clone(), self.stop.clone());
            let allowed = self.origins.allow(request.headers());
            async move { if allowed { service.call(request).await } else { Ok(refusal()) } }
        });
        // How a connection ends is up to its client.
        tokio::spawn(serve_with_graceful_shutdown(paced, service, stopped));
    }
}
