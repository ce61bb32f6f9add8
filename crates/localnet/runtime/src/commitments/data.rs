//! One field of a commitment, in the encoding of the real chain.

use codec::{Decode, DecodeWithMemTracking, Encode, EncodeLike, Error, Input, Output};
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;
use scale_info::build::{FieldBuilder, Fields, Variants};
use scale_info::form::MetaForm;
use scale_info::{Path, Type, TypeInfo};

/// Ciphertext of timelocked data.
type Encrypted = BoundedVec<u8, ConstU32<1_024>>;

/// Variant index of `Raw0`. `RawN` has this index plus N, followed by N bytes without a length
/// prefix.
const RAW_0_INDEX: u8 = 1;
/// Maximum length of a `Raw` field, in bytes.
const MAX_RAW_LENGTH: u8 = 128;

/// One field of a commitment. The metadata has 129 variants for raw data, one for each length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An empty field.
    None,
    /// Raw data of at most 128 bytes, usually text.
    Raw(BoundedVec<u8, ConstU32<{ MAX_RAW_LENGTH as u32 }>>),
    /// A BLAKE2b-256 hash.
    BlakeTwo256([u8; 32]),
    /// A SHA-256 hash.
    Sha256([u8; 32]),
    /// A Keccak-256 hash.
    Keccak256([u8; 32]),
    /// A SHA3-256 hash.
    ShaThree256([u8; 32]),
    /// Timelocked data, which can be decrypted once the drand beacon has published the reveal
    /// round.
    TimelockEncrypted {
        /// Ciphertext of the data.
        encrypted: Encrypted,
        /// Round of the drand beacon whose signature decrypts the data.
        reveal_round: u64,
    },
    /// Requests a reset of the bonds to this neuron.
    ResetBondsFlag,
    /// Raw data of at most 512 bytes, usually text.
    BigRaw(BoundedVec<u8, ConstU32<512>>),
    /// Timelocked data whose reveal failed.
    TimelockRevealFailed {
        /// Ciphertext of the data.
        encrypted: Encrypted,
        /// Round of the drand beacon whose signature decrypts the data.
        reveal_round: u64,
    },
}

/// Variant indices of the variants after `Raw128`.
mod index {
    pub(super) const BLAKE_TWO_256: u8 = 130;
    pub(super) const SHA_256: u8 = 131;
    pub(super) const KECCAK_256: u8 = 132;
    pub(super) const SHA_THREE_256: u8 = 133;
    pub(super) const TIMELOCK_ENCRYPTED: u8 = 134;
    pub(super) const RESET_BONDS_FLAG: u8 = 135;
    pub(super) const BIG_RAW: u8 = 136;
    pub(super) const TIMELOCK_REVEAL_FAILED: u8 = 137;
}

impl Data {
    /// Returns the space that the field uses of its neuron's quota, in bytes.
    pub fn space(&self) -> usize {
        match self {
            Self::None | Self::ResetBondsFlag => 0,
            Self::Raw(bytes) => bytes.len(),
            Self::BlakeTwo256(_) | Self::Sha256(_) | Self::Keccak256(_) | Self::ShaThree256(_) => {
                32
            }
            Self::TimelockEncrypted { encrypted, .. }
            | Self::TimelockRevealFailed { encrypted, .. } => encrypted.len(),
            Self::BigRaw(bytes) => bytes.len(),
        }
    }
}

impl Encode for Data {
    fn encode_to<W: Output + ?Sized>(&self, to: &mut W) {
        match self {
            Self::None => to.push_byte(0),
            Self::Raw(bytes) => {
                to.push_byte(RAW_0_INDEX.saturating_add(bytes.len() as u8));
                to.write(bytes);
            }
            Self::BlakeTwo256(hash) => (index::BLAKE_TWO_256, hash).encode_to(to),
            Self::Sha256(hash) => (index::SHA_256, hash).encode_to(to),
            Self::Keccak256(hash) => (index::KECCAK_256, hash).encode_to(to),
            Self::ShaThree256(hash) => (index::SHA_THREE_256, hash).encode_to(to),
            Self::TimelockEncrypted { encrypted, reveal_round } => {
                (index::TIMELOCK_ENCRYPTED, encrypted, reveal_round).encode_to(to);
            }
            Self::ResetBondsFlag => to.push_byte(index::RESET_BONDS_FLAG),
            Self::BigRaw(bytes) => (index::BIG_RAW, bytes).encode_to(to),
            Self::TimelockRevealFailed { encrypted, reveal_round } => {
                (index::TIMELOCK_REVEAL_FAILED, encrypted, reveal_round).encode_to(to);
            }
        }
    }
}

impl EncodeLike for Data {}

impl Decode for Data {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(match input.read_byte()? {
            0 => Self::None,
            variant if variant <= RAW_0_INDEX + MAX_RAW_LENGTH => {
                let mut bytes = vec![0; usize::from(variant - RAW_0_INDEX)];
                input.read(&mut bytes)?;
                Self::Raw(BoundedVec::truncate_from(bytes))
            }
            index::BLAKE_TWO_256 => Self::BlakeTwo256(Decode::decode(input)?),
            index::SHA_256 => Self::Sha256(Decode::decode(input)?),
            index::KECCAK_256 => Self::Keccak256(Decode::decode(input)?),
            index::SHA_THREE_256 => Self::ShaThree256(Decode::decode(input)?),
            index::TIMELOCK_ENCRYPTED => Self::TimelockEncrypted {
                encrypted: Decode::decode(input)?,
                reveal_round: Decode::decode(input)?,
            },
            index::RESET_BONDS_FLAG => Self::ResetBondsFlag,
            index::BIG_RAW => Self::BigRaw(Decode::decode(input)?),
            index::TIMELOCK_REVEAL_FAILED => Self::TimelockRevealFailed {
                encrypted: Decode::decode(input)?,
                reveal_round: Decode::decode(input)?,
            },
            _ => return Err("unknown field type".into()),
        })
    }
}

impl DecodeWithMemTracking for Data {}

impl TypeInfo for Data {
    type Identity = Self;

    fn type_info() -> Type {
        let timelocked_fields = || {
            Fields::named()
                .field(|field| field.name("encrypted").ty::<Encrypted>())
                .field(|field| field.name("reveal_round").ty::<u64>())
        };
        let hash_field = || Fields::unnamed().field(FieldBuilder::<MetaForm, _>::ty::<[u8; 32]>);
        let variants = raw_variants(Variants::new().variant("None", |variant| variant.index(0)))
            .variant("BlakeTwo256", |variant| {
                variant.index(index::BLAKE_TWO_256).fields(hash_field())
            })
            .variant("Sha256", |variant| variant.index(index::SHA_256).fields(hash_field()))
            .variant("Keccak256", |variant| variant.index(index::KECCAK_256).fields(hash_field()))
            .variant("ShaThree256", |variant| {
                variant.index(index::SHA_THREE_256).fields(hash_field())
            })
            .variant("TimelockEncrypted", |variant| {
                variant.index(index::TIMELOCK_ENCRYPTED).fields(timelocked_fields())
            })
            .variant("ResetBondsFlag", |variant| variant.index(index::RESET_BONDS_FLAG))
            .variant("BigRaw", |variant| {
                let fields = Fields::unnamed()
                    .field(FieldBuilder::<MetaForm, _>::ty::<BoundedVec<u8, ConstU32<512>>>);
                variant.index(index::BIG_RAW).fields(fields)
            })
            .variant("TimelockRevealFailed", |variant| {
                variant.index(index::TIMELOCK_REVEAL_FAILED).fields(timelocked_fields())
            });
        Type::builder().path(Path::new("Data", module_path!())).variant(variants)
    }
}

/// Adds the variants `Raw0` to `Raw128` to the type's metadata, each with a byte array of its
/// length.
macro_rules! raw_variants {
    ($($length:literal)*) => {
        fn raw_variants(variants: Variants) -> Variants {
            variants$(.variant(concat!("Raw", $length), |variant| {
                let fields =
                    Fields::unnamed().field(FieldBuilder::<MetaForm, _>::ty::<[u8; $length]>);
                variant.index(RAW_0_INDEX + $length).fields(fields)
            }))*
        }
    };
}
raw_variants! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40
    41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78
    79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112
    113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128
}
