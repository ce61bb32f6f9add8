//! Emission per block: TAO and alpha for the pools, and alpha for the participants of each subnet.

use sp_core::U256;
use substrate_fixed::types::{U64F64, U96F32};

use super::{
    Config, FirstEmissionBlockNumber, NetworkRegistrationAllowed, OwnerCutEnabled, Pallet,
    PendingOwnerCut, PendingRootAlphaDivs, PendingServerEmission, PendingValidatorEmission,
    SubnetAlphaIn, SubnetAlphaInEmission, SubnetAlphaOut, SubnetAlphaOutEmission, SubnetExcessTao,
    SubnetOwnerCut, SubnetTaoInEmission, SubtokenEnabled, TotalIssuance,
};
use crate::alpha_assets;
use crate::swap::{self, Balancer, UNIT};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

mod gate;

/// Maximum supply of TAO, and of a subnet's alpha, in rao.
const MAX_SUPPLY: u64 = 21_000_000 * UNIT;

/// Returns the block emission of TAO, or of a subnet's alpha, at the given issuance: one unit,
/// halved each time half of the remaining supply is issued.
pub(super) fn block_emission(issuance: u64) -> u64 {
    let remaining_supply = MAX_SUPPLY.saturating_sub(issuance);
    let halvings = MAX_SUPPLY.checked_div(remaining_supply).and_then(u64::checked_ilog2);
    halvings.map_or(0, |halvings| UNIT >> halvings)
}

/// Split of a block's alpha emission to the participants of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EmissionSplit {
    owner: AlphaBalance,
    server: AlphaBalance,
    validator: AlphaBalance,
    root: AlphaBalance,
}

impl EmissionSplit {
    /// Splits `alpha`: the owner receives `owner_cut` parts of 65 535. Of the remainder, miners
    /// and validators receive half each, and root stake receives its proportion of the validators'
    /// half.
    fn new(alpha: u64, owner_cut: u16, root_proportion: U64F64) -> Self {
        let owner = (u128::from(alpha) * u128::from(owner_cut) / u128::from(u16::MAX)) as u64;
        let remaining = alpha.saturating_sub(owner);
        let server = remaining / 2;
        let validators = remaining.saturating_sub(server);
        let root = mul_floor(validators, root_proportion);
        Self {
            owner: AlphaBalance(owner),
            server: AlphaBalance(server),
            validator: AlphaBalance(validators.saturating_sub(root)),
            root: AlphaBalance(root),
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Issues this block's emission. `emission` rao go into the pools of the subnets with emission
    /// enabled; every emitting subnet issues its own alpha to its participants.
    pub(super) fn issue_block_emission(subnets: &[NetUid], emission: u64) {
        let (emitting, idle): (Vec<NetUid>, Vec<NetUid>) =
            subnets.iter().partition(|netuid| Self::has_emission(**netuid));
        for netuid in
            idle.into_iter().filter(|netuid| SubnetAlphaOutEmission::<T>::contains_key(netuid))
        {
            SubnetTaoInEmission::<T>::remove(netuid);
            SubnetAlphaInEmission::<T>::remove(netuid);
            SubnetAlphaOutEmission::<T>::remove(netuid);
            SubnetExcessTao::<T>::remove(netuid);
        }
        let prices = emitting.iter().map(|netuid| Self::moving_alpha_price(*netuid));
        let root_is_paid = prices.fold(U64F64::default(), U64F64::saturating_add) > 1;
        let shares = Self::emission_shares(&emitting);
        for (netuid, share) in emitting.into_iter().zip(shares) {
            let tao = U96F32::saturating_from_num(U64F64::from_num(emission).saturating_mul(share));
            let alpha = block_emission(Self::alpha_issuance(netuid).0);
            let root_proportion = Self::root_proportion(netuid);
            let max_alpha = U96F32::saturating_from_num(root_proportion)
                .saturating_mul(U96F32::from_num(alpha));
            Self::inject_tao(netuid, tao, max_alpha);
            Self::accumulate_pending_emission(netuid, alpha, root_proportion, root_is_paid);
        }
    }

    /// Returns the issued alpha of a subnet, inside and outside the pool.
    pub fn alpha_issuance(netuid: NetUid) -> AlphaBalance {
        SubnetAlphaIn::<T>::get(netuid).saturating_add(SubnetAlphaOut::<T>::get(netuid))
    }

    /// Whether a subnet emits alpha to its participants: it is started and registration is enabled.
    fn has_emission(netuid: NetUid) -> bool {
        FirstEmissionBlockNumber::<T>::contains_key(netuid)
            && SubtokenEnabled::<T>::get(netuid)
            && NetworkRegistrationAllowed::<T>::get(netuid)
    }

    /// Adds TAO to a pool with the amount of alpha that keeps the price unchanged. If that amount
    /// exceeds `max_alpha`, the remaining TAO buys alpha for the protocol.
    ///
    /// As in the published source (`inject_and_maybe_swap`, opentensor/subtensor 14bc6f9f), the
    /// pool's weights are adjusted before the purchase and its reserves after it, a pool whose
    /// weights would leave their bounds receives nothing, and TAO of a purchase that the pool
    /// refuses is issued without entering it.
    fn inject_tao(netuid: NetUid, tao: U96F32, max_alpha: U96F32) {
        let price = U96F32::saturating_from_num(Self::alpha_price(netuid));
        let alpha_at_price = tao.checked_div(price).unwrap_or_default();
        let (tao_in, alpha_in) = if alpha_at_price > max_alpha {
            (max_alpha.saturating_mul(price), max_alpha)
        } else {
            (tao, alpha_at_price)
        };
        let excess = TaoBalance(tao.saturating_sub(tao_in).saturating_to_num());
        let (tao_in, alpha_in) =
            (TaoBalance(tao_in.saturating_to_num()), AlphaBalance(alpha_in.saturating_to_num()));
        let (tao_in, alpha_in) = Self::adjust_weights(netuid, tao_in, alpha_in).unwrap_or_default();
        let spent = if excess == TaoBalance::ZERO {
            excess
        } else {
            Self::buy_for_protocol(netuid, excess)
        };
        SubnetTaoInEmission::<T>::insert(netuid, tao_in);
        SubnetAlphaInEmission::<T>::insert(netuid, alpha_in);
        SubnetExcessTao::<T>::insert(netuid, spent);
        if tao == 0 {
            return;
        }
        if alpha_in != AlphaBalance::ZERO {
            SubnetAlphaIn::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_add(alpha_in));
            alpha_assets::Pallet::<T>::issue(netuid, alpha_in);
        }
        if tao_in != TaoBalance::ZERO {
            Self::increase_pool_tao(netuid, tao_in);
        }
        let total_in = tao_in.saturating_add(spent);
        if total_in != TaoBalance::ZERO {
            Self::record_protocol_inflow(netuid, total_in);
        }
        TotalIssuance::<T>::mutate(|total| {
            *total = total.saturating_add(tao_in).saturating_add(excess);
        });
    }

    /// Sets the weights with which adding these amounts keeps the pool's price, and returns the
    /// amounts; `None` if a weight would be out of bounds.
    fn adjust_weights(
        netuid: NetUid,
        tao: TaoBalance,
        alpha: AlphaBalance,
    ) -> Option<(TaoBalance, AlphaBalance)> {
        // Without new reserves, the real chain computes the same weights again, with a rounding of
        // 10⁻¹⁸.
        if Self::has_pool(netuid) && (tao, alpha) != (TaoBalance::ZERO, AlphaBalance::ZERO) {
            let quote = Self::pool_of(netuid).weight_after_adding(tao, alpha)?;
            swap::SwapBalancer::<T>::insert(netuid, Balancer { quote });
        }
        Some((tao, alpha))
    }

    /// Adds a block's alpha to the pending emission. While root receives no dividends, root's part
    /// is not issued.
    fn accumulate_pending_emission(
        netuid: NetUid,
        alpha: u64,
        root_proportion: U64F64,
        root_is_paid: bool,
    ) {
        let owner_cut =
            if OwnerCutEnabled::<T>::get(netuid) { SubnetOwnerCut::<T>::get() } else { 0 };
        let EmissionSplit { owner, server, validator, root } =
            EmissionSplit::new(alpha, owner_cut, root_proportion);
        SubnetAlphaOutEmission::<T>::insert(netuid, AlphaBalance(alpha));
        let issued = if root_is_paid {
            AlphaBalance(alpha)
        } else {
            AlphaBalance(alpha).saturating_sub(root)
        };
        SubnetAlphaOut::<T>::mutate(netuid, |alpha_out| {
            *alpha_out = alpha_out.saturating_add(issued);
        });
        alpha_assets::Pallet::<T>::issue(netuid, issued);
        PendingOwnerCut::<T>::mutate(netuid, |pending| *pending = pending.saturating_add(owner));
        PendingServerEmission::<T>::mutate(netuid, |pending| {
            *pending = pending.saturating_add(server);
        });
        PendingValidatorEmission::<T>::mutate(netuid, |pending| {
            *pending = pending.saturating_add(validator);
        });
        if root_is_paid {
            PendingRootAlphaDivs::<T>::mutate(netuid, |pending| {
                *pending = pending.saturating_add(root);
            });
        }
    }
}

/// Returns ⌊`amount` · `factor`⌋, saturating.
fn mul_floor(amount: u64, factor: U64F64) -> u64 {
    let product = (U256::from(amount) * U256::from(factor.to_bits())) >> 64;
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
