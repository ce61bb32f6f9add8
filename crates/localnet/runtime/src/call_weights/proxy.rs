//! Calls of the Proxy pallet. They include the maximum number of delegates of an account, and those
//! on announcements also the maximum number of announcements of a delegate.

use super::{Weight, per_item, weight};
use crate::proxy::{MAX_PENDING, MAX_PROXIES};

/// Defines a function for each call: execution time in picoseconds, proof size in bytes, reads,
/// writes; then the execution time and the proof size per delegate, and per announcement.
macro_rules! weights_at_maximum {
    ($(
        $call:ident: $time:literal, $proof:literal, $reads:literal, $writes:literal;
        $time_per_delegate:literal, $proof_per_delegate:literal;
        $time_per_announcement:literal, $proof_per_announcement:literal;
    )*) => {
        $(
            pub(crate) fn $call() -> Weight {
                let call = weight($time, $proof, $reads, $writes);
                let delegate = weight($time_per_delegate, $proof_per_delegate, 0, 0);
                let announcement = weight($time_per_announcement, $proof_per_announcement, 0, 0);
                let with_delegates = per_item(call, delegate, MAX_PROXIES.into());
                per_item(with_delegates, announcement, MAX_PENDING.into())
            }
        )*
    };
}

weights_at_maximum! {
    // Includes access to the account of the inner call's origin, but not the inner call.
    proxy: 28_026_265, 4_254, 4, 2; 53_205, 37; 0, 0;
    proxy_announced: 53_234_507, 8_615, 6, 4; 54_037, 37; 228_831, 68;
    remove_announcement: 25_595_226, 8_615, 2, 2; 40_277, 0; 205_163, 0;
    reject_announcement: 26_388_332, 8_615, 2, 2; 17_846, 0; 199_703, 0;
    announce: 34_286_251, 8_615, 3, 2; 53_615, 0; 194_092, 0;
    add_proxy: 25_770_804, 4_254, 1, 1; 80_892, 0; 0, 0;
    remove_proxy: 27_827_049, 4_254, 1, 2; 64_054, 0; 0, 0;
    remove_proxies: 27_407_028, 4_254, 1, 1; 55_808, 0; 0, 0;
    create_pure: 27_853_436, 4_254, 1, 1; 20_160, 0; 0, 0;
    kill_pure: 26_529_087, 4_254, 1, 1; 48_014, 0; 0, 0;
    poke_deposit: 46_757_000, 8_615, 3, 3; 0, 0; 0, 0;
    set_real_pays_fee: 14_259_931, 4_254, 1, 1; 42_799, 0; 0, 0;
}
