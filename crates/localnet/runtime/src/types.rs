//! Newtypes for amounts and identifiers, encoded as their integers. Balances alone are plain `u64`
//! rao, because the framework requires an arithmetic type for them.

use codec::{CompactAs, Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

macro_rules! integer_newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, DecodeWithMemTracking,
            MaxEncodedLen, CompactAs, TypeInfo,
        )]
        pub struct $name(
            /// The integer that is encoded.
            pub $inner,
        );

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }

        impl From<$name> for $inner {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

integer_newtype! {
    /// Netuid of a subnet; 0 is root.
    NetUid(u16)
}
integer_newtype! {
    /// Storage index of the values of one mechanism of a subnet: mechanism × 4 096 + netuid.
    NetUidStorageIndex(u16)
}
integer_newtype! {
    /// An amount of TAO, in rao.
    TaoBalance(u64)
}
integer_newtype! {
    /// An amount of a subnet's alpha, in billionths.
    AlphaBalance(u64)
}

/// Index of an incentive mechanism within a subnet.
// Not compact: a single byte has no shorter encoding.
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
pub struct MechId(
    /// The integer that is encoded.
    pub u8,
);

impl NetUid {
    /// Netuid of root, the network whose TAO stake counts on all subnets.
    pub const ROOT: Self = Self(0);

    /// Returns the storage index of mechanism `mecid`.
    pub const fn mechanism(self, mecid: MechId) -> NetUidStorageIndex {
        NetUidStorageIndex(self.0.saturating_add((mecid.0 as u16).saturating_mul(4_096)))
    }
}

impl NetUidStorageIndex {
    /// Returns the subnet and the mechanism whose values are stored under this index.
    pub const fn parts(self) -> (NetUid, MechId) {
        (NetUid(self.0 % 4_096), MechId((self.0 / 4_096) as u8))
    }
}

impl TaoBalance {
    /// The zero amount.
    pub const ZERO: Self = Self(0);

    /// Returns the sum, or the maximum amount on overflow.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, or zero if it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AlphaBalance {
    /// The zero amount.
    pub const ZERO: Self = Self(0);

    /// Returns the sum, or the maximum amount on overflow.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, or zero if it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
