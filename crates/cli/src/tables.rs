//! The columns of every table; their ranks decide which are omitted first on narrow terminals.

use crate::table::Column;

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
pub(crate) static PING: [Column; 6] = [
    number("sent"),
    number("answered"),
    number("min ms").rank(1),
    number("median ms"),
    number("p99 ms"),
    text("outcomes"),
];

/// Columns of `tao bench-miner`: requests by return code.
pub(crate) static BENCH_OUTCOMES: [Column; 6] = [
    fixed("outcome"),
    number("code").rank(2),
    number("requests"),
    number("share"),
    number("p50 ms"),
    number("p99 ms").rank(1),
];

/// Columns of `tao bench-miner`: failures by reason.
pub(crate) static BENCH_FAILURES: [Column; 4] =
    [number("requests"), fixed("outcome"), number("status").rank(1), text("reason")];

/// Columns of `tao proof validator --requests`.
pub(crate) static PROOF_TALLIES: [Column; 6] = [
    address("miner"),
    number("verified"),
    number("failed"),
    number("seconds"),
    number("proof bytes").rank(1),
    text("why"),
];

/// Columns of the circuits of `tao proof demo`.
pub(crate) static PROOF_CIRCUITS: [Column; 5] = [
    fixed("model"),
    fixed("backend"),
    number("constraints"),
    number("compiled in s").rank(1),
    address("circuit").rank(2),
];

/// Columns of `tao proof inspect`: files of a circuit.
pub(crate) static PROOF_FILES: [Column; 2] = [fixed("file"), address("SHA-256")];

/// Columns of `tao proof inspect`: slices of a model.
pub(crate) static PROOF_SLICES: [Column; 2] = [address("slice"), number("multiply-adds")];

/// Columns of `tao proof setup`: contributions to a trusted setup.
pub(crate) static CONTRIBUTIONS: [Column; 3] = [number("#"), address("key"), text("contributor")];

/// Columns of the standings of `tao proof demo`.
pub(crate) static PROOF_STANDINGS: [Column; 9] = [
    fixed("miner"),
    number("uid").rank(2),
    number("verified"),
    number("failed"),
    number("seconds").rank(1),
    number("proof bytes").rank(4),
    number("weight"),
    number("emission").rank(3),
    text("why"),
];

/// Columns of the user's proofs in `tao proof demo`.
pub(crate) static PROOF_USER: [Column; 7] = [
    fixed("backend"),
    text("digit"),
    text("miner"),
    number("seconds"),
    number("proof bytes").rank(2),
    number("asked").rank(1),
    text("failures"),
];

/// Columns of `tao balance`.
pub(crate) static BALANCE: [Column; 5] =
    [address("account"), number("free TAO"), number("reserved").rank(2), number("frozen").rank(1), number("stake")];

/// Columns of `tao stake auto get`.
pub(crate) static AUTO_STAKES: [Column; 2] = [number("netuid"), address("hotkey")];

/// Columns of `tao call`.
pub(crate) static CALLS: [Column; 3] = [fixed("call"), text("arguments"), text("meaning").rank(1)];

/// Columns of `tao commitment get`.
pub(crate) static COMMITMENTS: [Column; 2] = [address("hotkey"), text("text")];

/// Columns of `tao proxy list`.
pub(crate) static PROXIES: [Column; 3] = [address("proxy"), fixed("type"), number("delay")];

/// Columns of `tao proxy announcements` and `tao multisig list`.
pub(crate) static ANNOUNCEMENTS: [Column; 3] = [number("block"), address("call hash"), address("account").rank(1)];

/// Columns of `tao crowdloan list`.
pub(crate) static CROWDLOANS: [Column; 7] = [
    number("id"),
    fixed("state"),
    number("raised TAO"),
    number("cap TAO"),
    number("end").rank(2),
    number("contributors").rank(3),
    address("creator").rank(1),
];

/// Columns of `tao crowdloan show`: contributions.
pub(crate) static CONTRIBUTORS: [Column; 2] = [address("contributor"), number("TAO")];

/// Columns of `tao crowdloan contributors`.
pub(crate) static CROWDLOAN_SHARES: [Column; 3] = [address("contributor"), number("TAO"), number("share")];

/// Columns of `tao lock list`.
pub(crate) static LOCKS: [Column; 5] =
    [number("netuid"), address("hotkey"), number("locked"), number("conviction").rank(1), fixed("mode")];

/// Columns of `tao subnets conviction`.
pub(crate) static CONVICTIONS: [Column; 3] = [address("hotkey"), number("conviction"), fixed("owner").rank(1)];

/// Columns of `tao subnets price`.
pub(crate) static PRICES: [Column; 4] =
    [number("netuid"), number("TAO per alpha"), number("moving average"), text("name").rank(1)];

/// Columns of `tao subnets mechanisms emissions`.
pub(crate) static MECHANISMS: [Column; 3] = [number("mechanism"), number("parts"), number("share")];

/// Columns of `tao delegates`.
pub(crate) static DELEGATES: [Column; 7] = [
    address("hotkey"),
    address("owner").rank(3),
    number("take"),
    number("nominators").rank(1),
    number("root stake"),
    text("subnets"),
    text("permits").rank(2),
];

/// Columns of `tao events`.
pub(crate) static EVENTS: [Column; 4] = [number("#"), fixed("phase").rank(1), fixed("event"), text("values")];

/// Columns of `tao tx list`.
pub(crate) static EXTRINSICS: [Column; 6] = [
    number("#"),
    fixed("call"),
    address("signer").rank(1),
    number("fee TAO").rank(2),
    text("result"),
    text("arguments").rank(3),
];

/// Columns of `tao localnet`: accounts with funds.
pub(crate) static ACCOUNTS: [Column; 3] = [fixed("key"), address("address"), number("TAO")];

/// Columns of `tao localnet snapshot list`.
pub(crate) static LOCALNET_SNAPSHOTS: [Column; 2] = [text("name"), number("block")];

/// Columns of `tao metagraph`.
pub(crate) static METAGRAPH: [Column; 12] = [
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
pub(crate) static METAGRAPH_CHANGES: [Column; 5] =
    [number("uid"), address("hotkey").rank(1), fixed("field"), address("before"), address("after")];

/// Columns of `tao metagraph --full`: weights.
pub(crate) static WEIGHT_ROWS: [Column; 2] = [number("from"), text("weights W")];

/// Columns of `tao metagraph --full`: bonds.
pub(crate) static BOND_ROWS: [Column; 2] = [number("from"), text("bonds B")];

/// Columns of `tao models list`.
pub(crate) static MODELS: [Column; 6] = [
    fixed("model"),
    text("purpose").rank(3),
    number("size").rank(1),
    number("memory").rank(2),
    fixed("state"),
    text("detail"),
];

/// Columns of `tao stake list`.
pub(crate) static STAKES: [Column; 6] = [
    number("netuid"),
    address("hotkey"),
    number("alpha"),
    number("value TAO"),
    number("emission").rank(2),
    fixed("registered").rank(1),
];

/// Columns of `tao stake child get`.
pub(crate) static RELATIVES: [Column; 3] = [fixed("relation"), address("hotkey"), number("proportion")];

/// Columns of `tao subnets list`.
pub(crate) static SUBNETS: [Column; 9] = [
    number("netuid"),
    text("name"),
    fixed("symbol").rank(5),
    number("price τ"),
    number("τ in pool"),
    number("α in pool").rank(2),
    number("α out").rank(3),
    number("tempo").rank(1),
    address("owner").rank(4),
];

/// Columns of `tao subnets check`.
pub(crate) static SUBNET_CHECKS: [Column; 4] = [fixed("check"), fixed("status"), text("value"), text("note")];

/// Columns of `tao subnets hyperparameters`.
pub(crate) static HYPERPARAMETERS: [Column; 3] = [fixed("name"), number("value"), fixed("")];

/// Columns of `tao wallet overview`.
pub(crate) static OVERVIEW: [Column; 10] = [
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
pub(crate) static WALLETS: [Column; 3] = [fixed("wallet"), address("address"), text("state")];

/// Columns of `tao wallet verify --validator-info`.
pub(crate) static VALIDATOR_INFO: [Column; 3] = [fixed("signature"), address("hotkey"), text("name")];

/// Columns of `tao wallet ss58 convert`.
pub(crate) static CONVERTED_KEYS: [Column; 2] = [fixed("address"), address("public key")];

/// Columns of `tao weights show`.
pub(crate) static WEIGHTS: [Column; 4] = [number("from"), number("to"), number("weight"), number("share")];

/// Columns of `tao yuma`: the state that the chain stores.
pub(crate) static YUMA_RESULT: [Column; 11] = [
    number("uid"),
    number("stake"),
    number("active").rank(7),
    number("permit").rank(6),
    number("consensus").rank(3),
    number("Tv").rank(4),
    number("incentive"),
    number("dividends"),
    number("server rao").rank(2),
    number("validator rao").rank(1),
    number("rao"),
];

/// Columns of `tao yuma --explain`: the first step.
pub(crate) static YUMA_STAKE: [Column; 7] = [
    number("uid"),
    number("rao"),
    number("S"),
    number("active").rank(3),
    number("permit").rank(2),
    number("next permit").rank(1),
    number("active S"),
];

/// Columns of `tao yuma --explain`: consensus.
pub(crate) static YUMA_CONSENSUS: [Column; 2] = [number("uid"), number("C")];

/// Columns of `tao yuma --explain`: validator trust.
pub(crate) static YUMA_TRUST: [Column; 2] = [number("uid"), number("Tv")];

/// Columns of `tao yuma --explain`: rank and incentive.
pub(crate) static YUMA_RANK: [Column; 3] = [number("uid"), number("R"), number("I")];

/// Columns of `tao yuma --explain`: dividends.
pub(crate) static YUMA_DIVIDENDS: [Column; 2] = [number("uid"), number("D")];

/// Returns the columns of the matrices of `tao yuma`: one per uid that has an entry.
pub(crate) fn yuma_matrix(uids: &[usize]) -> Vec<Column> {
    std::iter::once(number("from \\ to")).chain(uids.iter().map(|uid| Column::number_of(uid.to_string()))).collect()
}

/// Returns the columns of `tao speech embed`: the similarity of each sentence to the others, by number.
pub(crate) fn similarities(sentences: usize) -> Vec<Column> {
    std::iter::once(text("text")).chain((1..=sentences).map(|index| Column::number_of(index.to_string()))).collect()
}

/// Columns of `tao yuma --classic`.
pub(crate) static YUMA_CLASSIC: [Column; 8] = [
    number("uid"),
    number("stake S"),
    number("rank R").rank(2),
    number("trust T").rank(3),
    number("consensus C").rank(1),
    number("incentive I"),
    number("dividends D"),
    number("emission E"),
];

/// Columns of `bb runner --once`, and the demonstration while it plays.
pub(crate) static LEADERBOARD: [Column; 8] = [
    fixed("miner"),
    number("uid").rank(4),
    number("score"),
    number("accuracy").rank(1),
    number("rate").rank(2),
    number("latency").rank(3),
    number("wall").rank(5),
    text("lost points"),
];

/// Columns of `bb runner --once --metrics`.
pub(crate) static FIELD_METRICS: [Column; 8] = [
    fixed("miner"),
    number("replies").rank(3),
    number("WER"),
    number("BLEU"),
    number("chrF").rank(2),
    number("AL").rank(4),
    number("LAAL"),
    number("ATD").rank(1),
];

/// Columns of `tao demo`: results of each miner.
pub(crate) static STANDINGS: [Column; 11] = [
    fixed("miner"),
    number("uid").rank(5),
    number("score"),
    number("arena").rank(1),
    number("weight"),
    number("incentive"),
    number("emission").rank(3),
    number("accuracy").rank(2),
    number("rate").rank(4),
    number("latency").rank(4),
    text("lost points"),
];

/// Columns of `tao nineteen demo`: results of each miner.
pub(crate) static MARKET: [Column; 10] = [
    fixed("miner"),
    number("uid").rank(5),
    number("weight"),
    number("incentive"),
    number("quality"),
    number("period score"),
    number("tokens/s").rank(2),
    number("requests").rank(4),
    number("429").rank(3),
    number("failed").rank(3),
];

/// Columns of `tao prompting demo`: results of each miner, and its last answer.
pub(crate) static PROMPTING: [Column; 8] = [
    fixed("miner"),
    number("uid").rank(5),
    number("reward").rank(2),
    number("score").rank(3),
    number("gate").rank(4),
    number("weight"),
    number("incentive"),
    text("last answer").rank(1),
];

/// Columns of `tao nineteen keys list`.
pub(crate) static API_KEYS: [Column; 11] = [
    fixed("id"),
    text("name"),
    number("credits"),
    number("rate/min").rank(2),
    number("tokens/min").rank(4),
    number("weight").rank(2),
    number("budget/month").rank(2),
    number("budget/day").rank(4),
    text("models").rank(3),
    fixed("expires").rank(4),
    text("state"),
];

/// Columns of `tao nineteen keys usage`.
pub(crate) static USAGE: [Column; 7] = [
    fixed("day"),
    fixed("key"),
    text("model"),
    number("requests"),
    number("tokens in").rank(2),
    number("tokens out").rank(2),
    number("credits"),
];

/// Columns of `tao nineteen keys invoice`.
pub(crate) static INVOICE: [Column; 5] =
    [text("model"), number("requests"), number("tokens in").rank(2), number("tokens out").rank(2), number("credits")];

/// Columns of `tao nineteen keys deposits`.
pub(crate) static DEPOSITS: [Column; 7] = [
    number("block"),
    number("event"),
    fixed("key"),
    number("TAO"),
    number("credits"),
    address("from").rank(1),
    address("to").rank(2),
];

/// Columns of `tao demo --contest text` and `bb runner --contest text`: scores.
pub(crate) static TEXT_SCORES: [Column; 3] = [fixed("miner"), number("score"), number("errors")];

/// Columns of `bb ping-chute`.
pub(crate) static CHUTE_PROBES: [Column; 3] = [fixed("call"), number("seconds"), text("answer")];

/// Columns of `tao demo --contest text`: weights.
pub(crate) static TEXT_STANDINGS: [Column; 3] = [fixed("miner"), number("weight"), number("emission α")];

/// Columns of `tao demo`: transcripts of one utterance.
pub(crate) static EXAMPLE: [Column; 3] = [fixed("who"), text("what"), text("score")];

/// Columns of `tao nineteen tasks FILE`.
pub(crate) static TASKS: [Column; 2] = [fixed("task"), number("weight")];

/// Columns of `bb bench stt`.
pub(crate) static STT_BENCHMARK: [Column; 10] = [
    number("miners"),
    number("audio s").rank(3),
    number("wall s"),
    number("CPU s").rank(1),
    number("decode s").rank(5),
    number("real-time factor"),
    number("audio s/s").rank(2),
    number("miners/s"),
    number("words").rank(6),
    number("peak MB").rank(4),
];

/// Columns of `bb bench scoring`.
pub(crate) static SCORING_BENCHMARK: [Column; 5] =
    [number("miners"), number("wall s"), number("CPU s"), number("miners/s"), number("peak MB")];

/// Columns of `bb bench interpret`.
pub(crate) static INTERPRET_BENCHMARK: [Column; 10] = [
    text("recording"),
    number("score"),
    number("WER").rank(1),
    number("BLEU").rank(2),
    number("chrF"),
    number("AL").rank(5),
    number("LAAL"),
    number("ATD").rank(4),
    number("real-time factor").rank(3),
    text("lost points"),
];

/// Columns of `bb audit`: scoring conditions that differ.
pub(crate) static CONDITIONS: [Column; 3] = [fixed("condition"), text("recorded"), text("this machine")];

/// Columns of `bb audit`: mismatches.
pub(crate) static MISMATCHES: [Column; 7] = [
    number("miner"),
    address("hotkey").rank(2),
    fixed("utterance"),
    fixed("where").rank(1),
    address("field"),
    text("recorded"),
    text("recomputed"),
];

/// Columns of `bb config show`.
pub(crate) static SETTINGS: [Column; 4] =
    [fixed("setting"), text("value"), fixed("from").rank(2), text("meaning").rank(1)];

/// Columns of `tao doctor`.
pub(crate) static FINDINGS: [Column; 5] =
    [fixed("check"), fixed("status"), number("exit code").rank(1), text("subject"), text("seen")];

/// Columns of `bb test-miner`: the rules.
pub(crate) static RULES: [Column; 3] = [fixed("rule"), fixed(""), text("seen")];

/// Columns of `bb test-miner`: response times.
pub(crate) static TIMINGS: [Column; 7] = [
    fixed("request"),
    number("answers").rank(3),
    number("median ms").rank(1),
    number("p95 ms"),
    number("max ms").rank(2),
    number("deadline ms"),
    number("late"),
];

/// Columns of `bb test-miner`: the scores.
pub(crate) static CHALLENGES: [Column; 6] = [
    text("challenge"),
    number("score"),
    number("accuracy").rank(1),
    number("rate").rank(2),
    number("latency").rank(3),
    text("lost points"),
];

/// Columns of `bb validate --once`.
pub(crate) static WEIGHT_VECTOR: [Column; 2] = [number("uid"), number("weight")];

#[cfg(test)]
mod tests;
