use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing as _;
use ark_ec::{AffineRepr as _, CurveGroup as _, VariableBaseMSM as _};
use ark_ff::{UniformRand as _, Zero as _};
use ark_groth16::{PreparedVerifyingKey, Proof, prepare_verifying_key};
use ark_serialize::CanonicalDeserialize as _;
use taonet_proof_core::Digest;

use super::keys::VerificationKeyFile;
use super::{PROOF_BYTES, Scheme, generator};
use crate::{BackendError, Statement, Verifier, VerifyError};

/// Public values and parsed proof.
type ReadProof = (Vec<Fr>, Proof<Bn254>);

/// Verifies proofs of one circuit.
pub(super) struct Groth16Verifier {
    file: VerificationKeyFile,
    prepared: PreparedVerifyingKey<Bn254>,
    digest: Digest,
}

impl Groth16Verifier {
    pub(super) fn new(key: &[u8]) -> Result<Self, BackendError> {
        let file = VerificationKeyFile::from_bytes(key)?;
        let prepared = prepare_verifying_key(&file.key);
        Ok(Self { file, prepared, digest: Digest::of(key) })
    }

    /// Returns the public values after checks of lengths, ranges and key.
    fn public_values(&self, statement: &Statement) -> Result<Vec<Fr>, VerifyError> {
        if statement.binding.verification_key != self.digest {
            return Err(VerifyError::OtherKey);
        }
        let lengths = [
            ("inputs", self.file.public.count, statement.inputs.len()),
            ("outputs", self.file.outputs, statement.outputs.len()),
        ];
        for (what, expected, actual) in lengths {
            if expected != actual {
                return Err(VerifyError::Length { what, expected, actual });
            }
        }
        if statement.inputs.iter().any(|&value| !self.file.public.range.contains(value)) {
            return Err(VerifyError::Range("input"));
        }
        let binding = statement.binding.digest(&statement.inputs);
        Ok(self.file.public.statement(&binding, &statement.inputs, &statement.outputs))
    }

    /// Combines the public values with the key's points in one multi-scalar multiplication.
    fn prepare(&self, values: &[Fr]) -> Result<G1Projective, VerifyError> {
        let points = &self.file.key.gamma_abc_g1;
        let (first, rest) = points.split_first().ok_or_else(|| VerifyError::Verifier("the key is empty".to_owned()))?;
        let sum = G1Projective::msm(rest, values);
        let sum = sum.map_err(|_| VerifyError::Verifier("public values do not fit the key".to_owned()))?;
        Ok(sum + first)
    }

    /// Verifies all proofs with one pairing equation: the product of their equations, each to a random power.
    fn verify_combined(&self, proofs: &[ReadProof]) -> Result<(), VerifyError> {
        let mut generator = generator().map_err(|error| VerifyError::Verifier(error.to_string()))?;
        let Some((first, _)) = proofs.first() else { return Ok(()) };
        let mut values = vec![Fr::zero(); first.len()];
        let (mut total, mut left, mut right, mut c) = (Fr::zero(), Vec::new(), Vec::new(), G1Projective::zero());
        for (public, proof) in proofs {
            // 128 random bits: a wrong proof passes with probability 2^-128.
            let factor = Fr::from(u128::rand(&mut generator));
            total += factor;
            for (sum, value) in values.iter_mut().zip(public) {
                *sum += factor * value;
            }
            left.push((proof.a * factor).into_affine());
            right.push(proof.b);
            c += proof.c * factor;
        }
        let points = &self.file.key.gamma_abc_g1;
        let constant = points.first().map_or_else(G1Projective::zero, |point| *point * (total - Fr::from(1_u64)));
        let inputs = self.prepare(&values)? + constant;
        left.extend([(-inputs).into_affine(), (-c).into_affine(), (self.file.key.alpha_g1 * -total).into_affine()]);
        right.extend([self.file.key.gamma_g2, self.file.key.delta_g2, self.file.key.beta_g2]);
        if Bn254::multi_pairing(left, right).is_zero() { Ok(()) } else { Err(VerifyError::Invalid) }
    }
}

/// Parses a proof: exactly 128 bytes, every point on the curve and in the subgroup, none at infinity.
fn read_proof(bytes: &[u8]) -> Result<Proof<Bn254>, VerifyError> {
    if bytes.len() != PROOF_BYTES {
        return Err(VerifyError::Malformed(format!("{} bytes, expected {PROOF_BYTES}", bytes.len())));
    }
    let proof =
        Proof::<Bn254>::deserialize_compressed(bytes).map_err(|error| VerifyError::Malformed(error.to_string()))?;
    if proof.a == G1Affine::zero() || proof.b == G2Affine::zero() {
        return Err(VerifyError::Malformed("a point is at infinity".to_owned()));
    }
    Ok(proof)
}

impl Verifier for Groth16Verifier {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        let values = self.public_values(statement)?;
        let proof = read_proof(proof)?;
        let inputs = self.prepare(&values)?;
        match Scheme::verify_proof_with_prepared_inputs(&self.prepared, &proof, &inputs) {
            Ok(true) => Ok(()),
            Ok(false) => Err(VerifyError::Invalid),
            Err(error) => Err(VerifyError::Verifier(error.to_string())),
        }
    }

    /// Verifies all well-formed proofs with one equation. If that fails, each one is verified individually, so that an
    /// invalid proof does not affect the others.
    fn verify_all(&self, proofs: &[(Statement, Vec<u8>)]) -> Vec<Result<(), VerifyError>> {
        let read = |(statement, proof): &(Statement, Vec<u8>)| Ok((self.public_values(statement)?, read_proof(proof)?));
        let read: Vec<Result<ReadProof, VerifyError>> = proofs.iter().map(read).collect();
        let good: Vec<ReadProof> = read.iter().filter_map(|proof| proof.as_ref().ok().cloned()).collect();
        if self.verify_combined(&good).is_ok() {
            return read.into_iter().map(|proof| proof.map(|_| ())).collect();
        }
        proofs.iter().map(|(statement, proof)| self.verify(statement, proof)).collect()
    }
}
