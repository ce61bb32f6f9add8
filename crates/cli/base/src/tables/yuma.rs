//! Columns of the tables of `tao yuma`.

use super::number;
use crate::table::Column;

/// Columns of `tao yuma`: the state that the chain stores.
pub static YUMA_RESULT: [Column; 11] = [
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
pub static YUMA_STAKE: [Column; 7] = [
    number("uid"),
    number("rao"),
    number("S"),
    number("active").rank(3),
    number("permit").rank(2),
    number("next permit").rank(1),
    number("active S"),
];

/// Columns of `tao yuma --explain`: consensus.
pub static YUMA_CONSENSUS: [Column; 2] = [number("uid"), number("C")];

/// Columns of `tao yuma --explain`: validator trust.
pub static YUMA_TRUST: [Column; 2] = [number("uid"), number("Tv")];

/// Columns of `tao yuma --explain`: rank and incentive.
pub static YUMA_RANK: [Column; 3] = [number("uid"), number("R"), number("I")];

/// Columns of `tao yuma --explain`: dividends.
pub static YUMA_DIVIDENDS: [Column; 2] = [number("uid"), number("D")];

/// Returns the columns of the matrices of `tao yuma`: one per uid that has an entry.
pub fn yuma_matrix(uids: &[usize]) -> Vec<Column> {
    std::iter::once(number("from \\ to"))
        .chain(uids.iter().map(|uid| Column::number_of(uid.to_string())))
        .collect()
}

/// Columns of `tao yuma --classic`.
pub static YUMA_CLASSIC: [Column; 8] = [
    number("uid"),
    number("stake S"),
    number("rank R").rank(2),
    number("trust T").rank(3),
    number("consensus C").rank(1),
    number("incentive I"),
    number("dividends D"),
    number("emission E"),
];
