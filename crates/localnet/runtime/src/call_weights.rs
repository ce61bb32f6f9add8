//! Weights of calls, from which the fees are derived.
//!
//! The tables contain the execution time in picoseconds, the proof size in bytes, and the numbers
//! of database reads and writes that the published source of the real chain states for each call:
//!
//! - `subtensor` and `guards`: RaoFoundation/subtensor 03b1d91a. Its weight of the coldkey swap
//!   check is the recorded one of spec version 461.
//! - `admin_utils`: RaoFoundation/subtensor 0e053e45.
//! - all others: opentensor/subtensor 14bc6f9f, spec version 425.
//!
//! The calls of polkadot-sdk's other pallets have polkadot-sdk's weights, as on the real chain.

use frame_support::weights::Weight;
use frame_support::weights::constants::RocksDbWeight;

/// Defines a function for each call that returns its weight: execution time, proof size, reads,
/// writes.
macro_rules! weights {
    ($($call:ident: $time:literal, $proof:literal, $reads:literal, $writes:literal;)*) => {
        $(
            pub(crate) fn $call() -> Weight {
                weight($time, $proof, $reads, $writes)
            }
        )*
    };
}

pub(crate) mod admin_utils;
pub(crate) mod crowdloan;
pub(crate) mod guards;
pub(crate) mod proxy;
pub(crate) mod sdk;
pub(crate) mod subtensor;

/// Calls of the Commitments pallet.
pub(crate) mod commitments {
    use super::{Weight, weight};

    weights! {
        set_commitment: 33_480_000, 0, 5, 4;
        set_max_space: 2_856_000, 0, 0, 1;
    }
}

/// Calls of the Drand pallet.
pub(crate) mod drand {
    use super::{Weight, guards, weight};

    weights! {
        set_beacon_config: 8_766_000, 0, 0, 2;
        set_oldest_stored_round: 5_370_000, 0, 0, 1;
    }

    /// The call is in an unsigned extrinsic: no transaction extension adds the weight of the
    /// coldkey swap check.
    pub(crate) fn write_pulse() -> Weight {
        weight(4_294_000_000, 0, 3, 4).saturating_add(guards::coldkey_swap())
    }
}

/// Calls of the MevShield pallet.
pub(crate) mod mev_shield {
    use super::{Weight, guards, weight};

    weights! {
        submit_encrypted: 207_223_000, 0, 0, 0;
        store_encrypted: 20_000_000_000, 0, 0, 0;
        set_max_pending_extrinsics_number: 4_206_000, 0, 0, 1;
        set_on_initialize_weight: 4_327_000, 0, 0, 1;
        set_stored_extrinsic_lifetime: 4_116_000, 0, 0, 1;
        set_max_extrinsic_weight: 4_227_000, 0, 0, 1;
    }

    /// The call is an inherent extrinsic: no transaction extension adds the weight of the coldkey
    /// swap check.
    pub(crate) fn announce_next_key() -> Weight {
        weight(33_661_000, 5_555, 4, 6).saturating_add(guards::coldkey_swap())
    }
}

/// Calls of the Swap pallet.
pub(crate) mod swap {
    use super::{Weight, weight};

    weights! {
        set_fee_rate: 15_063_000, 3_994, 1, 1;
        deprecated: 15_000_000, 0, 0, 0;
    }
}

/// Returns a weight with the database's share: 25 µs per read and 100 µs per write.
fn weight(ref_time: u64, proof_size: u64, reads: u64, writes: u64) -> Weight {
    Weight::from_parts(ref_time, proof_size)
        .saturating_add(RocksDbWeight::get().reads_writes(reads, writes))
}

/// Returns the weight of a call that handles `count` items.
fn per_item(call: Weight, item: Weight, count: u64) -> Weight {
    call.saturating_add(item.saturating_mul(count))
}
