use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, BlockNumber, Hotkey, Rao};

use super::{SUBTENSOR, account, number, option};
use crate::{Call, CrowdloanTerms};

const CROWDLOAN: &str = "Crowdloan";

/// Use of a crowdloan's TAO at its finalization.
#[derive(Debug, Clone, PartialEq)]
pub enum CrowdloanPurpose {
    /// The account receives the TAO.
    Account(AccountId),
    /// The call spends the TAO.
    Call(Call),
}

/// Builds a call that creates a crowdloan, with the signer's deposit as its first contribution.
pub fn create_crowdloan(terms: CrowdloanTerms, purpose: CrowdloanPurpose) -> Call {
    let (call, target) = match purpose {
        CrowdloanPurpose::Account(target) => (None, Some(account(target))),
        CrowdloanPurpose::Call(call) => (Some(call.into_value()), None),
    };
    let args = vec![
        ("deposit", number(terms.deposit.get())),
        ("min_contribution", number(terms.min_contribution.get())),
        ("cap", number(terms.cap.get())),
        ("end", number(terms.end.get())),
        ("call", option(call)),
        ("target_address", option(target)),
    ];
    Call::new(CROWDLOAN, "create", args)
}

/// Builds a call that contributes TAO of the signer to a crowdloan.
pub fn contribute(crowdloan: u32, amount: Rao) -> Call {
    Call::new(
        CROWDLOAN,
        "contribute",
        vec![crowdloan_arg(crowdloan), ("amount", number(amount.get()))],
    )
}

/// Builds a call that withdraws the signer's contribution to a crowdloan; the creator's deposit
/// remains.
pub fn withdraw_contribution(crowdloan: u32) -> Call {
    Call::new(CROWDLOAN, "withdraw", vec![crowdloan_arg(crowdloan)])
}

/// Builds a call that finalizes the signer's crowdloan, whose cap is raised.
pub fn finalize_crowdloan(crowdloan: u32) -> Call {
    Call::new(CROWDLOAN, "finalize", vec![crowdloan_arg(crowdloan)])
}

/// Builds a call that refunds some of the contributors of the signer's crowdloan; repeat it until
/// all are refunded.
pub fn refund_crowdloan(crowdloan: u32) -> Call {
    Call::new(CROWDLOAN, "refund", vec![crowdloan_arg(crowdloan)])
}

/// Builds a call that removes the signer's crowdloan, once all other contributors are refunded.
pub fn dissolve_crowdloan(crowdloan: u32) -> Call {
    Call::new(CROWDLOAN, "dissolve", vec![crowdloan_arg(crowdloan)])
}

/// Builds a call that sets the minimum contribution to the signer's crowdloan.
pub fn update_min_contribution(crowdloan: u32, min: Rao) -> Call {
    Call::new(
        CROWDLOAN,
        "update_min_contribution",
        vec![crowdloan_arg(crowdloan), ("new_min_contribution", number(min.get()))],
    )
}

/// Builds a call that sets the first block in which the signer's crowdloan accepts no
/// contributions.
pub fn update_crowdloan_end(crowdloan: u32, end: BlockNumber) -> Call {
    Call::new(
        CROWDLOAN,
        "update_end",
        vec![crowdloan_arg(crowdloan), ("new_end", number(end.get()))],
    )
}

/// Builds a call that sets the amount that the signer's crowdloan is to raise.
pub fn update_crowdloan_cap(crowdloan: u32, cap: Rao) -> Call {
    Call::new(
        CROWDLOAN,
        "update_cap",
        vec![crowdloan_arg(crowdloan), ("new_cap", number(cap.get()))],
    )
}

/// Builds a call that spends the TAO of a crowdloan: it creates a subnet and leases it to the
/// creator, until block `end` if given. The contributors receive `percent` % (0..=100) of the
/// owner's emission.
pub fn register_leased_network(percent: u8, end: Option<BlockNumber>) -> Call {
    let end = option(end.map(|end| number(end.get())));
    Call::new(
        SUBTENSOR,
        "register_leased_network",
        vec![("emissions_share", number(percent)), ("end_block", end)],
    )
}

/// Builds a call that ends the signer's lease: the signer becomes the owner of the subnet, with
/// this owner hotkey.
pub fn terminate_lease(lease: u32, hotkey: Hotkey) -> Call {
    Call::new(
        SUBTENSOR,
        "terminate_lease",
        vec![("lease_id", number(lease)), ("hotkey", account(hotkey))],
    )
}

fn crowdloan_arg(crowdloan: u32) -> (&'static str, Value) {
    ("crowdloan_id", number(crowdloan))
}
