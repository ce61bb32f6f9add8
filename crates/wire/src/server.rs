//! The server half: requests pass in a fixed order of checks, the cheap ones first, and nothing is parsed before the
//! signature holds.
//!
//! Two places of the order need a reason. Admission comes before replay: anyone can make a million keys and sign with
//! them, and would fill the bounded replay memory; who is not admitted takes no room in it. The rate comes after replay:
//! a captured request, sent again and again, must not use up the allowance of its signer. Whoever is refused for load
//! has therefore used up its nonce, and signs anew to try again.

mod builder;
mod limits;
mod load;
mod policy;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt as _;
use taonet_primitives::Hotkey;
use taonet_wallet::PublicKey;
use tower::{Layer, Service};

use load::{Gate, Permit, RateLimiter};

use crate::clock::nanoseconds;
use crate::{Claim, Clock, Refusal, Refused, ReplayGuard, Scheme, SystemClock, Window};

pub use builder::SignedLayerBuilder;
pub use limits::Limits;
pub use load::{Concurrency, Load, Rate};
pub use policy::{Policy, Standing, StandingTable, Standings};

/// Who sent the request: proven. Handlers behind a [`SignedLayer`] take it as an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose key signed the request.
    pub hotkey: Hotkey,
    /// When it was signed, in nanoseconds since the Unix epoch. Unique for this hotkey within the window.
    pub nonce: u64,
    /// The calling process, in schemes that name it.
    pub uuid: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    /// On a route that stands outside the layer there is no caller, and the request is refused.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Missing("signature"))
    }
}

/// A tower layer that lets only verified requests through.
///
/// The order: size of the headers and announced size of the body → headers → receiver is me → freshness → body,
/// bounded in size and time → signature → admission → the body's hash where the scheme sends one → replay → load: the
/// caller's rate, then its turn by stake → the handler.
///
/// Clones share one replay memory. Put the layer on the routes that need it with `Router::route_layer`, so that
/// health routes stay open.
#[derive(Clone)]
pub struct SignedLayer(Arc<Verifier>);

struct Verifier {
    me: Hotkey,
    scheme: Arc<dyn Scheme>,
    clock: Arc<dyn Clock>,
    window: Window,
    limits: Limits,
    policy: Policy,
    replay: ReplayGuard,
    rate: Option<RateLimiter>,
    gate: Option<Arc<Gate>>,
}

impl SignedLayer {
    /// A layer for the neuron `me` without bounds on the load, whose replay memory ends with the process.
    pub fn new(me: Hotkey, scheme: impl Scheme, limits: Limits, policy: Policy) -> Self {
        Self::with_clock(me, scheme, limits, policy, Arc::new(SystemClock))
    }

    /// The same with another clock.
    pub fn with_clock(me: Hotkey, scheme: impl Scheme, limits: Limits, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self::builder(me, scheme).limits(limits).policy(policy).clock(clock).build()
    }

    /// A layer for the neuron `me`, to be set up further.
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
        let body = self.limits.read_body(body).await?;
        let message = self.scheme.message(head, claim, &body)?;
        let sender = PublicKey::new(*claim.sender.as_bytes(), claim.crypto_type);
        if !sender.verify(&message, &claim.signature) {
            return Err(Refusal::WrongSignature);
        }
        let standing = self.policy.check(&claim.sender)?;
        self.scheme.check_body(head, claim, &body)?;
        let now = self.clock.now_ns();
        self.replay.accept(claim, now)?;
        if let Some(rate) = &self.rate {
            rate.check(&claim.sender, now)?;
        }
        let permit = match &self.gate {
            Some(gate) => Some(gate.enter(standing.stake, claim.timeout).await?),
            None => None,
        };
        Ok((body, permit))
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

fn rebuild(head: Parts, body: Bytes) -> Request {
    let mut request = Request::from_parts(head, Body::from(body));
    // The body is bounded already; axum's own limit would refuse some that our limit allows.
    DefaultBodyLimit::disable().apply(&mut request);
    request
}

/// Keeps the permit until a streamed answer has ended. Any other is already made.
fn hold(permit: Option<Permit>, response: Response) -> Response {
    match permit {
        Some(permit) if response.body().size_hint().exact().is_none() => response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &permit;
                frame
            }))
        }),
        _ => response,
    }
}

impl<S> Layer<S> for SignedLayer {
    type Service = Signed<S>;

    fn layer(&self, inner: S) -> Signed<S> {
        Signed { inner, verifier: Arc::clone(&self.0) }
    }
}

/// What [`SignedLayer`] makes of a service.
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
        // The service that was polled ready is the one to call; its clone waits for the next request.
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
            let mut response = inner.call(rebuild(head, body)).await?.into_response();
            verifier.scheme.complete(echo, arrived.elapsed(), &mut response);
            Ok(hold(permit, response))
        })
    }
}

#[cfg(test)]
mod tests;
