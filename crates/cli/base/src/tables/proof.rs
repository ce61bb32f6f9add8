//! Columns of the tables of `tao proof`.

use super::{address, fixed, number, text};
use crate::table::Column;

/// Columns of `tao proof validator --requests`.
pub static PROOF_TALLIES: [Column; 6] = [
    address("miner"),
    number("verified"),
    number("failed"),
    number("seconds"),
    number("proof bytes").rank(1),
    text("why"),
];

/// Columns of the circuits of `tao proof demo`.
pub static PROOF_CIRCUITS: [Column; 5] = [
    fixed("model"),
    fixed("backend"),
    number("constraints"),
    number("compiled in s").rank(1),
    address("circuit").rank(2),
];

/// Columns of `tao proof inspect`: files of a circuit.
pub static PROOF_FILES: [Column; 2] = [fixed("file"), address("SHA-256")];

/// Columns of `tao proof inspect`: slices of a model.
pub static PROOF_SLICES: [Column; 2] = [address("slice"), number("multiply-adds")];

/// Columns of `tao proof setup`: contributions to a trusted setup.
pub static CONTRIBUTIONS: [Column; 3] = [number("#"), address("key"), text("contributor")];

/// Columns of the standings of `tao proof demo`.
pub static PROOF_STANDINGS: [Column; 9] = [
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
pub static PROOF_USER: [Column; 7] = [
    fixed("backend"),
    text("digit"),
    text("miner"),
    number("seconds"),
    number("proof bytes").rank(2),
    number("asked").rank(1),
    text("failures"),
];
