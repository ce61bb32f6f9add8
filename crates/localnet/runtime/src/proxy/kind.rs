//! Proxy types.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Proxy type: the calls that a delegate may make for an account.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum ProxyType {
    /// Every call.
    #[default]
    Any,
    /// Hyperparameters and identity of a subnet that the account owns.
    Owner,
    /// Every call except sudo, dissolving subnets, burned and root registrations, coldkey swaps and
    /// crowdloans.
    NonCritical,
    /// Every call except those that move TAO or stake to another account.
    NonTransfer,
    /// Obsolete: no call.
    Senate,
    /// Every call except those that move, lock, spend or burn TAO or stake.
    NonFungible,
    /// Obsolete: no call.
    Triumvirate,
    /// Obsolete: no call.
    Governance,
    /// Adding, removing and moving stake.
    Staking,
    /// Registering hotkeys.
    Registration,
    /// Transfers of TAO and stake.
    Transfer,
    /// Transfers of less than 0.5 TAO or 0.5 alpha.
    SmallTransfer,
    /// Obsolete: no call.
    RootWeights,
    /// Child hotkeys and their takes.
    ChildKeys,
    /// Replacing the runtime's code through the sudo key.
    SudoUncheckedSetCode,
    /// Swapping hotkeys.
    SwapHotkey,
    /// Operating a leased subnet.
    SubnetLeaseBeneficiary,
    /// Claiming root dividends.
    RootClaim,
    /// Trading a validator's basket.
    BasketTrading,
}

impl ProxyType {
    /// All proxy types, by index.
    pub const ALL: [Self; 19] = [
        Self::Any,
        Self::Owner,
        Self::NonCritical,
        Self::NonTransfer,
        Self::Senate,
        Self::NonFungible,
        Self::Triumvirate,
        Self::Governance,
        Self::Staking,
        Self::Registration,
        Self::Transfer,
        Self::SmallTransfer,
        Self::RootWeights,
        Self::ChildKeys,
        Self::SudoUncheckedSetCode,
        Self::SwapHotkey,
        Self::SubnetLeaseBeneficiary,
        Self::RootClaim,
        Self::BasketTrading,
    ];

    /// Whether this proxy type is obsolete: such proxies can be added, but allow no call.
    pub const fn is_deprecated(self) -> bool {
        matches!(self, Self::Senate | Self::Triumvirate | Self::Governance | Self::RootWeights)
    }

    /// Whether a delegate of this type may add and remove delegates of the type `other`.
    pub const fn includes(self, other: Self) -> bool {
        // A list of the allowed types, so that a new type which can move TAO is not included by
        // accident.
        let is_listed = matches!(
            (self, other),
            (Self::Any, _)
                | (Self::Transfer, Self::SmallTransfer)
                | (
                    Self::NonTransfer,
                    Self::Owner
                        | Self::Senate
                        | Self::NonFungible
                        | Self::Triumvirate
                        | Self::Governance
                        | Self::Staking
                        | Self::Registration
                        | Self::RootWeights
                        | Self::ChildKeys
                        | Self::SwapHotkey
                        | Self::SubnetLeaseBeneficiary
                        | Self::RootClaim
                )
        );
        is_listed || self as u8 == other as u8
    }
}
