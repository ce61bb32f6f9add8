//! Reasons why the localnet does not use items that clients can decode.

use super::{Absence, AbsentItems, FINAL, IMMEDIATE, MIGRATIONS, NO_TRADES};
use crate::items::Kind;

const LEFT_OVER: &str = "not returned by the published source of spec version 425 (opentensor/subtensor 14bc6f9f) either";
const IMPOSSIBLE: &str = "for states that cannot occur on the localnet";
const RECORDS: &str = "records for clients";
const READ_BY_425: &str =
    "records for clients; the published source of spec version 425 also reads them";
const FLOWS: &str =
    "emission follows prices; that spec version 461 does the same is inferred, see TAO flows";
const NOT_DECRYPTED: &str =
    "stored ciphertexts are never decrypted, so their calls are never executed";

/// Items that only clients use: events that are never emitted, errors that no call returns, and
/// storage that is written and never read. The test fails unless they are exactly those found in
/// the source code.
pub(crate) static UNUSED: &[Absence] = &[
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &[
                "BasketConcentrationCapExceeded",
                "BasketTradingDisabled",
                "BasketTradingFrozen",
                "BasketTurnoverBudgetExceeded",
                "BasketSameSubnet",
                "BasketLiquidityCapExceeded",
                "BasketMinOutNotMet",
            ],
        ),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &["BasketHasNoWeights", "RootWeightSettingDisabled"],
        ),
        reason: "baskets have no weights; the metadata of the real chain describes both errors as retired",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["BasketDepositPending"]),
        reason: "dividends enter a basket at each epoch, without a queue",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["RootClaimTooHeavy"]),
        reason: "`claim_root` has no limit: a claim takes TAO from baskets, and sells nothing",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["BetaBasketSeedInProgress"]),
        reason: MIGRATIONS,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["RootStakeLocked"]),
        reason: "root stake can be withdrawn immediately, as with the real chain's default interval",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &["NetworkDissolveAlreadyQueued", "WaitingForDissolvedSubnetCleanup", "LockIdOverFlow"],
        ),
        reason: IMMEDIATE,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["NeedWaitingMoreBlocksToStarCall"]),
        reason: "superseded by `StartCallNotReady`",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["FaucetDisabled"]),
        reason: "the localnet has the faucet",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Error, &["UnableToRecoverPublicKey"]),
        reason: "as in the published source of spec version 425, `associate_evm_key` fails with InvalidIdentity if no key can be recovered; a recovered key is always valid",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &[
                "RootNetworkDoesNotExist",
                "BalanceWithdrawalError",
                "LeaseNetuidNotFound",
                "UidMapCouldNotBeCleared",
            ],
        ),
        reason: IMPOSSIBLE,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &[
                "NotEnoughStake",
                "ZeroBalanceAfterWithdrawn",
                "HotKeyAlreadyDelegate",
                "StakingRateLimitExceeded",
                "TransactorAccountShouldBeHotKey",
                "AllNetworksInImmunity",
                "NotRootSubnet",
                "CallDisabled",
                "NotEnoughAlphaOutToRecycle",
                "AddStakeBurnRateLimitExceeded",
                "DisabledTemporarily",
                "UnlockAmountTooHigh",
            ],
        ),
        reason: LEFT_OVER,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Error,
            &["SubnetBuybackRateLimitExceeded", "InsufficientAlphaBalance"],
        ),
        reason: "the published source of spec version 425 (opentensor/subtensor 14bc6f9f) lacks these errors: which calls return them is unknown",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "TaoFlowCutoff",
                "FlowNormExponent",
                "FlowEmaSmoothingFactor",
                "NetTaoFlowEnabled",
                "SubnetTaoFlow",
                "SubnetEmaTaoFlow",
                "SubnetProtocolFlow",
            ],
        ),
        reason: FLOWS,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &["SubnetLocked", "SubnetProtocolAlpha", "StakeWeight"],
        ),
        reason: READ_BY_425,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["DissolveNetworkScheduleDuration"]),
        reason: IMMEDIATE,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "TotalNetworks",
                "TotalAlphaStaked",
                "SubnetExcessTao",
                "RAORecycledForRegistration",
                "RootAlphaDividendsPerSubnet",
                "TotalVotingPower",
                "LastColdkeyHotkeyStakeBlock",
                "HotkeySuccessor",
                "ColdkeySuccessor",
                "ActivityCutoff",
            ],
        ),
        reason: RECORDS,
    },
    Absence {
        owners: &["AlphaAssets"],
        items: AbsentItems::Items(Kind::Storage, &["AlphaBurned", "AlphaRecycled"]),
        reason: RECORDS,
    },
    Absence {
        owners: &["Commitments"],
        items: AbsentItems::Items(Kind::Storage, &["LastCommitment", "LastBondsReset"]),
        reason: RECORDS,
    },
    Absence {
        owners: &["Proxy"],
        items: AbsentItems::Items(Kind::Storage, &["LastCallResult"]),
        reason: RECORDS,
    },
    Absence {
        owners: &["Swap"],
        items: AbsentItems::Items(Kind::Storage, &["PalSwapInitialized"]),
        reason: READ_BY_425,
    },
    Absence {
        owners: &["MevShield"],
        items: AbsentItems::Items(Kind::Storage, &["PendingKeyExpiresAt", "NextKeyExpiresAt"]),
        reason: "the keys do not expire",
    },
    Absence {
        owners: &["MevShield"],
        items: AbsentItems::Items(Kind::Storage, &["OnInitializeWeight", "MaxExtrinsicWeight"]),
        reason: NOT_DECRYPTED,
    },
    Absence {
        owners: &["MevShield"],
        items: AbsentItems::Items(
            Kind::Event,
            &[
                "ExtrinsicDispatchFailed",
                "ExtrinsicDispatched",
                "ExtrinsicPostponed",
                "ExtrinsicWeightExceeded",
            ],
        ),
        reason: NOT_DECRYPTED,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(Kind::Error, &["GrandpaChangeDelayMustBeZero"]),
        reason: FINAL,
    },
    Absence {
        owners: &["Commitments"],
        items: AbsentItems::Items(Kind::Error, &["TooManyFieldsInCommitmentInfo"]),
        reason: "a commitment with more fields than `MaxFields` cannot be decoded",
    },
    Absence {
        owners: &["Commitments"],
        items: AbsentItems::Items(Kind::Error, &["UnexpectedUnreserveLeftover"]),
        reason: "commitments reserve no deposit",
    },
    Absence {
        owners: &["Crowdloan"],
        items: AbsentItems::Items(Kind::Error, &["ContributionPeriodNotEnded"]),
        reason: LEFT_OVER,
    },
    Absence {
        owners: &["Crowdloan"],
        items: AbsentItems::Items(Kind::Error, &["Underflow"]),
        reason: IMPOSSIBLE,
    },
    Absence {
        owners: &["Drand"],
        items: AbsentItems::Items(
            Kind::Error,
            &["NoneValue", "StorageOverflow", "DrandConnectionFailure", "UnverifiedPulse"],
        ),
        reason: LEFT_OVER,
    },
    Absence {
        owners: &["Proxy"],
        items: AbsentItems::Items(Kind::Error, &["Unproxyable"]),
        reason: LEFT_OVER,
    },
    Absence {
        owners: &["Proxy"],
        items: AbsentItems::Items(Kind::Error, &["AnnouncementDepositInvariantViolated"]),
        reason: IMPOSSIBLE,
    },
    Absence {
        owners: &["Swap"],
        items: AbsentItems::Items(
            Kind::Error,
            &[
                "InsufficientInputAmount",
                "InsufficientBalance",
                "InvalidTickRange",
                "InvalidLiquidityValue",
                "SubtokenDisabled",
            ],
        ),
        reason: LEFT_OVER,
    },
    Absence {
        owners: &["Swap"],
        items: AbsentItems::Items(Kind::Error, &["InsufficientLiquidity", "ReservesOutOfBalance"]),
        reason: IMPOSSIBLE,
    },
];
