//! Verification by contracts on an Ethereum Virtual Machine, whose precompiled contracts compute on
//! BN254 (EIP-196, EIP-197).
//!
//! The function is the same for all circuits, so that a contract can call the verifiers of
//! different ones. The key is in the code: in storage, each of its points would cost 4 200 gas. A
//! Poseidon hash of the inputs in the contract would cost more than the proof, so that a circuit
//! makes their digest public in place of many values.

use std::fmt::Write as _;

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr as _;
use ark_ff::{BigInteger as _, PrimeField};
use ark_groth16::Proof;
use taonet_primitives::counted;
use taonet_proof_core::Digest;

use super::circuit::{Layout, PublicValues};
use super::verifier::Groth16Verifier;
use crate::{BackendError, Statement, VerifyError};

/// Signature of the function that verifies a proof, the same in all contracts.
pub const FUNCTION: &str = "verify(uint256[8],uint256[])";
/// The first four bytes of the Keccak-256 hash of [`FUNCTION`].
const SELECTOR: [u8; 4] = [0x8f, 0x33, 0x08, 0xd9];
/// Maximum number of public values of a contract. EIP-170 limits a contract to 24 576 bytes; the
/// largest output of solc with its optimizer has 78 bytes for each value, and 2 560 more.
pub const MAX_VALUES: usize = 256;
/// Source of the contracts; names with `$` are replaced.
const TEMPLATE: &str = include_str!("verifier.sol");

/// A number of 256 bits, in big-endian order.
pub type Word = [u8; 32];

/// The arguments of [`FUNCTION`] for one proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Coordinates of the proof's points: A.x, A.y, B.x.c1, B.x.c0, B.y.c1, B.y.c0, C.x, C.y.
    pub proof: [Word; 8],
    /// The public values: the binding, the outputs and the inputs, or the digests of these.
    pub values: Vec<Word>,
}

impl Call {
    /// Encodes the call: the selector of [`FUNCTION`] and the arguments.
    pub fn data(&self) -> Vec<u8> {
        // The array of values follows the eight words of the proof and its own offset.
        let (offset, count) = (word(9 * 32), word(self.values.len() as u64));
        let words = self.proof.iter().chain([&offset, &count]).chain(&self.values);
        SELECTOR.into_iter().chain(words.copied().flatten()).collect()
    }
}

/// Exports one circuit's verification to an Ethereum Virtual Machine.
pub struct EvmVerifier(Groth16Verifier);

impl EvmVerifier {
    /// Loads a verification key of [`Groth16`](super::Groth16).
    ///
    /// # Errors
    /// When the key is malformed.
    pub fn new(verification_key: &[u8]) -> Result<Self, BackendError> {
        Ok(Self(Groth16Verifier::new(verification_key)?))
    }

    /// Returns the Solidity source of a contract that verifies proofs of the circuit with the
    /// identity `circuit`.
    ///
    /// # Errors
    /// [`BackendError::Contract`] when the circuit has more than [`MAX_VALUES`] public values.
    pub fn contract(&self, circuit: &Digest) -> Result<String, BackendError> {
        let (layout, key) = (&self.0.key_file.layout, &self.0.key_file.key);
        let values = 1 + layout.outputs.public_count() + layout.inputs.public_count();
        if values > MAX_VALUES {
            return Err(BackendError::Contract { values, limit: MAX_VALUES });
        }
        let mut points: Vec<Vec<Word>> =
            key.gamma_abc_g1.iter().map(|point| g1(point).to_vec()).collect();
        points.push(g1(&key.alpha_g1).to_vec());
        points.extend([key.beta_g2, key.gamma_g2, key.delta_g2].map(|point| g2(&-point).to_vec()));
        let literals = points.iter().fold(String::new(), |mut text, point| {
            // Writing to a string never fails.
            let _ = write!(text, "\n        hex\"{}\"", hex::encode(point.concat()));
            text
        });
        Ok(TEMPLATE
            .replace("$CIRCUIT", &circuit.to_string())
            .replace("$KEY", &self.0.key_digest.to_string())
            .replace("$VALUES", &values.to_string())
            .replace("$ORDER", &hex::encode(Fr::MODULUS.to_bytes_be()))
            .replace("$OUTPUTS", &describe(&layout.outputs, "output"))
            .replace("$INPUTS", &describe(&layout.inputs, "input"))
            .replace("$RANGES", &range_checks(layout))
            .replace("$POINTS", &literals))
    }

    /// Verifies a proof, and returns the call with which a contract verifies it.
    ///
    /// # Errors
    /// When the proof is rejected.
    pub fn call(&self, statement: &Statement, proof: &[u8]) -> Result<Call, VerifyError> {
        let parsed = self.0.parse(statement, proof)?;
        self.0.verify_single(&parsed)?;
        let (values, Proof::<Bn254> { a, b, c }) = &parsed;
        let ([a_x, a_y], [c_x, c_y]) = (g1(a), g1(c));
        let [b_x1, b_x0, b_y1, b_y0] = g2(b);
        Ok(Call {
            proof: [a_x, a_y, b_x1, b_x0, b_y1, b_y0, c_x, c_y],
            values: values.iter().map(element).collect(),
        })
    }
}

/// Describes public values in the contract's comment.
fn describe(public: &PublicValues, quantity: &str) -> String {
    let count = counted(public.count, quantity);
    if public.hashed { format!("the Poseidon digest of {count}") } else { count }
}

/// Returns the statements that check the range of the public values that are not digests, as
/// [`Groth16Verifier`](super::verifier::Groth16Verifier) does: the circuit's sums are bounded for
/// inputs in range only.
fn range_checks(layout: &Layout) -> String {
    let (mut checks, mut first) = (String::new(), 1);
    for public in [&layout.outputs, &layout.inputs] {
        let end = first + public.public_count();
        if !public.hashed {
            let (offset, span) = (
                hex::encode(element(&-Fr::from(public.range.low))),
                public.range.high - public.range.low,
            );
            let _ = writeln!(
                checks,
                "        if (!inRange(values, {first}, {end}, 0x{offset}, {span})) return false;"
            );
        }
        first = end;
    }
    checks
}

fn word(number: u64) -> Word {
    element(&Fr::from(number))
}

fn element(value: &impl PrimeField) -> Word {
    let mut word = [0; 32];
    for (byte, digit) in word.iter_mut().rev().zip(value.into_bigint().to_bytes_le()) {
        *byte = digit;
    }
    word
}

/// Returns the coordinates of a point; those of the point at infinity are zero.
fn g1(point: &G1Affine) -> [Word; 2] {
    let (x, y) = point.xy().unwrap_or_default();
    [x, y].map(|coordinate: Fq| element(&coordinate))
}

/// Returns the coordinates of a point, the imaginary parts first, as the precompiled contracts
/// expect.
fn g2(point: &G2Affine) -> [Word; 4] {
    let (x, y) = point.xy().unwrap_or_default();
    [x.c1, x.c0, y.c1, y.c0].map(|coordinate: Fq| element(&coordinate))
}
