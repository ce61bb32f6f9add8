//! Why a call was refused.

use frame_support::pallet_macros::pallet_section;

/// Errors under the names and indices of the real chain.
#[pallet_section]
mod errors {
    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
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
        /// The coldkey has less stake on this hotkey.
        #[codec(index = 9)]
        NotEnoughStakeToWithdraw,
        /// The hotkey has less stake than setting weights needs.
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The coldkey's balance is too low.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The balance could not be taken from the coldkey.
        #[codec(index = 13)]
        BalanceWithdrawalError,
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
        /// A weight is larger than the subnet allows.
        #[codec(index = 27)]
        MaxWeightExceeded,
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
        /// Registration is closed in this subnet.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// No more registrations in this interval.
        #[codec(index = 38)]
        TooManyRegistrationsThisInterval,
        /// Only the owner of the subnet may do this.
        #[codec(index = 41)]
        NotSubnetOwner,
        /// Root has its own registration.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// Every member of root has more stake.
        #[codec(index = 43)]
        StakeTooLowForRoot,
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
        /// The owner changed this too recently.
        #[codec(index = 64)]
        TxRateLimitExceeded,
        /// The identity is too long.
        #[codec(index = 73)]
        InvalidIdentity,
        /// The subnet has no such mechanism.
        #[codec(index = 74)]
        MechanismDoesNotExist,
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
        /// The subnet was started already.
        #[codec(index = 88)]
        FirstEmissionBlockNumberAlreadySet,
        /// The subnet cannot be started yet.
        #[codec(index = 89)]
        NeedWaitingMoreBlocksToStarCall,
        /// The subnet was not started yet.
        #[codec(index = 94)]
        SubtokenDisabled,
        /// The balance is too low.
        #[codec(index = 98)]
        InsufficientTaoBalance,
        /// An epoch is near: wait until it has passed.
        #[codec(index = 108)]
        AdminActionProhibitedDuringWeightsWindow,
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
        /// Immune neurons would fill too much of the subnet.
        #[codec(index = 122)]
        TrimmingWouldExceedMaxImmunePercentage,
        /// All mechanisms together have room for at most 256 neurons.
        #[codec(index = 125)]
        TooManyUIDsPerMechanism,
        /// The price is above the limit.
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
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
    }
}
