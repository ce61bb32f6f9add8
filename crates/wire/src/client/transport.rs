use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use super::CallError;

pub(super) use hyper::body::Incoming;

/// A request body: in memory, or streamed.
pub(super) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>>;

/// The idle timeout of a pooled connection: shorter than that of our servers, so that no request is
/// sent on a connection that the server is closing.
const IDLE: Duration = Duration::from_secs(20);

/// HTTP client with plain and TLS connections, pooled per host, without redirects or proxies.
#[derive(Debug, Clone)]
pub(super) struct Transport(Client<HttpsConnector<HttpConnector<Resolver>>, Body>);

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
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle_per_host)
            .build(connector);
        Ok(Self(client))
    }

    /// Sends a request and returns the response as soon as its head arrives.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let uri = Uri::try_from(url).map_err(|_| CallError::Address { url: url.to_owned() })?;
        let peer =
            uri.authority().ok_or_else(|| CallError::Address { url: url.to_owned() })?.clone();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.0.request(request).await.map_err(|error| {
            if error.is_connect() {
                CallError::Connect { peer: peer.to_string(), source: error.into() }
            } else {
                CallError::Broken(error.into())
            }
        })
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
