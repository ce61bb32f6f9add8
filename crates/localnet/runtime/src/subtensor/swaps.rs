//! Swaps: a new hotkey or coldkey replaces an old one.

mod coldkey;
mod hotkey;
#[cfg(test)]
mod tests;

use crate::types::TaoBalance;

/// Cost of a swap of a coldkey, or of a hotkey on all subnets: 0.1 TAO.
pub(super) const SWAP_COST: TaoBalance = TaoBalance(100_000_000);
/// Cost of a swap of a hotkey on one subnet: 0.001 TAO.
pub(super) const SUBNET_SWAP_COST: TaoBalance = TaoBalance(1_000_000);
/// Minimum interval between swaps of a coldkey's hotkeys on a subnet, in blocks.
pub(super) const MIN_HOTKEY_SWAP_INTERVAL: u64 = 1;
