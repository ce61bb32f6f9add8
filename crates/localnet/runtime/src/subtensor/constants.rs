//! Constants of the Subtensor pallet.

use frame_support::PalletId;
use frame_support::pallet_macros::pallet_section;

/// Pallet id from which the accounts of subnets are derived.
pub const PALLET_ID: PalletId = PalletId(*b"subtensr");
/// Number of blocks between payments of a lease's dividends.
pub const LEASE_DIVIDENDS_INTERVAL: u32 = 100;

/// Constants with the names of the real chain; the defaults equal those of the storage items.
#[pallet_section]
mod constants {
    #[pallet::extra_constants]
    impl<T: Config> Pallet<T> {
        /// TAO issued before the first block, in rao.
        #[pallet::constant_name(InitialIssuance)]
        fn initial_issuance() -> TaoBalance {
            TaoBalance::ZERO
        }

        /// Default minimum number of weights that a validator must set.
        #[pallet::constant_name(InitialMinAllowedWeights)]
        fn initial_min_allowed_weights() -> u16 {
            1024
        }

        /// Default tempo, in blocks.
        #[pallet::constant_name(InitialTempo)]
        fn initial_tempo() -> u16 {
            10
        }

        /// Default proof-of-work difficulty.
        #[pallet::constant_name(InitialDifficulty)]
        fn initial_difficulty() -> u64 {
            10_000_000
        }

        /// Default maximum proof-of-work difficulty.
        #[pallet::constant_name(InitialMaxDifficulty)]
        fn initial_max_difficulty() -> u64 {
            4_611_686_018_427_387_903
        }

        /// Default minimum proof-of-work difficulty.
        #[pallet::constant_name(InitialMinDifficulty)]
        fn initial_min_difficulty() -> u64 {
            10_000_000
        }

        /// Initial total TAO paid for registrations on a subnet, in rao.
        #[pallet::constant_name(InitialRAORecycledForRegistration)]
        fn initial_rao_recycled_for_registration() -> TaoBalance {
            TaoBalance::ZERO
        }

        /// Default registration price, in rao.
        #[pallet::constant_name(InitialBurn)]
        fn initial_burn() -> TaoBalance {
            TaoBalance(100_000_000)
        }

        /// Default maximum registration price, in rao.
        #[pallet::constant_name(InitialMaxBurn)]
        fn initial_max_burn() -> TaoBalance {
            TaoBalance(100_000_000_000)
        }

        /// Default minimum registration price, in rao.
        #[pallet::constant_name(InitialMinBurn)]
        fn initial_min_burn() -> TaoBalance {
            TaoBalance(500_000)
        }

        /// Minimum value of a purchase or a partial sale of stake, in rao.
        #[pallet::constant_name(InitialMinStake)]
        fn initial_min_stake() -> TaoBalance {
            TaoBalance(2_000_000)
        }

        /// Exclusive upper bound of the minimum registration price, in rao.
        #[pallet::constant_name(MinBurnUpperBound)]
        fn min_burn_upper_bound() -> TaoBalance {
            TaoBalance(1_000_000_000)
        }

        /// Exclusive lower bound of the maximum registration price, in rao.
        #[pallet::constant_name(MaxBurnLowerBound)]
        fn max_burn_lower_bound() -> TaoBalance {
            TaoBalance(100_000_000)
        }

        /// Minimum tempo that an owner may set, in blocks.
        #[pallet::constant_name(MinTempo)]
        fn min_tempo() -> u16 {
            360
        }

        /// Maximum tempo that an owner may set, in blocks.
        #[pallet::constant_name(MaxTempo)]
        fn max_tempo() -> u16 {
            50_400
        }

        /// Minimum activity cutoff factor, in thousandths of an epoch.
        #[pallet::constant_name(MinActivityCutoffFactorMilli)]
        fn min_activity_cutoff_factor_milli() -> u32 {
            1000
        }

        /// Maximum activity cutoff factor, in thousandths of an epoch.
        #[pallet::constant_name(MaxActivityCutoffFactorMilli)]
        fn max_activity_cutoff_factor_milli() -> u32 {
            50_000
        }

        /// Default interval between registration adjustments, in blocks; unused, stored for
        /// clients.
        #[pallet::constant_name(InitialAdjustmentInterval)]
        fn initial_adjustment_interval() -> u16 {
            100
        }

        /// Default weight of old bonds in their moving average, in parts of 1 000 000.
        #[pallet::constant_name(InitialBondsMovingAverage)]
        fn initial_bonds_moving_average() -> u64 {
            900_000
        }

        /// Default bonds penalty, in parts of 65 535.
        #[pallet::constant_name(InitialBondsPenalty)]
        fn initial_bonds_penalty() -> u16 {
            65_535
        }

        /// Whether bond resets are enabled by default.
        #[pallet::constant_name(InitialBondsResetOn)]
        fn initial_bonds_reset_on() -> bool {
            false
        }

        /// Default target number of registrations per interval.
        #[pallet::constant_name(InitialTargetRegistrationsPerInterval)]
        fn initial_target_registrations_per_interval() -> u16 {
            2
        }

        /// Default rho, the steepness of an older consensus formula; unused, stored for clients.
        #[pallet::constant_name(InitialRho)]
        fn initial_rho() -> u16 {
            10
        }

        /// Default steepness of liquid alpha's curve, in hundredths.
        #[pallet::constant_name(InitialAlphaSigmoidSteepness)]
        fn initial_alpha_sigmoid_steepness() -> i16 {
            1000
        }

        /// Default kappa: the share of stake that must support a weight, in parts of 65 535.
        #[pallet::constant_name(InitialKappa)]
        fn initial_kappa() -> u16 {
            32_767
        }

        /// Default lower limit for the maximum number of neurons.
        #[pallet::constant_name(InitialMinAllowedUids)]
        fn initial_min_allowed_uids() -> u16 {
            64
        }

        /// Default maximum number of neurons.
        #[pallet::constant_name(InitialMaxAllowedUids)]
        fn initial_max_allowed_uids() -> u16 {
            256
        }

        /// Default scaling law power; unused, stored for clients.
        #[pallet::constant_name(InitialScalingLawPower)]
        fn initial_scaling_law_power() -> u16 {
            50
        }

        /// Default immunity period of new neurons, in blocks.
        #[pallet::constant_name(InitialImmunityPeriod)]
        fn initial_immunity_period() -> u16 {
            4096
        }

        /// Default maximum number of registrations per block.
        #[pallet::constant_name(InitialMaxRegistrationsPerBlock)]
        fn initial_max_registrations_per_block() -> u16 {
            1
        }

        /// Pruning score of every neuron: constant, because the chain no longer computes it.
        #[pallet::constant_name(InitialPruningScore)]
        fn initial_pruning_score() -> u16 {
            65_535
        }

        /// Default maximum number of validator permits.
        #[pallet::constant_name(InitialMaxAllowedValidators)]
        fn initial_max_allowed_validators() -> u16 {
            128
        }

        /// Default delegate take, in parts of 65 535.
        #[pallet::constant_name(InitialDefaultDelegateTake)]
        fn initial_default_delegate_take() -> u16 {
            11_796
        }

        /// Minimum delegate take, in parts of 65 535.
        #[pallet::constant_name(InitialMinDelegateTake)]
        fn initial_min_delegate_take() -> u16 {
            0
        }

        /// Default child key take, in parts of 65 535.
        #[pallet::constant_name(InitialDefaultChildKeyTake)]
        fn initial_default_child_key_take() -> u16 {
            0
        }

        /// Default minimum child key take, in parts of 65 535.
        #[pallet::constant_name(InitialMinChildKeyTake)]
        fn initial_min_child_key_take() -> u16 {
            0
        }

        /// Default maximum child key take, in parts of 65 535.
        #[pallet::constant_name(InitialMaxChildKeyTake)]
        fn initial_max_child_key_take() -> u16 {
            11_796
        }

        /// Default minimum interval between increases of a child key take, in blocks.
        #[pallet::constant_name(InitialTxChildKeyTakeRateLimit)]
        fn initial_tx_child_key_take_rate_limit() -> u64 {
            5
        }

        /// Cost of a swap of a coldkey, or of a hotkey on all subnets, in rao.
        #[pallet::constant_name(KeySwapCost)]
        fn key_swap_cost() -> TaoBalance {
            super::swaps::SWAP_COST
        }

        /// Cost of a swap of a hotkey on one subnet, in rao.
        #[pallet::constant_name(KeySwapOnSubnetCost)]
        fn key_swap_on_subnet_cost() -> TaoBalance {
            super::swaps::SUBNET_SWAP_COST
        }

        /// Minimum interval between swaps of a coldkey's hotkeys on a subnet, in blocks.
        #[pallet::constant_name(HotkeySwapOnSubnetInterval)]
        fn hotkey_swap_on_subnet_interval() -> u64 {
            super::swaps::MIN_HOTKEY_SWAP_INTERVAL
        }

        /// Default delay between announcement and coldkey swap, in blocks.
        #[pallet::constant_name(InitialColdkeySwapAnnouncementDelay)]
        fn initial_coldkey_swap_announcement_delay() -> u32 {
            50
        }

        /// Default delay before a coldkey swap can be announced again, in blocks.
        #[pallet::constant_name(InitialColdkeySwapReannouncementDelay)]
        fn initial_coldkey_swap_reannouncement_delay() -> u32 {
            10
        }

        /// Default delay of the dissolution of a subnet, in blocks; unused, stored for clients.
        #[pallet::constant_name(InitialDissolveNetworkScheduleDuration)]
        fn initial_dissolve_network_schedule_duration() -> u32 {
            36_000
        }

        /// Default minimum version key of a weight submission.
        #[pallet::constant_name(InitialWeightsVersionKey)]
        fn initial_weights_version_key() -> u64 {
            0
        }

        /// Default minimum interval between a neuron's endpoint announcements, in blocks.
        #[pallet::constant_name(InitialServingRateLimit)]
        fn initial_serving_rate_limit() -> u64 {
            50
        }

        /// Default minimum interval between a coldkey's swaps of hotkeys, in blocks.
        #[pallet::constant_name(InitialTxRateLimit)]
        fn initial_tx_rate_limit() -> u64 {
            1000
        }

        /// Default minimum interval between increases of a hotkey's take, in blocks.
        #[pallet::constant_name(InitialTxDelegateTakeRateLimit)]
        fn initial_tx_delegate_take_rate_limit() -> u64 {
            216_000
        }

        /// Default smoothing factor of registration adjustments; unused, stored for clients.
        #[pallet::constant_name(InitialAdjustmentAlpha)]
        fn initial_adjustment_alpha() -> u64 {
            0
        }

        /// Default immunity period of new subnets, in blocks.
        #[pallet::constant_name(InitialNetworkImmunityPeriod)]
        fn initial_network_immunity_period() -> u64 {
            1_296_000
        }

        /// Default minimum cost of creating a subnet, in rao.
        #[pallet::constant_name(InitialNetworkMinLockCost)]
        fn initial_network_min_lock_cost() -> TaoBalance {
            TaoBalance(1_000_000_000_000)
        }

        /// Default owner's cut of a subnet's emission, in parts of 65 535.
        #[pallet::constant_name(InitialSubnetOwnerCut)]
        fn initial_subnet_owner_cut() -> u16 {
            11_796
        }

        /// Default interval over which the cost of creating a subnet falls, in blocks.
        #[pallet::constant_name(InitialNetworkLockReductionInterval)]
        fn initial_network_lock_reduction_interval() -> u64 {
            100_800
        }

        /// Default minimum interval between creations of subnets, in blocks.
        #[pallet::constant_name(InitialNetworkRateLimit)]
        fn initial_network_rate_limit() -> u64 {
            7200
        }

        /// Default upper bound of liquid alpha, in parts of 65 535.
        #[pallet::constant_name(AlphaHigh)]
        fn alpha_high() -> u16 {
            58_982
        }

        /// Default lower bound of liquid alpha, in parts of 65 535.
        #[pallet::constant_name(AlphaLow)]
        fn alpha_low() -> u16 {
            45_875
        }

        /// Whether liquid alpha is enabled by default.
        #[pallet::constant_name(LiquidAlphaOn)]
        fn liquid_alpha_on() -> bool {
            false
        }

        /// Whether Yuma 3 is enabled by default.
        #[pallet::constant_name(Yuma3On)]
        fn yuma3_on() -> bool {
            false
        }

        /// Default weight of a TAO on root relative to one alpha, in parts of 2⁶⁴.
        #[pallet::constant_name(InitialTaoWeight)]
        fn initial_tao_weight() -> u64 {
            971_718_665_099_567_868
        }

        /// Default halving period of a subnet's moving price, in blocks.
        #[pallet::constant_name(InitialEmaPriceHalvingPeriod)]
        fn initial_ema_price_halving_period() -> u64 {
            201_600
        }

        /// Default delay before an owner can start a subnet, in blocks.
        #[pallet::constant_name(InitialStartCallDelay)]
        fn initial_start_call_delay() -> u64 {
            0
        }

        /// Exclusive upper bound of the share of immune neurons after a subnet is trimmed.
        #[pallet::constant_name(MaxImmuneUidsPercentage)]
        fn max_immune_uids_percentage() -> sp_runtime::Percent {
            sp_runtime::Percent::from_percent(80)
        }

        /// Pallet id from which the accounts of subnets are derived.
        #[pallet::constant_name(SubtensorPalletId)]
        fn subtensor_pallet_id() -> frame_support::PalletId {
            super::PALLET_ID
        }

        /// Number of blocks between payments of a lease's dividends.
        #[pallet::constant_name(LeaseDividendsDistributionInterval)]
        fn lease_dividends_distribution_interval() -> u32 {
            super::LEASE_DIVIDENDS_INTERVAL
        }

        /// Default maximum number of epochs per block.
        #[pallet::constant_name(InitialMaxEpochsPerBlock)]
        fn initial_max_epochs_per_block() -> u8 {
            32
        }

        /// Maximum number of epochs per block: the value of the storage item with this name.
        /// Without state, the default.
        #[pallet::constant_name(MaxEpochsPerBlock)]
        fn max_epochs_per_block() -> u8 {
            let key = MaxEpochsPerBlock::<T>::hashed_key();
            let stored =
                sp_externalities::with_externalities(|state| state.storage(&key)).flatten();
            stored.and_then(|bytes| u8::decode(&mut bytes.as_slice()).ok()).unwrap_or(32)
        }
    }
}
