//! Reasons for differences from the real chain.

mod unused;

pub(crate) use unused::UNUSED;

use crate::items::{Item, Kind};

/// Items that differ for the same reason.
#[derive(Debug)]
pub(crate) struct Explanation {
    owner: &'static str,
    kind: Kind,
    /// Differences by item name.
    pub(crate) differences: &'static [(&'static str, &'static str)],
    pub(crate) reason: &'static str,
}

impl Explanation {
    /// Returns the expected difference of an item; `None` if this explanation does not cover it.
    pub(crate) fn expected(&self, item: &Item) -> Option<&'static str> {
        let is_same_kind = self.owner == item.owner && self.kind == item.kind;
        let entry = self.differences.iter().find(|(name, _)| is_same_kind && *name == item.name);
        entry.map(|(_, difference)| *difference)
    }
}

/// Items that are unsupported, or have no effect, for the same reason.
#[derive(Debug)]
pub(crate) struct Absence {
    /// The pallets or runtime APIs that contain the items.
    pub(crate) owners: &'static [&'static str],
    pub(crate) items: AbsentItems,
    pub(crate) reason: &'static str,
}

/// The items of an absence.
#[derive(Debug)]
pub(crate) enum AbsentItems {
    /// All items of a pallet or runtime API.
    All,
    /// The items of a kind with these names.
    Items(Kind, &'static [&'static str]),
}

impl Absence {
    /// Whether this is the reason for an item.
    pub(crate) fn covers(&self, item: &Item) -> bool {
        self.owners.contains(&item.owner.as_str())
            && match self.items {
                AbsentItems::All => true,
                AbsentItems::Items(kind, names) => {
                    kind == item.kind && names.contains(&item.name.as_str())
                }
            }
    }

    /// Returns the number of its pallets and runtime APIs, or of its items.
    pub(crate) fn count(&self) -> usize {
        match self.items {
            AbsentItems::All => self.owners.len(),
            AbsentItems::Items(_, names) => names.len(),
        }
    }
}

const NO_EVM: &str = "the localnet has no EVM";
const FINAL: &str = "the node is the only author and finalizes blocks itself, without votes";
const NO_TRADES: &str = "baskets hold TAO on root only: there is nothing to trade";
const NO_PRICES: &str = "past prices of basket shares are not stored";
const IMMEDIATE: &str = "subnets are registered and removed immediately, without a queue";
const MIGRATIONS: &str = "for migrations of the state, which a new chain does not need";

/// All explained absences. The test fails if an unsupported item has no reason, or a supported one
/// has.
pub(crate) static ABSENCES: &[Absence] = &[
    Absence {
        owners: &[
            "Ethereum",
            "EVM",
            "EVMChainId",
            "BaseFee",
            "EthereumRuntimeRPCApi",
            "ConvertTransactionRuntimeApi",
        ],
        items: AbsentItems::All,
        reason: NO_EVM,
    },
    Absence {
        owners: &["Contracts", "RandomnessCollectiveFlip", "ContractsApi"],
        items: AbsentItems::All,
        reason: "the localnet runs no contracts, and nothing else reads their source of randomness",
    },
    Absence { owners: &["Grandpa", "GrandpaApi"], items: AbsentItems::All, reason: FINAL },
    Absence { owners: &["BabeApi"], items: AbsentItems::All, reason: "Aura selects the author" },
    Absence {
        owners: &["SessionKeys"],
        items: AbsentItems::All,
        reason: "the author's key is fixed",
    },
    Absence {
        owners: &["LimitOrders"],
        items: AbsentItems::All,
        reason: "the clients that the localnet is tested with place no limit orders",
    },
    Absence {
        owners: &["GenesisBuilder"],
        items: AbsentItems::All,
        reason: "the node builds the genesis state itself",
    },
    Absence {
        owners: &["OffchainWorkerApi"],
        items: AbsentItems::All,
        reason: "the chain has no off-chain worker: `tao localnet --drand` fetches drand pulses",
    },
    Absence {
        owners: &["ShieldApi"],
        items: AbsentItems::All,
        reason: "the node decrypts shielded extrinsics outside the runtime",
    },
    Absence {
        owners: &["System"],
        items: AbsentItems::Items(Kind::Storage, &["AllExtrinsicsLen"]),
        reason: "`BlockSize` replaces it in the localnet's newer polkadot-sdk release",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Call, &["swap_basket"]),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "SubnetFastMovingPrice",
                "BasketTradingEnabled",
                "BasketTradingFrozen",
                "BasketDailyTurnoverCap",
                "BasketLiquidityCap",
                "BasketTradeBucket",
                "BasketConcentrationCap",
            ],
        ),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &["PendingBasketDeposits", "PendingBasketFlushCursor"],
        ),
        reason: "dividends enter a basket at each epoch, without a queue",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "BetaBaseline",
                "BasketTwr",
                "BetaIndexSnapshot",
                "BetaIndexSweep",
                "BetaIndexFundSample",
            ],
        ),
        reason: NO_PRICES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["SubnetRootSellTao"]),
        reason: "baskets hold the dividends of root stake; `SubnetProtocolFlow` counts their sales",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["TotalHotkeyShares", "Alpha"]),
        reason: "superseded by `TotalHotkeySharesV2` and `AlphaV2`; a new chain has no older entries, and `tao localnet record` converts those of the recorded chain",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["AlphaSharePoolEpoch", "AlphaShareEpoch"]),
        reason: "a pool stays open while it has shares, so no share can be void; `tao localnet record` leaves out void shares of the recorded chain",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["CRV3WeightCommits", "CRV3WeightCommitsV2"]),
        reason: "superseded by `TimelockedWeightCommits`; a new chain has no older entries",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["LastTxBlock", "LastTxBlockChildKeyTake"]),
        reason: "superseded by `LastRateLimitedBlock`; a new chain has no older entries",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["MinActivityCutoff"]),
        reason: "360, the real chain's default: neither chain has a call that changes it",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "DissolveCleanupQueue",
                "CurrentDissolveCleanupStatus",
                "NetworkRegistrationQueue",
                "NetworkRegistrationLockId",
            ],
        ),
        reason: IMMEDIATE,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["NetworkRegistrationStartBlock"]),
        reason: "subnets can be registered from the first block on",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["RootStakeUnlockInterval"]),
        reason: "0, the real chain's default: root stake can be withdrawn immediately",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Storage, &["RegisteredSubnetCounter"]),
        reason: "for EVM precompiles; the localnet has no EVM",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &["TaoInRefundDeploymentBlock", "HasMigrationRun"],
        ),
        reason: MIGRATIONS,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Storage,
            &[
                "NextStakeJobId",
                "LastHotkeyEmissionOnNetuid",
                "AlphaMapLastKey",
                "AlphaV2MapLastKey",
                "LargestLocked",
                "ValidatorPruneLen",
                "LoadedEmission",
                "StakingColdkeysByIndex",
                "StakingColdkeys",
                "NumStakingColdkeys",
            ],
        ),
        reason: "bookkeeping that no call or runtime API of the localnet reads",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Event,
            &["BasketHoldingConverted", "BasketAlphaWrittenOff", "BasketSwapped"],
        ),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Event, &["BetaBaselineStamped"]),
        reason: NO_PRICES,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Event,
            &[
                "DissolveNetworkScheduled",
                "NetworkDissolveCleanupCompleted",
                "NetworkRegistrationQueued",
            ],
        ),
        reason: IMMEDIATE,
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Event, &["SubnetIdentityRemoved"]),
        reason: "`NetworkRemoved` also stands for the removal of the identity",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Event, &["StakeUnlocked"]),
        reason: "no call unlocks stake: locks decay",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Event, &["CRV3WeightsCommitted", "CRV3WeightsRevealed"]),
        reason: "superseded by `TimelockedWeightsCommitted` and `TimelockedWeightsRevealed`",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Event,
            &[
                "RootWeightsSet",
                "BulkNeuronsRegistered",
                "BulkBalancesSet",
                "MaxWeightLimitSet",
                "ValidatorPruneLenSet",
                "ScalingLawPowerSet",
                "DelegateAdded",
                "DefaultTakeSet",
                "BurnSet",
                "Sudid",
                "PowRegistrationAllowed",
                "AllBalanceUnstakedAndTransferredToNewColdkey",
                "ArbitrationPeriodExtended",
            ],
        ),
        reason: "no call of the localnet emits them: most of their calls were removed, or are always refused",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(
            Kind::Constant,
            &[
                "InitialEmissionValue",
                "InitialMinTransfer",
                "InitialValidatorPruneLen",
                "InitialActivityCutoff",
            ],
        ),
        reason: "initial values of settings that the localnet does not have",
    },
    Absence {
        owners: &["SubtensorModule"],
        items: AbsentItems::Items(Kind::Constant, &["BurnAccountId"]),
        reason: "burned TAO is subtracted from the issuance; no account holds it",
    },
    Absence {
        owners: &["Utility"],
        items: AbsentItems::Items(Kind::Error, &["InvalidDerivedAccount"]),
        reason: "does not exist in the localnet's newer polkadot-sdk release",
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(
            Kind::Call,
            &["sudo_set_evm_chain_id", "sudo_toggle_evm_precompile"],
        ),
        reason: NO_EVM,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(Kind::Call, &["swap_authorities", "schedule_grandpa_change"]),
        reason: FINAL,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(
            Kind::Call,
            &[
                "sudo_set_basket_concentration_cap",
                "sudo_set_basket_trading_enabled",
                "sudo_set_basket_trading_frozen",
                "sudo_set_basket_daily_turnover_cap",
                "sudo_set_basket_liquidity_cap",
            ],
        ),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(Kind::Storage, &["PrecompileEnable"]),
        reason: NO_EVM,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(Kind::Event, &["PrecompileUpdated"]),
        reason: NO_EVM,
    },
    Absence {
        owners: &["AdminUtils"],
        items: AbsentItems::Items(
            Kind::Event,
            &[
                "BasketConcentrationCapSet",
                "BasketTradingToggled",
                "BasketTradingFrozenSet",
                "BasketDailyTurnoverCapSet",
                "BasketLiquidityCapSet",
            ],
        ),
        reason: NO_TRADES,
    },
    Absence {
        owners: &["Swap"],
        items: AbsentItems::Items(
            Kind::Storage,
            &["BalancerTaoReservoir", "BalancerAlphaReservoir", "ScrapReservoirAlpha"],
        ),
        reason: "pools set nothing aside: emission enters them immediately",
    },
    Absence {
        owners: &["Swap"],
        items: AbsentItems::Items(Kind::Storage, &["HasMigrationRun"]),
        reason: MIGRATIONS,
    },
];

/// Marker for an item that exists only in our runtime.
pub(crate) const NOT_THEIRS: &str = "is not theirs";
const NEWER: &str = "exists only in the localnet's newer polkadot-sdk release";

/// All explained differences. The test fails if one does not occur.
pub(crate) static EXPLANATIONS: &[Explanation] = &[
    Explanation {
        owner: "Drand",
        kind: Kind::Call,
        differences: &[
            (
                "write_pulse",
                "PulsesPayload: MultiSigner: variant Eth is not theirs; Option<MultiSignature>: Some: MultiSignature: variant Eth is not theirs",
            ),
            (
                "set_beacon_config",
                "BeaconConfigurationPayload: MultiSigner: variant Eth is not theirs; Option<MultiSignature>: Some: MultiSignature: variant Eth is not theirs",
            ),
        ],
        reason: "newer polkadot-sdk release: keys and signatures may also be Ethereum's",
    },
    Explanation {
        owner: "System",
        kind: Kind::Event,
        differences: &[("CodeUpdated", r#"[["hash","H256"]] is not []"#)],
        reason: "newer polkadot-sdk release: the event has the code hash; a native runtime never emits it",
    },
    Explanation {
        owner: "System",
        kind: Kind::Constant,
        differences: &[(
            "BlockLength",
            r#""0x00003c00000050000000500000" is not "0x000078000000a0000000a000"; BlockLength: fields ["max", "max_header_size"] are not ["max"]"#,
        )],
        reason: "newer polkadot-sdk release: the type also has the maximum header size",
    },
    Explanation {
        owner: "System",
        kind: Kind::Constant,
        differences: &[("Version", r#""taonet-localnet" is not "node-subtensor""#)],
        reason: "different implementation name; different spec version, by which clients cache metadata; fewer runtime APIs",
    },
    Explanation {
        owner: "System",
        kind: Kind::Storage,
        differences: &[("BlockSize", NOT_THEIRS), ("BlocksTillUpgrade", NOT_THEIRS)],
        reason: NEWER,
    },
    Explanation {
        owner: "Timestamp",
        kind: Kind::Constant,
        differences: &[("MinimumPeriod", r#""0x0000000000000000" is not "0x7d00000000000000""#)],
        reason: "no minimum time between blocks, so that they can be produced as fast as possible",
    },
    Explanation {
        owner: "Balances",
        kind: Kind::Event,
        differences: &[
            ("Burned", "12 is not 11"),
            ("Suspended", "14 is not 12"),
            ("Restored", "15 is not 13"),
            ("Upgraded", "16 is not 14"),
            ("Issued", "17 is not 15"),
            ("Rescinded", "18 is not 16"),
            ("Locked", "19 is not 17"),
            ("Unlocked", "20 is not 18"),
            ("Frozen", "21 is not 19"),
            ("Thawed", "22 is not 20"),
            ("TotalIssuanceForced", "23 is not 21"),
        ],
        reason: "newer polkadot-sdk release: two new events shift the indices of the events after them; clients look up events by name",
    },
    Explanation {
        owner: "Balances",
        kind: Kind::Event,
        differences: &[
            ("MintedCredit", NOT_THEIRS),
            ("BurnedDebt", NOT_THEIRS),
            ("Held", NOT_THEIRS),
            ("BurnedHeld", NOT_THEIRS),
            ("TransferOnHold", NOT_THEIRS),
            ("TransferAndHold", NOT_THEIRS),
            ("Released", NOT_THEIRS),
            ("Unexpected", NOT_THEIRS),
        ],
        reason: NEWER,
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Call,
        differences: &[("pow_register", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 registers by proof of work with it",
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("LastPowRegistrationBlock", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 registers by proof of work with it",
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("SubnetEpochConsensus", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 reads it before it sets weights",
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Call,
        differences: &[("faucet", NOT_THEIRS)],
        reason: "in builds of the real chain with the feature `pow-faucet`, for tests",
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("RootClaimType", NOT_THEIRS)],
        reason: "removed from the real chain in spec version 461; `btcli subnets show` 9.23 still reads it",
    },
    Explanation {
        owner: "SubtensorModule",
        kind: Kind::Constant,
        differences: &[("MaxEpochsPerBlock", NOT_THEIRS)],
        reason: "a storage item of the real chain, which SDK 10 reads as a constant; this chain has both",
    },
    Explanation {
        owner: "ProxyFilterRuntimeApi",
        kind: Kind::Method,
        differences: &[("get_proxy_filter", NOT_THEIRS)],
        reason: "the name under which SDK 10 calls `get_proxy_filters`",
    },
    Explanation {
        owner: "TransactionPayment",
        kind: Kind::Storage,
        differences: &[("TxPaymentCredit", NOT_THEIRS)],
        reason: NEWER,
    },
    Explanation {
        owner: "Core",
        kind: Kind::Method,
        differences: &[("execute_block", r#""LazyBlock" is not "Block""#)],
        reason: "newer polkadot-sdk release: extrinsics are decoded lazily; the encoding is equal",
    },
    Explanation {
        owner: "BlockBuilder",
        kind: Kind::Method,
        differences: &[("check_inherents", r#""LazyBlock" is not "Block""#)],
        reason: "newer polkadot-sdk release: extrinsics are decoded lazily; the encoding is equal",
    },
];
