use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use taonet_http::BodyLimits;
use taonet_primitives::Hotkey;

use super::load::{Gate, Load, RateLimiter};
use super::{Limits, Policy, SignedLayer, Verifier};
use crate::replay::ReplayBounds;
use crate::{Clock, ReplayGuard, ReplayLogError, Scheme, SystemClock};

/// A builder of a [`SignedLayer`]. By default: [`Limits::default`], everyone admitted, no load
/// limits.
#[must_use]
pub struct SignedLayerBuilder {
    me: Hotkey,
    scheme: Arc<dyn Scheme>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    policy: Policy,
    load: Load,
}

impl SignedLayerBuilder {
    pub(super) fn new(me: Hotkey, scheme: impl Scheme) -> Self {
        Self {
            me,
            scheme: Arc::new(scheme),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            policy: Policy::open(),
            load: Load::default(),
        }
    }

    /// Sets the limits on requests.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the access policy.
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Sets the load limits.
    pub fn load(self, load: Load) -> Self {
        Self { load, ..self }
    }

    /// Sets the clock.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Builds a layer whose replay cache is lost at exit: until the window has passed, a restarted
    /// server may accept the same requests again.
    pub fn build(self) -> SignedLayer {
        let replay =
            ReplayGuard::new(&self.scheme.window(), self.scheme.replay_rule(), self.bounds());
        self.with_replay(replay)
    }

    /// Builds a layer whose replay cache survives restarts in the file `path`. Each server needs a
    /// separate file.
    ///
    /// # Errors
    /// [`ReplayLogError`] when the file is locked, or cannot be read or written.
    pub fn build_with_replay_log(
        self,
        path: impl Into<PathBuf>,
    ) -> Result<SignedLayer, ReplayLogError> {
        let (window, rule) = (self.scheme.window(), self.scheme.replay_rule());
        let replay =
            ReplayGuard::open(&path.into(), &window, rule, self.bounds(), self.clock.now_ns())?;
        Ok(self.with_replay(replay))
    }

    fn bounds(&self) -> ReplayBounds {
        ReplayBounds {
            per_sender: self.limits.requests_per_sender,
            total: self.limits.requests_in_total,
        }
    }

    fn with_replay(self, replay: ReplayGuard) -> SignedLayer {
        SignedLayer(Arc::new(Verifier {
            me: self.me,
            window: self.scheme.window(),
            scheme: self.scheme,
            clock: self.clock,
            bodies: BodyLimits::new(
                self.limits.body_bytes,
                self.limits.body_timeout,
                self.limits.large_bodies_bytes,
            ),
            limits: self.limits,
            policy: self.policy,
            replay,
            senders: Mutex::default(),
            rate_limiter: self.load.rate.map(RateLimiter::new),
            gate: self.load.concurrency.map(Gate::new),
        }))
    }
}
