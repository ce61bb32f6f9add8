//! What clients read as constants.

use frame_support::PalletId;
use frame_support::pallet_macros::pallet_section;

/// From which the accounts of subnets are derived.
pub const PALLET_ID: PalletId = PalletId(*b"subtensr");

/// Constants under the names of the real chain; the defaults among them are those of the storage.
#[pallet_section]
mod constants {
    #[pallet::extra_constants]
    impl<T: Config> Pallet<T> {
        /// TAO issued before the first block.
        #[pallet::constant_name(InitialIssuance)]
        fn initial_issuance() -> TaoBalance {
            TaoBalance::ZERO
        }

        /// How many weights a validator sets at least, by default.
        #[pallet::constant_name(InitialMinAllowedWeights)]
        fn initial_min_allowed_weights() -> u16 {
            1024
        }

        /// Blocks of an epoch, by default.
        #[pallet::constant_name(InitialTempo)]
        fn initial_tempo() -> u16 {
            10
        }

        /// Difficulty of registration by work, by default.
        #[pallet::constant_name(InitialDifficulty)]
        fn initial_difficulty() -> u64 {
            10_000_000
        }

        /// The largest difficulty, by default.
        #[pallet::constant_name(InitialMaxDifficulty)]
        fn initial_max_difficulty() -> u64 {
            4_611_686_018_427_387_903
        }

        /// The least difficulty, by default.
        #[pallet::constant_name(InitialMinDifficulty)]
        fn initial_min_difficulty() -> u64 {
            10_000_000
        }

        /// TAO spent on registrations before the first.
        #[pallet::constant_name(InitialRAORecycledForRegistration)]
        fn initial_rao_recycled_for_registration() -> TaoBalance {
            TaoBalance::ZERO
        }

        /// What a registration costs, by default.
        #[pallet::constant_name(InitialBurn)]
        fn initial_burn() -> TaoBalance {
            TaoBalance(100_000_000)
        }

        /// The most that it costs, by default.
        #[pallet::constant_name(InitialMaxBurn)]
        fn initial_max_burn() -> TaoBalance {
            TaoBalance(100_000_000_000)
        }

        /// The least that it costs, by default.
        #[pallet::constant_name(InitialMinBurn)]
        fn initial_min_burn() -> TaoBalance {
            TaoBalance(500_000)
        }

        /// The least that can be staked.
        #[pallet::constant_name(InitialMinStake)]
        fn initial_min_stake() -> TaoBalance {
            TaoBalance(2_000_000)
        }

        /// The least price of a registration stays below this.
        #[pallet::constant_name(MinBurnUpperBound)]
        fn min_burn_upper_bound() -> TaoBalance {
            TaoBalance(1_000_000_000)
        }

        /// The largest price of a registration stays above this.
        #[pallet::constant_name(MaxBurnLowerBound)]
        fn max_burn_lower_bound() -> TaoBalance {
            TaoBalance(100_000_000)
        }

        /// The shortest epoch that an owner may choose.
        #[pallet::constant_name(MinTempo)]
        fn min_tempo() -> u16 {
            360
        }

        /// The longest epoch that an owner may choose.
        #[pallet::constant_name(MaxTempo)]
        fn max_tempo() -> u16 {
            50_400
        }

        /// The least activity cutoff, in thousandths of an epoch.
        #[pallet::constant_name(MinActivityCutoffFactorMilli)]
        fn min_activity_cutoff_factor_milli() -> u32 {
            1000
        }

        /// The largest activity cutoff, in thousandths of an epoch.
        #[pallet::constant_name(MaxActivityCutoffFactorMilli)]
        fn max_activity_cutoff_factor_milli() -> u32 {
            50_000
        }

        /// Stored for clients.
        #[pallet::constant_name(InitialAdjustmentInterval)]
        fn initial_adjustment_interval() -> u16 {
            100
        }

        /// Weight of old bonds, in parts of 1 000 000, by default.
        #[pallet::constant_name(InitialBondsMovingAverage)]
        fn initial_bonds_moving_average() -> u64 {
            900_000
        }

        /// How much bonds follow clipped weights, by default.
        #[pallet::constant_name(InitialBondsPenalty)]
        fn initial_bonds_penalty() -> u16 {
            65_535
        }

        /// Whether a miner may ask for its bonds to be forgotten, by default.
        #[pallet::constant_name(InitialBondsResetOn)]
        fn initial_bonds_reset_on() -> bool {
            false
        }

        /// Registrations wanted in an interval, by default.
        #[pallet::constant_name(InitialTargetRegistrationsPerInterval)]
        fn initial_target_registrations_per_interval() -> u16 {
            2
        }

        /// Stored for clients.
        #[pallet::constant_name(InitialRho)]
        fn initial_rho() -> u16 {
            10
        }

        /// Steepness of liquid alpha, in hundredths, by default.
        #[pallet::constant_name(InitialAlphaSigmoidSteepness)]
        fn initial_alpha_sigmoid_steepness() -> i16 {
            1000
        }

        /// Stake that agrees on a weight before it counts, by default.
        #[pallet::constant_name(InitialKappa)]
        fn initial_kappa() -> u16 {
            32_767
        }

        /// The least that the number of neurons may be limited to, by default.
        #[pallet::constant_name(InitialMinAllowedUids)]
        fn initial_min_allowed_uids() -> u16 {
            64
        }

        /// How many neurons a subnet has room for, by default.
        #[pallet::constant_name(InitialMaxAllowedUids)]
        fn initial_max_allowed_uids() -> u16 {
            256
        }

        /// Stored for clients.
        #[pallet::constant_name(InitialScalingLawPower)]
        fn initial_scaling_law_power() -> u16 {
            50
        }

        /// Blocks for which a new neuron cannot be replaced, by default.
        #[pallet::constant_name(InitialImmunityPeriod)]
        fn initial_immunity_period() -> u16 {
            4096
        }

        /// Registrations of a block, by default.
        #[pallet::constant_name(InitialMaxRegistrationsPerBlock)]
        fn initial_max_registrations_per_block() -> u16 {
            1
        }

        /// What clients read as every neuron's pruning score.
        #[pallet::constant_name(InitialPruningScore)]
        fn initial_pruning_score() -> u16 {
            65_535
        }

        /// How many neurons may hold a permit, by default.
        #[pallet::constant_name(InitialMaxAllowedValidators)]
        fn initial_max_allowed_validators() -> u16 {
            128
        }

        /// The take of a hotkey whose owner never set one.
        #[pallet::constant_name(InitialDefaultDelegateTake)]
        fn initial_default_delegate_take() -> u16 {
            11_796
        }

        /// The smallest take.
        #[pallet::constant_name(InitialMinDelegateTake)]
        fn initial_min_delegate_take() -> u16 {
            0
        }

        /// The version that a validator must state at least, by default.
        #[pallet::constant_name(InitialWeightsVersionKey)]
        fn initial_weights_version_key() -> u64 {
            0
        }

        /// Blocks between two announcements of an endpoint, by default.
        #[pallet::constant_name(InitialServingRateLimit)]
        fn initial_serving_rate_limit() -> u64 {
            50
        }

        /// Blocks between two stake moves of a coldkey, by default.
        #[pallet::constant_name(InitialTxRateLimit)]
        fn initial_tx_rate_limit() -> u64 {
            1000
        }

        /// Blocks between two raises of a take, by default.
        #[pallet::constant_name(InitialTxDelegateTakeRateLimit)]
        fn initial_tx_delegate_take_rate_limit() -> u64 {
            216_000
        }

        /// Stored for clients.
        #[pallet::constant_name(InitialAdjustmentAlpha)]
        fn initial_adjustment_alpha() -> u64 {
            0
        }

        /// Blocks for which a new subnet cannot be dissolved for another, by default.
        #[pallet::constant_name(InitialNetworkImmunityPeriod)]
        fn initial_network_immunity_period() -> u64 {
            1_296_000
        }

        /// The least that creating a subnet costs, by default.
        #[pallet::constant_name(InitialNetworkMinLockCost)]
        fn initial_network_min_lock_cost() -> TaoBalance {
            TaoBalance(1_000_000_000_000)
        }

        /// The owner's part of a subnet's emission, in parts of 65 535, by default.
        #[pallet::constant_name(InitialSubnetOwnerCut)]
        fn initial_subnet_owner_cut() -> u16 {
            11_796
        }

        /// Blocks over which the creation price falls back, by default.
        #[pallet::constant_name(InitialNetworkLockReductionInterval)]
        fn initial_network_lock_reduction_interval() -> u64 {
            100_800
        }

        /// Blocks between two creations of subnets, by default.
        #[pallet::constant_name(InitialNetworkRateLimit)]
        fn initial_network_rate_limit() -> u64 {
            7200
        }

        /// High bound of liquid alpha, in parts of 65 535, by default.
        #[pallet::constant_name(AlphaHigh)]
        fn alpha_high() -> u16 {
            58_982
        }

        /// Low bound of liquid alpha, by default.
        #[pallet::constant_name(AlphaLow)]
        fn alpha_low() -> u16 {
            45_875
        }

        /// Whether liquid alpha is on, by default.
        #[pallet::constant_name(LiquidAlphaOn)]
        fn liquid_alpha_on() -> bool {
            false
        }

        /// Whether bonds follow Yuma 3, by default.
        #[pallet::constant_name(Yuma3On)]
        fn yuma3_on() -> bool {
            false
        }

        /// How much a TAO on root weighs beside one alpha, in parts of 2^64, by default.
        #[pallet::constant_name(InitialTaoWeight)]
        fn initial_tao_weight() -> u64 {
            971_718_665_099_567_868
        }

        /// Blocks after which the moving price follows the price half as fast, by default.
        #[pallet::constant_name(InitialEmaPriceHalvingPeriod)]
        fn initial_ema_price_halving_period() -> u64 {
            201_600
        }

        /// Blocks that an owner waits before starting a subnet, by default.
        #[pallet::constant_name(InitialStartCallDelay)]
        fn initial_start_call_delay() -> u64 {
            0
        }

        /// How many of the neurons may be immune when slots are taken away.
        #[pallet::constant_name(MaxImmuneUidsPercentage)]
        fn max_immune_uids_percentage() -> sp_runtime::Percent {
            sp_runtime::Percent::from_percent(80)
        }

        /// From which the accounts of subnets are derived.
        #[pallet::constant_name(SubtensorPalletId)]
        fn subtensor_pallet_id() -> frame_support::PalletId {
            super::PALLET_ID
        }

        /// How many epochs a block may run, by default.
        #[pallet::constant_name(InitialMaxEpochsPerBlock)]
        fn initial_max_epochs_per_block() -> u8 {
            32
        }
    }
}
