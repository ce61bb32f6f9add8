use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use taonet_http::{BodyBuffer, BodyLimits};
use taonet_primitives::Hotkey;
use taonet_wallet::{DecodedPublicKey, PublicKey};

use super::load::{Gate, Permit, RateLimiter};
use super::{Limits, Policy, Registration};
use crate::clock::nanoseconds;
use crate::{Claim, Clock, Refusal, RefusedRequest, ReplayGuard, Scheme, Window};

/// Maximum number of senders whose decoded keys are kept.
const MAX_SENDERS: usize = 256;

/// The checks of a [`SignedLayer`](super::SignedLayer) as separate steps, for servers that are not
/// tower services, such as those in Python.
///
/// Call the steps in this order, and pass the request on only if all of them succeed:
/// [`Verifier::claim`], [`Verifier::check_head`], then read the body into [`Verifier::body_buffer`]
/// within [`Limits::body_timeout`], [`Verifier::check_body`], [`Verifier::enter`]. On an error,
/// respond with [`Verifier::refuse`].
pub struct Verifier {
    pub(super) me: Hotkey,
    pub(super) scheme: Arc<dyn Scheme>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) window: Window,
    pub(super) limits: Limits,
    pub(super) bodies: BodyLimits,
    pub(super) policy: Policy,
    pub(super) replay: ReplayGuard,
    /// Decoded keys of admitted senders.
    pub(super) senders: Mutex<HashMap<PublicKey, DecodedPublicKey>>,
    pub(super) rate_limiter: Option<RateLimiter>,
    pub(super) gate: Option<Arc<Gate>>,
}

impl Verifier {
    /// Returns the limits on each request.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Checks the size of the head, and parses its claims. None of them is verified yet.
    ///
    /// # Errors
    /// [`Refusal`]: the head or the announced body is too large, or a header is missing or malformed.
    pub fn claim(&self, head: &Parts) -> Result<Claim, Refusal> {
        self.limits.check_head(head)?;
        self.scheme.claim(head)
    }

    /// Makes all checks that need no body: receiver and freshness and, unless the scheme signs the
    /// body's bytes, also signature, admission and a first look at the replay cache. Returns the
    /// registration of an admitted caller; `None` if these checks need the body.
    ///
    /// # Errors
    /// [`Refusal`]: the first check that failed.
    pub fn check_head(&self, head: &Parts, claim: &Claim) -> Result<Option<Registration>, Refusal> {
        if claim.receiver.is_some_and(|receiver| receiver != self.me) {
            return Err(Refusal::WrongReceiver);
        }
        self.check_freshness(claim)?;
        if self.scheme.message_needs_body() {
            Ok(None)
        } else {
            self.authenticate(head, claim, &[]).map(Some)
        }
    }

    /// Returns an empty buffer for the body, within [`Limits::body_bytes`] and
    /// [`Limits::large_bodies_bytes`].
    pub fn body_buffer(&self) -> BodyBuffer {
        self.bodies.buffer()
    }

    /// Makes the checks that remain once the body is complete, and records the request in the
    /// replay cache. `registration` is the result of [`Self::check_head`]. Hashes the body: for
    /// large bodies, call it on a thread that may block.
    ///
    /// # Errors
    /// [`Refusal`]: the first check that failed.
    pub fn check_body(
        &self,
        head: &Parts,
        claim: &Claim,
        registration: Option<Registration>,
        body: &[u8],
    ) -> Result<Registration, Refusal> {
        let registration = registration.map_or_else(|| self.authenticate(head, claim, body), Ok)?;
        self.scheme.check_body(head, claim, body)?;
        let now = self.clock.now_ns();
        self.replay.accept(claim, now)?;
        if let Some(rate_limiter) = &self.rate_limiter {
            rate_limiter.check(&claim.sender, now)?;
        }
        Ok(registration)
    }

    /// Waits for a permit to run if concurrent requests are limited. Hold the permit until the
    /// response has ended.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if the queue is full, [`Refusal::QueueTimeout`] if the caller's timeout
    /// or the queue's maximum wait is over.
    pub async fn enter(
        &self,
        registration: Registration,
        claim: &Claim,
    ) -> Result<Option<Permit>, Refusal> {
        match &self.gate {
            Some(gate) => gate.enter(registration.stake, claim.timeout).await.map(Some),
            None => Ok(None),
        }
    }

    /// Creates the response to a refused request. `claim` is `None` if it could not be parsed;
    /// `elapsed` is the time since the request's head arrived.
    pub fn refuse(
        &self,
        refusal: &Refusal,
        head: &Parts,
        claim: Option<&Claim>,
        elapsed: Duration,
    ) -> Response {
        tracing::debug!(%refusal, "request refused");
        let request = RefusedRequest { head, claim, now_ns: self.clock.now_ns(), elapsed };
        let mut response = self.scheme.refuse(refusal, &request);
        refusal.add_headers(&mut response);
        response
    }

    /// Returns the request headers that the response to an accepted request repeats.
    pub fn echo(&self, head: &Parts, claim: &Claim) -> HeaderMap {
        self.scheme.echo(head, claim)
    }

    /// Adds the headers from [`Self::echo`] to the response to an accepted request.
    pub fn complete(&self, echo: HeaderMap, elapsed: Duration, response: &mut Response) {
        self.scheme.complete(echo, elapsed, response);
    }

    fn authenticate(
        &self,
        head: &Parts,
        claim: &Claim,
        body: &[u8],
    ) -> Result<Registration, Refusal> {
        let message = self.scheme.message(head, claim, body)?;
        let sender = PublicKey::new(*claim.sender.as_bytes(), claim.crypto_type);
        let cached_key = self.senders().get(&sender).copied();
        let key = cached_key.or_else(|| sender.decode()).ok_or(Refusal::WrongSignature)?;
        if !key.verify(&message, &claim.signature) {
            return Err(Refusal::WrongSignature);
        }
        let registration = self.policy.check(&claim.sender)?;
        if cached_key.is_none() {
            let mut senders = self.senders();
            if senders.len() >= MAX_SENDERS {
                senders.clear();
            }
            senders.insert(sender, key);
        }
        self.replay.peek(claim)?;
        Ok(registration)
    }

    fn senders(&self) -> MutexGuard<'_, HashMap<PublicKey, DecodedPublicKey>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
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
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("me", &self.me)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
