//! Reasons for differences from the real chain.

use crate::items::{Item, Kind};

/// Items that differ for the same reason.
#[derive(Debug)]
pub(crate) struct Explanation {
    place: &'static str,
    kind: Kind,
    /// Differences by item name.
    pub(crate) differences: &'static [(&'static str, &'static str)],
    pub(crate) reason: &'static str,
}

impl Explanation {
    /// Returns the expected difference of an item; `None` if this explanation does not cover it.
    pub(crate) fn expected(&self, item: &Item) -> Option<&'static str> {
        let is_its = self.place == item.place && self.kind == item.kind;
        let known = self.differences.iter().find(|(name, _)| is_its && *name == item.name);
        known.map(|(_, difference)| *difference)
    }
}

/// Unsupported items whose reason users should know.
#[derive(Debug)]
pub(crate) struct Absence {
    pub(crate) place: &'static str,
    pub(crate) kind: Kind,
    pub(crate) names: &'static [&'static str],
    pub(crate) reason: &'static str,
}

impl Absence {
    pub(crate) fn fits(&self, item: &Item, name: &str) -> bool {
        self.place == item.place && self.kind == item.kind && item.name == name
    }
}

/// All explained absences. The test fails if one of these items is supported.
pub(crate) static ABSENCES: &[Absence] = &[
    Absence {
        place: "SubtensorModule",
        kind: Kind::Call,
        names: &["swap_basket"],
        reason: "baskets hold TAO on root only: there is nothing to trade",
    },
    Absence {
        place: "AdminUtils",
        kind: Kind::Call,
        names: &["sudo_set_evm_chain_id", "sudo_toggle_evm_precompile"],
        reason: "the localnet has no EVM",
    },
    Absence {
        place: "AdminUtils",
        kind: Kind::Call,
        names: &["swap_authorities", "schedule_grandpa_change"],
        reason: "the node is the only author, and blocks are final immediately",
    },
    Absence {
        place: "AdminUtils",
        kind: Kind::Call,
        names: &[
            "sudo_set_basket_concentration_cap",
            "sudo_set_basket_trading_enabled",
            "sudo_set_basket_trading_frozen",
            "sudo_set_basket_daily_turnover_cap",
            "sudo_set_basket_liquidity_cap",
        ],
        reason: "baskets hold TAO on root only: there is nothing to trade",
    },
];

/// Marker for an item that exists only in our runtime.
pub(crate) const NOT_THEIRS: &str = "is not theirs";
const NEWER: &str = "exists only in the localnet's newer polkadot-sdk release";

/// All explained differences. The test fails if one does not occur.
pub(crate) static EXPLANATIONS: &[Explanation] = &[
    Explanation {
        place: "Drand",
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
        place: "System",
        kind: Kind::Event,
        differences: &[("CodeUpdated", r#"[["hash","H256"]] is not []"#)],
        reason: "newer polkadot-sdk release: the event has the code hash; a native runtime never emits it",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[(
            "BlockLength",
            r#""0x00003c00000050000000500000" is not "0x000078000000a0000000a000"; BlockLength: fields ["max", "max_header_size"] are not ["max"]"#,
        )],
        reason: "newer polkadot-sdk release: the type also has the maximum header size",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[(
            "DbWeight",
            r#""0x00000000000000000000000000000000" is not "0x40787d010000000000e1f50500000000""#,
        )],
        reason: "call weights are flat: storage reads and writes are not counted",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[("Version", r#""taonet-localnet" is not "node-subtensor""#)],
        reason: "different implementation name; different spec version, by which clients cache metadata; fewer runtime APIs",
    },
    Explanation {
        place: "System",
        kind: Kind::Storage,
        differences: &[("BlockSize", NOT_THEIRS), ("BlocksTillUpgrade", NOT_THEIRS)],
        reason: NEWER,
    },
    Explanation {
        place: "Timestamp",
        kind: Kind::Constant,
        differences: &[("MinimumPeriod", r#""0x0000000000000000" is not "0x7d00000000000000""#)],
        reason: "no minimum time between blocks, so that they can be produced as fast as possible",
    },
    Explanation {
        place: "Balances",
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
        place: "Balances",
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
        place: "SubtensorModule",
        kind: Kind::Call,
        differences: &[("pow_register", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 registers by proof of work with it",
    },
    Explanation {
        place: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("LastPowRegistrationBlock", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 registers by proof of work with it",
    },
    Explanation {
        place: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("SubnetEpochConsensus", NOT_THEIRS)],
        reason: "newer than spec version 461; SDK 11 reads it before it sets weights",
    },
    Explanation {
        place: "SubtensorModule",
        kind: Kind::Call,
        differences: &[("faucet", NOT_THEIRS)],
        reason: "in builds of the real chain with the feature `pow-faucet`, for tests",
    },
    Explanation {
        place: "SubtensorModule",
        kind: Kind::Storage,
        differences: &[("RootClaimType", NOT_THEIRS)],
        reason: "removed from the real chain in spec version 461; `btcli subnets show` 9.23 still reads it",
    },
    Explanation {
        place: "TransactionPayment",
        kind: Kind::Storage,
        differences: &[("TxPaymentCredit", NOT_THEIRS)],
        reason: NEWER,
    },
    Explanation {
        place: "Core",
        kind: Kind::Method,
        differences: &[("execute_block", r#""LazyBlock" is not "Block""#)],
        reason: "newer polkadot-sdk release: extrinsics are decoded lazily; the encoding is equal",
    },
    Explanation {
        place: "BlockBuilder",
        kind: Kind::Method,
        differences: &[("check_inherents", r#""LazyBlock" is not "Block""#)],
        reason: "newer polkadot-sdk release: extrinsics are decoded lazily; the encoding is equal",
    },
];
