//! The columns of every table; their ranks decide which are omitted first on narrow terminals.

mod babelbit;
mod nineteen;
mod proof;
mod yuma;

use crate::table::Column;

pub use babelbit::{
    CHALLENGES, CHUTE_PROBES, CONDITIONS, EXAMPLE, FIELD_METRICS, INTERPRET_BENCHMARK, LEADERBOARD,
    MISMATCHES, RULES, SCORING_BENCHMARK, SETTINGS, STANDINGS, STT_BENCHMARK, TEXT_SCORES,
    TEXT_STANDINGS, TIMINGS, WEIGHT_VECTOR,
};
pub use nineteen::{
    API_KEYS, DEPOSITS, IMPORT_REMARKS, IMPORTED_TABLES, INVOICE, MARKET, TASKS, TEAMS, USAGE,
};
pub use proof::{
    CONTRIBUTIONS, PROOF_CIRCUITS, PROOF_FILES, PROOF_SLICES, PROOF_STANDINGS, PROOF_TALLIES,
    PROOF_USER,
};
pub use yuma::{
    YUMA_CLASSIC, YUMA_CONSENSUS, YUMA_DIVIDENDS, YUMA_RANK, YUMA_RESULT, YUMA_STAKE, YUMA_TRUST,
    yuma_matrix,
};

const fn number(name: &'static str) -> Column {
    Column::number(name)
}

const fn fixed(name: &'static str) -> Column {
    Column::fixed(name)
}

const fn address(name: &'static str) -> Column {
    Column::address(name)
}

const fn text(name: &'static str) -> Column {
    Column::text(name)
}

/// Columns of `tao axon ping`.
pub static PING: [Column; 6] = [
    number("sent"),
    number("answered"),
    number("min ms").rank(1),
    number("median ms"),
    number("p99 ms"),
    text("outcomes"),
];

/// Columns of `tao bench-miner`: requests by return code.
pub static BENCH_OUTCOMES: [Column; 6] = [
    fixed("outcome"),
    number("code").rank(2),
    number("requests"),
    number("share"),
    number("p50 ms"),
    number("p99 ms").rank(1),
];

/// Columns of `tao bench-miner`: failures by reason.
pub static BENCH_FAILURES: [Column; 4] =
    [number("requests"), fixed("outcome"), number("status").rank(1), text("reason")];

/// Columns of `tao balance`.
pub static BALANCE: [Column; 5] = [
    address("account"),
    number("free TAO"),
    number("reserved").rank(2),
    number("frozen").rank(1),
    number("stake"),
];

/// Columns of `tao stake auto get`.
pub static AUTO_STAKES: [Column; 2] = [number("netuid"), address("hotkey")];

/// Columns of `tao call`.
pub static CALLS: [Column; 3] = [fixed("call"), text("arguments"), text("meaning").rank(1)];

/// Columns of `tao commitment get`.
pub static COMMITMENTS: [Column; 2] = [address("hotkey"), text("text")];

/// Columns of `tao proxy list`.
pub static PROXIES: [Column; 3] = [address("proxy"), fixed("type"), number("delay")];

/// Columns of `tao proxy announcements` and `tao multisig list`.
pub static ANNOUNCEMENTS: [Column; 3] =
    [number("block"), address("call hash"), address("account").rank(1)];

/// Columns of `tao crowdloan list`.
pub static CROWDLOANS: [Column; 7] = [
    number("id"),
    fixed("state"),
    number("raised TAO"),
    number("cap TAO"),
    number("end").rank(2),
    number("contributors").rank(3),
    address("creator").rank(1),
];

/// Columns of `tao crowdloan show`: contributions.
pub static CONTRIBUTORS: [Column; 2] = [address("contributor"), number("TAO")];

/// Columns of `tao crowdloan contributors`.
pub static CROWDLOAN_SHARES: [Column; 3] = [address("contributor"), number("TAO"), number("share")];

/// Columns of `tao lock list`.
pub static LOCKS: [Column; 5] = [
    number("netuid"),
    address("hotkey"),
    number("locked"),
    number("conviction").rank(1),
    fixed("mode"),
];

/// Columns of `tao subnets conviction`.
pub static CONVICTIONS: [Column; 3] =
    [address("hotkey"), number("conviction"), fixed("owner").rank(1)];

/// Columns of `tao subnets price`.
pub static PRICES: [Column; 4] =
    [number("netuid"), number("spot price, τ"), number("moving average"), text("name").rank(1)];

/// Columns of `tao subnets mechanisms emissions`.
pub static MECHANISMS: [Column; 3] = [number("mechanism"), number("parts"), number("share")];

/// Columns of `tao delegates`.
pub static DELEGATES: [Column; 7] = [
    address("hotkey"),
    address("owner").rank(3),
    number("take"),
    number("nominators").rank(1),
    number("root stake"),
    text("subnets"),
    text("permits").rank(2),
];

/// Columns of `tao events`.
pub static EVENTS: [Column; 4] =
    [number("#"), fixed("phase").rank(1), fixed("event"), text("values")];

/// Columns of `tao tx list`.
pub static EXTRINSICS: [Column; 6] = [
    number("#"),
    fixed("call"),
    address("signer").rank(1),
    number("fee TAO").rank(2),
    text("result"),
    text("arguments").rank(3),
];

/// Columns of `tao localnet`: accounts with funds.
pub static ACCOUNTS: [Column; 3] = [fixed("key"), address("address"), number("TAO")];

/// Columns of `tao localnet snapshot list`.
pub static LOCALNET_SNAPSHOTS: [Column; 2] = [text("name"), number("block")];

/// Columns of `tao metagraph`.
pub static METAGRAPH: [Column; 12] = [
    number("uid"),
    number("stake S"),
    number("I"),
    number("E").rank(1),
    number("C").rank(7),
    number("Tv").rank(3),
    number("D").rank(2),
    fixed("permit").rank(5),
    number("updated").rank(4),
    fixed("axon").rank(6),
    address("hotkey"),
    address("coldkey").rank(8),
];

/// Columns of `tao metagraph --diff`.
pub static METAGRAPH_CHANGES: [Column; 5] =
    [number("uid"), address("hotkey").rank(1), fixed("field"), address("before"), address("after")];

/// Columns of `tao metagraph --full`: weights.
pub static WEIGHT_ROWS: [Column; 2] = [number("from"), text("weights W")];

/// Columns of `tao metagraph --full`: bonds.
pub static BOND_ROWS: [Column; 2] = [number("from"), text("bonds B")];

/// Columns of `tao models list`.
pub static MODELS: [Column; 6] = [
    fixed("model"),
    text("purpose").rank(3),
    number("size").rank(1),
    number("memory").rank(2),
    fixed("state"),
    text("detail"),
];

/// Columns of `tao stake list`.
pub static STAKES: [Column; 6] = [
    number("netuid"),
    address("hotkey"),
    number("alpha"),
    number("value TAO"),
    number("emission").rank(2),
    fixed("registered").rank(1),
];

/// Columns of `tao stake child get`.
pub static RELATIVES: [Column; 3] = [fixed("relation"), address("hotkey"), number("proportion")];

/// Columns of `tao subnets list`.
pub static SUBNETS: [Column; 9] = [
    number("netuid"),
    text("name"),
    fixed("symbol").rank(5),
    number("spot price"),
    number("τ in pool"),
    number("α in pool").rank(2),
    number("α out").rank(3),
    number("tempo").rank(1),
    address("owner").rank(4),
];

/// Columns of `tao subnets check`.
pub static SUBNET_CHECKS: [Column; 4] =
    [fixed("check"), fixed("status"), text("value"), text("note")];

/// Columns of `tao subnets hyperparameters`.
pub static HYPERPARAMETERS: [Column; 3] = [fixed("name"), number("value"), fixed("")];

/// Columns of `tao wallet overview`.
pub static OVERVIEW: [Column; 10] = [
    number("netuid"),
    number("uid"),
    text("hotkey"),
    number("stake"),
    number("I"),
    number("D").rank(1),
    number("emission α").rank(2),
    fixed("permit").rank(3),
    number("updated").rank(4),
    fixed("axon").rank(5),
];

/// Columns of `tao wallet list`.
pub static WALLETS: [Column; 3] = [fixed("wallet"), address("address"), text("state")];

/// Columns of `tao wallet verify --validator-info`.
pub static VALIDATOR_INFO: [Column; 3] = [fixed("signature"), address("hotkey"), text("name")];

/// Columns of `tao wallet ss58 convert`.
pub static CONVERTED_KEYS: [Column; 2] = [fixed("address"), address("public key")];

/// Columns of `tao weights show`.
pub static WEIGHTS: [Column; 4] = [number("from"), number("to"), number("weight"), number("share")];

/// Returns the columns of `tao speech embed`: the similarity of each sentence to the others, by
/// number.
pub fn similarities(sentences: usize) -> Vec<Column> {
    std::iter::once(text("text"))
        .chain((1..=sentences).map(|index| Column::number_of(index.to_string())))
        .collect()
}

/// Columns of `tao prompting demo`: results of each miner, and its last answer.
pub static PROMPTING: [Column; 8] = [
    fixed("miner"),
    number("uid").rank(5),
    number("reward").rank(2),
    number("score").rank(3),
    number("gate").rank(4),
    number("weight"),
    number("incentive"),
    text("last answer").rank(1),
];

/// Columns of `tao doctor`.
pub static FINDINGS: [Column; 5] =
    [fixed("check"), fixed("status"), number("exit code").rank(1), text("subject"), text("seen")];

#[cfg(test)]
mod tests;
