use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_primitives::Hotkey;

use crate::FernetKey;

/// Lifetime of a symmetric key.
pub(crate) const KEY_LIFETIME: Duration = Duration::from_hours(5);
/// Maximum number of keys per validator; a further key evicts the oldest. Each validator process
/// may have its own key.
const MAX_KEYS_PER_VALIDATOR: usize = 32;
/// Maximum number of validators with keys.
const MAX_VALIDATORS: usize = 4_096;

/// Symmetric keys that validators have sent to a miner, by hotkey and ID. Memory is bounded, and
/// keys expire.
#[derive(Debug, Default)]
pub struct KeyStore(Mutex<HashMap<Hotkey, VecDeque<StoredKey>>>);

#[derive(Debug)]
struct StoredKey {
    id: String,
    key: FernetKey,
    expires_at_ns: u64,
}

/// The key store has reached its maximum number of validators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key store is full: {MAX_VALIDATORS} validators have keys")]
pub struct KeyStoreFull;

impl KeyStore {
    /// Stores a validator's key, replacing one with the same ID. `now_ns` is the Unix time in
    /// nanoseconds.
    ///
    /// # Errors
    /// [`KeyStoreFull`] if too many other validators have keys.
    pub fn insert(
        &self,
        validator: Hotkey,
        id: String,
        key: FernetKey,
        now_ns: u64,
    ) -> Result<(), KeyStoreFull> {
        let expires_at_ns =
            now_ns.saturating_add(u64::try_from(KEY_LIFETIME.as_nanos()).unwrap_or(u64::MAX));
        let mut validators = self.validators();
        if !validators.contains_key(&validator) && validators.len() >= MAX_VALIDATORS {
            validators
                .retain(|_, keys| keys.back().is_some_and(|newest| newest.expires_at_ns > now_ns));
            if validators.len() >= MAX_VALIDATORS {
                return Err(KeyStoreFull);
            }
        }
        let keys = validators.entry(validator).or_default();
        keys.retain(|entry| entry.id != id && entry.expires_at_ns > now_ns);
        if keys.len() >= MAX_KEYS_PER_VALIDATOR {
            keys.pop_front();
        }
        keys.push_back(StoredKey { id, key, expires_at_ns });
        Ok(())
    }

    /// Returns a validator's key; `None` if the key is unknown or expired. `now_ns` is the Unix
    /// time in nanoseconds.
    pub fn get(&self, validator: &Hotkey, id: &str, now_ns: u64) -> Option<FernetKey> {
        let validators = self.validators();
        let entry = validators.get(validator)?.iter().find(|entry| entry.id == id)?;
        (entry.expires_at_ns > now_ns).then(|| entry.key.clone())
    }

    fn validators(&self) -> MutexGuard<'_, HashMap<Hotkey, VecDeque<StoredKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;

    fn validator(number: u16) -> Hotkey {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_le_bytes());
        Hotkey::from_bytes(key)
    }

    fn key(byte: u8) -> FernetKey {
        FernetKey::from_bytes([byte; 32])
    }

    /// Keys expire after five hours, also while they are used.
    #[test]
    fn keys_expire_after_five_hours() {
        let store = KeyStore::default();
        let bytes = |id, now| store.get(&validator(1), id, now).map(|key| key.as_bytes().to_vec());
        store.insert(validator(1), "a".into(), key(1), NOW).unwrap();
        let end = NOW + 5 * 3_600 * 1_000_000_000;
        assert_eq!(bytes("a", end - 1), Some(vec![1; 32]));
        assert_eq!(bytes("a", end), None);
        assert_eq!(bytes("b", NOW), None);
        assert!(store.get(&validator(2), "a", NOW).is_none(), "key of another validator");
        store.insert(validator(1), "a".into(), key(2), NOW).unwrap();
        assert_eq!(bytes("a", NOW), Some(vec![2; 32]));
    }

    #[test]
    fn number_of_stored_keys_is_limited() {
        let store = KeyStore::default();
        for number in 0..100 {
            store.insert(validator(1), number.to_string(), key(1), NOW).unwrap();
        }
        let remaining = (0..100)
            .filter(|number: &u8| store.get(&validator(1), &number.to_string(), NOW).is_some());
        assert_eq!(remaining.collect::<Vec<_>>(), (68..100).collect::<Vec<_>>());
        for number in 2..=4_096 {
            store.insert(validator(number), "a".into(), key(1), NOW).unwrap();
        }
        assert_eq!(store.insert(validator(5_000), "a".into(), key(1), NOW), Err(KeyStoreFull));
        assert_eq!(
            store.insert(validator(5), "b".into(), key(1), NOW),
            Ok(()),
            "a validator with keys"
        );
        let later = NOW + u64::try_from(KEY_LIFETIME.as_nanos()).unwrap();
        assert_eq!(store.insert(validator(5_000), "a".into(), key(1), later), Ok(()));
    }
}
