//! JSON-RPC over HTTP and WebSocket on one port.

mod author;
mod backpressure;
mod chain;
mod connections;
mod count;
mod dev;
mod error;
mod origin;
mod params;
mod payment;
mod state;
mod subscribe;
mod system;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use jsonrpsee::core::{RegisterMethodError, SubscriptionError};
use jsonrpsee::server::middleware::http::{
    HostFilterLayer, ProxyGetRequestError, ProxyGetRequestLayer,
};
use jsonrpsee::server::{
    BatchRequestConfig, PingConfig, RandomStringIdProvider, ServerBuilder, ServerConfig,
    ServerHandle, stop_channel,
};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, RpcModule};
use serde_json::json;
use taonet_http::BodyLimits;
use tokio::net::TcpListener;

use crate::author::Action;
use crate::chain::Chain;
use crate::clock::Clock;
use crate::node::{Control, NodeError};
use backpressure::Backpressure;
use connections::SharedState;
use count::MethodNames;
use error::internal;
pub(crate) use error::{CLIENT_ERROR, RpcResult};
use origin::Origins;
use params::{Args, ParamNames, to_hex};
use subscribe::SubscriptionRequest;
pub(crate) use system::{NODE_NAME, PRODUCER_ROLE};
use workers::WorkerPool;

/// The error of registering a method twice: a bug that every test of a running node detects.
type RegisterError = RegisterMethodError;

/// The limits of the RPC server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    /// Maximum number of connections. At the limit, a new connection evicts an idle one: an HTTP
    /// connection without a complete request, or a WebSocket without requests and subscriptions. If
    /// no connection is idle, the new one receives the response 429.
    pub connections: u32,
    /// Maximum number of connections per address (for IPv6, per /64). At the limit, a new
    /// connection evicts an idle one of the same address.
    pub connections_per_address: u32,
    /// Maximum number of subscriptions per connection.
    pub subscriptions: u32,
    /// Maximum request size, in bytes.
    pub request_bytes: u32,
    /// Maximum response size, in bytes.
    pub response_bytes: u32,
    /// Maximum number of requests in a batch.
    pub batch: u32,
    /// The maximum number of requests in flight per connection, and the capacity of its message
    /// queue. At the limit, the node pauses reading.
    pub in_flight_requests: u32,
    /// Maximum bytes held per WebSocket connection: requests in flight, and responses and
    /// notifications that the client has not read. Beyond it the node pauses reading from the
    /// connection and producing responses for it.
    pub buffered_bytes: u32,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_address: 128,
            subscriptions: 2_048,
            request_bytes: 16 << 20,
            response_bytes: 64 << 20,
            batch: 1_024,
            in_flight_requests: 256,
            buffered_bytes: 8 << 20,
        }
    }
}

/// State shared by all handlers.
pub(crate) struct Context {
    chain: Arc<Chain>,
    control: Control,
    clock: Clock,
    workers: WorkerPool,
    response_bytes: usize,
}

impl Context {
    pub(crate) fn new(
        chain: Arc<Chain>,
        control: Control,
        clock: Clock,
        limits: RpcLimits,
    ) -> Result<Self, NodeError> {
        let workers =
            WorkerPool::new().map_err(|error| NodeError::Thread(std::io::Error::other(error)))?;
        Ok(Self { chain, control, clock, workers, response_bytes: limits.response_bytes as usize })
    }

    /// Returns the size budget of a response.
    fn budget(&self) -> ResponseBudget {
        ResponseBudget { remaining: self.response_bytes, max: self.response_bytes }
    }
}

/// Remaining size of a response while it is built, in bytes.
struct ResponseBudget {
    remaining: usize,
    max: usize,
}

impl ResponseBudget {
    /// Encodes bytes as a hexadecimal string with the prefix `0x`; fails if the response becomes
    /// too large.
    fn encode_hex(&mut self, bytes: &[u8]) -> RpcResult {
        let length = bytes.len().saturating_mul(2);
        self.remaining = self
            .remaining
            .checked_sub(length)
            .ok_or_else(|| error::response_too_large(self.max))?;
        Ok(json!(to_hex(bytes)))
    }
}

type Handler = fn(&Context, &Args) -> RpcResult;
type SubscriptionFuture = Pin<Box<dyn Future<Output = Result<(), SubscriptionError>> + Send>>;

/// The RPC module under construction, with the first registration error.
struct Methods {
    module: RpcModule<Context>,
    first_error: Option<RegisterError>,
}

impl Methods {
    /// Registers a method whose result is in memory; `param_names` are the names of its parameters,
    /// in order.
    fn register_in_memory(
        &mut self,
        names: &[&'static str],
        param_names: ParamNames,
        handler: Handler,
    ) {
        for name in names {
            let result =
                self.module.register_method(name, move |params, context, _| -> RpcResult {
                    handler(context, &Args::parse(&params, param_names)?)
                });
            self.first_error = self.first_error.take().or(result.err());
        }
    }

    /// Registers a method that reads the disk or executes the runtime.
    fn register_on_worker(
        &mut self,
        names: &[&'static str],
        param_names: ParamNames,
        handler: Handler,
    ) {
        for name in names {
            let result = self.module.register_async_method(
                name,
                move |params, context, extensions| async move {
                    run_on_worker(context, Args::parse(&params, param_names)?, &extensions, handler)
                        .await
                },
            );
            self.first_error = self.first_error.take().or(result.err());
        }
    }

    /// Registers a heavy method that a follower forwards to its leader; the handler runs if the
    /// leader does not respond.
    fn register_forwarded(
        &mut self,
        names: &[&'static str],
        param_names: ParamNames,
        handler: Handler,
    ) {
        for name in names.iter().copied() {
            let result = self.module.register_async_method(
                name,
                move |params, context, extensions| async move {
                    let args = Args::parse(&params, param_names)?;
                    if let Some(leader) = &context.chain.leader
                        && let Some(response) = leader.forward(name, args.values()).await
                    {
                        return response;
                    }
                    run_on_worker(context, args, &extensions, handler).await
                },
            );
            self.first_error = self.first_error.take().or(result.err());
        }
    }

    /// Registers a method that the block author executes.
    fn register_command(
        &mut self,
        name: &'static str,
        param_names: ParamNames,
        action: fn(&Args) -> Result<Action, ErrorObjectOwned>,
    ) -> Result<(), RegisterError> {
        self.module.register_async_method(name, move |params, context, _| async move {
            let action = action(&Args::parse(&params, param_names)?)?;
            dev::command_response(context.control.execute(action).await)
        })?;
        Ok(())
    }

    /// Registers a subscription; `names` are the names of the subscribe method, the notification
    /// and the unsubscribe method.
    fn register_subscription(
        &mut self,
        names: [&'static str; 3],
        handler: fn(Params<'static>, SubscriptionRequest, Arc<Context>) -> SubscriptionFuture,
    ) -> Result<(), RegisterError> {
        let [subscribe, notification, unsubscribe] = names;
        self.module.register_subscription(
            subscribe,
            notification,
            unsubscribe,
            move |params, pending, context, extensions| async move {
                match backpressure_of(&extensions) {
                    // A subscriber that disconnected needs no report.
                    Ok(backpressure) => {
                        let slot = backpressure.begin_subscription();
                        drop(
                            handler(
                                params,
                                SubscriptionRequest { pending, backpressure, slot },
                                context,
                            )
                            .await,
                        );
                    }
                    Err(error) => pending.reject(error).await,
                }
            },
        )?;
        Ok(())
    }

    fn register_alias(
        &mut self,
        alias: &'static str,
        name: &'static str,
    ) -> Result<(), RegisterError> {
        self.module.register_alias(alias, name)
    }
}

/// Runs a handler on a worker, under the limits of the request's connection.
async fn run_on_worker(
    context: Arc<Context>,
    args: Args,
    extensions: &Extensions,
    handler: Handler,
) -> RpcResult {
    let backpressure = backpressure_of(extensions)?;
    let worker_context = context.clone();
    let response =
        backpressure.run_heavy(context.workers.run(move || handler(&worker_context, &args))).await;
    response.unwrap_or_else(|| Err(internal("the request's worker panicked")))
}

/// Returns the backpressure state of the request's connection.
fn backpressure_of(extensions: &Extensions) -> Result<Arc<Backpressure>, ErrorObjectOwned> {
    extensions.get().cloned().ok_or_else(|| internal("the request has no connection"))
}

fn build_module(
    context: Arc<Context>,
    dev_methods: bool,
) -> Result<RpcModule<Context>, RegisterError> {
    let mut methods = Methods { module: RpcModule::from_arc(context), first_error: None };
    system::register(&mut methods);
    chain::register(&mut methods);
    state::register(&mut methods);
    author::register(&mut methods)?;
    payment::register(&mut methods);
    subscribe::register(&mut methods)?;
    if dev_methods {
        dev::register(&mut methods)?;
    }
    if let Some(error) = methods.first_error {
        return Err(error);
    }
    let mut module = methods.module;
    let mut names: Vec<_> = module.method_names().chain(["rpc_methods"]).collect();
    names.sort_unstable();
    module.register_method("rpc_methods", move |_, _, _| json!({"methods": names}))?;
    Ok(module)
}

/// A running RPC server.
pub(crate) struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    context: Arc<Context>,
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn workers(&self) -> &WorkerPool {
        &self.context.workers
    }

    /// Stops accepting connections, and closes open ones.
    pub(crate) async fn stop(self) {
        // The server may have stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

/// Serves a chain over JSON-RPC.
///
/// # Errors
/// [`NodeError`], for instance when the address cannot be bound.
pub(crate) async fn serve(
    listen: SocketAddr,
    context: Context,
    limits: RpcLimits,
    origins: Vec<String>,
    dev_methods: bool,
) -> Result<Server, NodeError> {
    let context = Arc::new(context);
    let module = build_module(context.clone(), dev_methods)?;
    let config = ServerConfig::builder()
        // The accept loop counts connections. An evicted WebSocket still counts here until its task
        // ends.
        .max_connections(u32::MAX)
        .max_subscriptions_per_connection(limits.subscriptions)
        .max_request_body_size(limits.request_bytes)
        .max_response_body_size(limits.response_bytes)
        .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
        .set_message_buffer_capacity(limits.in_flight_requests)
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(RandomStringIdProvider::new(16))
        .build();
    let builder = ServerBuilder::default()
        .set_config(config)
        .set_http_middleware(
            tower::ServiceBuilder::new().layer(host_filter(listen)).layer(health_layer()?),
        )
        .to_service_builder();
    let (listener, address) =
        bind(listen).await.map_err(|source| NodeError::Listen { address: listen, source })?;
    let (stop, handle) = stop_channel();
    let method_names = MethodNames::new(module.method_names());
    let max_body_bytes = limits.request_bytes as usize;
    let body_limits = BodyLimits::new(
        max_body_bytes,
        connections::BODY_TIMEOUT,
        max_body_bytes.saturating_mul(connections::MAX_LARGE_BODIES),
    );
    let shared_state = SharedState {
        builder,
        methods: module.into(),
        method_names,
        limits,
        body_limits,
        origins: Origins::new(origins),
        stop,
    };
    tokio::spawn(shared_state.accept(listener));
    Ok(Server { address, handle, context })
}

async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Returns a layer that answers `GET /health` with the result of `system_health`, as the real
/// chain's node does.
fn health_layer() -> Result<ProxyGetRequestLayer, ProxyGetRequestError> {
    ProxyGetRequestLayer::new([("/health", "system_health")])
}

/// Returns a filter that, on loopback, accepts only requests to a loopback host name: a web page
/// must not reach the chain through a name that resolves to this machine (DNS rebinding).
fn host_filter(listen: SocketAddr) -> HostFilterLayer {
    if !listen.ip().is_loopback() {
        return HostFilterLayer::disable();
    }
    HostFilterLayer::new(["localhost:*", "127.0.0.1:*", "[::1]:*"])
        .unwrap_or_else(|_| HostFilterLayer::disable())
}
