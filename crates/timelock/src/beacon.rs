//! Drand beacons: public key, rounds and their times.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use ark_bls12_381::{G1Affine, G1Projective, G2Affine, g1};
use ark_ec::AffineRepr as _;
use ark_ec::hashing::HashToCurve as _;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _};
use sha2::{Digest as _, Sha256};

/// The domain separation tag of drand's signatures in G1, as required by RFC 9380.
const DOMAIN: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// The number of a drand round; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

impl Round {
    /// Returns the point that the beacon signs, which is also the identity to encrypt to: SHA-256
    /// of the big-endian number, hashed to G1.
    #[expect(clippy::expect_used, reason = "the curve's map accepts every field element")]
    pub(crate) fn point(self) -> G1Affine {
        type Hasher =
            MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;
        let message = Sha256::digest(self.0.to_be_bytes());
        Hasher::new(DOMAIN)
            .and_then(|hasher| hasher.hash(&message))
            .expect("every message has a point")
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a beacon's parameters are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeaconError {
    /// The bytes are not a compressed point of G2, or the point is zero or outside the prime-order
    /// group.
    #[error("malformed beacon public key, expected a compressed BLS12-381 G2 point of 96 bytes")]
    PublicKey,
}

/// A drand network with unchained signatures in G1 (scheme `bls-unchained-g1-rfc9380`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    public_key: G2Affine,
    genesis: Duration,
    period: NonZeroU32,
}

impl Beacon {
    /// Creates a beacon from its public key (G2, compressed), the Unix time of round 1 in seconds
    /// and the period between rounds in seconds.
    ///
    /// # Errors
    /// [`BeaconError::PublicKey`] when the key is invalid.
    pub fn new(
        public_key: &[u8; 96],
        genesis_unix: u64,
        period: NonZeroU32,
    ) -> Result<Self, BeaconError> {
        let public_key = G2Affine::deserialize_compressed(public_key.as_slice())
            .map_err(|_| BeaconError::PublicKey)?;
        // With a zero key anyone could sign.
        if public_key.is_zero() {
            return Err(BeaconError::PublicKey);
        }
        Ok(Self { public_key, genesis: Duration::from_secs(genesis_unix), period })
    }

    /// Returns the drand network "quicknet", which Subtensor uses: chain
    /// `52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971`, with a period of three
    /// seconds.
    #[expect(clippy::expect_used, reason = "the key is a valid constant")]
    pub fn quicknet() -> &'static Self {
        static QUICKNET: LazyLock<Beacon> = LazyLock::new(|| {
            let period = const { NonZeroU32::new(3).unwrap() };
            Beacon::new(&QUICKNET_KEY, 1_692_803_367, period).expect("a test reads the key")
        });
        &QUICKNET
    }

    /// Returns the public key, compressed.
    pub fn public_key(&self) -> [u8; 96] {
        let mut bytes = [0; 96];
        // Serialising a 96-byte point into 96 bytes cannot fail.
        let _ = self.public_key.serialize_compressed(bytes.as_mut_slice());
        bytes
    }

    /// Returns the latest round published by `time`, the duration since the Unix epoch; `None`
    /// before the first round.
    pub fn round_at(&self, time: Duration) -> Option<Round> {
        self.periods_until(time)?.checked_add(1).map(Round)
    }

    /// Returns the publication time of a round as the duration since the Unix epoch; `None` for
    /// round 0, which does not exist, and on overflow.
    pub fn time_of(&self, round: Round) -> Option<Duration> {
        let seconds = round.0.checked_sub(1)?.checked_mul(u64::from(self.period.get()))?;
        self.genesis.checked_add(Duration::from_secs(seconds))
    }

    /// Returns the number of complete periods from round 1 to `time`; `None` if `time` is before
    /// round 1.
    pub(crate) fn periods_until(&self, time: Duration) -> Option<u64> {
        let seconds = time.checked_sub(self.genesis)?.as_secs();
        seconds.checked_div(u64::from(self.period.get()))
    }

    pub(crate) const fn key_point(&self) -> G2Affine {
        self.public_key
    }
}

const QUICKNET_KEY: [u8; 96] = [
    0x83, 0xcf, 0x0f, 0x28, 0x96, 0xad, 0xee, 0x7e, 0xb8, 0xb5, 0xf0, 0x1f, 0xca, 0xd3, 0x91, 0x22,
    0x12, 0xc4, 0x37, 0xe0, 0x07, 0x3e, 0x91, 0x1f, 0xb9, 0x00, 0x22, 0xd3, 0xe7, 0x60, 0x18, 0x3c,
    0x8c, 0x4b, 0x45, 0x0b, 0x6a, 0x0a, 0x6c, 0x3a, 0xc6, 0xa5, 0x77, 0x6a, 0x2d, 0x10, 0x64, 0x51,
    0x0d, 0x1f, 0xec, 0x75, 0x8c, 0x92, 0x1c, 0xc2, 0x2b, 0x0e, 0x17, 0xe6, 0x3a, 0xaf, 0x4b, 0xcb,
    0x5e, 0xd6, 0x63, 0x04, 0xde, 0x9c, 0xf8, 0x09, 0xbd, 0x27, 0x4c, 0xa7, 0x3b, 0xab, 0x4a, 0xf5,
    0xa6, 0xe9, 0xc7, 0x6a, 0x4b, 0xc0, 0x9e, 0x76, 0xea, 0xe8, 0x99, 0x1e, 0xf5, 0xec, 0xe4, 0x5a,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_follow_genesis_time_and_period() {
        let beacon = Beacon::quicknet();
        let round_at_seconds =
            |seconds: f64| beacon.round_at(Duration::from_secs_f64(seconds)).map(|round| round.0);
        assert_eq!(round_at_seconds(0.0), None);
        assert_eq!(round_at_seconds(1_692_803_366.999), None);
        assert_eq!(round_at_seconds(1_692_803_367.0), Some(1));
        assert_eq!(round_at_seconds(1_692_803_369.999), Some(1));
        assert_eq!(round_at_seconds(1_692_803_370.0), Some(2));
        assert_eq!(beacon.round_at(Duration::MAX), Some(Round((u64::MAX - 1_692_803_367) / 3 + 1)));
        assert_eq!(beacon.time_of(Round(2)), Some(Duration::from_secs(1_692_803_370)));
        assert_eq!(beacon.time_of(Round(0)), None);
        assert_eq!(beacon.time_of(Round(u64::MAX)), None);
        for round in [1, 2, 1000, 34_127_646].map(Round) {
            assert_eq!(beacon.round_at(beacon.time_of(round).unwrap()), Some(round));
        }
    }

    #[test]
    fn malformed_beacon_keys_are_refused() {
        let key = Beacon::quicknet().public_key();
        let new = |key: &[u8; 96]| Beacon::new(key, 0, NonZeroU32::MIN);
        assert_eq!(new(&key).map(|beacon| beacon.public_key()), Ok(key));
        let with_changed_key = |change: fn(&mut [u8; 96])| {
            let mut key = key;
            change(&mut key);
            new(&key)
        };
        let mut zero = [0; 96];
        zero[0] = 0xc0;
        assert_eq!(new(&zero), Err(BeaconError::PublicKey));
        assert_eq!(new(&[0; 96]), Err(BeaconError::PublicKey));
        assert_eq!(new(&[0xff; 96]), Err(BeaconError::PublicKey));
        // Without the compression flag, then with an x-coordinate for which the group has no point.
        assert_eq!(with_changed_key(|key| key[0] &= 0x7f), Err(BeaconError::PublicKey));
        assert_eq!(with_changed_key(|key| key[95] ^= 1), Err(BeaconError::PublicKey));
    }
}
