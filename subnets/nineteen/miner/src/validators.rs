use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use taonet_primitives::Hotkey;
use taonet_wire::{Standing, Standings};

/// Registered hotkeys of the subnet and their stakes, replaced at each refresh of the metagraph.
#[derive(Debug, Default)]
pub struct Validators(RwLock<Arc<Stakes>>);

#[derive(Debug, Default)]
struct Stakes {
    standings: HashMap<Hotkey, Standing>,
    total: u128,
}

impl Validators {
    /// Replaces all hotkeys and stakes.
    pub fn replace(&self, standings: HashMap<Hotkey, Standing>) {
        let total = standings.values().map(|standing| u128::from(standing.stake)).sum();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Stakes { standings, total });
    }

    /// Returns a hotkey's share of the total stake, in `0..=1`; 0 if the hotkey is not registered
    /// or has no stake.
    pub fn share(&self, hotkey: &Hotkey) -> f64 {
        let stakes = self.stakes();
        let own = stakes.standings.get(hotkey).map_or(0, |standing| standing.stake);
        if stakes.total == 0 { 0.0 } else { own as f64 / stakes.total as f64 }
    }

    fn stakes(&self) -> Arc<Stakes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Standings for Validators {
    fn standing(&self, hotkey: &Hotkey) -> Option<Standing> {
        self.stakes().standings.get(hotkey).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_by_stake() {
        let key = |byte| Hotkey::from_bytes([byte; 32]);
        let validators = Validators::default();
        assert_eq!(validators.share(&key(1)), 0.0);
        let standing = |stake| Standing { stake, validator_permit: true };
        validators
            .replace([(key(1), standing(3)), (key(2), standing(1)), (key(3), standing(0))].into());
        assert_eq!([1, 2, 3, 4].map(|byte| validators.share(&key(byte))), [0.75, 0.25, 0.0, 0.0]);
        assert_eq!(validators.standing(&key(4)), None);
        validators.replace([(key(1), standing(u64::MAX)), (key(2), standing(u64::MAX))].into());
        assert_eq!(validators.share(&key(1)), 0.5);
    }
}
