//! Events of the Subtensor pallet.

use frame_support::pallet_macros::pallet_section;

/// Events with the names and indices of the real chain.
#[pallet_section]
mod events {
    /// Events of the pallet. Fields have the order of the real chain; for unnamed fields, the description gives it.
    #[pallet::event]
    #[pallet::generate_deposit(pub(crate) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A subnet was created, with its mechanism.
        #[codec(index = 0)]
        NetworkAdded(NetUid, u16),
        /// A subnet was dissolved.
        #[codec(index = 1)]
        NetworkRemoved(NetUid),
        /// Coldkey, hotkey, TAO spent, alpha received, subnet, fee.
        #[codec(index = 2)]
        StakeAdded(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// Coldkey, hotkey, TAO received, alpha sold, subnet, fee.
        #[codec(index = 3)]
        StakeRemoved(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// Stake moved: coldkey, origin hotkey and subnet, destination hotkey and subnet, value in TAO.
        #[codec(index = 4)]
        StakeMoved(T::AccountId, T::AccountId, NetUid, T::AccountId, NetUid, TaoBalance),
        /// Weights were set: mechanism index, uid.
        #[codec(index = 5)]
        WeightsSet(NetUidStorageIndex, u16),
        /// A neuron registered: subnet, uid, hotkey.
        #[codec(index = 7)]
        NeuronRegistered(NetUid, u16, T::AccountId),
        /// The maximum number of neurons changed.
        #[codec(index = 10)]
        MaxAllowedUidsSet(NetUid, u16),
        /// The difficulty changed.
        #[codec(index = 12)]
        DifficultySet(NetUid, u64),
        /// The interval of registration adjustments changed.
        #[codec(index = 13)]
        AdjustmentIntervalSet(NetUid, u16),
        /// The maximum number of validator permits changed.
        #[codec(index = 28)]
        MaxAllowedValidatorsSet(NetUid, u16),
        /// The target number of registrations per interval changed.
        #[codec(index = 14)]
        RegistrationPerIntervalSet(NetUid, u16),
        /// The maximum number of registrations per block changed.
        #[codec(index = 15)]
        MaxRegistrationsPerBlockSet(NetUid, u16),
        /// Alpha was bought and burned.
        #[codec(index = 125)]
        AddStakeBurn {
            /// The subnet.
            netuid: NetUid,
            /// The hotkey.
            hotkey: T::AccountId,
            /// TAO spent.
            amount: TaoBalance,
            /// Alpha burned.
            alpha: AlphaBalance,
        },
        /// The activity cutoff factor changed.
        #[codec(index = 135)]
        ActivityCutoffFactorMilliSet {
            /// The subnet.
            netuid: NetUid,
            /// The new factor, in thousandths of an epoch.
            factor_milli: u32,
        },
        /// Rho changed.
        #[codec(index = 17)]
        RhoSet(NetUid, u16),
        /// The steepness of liquid alpha changed.
        #[codec(index = 18)]
        AlphaSigmoidSteepnessSet(NetUid, i16),
        /// Kappa changed.
        #[codec(index = 19)]
        KappaSet(NetUid, u16),
        /// The minimum number of weights changed.
        #[codec(index = 20)]
        MinAllowedWeightSet(NetUid, u16),
        /// The rate limit of weights changed.
        #[codec(index = 23)]
        WeightsSetRateLimitSet(NetUid, u64),
        /// The immunity period changed.
        #[codec(index = 24)]
        ImmunityPeriodSet(NetUid, u16),
        /// The moving average of bonds changed.
        #[codec(index = 25)]
        BondsMovingAverageSet(NetUid, u64),
        /// The bonds penalty changed.
        #[codec(index = 26)]
        BondsPenaltySet(NetUid, u16),
        /// Bond resets were enabled or disabled.
        #[codec(index = 27)]
        BondsResetOnSet(NetUid, bool),
        /// An axon was announced.
        #[codec(index = 29)]
        AxonServed(NetUid, T::AccountId),
        /// A metrics endpoint was announced.
        #[codec(index = 30)]
        PrometheusServed(NetUid, T::AccountId),
        /// The minimum weights version key changed.
        #[codec(index = 33)]
        WeightsVersionKeySet(NetUid, u64),
        /// The minimum difficulty changed.
        #[codec(index = 34)]
        MinDifficultySet(NetUid, u64),
        /// The maximum difficulty changed.
        #[codec(index = 35)]
        MaxDifficultySet(NetUid, u64),
        /// The rate limit of endpoints changed.
        #[codec(index = 36)]
        ServingRateLimitSet(NetUid, u64),
        /// The maximum registration price changed.
        #[codec(index = 38)]
        MaxBurnSet(NetUid, TaoBalance),
        /// The minimum registration price changed.
        #[codec(index = 39)]
        MinBurnSet(NetUid, TaoBalance),
        /// The maximum number of epochs per block changed.
        #[codec(index = 40)]
        MaxEpochsPerBlockSet(u8),
        /// The rate limit of stake moves changed.
        #[codec(index = 41)]
        TxRateLimitSet(u64),
        /// The rate limit of take increases changed.
        #[codec(index = 42)]
        TxDelegateTakeRateLimitSet(u64),
        /// The owner's freeze window changed.
        #[codec(index = 44)]
        AdminFreezeWindowSet(u16),
        /// The owner's rate limit changed.
        #[codec(index = 45)]
        OwnerHyperparamRateLimitSet(u16),
        /// The minimum child key take changed.
        #[codec(index = 47)]
        MinChildKeyTakePerSubnetSet(NetUid, PerU16),
        /// The maximum delegate take changed.
        #[codec(index = 68)]
        MaxDelegateTakeSet(PerU16),
        /// The minimum delegate take changed.
        #[codec(index = 69)]
        MinDelegateTakeSet(PerU16),
        /// Registration was enabled or disabled.
        #[codec(index = 51)]
        RegistrationAllowed(NetUid, bool),
        /// The tempo changed.
        #[codec(index = 53)]
        TempoSet(NetUid, u16),
        /// The TAO recycled for registrations was set.
        #[codec(index = 54)]
        RAORecycledForRegistrationSet(NetUid, TaoBalance),
        /// The minimum stake to set weights changed.
        #[codec(index = 55)]
        StakeThresholdSet(u64),
        /// The smoothing factor of registration adjustments changed.
        #[codec(index = 56)]
        AdjustmentAlphaSet(NetUid, u64),
        /// The owner's cut changed.
        #[codec(index = 58)]
        SubnetOwnerCutSet(u16),
        /// The rate limit of subnet creation changed.
        #[codec(index = 59)]
        NetworkRateLimitSet(u64),
        /// The immunity period of subnets changed.
        #[codec(index = 60)]
        NetworkImmunityPeriodSet(u64),
        /// The start delay of subnets changed.
        #[codec(index = 61)]
        StartCallDelaySet(u64),
        /// The minimum lock cost of a subnet changed.
        #[codec(index = 62)]
        NetworkMinLockCostSet(TaoBalance),
        /// The maximum number of subnets changed.
        #[codec(index = 63)]
        SubnetLimitSet(u16),
        /// The reduction interval of the lock cost changed.
        #[codec(index = 64)]
        NetworkLockCostReductionIntervalSet(u64),
        /// Coldkey, hotkey, new take.
        #[codec(index = 65)]
        TakeDecreased(T::AccountId, T::AccountId, PerU16),
        /// Coldkey, hotkey, new take.
        #[codec(index = 66)]
        TakeIncreased(T::AccountId, T::AccountId, PerU16),
        /// A coldkey set its identity.
        #[codec(index = 78)]
        ChainIdentitySet(T::AccountId),
        /// A subnet's identity was set.
        #[codec(index = 79)]
        SubnetIdentitySet(NetUid),
        /// Hotkey, mechanism index, hash.
        #[codec(index = 86)]
        WeightsCommitted(T::AccountId, NetUidStorageIndex, H256),
        /// Hotkey, mechanism index, hash.
        #[codec(index = 87)]
        WeightsRevealed(T::AccountId, NetUidStorageIndex, H256),
        /// Alpha was recycled: coldkey, hotkey, amount, subnet.
        #[codec(index = 97)]
        AlphaRecycled(T::AccountId, T::AccountId, AlphaBalance, NetUid),
        /// Alpha was burned: coldkey, hotkey, amount, subnet.
        #[codec(index = 98)]
        AlphaBurned(T::AccountId, T::AccountId, AlphaBalance, NetUid),
        /// Hotkey, mechanism index, hash of the ciphertext, reveal round.
        #[codec(index = 108)]
        TimelockedWeightsCommitted(T::AccountId, NetUidStorageIndex, H256, u64),
        /// Stake was transferred: origin and destination coldkey, hotkey, origin and destination subnet, value in TAO.
        #[codec(index = 92)]
        StakeTransferred(T::AccountId, T::AccountId, T::AccountId, NetUid, NetUid, TaoBalance),
        /// Stake was swapped: coldkey, hotkey, origin and destination subnet, value in TAO.
        #[codec(index = 93)]
        StakeSwapped(T::AccountId, T::AccountId, NetUid, NetUid, TaoBalance),
        /// The reveal period changed.
        #[codec(index = 101)]
        CommitRevealPeriodsSet(NetUid, u64),
        /// Commit-reveal was enabled or disabled.
        #[codec(index = 102)]
        CommitRevealEnabled(NetUid, bool),
        /// The version of timelocked commits changed.
        #[codec(index = 107)]
        CommitRevealVersionSet(u16),
        /// Stake transfers were enabled or disabled.
        #[codec(index = 94)]
        TransferToggle(NetUid, bool),
        /// The owner's hotkey changed.
        #[codec(index = 95)]
        SubnetOwnerHotkeySet(NetUid, T::AccountId),
        /// A subnet was started.
        #[codec(index = 96)]
        FirstEmissionBlockNumberSet(NetUid, u64),
        /// A miner's emission was staked automatically.
        #[codec(index = 110)]
        AutoStakeAdded {
            /// The subnet.
            netuid: NetUid,
            /// The hotkey with the stake.
            destination: T::AccountId,
            /// The miner's hotkey.
            hotkey: T::AccountId,
            /// The coldkey.
            owner: T::AccountId,
            /// The amount.
            incentive: AlphaBalance,
        },
        /// Emission of a mechanism's miners.
        #[codec(index = 111)]
        IncentiveAlphaEmittedToMiners {
            /// The subnet.
            netuid: NetUidStorageIndex,
            /// Alpha by uid.
            emissions: Vec<AlphaBalance>,
        },
        /// The minimum of the maximum number of neurons changed.
        #[codec(index = 112)]
        MinAllowedUidsSet(NetUid, u16),
        /// A coldkey set its hotkey for automatic staking.
        #[codec(index = 113)]
        AutoStakeDestinationSet {
            /// The coldkey.
            coldkey: T::AccountId,
            /// The subnet.
            netuid: NetUid,
            /// The hotkey.
            hotkey: T::AccountId,
        },
        /// The minimum number of non-immune neurons changed.
        #[codec(index = 114)]
        MinNonImmuneUidsSet(NetUid, u16),
        /// The half-life of the registration price changed.
        #[codec(index = 129)]
        BurnHalfLifeSet {
            /// The subnet.
            netuid: NetUid,
            /// The new half-life, in blocks.
            burn_half_life: u16,
        },
        /// The increase factor of the registration price changed.
        #[codec(index = 130)]
        BurnIncreaseMultSet {
            /// The subnet.
            netuid: NetUid,
            /// The new factor.
            burn_increase_mult: U64F64,
        },
        /// The owner triggered an epoch.
        #[codec(index = 136)]
        EpochTriggered {
            /// The subnet.
            netuid: NetUid,
            /// The caller.
            by: T::AccountId,
            /// The block of the epoch.
            fires_at: u64,
        },
        /// An epoch was deferred to the next block.
        #[codec(index = 137)]
        EpochDeferred {
            /// The subnet.
            netuid: NetUid,
            /// The block it was due.
            from_block: u64,
            /// The block it runs instead.
            to_block: u64,
        },
        /// An epoch was skipped because the subnet's maps are inconsistent.
        #[codec(index = 138)]
        EpochSkipped {
            /// The subnet.
            netuid: NetUid,
            /// The block.
            block: u64,
        },
        /// Stake changed its coldkey and its hotkey.
        #[codec(index = 143)]
        StakeAndHotkeyTransferred {
            /// The coldkey before.
            origin_coldkey: T::AccountId,
            /// The coldkey after.
            destination_coldkey: T::AccountId,
            /// The hotkey before.
            origin_hotkey: T::AccountId,
            /// The hotkey after.
            destination_hotkey: T::AccountId,
            /// The subnet before.
            origin_netuid: NetUid,
            /// The subnet after.
            destination_netuid: NetUid,
            /// Value of the stake in TAO.
            amount: TaoBalance,
        },
        /// The consensus mode of liquid alpha changed.
        #[codec(index = 146)]
        LiquidAlphaConsensusModeSet(NetUid, ConsensusMode),
    }
}
