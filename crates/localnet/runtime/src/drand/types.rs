//! Pulses and the beacon that signs them.

use std::num::NonZeroU32;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::BoundedVec;
use frame_support::traits::{ConstU32, Get};
use scale_info::TypeInfo;
use taonet_timelock::{Beacon, Round};

type Hash = BoundedVec<u8, ConstU32<32>>;

/// A pulse: the beacon's round number, randomness and signature.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Pulse {
    /// The round.
    pub round: u64,
    /// Randomness of the round: SHA-256 of the signature.
    pub randomness: BoundedVec<u8, ConstU32<32>>,
    /// The beacon's signature (G1, compressed).
    pub signature: BoundedVec<u8, ConstU32<144>>,
}

/// Signed argument of the call that submits pulses.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct PulsesPayload<Public, BlockNumber> {
    /// The block in which the submitter signed the argument.
    pub block_number: BlockNumber,
    /// The pulses.
    pub pulses: Vec<Pulse>,
    /// The key of the submitter.
    pub public: Public,
}

/// A beacon.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct BeaconConfiguration {
    /// Public key (G2, compressed).
    pub public_key: BoundedVec<u8, ConstU32<96>>,
    /// Time between rounds, in seconds.
    pub period: u32,
    /// Unix time of round 1.
    pub genesis_time: u32,
    /// Hash of the parameters, which identifies the beacon.
    pub hash: Hash,
    /// Hash of the members.
    pub group_hash: Hash,
    /// Name of the signature scheme.
    pub scheme_id: Hash,
    /// Further parameters of the beacon.
    pub metadata: Metadata,
}

/// Further parameters of a beacon.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Metadata {
    /// Name of the beacon.
    pub beacon_id: Hash,
}

/// Signed argument of the call that sets the beacon's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct BeaconConfigurationPayload<Public, BlockNumber> {
    /// The block in which the submitter signed the argument.
    pub block_number: BlockNumber,
    /// The beacon.
    pub config: BeaconConfiguration,
    /// The key of the submitter.
    pub public: Public,
}

/// A pulse's signature, or a beacon's key or period, is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedBeaconData;

impl BeaconConfiguration {
    /// Whether the beacon signed this pulse.
    pub(super) fn has_signed(&self, pulse: &Pulse) -> Result<bool, MalformedBeaconData> {
        let key: &[u8; 96] =
            self.public_key.as_slice().try_into().map_err(|_| MalformedBeaconData)?;
        let period = NonZeroU32::new(self.period).ok_or(MalformedBeaconData)?;
        let beacon =
            Beacon::new(key, self.genesis_time.into(), period).map_err(|_| MalformedBeaconData)?;
        Ok(pulse.decryption_key().ok_or(MalformedBeaconData)?.verify(&beacon).is_ok())
    }
}

impl Pulse {
    /// Returns the pulse as the key that decrypts the data of its round; `None` if the signature is
    /// malformed.
    pub(crate) fn decryption_key(&self) -> Option<taonet_timelock::Pulse> {
        let signature: &[u8; 48] = self.signature.as_slice().try_into().ok()?;
        taonet_timelock::Pulse::new(Round(self.round), signature).ok()
    }
}

/// The beacon "quicknet", which is the default.
pub struct Quicknet;

impl Get<BeaconConfiguration> for Quicknet {
    fn get() -> BeaconConfiguration {
        BeaconConfiguration {
            public_key: BoundedVec::truncate_from(Beacon::quicknet().public_key().into()),
            period: 3,
            genesis_time: 1_692_803_367,
            hash: BoundedVec::truncate_from(QUICKNET_HASH.into()),
            group_hash: BoundedVec::truncate_from(QUICKNET_GROUP_HASH.into()),
            scheme_id: BoundedVec::truncate_from(b"bls-unchained-g1-rfc9380".into()),
            metadata: Metadata { beacon_id: BoundedVec::truncate_from(b"quicknet".into()) },
        }
    }
}

const QUICKNET_HASH: [u8; 32] = [
    0x52, 0xdb, 0x9b, 0xa7, 0x0e, 0x0c, 0xc0, 0xf6, 0xea, 0xf7, 0x80, 0x3d, 0xd0, 0x74, 0x47, 0xa1,
    0xf5, 0x47, 0x77, 0x35, 0xfd, 0x3f, 0x66, 0x17, 0x92, 0xba, 0x94, 0x60, 0x0c, 0x84, 0xe9, 0x71,
];

const QUICKNET_GROUP_HASH: [u8; 32] = [
    0xf4, 0x77, 0xd5, 0xc8, 0x9f, 0x21, 0xa1, 0x7c, 0x86, 0x3a, 0x7f, 0x93, 0x7c, 0x6a, 0x6d, 0x15,
    0x85, 0x94, 0x14, 0xd2, 0xbe, 0x09, 0xcd, 0x44, 0x8d, 0x42, 0x79, 0xaf, 0x33, 0x1c, 0x5d, 0x3e,
];
