//! Dissolution of subnets: selection of the subnet, and its removal.

#![allow(clippy::wildcard_imports, reason = "a dissolution removes entries of all storage items")]

use std::collections::BTreeSet;

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;
use sp_runtime::AccountId32;

use crate::subtensor::*;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Removes a key from several storage maps.
macro_rules! remove {
    ($key:expr; $($map:ident)*) => {
        $($map::<T>::remove($key);)*
    };
}

/// Removes all entries under a first key from several storage double maps.
macro_rules! clear {
    ($key:expr; $($map:ident)*) => {
        $(let _ = $map::<T>::clear_prefix($key, u32::MAX, None);)*
    };
}

impl<T: Config> Pallet<T> {
    /// Returns the subnet to dissolve for a new one when the subnet limit is reached: the subnet
    /// with the lowest moving price; on a tie, the oldest. Returns `None` while all subnets are
    /// immune.
    pub fn network_to_dissolve() -> Option<NetUid> {
        let immunity = NetworkImmunityPeriod::<T>::get();
        Self::all_netuids()
            .into_iter()
            .filter(|netuid| *netuid != NetUid::ROOT)
            .map(|netuid| {
                (SubnetMovingPrice::<T>::get(netuid), NetworkRegisteredAt::<T>::get(netuid), netuid)
            })
            .filter(|(_, registered_at, _)| {
                Self::current_block() >= registered_at.saturating_add(immunity)
            })
            .min()
            .map(|(_, _, netuid)| netuid)
    }

    /// Dissolves a subnet on behalf of root.
    ///
    /// # Errors
    /// `SubnetNotExists`, also for root.
    pub(crate) fn do_dissolve_network(netuid: NetUid) -> DispatchResult {
        ensure!(netuid != NetUid::ROOT && Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        Self::remove_subnet(netuid);
        Ok(())
    }

    /// Dissolves a subnet: its pool's TAO is paid to the stakers in proportion to their stake, and
    /// all its storage is removed.
    pub(super) fn remove_subnet(netuid: NetUid) {
        Self::distribute_pool(netuid);
        let destinations = AutoStakeDestinationColdkeys::<T>::iter_keys()
            .filter(|(_, key_netuid)| *key_netuid == netuid);
        for (hotkey, _) in destinations.collect::<Vec<_>>() {
            for coldkey in AutoStakeDestinationColdkeys::<T>::take(&hotkey, netuid) {
                AutoStakeDestination::<T>::remove(coldkey, netuid);
            }
        }
        Self::remove_relations(netuid);
        Self::remove_voting_power(netuid);
        Self::remove_locks(netuid);
        OwnerCutAutoLockEnabled::<T>::remove(netuid);
        Self::remove_collateral(netuid);
        Self::remove_lease(netuid);
        VotingPowerEmaAlpha::<T>::remove(netuid);
        for (_, hotkey) in Keys::<T>::iter_prefix(netuid) {
            IsNetworkMember::<T>::remove(hotkey, netuid);
        }
        for index in Self::mechanisms(netuid) {
            remove!(index; LastUpdate Incentive ConsensusByMechanism);
            clear!(index; Weights Bonds WeightCommits TimelockedWeightCommits);
        }
        clear!(netuid; AssociatedEvmAddress AssociatedUidsByEvmAddress LastHotkeySwapOnNetuid HotkeySuccessor
            HotkeyRoot Uids Keys BlockAtRegistration Axons NeuronCertificates Prometheus AlphaDividendsPerSubnet
            RootAlphaDividendsPerSubnet);
        // All storage of a subnet, in the order of declaration.
        remove!(netuid; SubnetTAO SubnetAlphaIn SubnetAlphaOut SubnetVolume SubnetMovingPrice EMAPriceHalvingBlocks
            SubnetAlphaInEmission SubnetAlphaOutEmission SubnetTaoInEmission SubnetExcessTao SubnetTaoFlow
            SubnetEmaTaoFlow SubnetProtocolFlow SubnetEmaProtocolFlow SubnetEmissionEnabled RootProp NetworksAdded
            NetworkRegisteredAt OwnerCutEnabled SubnetLocked SubnetOwner SubnetOwnerHotkey SubnetMechanism
            SubtokenEnabled FirstEmissionBlockNumber TokenSymbol SubnetIdentitiesV3 RecycleOrBurn Tempo LastEpochBlock
            PendingEpochAt SubnetEpochIndex BlocksSinceLastStep LastMechansimStepBlock Rho Kappa ActivityCutoff
            ActivityCutoffFactorMilli ImmunityPeriod MinAllowedUids MaxAllowedUids MaxAllowedValidators
            MinAllowedWeights MaxWeightsLimit WeightsVersionKey WeightsSetRateLimit BondsMovingAverage BondsPenalty
            BondsResetOn LiquidAlphaOn AlphaValues AlphaSigmoidSteepness LiquidAlphaConsensusMode Yuma3On
            ServingRateLimit AdjustmentInterval AdjustmentAlpha TargetRegistrationsPerInterval MaxRegistrationsPerBlock
            NetworkRegistrationAllowed NetworkPowRegistrationAllowed TransferToggle ImmuneOwnerUidsLimit
            MinNonImmuneUids MinChildkeyTakePerSubnet ScalingLawPower MechanismCountCurrent MechanismEmissionSplit
            CommitRevealWeightsEnabled RevealPeriodEpochs Burn MinBurn MaxBurn BurnHalfLife BurnIncreaseMult
            SubnetProtocolAlpha TotalAlphaStaked CollateralLockShare CollateralDrainRatio SubnetEpochConsensus
            Difficulty MinDifficulty MaxDifficulty RegistrationsThisBlock RegistrationsThisInterval
            BurnRegistrationsThisInterval POWRegistrationsThisInterval LastAdjustmentBlock RAORecycledForRegistration
            SubnetworkN Active ValidatorPermit ValidatorTrust StakeWeight Consensus Dividends Emission
            PendingServerEmission PendingValidatorEmission PendingRootAlphaDivs PendingOwnerCut MinerBurned);
        Self::remove_rate_limits(netuid);
        T::Commitments::purge(netuid);
        Self::make_dormant(netuid);
        TotalNetworks::<T>::mutate(|count| *count = count.saturating_sub(1));
        Self::deposit_event(Event::NetworkRemoved(netuid));
    }

    /// Removes all stakes on a subnet and pays out the TAO of its pool.
    fn distribute_pool(netuid: NetUid) {
        let stakes: Vec<(AccountId32, AccountId32, AlphaBalance)> = AlphaV2::<T>::iter_keys()
            .filter(|(_, _, key_netuid)| *key_netuid == netuid)
            .map(|(hotkey, coldkey, _)| {
                let stake = Self::stake_of(&hotkey, &coldkey, netuid);
                (hotkey, coldkey, stake)
            })
            .collect();
        let pool_tao = SubnetTAO::<T>::get(netuid);
        let total_stake: u128 = stakes.iter().map(|(_, _, stake)| u128::from(stake.0)).sum();
        let mut remaining = pool_tao;
        let mut hotkeys = BTreeSet::new();
        for (hotkey, coldkey, stake) in stakes {
            let payout = u128::from(pool_tao.0)
                .saturating_mul(u128::from(stake.0))
                .checked_div(total_stake)
                .unwrap_or_default();
            let payout = TaoBalance(u64::try_from(payout).unwrap_or(pool_tao.0));
            remaining = remaining.saturating_sub(payout);
            Self::credit(&coldkey, payout.0);
            Self::decrease_stake(&hotkey, &coldkey, netuid, stake);
            TotalHotkeyAlphaLastEpoch::<T>::remove(&hotkey, netuid);
            hotkeys.insert(hotkey);
        }
        // What remains are the fractions by which stakes were rounded down.
        for hotkey in hotkeys {
            TotalHotkeyAlpha::<T>::remove(&hotkey, netuid);
            TotalHotkeySharesV2::<T>::remove(&hotkey, netuid);
        }
        // The remainder, or all TAO of a pool without stakers, is subtracted from the issuance.
        TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(remaining));
        TotalStake::<T>::mutate(|total| *total = total.saturating_sub(pool_tao));
        Self::remove_pool(netuid);
    }
}
