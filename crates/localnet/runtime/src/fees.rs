//! What a call costs: one rao a byte, and 0.0005 rao for each unit of computing time; the author of the block earns it.

use frame_support::traits::Get;
use frame_support::traits::fungible::{Balanced, Credit};
use frame_support::traits::tokens::imbalance::OnUnbalanced;
use frame_support::weights::{Weight, WeightToFee};

use crate::runtime::{AccountId, Balances, Runtime};

/// 0.0005 rao for each picosecond.
pub struct ComputingTime;

impl WeightToFee for ComputingTime {
    type Balance = u64;

    fn weight_to_fee(weight: &Weight) -> u64 {
        weight.ref_time() / 2_000
    }
}

/// The one author of all blocks.
pub struct Author;

impl Get<Option<AccountId>> for Author {
    fn get() -> Option<AccountId> {
        let authorities = pallet_aura::Authorities::<Runtime>::get();
        authorities.first().map(|author| AccountId::new(sp_core::sr25519::Public::from(author.clone()).0))
    }
}

/// Gives fees to the author.
pub struct ToAuthor;

impl OnUnbalanced<Credit<AccountId, Balances>> for ToAuthor {
    fn on_nonzero_unbalanced(fees: Credit<AccountId, Balances>) {
        if let Some(author) = Author::get() {
            // An author without an account leaves the fee to nobody, as a burn.
            let _ = <Balances as Balanced<AccountId>>::resolve(&author, fees);
        }
    }
}

/// How fees are taken.
pub type Charge = pallet_transaction_payment::FungibleAdapter<Balances, ToAuthor>;
