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

const CLAIMS: &str = "root dividends accumulate in RootClaimable and cannot be claimed: the real chain pays them out \
                      through validator baskets, which are unsupported";

/// All explained absences. The test fails if one of these items is supported.
pub(crate) static ABSENCES: &[Absence] = &[Absence {
    place: "SubtensorModule",
    kind: Kind::Call,
    names: &["claim_root", "claim_root_with_hotkey", "sudo_set_root_claim_threshold"],
    reason: CLAIMS,
}];

/// The difference of an item that only our runtime has.
pub(crate) const NOT_THEIRS: &str = "is not theirs";
const NEWER: &str = "newer polkadot-sdk release";

/// All explained differences. The test fails if one does not occur.
pub(crate) static EXPLANATIONS: &[Explanation] = &[
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
        reason: "own implementation name, and own spec version, by which clients cache metadata; fewer runtime APIs",
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
        reason: "newer polkadot-sdk release: two new events shift their indices; clients look up events by name",
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
