use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use crate::table::table;

/// A table with sample rows: long and short values.
struct Sample {
    name: &'static str,
    columns: &'static [Column],
    rows: &'static [&'static [&'static str]],
}

macro_rules! samples {
    ($($name:ident: $($row:expr),+;)+) => {
        [$(Sample { name: stringify!($name), columns: &$name, rows: &[$(&$row),+] }),+]
    };
}

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
const EVENT: &str = r#"{"who":"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY","actual_fee":1234567,"tip":0}"#;
const REFERENCE: &str = "The ferry leaves at half past seven from the northern pier, whatever the weather says.";

#[rustfmt::skip]
fn samples() -> Vec<Sample> {
    samples! {
        PING: ["1000", "997", "0.21", "0.34", "1.97", "Success 997, Timeout 2, ResourceExhausted 1"];
        BALANCE: [ALICE, "12345678.901234567", "0.000000000", "0.000000000", "987654.321000000"],
            [BOB, "0.000000000", "0.000000000", "0.000000000", "0.000000000"];
        MARKET: ["good", "1", "0.412345", "0.412345", "1.0000", "1.0000", "1234.5", "123456", "0", "0"],
            ["rate-limiting", "255", "0.000000", "0.000000", "–", "–", "–", "12", "12345", "123"];
        API_KEYS: ["3e305921", "the application of a buyer", "1234567.890123", "600", "1000000.000000", "llama-3-1-8b, proxy-flux", "active"],
            ["fb7b6319", "", "0.000000", "–", "–", "", "revoked"];
        USAGE: ["2026-11-21", "3e305921", "chat-llama-3-1-70b", "123456", "12345678", "123456789", "1234567.890123"],
            ["2026-11-20", "fb7b6319", "proxy-flux-schnell-text-to-image", "1", "0", "0", "0.000001"];
        PROOF_TALLIES: [ALICE, "12345", "123", "12.34", "1234567", "wrong output: 120, no answer in time: 3"],
            [BOB, "0", "0", "–", "–", ""];
        PROOF_STANDINGS: ["other-circuit", "255", "0", "12345", "–", "–", "0.000", "0.000 α", "another circuit's proof: 12345"],
            ["honest", "1", "12345", "0", "12.34", "1234567", "0.500", "147.600 α", ""];
        COMMITMENTS: [ALICE, "https://example.com/models/streaming-interpreter/v3.json"], [BOB, "a short text"];
        DELEGATES: [ALICE, BOB, "17.999 %", "12345", "1234567.8901", "0 1 2 3 4 8 13 19 21 34 55 59 64", "1 59"],
            [BOB, ALICE, "0 %", "1", "0.0000", "59", ""];
        EVENTS: ["0", "start", "System.ExtrinsicSuccess", r#"{"dispatch_info":{"weight":{"ref_time":1,"proof_size":2}}}"#],
            ["12", "call 2", "TransactionPayment.TransactionFeePaid", EVENT];
        ACCOUNTS: ["//Alice", ALICE, "1000000.000000000"], ["–", BOB, "1000000.000000000"];
        METAGRAPH: ["0", "1234567.8901", "0.0000", "0.0000", "0.0000", "1.0000", "0.9876", "yes", "123", "–", ALICE, BOB],
            ["255", "0.0000", "0.8123", "147.6012", "0.8100", "0.0000", "0.0000", "", "7654321", "203.0.113.217:65535", BOB, ALICE];
        METAGRAPH_CHANGES: ["7", "", "hotkey", ALICE, BOB], ["255", BOB, "validator_trust", "12345", "65535"];
        WEIGHT_ROWS: ["0", "1: 0.2500  2: 0.2500  3: 0.2500  4: 0.2500  5: 0.1250  6: 0.1250  17: 0.0625  255: 0.0625"];
        BOND_ROWS: ["0", "1: 0.2500  2: 0.2500  3: 0.2500  4: 0.2500  5: 0.1250  6: 0.1250  17: 0.0625  255: 0.0625"];
        MODELS: ["tiny-ctc", "speech recognition", "6.2 MB", "embedded", ""],
            ["faster-whisper-small", "speech recognition", "486.1 MB", "missing", "tao models pull faster-whisper-small"];
        STAKES: ["59", ALICE, "1234567.890123456", "98765.432100000", "12.345678901", "yes"],
            ["0", BOB, "0.000000001", "0.000000001", "0.000000000", "no"];
        SUBNETS: ["0", "root", "Τ", "1.000000000", "6543210.1234", "0.0000", "6543210.1234", "100", ALICE],
            ["59", "babelbit, live speech interpretation", "ي", "0.012345678", "12345.6789", "1234567.8901", "2345678.9012", "360", BOB];
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
        EXAMPLE: ["source", "La lancha sale a las siete y media del muelle norte, diga lo que diga el tiempo.", ""],
            ["reference", REFERENCE, ""], ["interpreter", "the fairy leaves at half past seven from the northern pier whatever the weather says", "0.951"],
            ["mumbler", "–", "the meaning is another, much too late"];
        CONDITIONS: ["recognizer.fingerprint", "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671", "tiny-ctc 8b1f"];
        MISMATCHES: ["255", ALICE, "ferry:12", "challenge_score", "utterances.12.accuracy", "0.8123456789012345", "0.8123456789012346"],
            ["–", "–", "–", "audio.tar", "sha256", "3e305921506d…", "fb7b63191e9b…"];
        SETTINGS: ["BB_ARENA_GATEWAY_URL", "https://gw.babelbit.ai/", "environment", "Where the arena's gateway is, or its path besides"],
            ["BB_MAX_SKIPPED_WEIGHT_EPOCHS", "12", "default", "Epochs without scores until all weight goes to the fallback uid"];
        RULES: ["reply-length", "pass", "192000 bytes in 25 answers"],
            ["out-eos-after-source", "not tested", "no out_eos in 64 frames and 128 empty requests, so that the drain could not be measured"];
        TIMINGS: ["initialise, first utterance", "12", "1234.5", "12345.6", "123456.7", "600000", "0"],
            ["frame", "4096", "0.3", "0.9", "1.2", "10000", "17"];
        CHALLENGES: ["The ferry that nobody waited for", "0.951", "0.97", "1.04", "0.4 s", "accuracy in 1 of 8, rate in 3 of 8"],
            ["Pier", "0.000", "–", "–", "–", "no reply in 8 of 8"];
        WEIGHT_VECTOR: ["255", "0.912500"], ["0", "0.087500"];
    }
    .into()
}

#[test]
fn every_table_fits_at_every_width() {
    for Sample { name, columns, rows } in samples() {
        let mut filled = table(columns);
        for row in rows {
            assert_eq!(row.len(), columns.len(), "{name}");
            filled.add_row(row.iter().copied());
        }
        let mut text = String::new();
        for width in [80, 100, 120, 200] {
            let shown = filled.within(Some(width));
            for line in shown.lines() {
                assert!(console::measure_text_width(line) <= width, "{name} at {width}: {line}");
            }
            let numbers = columns.iter().enumerate().filter(|(_, column)| column.is_number());
            for (index, column) in numbers {
                for row in rows {
                    let is_left_out = !shown.lines().next().unwrap_or_default().contains(column.name());
                    assert!(shown.contains(row[index]) || is_left_out, "{name} at {width}: {}", row[index]);
                }
            }
            let _ = write!(text, "{width} columns\n{shown}\n\n");
        }
        insta::with_settings!({ snapshot_path => "../../tests/snapshots/tables", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.to_lowercase(), text);
        });
    }
}

#[test]
fn every_table_has_a_sample() {
    let declared = include_str!("../tables.rs").lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("pub(crate) static ")?.split_once(':')?;
        Some(name)
    });
    let sampled: BTreeSet<_> = samples().iter().map(|sample| sample.name).collect();
    assert_eq!(declared.collect::<BTreeSet<_>>(), sampled);
}
