//! Pulses: the signatures that a beacon publishes, one for each round.

use ark_bls12_381::{Bls12_381, G1Affine, G2Affine};
use ark_ec::AffineRepr as _;
use ark_ec::pairing::Pairing as _;
use ark_ff::Zero as _;
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _};
use sha2::{Digest as _, Sha256};

use crate::{Beacon, Round};

/// Why a pulse is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PulseError {
    /// The bytes are not a compressed point of G1, or the point is zero or outside the prime-order
    /// group.
    #[error(
        "malformed signature of round {0}, expected a compressed BLS12-381 G1 point of 48 bytes"
    )]
    Signature(Round),
    /// The signature does not verify for this round and beacon.
    #[error(
        "the signature of round {0} does not verify: the pulse belongs to another round or beacon; hint: fetch it \
         from another source"
    )]
    Unverified(Round),
}

/// A round with its signature, which is also the decryption key for all data encrypted to the
/// round.
///
/// A pulse may come from an untrusted source: [`Pulse::verify`] checks whether it is genuine.
/// Decryption does not need a verified pulse, since a wrong one decrypts nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    round: Round,
    signature: G1Affine,
}

impl Pulse {
    /// Creates a pulse from a round and its signature (G1, compressed), without verifying it.
    ///
    /// # Errors
    /// [`PulseError::Signature`] when the bytes are malformed.
    pub fn new(round: Round, signature: &[u8; 48]) -> Result<Self, PulseError> {
        let signature = G1Affine::deserialize_compressed(signature.as_slice())
            .map_err(|_| PulseError::Signature(round))?;
        if signature.is_zero() {
            return Err(PulseError::Signature(round));
        }
        Ok(Self { round, signature })
    }

    /// Returns the round of the pulse.
    pub const fn round(&self) -> Round {
        self.round
    }

    /// Returns the signature, compressed.
    pub fn signature(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        // Serialising a 48-byte point into 48 bytes cannot fail.
        let _ = self.signature.serialize_compressed(bytes.as_mut_slice());
        bytes
    }

    /// Returns the randomness of the round: SHA-256 of the signature.
    pub fn randomness(&self) -> [u8; 32] {
        Sha256::digest(self.signature()).into()
    }

    /// Verifies that the beacon published this pulse: e(signature, g₂) = e(H(round), public key).
    ///
    /// # Errors
    /// [`PulseError::Unverified`] when the signature does not verify.
    #[expect(clippy::arithmetic_side_effects, reason = "group arithmetic cannot overflow")]
    pub fn verify(&self, beacon: &Beacon) -> Result<(), PulseError> {
        let product = Bls12_381::multi_pairing(
            [-self.signature, self.round.point()],
            [G2Affine::generator(), beacon.key_point()],
        );
        if product.is_zero() { Ok(()) } else { Err(PulseError::Unverified(self.round)) }
    }

    pub(crate) const fn point(&self) -> G1Affine {
        self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_signature_is_refused() {
        let mut zero = [0; 48];
        zero[0] = 0xc0;
        // A point on the curve, outside the prime-order group: x = 4.
        let mut outside = [0; 48];
        (outside[0], outside[47]) = (0x80, 4);
        for bytes in [[0; 48], [0xff; 48], zero, outside] {
            assert_eq!(Pulse::new(Round(7), &bytes), Err(PulseError::Signature(Round(7))));
        }
    }
}
