//! Weights of polkadot-sdk's pallets that differ on the real chain.

use super::{Weight, guards, per_item, weight};

/// Weights of the Utility pallet, of which the real chain has its own version.
pub struct Utility;

impl pallet_utility::WeightInfo for Utility {
    fn batch(calls: u32) -> Weight {
        per_item(weight(19_446_696, 3_983, 2, 0), weight(5_450_264, 0, 0, 0), calls.into())
    }

    fn as_derivative() -> Weight {
        weight(15_378_000, 3_983, 2, 0)
    }

    fn batch_all(calls: u32) -> Weight {
        per_item(weight(13_428_230, 3_983, 2, 0), weight(5_663_250, 0, 0, 0), calls.into())
    }

    fn dispatch_as() -> Weight {
        weight(6_893_000, 0, 0, 0)
    }

    fn force_batch(calls: u32) -> Weight {
        per_item(weight(12_134_867, 3_983, 2, 0), weight(5_477_293, 0, 0, 0), calls.into())
    }

    fn dispatch_as_fallible() -> Weight {
        weight(7_113_000, 0, 0, 0)
    }

    fn if_else() -> Weight {
        weight(21_831_000, 3_983, 2, 0)
    }
}

/// Weights of the Timestamp pallet. Its call is an inherent extrinsic: no transaction extension
/// adds the weight of the coldkey swap check.
pub struct Timestamp;

impl pallet_timestamp::WeightInfo for Timestamp {
    fn set() -> Weight {
        <() as pallet_timestamp::WeightInfo>::set().saturating_add(guards::coldkey_swap())
    }

    fn on_finalize() -> Weight {
        <() as pallet_timestamp::WeightInfo>::on_finalize()
    }
}

/// Weights of the transaction extensions: none, since the real chain charges only for calls and
/// their checks.
pub struct Extensions;

impl frame_system::ExtensionsWeightInfo for Extensions {
    fn check_genesis() -> Weight {
        Weight::zero()
    }

    fn check_mortality_mortal_transaction() -> Weight {
        Weight::zero()
    }

    fn check_mortality_immortal_transaction() -> Weight {
        Weight::zero()
    }

    fn check_non_zero_sender() -> Weight {
        Weight::zero()
    }

    fn check_nonce() -> Weight {
        Weight::zero()
    }

    fn check_spec_version() -> Weight {
        Weight::zero()
    }

    fn check_tx_version() -> Weight {
        Weight::zero()
    }

    fn check_weight() -> Weight {
        Weight::zero()
    }

    fn weight_reclaim() -> Weight {
        Weight::zero()
    }
}

impl pallet_transaction_payment::WeightInfo for Extensions {
    fn charge_transaction_payment() -> Weight {
        Weight::zero()
    }
}
