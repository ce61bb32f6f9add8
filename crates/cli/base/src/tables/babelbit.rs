//! Columns of the tables of `bb`, and of the demonstration of Babelbit.

use super::{address, fixed, number, text};
use crate::table::Column;

/// Columns of `bb runner --once`, and the demonstration while it plays.
pub static LEADERBOARD: [Column; 8] = [
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
pub static FIELD_METRICS: [Column; 8] = [
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
pub static STANDINGS: [Column; 11] = [
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

/// Columns of `tao demo --contest text` and `bb runner --contest text`: scores.
pub static TEXT_SCORES: [Column; 3] = [fixed("miner"), number("score"), number("errors")];

/// Columns of `bb ping-chute`.
pub static CHUTE_PROBES: [Column; 3] = [fixed("call"), number("seconds"), text("answer")];

/// Columns of `tao demo --contest text`: weights.
pub static TEXT_STANDINGS: [Column; 3] = [fixed("miner"), number("weight"), number("emission α")];

/// Columns of `tao demo`: transcripts of one utterance.
pub static EXAMPLE: [Column; 3] = [fixed("who"), text("what"), text("score")];

/// Columns of `bb bench stt`.
pub static STT_BENCHMARK: [Column; 10] = [
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
pub static SCORING_BENCHMARK: [Column; 5] =
    [number("miners"), number("wall s"), number("CPU s"), number("miners/s"), number("peak MB")];

/// Columns of `bb bench interpret`.
pub static INTERPRET_BENCHMARK: [Column; 10] = [
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
pub static CONDITIONS: [Column; 3] = [fixed("condition"), text("recorded"), text("this machine")];

/// Columns of `bb audit`: mismatches.
pub static MISMATCHES: [Column; 7] = [
    number("miner"),
    address("hotkey").rank(2),
    fixed("utterance"),
    fixed("where").rank(1),
    address("field"),
    text("recorded"),
    text("recomputed"),
];

/// Columns of `bb config show`.
pub static SETTINGS: [Column; 4] =
    [fixed("setting"), text("value"), fixed("from").rank(2), text("meaning").rank(1)];

/// Columns of `bb test-miner`: the rules.
pub static RULES: [Column; 3] = [fixed("rule"), fixed(""), text("seen")];

/// Columns of `bb test-miner`: response times.
pub static TIMINGS: [Column; 7] = [
    fixed("request"),
    number("answers").rank(3),
    number("median ms").rank(1),
    number("p95 ms"),
    number("max ms").rank(2),
    number("deadline ms"),
    number("late"),
];

/// Columns of `bb test-miner`: the scores.
pub static CHALLENGES: [Column; 6] = [
    text("challenge"),
    number("score"),
    number("accuracy").rank(1),
    number("rate").rank(2),
    number("latency").rank(3),
    text("lost points"),
];

/// Columns of `bb validate --once`.
pub static WEIGHT_VECTOR: [Column; 2] = [number("uid"), number("weight")];
