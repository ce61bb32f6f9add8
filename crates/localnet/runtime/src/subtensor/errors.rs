//! Errors of the Subtensor pallet.

use frame_support::pallet_macros::pallet_section;

/// Errors with the names and indices of the real chain.
#[pallet_section]
mod errors {
    /// Errors of the pallet's calls.
    #[pallet::error]
    pub enum Error<T> {
        /// The root network does not exist.
        #[codec(index = 0)]
        RootNetworkDoesNotExist,
        /// The user is trying to serve an axon which is not of type 4 (IPv4) or 6 (IPv6).
        #[codec(index = 1)]
        InvalidIpType,
        /// An invalid IP address is passed to the serve function.
        #[codec(index = 2)]
        InvalidIpAddress,
        /// An invalid port is passed to the serve function.
        #[codec(index = 3)]
        InvalidPort,
        /// The hotkey is not registered in subnet
        #[codec(index = 4)]
        HotKeyNotRegisteredInSubNet,
        /// The hotkey does not exists
        #[codec(index = 5)]
        HotKeyAccountNotExists,
        /// The hotkey is not registered in any subnet.
        #[codec(index = 6)]
        HotKeyNotRegisteredInNetwork,
        /// Request to stake, unstake or subscribe is made by a coldkey that is not associated with
        /// the hotkey account.
        #[codec(index = 7)]
        NonAssociatedColdKey,
        /// The caller does not have enought stake to perform this action.
        #[codec(index = 8)]
        NotEnoughStake,
        /// The caller is requesting removing more stake than there exists in the staking account.
        /// See: "[remove_stake()]".
        #[codec(index = 9)]
        NotEnoughStakeToWithdraw,
        /// The caller is requesting to set weights but the caller has less than minimum stake
        /// required to set weights (less than WeightsMinStake).
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The parent hotkey doesn't have enough own stake to set childkeys.
        #[codec(index = 11)]
        NotEnoughStakeToSetChildkeys,
        /// The caller is requesting adding more stake than there exists in the coldkey account.
        /// See: "[add_stake()]"
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The caller is trying to add stake, but for some reason the requested amount could not be
        /// withdrawn from the coldkey account.
        #[codec(index = 13)]
        BalanceWithdrawalError,
        /// Unsuccessfully withdraw, balance could be zero (can not make account exist) after
        /// withdrawal.
        #[codec(index = 14)]
        ZeroBalanceAfterWithdrawn,
        /// The caller is attempting to set non-self weights without being a permitted validator.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// The caller is attempting to set the weight keys and values but these vectors have
        /// different size.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// The caller is attempting to set weights with duplicate UIDs in the weight matrix.
        #[codec(index = 17)]
        DuplicateUids,
        /// The caller is attempting to set weight to at least one UID that does not exist in the
        /// metagraph.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// The dispatch is attempting to set weights on chain with fewer elements than are allowed.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// Number of registrations in this block exceeds the allowed number (i.e., exceeds the
        /// subnet hyperparameter "max_regs_per_block").
        #[codec(index = 20)]
        TooManyRegistrationsThisBlock,
        /// The caller is requesting registering a neuron which already exists in the active set.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// The new hotkey is the same as old one
        #[codec(index = 22)]
        NewHotKeyIsSameWithOld,
        /// The new hotkey has outstanding root claimable or non-zero root stake,
        /// so the root rate-book cannot be merged without misallocating dividends.
        #[codec(index = 23)]
        NewHotKeyNotCleanForRootSwap,
        /// The supplied PoW hash block is in the future or negative.
        #[codec(index = 24)]
        InvalidWorkBlock,
        /// The supplied PoW hash block does not meet the network difficulty.
        #[codec(index = 25)]
        InvalidDifficulty,
        /// The supplied PoW hash seal does not match the supplied work.
        #[codec(index = 26)]
        InvalidSeal,
        /// The dispatch is attempting to set weights on chain with weight value exceeding the
        /// configured max weight limit (currently `u16::MAX`).
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The hotkey is attempting to become a delegate when the hotkey is already a delegate.
        #[codec(index = 28)]
        HotKeyAlreadyDelegate,
        /// A transactor exceeded the rate limit for setting weights.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// A validator is attempting to set weights from a validator with incorrect weight version.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// An axon or prometheus serving exceeded the rate limit for a registered neuron.
        #[codec(index = 31)]
        ServingRateLimitExceeded,
        /// The caller is attempting to set weights with more UIDs than allowed.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// A transactor exceeded the rate limit for add network transaction.
        #[codec(index = 33)]
        NetworkTxRateLimitExceeded,
        /// A transactor exceeded the rate limit for delegate transaction.
        #[codec(index = 34)]
        DelegateTxRateLimitExceeded,
        /// A transactor exceeded the rate limit for setting or swapping hotkey.
        #[codec(index = 35)]
        HotKeySetTxRateLimitExceeded,
        /// A transactor exceeded the rate limit for staking.
        #[codec(index = 36)]
        StakingRateLimitExceeded,
        /// Registration is disabled.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// The number of registration attempts exceeded the allowed number in the interval.
        #[codec(index = 38)]
        TooManyRegistrationsThisInterval,
        /// The hotkey is required to be the origin.
        #[codec(index = 39)]
        TransactorAccountShouldBeHotKey,
        /// Faucet is disabled.
        #[codec(index = 40)]
        FaucetDisabled,
        /// Not a subnet owner.
        #[codec(index = 41)]
        NotSubnetOwner,
        /// Operation is not permitted on the root subnet.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// A root registrant must hold at least as much root stake as the seat it
        /// would evict.
        #[codec(index = 43)]
        StakeTooLowForRoot,
        /// All subnets are in the immunity period.
        #[codec(index = 44)]
        AllNetworksInImmunity,
        /// Not enough balance to pay swapping hotkey.
        #[codec(index = 45)]
        NotEnoughBalanceToPaySwapHotKey,
        /// Netuid does not match for setting root network weights.
        #[codec(index = 46)]
        NotRootSubnet,
        /// Can not set weights for the root network.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No neuron ID is available.
        #[codec(index = 48)]
        NoNeuronIdAvailable,
        /// Delegate take is too low.
        #[codec(index = 49)]
        DelegateTakeTooLow,
        /// Delegate take is too high.
        #[codec(index = 50)]
        DelegateTakeTooHigh,
        /// No commit found for the provided hotkey+netuid combination when attempting to reveal the
        /// weights.
        #[codec(index = 51)]
        NoWeightsCommitFound,
        /// Committed hash does not equal the hashed reveal data.
        #[codec(index = 52)]
        InvalidRevealCommitHashNotMatch,
        /// Attempting to call set_weights when commit/reveal is enabled
        #[codec(index = 53)]
        CommitRevealEnabled,
        /// Attemtping to commit/reveal weights when disabled.
        #[codec(index = 54)]
        CommitRevealDisabled,
        /// Attempting to set alpha high/low while disabled
        #[codec(index = 55)]
        LiquidAlphaDisabled,
        /// Alpha high is too low: alpha_high > 0.8
        #[codec(index = 56)]
        AlphaHighTooLow,
        /// Alpha low is out of range: alpha_low > 0 && alpha_low < 0.8
        #[codec(index = 57)]
        AlphaLowOutOfRange,
        /// The coldkey has already been swapped
        #[codec(index = 58)]
        ColdKeyAlreadyAssociated,
        /// The coldkey balance is not enough to pay for the swap
        #[codec(index = 59)]
        NotEnoughBalanceToPaySwapColdKey,
        /// Attempting to set an invalid child for a hotkey on a network.
        #[codec(index = 60)]
        InvalidChild,
        /// Duplicate child when setting children.
        #[codec(index = 61)]
        DuplicateChild,
        /// Proportion overflow when setting children.
        #[codec(index = 62)]
        ProportionOverflow,
        /// Too many children MAX 5.
        #[codec(index = 63)]
        TooManyChildren,
        /// Default transaction rate limit exceeded.
        #[codec(index = 64)]
        TxRateLimitExceeded,
        /// Coldkey swap announcement not found
        #[codec(index = 65)]
        ColdkeySwapAnnouncementNotFound,
        /// Coldkey swap too early.
        #[codec(index = 66)]
        ColdkeySwapTooEarly,
        /// Coldkey swap reannounced too early.
        #[codec(index = 67)]
        ColdkeySwapReannouncedTooEarly,
        /// The announced coldkey hash does not match the new coldkey hash.
        #[codec(index = 68)]
        AnnouncedColdkeyHashDoesNotMatch,
        /// Coldkey swap already disputed
        #[codec(index = 69)]
        ColdkeySwapAlreadyDisputed,
        /// New coldkey is hotkey
        #[codec(index = 70)]
        NewColdKeyIsHotkey,
        /// Childkey take is invalid.
        #[codec(index = 71)]
        InvalidChildkeyTake,
        /// Childkey take rate limit exceeded.
        #[codec(index = 72)]
        TxChildkeyTakeRateLimitExceeded,
        /// Invalid identity.
        #[codec(index = 73)]
        InvalidIdentity,
        /// Subnet mechanism does not exist.
        #[codec(index = 74)]
        MechanismDoesNotExist,
        /// Trying to unstake or re-lock the locked amount.
        #[codec(index = 75)]
        StakeUnavailable,
        /// Trying to perform action on non-existent subnet.
        #[codec(index = 76)]
        SubnetNotExists,
        /// Maximum commit limit reached
        #[codec(index = 77)]
        TooManyUnrevealedCommits,
        /// Attempted to reveal weights that are expired.
        #[codec(index = 78)]
        ExpiredWeightCommit,
        /// Attempted to reveal weights too early.
        #[codec(index = 79)]
        RevealTooEarly,
        /// Attempted to batch reveal weights with mismatched vector input lenghts.
        #[codec(index = 80)]
        InputLengthsUnequal,
        /// A transactor exceeded the rate limit for setting weights.
        #[codec(index = 81)]
        CommittingWeightsTooFast,
        /// Stake amount is too low.
        #[codec(index = 82)]
        AmountTooLow,
        /// Not enough liquidity.
        #[codec(index = 83)]
        InsufficientLiquidity,
        /// Slippage is too high for the transaction.
        #[codec(index = 84)]
        SlippageTooHigh,
        /// Subnet disallows transfer.
        #[codec(index = 85)]
        TransferDisallowed,
        /// Activity cutoff is being set too low.
        #[codec(index = 86)]
        ActivityCutoffTooLow,
        /// Call is disabled
        #[codec(index = 87)]
        CallDisabled,
        /// FirstEmissionBlockNumber is already set.
        #[codec(index = 88)]
        FirstEmissionBlockNumberAlreadySet,
        /// need wait for more blocks to accept the start call extrinsic.
        #[codec(index = 89)]
        NeedWaitingMoreBlocksToStarCall,
        /// Not enough AlphaOut on the subnet to recycle
        #[codec(index = 90)]
        NotEnoughAlphaOutToRecycle,
        /// Cannot burn or recycle TAO from root subnet
        #[codec(index = 91)]
        CannotBurnOrRecycleOnRootSubnet,
        /// Public key cannot be recovered.
        #[codec(index = 92)]
        UnableToRecoverPublicKey,
        /// Recovered public key is invalid.
        #[codec(index = 93)]
        InvalidRecoveredPublicKey,
        /// SubToken disabled now
        #[codec(index = 94)]
        SubtokenDisabled,
        /// Too frequent hotkey swap on subnet
        #[codec(index = 95)]
        HotKeySwapOnSubnetIntervalNotPassed,
        /// `keep_stake` hotkey swap refused because the old hotkey still has
        /// standing miner collateral. Stake would stay on the old key while
        /// the UID moves, stranding the bond. Swap with `keep_stake=false` so
        /// collateral migrates with the UID (lineage maps track the rename).
        #[codec(index = 96)]
        KeepStakeBlockedByCollateral,
        /// Invalid netuid duplication
        #[codec(index = 97)]
        SameNetuid,
        /// The caller does not have enough TAO balance for the operation.
        #[codec(index = 98)]
        InsufficientTaoBalance,
        /// Invalid lease beneficiary to register the leased network.
        #[codec(index = 99)]
        InvalidLeaseBeneficiary,
        /// Lease cannot end in the past.
        #[codec(index = 100)]
        LeaseCannotEndInThePast,
        /// Couldn't find the lease netuid.
        #[codec(index = 101)]
        LeaseNetuidNotFound,
        /// Lease does not exist.
        #[codec(index = 102)]
        LeaseDoesNotExist,
        /// Lease has no end block.
        #[codec(index = 103)]
        LeaseHasNoEndBlock,
        /// Lease has not ended.
        #[codec(index = 104)]
        LeaseHasNotEnded,
        /// An overflow occurred.
        #[codec(index = 105)]
        Overflow,
        /// Beneficiary does not own hotkey.
        #[codec(index = 106)]
        BeneficiaryDoesNotOwnHotkey,
        /// Expected beneficiary origin.
        #[codec(index = 107)]
        ExpectedBeneficiaryOrigin,
        /// Admin operation is prohibited during the protected weights window
        #[codec(index = 108)]
        AdminActionProhibitedDuringWeightsWindow,
        /// Symbol does not exist.
        #[codec(index = 109)]
        SymbolDoesNotExist,
        /// Symbol already in use.
        #[codec(index = 110)]
        SymbolAlreadyInUse,
        /// Incorrect commit-reveal version.
        #[codec(index = 111)]
        IncorrectCommitRevealVersion,
        /// Reveal round is older than the most recently stored DRAND round.
        #[codec(index = 112)]
        InvalidRevealRound,
        /// Reveal period is too large.
        #[codec(index = 113)]
        RevealPeriodTooLarge,
        /// Reveal period is too small.
        #[codec(index = 114)]
        RevealPeriodTooSmall,
        /// Generic error for out-of-range parameter value
        #[codec(index = 115)]
        InvalidValue,
        /// Subnet limit reached & there is no eligible subnet to prune
        #[codec(index = 116)]
        SubnetLimitReached,
        /// Insufficient funds to meet the subnet lock cost
        #[codec(index = 117)]
        CannotAffordLockCost,
        /// exceeded the rate limit for associating an EVM key.
        #[codec(index = 118)]
        EvmKeyAssociateRateLimitExceeded,
        /// The EVM address already has the maximum number of associated UIDs on this subnet.
        #[codec(index = 119)]
        EvmKeyAssociationLimitExceeded,
        /// Same auto stake hotkey already set
        #[codec(index = 120)]
        SameAutoStakeHotkeyAlreadySet,
        /// The UID map for the subnet could not be cleared
        #[codec(index = 121)]
        UidMapCouldNotBeCleared,
        /// Trimming would exceed the max immune neurons percentage
        #[codec(index = 122)]
        TrimmingWouldExceedMaxImmunePercentage,
        /// Violating the rules of Childkey-Parentkey consistency
        #[codec(index = 123)]
        ChildParentInconsistency,
        /// Invalid value of root claim threshold
        #[codec(index = 124)]
        InvalidRootClaimThreshold,
        /// The maximum allowed UIDs times mechanism count should not exceed 256.
        #[codec(index = 125)]
        TooManyUIDsPerMechanism,
        /// Voting power tracking is not enabled for this subnet.
        #[codec(index = 126)]
        VotingPowerTrackingNotEnabled,
        /// Invalid voting power EMA alpha value (must be <= 10^18).
        #[codec(index = 127)]
        InvalidVotingPowerEmaAlpha,
        /// Deprecated call.
        #[codec(index = 128)]
        Deprecated,
        /// Subnet buyback exceeded the operation rate limit
        #[codec(index = 129)]
        SubnetBuybackRateLimitExceeded,
        /// Network already in dissolved queue
        #[codec(index = 130)]
        NetworkDissolveAlreadyQueued,
        /// "Add stake and burn" exceeded the operation rate limit
        #[codec(index = 131)]
        AddStakeBurnRateLimitExceeded,
        /// A coldkey swap has been announced for this account.
        #[codec(index = 132)]
        ColdkeySwapAnnounced,
        /// A coldkey swap for this account is under dispute.
        #[codec(index = 133)]
        ColdkeySwapDisputed,
        /// Coldkey swap clear too early.
        #[codec(index = 134)]
        ColdkeySwapClearTooEarly,
        /// Disabled temporarily.
        #[codec(index = 135)]
        DisabledTemporarily,
        /// Registration Price Limit Exceeded
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
        /// Lock hotkey mismatch: existing lock is for a different hotkey.
        #[codec(index = 137)]
        LockHotkeyMismatch,
        /// Insufficient stake on subnet to cover the lock amount.
        #[codec(index = 138)]
        InsufficientStakeForLock,
        /// No existing lock found for the given coldkey and subnet.
        #[codec(index = 139)]
        NoExistingLock,
        /// There is already an active lock for the given coldkey.
        #[codec(index = 140)]
        ActiveLockExists,
        /// A system account cannot be used in this operation
        #[codec(index = 141)]
        CannotUseSystemAccount,
        /// Trying to unlock more than locked
        #[codec(index = 142)]
        UnlockAmountTooHigh,
        /// Waiting for dissolved subnet cleanup.
        #[codec(index = 143)]
        WaitingForDissolvedSubnetCleanup,
        /// The supplied tempo is outside the allowed range.
        #[codec(index = 144)]
        TempoOutOfBounds,
        /// The supplied activity-cutoff factor is outside the allowed range.
        #[codec(index = 145)]
        ActivityCutoffFactorMilliOutOfBounds,
        /// An epoch trigger is already pending for this subnet; wait for it to fire
        /// before triggering again.
        #[codec(index = 146)]
        EpochTriggerAlreadyPending,
        /// The next automatic epoch is already imminent; a manual trigger would have
        /// no effect.
        #[codec(index = 147)]
        AutoEpochAlreadyImminent,
        /// `trigger_epoch` is blocked because commit-reveal is enabled for this subnet:
        /// an out-of-band epoch would desync the CRv3 reveal window from the wall-clock
        /// Drand schedule and silently drop committed weights.
        #[codec(index = 148)]
        DynamicTempoBlockedByCommitReveal,
        /// The destination coldkey rejects incoming locked alpha.
        #[codec(index = 149)]
        AccountRejectsLockedAlpha,
        /// The coldkey has already registered too many subnets
        #[codec(index = 150)]
        LockIdOverFlow,
        /// Need to wait more blocks to do the start call.
        #[codec(index = 151)]
        StartCallNotReady,
        /// The caller does not have enough Alpha stake for the operation.
        #[codec(index = 152)]
        InsufficientAlphaBalance,
        /// Coldkey swap could not fully migrate miner collateral: the old
        /// coldkey's [`ColdkeyMinerCollateral`] aggregate remained non-zero
        /// after migrating every indexed collateral hotkey. Failing closed
        /// avoids under-locking the destination unstake guard.
        #[codec(index = 153)]
        ColdkeyCollateralIncomplete,
        /// This coldkey already has the maximum number of distinct hotkeys
        /// with miner collateral on the subnet
        /// ([`crate::MAX_COLDKEY_COLLATERAL_HOTKEYS`]).
        #[codec(index = 154)]
        ColdkeyCollateralPositionsFull,
        /// Retired (kept for SCALE index stability): direct basket deposits into a fund
        /// with no holdings are held as the fund's root (TAO cash) slot instead of
        /// erroring.
        #[codec(index = 155)]
        BasketHasNoWeights,
        /// Root (netuid 0) stake is still within its `RootStakeUnlockInterval` hold window
        /// (measured from the last root stake add/remove/claim for that coldkey/hotkey) and
        /// cannot leave root yet. Prevents epoch-boundary just-in-time dividend sniping.
        #[codec(index = 156)]
        RootStakeLocked,
        /// The `migrate_seed_beta_basket_v2` seed has not completed. Basket deposits, claims,
        /// coldkey / root-touching hotkey swaps, and root stake add/remove/transfer/swap are
        /// paused until it finishes so snapshotted conversion cannot desync from live stake
        /// (`Σ owed == BasketShares`).
        #[codec(index = 157)]
        BetaBasketSeedInProgress,
        /// Retired (kept for SCALE index stability): the `set_root_weights` extrinsic and
        /// its network-wide gate were removed. Funds have no target vector; dividends
        /// accumulate in place and composition changes only through `swap_basket`.
        #[codec(index = 158)]
        RootWeightSettingDisabled,
        /// A root claim would process more root hotkeys and basket rows than the
        /// fixed admission envelope. Use
        /// `claim_root_with_hotkey` per validator so admission weight matches
        /// the holdings actually walked.
        #[codec(index = 159)]
        RootClaimTooHeavy,
        /// A `swap_basket` buy would leave the destination holding above
        /// [`crate::BasketConcentrationCap`] of fund NAV (holdings marked at realizable
        /// value). With the cap at 1/16 a traded fund must spread across at least 16
        /// holdings. Not enforced while the chain has fewer subnets than the cap demands.
        #[codec(index = 160)]
        BasketConcentrationCapExceeded,
        /// A queued root-dividend deposit could not be settled. Operations which change
        /// the hotkey's root claimant base must retry after the deposit becomes executable.
        #[codec(index = 161)]
        BasketDepositPending,
        /// `swap_basket` is disabled network-wide ([`crate::BasketTradingEnabled`] is false).
        #[codec(index = 162)]
        BasketTradingDisabled,
        /// Basket trading is frozen for this validator hotkey by governance
        /// ([`crate::BasketTradingFrozen`]).
        #[codec(index = 163)]
        BasketTradingFrozen,
        /// The trade would push more TAO through the fund than its turnover bucket holds
        /// ([`crate::BasketDailyTurnoverCap`] of fund NAV, refilling over
        /// [`crate::BASKET_TRADE_REFILL_BLOCKS`]). Wait for the bucket to refill or trade
        /// a smaller amount.
        #[codec(index = 164)]
        BasketTurnoverBudgetExceeded,
        /// `swap_basket` origin and destination are the same subnet.
        #[codec(index = 165)]
        BasketSameSubnet,
        /// The trade would leave the fund holding more of the destination subnet than
        /// [`crate::BasketLiquidityCap`] allows as a share of that subnet's alpha reserve.
        /// Trade a smaller amount or pick a deeper pool.
        #[codec(index = 166)]
        BasketLiquidityCapExceeded,
        /// The `swap_basket` buy leg credited less than the caller's `min_amount_out`
        /// (destination alpha, or TAO when the destination is root). The trade rolled
        /// back. Re-quote and retry, or lower the floor.
        #[codec(index = 167)]
        BasketMinOutNotMet,
    }
}
