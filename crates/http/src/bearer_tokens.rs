//! Bearer tokens issued by a service.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use rand::RngCore as _;
use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;

/// Maximum number of tokens of all hotkeys together; at the limit, a new token replaces the oldest
/// one.
const MAX_TOKENS: usize = 10_000;

struct IssuedToken {
    hotkey: Hotkey,
    issued_at: SystemTime,
}

impl IssuedToken {
    /// Whether the token is unexpired. Setting the clock back expires no token.
    fn is_unexpired(&self, lifetime: Duration, now: SystemTime) -> bool {
        now.duration_since(self.issued_at).map_or(true, |age| age < lifetime)
    }
}

/// In-memory table of a service's bearer tokens.
pub struct BearerTokens {
    lifetime: Duration,
    /// Maximum number of tokens of one hotkey; at the limit, a new token replaces the hotkey's
    /// oldest one.
    max_per_hotkey: usize,
    /// Tokens by their SHA-256, so that neither the table nor the lookup time reveals a token.
    tokens: Mutex<HashMap<[u8; 32], IssuedToken>>,
}

impl BearerTokens {
    /// Creates an empty table. Each token is valid for `lifetime`; a hotkey may hold at most
    /// `max_per_hotkey` tokens.
    pub fn new(lifetime: Duration, max_per_hotkey: usize) -> Self {
        Self { lifetime, max_per_hotkey, tokens: Mutex::default() }
    }

    /// Returns the validity period of the tokens.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Issues a new token to `hotkey`. At a limit on the number of tokens, the new token replaces
    /// the oldest one.
    pub fn issue(&self, hotkey: Hotkey, now: SystemTime) -> String {
        let text = random_hex();
        let mut tokens = self.lock();
        tokens.retain(|_, token| token.is_unexpired(self.lifetime, now));
        if tokens.len() >= MAX_TOKENS {
            drop_oldest(&mut tokens, |token| token.issued_at);
        }
        let hotkey_tokens = tokens.iter().filter(|(_, token)| token.hotkey == hotkey);
        if hotkey_tokens.clone().count() >= self.max_per_hotkey {
            let oldest =
                hotkey_tokens.min_by_key(|(_, token)| token.issued_at).map(|(hash, _)| *hash);
            oldest.map(|hash| tokens.remove(&hash));
        }
        tokens.insert(token_hash(&text), IssuedToken { hotkey, issued_at: now });
        text
    }

    /// Returns the hotkey that a token was issued to; `None` if the token is unknown or expired.
    pub fn owner(&self, token: &str, now: SystemTime) -> Option<Hotkey> {
        let tokens = self.lock();
        let issued_token = tokens.get(&token_hash(token))?;
        issued_token.is_unexpired(self.lifetime, now).then_some(issued_token.hotkey)
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of tokens, including those that have expired since a token was last
    /// issued.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], IssuedToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Extracts the token from the header `Authorization: Bearer …`; `None` if there is no such header.
pub fn token_of(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok())?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns 32 random bytes in hexadecimal.
pub fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Removes the entry with the earliest time from a table; `issued_at` returns the time of an entry.
pub fn drop_oldest<K: Clone + Eq + Hash, V, S: BuildHasher>(
    table: &mut HashMap<K, V, S>,
    issued_at: impl Fn(&V) -> SystemTime,
) {
    if let Some(oldest) =
        table.iter().min_by_key(|(_, value)| issued_at(value)).map(|(key, _)| key.clone())
    {
        table.remove(&oldest);
    }
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
