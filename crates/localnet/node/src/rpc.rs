//! JSON-RPC over HTTP and WebSocket on one port.

mod author;
mod chain;
mod count;
mod dev;
mod error;
mod front;
mod origin;
mod pace;
mod params;
mod payment;
mod state;
mod subscribe;
mod system;
mod workers;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use jsonrpsee::core::{RegisterMethodError, SubscriptionError};
use jsonrpsee::server::middleware::http::HostFilterLayer;
use jsonrpsee::server::{
    BatchRequestConfig, PingConfig, RandomStringIdProvider, ServerBuilder, ServerConfig, ServerHandle, stop_channel,
};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, RpcModule};
use serde_json::json;
use tokio::net::TcpListener;

use crate::author::Goal;
use crate::chain::Chain;
use crate::clock::Clock;
use crate::node::{Control, NodeError};
use count::Names;
use error::{Answer, internal};
use front::Front;
use origin::Origins;
use pace::Pace;
use params::{Args, to_hex};
use subscribe::Asked;
use workers::Workers;

/// A method that is registered twice: a defect of this crate, found by every test that starts a node.
type RegisterError = RegisterMethodError;

/// What clients may ask of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    /// WebSocket connections, and HTTP requests being answered, together.
    pub connections: u32,
    /// Subscriptions of one connection.
    pub subscriptions: u32,
    /// Bytes of one request.
    pub request_bytes: u32,
    /// Bytes of one answer.
    pub response_bytes: u32,
    /// Requests in one batch.
    pub batch: u32,
    /// Messages that one connection's queue holds, and requests of a connection in work: the node reads no more of them
    /// until some are done.
    pub backlog: u32,
    /// Bytes that one WebSocket connection holds: requests in work, answers and notifications that its client does not
    /// take. While there are more, the node reads nothing from it; and it makes no more answers while so many wait.
    pub waiting_bytes: u32,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            subscriptions: 2_048,
            request_bytes: 16 << 20,
            response_bytes: 64 << 20,
            batch: 1_024,
            backlog: 256,
            waiting_bytes: 8 << 20,
        }
    }
}

/// What handlers work with.
pub(crate) struct Context {
    chain: Arc<Chain>,
    control: Control,
    clock: Clock,
    workers: Workers,
    response_bytes: usize,
}

impl Context {
    pub(crate) fn new(chain: Arc<Chain>, control: Control, clock: Clock, limits: RpcLimits) -> Result<Self, NodeError> {
        let workers = Workers::new().map_err(|error| NodeError::Thread(std::io::Error::other(error)))?;
        Ok(Self { chain, control, clock, workers, response_bytes: limits.response_bytes as usize })
    }

    /// What an answer may still grow by.
    fn room(&self) -> Room {
        Room { left: self.response_bytes, most: self.response_bytes }
    }
}

/// Keeps an answer from growing past what is sent.
struct Room {
    left: usize,
    most: usize,
}

impl Room {
    /// Bytes as JSON-RPC writes them, where they still fit.
    fn hex(&mut self, bytes: &[u8]) -> Answer {
        let length = bytes.len().saturating_mul(2);
        self.left = self.left.checked_sub(length).ok_or_else(|| error::too_big(self.most))?;
        Ok(json!(to_hex(bytes)))
    }
}

type Handler = fn(&Context, &Args) -> Answer;
type Subscribing = Pin<Box<dyn Future<Output = Result<(), SubscriptionError>> + Send>>;

/// The methods as they are being registered.
struct Methods {
    module: RpcModule<Context>,
    failed: Option<RegisterError>,
}

impl Methods {
    /// A method that answers from memory.
    fn light(&mut self, names: &[&'static str], handler: Handler) {
        for name in names {
            let registered = self.module.register_method(name, move |params, context, _| -> Answer {
                handler(context, &Args::parse(&params)?)
            });
            self.failed = self.failed.take().or(registered.err());
        }
    }

    /// A method that reads the disk or runs the runtime.
    fn heavy(&mut self, names: &[&'static str], handler: Handler) {
        for name in names {
            let registered = self.module.register_async_method(name, move |params, context, extensions| async move {
                let args = Args::parse(&params)?;
                let pace = pace_of(&extensions)?;
                let job = context.clone();
                let answer = pace.heavy(context.workers.run(move || handler(&job, &args))).await;
                answer.unwrap_or_else(|| Err(internal("the request made the node's worker panic")))
            });
            self.failed = self.failed.take().or(registered.err());
        }
    }

    /// A method that makes blocks.
    fn order(
        &mut self,
        name: &'static str,
        goal: fn(&Args) -> Result<Goal, ErrorObjectOwned>,
    ) -> Result<(), RegisterError> {
        self.module.register_async_method(name, move |params, context, _| async move {
            let goal = goal(&Args::parse(&params)?)?;
            dev::made(context.control.order(goal).await)
        })?;
        Ok(())
    }

    /// A subscription: the names of subscribing, notification and unsubscribing.
    fn subscription(
        &mut self,
        names: [&'static str; 3],
        handler: fn(Params<'static>, Asked, Arc<Context>) -> Subscribing,
    ) -> Result<(), RegisterError> {
        let [subscribe, notification, unsubscribe] = names;
        self.module.register_subscription(
            subscribe,
            notification,
            unsubscribe,
            move |params, pending, context, extensions| async move {
                match pace_of(&extensions) {
                    // A subscriber that went away is no news to anybody.
                    Ok(pace) => drop(handler(params, Asked { pending, pace }, context).await),
                    Err(error) => pending.reject(error).await,
                }
            },
        )?;
        Ok(())
    }

    fn alias(&mut self, alias: &'static str, name: &'static str) -> Result<(), RegisterError> {
        self.module.register_alias(alias, name)
    }
}

/// The pace of the connection that a request came over.
fn pace_of(extensions: &Extensions) -> Result<Arc<Pace>, ErrorObjectOwned> {
    extensions.get().cloned().ok_or_else(|| internal("the request has no connection"))
}

fn module(context: Arc<Context>, dev_methods: bool) -> Result<RpcModule<Context>, RegisterError> {
    let mut methods = Methods { module: RpcModule::from_arc(context), failed: None };
    system::register(&mut methods);
    chain::register(&mut methods);
    state::register(&mut methods);
    author::register(&mut methods)?;
    payment::register(&mut methods);
    subscribe::register(&mut methods)?;
    if dev_methods {
        dev::register(&mut methods)?;
    }
    if let Some(error) = methods.failed {
        return Err(error);
    }
    let mut module = methods.module;
    let mut names: Vec<_> = module.method_names().chain(["rpc_methods"]).collect();
    names.sort_unstable();
    module.register_method("rpc_methods", move |_, _, _| json!({"methods": names}))?;
    Ok(module)
}

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    context: Arc<Context>,
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.context.workers
    }

    /// Stops accepting, and closes the connections that are open.
    pub(crate) async fn stop(self) {
        // It may have stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

/// Serves a chain.
///
/// # Errors
/// When the address cannot be had.
pub(crate) async fn serve(
    listen: SocketAddr,
    context: Context,
    limits: RpcLimits,
    origins: Vec<String>,
    dev_methods: bool,
) -> Result<Server, NodeError> {
    let failed = |source| NodeError::Listen { address: listen, source };
    let context = Arc::new(context);
    let module = module(context.clone(), dev_methods)?;
    let config = ServerConfig::builder()
        .max_connections(limits.connections)
        .max_subscriptions_per_connection(limits.subscriptions)
        .max_request_body_size(limits.request_bytes)
        .max_response_body_size(limits.response_bytes)
        .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
        .set_message_buffer_capacity(limits.backlog)
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(RandomStringIdProvider::new(16))
        .build();
    let builder = ServerBuilder::default()
        .set_config(config)
        .set_http_middleware(tower::ServiceBuilder::new().layer(host_filter(listen)))
        .to_service_builder();
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (stop, handle) = stop_channel();
    let names = Names::new(module.method_names());
    let front = Front { builder, methods: module.into(), names, limits, origins: Origins::new(origins), stop };
    tokio::spawn(front.accept(listener));
    Ok(Server { address, handle, context })
}

/// On loopback, only requests to a loopback name are answered: a page in a browser must not reach the chain through a
/// name that it makes point here.
fn host_filter(listen: SocketAddr) -> HostFilterLayer {
    if !listen.ip().is_loopback() {
        return HostFilterLayer::disable();
    }
    HostFilterLayer::new(["localhost:*", "127.0.0.1:*", "[::1]:*"]).unwrap_or_else(|_| HostFilterLayer::disable())
}
