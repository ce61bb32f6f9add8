//! Fees: 1 rao per byte and 0.0005 rao per picosecond of weight, paid to the author of the block.

mod alpha;

use frame_support::traits::fungible::{Balanced, Credit};
use frame_support::traits::tokens::imbalance::OnUnbalanced;
use frame_support::traits::{Get, Imbalance};
use frame_support::weights::{Weight, WeightToFee};
use sp_consensus_aura::sr25519::AuthorityId;

use crate::runtime::{AccountId, Balances, Runtime};
use crate::subtensor::TotalIssuance;
use crate::types::TaoBalance;

pub use alpha::ChargeInTaoOrAlpha;

/// Conversion of weight to a fee: 0.0005 rao per picosecond of execution time.
pub struct LinearWeightToFee;

impl WeightToFee for LinearWeightToFee {
    type Balance = u64;

    fn weight_to_fee(weight: &Weight) -> u64 {
        weight.ref_time() / 2_000
    }
}

/// Provider of the single block author's key.
pub struct AuthorKey;

impl Get<Option<AuthorityId>> for AuthorKey {
    fn get() -> Option<AuthorityId> {
        pallet_aura::Authorities::<Runtime>::get().first().cloned()
    }
}

/// Provider of the single block author's account.
pub struct AuthorAccount;

impl Get<Option<AccountId>> for AuthorAccount {
    fn get() -> Option<AccountId> {
        AuthorKey::get().map(|author| AccountId::new(sp_core::sr25519::Public::from(author).0))
    }
}

/// Payment of fees to the block author.
pub struct ToAuthor;

impl OnUnbalanced<Credit<AccountId, Balances>> for ToAuthor {
    fn on_nonzero_unbalanced(fees: Credit<AccountId, Balances>) {
        let uncredited = match AuthorAccount::get() {
            Some(author) => <Balances as Balanced<AccountId>>::resolve(&author, fees).err(),
            None => Some(fees),
        };
        if let Some(fees) = uncredited {
            UncreditedTao::on_nonzero_unbalanced(fees);
        }
    }
}

/// Handler for TAO that no account receives: subtracts it from the total issuance.
pub struct UncreditedTao;

impl OnUnbalanced<Credit<AccountId, Balances>> for UncreditedTao {
    fn on_nonzero_unbalanced(tao: Credit<AccountId, Balances>) {
        TotalIssuance::<Runtime>::mutate(|total| {
            *total = total.saturating_sub(TaoBalance(tao.peek()));
        });
    }
}
