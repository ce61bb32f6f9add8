//! Calls of the Crowdloan pallet.

use super::{Weight, per_item, weight};

// Execution time in picoseconds, proof size in bytes, reads, writes.
weights! {
    // Does not include the call that spends the TAO.
    create: 59_829_000, 6_148, 3, 5;
    contribute: 66_609_000, 6_148, 5, 4;
    withdraw: 60_259_000, 6_148, 4, 4;
    finalize: 31_507_000, 4_197_809, 4, 2;
    dissolve: 66_939_000, 6_148, 4, 5;
    update_min_contribution: 13_259_000, 3_747, 2, 1;
    update_end: 12_048_000, 3_747, 1, 1;
    update_cap: 11_357_000, 3_747, 1, 1;
    set_max_contribution: 16_024_000, 3_747, 2, 1;
}

/// Weight of refunding this many contributors.
pub(crate) fn refund(contributors: u32) -> Weight {
    per_item(weight(110_703_000, 3_747, 2, 0), weight(39_503_253, 2_579, 2, 2), contributors.into())
}
