//! What the chain remembers of subnets, neurons and stake.

use frame_support::pallet_macros::pallet_section;

pub(super) mod keys;
pub(super) mod locks;

/// Storage under the names, hashers and defaults of the real chain.
#[pallet_section]
mod storage {

    // Accounts and keys
    /// The coldkey that owns a hotkey; the zero account when nobody does.
    #[pallet::storage]
    pub type Owner<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, ValueQuery, DefaultAccount<T>>;
    /// The hotkeys that a coldkey owns.
    #[pallet::storage]
    pub type OwnedHotkeys<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Vec<T::AccountId>, ValueQuery>;
    /// The hotkeys on which a coldkey has stake.
    #[pallet::storage]
    pub type StakingHotkeys<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Vec<T::AccountId>, ValueQuery>;
    /// The take of a hotkey, in parts of 65 535; the default where its owner never set one.
    #[pallet::storage]
    pub type Delegates<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, PerU16, ValueQuery, ConstPerU16<11_796>>;
    /// What a coldkey says about itself.
    #[pallet::storage]
    pub type IdentitiesV2<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, ChainIdentityV2, OptionQuery>;
    /// The largest take that a hotkey may have.
    #[pallet::storage]
    pub type MaxDelegateTake<T> = StorageValue<_, PerU16, ValueQuery, ConstPerU16<11_796>>;
    /// The smallest take that a hotkey may have.
    #[pallet::storage]
    pub type MinDelegateTake<T> = StorageValue<_, PerU16, ValueQuery>;
    /// When a hotkey last raised its take.
    #[pallet::storage]
    pub type LastTxBlockDelegateTake<T: Config> = StorageMap<_, Identity, T::AccountId, u64, ValueQuery>;

    // Money
    /// TAO issued so far, staked TAO included.
    #[pallet::storage]
    pub type TotalIssuance<T> = StorageValue<_, TaoBalance, ValueQuery>;
    /// TAO in all pools, root included.
    #[pallet::storage]
    pub type TotalStake<T> = StorageValue<_, TaoBalance, ValueQuery>;
    /// TAO issued with the last block.
    #[pallet::storage]
    pub type BlockEmission<T> = StorageValue<_, u64, ValueQuery, ConstU64<1_000_000_000>>;
    /// How much a TAO on root weighs beside one alpha, in parts of 2^64.
    #[pallet::storage]
    pub type TaoWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<971_718_665_099_567_868>>;
    /// Stake below which a hotkey may not set weights.
    #[pallet::storage]
    pub type StakeThreshold<T> = StorageValue<_, u64, ValueQuery>;
    /// Stake below which a nomination is cleared.
    #[pallet::storage]
    pub type NominatorMinRequiredStake<T> = StorageValue<_, u64, ValueQuery>;

    // The pool of a subnet
    /// TAO in the pool of a subnet.
    #[pallet::storage]
    pub type SubnetTAO<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;
    /// Alpha in the pool of a subnet.
    #[pallet::storage]
    pub type SubnetAlphaIn<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha of a subnet outside its pool.
    #[pallet::storage]
    pub type SubnetAlphaOut<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// TAO ever traded on the pool of a subnet.
    #[pallet::storage]
    pub type SubnetVolume<T> = StorageMap<_, Identity, NetUid, u128, ValueQuery>;
    /// Moving average of the alpha price of a subnet.
    #[pallet::storage]
    pub type SubnetMovingPrice<T> = StorageMap<_, Identity, NetUid, I96F32, ValueQuery>;
    /// Smoothing factor of the moving price.
    #[pallet::storage]
    pub type SubnetMovingAlpha<T> = StorageValue<_, I96F32, ValueQuery, DefaultSubnetMovingAlpha>;
    /// Blocks after which the moving price follows the price half as fast.
    #[pallet::storage]
    pub type EMAPriceHalvingBlocks<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<201_600>>;
    /// Alpha that the last block put into the pool.
    #[pallet::storage]
    pub type SubnetAlphaInEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha that the last block gave to participants.
    #[pallet::storage]
    pub type SubnetAlphaOutEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// TAO that the last block put into the pool.
    #[pallet::storage]
    pub type SubnetTaoInEmission<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;
    /// Smoothed flow of TAO into a subnet, with the block of the last update.
    #[pallet::storage]
    pub type SubnetEmaTaoFlow<T> = StorageMap<_, Identity, NetUid, (u64, I64F64), OptionQuery>;
    /// Whether a subnet receives TAO from the block emission.
    #[pallet::storage]
    pub type SubnetEmissionEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// The part of a subnet's dividends that went to root stake at the last epoch.
    #[pallet::storage]
    pub type RootProp<T> = StorageMap<_, Identity, NetUid, U64F64, ValueQuery>;

    // Stake
    /// Alpha staked on a hotkey in a subnet, by all its stakers.
    #[pallet::storage]
    pub type TotalHotkeyAlpha<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// The same at the last epoch.
    #[pallet::storage]
    pub type TotalHotkeyAlphaLastEpoch<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Shares in the alpha of a hotkey in a subnet.
    #[pallet::storage]
    pub type TotalHotkeySharesV2<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, SafeFloat, ValueQuery>;
    /// A coldkey's shares in the alpha of a hotkey in a subnet.
    #[pallet::storage]
    pub type AlphaV2<T: Config> = StorageNMap<
        _,
        (NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Identity, NetUid>),
        SafeFloat,
        ValueQuery,
    >;
    /// When a coldkey last staked on a hotkey.
    #[pallet::storage]
    pub type LastColdkeyHotkeyStakeBlock<T: Config> =
        StorageDoubleMap<_, Twox64Concat, T::AccountId, Twox64Concat, T::AccountId, u64, OptionQuery>;
    /// Alpha that a hotkey earned as dividends at the last epoch.
    #[pallet::storage]
    pub type AlphaDividendsPerSubnet<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, AlphaBalance, ValueQuery>;
    /// Alpha that a hotkey's root stake earned at the last epoch.
    #[pallet::storage]
    pub type RootAlphaDividendsPerSubnet<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, AlphaBalance, ValueQuery>;
    /// Alpha of each subnet that one share of a hotkey's root stake may claim.
    #[pallet::storage]
    pub type RootClaimable<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, BTreeMap<NetUid, I96F32>, ValueQuery>;

    // Subnets
    /// Whether a subnet exists.
    #[pallet::storage]
    pub type NetworksAdded<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// How many subnets exist, root included.
    #[pallet::storage]
    pub type TotalNetworks<T> = StorageValue<_, u16, ValueQuery>;
    /// How many subnets may exist.
    #[pallet::storage]
    pub type SubnetLimit<T> = StorageValue<_, u16, ValueQuery, ConstU16<128>>;
    /// The block at which a subnet was created.
    #[pallet::storage]
    pub type NetworkRegisteredAt<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Blocks for which a new subnet cannot be dissolved for another.
    #[pallet::storage]
    pub type NetworkImmunityPeriod<T> = StorageValue<_, u64, ValueQuery, ConstU64<1_296_000>>;
    /// Blocks that an owner waits before starting a subnet.
    #[pallet::storage]
    pub type StartCallDelay<T> = StorageValue<_, u64, ValueQuery>;
    /// The least that creating a subnet costs.
    #[pallet::storage]
    pub type NetworkMinLockCost<T> = StorageValue<_, TaoBalance, ValueQuery, ConstTao<1_000_000_000_000>>;
    /// What creating the last subnet cost.
    #[pallet::storage]
    pub type NetworkLastLockCost<T> = StorageValue<_, TaoBalance, ValueQuery, ConstTao<1_000_000_000_000>>;
    /// Blocks over which the creation price falls back.
    #[pallet::storage]
    pub type NetworkLockReductionInterval<T> = StorageValue<_, u64, ValueQuery, ConstU64<100_800>>;
    /// Blocks between two creations of subnets.
    #[pallet::storage]
    pub type NetworkRateLimit<T> = StorageValue<_, u64, ValueQuery, ConstU64<7200>>;
    /// The owner's part of a subnet's emission, in parts of 65 535.
    #[pallet::storage]
    pub type SubnetOwnerCut<T> = StorageValue<_, u16, ValueQuery, ConstU16<11_796>>;
    /// Whether the owner of a subnet receives its cut.
    #[pallet::storage]
    pub type OwnerCutEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// TAO locked when a subnet was created.
    #[pallet::storage]
    pub type SubnetLocked<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;
    /// The coldkey that owns a subnet.
    #[pallet::storage]
    pub type SubnetOwner<T: Config> = StorageMap<_, Identity, NetUid, T::AccountId, ValueQuery, DefaultAccount<T>>;
    /// The hotkey that stands for the owner of a subnet.
    #[pallet::storage]
    pub type SubnetOwnerHotkey<T: Config> =
        StorageMap<_, Identity, NetUid, T::AccountId, ValueQuery, DefaultAccount<T>>;
    /// How a subnet is priced: 0 at one TAO, 1 by its pool.
    #[pallet::storage]
    pub type SubnetMechanism<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Whether a subnet's alpha can be bought.
    #[pallet::storage]
    pub type SubtokenEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// The block from which a subnet receives emission.
    #[pallet::storage]
    pub type FirstEmissionBlockNumber<T> = StorageMap<_, Identity, NetUid, u64, OptionQuery>;
    /// The symbol of a subnet's alpha, UTF-8.
    #[pallet::storage]
    pub type TokenSymbol<T> = StorageMap<_, Identity, NetUid, Vec<u8>, ValueQuery, DefaultTokenSymbol>;
    /// What an owner says about a subnet.
    #[pallet::storage]
    pub type SubnetIdentitiesV3<T> = StorageMap<_, Blake2_128Concat, NetUid, SubnetIdentityV3, OptionQuery>;
    /// When a rate-limited action last happened.
    #[pallet::storage]
    pub type LastRateLimitedBlock<T: Config> = StorageMap<_, Identity, RateLimitKey<T::AccountId>, u64, ValueQuery>;
    /// When the owner of a subnet last did something of a kind.
    #[pallet::storage]
    pub type TransactionKeyLastBlock<T: Config> = StorageNMap<
        _,
        (NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Identity, NetUid>, NMapKey<Identity, u16>),
        u64,
        ValueQuery,
    >;
    /// What becomes of emission withheld from the owner's own miners.
    #[pallet::storage]
    pub type RecycleOrBurn<T> = StorageMap<_, Identity, NetUid, RecycleOrBurnEnum, ValueQuery>;

    // The schedule of a subnet
    /// Blocks of an epoch.
    #[pallet::storage]
    pub type Tempo<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// The block of the last epoch.
    #[pallet::storage]
    pub type LastEpochBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The block for which the owner asked for an epoch; 0 for none.
    #[pallet::storage]
    pub type PendingEpochAt<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// How many epochs a subnet had.
    #[pallet::storage]
    pub type SubnetEpochIndex<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Blocks since the last epoch.
    #[pallet::storage]
    pub type BlocksSinceLastStep<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The block of the last epoch's consensus (the chain's own spelling).
    #[pallet::storage]
    pub type LastMechansimStepBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// How many epochs a block may run; the others wait for the next one.
    #[pallet::storage]
    pub type MaxEpochsPerBlock<T> = StorageValue<_, u8, ValueQuery, ConstU8<32>>;
    /// Blocks before an epoch in which the owner changes nothing.
    #[pallet::storage]
    pub type AdminFreezeWindow<T> = StorageValue<_, u16, ValueQuery, ConstU16<10>>;
    /// Epochs between two changes of one hyper-parameter by the owner.
    #[pallet::storage]
    pub type OwnerHyperparamRateLimit<T> = StorageValue<_, u16, ValueQuery, ConstU16<2>>;

    // Hyper-parameters
    /// Steepness of the consensus of old; stored for clients.
    #[pallet::storage]
    pub type Rho<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// Stake that agrees on a weight before it counts, in parts of 65 535.
    #[pallet::storage]
    pub type Kappa<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<32_767>>;
    /// After how many thousandths of an epoch without an update a validator is inactive.
    #[pallet::storage]
    pub type ActivityCutoffFactorMilli<T> = StorageMap<_, Identity, NetUid, u32, ValueQuery, ConstU32<13_889>>;
    /// Blocks for which a new neuron cannot be replaced.
    #[pallet::storage]
    pub type ImmunityPeriod<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<4096>>;
    /// The least that the number of neurons may be limited to.
    #[pallet::storage]
    pub type MinAllowedUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<64>>;
    /// How many neurons a subnet has room for.
    #[pallet::storage]
    pub type MaxAllowedUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<256>>;
    /// How many neurons may hold a validator permit.
    #[pallet::storage]
    pub type MaxAllowedValidators<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<128>>;
    /// How many weights a validator sets at least.
    #[pallet::storage]
    pub type MinAllowedWeights<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<1024>>;
    /// The largest weight after normalisation, in parts of 65 535.
    #[pallet::storage]
    pub type MaxWeightsLimit<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65_535>>;
    /// The version that a validator must state at least.
    #[pallet::storage]
    pub type WeightsVersionKey<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Epochs between two changes of the version by the owner.
    #[pallet::storage]
    pub type WeightsVersionKeyRateLimit<T> = StorageValue<_, u64, ValueQuery, ConstU64<5>>;
    /// Blocks between two submissions of weights.
    #[pallet::storage]
    pub type WeightsSetRateLimit<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<100>>;
    /// Weight of old bonds, in parts of 1 000 000.
    #[pallet::storage]
    pub type BondsMovingAverage<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<900_000>>;
    /// How much bonds follow clipped weights, in parts of 65 535.
    #[pallet::storage]
    pub type BondsPenalty<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65_535>>;
    /// Whether a miner may ask for its bonds to be forgotten.
    #[pallet::storage]
    pub type BondsResetOn<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// Whether the moving average of bonds depends on consensus.
    #[pallet::storage]
    pub type LiquidAlphaOn<T> = StorageMap<_, Blake2_128Concat, NetUid, bool, ValueQuery>;
    /// Low and high bound of that moving average, in parts of 65 535.
    #[pallet::storage]
    pub type AlphaValues<T> = StorageMap<_, Identity, NetUid, (u16, u16), ValueQuery, DefaultAlphaValues>;
    /// Steepness between the two bounds.
    #[pallet::storage]
    pub type AlphaSigmoidSteepness<T> = StorageMap<_, Identity, NetUid, i16, ValueQuery, DefaultAlphaSigmoidSteepness>;
    /// Which consensus that dependence looks at.
    #[pallet::storage]
    pub type LiquidAlphaConsensusMode<T> =
        StorageMap<_, Identity, NetUid, ConsensusMode, ValueQuery, DefaultLiquidAlphaConsensusMode>;
    /// Whether bonds follow Yuma 3.
    #[pallet::storage]
    pub type Yuma3On<T> = StorageMap<_, Blake2_128Concat, NetUid, bool, ValueQuery>;
    /// Blocks between two announcements of an endpoint.
    #[pallet::storage]
    pub type ServingRateLimit<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<50>>;
    /// Blocks between adjustments of registration; stored for clients.
    #[pallet::storage]
    pub type AdjustmentInterval<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<100>>;
    /// Smoothing of these adjustments; stored for clients.
    #[pallet::storage]
    pub type AdjustmentAlpha<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Registrations wanted in an interval; root limits itself to three times this.
    #[pallet::storage]
    pub type TargetRegistrationsPerInterval<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<2>>;
    /// Registrations of a block; enforced on root.
    #[pallet::storage]
    pub type MaxRegistrationsPerBlock<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<1>>;
    /// Whether neurons can register.
    #[pallet::storage]
    pub type NetworkRegistrationAllowed<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// Whether neurons can register by work; stored for clients.
    #[pallet::storage]
    pub type NetworkPowRegistrationAllowed<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// Whether stake may be given to another coldkey.
    #[pallet::storage]
    pub type TransferToggle<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// How many hotkeys of the owner are never replaced.
    #[pallet::storage]
    pub type ImmuneOwnerUidsLimit<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<1>>;
    /// How many neurons must be replaceable before immunity counts.
    #[pallet::storage]
    pub type MinNonImmuneUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// The smallest take of a child key; stored for clients.
    #[pallet::storage]
    pub type MinChildkeyTakePerSubnet<T> = StorageMap<_, Identity, NetUid, PerU16, ValueQuery>;
    /// Stored for clients.
    #[pallet::storage]
    pub type ScalingLawPower<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<50>>;
    /// Blocks between two stake moves of a coldkey.
    #[pallet::storage]
    pub type TxRateLimit<T> = StorageValue<_, u64, ValueQuery, ConstU64<1000>>;
    /// Blocks between two raises of a take.
    #[pallet::storage]
    pub type TxDelegateTakeRateLimit<T> = StorageValue<_, u64, ValueQuery, ConstU64<216_000>>;
    /// How many mechanisms a subnet may have.
    #[pallet::storage]
    pub type MaxMechanismCount<T> = StorageValue<_, MechId, ValueQuery, ConstMechId<2>>;
    /// How many mechanisms a subnet has.
    #[pallet::storage]
    pub type MechanismCountCurrent<T> = StorageMap<_, Twox64Concat, NetUid, MechId, ValueQuery, ConstMechId<1>>;
    /// How the emission is shared by mechanisms, in parts of 65 535.
    #[pallet::storage]
    pub type MechanismEmissionSplit<T> = StorageMap<_, Twox64Concat, NetUid, Vec<u16>, OptionQuery>;
    /// Whether weights are committed first and revealed later.
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, ConstBool<true>>;
    /// The version of time-locked commits that is accepted.
    #[pallet::storage]
    pub type CommitRevealWeightsVersion<T> = StorageValue<_, u16, ValueQuery, ConstU16<4>>;
    /// Epochs between a commit and its reveal.
    #[pallet::storage]
    pub type RevealPeriodEpochs<T> = StorageMap<_, Twox64Concat, NetUid, u64, ValueQuery, ConstU64<1>>;

    // Registration
    /// What a registration costs now.
    #[pallet::storage]
    pub type Burn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, ConstTao<100_000_000>>;
    /// The least that it can cost.
    #[pallet::storage]
    pub type MinBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, ConstTao<500_000>>;
    /// The most that it can cost.
    #[pallet::storage]
    pub type MaxBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, ConstTao<100_000_000_000>>;
    /// Blocks after which the price has halved.
    #[pallet::storage]
    pub type BurnHalfLife<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<360>>;
    /// By how much a registration raises the price.
    #[pallet::storage]
    pub type BurnIncreaseMult<T> = StorageMap<_, Identity, NetUid, U64F64, ValueQuery, DefaultBurnIncreaseMult>;
    /// Difficulty of registration by work; stored for clients.
    #[pallet::storage]
    pub type Difficulty<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<10_000_000>>;
    /// Least difficulty; stored for clients.
    #[pallet::storage]
    pub type MinDifficulty<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<10_000_000>>;
    /// Largest difficulty; stored for clients.
    #[pallet::storage]
    pub type MaxDifficulty<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<4_611_686_018_427_387_903>>;
    /// Registrations in this block.
    #[pallet::storage]
    pub type RegistrationsThisBlock<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Registrations in this interval.
    #[pallet::storage]
    pub type RegistrationsThisInterval<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Registrations paid for in this interval.
    #[pallet::storage]
    pub type BurnRegistrationsThisInterval<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Registrations by work in this interval.
    #[pallet::storage]
    pub type POWRegistrationsThisInterval<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// When the interval began.
    #[pallet::storage]
    pub type LastAdjustmentBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// TAO spent on registrations in a subnet.
    #[pallet::storage]
    pub type RAORecycledForRegistration<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;

    // Neurons
    /// How many neurons a subnet has.
    #[pallet::storage]
    pub type SubnetworkN<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// The slot of a hotkey.
    #[pallet::storage]
    pub type Uids<T: Config> = StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, u16, OptionQuery>;
    /// The hotkey in a slot.
    #[pallet::storage]
    pub type Keys<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Identity, u16, T::AccountId, ValueQuery, DefaultAccount<T>>;
    /// Whether a hotkey is registered in a subnet.
    #[pallet::storage]
    pub type IsNetworkMember<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, bool, ValueQuery>;
    /// When the neuron in a slot registered.
    #[pallet::storage]
    pub type BlockAtRegistration<T> = StorageDoubleMap<_, Identity, NetUid, Identity, u16, u64, ValueQuery>;
    /// The endpoint of a miner.
    #[pallet::storage]
    pub type Axons<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, AxonInfo, OptionQuery>;
    /// The certificate of an endpoint.
    #[pallet::storage]
    pub type NeuronCertificates<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, NeuronCertificate, OptionQuery>;
    /// The metrics endpoint of a neuron.
    #[pallet::storage]
    pub type Prometheus<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, PrometheusInfo, OptionQuery>;
    /// When each neuron last set or committed weights, by mechanism.
    #[pallet::storage]
    pub type LastUpdate<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<u64>, ValueQuery>;
    /// The weights that a validator set, by mechanism.
    #[pallet::storage]
    pub type Weights<T> = StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, Vec<(u16, u16)>, ValueQuery>;
    /// The bonds that a validator holds, by mechanism.
    #[pallet::storage]
    pub type Bonds<T> = StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, Vec<(u16, u16)>, ValueQuery>;

    // Results of the last epoch
    /// Whether each neuron was active.
    #[pallet::storage]
    pub type Active<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// Whether each neuron may set weights.
    #[pallet::storage]
    pub type ValidatorPermit<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// How much of each validator's weights agreed with consensus.
    #[pallet::storage]
    pub type ValidatorTrust<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// Each neuron's part of the stake.
    #[pallet::storage]
    pub type StakeWeight<T> = StorageMap<_, Identity, NetUid, Vec<u16>, ValueQuery>;
    /// The weight that validators agree on, for each neuron.
    #[pallet::storage]
    pub type Consensus<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// The same, by mechanism.
    #[pallet::storage]
    pub type ConsensusByMechanism<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<PerU16>, ValueQuery>;
    /// Each miner's part of the miners' emission, by mechanism.
    #[pallet::storage]
    pub type Incentive<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<PerU16>, ValueQuery>;
    /// Each validator's part of the validators' emission.
    #[pallet::storage]
    pub type Dividends<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// Alpha that each neuron earned.
    #[pallet::storage]
    pub type Emission<T> = StorageMap<_, Identity, NetUid, Vec<AlphaBalance>, ValueQuery>;

    // What the next epoch shares out
    /// Alpha for miners.
    #[pallet::storage]
    pub type PendingServerEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha for validators' alpha stake.
    #[pallet::storage]
    pub type PendingValidatorEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha for validators' root stake.
    #[pallet::storage]
    pub type PendingRootAlphaDivs<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha for the owner.
    #[pallet::storage]
    pub type PendingOwnerCut<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// The part of the miners' emission that was withheld at the last epoch.
    #[pallet::storage]
    pub type MinerBurned<T> = StorageMap<_, Identity, NetUid, U64F64, ValueQuery>;

    // Commits of weights
    /// Hashes of weights that wait to be revealed: hash, epoch, first and last block of the commit's window.
    #[pallet::storage]
    pub type WeightCommits<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        NetUidStorageIndex,
        Twox64Concat,
        T::AccountId,
        Vec<(H256, u64, u64, u64)>,
        OptionQuery,
    >;
    /// Encrypted weights that wait for their round: who, block, ciphertext, round.
    #[pallet::storage]
    pub type TimelockedWeightCommits<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        NetUidStorageIndex,
        Twox64Concat,
        u64,
        Vec<(T::AccountId, u64, BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>, u64)>,
        ValueQuery,
    >;
}
