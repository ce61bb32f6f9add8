//! Bearer tokens that a service has given out.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use rand::RngCore as _;
use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;

/// Tokens of all hotkeys; one more drops the oldest.
const MAX_TOKENS: usize = 10_000;

struct Token {
    hotkey: Hotkey,
    issued: SystemTime,
}

impl Token {
    /// A clock that was set back ends no token.
    fn is_good(&self, lifetime: Duration, now: SystemTime) -> bool {
        now.duration_since(self.issued).map_or(true, |age| age < lifetime)
    }
}

/// The tokens of one service, in memory.
pub struct BearerTokens {
    lifetime: Duration,
    /// Tokens of one hotkey; one more drops the oldest.
    per_hotkey: usize,
    /// By SHA-256: whoever reads this table learns no token, and how long a lookup takes says nothing about one.
    tokens: Mutex<HashMap<[u8; 32], Token>>,
}

impl BearerTokens {
    /// No tokens yet. Each is good for `lifetime`; a hotkey may have `per_hotkey` of them.
    pub fn new(lifetime: Duration, per_hotkey: usize) -> Self {
        Self { lifetime, per_hotkey, tokens: Mutex::default() }
    }

    /// How long a token is good.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new token of `hotkey`.
    pub fn issue(&self, hotkey: Hotkey, now: SystemTime) -> String {
        let text = random_hex();
        let mut tokens = self.lock();
        tokens.retain(|_, token| token.is_good(self.lifetime, now));
        if tokens.len() >= MAX_TOKENS {
            drop_oldest(&mut tokens, |token| token.issued);
        }
        let of_hotkey = || tokens.iter().filter(|(_, token)| token.hotkey == hotkey);
        if of_hotkey().count() >= self.per_hotkey {
            let oldest = of_hotkey().min_by_key(|(_, token)| token.issued).map(|(hash, _)| *hash);
            oldest.map(|hash| tokens.remove(&hash));
        }
        tokens.insert(hash(&text), Token { hotkey, issued: now });
        text
    }

    /// Whose token it is, while it is good.
    pub fn owner(&self, token: &str, now: SystemTime) -> Option<Hotkey> {
        let tokens = self.lock();
        let known = tokens.get(&hash(token))?;
        known.is_good(self.lifetime, now).then_some(known.hotkey)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are, those that have expired since the last was issued included.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a request shows as `Authorization: Bearer …`.
pub fn shown_in(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok())?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 32 random bytes as text.
pub fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Removes the entry that was issued first.
pub fn drop_oldest<K: Clone + Eq + Hash, V, S: BuildHasher>(
    table: &mut HashMap<K, V, S>,
    issued: impl Fn(&V) -> SystemTime,
) {
    if let Some(oldest) = table.iter().min_by_key(|(_, value)| issued(value)).map(|(key, _)| key.clone()) {
        table.remove(&oldest);
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
