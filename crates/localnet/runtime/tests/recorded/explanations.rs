//! Why something is not as on the real chain.

use crate::items::{Item, Kind};

/// Items that differ for one reason.
#[derive(Debug)]
pub(crate) struct Explanation {
    place: &'static str,
    kind: Kind,
    /// By name, all that differs.
    pub(crate) differences: &'static [(&'static str, &'static str)],
    pub(crate) reason: &'static str,
}

impl Explanation {
    /// What differs in an item by this explanation; `None` if it is about others.
    pub(crate) fn expected(&self, item: &Item) -> Option<&'static str> {
        let is_its = self.place == item.place && self.kind == item.kind;
        let known = self.differences.iter().find(|(name, _)| is_its && *name == item.name);
        known.map(|(_, difference)| *difference)
    }
}

/// Items that are missing for a reason that their users should know.
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

const CLAIMS: &str = "what stake on root earns adds up in RootClaimable and stays there: the real chain of this version \
                      pays it out through baskets of validators, which are not served";

/// All of them. One that is served fails the test.
pub(crate) static ABSENCES: &[Absence] = &[Absence {
    place: "SubtensorModule",
    kind: Kind::Call,
    names: &["claim_root", "claim_root_with_hotkey", "sudo_set_root_claim_threshold"],
    reason: CLAIMS,
}];

/// All that is said of an item that is ours alone.
pub(crate) const NOT_THEIRS: &str = "is not theirs";
const NEWER: &str = "the framework here is newer";

/// All of them. One that nothing needs fails the test.
pub(crate) static EXPLANATIONS: &[Explanation] = &[
    Explanation {
        place: "System",
        kind: Kind::Event,
        differences: &[("CodeUpdated", r#"[["hash","H256"]] is not []"#)],
        reason: "the framework here is newer: the event names the code's hash; it never happens, the code is native",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[(
            "BlockLength",
            r#""0x00003c00000050000000500000" is not "0x000078000000a0000000a000"; BlockLength: fields ["max", "max_header_size"] are not ["max"]"#,
        )],
        reason: "the framework here is newer: the type has the header's length as well",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[(
            "DbWeight",
            r#""0x00000000000000000000000000000000" is not "0x40787d010000000000e1f50500000000""#,
        )],
        reason: "calls have flat weights, reads and writes are not counted",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        differences: &[("Version", r#""taonet-localnet" is not "node-subtensor""#)],
        reason: "its own spec version, by which clients cache metadata; fewer runtime APIs",
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
        reason: "blocks may follow each other as fast as they are made",
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
        reason: "the framework here is newer: two events before these moved their indices; clients find events by name",
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
        reason: "gone from the real chain with spec version 461; `btcli subnets show` of 9.23 still reads it",
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
        reason: "the framework here is newer: the block's calls are decoded one by one; the bytes are the same",
    },
    Explanation {
        place: "BlockBuilder",
        kind: Kind::Method,
        differences: &[("check_inherents", r#""LazyBlock" is not "Block""#)],
        reason: "the framework here is newer: the block's calls are decoded one by one; the bytes are the same",
    },
];
