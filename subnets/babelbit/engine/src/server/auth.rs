//! Authentication of callers: a signed challenge is exchanged for a bearer token.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use serde_json::json;
use taonet_babelbit_core::engine_api::{AuthChallenge, AuthToken, AuthVerify};
use taonet_primitives::Hotkey;
use taonet_wallet::{Signature, verify};

use super::answer::ApiError;
use taonet_http::{BearerTokens, drop_oldest, random_hex, token_of};
use taonet_service::unix_time;

/// Maximum number of unsigned challenges; a further challenge replaces the oldest one.
const MAX_PENDING_CHALLENGES: usize = 10_000;
/// Maximum number of tokens per hotkey; a further token replaces the oldest one.
const MAX_TOKENS_PER_HOTKEY: usize = 8;

pub(super) struct Authenticator {
    allowed: Option<BTreeSet<Hotkey>>,
    challenge_lifetime: Duration,
    /// Issue time of each unsigned challenge.
    pending_challenges: Mutex<HashMap<String, SystemTime>>,
    tokens: BearerTokens,
}

impl Authenticator {
    pub(super) fn new(
        allowed: Option<BTreeSet<Hotkey>>,
        challenge_lifetime: Duration,
        token_lifetime: Duration,
    ) -> Self {
        let tokens = BearerTokens::new(token_lifetime, MAX_TOKENS_PER_HOTKEY);
        Self { allowed, challenge_lifetime, pending_challenges: Mutex::default(), tokens }
    }

    /// Issues a text to sign.
    pub(super) fn challenge(&self, now: SystemTime) -> AuthChallenge {
        let timestamp = unix_time(now).as_secs();
        let challenge = format!("taonet-engine:{timestamp}:{}", random_hex());
        let mut pending = lock(&self.pending_challenges);
        pending.retain(|_, issued_at| is_unexpired(*issued_at, self.challenge_lifetime, now));
        if pending.len() >= MAX_PENDING_CHALLENGES {
            drop_oldest(&mut pending, |issued_at| *issued_at);
        }
        pending.insert(challenge.clone(), now);
        AuthChallenge { challenge, timestamp: json!(timestamp) }
    }

    /// Issues a token for a signed challenge. Consumes the challenge even if verification fails.
    pub(super) fn verify(
        &self,
        verification: &AuthVerify,
        now: SystemTime,
    ) -> Result<AuthToken, ApiError> {
        let hotkey: Hotkey = parse_field("hotkey", &verification.hotkey)?;
        let signature: Signature = parse_field("signature", &verification.signature)?;
        let issued_at = lock(&self.pending_challenges)
            .remove(&verification.message)
            .ok_or(ApiError::InvalidChallenge)?;
        if !is_unexpired(issued_at, self.challenge_lifetime, now) {
            return Err(ApiError::InvalidChallenge);
        }
        if verification.timestamp != json!(unix_time(issued_at).as_secs()) {
            return Err(ApiError::TimestampMismatch);
        }
        if !verify(&hotkey, verification.message.as_bytes(), &signature) {
            return Err(ApiError::InvalidSignature);
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&hotkey)) {
            return Err(ApiError::NotAllowed);
        }
        Ok(self.issue_token(hotkey, now))
    }

    fn issue_token(&self, hotkey: Hotkey, now: SystemTime) -> AuthToken {
        let access_token = self.tokens.issue(hotkey, now);
        metrics::gauge!("taonet_engine_tokens").set(self.tokens.len() as f64);
        tracing::info!(%hotkey, "token issued");
        AuthToken {
            access_token,
            expires_in: self.tokens.lifetime().as_secs(),
            validator_uid: None,
        }
    }

    /// Returns the hotkey of a request's bearer token.
    pub(super) fn caller(&self, headers: &HeaderMap, now: SystemTime) -> Result<Hotkey, ApiError> {
        token_of(headers)
            .and_then(|token| self.tokens.owner(token, now))
            .ok_or(ApiError::InvalidToken)
    }
}

fn parse_field<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: &str,
) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::InvalidField { field, problem: error.to_string() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_unexpired(issued_at: SystemTime, lifetime: Duration, now: SystemTime) -> bool {
    now.duration_since(issued_at).is_ok_and(|age| age < lifetime)
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;
    use taonet_wallet::Keypair;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn authenticator() -> Authenticator {
        Authenticator::new(None, Duration::from_mins(1), Duration::from_secs(100))
    }

    fn sign(key: &Keypair, challenge: &AuthChallenge) -> AuthVerify {
        AuthVerify {
            hotkey: key.hotkey().to_string(),
            signature: key.sign(challenge.challenge.as_bytes()).to_bare_hex(),
            timestamp: challenge.timestamp.clone(),
            message: challenge.challenge.clone(),
        }
    }

    fn bearer(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    #[test]
    fn auth_challenge_is_valid_once_until_expiry() {
        let (auth, alice) = (authenticator(), Keypair::from_uri("//Alice").unwrap());
        let verification = sign(&alice, &auth.challenge(at(1_000)));
        assert!(auth.verify(&verification, at(1_059)).is_ok());
        assert!(
            matches!(auth.verify(&verification, at(1_059)), Err(ApiError::InvalidChallenge)),
            "replayed"
        );

        let verification = sign(&alice, &auth.challenge(at(1_000)));
        assert!(
            matches!(auth.verify(&verification, at(1_060)), Err(ApiError::InvalidChallenge)),
            "expired"
        );
    }

    #[test]
    fn answer_with_changed_field_is_refused() {
        let (auth, alice) = (authenticator(), Keypair::from_uri("//Alice").unwrap());
        let bob = Keypair::from_uri("//Bob").unwrap();

        let mut verification = sign(&alice, &auth.challenge(at(1_000)));
        verification.hotkey = bob.hotkey().to_string();
        assert!(matches!(auth.verify(&verification, at(1_001)), Err(ApiError::InvalidSignature)));
        verification.hotkey = alice.hotkey().to_string();
        assert!(
            matches!(auth.verify(&verification, at(1_001)), Err(ApiError::InvalidChallenge)),
            "a failure consumes it"
        );

        let mut verification = sign(&alice, &auth.challenge(at(1_000)));
        verification.timestamp = json!(1_001);
        assert!(matches!(auth.verify(&verification, at(1_001)), Err(ApiError::TimestampMismatch)));

        let mut verification = sign(&alice, &auth.challenge(at(1_000)));
        verification.message.push('0');
        assert!(matches!(auth.verify(&verification, at(1_001)), Err(ApiError::InvalidChallenge)));
    }

    #[test]
    fn tokens_expire_and_the_oldest_are_evicted() {
        let (auth, alice) = (authenticator(), Keypair::from_uri("//Alice").unwrap());
        let first = auth.issue_token(alice.hotkey(), at(1_000));
        assert_eq!(auth.caller(&bearer(&first.access_token), at(1_099)).unwrap(), alice.hotkey());
        assert!(auth.caller(&bearer(&first.access_token), at(1_100)).is_err());
        for second in 1..=MAX_TOKENS_PER_HOTKEY as u64 {
            auth.issue_token(alice.hotkey(), at(1_000 + second));
        }
        assert!(auth.caller(&bearer(&first.access_token), at(1_010)).is_err());
        assert_eq!(auth.tokens.len(), MAX_TOKENS_PER_HOTKEY);
    }

    #[test]
    fn malformed_authorization_headers_are_refused() {
        let (auth, alice) = (authenticator(), Keypair::from_uri("//Alice").unwrap());
        let token = auth.issue_token(alice.hotkey(), at(1_000)).access_token;
        for value in
            ["", "Bearer", "Bearer ", "Basic abc", &token, &format!("Basic {token}"), "Bearer é"]
        {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert!(auth.caller(&headers, at(1_001)).is_err(), "{value}");
        }
        assert!(auth.caller(&HeaderMap::new(), at(1_001)).is_err());
    }

    #[test]
    fn unanswered_challenges_are_limited() {
        let auth = authenticator();
        for _ in 0..=MAX_PENDING_CHALLENGES {
            auth.challenge(at(1_000));
        }
        assert_eq!(lock(&auth.pending_challenges).len(), MAX_PENDING_CHALLENGES);
        auth.challenge(at(2_000));
        assert_eq!(lock(&auth.pending_challenges).len(), 1);
    }
}
