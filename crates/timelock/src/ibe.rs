//! Identity-based encryption of a 32-byte key to a round.
//!
//! With Q the round's point, P the beacon's key, σ 32 random bytes and m the key:
//! r = SHA-256(σ ‖ m) mod group order, U = r·g₂, V = σ ⊕ SHA-256(e(r·Q, P)), W = m ⊕ SHA-256(σ).
//! The signature s satisfies e(s, U) = e(r·Q, P); it yields σ, then m; finally U is checked.

#![expect(clippy::arithmetic_side_effects, reason = "group arithmetic cannot overflow")]

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G2Affine};
use ark_ec::pairing::Pairing as _;
use ark_ec::{AffineRepr as _, CurveGroup as _};
use ark_ff::PrimeField as _;
use ark_serialize::CanonicalSerialize as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{Beacon, Pulse, Round};

/// The length in bytes of σ, the key, V and W.
pub(crate) const SECRET_BYTES: usize = 32;

/// The length in bytes of an element of the pairing's target group: twelve field elements of 48
/// bytes.
const TARGET_BYTES: usize = 576;

type Secret = Zeroizing<[u8; SECRET_BYTES]>;

/// An encrypted key: U, V and W of the formula in the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedKey {
    pub(crate) u: G2Affine,
    pub(crate) v: [u8; SECRET_BYTES],
    pub(crate) w: [u8; SECRET_BYTES],
}

impl SealedKey {
    /// Encrypts a key; `sigma` must be random and used only once.
    pub(crate) fn seal(key: &Secret, sigma: &Secret, beacon: &Beacon, round: Round) -> Self {
        let r = exponent(sigma, key);
        let point = Zeroizing::new((round.point() * *r).into_affine());
        Self {
            u: (G2Affine::generator() * *r).into_affine(),
            v: *xor(sigma, &shared_secret(*point, beacon.key_point())),
            w: *xor(key, &hash(&[sigma.as_slice()])),
        }
    }

    /// Decrypts the key; `None` for a pulse of another round.
    pub(crate) fn open(&self, pulse: &Pulse) -> Option<Secret> {
        let sigma = xor(&self.v, &shared_secret(pulse.point(), self.u));
        let key = xor(&self.w, &hash(&[sigma.as_slice()]));
        let r = exponent(&sigma, &key);
        ((G2Affine::generator() * *r).into_affine() == self.u).then_some(key)
    }
}

fn exponent(sigma: &Secret, key: &Secret) -> Zeroizing<Fr> {
    Zeroizing::new(Fr::from_be_bytes_mod_order(
        hash(&[sigma.as_slice(), key.as_slice()]).as_slice(),
    ))
}

/// Returns the SHA-256 hash of a pairing.
fn shared_secret(left: G1Affine, right: G2Affine) -> Secret {
    let target = Zeroizing::new(Bls12_381::pairing(left, right));
    let mut bytes = Zeroizing::new([0; TARGET_BYTES]);
    // Serialising a 576-byte element into 576 bytes cannot fail.
    let _ = target.serialize_compressed(bytes.as_mut_slice());
    hash(&[bytes.as_slice()])
}

fn hash(parts: &[&[u8]]) -> Secret {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Zeroizing::new(hasher.finalize().into())
}

fn xor(left: &[u8; SECRET_BYTES], right: &Secret) -> Secret {
    let mut result = Zeroizing::new(*left);
    for (byte, other) in result.iter_mut().zip(right.iter()) {
        *byte ^= other;
    }
    result
}
