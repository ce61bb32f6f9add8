//! Tokens for authenticated validators.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use taonet_babelbit_core::arena_api::{TokenRequest, TokenResponse};
use taonet_primitives::Hotkey;
use taonet_wallet::{CryptoType, Signature, verify};
use taonet_wire::{
    Claim, Refusal, ReplayBounds, ReplayGuard, ReplayLogError, ReplayRule, Window, sorted_json,
};

use super::ArenaGatewayConfig;
use super::answer::ApiError;
use taonet_http::BearerTokens;
use taonet_service::unix_time;

/// Freshness window of token requests: maximum age, and maximum clock skew into the future.
const WINDOW: Window = Window {
    past: Duration::from_mins(1),
    future: Duration::from_secs(3),
    max_timeout: Duration::ZERO,
};
/// Maximum number of tokens of one hotkey: a validator has one per miner, in each of several
/// processes.
const MAX_TOKENS_PER_HOTKEY: usize = 1_024;
/// Bounds of the replay log.
const BOUNDS: ReplayBounds = ReplayBounds { per_sender: 10_000, total: 100_000 };

pub(super) struct Grants {
    allowed: Option<BTreeSet<Hotkey>>,
    tokens: BearerTokens,
    replay: ReplayGuard,
}

impl Grants {
    pub(super) fn open(
        config: &ArenaGatewayConfig,
        log: Option<&Path>,
    ) -> Result<Self, ReplayLogError> {
        let now = nanoseconds((config.clock)());
        let replay = match log {
            Some(path) => ReplayGuard::open(path, &WINDOW, ReplayRule::Once, BOUNDS, now)?,
            None => ReplayGuard::new(&WINDOW, ReplayRule::Once, BOUNDS),
        };
        let tokens = BearerTokens::new(config.token_lifetime, MAX_TOKENS_PER_HOTKEY);
        Ok(Self { allowed: config.allowed.clone(), tokens, replay })
    }

    /// Issues a token for a signed request; rejects a repeated request.
    pub(super) fn issue_token(
        &self,
        request: &TokenRequest,
        now: SystemTime,
    ) -> Result<TokenResponse, ApiError> {
        let hotkey: Hotkey = parse("hotkey", &request.hotkey)?;
        let signature: Signature = parse("signature", &request.signature)?;
        let nonce: u64 = parse("nonce", &request.nonce)?;
        if request.miner_hotkey.is_some() != request.uid.is_some() {
            let problem = "set both miner_hotkey and uid, or neither".to_owned();
            return Err(ApiError::Field { field: "uid", problem });
        }
        for (field, signed_at) in [
            ("timestamp_ms", Duration::from_millis(request.timestamp_ms)),
            ("nonce", Duration::from_nanos(nonce)),
        ] {
            if !is_fresh(signed_at, now) {
                return Err(ApiError::Time(field));
            }
        }
        let text = request.signed_text(&sorted_json(&request.signed_object()));
        if !verify(&hotkey, text.as_bytes(), &signature) {
            return Err(ApiError::Signature);
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&hotkey)) {
            return Err(ApiError::NotAllowed);
        }
        self.record_signature(hotkey, signature, nonce, now)?;
        let auth_token = self.tokens.issue(hotkey, now);
        metrics::gauge!("taonet_arena_gateway_tokens").set(self.tokens.len() as f64);
        tracing::debug!(%hotkey, miner = request.miner_hotkey, "token issued");
        Ok(TokenResponse { auth_token, expires_in: self.tokens.lifetime().as_secs() })
    }

    fn record_signature(
        &self,
        sender: Hotkey,
        signature: Signature,
        nonce: u64,
        now: SystemTime,
    ) -> Result<(), ApiError> {
        let claim = Claim {
            sender,
            receiver: None,
            nonce,
            uuid: None,
            body_hash: None,
            timeout: Duration::ZERO,
            dated: true,
            crypto_type: CryptoType::Sr25519,
            signature,
        };
        self.replay.accept(&claim, nanoseconds(now)).map_err(|refusal| match refusal {
            Refusal::Replayed => ApiError::Replayed,
            // At the first start, and after a reboot, requests signed earlier are rejected.
            Refusal::Stale { .. } => ApiError::Time("nonce"),
            _ => ApiError::TooMany { wait: WINDOW.past },
        })
    }

    /// Returns the hotkey to which a token was issued.
    pub(super) fn owner(&self, token: &str, now: SystemTime) -> Result<Hotkey, ApiError> {
        self.tokens.owner(token, now).ok_or(ApiError::Token)
    }
}

fn is_fresh(signed_at: Duration, now: SystemTime) -> bool {
    let now = unix_time(now);
    signed_at.saturating_add(WINDOW.past) >= now && signed_at <= now.saturating_add(WINDOW.future)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: &str,
) -> Result<T, ApiError> {
    text.parse().map_err(|error: T::Err| ApiError::Field { field, problem: error.to_string() })
}

fn nanoseconds(time: SystemTime) -> u64 {
    u64::try_from(unix_time(time).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
