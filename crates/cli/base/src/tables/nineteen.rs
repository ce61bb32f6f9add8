//! Columns of the tables of `tao nineteen`.

use super::{address, fixed, number, text};
use crate::table::Column;

/// Columns of `tao nineteen demo`: results of each miner.
pub static MARKET: [Column; 10] = [
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

/// Columns of `tao nineteen keys list`.
pub static API_KEYS: [Column; 12] = [
    fixed("id"),
    text("name"),
    number("credits"),
    number("rate/min").rank(2),
    number("tokens/min").rank(4),
    number("weight").rank(2),
    number("budget/month").rank(2),
    number("budget/day").rank(4),
    text("models").rank(3),
    text("team").rank(4),
    fixed("expires").rank(4),
    text("state"),
];

/// Columns of `tao nineteen keys teams`.
pub static TEAMS: [Column; 6] = [
    text("team"),
    number("keys").rank(3),
    number("budget/month"),
    number("spent this month"),
    number("budget/day").rank(2),
    number("spent today").rank(1),
];

/// Columns of `tao nineteen keys usage`.
pub static USAGE: [Column; 7] = [
    fixed("day"),
    fixed("key"),
    text("model"),
    number("requests"),
    number("tokens in").rank(2),
    number("tokens out").rank(2),
    number("credits"),
];

/// Columns of `tao nineteen keys invoice`.
pub static INVOICE: [Column; 5] = [
    text("model"),
    number("requests"),
    number("tokens in").rank(2),
    number("tokens out").rank(2),
    number("credits"),
];

/// Columns of `tao nineteen keys deposits`.
pub static DEPOSITS: [Column; 7] = [
    number("block"),
    number("event"),
    fixed("key"),
    number("TAO"),
    number("credits"),
    address("from").rank(1),
    address("to").rank(2),
];

/// Columns of `tao nineteen tasks FILE`.
pub static TASKS: [Column; 2] = [fixed("task"), number("weight")];

/// Columns of `tao nineteen migrate`: the tables of the reference's database.
pub static IMPORTED_TABLES: [Column; 6] = [
    fixed("table"),
    number("rows").rank(1),
    number("imported"),
    number("present").rank(2),
    number("left out"),
    text("note").rank(3),
];

/// Columns of `tao nineteen migrate`: rows that are left out, or deserve attention.
pub static IMPORT_REMARKS: [Column; 5] =
    [fixed("table"), fixed("column"), text("reason"), number("rows"), text("example").rank(1)];
