use serde::{Deserialize, Serialize};
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::{AccountId, BlockNumber, Rao};

/// A crowdloan: TAO raised by many accounts for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Crowdloan {
    /// The account that created the crowdloan.
    pub creator: AccountId,
    /// The creator's first contribution, which remains until the crowdloan ends.
    pub deposit: Rao,
    /// The minimum contribution.
    pub min_contribution: Rao,
    /// The first block that accepts no contributions.
    pub end: BlockNumber,
    /// The amount to raise.
    pub cap: Rao,
    /// The account that holds the contributions.
    pub funds_account: AccountId,
    /// The amount raised so far.
    pub raised: Rao,
    /// The account that receives the TAO; `None` if a call spends it.
    pub target_address: Option<AccountId>,
    /// Whether the crowdloan was finalized.
    pub finalized: bool,
    /// The number of contributors.
    pub contributors_count: u32,
}

/// The terms of a new crowdloan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrowdloanTerms {
    /// The creator's first contribution.
    pub deposit: Rao,
    /// The minimum contribution.
    pub min_contribution: Rao,
    /// The amount to raise.
    pub cap: Rao,
    /// The first block that accepts no contributions.
    pub end: BlockNumber,
}
