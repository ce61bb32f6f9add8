//! Configuration of the pallets that dispatch calls: Proxy, Multisig, Preimage, Scheduler and
//! SafeMode.

use std::cmp::Ordering;

use frame_support::parameter_types;
use frame_support::traits::fungible::HoldConsideration;
use frame_support::traits::{ConstU32, Get, LinearStoragePrice, PrivilegeCmp};
use frame_support::weights::Weight;
use frame_system::{EnsureRoot, RawOrigin};
use sp_runtime::Perbill;

use super::{
    AccountId, Balance, Balances, BlockWeights, OriginCaller, Preimage, Runtime, RuntimeCall,
    RuntimeEvent, RuntimeHoldReason, RuntimeOrigin, System,
};
use crate::proxy::{self, ProxyType};
use crate::types::TaoBalance;

/// Returns the deposit for storage, in rao.
const fn deposit(items: u64, bytes: u64) -> u64 {
    20_000_000 * items + 1_000_000 * bytes
}

/// The deposit for a number of storage items and bytes.
pub struct Deposit<const ITEMS: u64, const BYTES: u64>;

impl<const ITEMS: u64, const BYTES: u64> Get<u64> for Deposit<ITEMS, BYTES> {
    fn get() -> u64 {
        deposit(ITEMS, BYTES)
    }
}

impl<const ITEMS: u64, const BYTES: u64> Get<TaoBalance> for Deposit<ITEMS, BYTES> {
    fn get() -> TaoBalance {
        TaoBalance(deposit(ITEMS, BYTES))
    }
}

impl pallet_multisig::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type Currency = Balances;
    type DepositBase = Deposit<1, 112>;
    type DepositFactor = Deposit<0, 32>;
    type MaxSignatories = ConstU32<100>;
    type WeightInfo = ();
    type BlockNumberProvider = System;
}

parameter_types! {
    /// Reason for which the deposit for a preimage is held.
    pub const PreimageHeld: RuntimeHoldReason =
        RuntimeHoldReason::Preimage(pallet_preimage::HoldReason::Preimage);
    /// Maximum weight of the scheduled calls in a block: four fifths of the block.
    pub MaximumSchedulerWeight: Weight = Perbill::from_percent(80) * BlockWeights::get().max_block;
}

impl pallet_preimage::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
    type Currency = Balances;
    type ManagerOrigin = EnsureRoot<AccountId>;
    type Consideration = HoldConsideration<
        AccountId,
        Balances,
        PreimageHeld,
        LinearStoragePrice<Deposit<2, 64>, Deposit<0, 1>, Balance>,
    >;
}

/// Order of the origins that schedule calls: root, the only one that may schedule, is above all
/// others.
pub struct RootFirst;

impl PrivilegeCmp<OriginCaller> for RootFirst {
    fn cmp_privilege(left: &OriginCaller, right: &OriginCaller) -> Option<Ordering> {
        if left == right {
            return Some(Ordering::Equal);
        }
        matches!(left, OriginCaller::system(RawOrigin::Root)).then_some(Ordering::Greater)
    }
}

impl pallet_scheduler::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeOrigin = RuntimeOrigin;
    type PalletsOrigin = OriginCaller;
    type RuntimeCall = RuntimeCall;
    type MaximumWeight = MaximumSchedulerWeight;
    type ScheduleOrigin = EnsureRoot<AccountId>;
    type OriginPrivilegeCmp = RootFirst;
    type MaxScheduledPerBlock = ConstU32<50>;
    type WeightInfo = ();
    type Preimages = Preimage;
    type BlockNumberProvider = System;
}

impl proxy::Config for Runtime {
    type RuntimeCall = RuntimeCall;
    type Currency = Balances;
    type ProxyType = ProxyType;
    type ProxyDepositBase = Deposit<1, 40>;
    type ProxyDepositFactor = Deposit<0, 33>;
    type MaxProxies = ConstU32<{ proxy::MAX_PROXIES }>;
    type MaxPending = ConstU32<{ proxy::MAX_PENDING }>;
    type AnnouncementDepositBase = Deposit<1, 16>;
    type AnnouncementDepositFactor = Deposit<0, 68>;
}

#[cfg(test)]
mod tests;
