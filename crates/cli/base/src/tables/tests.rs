use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use crate::table::{Rows, headerless_table, key_values, matrix, table};

mod sources;

/// A table with sample rows: long and short values.
struct Sample {
    name: &'static str,
    columns: Vec<Column>,
    cells: Vec<Vec<String>>,
    is_matrix: bool,
    table: Rows,
}

impl Sample {
    fn new(
        name: &'static str,
        columns: &[Column],
        cells: Vec<Vec<String>>,
        mut table: Rows,
    ) -> Self {
        for row in &cells {
            assert_eq!(row.len(), columns.len(), "{name}");
            table.add_row(row.iter().cloned());
        }
        Self { name, columns: columns.to_vec(), cells, is_matrix: false, table }
    }

    /// Creates a matrix in which each row has the same number in all columns.
    fn matrix(name: &'static str, columns: &[Column], rows: &[(&str, &str)]) -> Self {
        let row = |(first, number): &(&str, &str)| {
            std::iter::once((*first).to_owned())
                .chain(vec![(*number).to_owned(); columns.len() - 1])
                .collect()
        };
        let table = matrix(columns.to_vec());
        Self { is_matrix: true, ..Self::new(name, columns, rows.iter().map(row).collect(), table) }
    }

    /// Creates a table of names and values, under the path of its source.
    fn key_values(path: &'static str, rows: &[[&str; 2]]) -> Self {
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        Self::new(path, &[fixed("name"), text("value")], rows, key_values())
    }

    fn snapshot(&self) -> String {
        match self.name.strip_suffix(".rs") {
            Some(path) => {
                format!("facts_{}", path.trim_start_matches("commands/").replace('/', "_"))
            }
            None => self.name.to_lowercase(),
        }
    }
}

macro_rules! samples {
    ($shape:ident; $($name:ident: $($row:expr),+;)+) => {
        [$(Sample::new(
            stringify!($name),
            &$name,
            vec![$($row.map(str::to_owned).to_vec()),+],
            $shape(&$name),
        )),+]
    };
}

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
const EVENT: &str =
    r#"{"who":"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY","actual_fee":1234567,"tip":0}"#;
const REFERENCE: &str =
    "The ferry leaves at half past seven from the northern pier, whatever the weather says.";

const HASH: &str = "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671";
const BLOCK: &str = "0x3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671";

fn samples() -> Vec<Sample> {
    tables()
        .into_iter()
        .chain(neuron_tables())
        .chain(nineteen_tables())
        .chain(headerless_tables())
        .chain(matrices())
        .chain(all_key_values())
        .collect()
}

#[rustfmt::skip]
fn neuron_tables() -> Vec<Sample> {
    samples! { table;
        BENCH_OUTCOMES: ["Success", "1", "99871", "99.9 %", "1.97", "12.34"],
            ["RequestDeserializationException", "14", "129", "0.1 %", "12345.67", "123456.78"];
        BENCH_FAILURES: ["99871", "SenderUnknown", "403", "hotkey 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY has no validator permit"],
            ["12", "RequestDeserializationException", "422", "Bad request"], ["1", "–", "0", "12 other reasons"];
        PROMPTING: ["good", "1", "0.67", "0.446", "0.123", "0.446", "0.446", "The capital of Texas is Austin, a city on the Colorado River with about one million people."],
            ["parrot", "255", "0.00", "0.000", "-0.123", "0.000", "0.000", "timeout after 2.0s"];
    }
    .into()
}

#[rustfmt::skip]
fn tables() -> Vec<Sample> {
    samples! { table;
        PING: ["1000", "997", "0.21", "0.34", "1.97", "Success 997, Timeout 2, ResourceExhausted 1"];
        BALANCE: [ALICE, "12345678.901234567", "0.000000000", "0.000000000", "987654.321000000"],
            [BOB, "0.000000000", "0.000000000", "0.000000000", "0.000000000"];
        PROOF_TALLIES: [ALICE, "12345", "123", "12.34", "1234567", "wrong output: 120, no answer in time: 3"],
            [BOB, "0", "0", "–", "–", ""];
        PROOF_USER: ["groth16", "7 of 7", "other-circuit", "12.34", "123456", "20", "wrong_output, replayed_proof"],
            ["stark", "8 of 8", "honest", "0.34", "156789", "1", ""];
        PROOF_STANDINGS: ["other-circuit", "255", "0", "12345", "–", "–", "0.000", "0.000 α", "another circuit's proof: 12345"],
            ["honest", "1", "12345", "0", "12.34", "1234567", "0.500", "147.600 α", ""];
        COMMITMENTS: [ALICE, "https://example.com/models/streaming-interpreter/v3.json"], [BOB, "a short text"];
        DELEGATES: [ALICE, BOB, "17.999 %", "12345", "1234567.8901", "0 1 2 3 4 8 13 19 21 34 55 59 64", "1 59"],
            [BOB, ALICE, "0 %", "1", "0.0000", "59", ""];
        EVENTS: ["0", "start", "System.ExtrinsicSuccess", r#"{"dispatch_info":{"weight":{"ref_time":1,"proof_size":2}}}"#],
            ["12", "call 2", "TransactionPayment.TransactionFeePaid", EVENT];
        AUTO_STAKES: ["59", ALICE], ["1", BOB];
        RELATIVES: ["scheduled child", ALICE, "33.333333 %"], ["parent", BOB, "100 %"];
        PROXIES: [ALICE, "SubnetLeaseBeneficiary", "7200"], [BOB, "Any", "0"];
        ANNOUNCEMENTS: ["7654321", BLOCK, ALICE], ["1", BLOCK, BOB];
        CROWDLOANS: ["0", "open", "10.000000000", "1000.000000000", "7654321", "1", ALICE],
            ["12", "finalized", "123456.789012345", "123456.789012345", "7654321", "500", BOB];
        CONTRIBUTORS: [ALICE, "123456.789012345"], [BOB, "0.1"];
        CROWDLOAN_SHARES: [ALICE, "123456.789012345", "66.67 %"], [BOB, "0.1", "0.00 %"];
        LOCKS: ["59", ALICE, "1234567.890123456", "98765.432109876", "perpetual"], ["1", BOB, "0.000000001", "0", "decaying"];
        CONVICTIONS: [ALICE, "1234567.890123456", "yes"], [BOB, "0.000000001", ""];
        PRICES: ["59", "0.012345678", "0.012345678", "babelbit, live speech interpretation"], ["0", "–", "0", "root"];
        MECHANISMS: ["0", "49151", "75.00 %"], ["1", "16384", "25.00 %"];
        CALLS: ["SubtensorModule.add_stake_limit", "hotkey netuid amount_staked limit_price allow_partial", "Adds stake to a hotkey on a subnet with a price limit."],
            ["Proxy.remove_proxies", "", ""];
        EXTRINSICS: ["0", "Timestamp.set", "–", "–", "ok", r#"{"now":1763712000000}"#],
            ["12", "SubtensorModule.remove_stake_full_limit", ALICE, "0.000123456", "SubtensorModule.NotEnoughStakeToWithdraw: The stake is too small.", EVENT];
        ACCOUNTS: ["//Alice", ALICE, "1000000.000000000"], ["–", BOB, "1000000.000000000"];
        LOCALNET_SNAPSHOTS: ["before the epoch of subnet 59", "7654321"], ["start", "0"];
        METAGRAPH: ["0", "1234567.8901", "0.0000", "0.0000", "0.0000", "1.0000", "0.9876", "yes", "123", "–", ALICE, BOB],
            ["255", "0.0000", "0.8123", "147.6012", "0.8100", "0.0000", "0.0000", "", "7654321", "203.0.113.217:65535", BOB, ALICE];
        METAGRAPH_CHANGES: ["7", "", "hotkey", ALICE, BOB], ["255", BOB, "validator_trust", "12345", "65535"];
        WEIGHT_ROWS: ["0", "1: 0.2500  2: 0.2500  3: 0.2500  4: 0.2500  5: 0.1250  6: 0.1250  17: 0.0625  255: 0.0625"];
        BOND_ROWS: ["0", "1: 0.2500  2: 0.2500  3: 0.2500  4: 0.2500  5: 0.1250  6: 0.1250  17: 0.0625  255: 0.0625"];
        MODELS: ["tiny-ctc", "speech recognition", "6.2 MB", "", "built in", ""],
            ["faster-whisper-large-v3-turbo-int8", "speech recognition", "1621.7 MB", "2.6 GB", "present", "/home/operator/.cache/taonet/models"];
        STAKES: ["59", ALICE, "1234567.890123456", "98765.432100000", "12.345678901", "yes"],
            ["0", BOB, "0.000000001", "0.000000001", "0.000000000", "no"];
        SUBNETS: ["0", "root", "Τ", "1.000000000", "6543210.1234", "0.0000", "6543210.1234", "100", ALICE],
            ["59", "babelbit, live speech interpretation", "ي", "0.012345678", "12345.6789", "1234567.8901", "2345678.9012", "360", BOB];
        SUBNET_CHECKS: ["weights_rate_limit_blocks", "ok", "100 blocks (20 min)", "a validator waits this long between two sets of weights"],
            ["neurons", "warning", "256 of 256, 64 with a permit", "the subnet is full: each registration replaces a neuron whose immunity has passed"];
        HYPERPARAMETERS: ["max_weights_limit", "65535", ""], ["registration_cost_of_the_next_block", "18446744073.709551615", "TAO"];
        OVERVIEW: ["59", "17", "interpreter", "1234567.8901", "0.8123", "0.0000", "147.6012", "yes", "7654321", "203.0.113.217:65535"],
            ["1", "0", "default", "0.0000", "0.0000", "0.0000", "0.0000", "", "0", "–"];
        WEIGHTS: ["0", "255", "65535", "0.999985"];
        YUMA_RESULT: ["0", "65535", "yes", "yes", "65535", "65535", "65535", "65535", "18446744073709551615", "18446744073709551615", "18446744073709551615"],
            ["255", "0", "no", "no", "0", "0", "0", "0", "0", "0", "0"];
        YUMA_STAKE: ["255", "18446744073709551615", "0.123456", "yes", "yes", "no", "0.123456"];
        YUMA_CLASSIC: ["255", "0.123456", "0.123456", "0.123456", "0.123456", "0.123456", "0.123456", "0.123456"];
        LEADERBOARD: ["interpreter", "1", "0.951", "0.97", "1.04", "0.4 s", "0.62", ""],
            ["mumbler", "255", "0.000", "0.31", "12.10", "12.4 s", "13.02", "accuracy in 8 of 8, rate in 3 of 8"];
        FIELD_METRICS: ["interpreter", "8", "21.4", "68.2", "81.0", "1.52", "1.61", "1.98"], ["silent", "0", "–", "–", "–", "–", "–", "–"];
        STANDINGS: ["interpreter", "1", "0.951", "0.948", "0.957", "0.999", "147.600 α", "0.97", "1.04", "0.4 s", ""],
            ["mumbler", "255", "0.000", "–", "0.000", "0.000", "0.000 α", "0.31", "12.10", "12.4 s", "accuracy in 8 of 8, rate in 3 of 8"];
        CONDITIONS: ["recognizer.fingerprint", "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671", "tiny-ctc 8b1f"];
        MISMATCHES: ["255", ALICE, "ferry:12", "challenge_score", "utterances.12.accuracy", "0.8123456789012345", "0.8123456789012346"],
            ["–", "–", "–", "audio.tar", "sha256", "3e305921506d…", "fb7b63191e9b…"];
        FINDINGS: ["registration", "fault", "5", ALICE, "not registered on subnet 59"],
            ["disk", "ok", "", "logs: /var/lib/taonet/logs", "61.0 GB free"];
        SETTINGS: ["BB_ARENA_GATEWAY_URL", "https://gw.babelbit.ai/", "environment", "Where the arena's gateway is, or its path besides"],
            ["BB_MAX_SKIPPED_WEIGHT_EPOCHS", "12", "default", "Epochs without scores until all weight goes to the fallback uid"];
        RULES: ["reply-length", "pass", "192000 bytes in 25 answers"],
            ["out-eos-after-source", "not tested", "no out_eos in 64 frames and 128 empty requests, so that the drain could not be measured"];
        TIMINGS: ["initialise, first utterance", "12", "1234.5", "12345.6", "123456.7", "600000", "0"],
            ["frame", "4096", "0.3", "0.9", "1.2", "10000", "17"];
        CHALLENGES: ["The ferry that nobody waited for", "0.951", "0.97", "1.04", "0.4 s", "accuracy in 1 of 8, rate in 3 of 8"],
            ["Pier", "0.000", "–", "–", "–", "no reply in 8 of 8"];
        WEIGHT_VECTOR: ["255", "0.912500"], ["0", "0.087500"];
        PROOF_CIRCUITS: ["diabetes-regression", "groth16", "1234567", "123.4", HASH], ["digits", "stark", "848", "0.1", HASH];
        PROOF_FILES: ["circuit_metadata.json", HASH], ["proving.key", HASH];
        PROOF_SLICES: [HASH, "9650000"], [HASH, "848"];
        CONTRIBUTIONS: ["1", HASH, "Ada (created the key)"], ["12", HASH, "a contributor with a long name, of a university"];
        YUMA_CONSENSUS: ["255", "0.123456"];
        YUMA_TRUST: ["255", "0.123456"];
        YUMA_RANK: ["255", "0.123456", "1.000000"];
        YUMA_DIVIDENDS: ["255", "0.123456"];
        CHUTE_PROBES: ["health", "0.12", "healthy, al/Babelbit-default"], ["Hi - how are you", "12.34", "Hi - how are you doing today, and where have you been all this time? I have missed you."],
            ["Hi", "10.00", "timeout: no response in time"];
        TEXT_SCORES: ["ngram", "0.4321", "0"], ["silent", "–", "12345"];
        TEXT_STANDINGS: ["ngram", "1.000", "147.600"], ["silent", "0.000", "0.000"];
        TASKS: ["chat-llama-3-1-70b", "0.15"], ["proxy-flux-schnell-text-to-image", "0.1"];
        VALIDATOR_INFO: ["valid", ALICE, "a validator with a long name"], ["invalid", BOB, "–"];
        STT_BENCHMARK: ["4096", "2457600.0", "12345.678", "12345.678", "1234.567", "0.1234", "12345.6", "1234.56", "1234567", "12345"],
            ["10", "20.0", "0.412", "0.811", "0.002", "0.0206", "48.5", "24.27", "41", "112"];
        SCORING_BENCHMARK: ["4096", "1234.567", "12345.678", "12345.6", "12345"], ["50", "0.412", "0.811", "121.4", "412"];
        INTERPRET_BENCHMARK: ["the-interview-at-the-harbour", "0.951", "21.4", "68.2", "81.0", "1.52", "1.61", "1.98", "0.214", ""],
            ["2", "0.000", "100.0", "0.0", "0.0", "–", "–", "–", "12.345", "low accuracy, wrong speaking rate"],
            ["all", "0.476", "61.1", "37.8", "55.6", "1.52", "1.61", "1.98", "0.214", ""];
    }
    .into()
}

#[rustfmt::skip]
fn nineteen_tables() -> Vec<Sample> {
    samples! { table;
        MARKET: ["good", "1", "0.412345", "0.412345", "1.0000", "1.0000", "1234.5", "123456", "0", "0"],
            ["rate-limiting", "255", "0.000000", "0.000000", "–", "–", "–", "12", "12345", "123"];
        API_KEYS: ["3e305921", "the application of a buyer", "1234567.890123", "600", "2000000", "100", "1000000.000000", "50000.000000", "llama-3-1-8b, proxy-flux", "shops in Europe", "2027-01-31T12:00:00Z", "active"],
            ["fb7b6319", "", "0.000000", "–", "–", "1", "–", "–", "", "–", "–", "revoked"];
        TEAMS: ["shops in Europe", "123", "1000000.000000", "831234.567890", "50000.000000", "1234.567890"],
            ["trials", "1", "–", "0.000000", "100.000000", "0.000000"];
        USAGE: ["2026-11-21", "3e305921", "chat-llama-3-1-70b", "123456", "12345678", "123456789", "1234567.890123"],
            ["2026-11-20", "fb7b6319", "proxy-flux-schnell-text-to-image", "1", "0", "0", "0.000001"];
        INVOICE: ["chat-llama-3-1-70b", "123456", "12345678", "123456789", "1234567890123"],
            ["proxy-flux-schnell-text-to-image", "1", "0", "0", "1"];
        DEPOSITS: ["7654321", "123", "3e305921506d8872", "123456.789012345", "1234567890123", ALICE, BOB],
            ["1", "0", "–", "0.1", "0", BOB, ALICE];
        IMPORTED_TABLES: ["api_keys", "1234", "1230", "0", "4", "keys of buyers, with rate limits and credits"],
            ["contenders_weights_stats", "1234567", "0", "0", "1234567", "`tao nineteen explain` computes them"];
        IMPORT_REMARKS: ["api_keys", "rate_limit_per_minute", "not positive: all requests get status 429", "12", "the application of a buyer"],
            ["contenders_history", "expired_at", "older than the newest period of this database", "1234567", "7654321"],
            ["reward_data", "created_at", "older than 7 days", "12345", "–"];
    }
    .into()
}

#[rustfmt::skip]
fn headerless_tables() -> Vec<Sample> {
    samples! { headerless_table;
        EXAMPLE: ["source", "La lancha sale a las siete y media del muelle norte, diga lo que diga el tiempo.", ""],
            ["reference", REFERENCE, ""], ["interpreter", "the fairy leaves at half past seven from the northern pier whatever the weather says", "0.951"],
            ["mumbler", "–", "the meaning is another, much too late"];
        WALLETS: ["├── default", ALICE, "not encrypted"], ["│   ├── a-hotkey-with-a-long-name", BOB, ""],
            ["│   └── second", BOB, "does not match: the keyfile belongs to 5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"],
            ["└── watched", "no public file", "keyfile unreadable"];
        CONVERTED_KEYS: [ALICE, BLOCK], [BOB, BLOCK];
    }
    .into()
}

fn matrices() -> Vec<Sample> {
    let uids: Vec<_> = (0..13).chain([64, 255]).collect();
    let sentences =
        [("1 The ferry leaves.", "0.123"), ("2 The ferry leaves at half past seven.", "-0.123")];
    vec![
        Sample::matrix(
            "yuma_matrix",
            &yuma_matrix(&uids),
            &[("0", "0.123456"), ("255", "1.000000")],
        ),
        Sample::matrix("similarities", &similarities(12), &sentences),
    ]
}

#[rustfmt::skip]
fn all_key_values() -> Vec<Sample> {
    let long = "A subnet for the interpretation of live speech, with a description that is longer than a line of the terminal";
    vec![
        Sample::key_values("chain/block.rs", &[
            ["block", "7654321"], ["hash", BLOCK], ["final", "not yet"], ["time", "2026-11-21T12:00:00.123Z"], ["events", "123"],
        ]),
        Sample::key_values("axon/bench_miner/report.rs", &[
            ["miner", "http://203.0.113.217:65535/"], ["hotkey", ALICE], ["requests", "summing of size 9, signed by dendrite"],
            ["load", "100000 calls, 10000 calls per second, at most 1024 requests at the same time"],
            ["sent", "99871 in 60.0 s, incomplete"], ["succeeded", "99742, 1662.4 per second"],
            ["percentiles", "p50 1.97, p90 12.34, p95 123.45, p99 12345.67 ms"],
        ]),
        Sample::key_values("commands/doctor/report.rs", &[
            ["fault", "hotkey: /var/lib/taonet/hotkey: mode 0644: other users can read the secret"],
            ["remedy", "run `chmod 600 /var/lib/taonet/hotkey`"],
        ]),
        Sample::key_values("chain/tx.rs", &[
            ["extrinsic", BLOCK], ["signer", ALICE], ["nonce", "12"], ["tip", "0 TAO"],
            ["era", "128 blocks, from a block whose number modulo 128 is 37"], ["call", "Balances.transfer_keep_alive"],
            ["· dest", BOB], ["· value", "1000000000"], ["call hash", BLOCK],
        ]),
        Sample::key_values("wallet/crowdloan.rs", &[
            ["crowdloan", "12, finalized"], ["creator", ALICE], ["raised", "123456.789012345 of 123456.789012345 TAO"],
            ["minimum", "0.1 TAO"], ["end", "block 7654321"], ["target", BOB],
        ]),
        Sample::key_values("wallet/lock.rs", &[
            ["coldkey", ALICE], ["netuid", "59"], ["hotkey", BOB], ["locked", "1234567.890123456 alpha"],
            ["conviction", "98765.432109876"], ["mode", "perpetual"],
        ]),
        Sample::key_values("base/chain/identity.rs", &[
            ["coldkey", ALICE], ["name", "A validator"], ["url", "https://validator.example"], ["description", long],
        ]),
        Sample::key_values("wallet/wallet/swap.rs", &[
            ["coldkey", ALICE], ["new hash", BLOCK], ["due", "block 7654321"], ["clear", "from block 7661521"],
            ["disputed", "in block 7654400"],
        ]),
        Sample::key_values("localnet/announce.rs", &[
            ["WebSocket", "ws://127.0.0.1:9944"], ["genesis", BLOCK], ["state", "in memory, discarded on shutdown"],
        ]),
        Sample::key_values("localnet/control.rs", &[
            ["block", "7654321 0x3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"], ["oldest block", "7654065"],
            ["clock offset", "8760h 15m 12s 345ms"], ["pool", "12345 ready, 123 future"], ["on disk", "1234.5 MB"],
        ]),
        Sample::key_values("subnets/subnets/read.rs", &[
            ["netuid", "59"], ["owner's hotkey", ALICE], ["spot price", "0.012345678 TAO per alpha"],
            ["moving average", "0.012345678 TAO per alpha"],
            ["pool", "12345.678901234 TAO, 1234567.890123456 alpha; 2345678.901234567 alpha outside the pool"], ["about", long],
        ]),
        Sample::key_values("babelbit/score.rs", &[
            ["score", "0.951234"], ["failed gates", "accuracy, rate"], ["expected", REFERENCE], ["transcript", REFERENCE],
        ]),
        Sample::key_values("nineteen/explain.rs", &[
            ["task", "chat-llama-3-1-70b, 0.15 of the incentive"], ["average quality", "0.987654 of 1234 answers"],
            ["speed", "123.45 per second, bonus +0.1234"],
            ["score", "quality 0.987654 × period 0.123456 of 1234 periods × capacity 1234567.8 = 150443.123, net 0.123456"],
        ]),
        Sample::key_values("babelbit/test_miner.rs", &[
            ["expected", "every answer has as many bytes as its frame, with silence where nothing is said yet"],
            ["seen", "frame 1 of 25: byte_count 1920, and 960 bytes of audio"], ["fix", "send all bytes of the frame"],
        ]),
        Sample::key_values("proof/prove.rs", &[
            ["circuit", HASH], ["miner", ALICE], ["nonce", HASH], ["proof", "128 bytes"],
            ["outputs", "-12.3456 12.3456 0.1234 0.1234 0.1234 -0.1234 -0.1234 0.1234 0.1234 0.1234 0.1234 0.1234"],
        ]),
        Sample::key_values("proof/prove/verify_many.rs", &[
            ["first.json", "valid"], ["second.json", "the proof is invalid: the openings do not match the commitment"],
        ]),
        Sample::key_values("proof/prove/reveal.rs", &[
            ["circuit", HASH], ["miner", ALICE], ["nonce", HASH], ["commitment to the inputs", HASH],
            ["inputs", "-123456, 123456, 0, 1, 2, 3, 4, 5, 6, 7 … (784)"],
        ]),
        Sample::key_values("proof/table.rs", &[
            ["circuit", HASH], ["input", "1×28×28, integers of -128..=127, divided by 2^7"], ["multiply-adds", "9650000"],
            ["quantisation", "errors on 1234 samples, calibrated on 123 others: mean 0.00123, largest 0.12345\naccuracy 98.76 % before, 98.54 % after"],
        ]),
    ]
}

#[test]
fn every_table_fits_at_every_width() {
    for sample in samples() {
        let Sample { name, columns, cells, is_matrix, table } = &sample;
        let complete = table.render(None);
        let words: BTreeSet<_> = complete.split_whitespace().collect();
        let mut text = String::new();
        for width in [80, 100, 120, 200] {
            let rendered = table.render(Some(width));
            for line in rendered.lines() {
                assert!(console::measure_text_width(line) <= width, "{name} at {width}: {line}");
            }
            let body = without_notes(&rendered);
            for word in body.split_whitespace() {
                let is_whole = words.contains(word) || word.ends_with('…') || word.starts_with('─');
                assert!(is_whole, "{name} at {width}: {word}\n{rendered}");
            }
            let header: Vec<_> =
                rendered.lines().next().unwrap_or_default().split("   ").map(str::trim).collect();
            for (index, column) in
                columns.iter().enumerate().filter(|(_, column)| column.is_number())
            {
                let is_shown = *is_matrix || header.contains(&column.name());
                for row in cells {
                    assert!(
                        !is_shown || body.contains(&row[index]),
                        "{name} at {width}: {}",
                        row[index]
                    );
                }
            }
            let _ = write!(text, "{width} columns\n{rendered}\n\n");
        }
        insta::with_settings!({ snapshot_path => "../../tests/snapshots/tables", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(sample.snapshot(), text);
        });
    }
}

/// Returns a table, or the parts of a matrix, without the notes on omitted columns.
fn without_notes(rendered: &str) -> String {
    let part = |part: &str| {
        let notes =
            ["\n left out:", "\n shortened:"].map(|note| part.find(note).unwrap_or(part.len()));
        part[..notes[0].min(notes[1])].to_owned()
    };
    rendered.split("\n\n").map(part).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn matrix_table_keeps_all_columns() {
    for sample in samples().iter().filter(|sample| sample.is_matrix) {
        let rendered = sample.table.render(Some(80));
        let headers = rendered.split("\n\n").filter_map(|part| part.lines().next());
        let headers: Vec<_> =
            headers.map(|header| header.split("   ").map(str::trim).collect::<Vec<_>>()).collect();
        assert!(
            headers.len() > 1
                && headers.iter().all(|header| header.contains(&sample.columns[0].name())),
            "{rendered}"
        );
        for column in &sample.columns[1..] {
            let count = headers.iter().filter(|header| header.contains(&column.name())).count();
            assert_eq!(count, 1, "{}\n{rendered}", column.name());
        }
    }
}
