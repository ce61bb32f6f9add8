//! Errors of the Subtensor pallet.

use frame_support::pallet_macros::pallet_section;

/// Errors with the names and indices of the real chain.
#[pallet_section]
mod errors {
    /// Errors of the pallet's calls.
    #[pallet::error]
    pub enum Error<T> {
        /// The root subnet does not exist.
        #[codec(index = 0)]
        RootNetworkDoesNotExist,
        /// The IP type is neither 4 nor 6.
        #[codec(index = 1)]
        InvalidIpType,
        /// The IP address is unreachable: unspecified, loopback or broadcast.
        #[codec(index = 2)]
        InvalidIpAddress,
        /// The port is 0.
        #[codec(index = 3)]
        InvalidPort,
        /// The hotkey is not registered in this subnet.
        #[codec(index = 4)]
        HotKeyNotRegisteredInSubNet,
        /// The hotkey has no owner: register it first.
        #[codec(index = 5)]
        HotKeyAccountNotExists,
        /// The hotkey is not registered in this subnet, or, for an identity, no hotkey of the coldkey in any.
        #[codec(index = 6)]
        HotKeyNotRegisteredInNetwork,
        /// The hotkey belongs to a different coldkey.
        #[codec(index = 7)]
        NonAssociatedColdKey,
        /// The hotkey has too little stake.
        #[codec(index = 8)]
        NotEnoughStake,
        /// The coldkey's stake on this hotkey is too low.
        #[codec(index = 9)]
        NotEnoughStakeToWithdraw,
        /// The hotkey's stake is too low to set weights.
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The hotkey's stake is too low to set child keys.
        #[codec(index = 11)]
        NotEnoughStakeToSetChildkeys,
        /// The coldkey's balance is too low.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The withdrawal from the coldkey failed.
        #[codec(index = 13)]
        BalanceWithdrawalError,
        /// The withdrawal would empty the account.
        #[codec(index = 14)]
        ZeroBalanceAfterWithdrawn,
        /// The neuron has no validator permit.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// The number of weights differs from the number of uids.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// The weights contain a duplicate uid.
        #[codec(index = 17)]
        DuplicateUids,
        /// The weights contain an unknown uid.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// The number of weights is below the subnet's minimum.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// The maximum number of registrations per block is reached.
        #[codec(index = 20)]
        TooManyRegistrationsThisBlock,
        /// The hotkey is already registered on this subnet.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// The new hotkey equals the old one.
        #[codec(index = 22)]
        NewHotKeyIsSameWithOld,
        /// The new hotkey already has stake or claims on root.
        #[codec(index = 23)]
        NewHotKeyNotCleanForRootSwap,
        /// The proof of work is for an old or a future block.
        #[codec(index = 24)]
        InvalidWorkBlock,
        /// The proof of work does not meet the difficulty.
        #[codec(index = 25)]
        InvalidDifficulty,
        /// The seal of the proof of work is invalid.
        #[codec(index = 26)]
        InvalidSeal,
        /// A weight exceeds the subnet's maximum.
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The hotkey is already a delegate.
        #[codec(index = 28)]
        HotKeyAlreadyDelegate,
        /// The rate limit of weight submissions is exceeded.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// The weights version key is below the subnet's minimum.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// The rate limit of endpoint announcements is exceeded.
        #[codec(index = 31)]
        ServingRateLimitExceeded,
        /// There are more weights than neurons.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// The rate limit of subnet creation is exceeded.
        #[codec(index = 33)]
        NetworkTxRateLimitExceeded,
        /// The rate limit of take increases is exceeded.
        #[codec(index = 34)]
        DelegateTxRateLimitExceeded,
        /// The rate limit of hotkey swaps is exceeded.
        #[codec(index = 35)]
        HotKeySetTxRateLimitExceeded,
        /// The rate limit of staking is exceeded.
        #[codec(index = 36)]
        StakingRateLimitExceeded,
        /// Registration is disabled on this subnet.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// The maximum number of registrations per interval is reached.
        #[codec(index = 38)]
        TooManyRegistrationsThisInterval,
        /// The call is not signed by a hotkey.
        #[codec(index = 39)]
        TransactorAccountShouldBeHotKey,
        /// The chain has no faucet.
        #[codec(index = 40)]
        FaucetDisabled,
        /// The caller is not the owner of the subnet.
        #[codec(index = 41)]
        NotSubnetOwner,
        /// The call cannot register a hotkey on root: use `root_register`.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// The hotkey's stake is too low: every member of root that is not immune has more.
        #[codec(index = 43)]
        StakeTooLowForRoot,
        /// The subnet limit is reached, and all subnets are within their immunity period.
        #[codec(index = 44)]
        AllNetworksInImmunity,
        /// The balance is too low to pay for the hotkey swap.
        #[codec(index = 45)]
        NotEnoughBalanceToPaySwapHotKey,
        /// The subnet is not root.
        #[codec(index = 46)]
        NotRootSubnet,
        /// Weights cannot be set on root.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No uid is free, and no neuron can be replaced.
        #[codec(index = 48)]
        NoNeuronIdAvailable,
        /// The take is below the minimum, or `increase_take` does not raise it, or `decrease_take` does not lower it.
        #[codec(index = 49)]
        DelegateTakeTooLow,
        /// The take exceeds the maximum.
        #[codec(index = 50)]
        DelegateTakeTooHigh,
        /// No commit to reveal was found.
        #[codec(index = 51)]
        NoWeightsCommitFound,
        /// The revealed weights do not match the commit.
        #[codec(index = 52)]
        InvalidRevealCommitHashNotMatch,
        /// Commit-reveal is enabled on this subnet.
        #[codec(index = 53)]
        CommitRevealEnabled,
        /// Commit-reveal is disabled on this subnet.
        #[codec(index = 54)]
        CommitRevealDisabled,
        /// Liquid alpha is disabled.
        #[codec(index = 55)]
        LiquidAlphaDisabled,
        /// The upper bound of liquid alpha is too low.
        #[codec(index = 56)]
        AlphaHighTooLow,
        /// The lower bound of liquid alpha is out of range.
        #[codec(index = 57)]
        AlphaLowOutOfRange,
        /// The new coldkey already has hotkeys or stake.
        #[codec(index = 58)]
        ColdKeyAlreadyAssociated,
        /// The balance is too low to pay for the coldkey swap.
        #[codec(index = 59)]
        NotEnoughBalanceToPaySwapColdKey,
        /// A hotkey cannot be its own child.
        #[codec(index = 60)]
        InvalidChild,
        /// A child is duplicated.
        #[codec(index = 61)]
        DuplicateChild,
        /// The sum of the children's proportions exceeds 100 %.
        #[codec(index = 62)]
        ProportionOverflow,
        /// The hotkey exceeds the maximum of five children.
        #[codec(index = 63)]
        TooManyChildren,
        /// The rate limit of this action of the subnet's owner is exceeded.
        #[codec(index = 64)]
        TxRateLimitExceeded,
        /// No swap of this coldkey was announced.
        #[codec(index = 65)]
        ColdkeySwapAnnouncementNotFound,
        /// The announced coldkey swap is not due yet.
        #[codec(index = 66)]
        ColdkeySwapTooEarly,
        /// The coldkey swap was announced again too early.
        #[codec(index = 67)]
        ColdkeySwapReannouncedTooEarly,
        /// The new coldkey does not match the announced hash.
        #[codec(index = 68)]
        AnnouncedColdkeyHashDoesNotMatch,
        /// The coldkey swap is already disputed.
        #[codec(index = 69)]
        ColdkeySwapAlreadyDisputed,
        /// The new coldkey is a hotkey.
        #[codec(index = 70)]
        NewColdKeyIsHotkey,
        /// The child key take is out of bounds.
        #[codec(index = 71)]
        InvalidChildkeyTake,
        /// The rate limit of child key takes is exceeded.
        #[codec(index = 72)]
        TxChildkeyTakeRateLimitExceeded,
        /// A field of the identity is too long.
        #[codec(index = 73)]
        InvalidIdentity,
        /// The mechanism does not exist.
        #[codec(index = 74)]
        MechanismDoesNotExist,
        /// The stake is locked.
        #[codec(index = 75)]
        StakeUnavailable,
        /// The subnet does not exist.
        #[codec(index = 76)]
        SubnetNotExists,
        /// The maximum of ten unrevealed commits is reached.
        #[codec(index = 77)]
        TooManyUnrevealedCommits,
        /// The reveal window of this commit has passed.
        #[codec(index = 78)]
        ExpiredWeightCommit,
        /// The commit cannot be revealed yet.
        #[codec(index = 79)]
        RevealTooEarly,
        /// The lists differ in length.
        #[codec(index = 80)]
        InputLengthsUnequal,
        /// The rate limit of commits is exceeded.
        #[codec(index = 81)]
        CommittingWeightsTooFast,
        /// The amount is too small.
        #[codec(index = 82)]
        AmountTooLow,
        /// The pool's liquidity is insufficient for this amount.
        #[codec(index = 83)]
        InsufficientLiquidity,
        /// The trade would move the price beyond the limit.
        #[codec(index = 84)]
        SlippageTooHigh,
        /// Stake transfers are disabled on this subnet.
        #[codec(index = 85)]
        TransferDisallowed,
        /// The activity cutoff is below its minimum.
        #[codec(index = 86)]
        ActivityCutoffTooLow,
        /// The call is disabled.
        #[codec(index = 87)]
        CallDisabled,
        /// The subnet is already started.
        #[codec(index = 88)]
        FirstEmissionBlockNumberAlreadySet,
        /// The subnet cannot be started yet: its start delay has not passed.
        #[codec(index = 89)]
        NeedWaitingMoreBlocksToStarCall,
        /// The amount exceeds the subnet's issued alpha.
        #[codec(index = 90)]
        NotEnoughAlphaOutToRecycle,
        /// TAO on root cannot be burned or recycled.
        #[codec(index = 91)]
        CannotBurnOrRecycleOnRootSubnet,
        /// No public key can be recovered from the signature.
        #[codec(index = 92)]
        UnableToRecoverPublicKey,
        /// The recovered public key does not match.
        #[codec(index = 93)]
        InvalidRecoveredPublicKey,
        /// Trading of the subnet's alpha is disabled: the subnet is not started.
        #[codec(index = 94)]
        SubtokenDisabled,
        /// The minimum interval between hotkey swaps on this subnet has not passed.
        #[codec(index = 95)]
        HotKeySwapOnSubnetIntervalNotPassed,
        /// A hotkey swap cannot leave the stake on the old hotkey while that hotkey has collateral.
        #[codec(index = 96)]
        KeepStakeBlockedByCollateral,
        /// Origin and destination of the stake are the same.
        #[codec(index = 97)]
        SameNetuid,
        /// The TAO balance is too low.
        #[codec(index = 98)]
        InsufficientTaoBalance,
        /// The lease belongs to a different beneficiary.
        #[codec(index = 99)]
        InvalidLeaseBeneficiary,
        /// The end of a lease must be in the future.
        #[codec(index = 100)]
        LeaseCannotEndInThePast,
        /// The subnet of the lease was not found.
        #[codec(index = 101)]
        LeaseNetuidNotFound,
        /// The lease does not exist.
        #[codec(index = 102)]
        LeaseDoesNotExist,
        /// The lease has no end.
        #[codec(index = 103)]
        LeaseHasNoEndBlock,
        /// The lease has not ended.
        #[codec(index = 104)]
        LeaseHasNotEnded,
        /// An arithmetic overflow occurred.
        #[codec(index = 105)]
        Overflow,
        /// The beneficiary does not own this hotkey.
        #[codec(index = 106)]
        BeneficiaryDoesNotOwnHotkey,
        /// The call is not signed by the beneficiary.
        #[codec(index = 107)]
        ExpectedBeneficiaryOrigin,
        /// The freeze window before an epoch prohibits the action: wait until the epoch has passed.
        #[codec(index = 108)]
        AdminActionProhibitedDuringWeightsWindow,
        /// The symbol does not exist.
        #[codec(index = 109)]
        SymbolDoesNotExist,
        /// The symbol is already in use.
        #[codec(index = 110)]
        SymbolAlreadyInUse,
        /// The version of the timelocked commit is unsupported.
        #[codec(index = 111)]
        IncorrectCommitRevealVersion,
        /// The reveal round of the timelocked commit has passed.
        #[codec(index = 112)]
        InvalidRevealRound,
        /// The reveal period is too long.
        #[codec(index = 113)]
        RevealPeriodTooLarge,
        /// The reveal period is too short.
        #[codec(index = 114)]
        RevealPeriodTooSmall,
        /// The value is out of bounds.
        #[codec(index = 115)]
        InvalidValue,
        /// The maximum number of subnets is reached.
        #[codec(index = 116)]
        SubnetLimitReached,
        /// The balance is below the cost of creating a subnet.
        #[codec(index = 117)]
        CannotAffordLockCost,
        /// The rate limit of associating EVM keys with hotkeys is exceeded.
        #[codec(index = 118)]
        EvmKeyAssociateRateLimitExceeded,
        /// The EVM key is already associated with the maximum number of hotkeys.
        #[codec(index = 119)]
        EvmKeyAssociationLimitExceeded,
        /// The hotkey is already selected for automatic staking.
        #[codec(index = 120)]
        SameAutoStakeHotkeyAlreadySet,
        /// The uid map of the subnet could not be cleared.
        #[codec(index = 121)]
        UidMapCouldNotBeCleared,
        /// The share of immune neurons after trimming would exceed its maximum.
        #[codec(index = 122)]
        TrimmingWouldExceedMaxImmunePercentage,
        /// The child and parent hotkeys would become inconsistent.
        #[codec(index = 123)]
        ChildParentInconsistency,
        /// The minimum claim of root dividends is out of bounds.
        #[codec(index = 124)]
        InvalidRootClaimThreshold,
        /// All mechanisms together would exceed 256 neurons.
        #[codec(index = 125)]
        TooManyUIDsPerMechanism,
        /// The subnet does not track voting power.
        #[codec(index = 126)]
        VotingPowerTrackingNotEnabled,
        /// The smoothing factor of voting power exceeds one.
        #[codec(index = 127)]
        InvalidVotingPowerEmaAlpha,
        /// The call is deprecated.
        #[codec(index = 128)]
        Deprecated,
        /// The rate limit of the subnet's alpha buybacks is exceeded.
        #[codec(index = 129)]
        SubnetBuybackRateLimitExceeded,
        /// The subnet is already being dissolved.
        #[codec(index = 130)]
        NetworkDissolveAlreadyQueued,
        /// The rate limit of buying and burning alpha is exceeded.
        #[codec(index = 131)]
        AddStakeBurnRateLimitExceeded,
        /// A coldkey swap is announced.
        #[codec(index = 132)]
        ColdkeySwapAnnounced,
        /// The coldkey swap is disputed.
        #[codec(index = 133)]
        ColdkeySwapDisputed,
        /// The announcement of the coldkey swap cannot be withdrawn yet.
        #[codec(index = 134)]
        ColdkeySwapClearTooEarly,
        /// The call is temporarily disabled.
        #[codec(index = 135)]
        DisabledTemporarily,
        /// The registration price exceeds the limit.
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
        /// The lock belongs to a different hotkey.
        #[codec(index = 137)]
        LockHotkeyMismatch,
        /// The stake is too low for the lock.
        #[codec(index = 138)]
        InsufficientStakeForLock,
        /// The coldkey has no lock on this subnet.
        #[codec(index = 139)]
        NoExistingLock,
        /// The coldkey already has an active lock.
        #[codec(index = 140)]
        ActiveLockExists,
        /// The account is a system account.
        #[codec(index = 141)]
        CannotUseSystemAccount,
        /// The amount exceeds the locked stake.
        #[codec(index = 142)]
        UnlockAmountTooHigh,
        /// A dissolved subnet is still being removed.
        #[codec(index = 143)]
        WaitingForDissolvedSubnetCleanup,
        /// The tempo is out of bounds.
        #[codec(index = 144)]
        TempoOutOfBounds,
        /// The activity cutoff factor is out of bounds.
        #[codec(index = 145)]
        ActivityCutoffFactorMilliOutOfBounds,
        /// The owner has already triggered an epoch.
        #[codec(index = 146)]
        EpochTriggerAlreadyPending,
        /// The next scheduled epoch is no later than a triggered one would be.
        #[codec(index = 147)]
        AutoEpochAlreadyImminent,
        /// With commit-reveal enabled, the schedule of epochs cannot be changed.
        #[codec(index = 148)]
        DynamicTempoBlockedByCommitReveal,
        /// The destination coldkey refuses locked alpha.
        #[codec(index = 149)]
        AccountRejectsLockedAlpha,
        /// The lock id overflows: the coldkey has registered too many subnets.
        #[codec(index = 150)]
        LockIdOverFlow,
        /// The subnet cannot be started yet: its start delay has not passed.
        #[codec(index = 151)]
        StartCallNotReady,
        /// The alpha balance is too low.
        #[codec(index = 152)]
        InsufficientAlphaBalance,
        /// The coldkey swap could not transfer all of the coldkey's collateral.
        #[codec(index = 153)]
        ColdkeyCollateralIncomplete,
        /// The coldkey has the maximum number of collateral positions.
        #[codec(index = 154)]
        ColdkeyCollateralPositionsFull,
        /// The basket has no weights.
        #[codec(index = 155)]
        BasketHasNoWeights,
        /// The stake on root is still locked.
        #[codec(index = 156)]
        RootStakeLocked,
        /// The baskets are still being seeded.
        #[codec(index = 157)]
        BetaBasketSeedInProgress,
        /// Setting root weights is disabled.
        #[codec(index = 158)]
        RootWeightSettingDisabled,
        /// The claim of root dividends is too large for one call.
        #[codec(index = 159)]
        RootClaimTooHeavy,
        /// The share of one subnet in the basket would be too large.
        #[codec(index = 160)]
        BasketConcentrationCapExceeded,
        /// A deposit into the basket is pending.
        #[codec(index = 161)]
        BasketDepositPending,
        /// Trading of baskets is disabled.
        #[codec(index = 162)]
        BasketTradingDisabled,
        /// Trading of this validator's basket is frozen.
        #[codec(index = 163)]
        BasketTradingFrozen,
        /// The basket's turnover budget is exceeded.
        #[codec(index = 164)]
        BasketTurnoverBudgetExceeded,
        /// The basket's trade has the same subnet as origin and destination.
        #[codec(index = 165)]
        BasketSameSubnet,
        /// The basket would hold too large a share of the subnet's alpha reserve.
        #[codec(index = 166)]
        BasketLiquidityCapExceeded,
        /// The basket's trade would return less than the requested minimum.
        #[codec(index = 167)]
        BasketMinOutNotMet,
    }
}
