//! Why a call was refused.

use frame_support::pallet_macros::pallet_section;

/// Errors under the names and indices of the real chain.
#[pallet_section]
mod errors {
    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// Root does not exist.
        #[codec(index = 0)]
        RootNetworkDoesNotExist,
        /// The address type must be 4 or 6.
        #[codec(index = 1)]
        InvalidIpType,
        /// The address cannot be reached by others: unspecified, loopback or broadcast.
        #[codec(index = 2)]
        InvalidIpAddress,
        /// The port must not be 0.
        #[codec(index = 3)]
        InvalidPort,
        /// The hotkey is not registered in this subnet.
        #[codec(index = 4)]
        HotKeyNotRegisteredInSubNet,
        /// Nobody owns this hotkey: register it first.
        #[codec(index = 5)]
        HotKeyAccountNotExists,
        /// The hotkey is not registered in any subnet.
        #[codec(index = 6)]
        HotKeyNotRegisteredInNetwork,
        /// The hotkey belongs to another coldkey.
        #[codec(index = 7)]
        NonAssociatedColdKey,
        /// The hotkey has too little stake.
        #[codec(index = 8)]
        NotEnoughStake,
        /// The coldkey has less stake on this hotkey.
        #[codec(index = 9)]
        NotEnoughStakeToWithdraw,
        /// The hotkey has less stake than setting weights needs.
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The hotkey has less stake than setting children needs.
        #[codec(index = 11)]
        NotEnoughStakeToSetChildkeys,
        /// The coldkey's balance is too low.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The balance could not be taken from the coldkey.
        #[codec(index = 13)]
        BalanceWithdrawalError,
        /// The withdrawal would empty the account.
        #[codec(index = 14)]
        ZeroBalanceAfterWithdrawn,
        /// The neuron has no validator permit.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// There must be as many weights as uids.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// A uid stands twice among the weights.
        #[codec(index = 17)]
        DuplicateUids,
        /// A uid among the weights does not exist.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// There are fewer weights than the subnet asks for.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// No more registrations in this block.
        #[codec(index = 20)]
        TooManyRegistrationsThisBlock,
        /// The hotkey is registered already.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// The new hotkey is the old one.
        #[codec(index = 22)]
        NewHotKeyIsSameWithOld,
        /// The new hotkey has stake or claims on root already.
        #[codec(index = 23)]
        NewHotKeyNotCleanForRootSwap,
        /// The work is for a block that is too old or still to come.
        #[codec(index = 24)]
        InvalidWorkBlock,
        /// The work misses the difficulty.
        #[codec(index = 25)]
        InvalidDifficulty,
        /// The work is not what its nonce gives.
        #[codec(index = 26)]
        InvalidSeal,
        /// A weight is larger than the subnet allows.
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The hotkey is a delegate already.
        #[codec(index = 28)]
        HotKeyAlreadyDelegate,
        /// The last weights were set too recently.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// The version of the weights is older than the subnet asks for.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// The endpoint was announced too recently.
        #[codec(index = 31)]
        ServingRateLimitExceeded,
        /// There are more weights than neurons.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// A subnet was created too recently.
        #[codec(index = 33)]
        NetworkTxRateLimitExceeded,
        /// The take was raised too recently.
        #[codec(index = 34)]
        DelegateTxRateLimitExceeded,
        /// Hotkeys were swapped too recently.
        #[codec(index = 35)]
        HotKeySetTxRateLimitExceeded,
        /// Stake changed too often in this interval.
        #[codec(index = 36)]
        StakingRateLimitExceeded,
        /// Registration is closed in this subnet.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// No more registrations in this interval.
        #[codec(index = 38)]
        TooManyRegistrationsThisInterval,
        /// A hotkey must sign this call.
        #[codec(index = 39)]
        TransactorAccountShouldBeHotKey,
        /// The chain has no faucet.
        #[codec(index = 40)]
        FaucetDisabled,
        /// Only the owner of the subnet may do this.
        #[codec(index = 41)]
        NotSubnetOwner,
        /// Root has its own registration.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// Every member of root has more stake.
        #[codec(index = 43)]
        StakeTooLowForRoot,
        /// No subnet is old enough to give way.
        #[codec(index = 44)]
        AllNetworksInImmunity,
        /// The balance does not pay for swapping the hotkey.
        #[codec(index = 45)]
        NotEnoughBalanceToPaySwapHotKey,
        /// Only root has this.
        #[codec(index = 46)]
        NotRootSubnet,
        /// Root has no weights.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No slot is free and none can be replaced.
        #[codec(index = 48)]
        NoNeuronIdAvailable,
        /// The take is below the least, or not higher (when raised) or not lower (when lowered) than before.
        #[codec(index = 49)]
        DelegateTakeTooLow,
        /// The take is above the largest.
        #[codec(index = 50)]
        DelegateTakeTooHigh,
        /// There is no commit to reveal.
        #[codec(index = 51)]
        NoWeightsCommitFound,
        /// The revealed weights do not match the commit.
        #[codec(index = 52)]
        InvalidRevealCommitHashNotMatch,
        /// This subnet wants weights committed first.
        #[codec(index = 53)]
        CommitRevealEnabled,
        /// This subnet takes no commits.
        #[codec(index = 54)]
        CommitRevealDisabled,
        /// Liquid alpha is off.
        #[codec(index = 55)]
        LiquidAlphaDisabled,
        /// The high bound is too low.
        #[codec(index = 56)]
        AlphaHighTooLow,
        /// The low bound is too low or above the high one.
        #[codec(index = 57)]
        AlphaLowOutOfRange,
        /// The new coldkey has hotkeys or stake already.
        #[codec(index = 58)]
        ColdKeyAlreadyAssociated,
        /// The balance does not pay for swapping the coldkey.
        #[codec(index = 59)]
        NotEnoughBalanceToPaySwapColdKey,
        /// A hotkey cannot be its own child.
        #[codec(index = 60)]
        InvalidChild,
        /// A child is named twice.
        #[codec(index = 61)]
        DuplicateChild,
        /// The children's parts are more than the whole.
        #[codec(index = 62)]
        ProportionOverflow,
        /// A hotkey has at most five children.
        #[codec(index = 63)]
        TooManyChildren,
        /// The owner changed this too recently.
        #[codec(index = 64)]
        TxRateLimitExceeded,
        /// No swap of this coldkey was announced.
        #[codec(index = 65)]
        ColdkeySwapAnnouncementNotFound,
        /// The announced swap is not due yet.
        #[codec(index = 66)]
        ColdkeySwapTooEarly,
        /// The last announcement is too recent for another one.
        #[codec(index = 67)]
        ColdkeySwapReannouncedTooEarly,
        /// Another coldkey was announced.
        #[codec(index = 68)]
        AnnouncedColdkeyHashDoesNotMatch,
        /// The swap is disputed already.
        #[codec(index = 69)]
        ColdkeySwapAlreadyDisputed,
        /// The new coldkey is a hotkey.
        #[codec(index = 70)]
        NewColdKeyIsHotkey,
        /// The take is outside its bounds.
        #[codec(index = 71)]
        InvalidChildkeyTake,
        /// The take of a child was changed too recently.
        #[codec(index = 72)]
        TxChildkeyTakeRateLimitExceeded,
        /// The identity is too long.
        #[codec(index = 73)]
        InvalidIdentity,
        /// The subnet has no such mechanism.
        #[codec(index = 74)]
        MechanismDoesNotExist,
        /// The stake is locked.
        #[codec(index = 75)]
        StakeUnavailable,
        /// There is no such subnet.
        #[codec(index = 76)]
        SubnetNotExists,
        /// Ten commits wait for their reveal already.
        #[codec(index = 77)]
        TooManyUnrevealedCommits,
        /// The time to reveal this commit has passed.
        #[codec(index = 78)]
        ExpiredWeightCommit,
        /// The commit cannot be revealed yet.
        #[codec(index = 79)]
        RevealTooEarly,
        /// The lists differ in length.
        #[codec(index = 80)]
        InputLengthsUnequal,
        /// The last commit is too recent.
        #[codec(index = 81)]
        CommittingWeightsTooFast,
        /// The amount is too small.
        #[codec(index = 82)]
        AmountTooLow,
        /// The pool cannot serve this amount.
        #[codec(index = 83)]
        InsufficientLiquidity,
        /// The price would pass the limit.
        #[codec(index = 84)]
        SlippageTooHigh,
        /// Stake of this subnet cannot be given away.
        #[codec(index = 85)]
        TransferDisallowed,
        /// The activity cutoff is below the least one.
        #[codec(index = 86)]
        ActivityCutoffTooLow,
        /// The call is disabled.
        #[codec(index = 87)]
        CallDisabled,
        /// The subnet was started already.
        #[codec(index = 88)]
        FirstEmissionBlockNumberAlreadySet,
        /// The subnet cannot be started yet.
        #[codec(index = 89)]
        NeedWaitingMoreBlocksToStarCall,
        /// The subnet has issued less alpha.
        #[codec(index = 90)]
        NotEnoughAlphaOutToRecycle,
        /// TAO on root is neither burned nor recycled.
        #[codec(index = 91)]
        CannotBurnOrRecycleOnRootSubnet,
        /// The signature gives no public key.
        #[codec(index = 92)]
        UnableToRecoverPublicKey,
        /// The signature is another key's.
        #[codec(index = 93)]
        InvalidRecoveredPublicKey,
        /// The subnet was not started yet.
        #[codec(index = 94)]
        SubtokenDisabled,
        /// The hotkey was swapped in this subnet too recently.
        #[codec(index = 95)]
        HotKeySwapOnSubnetIntervalNotPassed,
        /// Collateral keeps the stake from staying behind.
        #[codec(index = 96)]
        KeepStakeBlockedByCollateral,
        /// The stake is there already: keys and subnet are the same.
        #[codec(index = 97)]
        SameNetuid,
        /// The balance is too low.
        #[codec(index = 98)]
        InsufficientTaoBalance,
        /// The lease has another beneficiary.
        #[codec(index = 99)]
        InvalidLeaseBeneficiary,
        /// A lease ends in the future.
        #[codec(index = 100)]
        LeaseCannotEndInThePast,
        /// The leased subnet was not found.
        #[codec(index = 101)]
        LeaseNetuidNotFound,
        /// There is no such lease.
        #[codec(index = 102)]
        LeaseDoesNotExist,
        /// The lease has no end.
        #[codec(index = 103)]
        LeaseHasNoEndBlock,
        /// The lease still runs.
        #[codec(index = 104)]
        LeaseHasNotEnded,
        /// A sum is out of range.
        #[codec(index = 105)]
        Overflow,
        /// The beneficiary does not own this hotkey.
        #[codec(index = 106)]
        BeneficiaryDoesNotOwnHotkey,
        /// The beneficiary must sign this call.
        #[codec(index = 107)]
        ExpectedBeneficiaryOrigin,
        /// An epoch is near: wait until it has passed.
        #[codec(index = 108)]
        AdminActionProhibitedDuringWeightsWindow,
        /// The chain has no such symbol.
        #[codec(index = 109)]
        SymbolDoesNotExist,
        /// Another subnet has this symbol.
        #[codec(index = 110)]
        SymbolAlreadyInUse,
        /// The version of the commit is not the accepted one.
        #[codec(index = 111)]
        IncorrectCommitRevealVersion,
        /// The reveal round has passed.
        #[codec(index = 112)]
        InvalidRevealRound,
        /// The reveal period is too long.
        #[codec(index = 113)]
        RevealPeriodTooLarge,
        /// The reveal period is too short.
        #[codec(index = 114)]
        RevealPeriodTooSmall,
        /// The value is out of its bounds.
        #[codec(index = 115)]
        InvalidValue,
        /// There are as many subnets as there may be.
        #[codec(index = 116)]
        SubnetLimitReached,
        /// The balance is below the price of a subnet.
        #[codec(index = 117)]
        CannotAffordLockCost,
        /// An EVM key was associated too recently.
        #[codec(index = 118)]
        EvmKeyAssociateRateLimitExceeded,
        /// The EVM key has as many hotkeys as it may.
        #[codec(index = 119)]
        EvmKeyAssociationLimitExceeded,
        /// The coldkey stakes on this hotkey already.
        #[codec(index = 120)]
        SameAutoStakeHotkeyAlreadySet,
        /// The slots of the subnet could not be cleared.
        #[codec(index = 121)]
        UidMapCouldNotBeCleared,
        /// Immune neurons would fill too much of the subnet.
        #[codec(index = 122)]
        TrimmingWouldExceedMaxImmunePercentage,
        /// Children and parents contradict each other.
        #[codec(index = 123)]
        ChildParentInconsistency,
        /// The threshold of claims is outside its bounds.
        #[codec(index = 124)]
        InvalidRootClaimThreshold,
        /// All mechanisms together have room for at most 256 neurons.
        #[codec(index = 125)]
        TooManyUIDsPerMechanism,
        /// The subnet does not track voting power.
        #[codec(index = 126)]
        VotingPowerTrackingNotEnabled,
        /// The smoothing factor is above one.
        #[codec(index = 127)]
        InvalidVotingPowerEmaAlpha,
        /// The call is no longer in use.
        #[codec(index = 128)]
        Deprecated,
        /// The subnet bought its alpha too recently.
        #[codec(index = 129)]
        SubnetBuybackRateLimitExceeded,
        /// The subnet is being dissolved already.
        #[codec(index = 130)]
        NetworkDissolveAlreadyQueued,
        /// Alpha was bought and destroyed too recently.
        #[codec(index = 131)]
        AddStakeBurnRateLimitExceeded,
        /// A swap of this coldkey is announced.
        #[codec(index = 132)]
        ColdkeySwapAnnounced,
        /// A swap of this coldkey is disputed.
        #[codec(index = 133)]
        ColdkeySwapDisputed,
        /// The announcement cannot be withdrawn yet.
        #[codec(index = 134)]
        ColdkeySwapClearTooEarly,
        /// The call is disabled for now.
        #[codec(index = 135)]
        DisabledTemporarily,
        /// The price is above the limit.
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
        /// The lock is on another hotkey.
        #[codec(index = 137)]
        LockHotkeyMismatch,
        /// There is less stake than is to be locked.
        #[codec(index = 138)]
        InsufficientStakeForLock,
        /// Nothing is locked.
        #[codec(index = 139)]
        NoExistingLock,
        /// Stake is locked already.
        #[codec(index = 140)]
        ActiveLockExists,
        /// The account belongs to the chain itself.
        #[codec(index = 141)]
        CannotUseSystemAccount,
        /// Less is locked.
        #[codec(index = 142)]
        UnlockAmountTooHigh,
        /// A dissolved subnet is still being removed.
        #[codec(index = 143)]
        WaitingForDissolvedSubnetCleanup,
        /// The tempo is out of its bounds.
        #[codec(index = 144)]
        TempoOutOfBounds,
        /// The activity cutoff is out of its bounds.
        #[codec(index = 145)]
        ActivityCutoffFactorMilliOutOfBounds,
        /// The owner asked for an epoch already.
        #[codec(index = 146)]
        EpochTriggerAlreadyPending,
        /// The next epoch comes as soon.
        #[codec(index = 147)]
        AutoEpochAlreadyImminent,
        /// With commit-reveal on, epochs keep their schedule.
        #[codec(index = 148)]
        DynamicTempoBlockedByCommitReveal,
        /// The receiver refuses locked alpha.
        #[codec(index = 149)]
        AccountRejectsLockedAlpha,
        /// No further lock can be numbered.
        #[codec(index = 150)]
        LockIdOverFlow,
        /// The subnet cannot be started yet.
        #[codec(index = 151)]
        StartCallNotReady,
        /// There is less alpha.
        #[codec(index = 152)]
        InsufficientAlphaBalance,
        /// The coldkey's collateral is incomplete.
        #[codec(index = 153)]
        ColdkeyCollateralIncomplete,
        /// The coldkey has collateral on as many hotkeys as it may.
        #[codec(index = 154)]
        ColdkeyCollateralPositionsFull,
        /// The basket has no weights.
        #[codec(index = 155)]
        BasketHasNoWeights,
        /// The stake on root is still locked.
        #[codec(index = 156)]
        RootStakeLocked,
        /// The baskets are still being set up.
        #[codec(index = 157)]
        BetaBasketSeedInProgress,
        /// Root sets no weights.
        #[codec(index = 158)]
        RootWeightSettingDisabled,
        /// The claim is too large for one call.
        #[codec(index = 159)]
        RootClaimTooHeavy,
        /// One subnet would have too large a part of the basket.
        #[codec(index = 160)]
        BasketConcentrationCapExceeded,
        /// A deposit into the basket is pending.
        #[codec(index = 161)]
        BasketDepositPending,
        /// Baskets are not traded.
        #[codec(index = 162)]
        BasketTradingDisabled,
        /// Trading of baskets is frozen.
        #[codec(index = 163)]
        BasketTradingFrozen,
        /// The basket has traded as much as it may.
        #[codec(index = 164)]
        BasketTurnoverBudgetExceeded,
        /// The basket would trade a subnet against itself.
        #[codec(index = 165)]
        BasketSameSubnet,
        /// The trade is too large for the pool.
        #[codec(index = 166)]
        BasketLiquidityCapExceeded,
        /// The trade would bring less than asked for.
        #[codec(index = 167)]
        BasketMinOutNotMet,
    }
}
