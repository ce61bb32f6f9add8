use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use super::CallError;
use super::connections::{ConnectionError, Connections, Connector, DrivenBody};

/// A streamed request body.
pub(super) type StreamedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Next frame of a response's body.
pub(super) type BodyFrame = Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>;

/// The idle timeout of a pooled connection: shorter than that of our servers (10 s) and of uvicorn
/// (5 s), with which many neurons serve, so that no request is sent on a connection that the server
/// is closing.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// HTTP client with plain and TLS connections, pooled per host, without redirects or proxies.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    connections: Connections,
    /// Client for streamed bodies, whose connections have tasks of their own: they send the body
    /// even while nobody reads the response.
    uploads: Client<Connector, StreamedBody>,
}

/// A request body.
pub(super) enum Body {
    /// In memory.
    Full(Bytes),
    /// A stream.
    Streamed(StreamedBody),
}

/// Body of a response.
#[derive(Debug)]
pub(super) enum ResponseBody {
    /// Its reader drives the connection.
    Driven(DrivenBody),
    /// A task drives the connection.
    Relayed(Incoming),
}

impl ResponseBody {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        match self {
            Self::Driven(body) => body.poll_frame(context),
            Self::Relayed(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Driven(body) => body.size_hint(),
            Self::Relayed(body) => body.size_hint(),
        }
    }
}

impl Transport {
    pub(super) fn new(
        idle_per_host: usize,
        permitted: fn(IpAddr) -> bool,
    ) -> Result<Self, CallError> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { permitted });
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // Set explicitly: a program built with several providers has no default.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider);
        let tls = tls.map_err(|error| CallError::Setup(error.into()))?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let uploads = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle_per_host)
            .build(connector.clone());
        Ok(Self { connections: Connections::new(connector, idle_per_host), uploads })
    }

    /// Sends a request and returns the response as soon as its head arrives.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<ResponseBody>, CallError> {
        let invalid_url = || CallError::InvalidUrl { url: url.to_owned() };
        let uri = Uri::try_from(url).map_err(|_| invalid_url())?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(invalid_url());
        };
        let connect_error = |source| CallError::Connect { peer: authority.to_string(), source };
        match body {
            Body::Full(body) => {
                let mut request = Request::new(Full::new(body));
                *request.method_mut() = method;
                *request.headers_mut() = headers;
                *request.uri_mut() = origin_form(&uri);
                let host = host_header(&uri).ok_or_else(invalid_url)?;
                request.headers_mut().entry(HOST).or_insert(host);
                let result =
                    self.connections.send(&uri, (scheme.clone(), authority.clone()), request).await;
                match result {
                    Ok(response) => Ok(response.map(ResponseBody::Driven)),
                    Err(ConnectionError::Open(source)) => Err(connect_error(source)),
                    Err(ConnectionError::Lost(error)) => {
                        Err(CallError::ConnectionLost(error.into()))
                    }
                }
            }
            Body::Streamed(body) => {
                let mut request = Request::new(body);
                *request.method_mut() = method;
                *request.headers_mut() = headers;
                *request.uri_mut() = uri.clone();
                match self.uploads.request(request).await {
                    Ok(response) => Ok(response.map(ResponseBody::Relayed)),
                    Err(error) if error.is_connect() => Err(connect_error(error.into())),
                    Err(error) => Err(CallError::ConnectionLost(error.into())),
                }
            }
        }
    }
}

/// Returns the URI of a request line: only the path and the query.
fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// Returns the header `Host`: without the port if it is the default one of the scheme.
fn host_header(uri: &Uri) -> Option<HeaderValue> {
    let host = uri.host()?;
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match uri.port_u16().filter(|port| *port != default) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        None => HeaderValue::from_str(host).ok(),
    }
}

/// A DNS resolver that returns only permitted addresses. It runs at connect time: a domain's owner
/// can change the addresses at any time, so an earlier check would give no protection.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    permitted: fn(IpAddr) -> bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let permitted = self.permitted;
        Box::pin(
            async move { Ok(permitted_addresses(name.as_str(), permitted).await?.into_iter()) },
        )
    }
}

/// Resolves a host name to its permitted addresses, with port 0.
///
/// # Errors
/// The lookup's error, or [`io::ErrorKind::PermissionDenied`] if no address is permitted.
pub async fn permitted_addresses(
    name: &str,
    permitted: fn(IpAddr) -> bool,
) -> io::Result<Vec<SocketAddr>> {
    let addresses = tokio::net::lookup_host((name, 0)).await?;
    let allowed: Vec<_> = addresses.filter(|address| permitted(address.ip())).collect();
    if allowed.is_empty() {
        let text = format!("{name} resolves to no allowed address");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(allowed)
}
