//! Why something is not as on the real chain.

use crate::items::{Item, Kind};

/// Items that differ for one reason.
#[derive(Debug)]
pub(crate) struct Explanation {
    place: &'static str,
    kind: Kind,
    names: &'static [&'static str],
    pub(crate) reason: &'static str,
}

impl Explanation {
    pub(crate) fn fits(&self, item: &Item) -> bool {
        self.place == item.place && self.kind == item.kind && self.names.contains(&item.name.as_str())
    }
}

const NEWER: &str = "the framework here is newer";
const PLAIN: &str =
    "balances are plain u64 here: the framework's pallet asks for an arithmetic type; the bytes are the same";

/// All of them. One that nothing needs fails the test.
pub(crate) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        place: "Balances",
        kind: Kind::Call,
        names: &[
            "transfer_allow_death",
            "force_transfer",
            "transfer_keep_alive",
            "force_unreserve",
            "force_set_balance",
            "force_adjust_total_issuance",
            "burn",
        ],
        reason: PLAIN,
    },
    Explanation {
        place: "Balances",
        kind: Kind::Event,
        names: &[
            "Endowed",
            "DustLost",
            "Transfer",
            "BalanceSet",
            "Reserved",
            "Unreserved",
            "ReserveRepatriated",
            "Deposit",
            "Withdraw",
            "Slashed",
            "Minted",
        ],
        reason: PLAIN,
    },
    Explanation {
        place: "Balances",
        kind: Kind::Storage,
        names: &["TotalIssuance", "InactiveIssuance"],
        reason: PLAIN,
    },
    Explanation { place: "Balances", kind: Kind::Constant, names: &["ExistentialDeposit"], reason: PLAIN },
    Explanation { place: "TransactionPayment", kind: Kind::Event, names: &["TransactionFeePaid"], reason: PLAIN },
    Explanation {
        place: "TransactionPaymentApi",
        kind: Kind::Method,
        names: &["query_weight_to_fee", "query_length_to_fee"],
        reason: PLAIN,
    },
    Explanation {
        place: "TransactionPaymentCallApi",
        kind: Kind::Method,
        names: &["query_weight_to_fee", "query_length_to_fee"],
        reason: PLAIN,
    },
    Explanation {
        place: "System",
        kind: Kind::Event,
        names: &["CodeUpdated"],
        reason: "the framework here is newer: the event names the code's hash; it never happens, the code is native",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        names: &["BlockLength"],
        reason: "the framework here is newer: the type has the header's length as well",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        names: &["DbWeight"],
        reason: "calls have flat weights, reads and writes are not counted",
    },
    Explanation {
        place: "System",
        kind: Kind::Constant,
        names: &["Version"],
        reason: "its own spec version, by which clients cache metadata; fewer runtime APIs",
    },
    Explanation { place: "System", kind: Kind::Storage, names: &["BlockSize", "BlocksTillUpgrade"], reason: NEWER },
    Explanation {
        place: "Timestamp",
        kind: Kind::Constant,
        names: &["MinimumPeriod"],
        reason: "blocks may follow each other as fast as they are made",
    },
    Explanation {
        place: "Balances",
        kind: Kind::Event,
        names: &[
            "Burned",
            "Suspended",
            "Restored",
            "Upgraded",
            "Issued",
            "Rescinded",
            "Locked",
            "Unlocked",
            "Frozen",
            "Thawed",
            "TotalIssuanceForced",
        ],
        reason: "the framework here is newer: two events before these moved their indices; clients find events by name",
    },
    Explanation {
        place: "Balances",
        kind: Kind::Event,
        names: &[
            "MintedCredit",
            "BurnedDebt",
            "Held",
            "BurnedHeld",
            "TransferOnHold",
            "TransferAndHold",
            "Released",
            "Unexpected",
        ],
        reason: NEWER,
    },
    Explanation { place: "TransactionPayment", kind: Kind::Storage, names: &["TxPaymentCredit"], reason: NEWER },
    Explanation {
        place: "Core",
        kind: Kind::Method,
        names: &["execute_block"],
        reason: "the framework here is newer: the block's calls are decoded one by one; the bytes are the same",
    },
    Explanation {
        place: "BlockBuilder",
        kind: Kind::Method,
        names: &["check_inherents"],
        reason: "the framework here is newer: the block's calls are decoded one by one; the bytes are the same",
    },
];
