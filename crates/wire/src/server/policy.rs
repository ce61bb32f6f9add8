use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use taonet_primitives::Hotkey;

use crate::Refusal;

/// A hotkey's stake and validator permit on the server's subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registration {
    /// Stake of the hotkey in rao.
    pub stake: u64,
    /// Whether the hotkey has a validator permit.
    pub validator_permit: bool,
}

/// In-memory registrations, which a [`Policy`] queries for every request. They are replaced
/// completely with each new metagraph.
#[derive(Debug, Default)]
pub struct RegistrationTable(RwLock<Registrations>);

/// The registrations of one metagraph.
#[derive(Debug, Default)]
struct Registrations {
    by_hotkey: HashMap<Hotkey, Registration>,
    total_stake: u128,
}

impl Registrations {
    fn new(by_hotkey: HashMap<Hotkey, Registration>) -> Self {
        let total_stake =
            by_hotkey.values().map(|registration| u128::from(registration.stake)).sum();
        Self { by_hotkey, total_stake }
    }
}

impl RegistrationTable {
    /// Creates a table with these registrations.
    pub fn new(registrations: HashMap<Hotkey, Registration>) -> Self {
        Self(RwLock::new(Registrations::new(registrations)))
    }

    /// Replaces all registrations.
    pub fn replace(&self, registrations: HashMap<Hotkey, Registration>) {
        let registrations = Registrations::new(registrations);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = registrations;
    }

    /// Returns every registered hotkey.
    pub fn hotkeys(&self) -> Vec<Hotkey> {
        self.read().by_hotkey.keys().copied().collect()
    }

    /// Returns the hotkey's registration; `None` when it is not registered.
    pub fn registration(&self, hotkey: &Hotkey) -> Option<Registration> {
        self.read().by_hotkey.get(hotkey).copied()
    }

    /// Returns the hotkey's share of the total stake, in `0..=1`; 0 if the hotkey is not registered
    /// or has no stake.
    pub fn share(&self, hotkey: &Hotkey) -> f64 {
        let registrations = self.read();
        let stake =
            registrations.by_hotkey.get(hotkey).map_or(0, |registration| registration.stake);
        match registrations.total_stake {
            0 => 0.0,
            total => stake as f64 / total as f64,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Registrations> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The access policy: which verified callers may call.
#[derive(Clone, Default)]
pub struct Policy {
    allowed: Option<Arc<HashSet<Hotkey>>>,
    blocked: Arc<HashSet<Hotkey>>,
    registrations: Option<Arc<RegistrationTable>>,
    requires_registration: bool,
    min_stake: u64,
    requires_permit: bool,
}

impl Policy {
    /// Allows everyone with a valid signature.
    pub fn open() -> Self {
        Self::default()
    }

    /// Allows only these hotkeys.
    pub fn only(hotkeys: impl IntoIterator<Item = Hotkey>) -> Self {
        Self { allowed: Some(Arc::new(hotkeys.into_iter().collect())), ..Self::default() }
    }

    /// Blocks these hotkeys, even if other rules allow them.
    #[must_use]
    pub fn block(self, hotkeys: impl IntoIterator<Item = Hotkey>) -> Self {
        Self { blocked: Arc::new(hotkeys.into_iter().collect()), ..self }
    }

    /// Sets the source of stakes and permits. In the queue, callers with more stake are then served
    /// first.
    #[must_use]
    pub fn with_registrations(self, registrations: Arc<RegistrationTable>) -> Self {
        Self { registrations: Some(registrations), ..self }
    }

    /// Admits registered hotkeys only, of any stake. Without [`Self::with_registrations`], no
    /// hotkey is admitted.
    #[must_use]
    pub fn registered_only(self) -> Self {
        Self { requires_registration: true, ..self }
    }

    /// Requires a stake of at least `rao`. Without [`Self::with_registrations`], every stake is
    /// zero.
    #[must_use]
    pub fn min_stake(self, rao: u64) -> Self {
        Self { min_stake: rao, ..self }
    }

    /// Requires a validator permit. Without [`Self::with_registrations`] no hotkey has one.
    #[must_use]
    pub fn validators_only(self) -> Self {
        Self { requires_permit: true, ..self }
    }

    /// Whether a caller with a valid signature is allowed.
    pub fn admits(&self, hotkey: &Hotkey) -> bool {
        self.check(hotkey).is_ok()
    }

    /// Returns the registration of an allowed caller; the default for a hotkey that is not
    /// registered.
    pub(super) fn check(&self, hotkey: &Hotkey) -> Result<Registration, Refusal> {
        let is_listed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(hotkey));
        if !is_listed || self.blocked.contains(hotkey) {
            return Err(Refusal::NotAllowed(*hotkey));
        }
        let registration = self.registrations.as_ref().and_then(|table| table.registration(hotkey));
        if self.requires_registration && registration.is_none() {
            return Err(Refusal::NotAllowed(*hotkey));
        }
        let registration = registration.unwrap_or_default();
        if registration.stake < self.min_stake {
            return Err(Refusal::StakeTooLow { hotkey: *hotkey, needed: self.min_stake });
        }
        if self.requires_permit && !registration.validator_permit {
            return Err(Refusal::NoPermit(*hotkey));
        }
        Ok(registration)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = self.allowed.as_ref().map(|allowed| allowed.len());
        f.debug_struct("Policy")
            .field("allowed", &allowed)
            .field("blocked", &self.blocked.len())
            .field("registered", &self.requires_registration)
            .field("min_stake", &self.min_stake)
            .field("permit", &self.requires_permit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    #[test]
    fn caller_must_meet_every_condition() {
        let registration = |stake, validator_permit| Registration { stake, validator_permit };
        let rich = (key(1), registration(1_000, true));
        let poor = (key(2), registration(999, true));
        let miner = (key(3), registration(1_000, false));
        let table = Arc::new(RegistrationTable::new(HashMap::from([rich, poor, miner])));
        let strict =
            Policy::open().with_registrations(table.clone()).min_stake(1_000).validators_only();
        let too_low = |hotkey| Err(Refusal::StakeTooLow { hotkey, needed: 1_000 });
        assert_eq!(strict.check(&key(1)), Ok(rich.1));
        assert_eq!(strict.check(&key(2)), too_low(key(2)));
        assert_eq!(strict.check(&key(3)), Err(Refusal::NoPermit(key(3))));
        assert_eq!(strict.check(&key(4)), too_low(key(4)), "not registered");
        let registered = Policy::open().with_registrations(table.clone()).registered_only();
        assert_eq!(registered.check(&key(3)), Ok(miner.1));
        assert_eq!(registered.check(&key(4)), Err(Refusal::NotAllowed(key(4))));
        assert_eq!(
            Policy::open().registered_only().check(&key(1)),
            Err(Refusal::NotAllowed(key(1)))
        );
        assert_eq!(strict.clone().block([key(1)]).check(&key(1)), Err(Refusal::NotAllowed(key(1))));
        table.replace(HashMap::from([(key(2), rich.1)]));
        assert_eq!(strict.check(&key(2)), Ok(rich.1));
        assert_eq!(strict.check(&key(1)), too_low(key(1)));

        let listed = Policy::only([key(1), key(2)]).block([key(2)]);
        assert_eq!(listed.check(&key(1)), Ok(Registration::default()));
        assert_eq!(listed.check(&key(2)), Err(Refusal::NotAllowed(key(2))));
        assert_eq!(listed.check(&key(3)), Err(Refusal::NotAllowed(key(3))));
        // A policy that requires stake, without a source of registrations, allows no caller.
        assert_eq!(Policy::open().min_stake(1_000).check(&key(1)), too_low(key(1)));
        assert_eq!(Policy::open().validators_only().check(&key(1)), Err(Refusal::NoPermit(key(1))));
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "the shares are exact in binary")]
    fn caller_shares_are_proportional_to_stake() {
        let validators = RegistrationTable::default();
        assert_eq!(validators.share(&key(1)), 0.0);
        let registration = |stake| Registration { stake, validator_permit: true };
        validators.replace(
            [(key(1), registration(3)), (key(2), registration(1)), (key(3), registration(0))]
                .into(),
        );
        assert_eq!([1, 2, 3, 4].map(|byte| validators.share(&key(byte))), [0.75, 0.25, 0.0, 0.0]);
        assert_eq!(validators.registration(&key(4)), None);
        validators
            .replace([(key(1), registration(u64::MAX)), (key(2), registration(u64::MAX))].into());
        assert_eq!(validators.share(&key(1)), 0.5);
    }
}
