//! Events of the Subtensor pallet.

use frame_support::pallet_macros::pallet_section;

/// Events with the names and indices of the real chain.
#[pallet_section]
mod events {
    /// Events of the pallet. If a setting changed, the unnamed fields are the subnet, unless the
    /// setting is global, and the new value. Otherwise the description lists the unnamed fields in
    /// order.
    #[pallet::event]
    #[pallet::generate_deposit(pub(crate) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A subnet was created: netuid, price mechanism.
        #[codec(index = 0)]
        NetworkAdded(NetUid, u16),
        /// A subnet was dissolved: netuid.
        #[codec(index = 1)]
        NetworkRemoved(NetUid),
        /// Stake was added: coldkey, hotkey, TAO spent, alpha received, subnet, fee.
        #[codec(index = 2)]
        StakeAdded(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// Stake was removed: coldkey, hotkey, TAO received, alpha sold, subnet, fee.
        #[codec(index = 3)]
        StakeRemoved(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// Stake was moved: coldkey, origin hotkey and subnet, destination hotkey and subnet, value
        /// in TAO.
        #[codec(index = 4)]
        StakeMoved(T::AccountId, T::AccountId, NetUid, T::AccountId, NetUid, TaoBalance),
        /// Weights were set: storage index of the mechanism, uid.
        #[codec(index = 5)]
        WeightsSet(NetUidStorageIndex, u16),
        /// A neuron registered: subnet, uid, hotkey.
        #[codec(index = 7)]
        NeuronRegistered(NetUid, u16, T::AccountId),
        /// A subnet's maximum number of neurons changed.
        #[codec(index = 10)]
        MaxAllowedUidsSet(NetUid, u16),
        /// A subnet's proof-of-work difficulty changed.
        #[codec(index = 12)]
        DifficultySet(NetUid, u64),
        /// A subnet's interval between registration adjustments changed.
        #[codec(index = 13)]
        AdjustmentIntervalSet(NetUid, u16),
        /// A subnet's maximum number of validator permits changed.
        #[codec(index = 28)]
        MaxAllowedValidatorsSet(NetUid, u16),
        /// A subnet's target number of registrations per interval changed.
        #[codec(index = 14)]
        RegistrationPerIntervalSet(NetUid, u16),
        /// A subnet's maximum number of registrations per block changed.
        #[codec(index = 15)]
        MaxRegistrationsPerBlockSet(NetUid, u16),
        /// Alpha was bought and burned.
        #[codec(index = 125)]
        AddStakeBurn {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Hotkey for which the alpha was bought.
            hotkey: T::AccountId,
            /// TAO spent.
            amount: TaoBalance,
            /// Alpha burned.
            alpha: AlphaBalance,
        },
        /// A subnet's activity cutoff factor changed.
        #[codec(index = 135)]
        ActivityCutoffFactorMilliSet {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The new factor, in thousandths of an epoch.
            factor_milli: u32,
        },
        /// A subnet's activity cutoff of earlier versions changed, which has no effect.
        #[codec(index = 16)]
        ActivityCutoffSet(NetUid, u16),
        /// A subnet's rho changed.
        #[codec(index = 17)]
        RhoSet(NetUid, u16),
        /// The steepness of a subnet's liquid alpha changed.
        #[codec(index = 18)]
        AlphaSigmoidSteepnessSet(NetUid, i16),
        /// A subnet's kappa changed.
        #[codec(index = 19)]
        KappaSet(NetUid, u16),
        /// The minimum number of weights that a subnet's validators must set changed.
        #[codec(index = 20)]
        MinAllowedWeightSet(NetUid, u16),
        /// A subnet's minimum interval between weight submissions changed.
        #[codec(index = 23)]
        WeightsSetRateLimitSet(NetUid, u64),
        /// A subnet's immunity period of new neurons changed.
        #[codec(index = 24)]
        ImmunityPeriodSet(NetUid, u16),
        /// The weight of old bonds in a subnet's moving averages changed.
        #[codec(index = 25)]
        BondsMovingAverageSet(NetUid, u64),
        /// A subnet's bonds penalty changed.
        #[codec(index = 26)]
        BondsPenaltySet(NetUid, u16),
        /// Bond resets were enabled or disabled on a subnet.
        #[codec(index = 27)]
        BondsResetOnSet(NetUid, bool),
        /// An axon was announced: subnet, hotkey.
        #[codec(index = 29)]
        AxonServed(NetUid, T::AccountId),
        /// A metrics endpoint was announced: subnet, hotkey.
        #[codec(index = 30)]
        PrometheusServed(NetUid, T::AccountId),
        /// A subnet's minimum version key of weight submissions changed.
        #[codec(index = 33)]
        WeightsVersionKeySet(NetUid, u64),
        /// A subnet's minimum proof-of-work difficulty changed.
        #[codec(index = 34)]
        MinDifficultySet(NetUid, u64),
        /// A subnet's maximum proof-of-work difficulty changed.
        #[codec(index = 35)]
        MaxDifficultySet(NetUid, u64),
        /// A subnet's minimum interval between endpoint announcements changed.
        #[codec(index = 36)]
        ServingRateLimitSet(NetUid, u64),
        /// A subnet's maximum registration price changed.
        #[codec(index = 38)]
        MaxBurnSet(NetUid, TaoBalance),
        /// A subnet's minimum registration price changed.
        #[codec(index = 39)]
        MinBurnSet(NetUid, TaoBalance),
        /// The maximum number of epochs per block changed.
        #[codec(index = 40)]
        MaxEpochsPerBlockSet(u8),
        /// The minimum interval between a coldkey's hotkey swaps changed.
        #[codec(index = 41)]
        TxRateLimitSet(u64),
        /// The minimum interval between take increases changed.
        #[codec(index = 42)]
        TxDelegateTakeRateLimitSet(u64),
        /// The length of the freeze window, in which owners cannot change settings, changed.
        #[codec(index = 44)]
        AdminFreezeWindowSet(u16),
        /// The minimum interval between an owner's changes to one setting changed.
        #[codec(index = 45)]
        OwnerHyperparamRateLimitSet(u16),
        /// The minimum interval between increases of a child key take changed.
        #[codec(index = 43)]
        TxChildKeyTakeRateLimitSet(u64),
        /// The minimum child key take changed.
        #[codec(index = 46)]
        MinChildKeyTakeSet(PerU16),
        /// The maximum child key take changed.
        #[codec(index = 48)]
        MaxChildKeyTakeSet(PerU16),
        /// A child key take changed: hotkey, new take.
        #[codec(index = 49)]
        ChildKeyTakeSet(T::AccountId, PerU16),
        /// New children of a hotkey were scheduled: hotkey, subnet, last block of the cooldown,
        /// children with their proportions.
        #[codec(index = 76)]
        SetChildrenScheduled(T::AccountId, NetUid, u64, Vec<(u64, T::AccountId)>),
        /// A hotkey has new children: hotkey, subnet, children with their proportions.
        #[codec(index = 77)]
        SetChildren(T::AccountId, NetUid, Vec<(u64, T::AccountId)>),
        /// Automatic delegation to the owners of new subnets was enabled or disabled.
        #[codec(index = 131)]
        AutoParentDelegationEnabledSet {
            /// Hotkey of the member of root.
            hotkey: T::AccountId,
            /// Whether the owners of new subnets become its children.
            enabled: bool,
        },
        /// A subnet's minimum child key take changed.
        #[codec(index = 47)]
        MinChildKeyTakePerSubnetSet(NetUid, PerU16),
        /// The maximum delegate take changed.
        #[codec(index = 68)]
        MaxDelegateTakeSet(PerU16),
        /// The minimum delegate take changed.
        #[codec(index = 69)]
        MinDelegateTakeSet(PerU16),
        /// Registration was enabled or disabled on a subnet.
        #[codec(index = 51)]
        RegistrationAllowed(NetUid, bool),
        /// A subnet's tempo changed.
        #[codec(index = 53)]
        TempoSet(NetUid, u16),
        /// The recorded total TAO paid for registrations on a subnet was changed.
        #[codec(index = 54)]
        RAORecycledForRegistrationSet(NetUid, TaoBalance),
        /// The minimum stake that a hotkey needs to set weights changed.
        #[codec(index = 55)]
        StakeThresholdSet(u64),
        /// A subnet's smoothing factor of registration adjustments changed.
        #[codec(index = 56)]
        AdjustmentAlphaSet(NetUid, u64),
        /// The owners' cut of their subnets' emission changed.
        #[codec(index = 58)]
        SubnetOwnerCutSet(u16),
        /// The minimum interval between creations of subnets changed.
        #[codec(index = 59)]
        NetworkRateLimitSet(u64),
        /// The immunity period of new subnets changed.
        #[codec(index = 60)]
        NetworkImmunityPeriodSet(u64),
        /// The delay before an owner can start a subnet changed.
        #[codec(index = 61)]
        StartCallDelaySet(u64),
        /// The minimum cost of creating a subnet changed.
        #[codec(index = 62)]
        NetworkMinLockCostSet(TaoBalance),
        /// The maximum number of subnets changed.
        #[codec(index = 63)]
        SubnetLimitSet(u16),
        /// The interval over which the cost of creating a subnet falls changed.
        #[codec(index = 64)]
        NetworkLockCostReductionIntervalSet(u64),
        /// A hotkey's take was lowered: coldkey, hotkey, new take.
        #[codec(index = 65)]
        TakeDecreased(T::AccountId, T::AccountId, PerU16),
        /// A hotkey's take was raised: coldkey, hotkey, new take.
        #[codec(index = 66)]
        TakeIncreased(T::AccountId, T::AccountId, PerU16),
        /// A hotkey was swapped on all subnets.
        #[codec(index = 67)]
        HotkeySwapped {
            /// Coldkey that owns the hotkeys.
            coldkey: T::AccountId,
            /// The old hotkey.
            old_hotkey: T::AccountId,
            /// The new hotkey.
            new_hotkey: T::AccountId,
        },
        /// A swap of a coldkey was announced.
        #[codec(index = 70)]
        ColdkeySwapAnnounced {
            /// Coldkey that will be swapped.
            who: T::AccountId,
            /// BLAKE2b-256 hash of the new coldkey.
            new_coldkey_hash: H256,
        },
        /// Root removed the announcement and the dispute of a coldkey's swap.
        #[codec(index = 71)]
        ColdkeySwapReset {
            /// Coldkey whose swap was announced.
            who: T::AccountId,
        },
        /// A coldkey was swapped.
        #[codec(index = 72)]
        ColdkeySwapped {
            /// The old coldkey.
            old_coldkey: T::AccountId,
            /// The new coldkey.
            new_coldkey: T::AccountId,
        },
        /// The announced swap of a coldkey was disputed.
        #[codec(index = 73)]
        ColdkeySwapDisputed {
            /// Coldkey whose swap was announced.
            coldkey: T::AccountId,
        },
        /// The delay between announcement and coldkey swap changed.
        #[codec(index = 82)]
        ColdkeySwapAnnouncementDelaySet(u32),
        /// The delay before a coldkey swap can be announced again changed.
        #[codec(index = 83)]
        ColdkeySwapReannouncementDelaySet(u32),
        /// A hotkey was swapped on one subnet.
        #[codec(index = 103)]
        HotkeySwappedOnSubnet {
            /// Coldkey that owns the hotkeys.
            coldkey: T::AccountId,
            /// The old hotkey.
            old_hotkey: T::AccountId,
            /// The new hotkey.
            new_hotkey: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
        },
        /// The announced swap of a coldkey was withdrawn.
        #[codec(index = 127)]
        ColdkeySwapCleared {
            /// Coldkey whose swap was announced.
            who: T::AccountId,
        },
        /// A transaction fee was paid with staked alpha.
        #[codec(index = 128)]
        TransactionFeePaidWithAlpha {
            /// Account that paid the fee.
            who: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Alpha that was sold.
            alpha_fee: AlphaBalance,
            /// TAO that the block's author received.
            tao_amount: TaoBalance,
        },
        /// The faucet paid: coldkey, amount in rao.
        #[codec(index = 57)]
        Faucet(T::AccountId, u64),
        /// Several commits of a hotkey were revealed: hotkey, subnet, hashes.
        #[codec(index = 88)]
        WeightsBatchRevealed(T::AccountId, NetUid, Vec<H256>),
        /// A batch of weight submissions or commits was executed: subnets, hotkey.
        #[codec(index = 89)]
        BatchWeightsCompleted(Vec<Compact<NetUid>>, T::AccountId),
        /// Some items of a batch failed.
        #[codec(index = 90)]
        BatchCompletedWithErrors,
        /// An item of a batch failed: subnet, error.
        #[codec(index = 91)]
        BatchWeightItemFailed(NetUid, DispatchError),
        /// The symbol of a subnet's alpha changed.
        #[codec(index = 106)]
        SymbolUpdated {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The new symbol, in UTF-8.
            symbol: Vec<u8>,
        },
        /// A neuron was associated with an Ethereum address.
        #[codec(index = 99)]
        EvmKeyAssociated {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            hotkey: T::AccountId,
            /// The Ethereum address.
            evm_key: H160,
            /// Block of the association.
            block_associated: u64,
        },
        /// A leased subnet was created.
        #[codec(index = 104)]
        SubnetLeaseCreated {
            /// Account that operates the subnet.
            beneficiary: T::AccountId,
            /// Id of the lease.
            lease_id: u32,
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Block in which the lease ends; `None` if it does not end.
            end_block: Option<u32>,
        },
        /// A lease was terminated; its beneficiary owns the subnet.
        #[codec(index = 105)]
        SubnetLeaseTerminated {
            /// The new owner of the subnet.
            beneficiary: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
        },
        /// Dividends of a lease were paid.
        #[codec(index = 124)]
        SubnetLeaseDividendsDistributed {
            /// Id of the lease.
            lease_id: u32,
            /// Account that receives the dividends.
            contributor: T::AccountId,
            /// Amount of the dividends.
            alpha: AlphaBalance,
        },
        /// Alpha was locked as collateral.
        #[codec(index = 144)]
        CollateralLocked {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The miner's hotkey.
            hotkey: T::AccountId,
            /// Amount that was added to the collateral.
            locked: AlphaBalance,
            /// The collateral with the added amount.
            total_locked: AlphaBalance,
        },
        /// The minimum collateral of a miner changed.
        #[codec(index = 145)]
        MinCollateralSet {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The miner's hotkey.
            hotkey: T::AccountId,
            /// The new minimum.
            min_locked: AlphaBalance,
        },
        /// Tracking of voting power was enabled on a subnet.
        #[codec(index = 120)]
        VotingPowerTrackingEnabled {
            /// Netuid of the subnet.
            netuid: NetUid,
        },
        /// The end of tracking of voting power on a subnet was scheduled.
        #[codec(index = 121)]
        VotingPowerTrackingDisableScheduled {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Block from which voting power is not tracked.
            disable_at_block: u64,
        },
        /// Tracking of voting power ended on a subnet.
        #[codec(index = 122)]
        VotingPowerTrackingDisabled {
            /// Netuid of the subnet.
            netuid: NetUid,
        },
        /// The smoothing factor of a subnet's voting power changed.
        #[codec(index = 123)]
        VotingPowerEmaAlphaSet {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The new factor, in parts of 10¹⁸.
            alpha: u64,
        },
        /// Stake was locked.
        #[codec(index = 132)]
        StakeLocked {
            /// Coldkey that owns the stake.
            coldkey: T::AccountId,
            /// Hotkey to which the stake is locked.
            hotkey: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Amount that was locked in addition.
            amount: AlphaBalance,
        },
        /// A lock was moved to another hotkey.
        #[codec(index = 134)]
        LockMoved {
            /// Coldkey that owns the stake.
            coldkey: T::AccountId,
            /// Hotkey to which the stake was locked.
            origin_hotkey: T::AccountId,
            /// Hotkey to which the stake is locked.
            destination_hotkey: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
        },
        /// A subnet changed its owner, to that of the hotkey with the highest conviction.
        #[codec(index = 139)]
        SubnetOwnerChanged {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Previous owner.
            old_coldkey: T::AccountId,
            /// New owner.
            new_coldkey: T::AccountId,
        },
        /// A lock was made perpetual, or decays again.
        #[codec(index = 140)]
        PerpetualLockUpdated {
            /// Coldkey that owns the stake.
            coldkey: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Whether the lock is perpetual.
            enabled: bool,
        },
        /// A coldkey refuses locked alpha, or accepts it.
        #[codec(index = 142)]
        RejectLockedAlphaUpdated {
            /// The coldkey.
            coldkey: T::AccountId,
            /// Whether the coldkey refuses locked alpha.
            enabled: bool,
        },
        /// A coldkey claimed the dividends of its root stake.
        #[codec(index = 115)]
        RootClaimed {
            /// Coldkey that owns the root stake.
            coldkey: T::AccountId,
            /// Value of all claims, in rao.
            tao: TaoBalance,
        },
        /// Dividends of root stake were put into a basket.
        #[codec(index = 116)]
        BasketDeposited {
            /// Hotkey of the validator.
            hotkey: T::AccountId,
            /// Value of the deposit, in rao.
            tao: TaoBalance,
            /// Number of new shares.
            shares: u64,
        },
        /// A coldkey bought shares of a basket.
        #[codec(index = 117)]
        BasketStakedIn {
            /// Hotkey of the validator.
            hotkey: T::AccountId,
            /// Coldkey that bought the shares.
            coldkey: T::AccountId,
            /// Price, in rao.
            tao: TaoBalance,
            /// Value that the basket gained, in rao.
            value: TaoBalance,
            /// Number of new shares.
            shares: u64,
        },
        /// A coldkey claimed its shares of a basket.
        #[codec(index = 118)]
        BasketClaimed {
            /// Hotkey of the validator.
            hotkey: T::AccountId,
            /// Coldkey that owned the shares.
            coldkey: T::AccountId,
            /// Value of the shares, in rao.
            tao: TaoBalance,
        },
        /// The delay of the dissolution of a subnet changed.
        #[codec(index = 84)]
        DissolveNetworkScheduleDurationSet(u32),
        /// A coldkey set its identity: coldkey.
        #[codec(index = 78)]
        ChainIdentitySet(T::AccountId),
        /// A subnet's identity was set: netuid.
        #[codec(index = 79)]
        SubnetIdentitySet(NetUid),
        /// Weights were committed: hotkey, storage index of the mechanism, hash.
        #[codec(index = 86)]
        WeightsCommitted(T::AccountId, NetUidStorageIndex, H256),
        /// Committed weights were revealed: hotkey, storage index of the mechanism, hash.
        #[codec(index = 87)]
        WeightsRevealed(T::AccountId, NetUidStorageIndex, H256),
        /// Alpha was recycled: coldkey, hotkey, amount, subnet.
        #[codec(index = 97)]
        AlphaRecycled(T::AccountId, T::AccountId, AlphaBalance, NetUid),
        /// Alpha was burned: coldkey, hotkey, amount, subnet.
        #[codec(index = 98)]
        AlphaBurned(T::AccountId, T::AccountId, AlphaBalance, NetUid),
        /// Timelocked weights were committed: hotkey, storage index of the mechanism, hash of the
        /// ciphertext, reveal round.
        #[codec(index = 108)]
        TimelockedWeightsCommitted(T::AccountId, NetUidStorageIndex, H256, u64),
        /// Timelocked weights were revealed: storage index of the mechanism, hotkey.
        #[codec(index = 109)]
        TimelockedWeightsRevealed(NetUidStorageIndex, T::AccountId),
        /// Stake was transferred: origin and destination coldkey, hotkey, origin and destination
        /// subnet, value in TAO.
        #[codec(index = 92)]
        StakeTransferred(T::AccountId, T::AccountId, T::AccountId, NetUid, NetUid, TaoBalance),
        /// Stake was swapped: coldkey, hotkey, origin and destination subnet, value in TAO.
        #[codec(index = 93)]
        StakeSwapped(T::AccountId, T::AccountId, NetUid, NetUid, TaoBalance),
        /// A subnet's reveal period of committed weights changed.
        #[codec(index = 101)]
        CommitRevealPeriodsSet(NetUid, u64),
        /// Commit-reveal of weights was enabled or disabled on a subnet.
        #[codec(index = 102)]
        CommitRevealEnabled(NetUid, bool),
        /// The accepted version of timelocked commits changed.
        #[codec(index = 107)]
        CommitRevealVersionSet(u16),
        /// Stake transfers to other coldkeys were enabled or disabled on a subnet.
        #[codec(index = 94)]
        TransferToggle(NetUid, bool),
        /// The hotkey of a subnet's owner changed.
        #[codec(index = 95)]
        SubnetOwnerHotkeySet(NetUid, T::AccountId),
        /// A subnet was started: netuid, first block with emission.
        #[codec(index = 96)]
        FirstEmissionBlockNumberSet(NetUid, u64),
        /// A miner's emission was staked automatically.
        #[codec(index = 110)]
        AutoStakeAdded {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Hotkey that receives the stake.
            destination: T::AccountId,
            /// The miner's hotkey.
            hotkey: T::AccountId,
            /// Coldkey that owns the miner's hotkey.
            owner: T::AccountId,
            /// Amount of staked alpha.
            incentive: AlphaBalance,
        },
        /// Emission was distributed to a mechanism's miners.
        #[codec(index = 111)]
        IncentiveAlphaEmittedToMiners {
            /// Storage index of the mechanism.
            netuid: NetUidStorageIndex,
            /// Alpha emission of each miner, by uid.
            emissions: Vec<AlphaBalance>,
        },
        /// The lower limit for a subnet's maximum number of neurons changed.
        #[codec(index = 112)]
        MinAllowedUidsSet(NetUid, u16),
        /// A coldkey set the hotkey on which its miners' emission is staked.
        #[codec(index = 113)]
        AutoStakeDestinationSet {
            /// Coldkey that set the destination.
            coldkey: T::AccountId,
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Hotkey on which emission is staked.
            hotkey: T::AccountId,
        },
        /// A subnet's minimum number of non-immune neurons changed.
        #[codec(index = 114)]
        MinNonImmuneUidsSet(NetUid, u16),
        /// The half-life of a subnet's registration price changed.
        #[codec(index = 129)]
        BurnHalfLifeSet {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The new half-life, in blocks.
            burn_half_life: u16,
        },
        /// The factor by which a registration raises a subnet's registration price changed.
        #[codec(index = 130)]
        BurnIncreaseMultSet {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The new factor.
            burn_increase_mult: U64F64,
        },
        /// A subnet's owner triggered an epoch.
        #[codec(index = 136)]
        EpochTriggered {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Account that triggered the epoch.
            by: T::AccountId,
            /// Block in which the triggered epoch runs.
            fires_at: u64,
        },
        /// An epoch was deferred to the next block.
        #[codec(index = 137)]
        EpochDeferred {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Block in which the epoch was due.
            from_block: u64,
            /// Block to which the epoch is deferred.
            to_block: u64,
        },
        /// An epoch was skipped because the subnet's storage maps are inconsistent.
        #[codec(index = 138)]
        EpochSkipped {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// Block in which the epoch was due.
            block: u64,
        },
        /// Stake was transferred to another coldkey and hotkey.
        #[codec(index = 143)]
        StakeAndHotkeyTransferred {
            /// Previous coldkey of the stake.
            origin_coldkey: T::AccountId,
            /// New coldkey of the stake.
            destination_coldkey: T::AccountId,
            /// Previous hotkey of the stake.
            origin_hotkey: T::AccountId,
            /// New hotkey of the stake.
            destination_hotkey: T::AccountId,
            /// Previous subnet of the stake.
            origin_netuid: NetUid,
            /// New subnet of the stake.
            destination_netuid: NetUid,
            /// Value of the stake in TAO.
            amount: TaoBalance,
        },
        /// The consensus mode of a subnet's liquid alpha changed.
        #[codec(index = 146)]
        LiquidAlphaConsensusModeSet(NetUid, ConsensusMode),
    }
}
