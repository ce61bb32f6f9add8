//! The server half: requests pass a fixed order of checks, the cheap ones first, and no body is
//! parsed before the signature is verified.
//!
//! The positions of two checks are deliberate. Admission comes before replay: anyone can generate a
//! million keys, sign with them and fill the bounded replay cache; requests that are not admitted
//! take no space in it. The rate limit comes after replay: a captured request, sent repeatedly,
//! must not use up the allowance of its signer. A request refused for load has therefore used its
//! nonce, and a retry needs a new signature.

mod body;
mod builder;
mod limits;
mod load;
mod policy;
mod verifier;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use taonet_primitives::Hotkey;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::{Claim, Clock, Refusal, Scheme, SystemClock};
use body::keep_permit;

pub use builder::SignedLayerBuilder;
pub use limits::Limits;
pub use load::{Concurrency, Load, Permit, Rate};
pub use policy::{Policy, Registration, RegistrationTable};
pub use verifier::Verifier;

/// The verified sender of a request. Handlers behind a [`SignedLayer`] take it as an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The hotkey that signed the request.
    pub hotkey: Hotkey,
    /// The time of signing, in nanoseconds since the Unix epoch. Unique for this hotkey within the
    /// window.
    pub nonce: u64,
    /// The calling process, in schemes with a process UUID.
    pub uuid: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    /// Extracts the verified caller. Refuses requests on routes outside the layer, which have no
    /// verified caller.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Missing("signature"))
    }
}

/// The longest timeout; longer ones are capped so that sums stay within the clock's range.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// The body size in bytes from which hashing moves to another thread, so that other requests need
/// not wait.
const MIN_OFFLOADED_BYTES: usize = 256 * 1024;

/// A tower layer that lets only verified requests through.
///
/// The checks, in order: size of the headers and announced size of the body → headers → receiver →
/// freshness → signature → admission → replay (a first look) → body, bounded in size, time and
/// shared memory → the body's hash where the scheme sends one → replay → load: the caller's rate,
/// then the queue by stake → the handler, bounded in time. Where the scheme signs the body's bytes
/// themselves, the body is read before the signature is verified.
///
/// Clones share one replay cache. Put the layer on the routes that need it with
/// `Router::route_layer`, so that health routes stay open.
#[derive(Clone)]
pub struct SignedLayer(Arc<Verifier>);

impl SignedLayer {
    /// Creates a layer for the neuron `me` without load limits, with an in-memory replay cache.
    pub fn new(me: Hotkey, scheme: impl Scheme, limits: Limits, policy: Policy) -> Self {
        Self::with_clock(me, scheme, limits, policy, Arc::new(SystemClock))
    }

    /// Creates a layer for the neuron `me` with a custom clock, without load limits.
    pub fn with_clock(
        me: Hotkey,
        scheme: impl Scheme,
        limits: Limits,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::builder(me, scheme).limits(limits).policy(policy).clock(clock).build()
    }

    /// Creates a builder of a layer for the neuron `me`.
    pub fn builder(me: Hotkey, scheme: impl Scheme) -> SignedLayerBuilder {
        SignedLayerBuilder::new(me, scheme)
    }

    /// Returns the checks of the layer as separate steps. They share its replay cache and its
    /// limits.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.0)
    }
}

async fn verify(
    verifier: &Arc<Verifier>,
    head: &Parts,
    claim: &Claim,
    body: Body,
) -> Result<(Bytes, Option<Permit>), Refusal> {
    let registration = verifier.check_head(head, claim)?;
    let body = verifier.bodies.read(body).await?;
    let registration = if body.bytes.len() < MIN_OFFLOADED_BYTES {
        verifier.check_body(head, claim, registration, &body.bytes)?
    } else {
        let (verifier, head, claim) = (Arc::clone(verifier), head.clone(), claim.clone());
        let bytes = body.bytes.clone();
        let result = tokio::task::spawn_blocking(move || {
            verifier.check_body(&head, &claim, registration, &bytes)
        })
        .await;
        // The runtime is shutting down.
        result.unwrap_or(Err(Refusal::Busy))?
    };
    let permit = verifier.enter(registration, claim).await?;
    Ok((body.bytes, permit))
}

fn empty_head() -> Parts {
    Request::new(Body::empty()).into_parts().0
}

fn rebuild(head: Parts, body: Bytes) -> Request {
    let mut request = Request::from_parts(head, Body::from(body));
    // The body is already limited; axum's own limit would refuse some bodies that ours allows.
    DefaultBodyLimit::disable().apply(&mut request);
    request
}

impl<S> Layer<S> for SignedLayer {
    type Service = SignedService<S>;

    fn layer(&self, inner: S) -> SignedService<S> {
        SignedService { inner, verifier: Arc::clone(&self.0) }
    }
}

/// A service behind a [`SignedLayer`].
#[derive(Clone)]
pub struct SignedService<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S> Service<Request> for SignedService<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The service that was polled ready must serve this request; its clone serves the next one.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let verifier = Arc::clone(&self.verifier);
        Box::pin(async move {
            let start = Instant::now();
            let (mut head, body) = request.into_parts();
            let claim = match verifier.claim(&head) {
                Ok(claim) => claim,
                Err(refusal) => {
                    return Ok(verifier.refuse(&refusal, &head, None, start.elapsed()));
                }
            };
            let (body, permit) = match verify(&verifier, &head, &claim, body).await {
                Ok(verified) => verified,
                Err(refusal) => {
                    return Ok(verifier.refuse(&refusal, &head, Some(&claim), start.elapsed()));
                }
            };
            let echo = verifier.echo(&head, &claim);
            head.extensions.insert(Caller {
                hotkey: claim.sender,
                nonce: claim.nonce,
                uuid: claim.uuid,
            });
            let timeout = verifier.limits.answer_timeout;
            let deadline = Instant::now() + timeout.min(MAX_TIMEOUT);
            let mut response =
                match tokio::time::timeout_at(deadline, inner.call(rebuild(head, body))).await {
                    Ok(response) => response?.into_response(),
                    // The head was moved into the request. Its echoed headers are added below.
                    Err(_) => verifier.refuse(
                        &Refusal::ResponseTimeout { limit: timeout },
                        &empty_head(),
                        None,
                        start.elapsed(),
                    ),
                };
            verifier.complete(echo, start.elapsed(), &mut response);
            Ok(keep_permit(permit, deadline, response))
        })
    }
}

#[cfg(test)]
mod tests;
