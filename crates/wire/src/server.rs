//! The server half: requests pass a fixed order of checks, the cheap ones first, and no body is parsed before the
//! signature is verified.
//!
//! The positions of two checks are deliberate. Admission comes before replay: anyone can generate a million keys, sign
//! with them and fill the bounded replay cache; requests that are not admitted take no space in it. The rate limit
//! comes after replay: a captured request, sent repeatedly, must not use up the allowance of its signer. A request
//! refused for load has therefore used its nonce, and a retry needs a new signature.

mod body;
mod builder;
mod limits;
mod load;
mod policy;

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
use taonet_http::WholeBodies;
use taonet_primitives::Hotkey;
use taonet_wallet::PublicKey;
use tokio::time::Instant;
use tower::{Layer, Service};

use body::hold;
use load::{Gate, Permit, RateLimiter};

use crate::clock::nanoseconds;
use crate::{Claim, Clock, Refusal, Refused, ReplayGuard, Scheme, SystemClock, Window};

pub use builder::SignedLayerBuilder;
pub use limits::Limits;
pub use load::{Concurrency, Load, Rate};
pub use policy::{Policy, Standing, StandingTable, Standings};

/// The verified sender of a request. Handlers behind a [`SignedLayer`] take it as an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The hotkey that signed the request.
    pub hotkey: Hotkey,
    /// The time of signing, in nanoseconds since the Unix epoch. Unique for this hotkey within the window.
    pub nonce: u64,
    /// The calling process, in schemes with a process UUID.
    pub uuid: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    /// Extracts the verified caller. Refuses requests on routes outside the layer, which have no verified caller.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Missing("signature"))
    }
}

/// The longest timeout; longer ones are capped so that sums stay within the clock's range.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// The body size in bytes from which hashing moves to another thread, so that other requests need not wait.
const HEAVY: usize = 256 * 1024;

/// A tower layer that lets only verified requests through.
///
/// The checks, in order: size of the headers and announced size of the body → headers → receiver → freshness →
/// signature → admission → replay (a first look) → body, bounded in size, time and shared memory → the body's hash
/// where the scheme sends one → replay → load: the caller's rate, then the queue by stake → the handler, bounded in
/// time. Where the scheme signs the body's bytes themselves, the body is read before the signature is verified.
///
/// Clones share one replay cache. Put the layer on the routes that need it with `Router::route_layer`, so that
/// health routes stay open.
#[derive(Clone)]
pub struct SignedLayer(Arc<Verifier>);

struct Verifier {
    me: Hotkey,
    scheme: Arc<dyn Scheme>,
    clock: Arc<dyn Clock>,
    window: Window,
    limits: Limits,
    bodies: WholeBodies,
    policy: Policy,
    replay: ReplayGuard,
    rate: Option<RateLimiter>,
    gate: Option<Arc<Gate>>,
}

impl SignedLayer {
    /// Creates a layer for the neuron `me` without load limits, with an in-memory replay cache.
    pub fn new(me: Hotkey, scheme: impl Scheme, limits: Limits, policy: Policy) -> Self {
        Self::with_clock(me, scheme, limits, policy, Arc::new(SystemClock))
    }

    /// Creates a layer for the neuron `me` with a custom clock, without load limits.
    pub fn with_clock(me: Hotkey, scheme: impl Scheme, limits: Limits, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self::builder(me, scheme).limits(limits).policy(policy).clock(clock).build()
    }

    /// Creates a builder of a layer for the neuron `me`.
    pub fn builder(me: Hotkey, scheme: impl Scheme) -> SignedLayerBuilder {
        SignedLayerBuilder::new(me, scheme)
    }
}

impl Verifier {
    async fn verify(&self, head: &Parts, claim: &Claim, body: Body) -> Result<(Bytes, Option<Permit>), Refusal> {
        if claim.receiver.is_some_and(|receiver| receiver != self.me) {
            return Err(Refusal::WrongReceiver);
        }
        self.check_freshness(claim)?;
        let (body, standing) = if self.scheme.message_needs_body() {
            let body = self.bodies.read(body).await?;
            self.with_body(prove, head, claim, &body.bytes).await?;
            let standing = self.policy.check(&claim.sender)?;
            self.replay.peek(claim)?;
            (body, standing)
        } else {
            prove(&*self.scheme, head, claim, &[])?;
            let standing = self.policy.check(&claim.sender)?;
            self.replay.peek(claim)?;
            (self.bodies.read(body).await?, standing)
        };
        self.with_body(check_body, head, claim, &body.bytes).await?;
        let now = self.clock.now_ns();
        self.replay.accept(claim, now)?;
        if let Some(rate) = &self.rate {
            rate.check(&claim.sender, now)?;
        }
        let permit = match &self.gate {
            Some(gate) => Some(gate.enter(standing.stake, claim.timeout).await?),
            None => None,
        };
        Ok((body.bytes, permit))
    }

    async fn with_body(&self, check: Check, head: &Parts, claim: &Claim, body: &Bytes) -> Result<(), Refusal> {
        if body.len() < HEAVY {
            return check(&*self.scheme, head, claim, body);
        }
        let (scheme, head, claim, body) = (Arc::clone(&self.scheme), head.clone(), claim.clone(), body.clone());
        let checked = tokio::task::spawn_blocking(move || check(&*scheme, &head, &claim, &body)).await;
        // The runtime is shutting down.
        checked.unwrap_or(Err(Refusal::Busy))
    }

    fn check_freshness(&self, claim: &Claim) -> Result<(), Refusal> {
        if !claim.dated {
            return Ok(());
        }
        let now = self.clock.now_ns();
        let limit = self.window.past.saturating_add(claim.timeout.min(self.window.max_timeout));
        if claim.nonce < now.saturating_sub(nanoseconds(limit)) {
            return Err(Refusal::Stale { age: Duration::from_nanos(now - claim.nonce), limit });
        }
        if claim.nonce > now.saturating_add(nanoseconds(self.window.future)) {
            return Err(Refusal::Future);
        }
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal, head: &Parts, claim: Option<&Claim>, arrived: Instant) -> Response {
        tracing::debug!(%refusal, "request refused");
        let request = Refused { head, claim, now_ns: self.clock.now_ns(), took: arrived.elapsed() };
        let mut response = self.scheme.refuse(refusal, &request);
        refusal.finish(&mut response);
        response
    }
}

type Check = fn(&dyn Scheme, &Parts, &Claim, &[u8]) -> Result<(), Refusal>;

fn prove(scheme: &dyn Scheme, head: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
    let message = scheme.message(head, claim, body)?;
    let sender = PublicKey::new(*claim.sender.as_bytes(), claim.crypto_type);
    if sender.verify(&message, &claim.signature) { Ok(()) } else { Err(Refusal::WrongSignature) }
}

fn check_body(scheme: &dyn Scheme, head: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
    scheme.check_body(head, claim, body)
}

fn no_head() -> Parts {
    Request::new(Body::empty()).into_parts().0
}

fn rebuild(head: Parts, body: Bytes) -> Request {
    let mut request = Request::from_parts(head, Body::from(body));
    // The body is already limited; axum's own limit would refuse some bodies that ours allows.
    DefaultBodyLimit::disable().apply(&mut request);
    request
}

impl<S> Layer<S> for SignedLayer {
    type Service = Signed<S>;

    fn layer(&self, inner: S) -> Signed<S> {
        Signed { inner, verifier: Arc::clone(&self.0) }
    }
}

/// A service behind a [`SignedLayer`].
#[derive(Clone)]
pub struct Signed<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S> Service<Request> for Signed<S>
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
            let arrived = Instant::now();
            let (mut head, body) = request.into_parts();
            let claim = match verifier.limits.check_head(&head).and_then(|()| verifier.scheme.claim(&head)) {
                Ok(claim) => claim,
                Err(refusal) => return Ok(verifier.refuse(&refusal, &head, None, arrived)),
            };
            let (body, permit) = match verifier.verify(&head, &claim, body).await {
                Ok(verified) => verified,
                Err(refusal) => return Ok(verifier.refuse(&refusal, &head, Some(&claim), arrived)),
            };
            let echo = verifier.scheme.echo(&head, &claim);
            head.extensions.insert(Caller { hotkey: claim.sender, nonce: claim.nonce, uuid: claim.uuid });
            let limit = verifier.limits.answer_timeout;
            let until = Instant::now() + limit.min(MAX_TIMEOUT);
            let mut response = match tokio::time::timeout_at(until, inner.call(rebuild(head, body))).await {
                Ok(response) => response?.into_response(),
                // The head was moved into the request. Its echoed headers are added below.
                Err(_) => verifier.refuse(&Refusal::AnswerTimeout { limit }, &no_head(), None, arrived),
            };
            verifier.scheme.complete(echo, arrived.elapsed(), &mut response);
            Ok(hold(permit, until, response))
        })
    }
}

#[cfg(test)]
mod tests;
