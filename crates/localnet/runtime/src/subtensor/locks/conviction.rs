//! Decay and conviction of locks over time, with the real chain's arithmetic.

use substrate_fixed::transcendental::exp;
use substrate_fixed::types::{I64F64, U64F64};

use crate::subtensor::types::LockState;
use crate::types::AlphaBalance;

/// Amount below which a lock, or its conviction, counts as zero.
const DUST: u64 = 100;
/// Number of time constants after which a decayed value is 0.
const MAX_TIMESCALES: i32 = 40;

/// Current block, and time constants of locks, in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockTimescales {
    pub(super) now: u64,
    /// Time constant of the decay of locks.
    pub(super) unlock: u64,
    /// Time constant of the growth of conviction.
    pub(super) maturity: u64,
}

/// Kind of a lock, which determines how it changes over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockKind {
    /// Whether the stake is locked to the hotkey of the subnet's owner, where conviction equals the
    /// locked stake immediately.
    pub(super) is_owner_lock: bool,
    /// Whether the lock does not decay.
    pub(super) is_perpetual: bool,
}

impl LockKind {
    pub(super) const ALL: [Self; 4] = [
        Self { is_owner_lock: false, is_perpetual: true },
        Self { is_owner_lock: false, is_perpetual: false },
        Self { is_owner_lock: true, is_perpetual: true },
        Self { is_owner_lock: true, is_perpetual: false },
    ];

    /// Returns a lock of this kind with decay and conviction at the current block.
    pub(super) fn roll_forward(self, mut lock: LockState, timescales: LockTimescales) -> LockState {
        if let Some(blocks) =
            timescales.now.checked_sub(lock.last_update).filter(|blocks| *blocks > 0)
        {
            (lock.locked_mass, lock.conviction) = self.decayed_after(blocks, &lock, timescales);
            lock.last_update = timescales.now;
        }
        if self.is_owner_lock {
            lock.conviction = U64F64::from_num(lock.locked_mass.0);
        }
        if is_negligible(&lock) {
            lock.locked_mass = AlphaBalance::ZERO;
            lock.conviction = U64F64::default();
        }
        lock
    }

    /// Returns the amount and the conviction of a lock after a number of blocks.
    fn decayed_after(
        self,
        blocks: u64,
        lock: &LockState,
        LockTimescales { unlock, maturity, .. }: LockTimescales,
    ) -> (AlphaBalance, U64F64) {
        let mass = U64F64::from_num(lock.locked_mass.0);
        let (unlock_decay, maturity_decay) = (decay(blocks, unlock), decay(blocks, maturity));
        let amount = if self.is_perpetual {
            lock.locked_mass.0
        } else {
            unlock_decay.saturating_mul(mass).saturating_to_num()
        };
        // The share of the amount that becomes conviction in this time.
        let matured = if self.is_perpetual {
            U64F64::from_num(1).saturating_sub(maturity_decay)
        } else if unlock == maturity {
            let timescales = U64F64::from_num(blocks)
                .checked_div(U64F64::from_num(maturity))
                .unwrap_or_default();
            timescales.saturating_mul(maturity_decay)
        } else if unlock == 0 || maturity == 0 {
            U64F64::default()
        } else {
            conviction_share(unlock_decay, maturity_decay, unlock, maturity)
        };
        let conviction = maturity_decay
            .saturating_mul(lock.conviction)
            .saturating_add(mass.saturating_mul(matured));
        (AlphaBalance(amount), conviction)
    }
}

/// Returns the share of an amount that decays on the timescale `unlock` and becomes conviction on
/// the timescale `maturity`: unlock · (unlock decay − maturity decay) / (unlock − maturity).
fn conviction_share(
    unlock_decay: U64F64,
    maturity_decay: U64F64,
    unlock: u64,
    maturity: u64,
) -> U64F64 {
    let difference = I64F64::saturating_from_num(unlock_decay)
        .saturating_sub(I64F64::saturating_from_num(maturity_decay));
    let timescales =
        I64F64::saturating_from_num(i128::from(unlock).saturating_sub(i128::from(maturity)));
    let share =
        I64F64::saturating_from_num(unlock).saturating_mul(difference).checked_div(timescales);
    share.filter(|share| *share > 0).map_or_else(U64F64::default, U64F64::saturating_from_num)
}

/// Returns the decay factor after a number of blocks: exp(−blocks / timescale).
fn decay(blocks: u64, timescale: u64) -> U64F64 {
    if blocks == 0 {
        return U64F64::from_num(1);
    }
    if timescale == 0 {
        return U64F64::default();
    }
    let minimum = I64F64::from_num(MAX_TIMESCALES.saturating_neg());
    let negative_blocks = I64F64::saturating_from_num(i128::from(blocks).saturating_neg());
    let timescales = negative_blocks
        .checked_div(I64F64::saturating_from_num(timescale))
        .unwrap_or(minimum)
        .max(minimum);
    let remaining: I64F64 = exp(timescales).unwrap_or_default();
    U64F64::saturating_from_num(remaining.max(I64F64::default()))
}

/// Whether the amount and the conviction of a lock both count as zero.
pub(super) fn is_negligible(lock: &LockState) -> bool {
    lock.locked_mass < AlphaBalance(DUST) && lock.conviction < U64F64::from_num(DUST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMESCALES: LockTimescales =
        LockTimescales { now: 1_000, unlock: 1_000, maturity: 1_000 };

    fn lock(mass: u64, conviction: u64) -> LockState {
        LockState {
            locked_mass: AlphaBalance(mass),
            conviction: U64F64::from_num(conviction),
            last_update: 0,
        }
    }

    fn roll_forward(
        is_owner_lock: bool,
        is_perpetual: bool,
        lock: LockState,
        timescales: LockTimescales,
    ) -> (f64, f64) {
        let rolled = LockKind { is_owner_lock, is_perpetual }.roll_forward(lock, timescales);
        assert_eq!(rolled.last_update, timescales.now);
        (rolled.locked_mass.0 as f64, rolled.conviction.to_num())
    }

    fn is_close(actual: (f64, f64), expected: (f64, f64)) -> bool {
        (actual.0 - expected.0).abs() < 2.0 && (actual.1 - expected.1).abs() < 2.0
    }

    #[test]
    fn locks_follow_their_differential_equations() {
        let (mass, conviction) = (1_000_000_000, 500_000_000);
        let e = (-1.0_f64).exp();
        let share_of_mass = |share: f64| mass as f64 * share;
        let decayed = conviction as f64 * e;
        assert!(is_close(
            roll_forward(false, true, lock(mass, conviction), TIMESCALES),
            (share_of_mass(1.0), share_of_mass(1.0 - e) + decayed)
        ));
        assert!(is_close(
            roll_forward(false, false, lock(mass, conviction), TIMESCALES),
            (share_of_mass(e), share_of_mass(e) + decayed)
        ));
        assert!(is_close(
            roll_forward(true, false, lock(mass, conviction), TIMESCALES),
            (share_of_mass(e), share_of_mass(e))
        ));
        let slower = LockTimescales { unlock: 2_000, ..TIMESCALES };
        let (remaining, share) = ((-0.5_f64).exp(), 2.0 * ((-0.5_f64).exp() - e));
        assert!(is_close(
            roll_forward(false, false, lock(mass, 0), slower),
            (share_of_mass(remaining), share_of_mass(share))
        ));
        let faster = LockTimescales { unlock: 500, ..TIMESCALES };
        let (remaining, share) = ((-2.0_f64).exp(), -((-2.0_f64).exp() - e));
        assert!(is_close(
            roll_forward(false, false, lock(mass, 0), faster),
            (share_of_mass(remaining), share_of_mass(share))
        ));
    }

    #[test]
    fn extreme_locks_neither_overflow_nor_underflow() {
        let ages = [0, 1, u64::MAX];
        for (mass, now, unlock, maturity) in ages.into_iter().flat_map(|now| {
            let timescales = [
                (0, 0),
                (0, 1),
                (1, 0),
                (1, 1),
                (1, u64::MAX),
                (u64::MAX, 1),
                (u64::MAX, u64::MAX),
            ];
            timescales
                .into_iter()
                .flat_map(move |(a, b)| [0, 1, 99, u64::MAX].map(|mass| (mass, now, a, b)))
        }) {
            for kind in LockKind::ALL {
                let lock = kind
                    .roll_forward(lock(mass, u64::MAX), LockTimescales { now, unlock, maturity });
                assert!(lock.locked_mass.0 <= mass, "{kind:?} {mass} {now} {unlock} {maturity}");
            }
        }
        let empty_lock = LockKind { is_owner_lock: false, is_perpetual: true }
            .roll_forward(lock(99, 99), TIMESCALES);
        assert_eq!((empty_lock.locked_mass.0, empty_lock.conviction.to_num::<u64>()), (0, 0));
    }
}
