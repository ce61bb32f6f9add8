use std::collections::BTreeSet;
use std::ops::Range;

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing as _;
use ark_ec::{AffineRepr as _, CurveGroup as _, VariableBaseMSM as _};
use ark_ff::{UniformRand as _, Zero as _};
use ark_groth16::{PreparedVerifyingKey, Proof, prepare_verifying_key};
use ark_serialize::CanonicalDeserialize as _;
use taonet_proof_core::Digest;

use super::keys::VerificationKeyFile;
use super::{PROOF_BYTES, Scheme, os_rng};
use crate::{BackendError, Statement, Verifier, VerifyError};

/// Maximum number of proofs in one pairing equation.
const MAX_BATCH: usize = 64;
/// Maximum number of failed equations before the remaining proofs are verified individually. Two
/// invalid proofs among [`MAX_BATCH`] stay below it.
const MAX_FAILURES: usize = 12;

/// The public values of a statement, and its parsed proof.
pub(super) type ParsedProof = (Vec<Fr>, Proof<Bn254>);

/// Verifies proofs of one circuit.
pub(super) struct Groth16Verifier {
    pub(super) key_file: VerificationKeyFile,
    prepared_key: PreparedVerifyingKey<Bn254>,
    pub(super) key_digest: Digest,
}

impl Groth16Verifier {
    pub(super) fn new(key: &[u8]) -> Result<Self, BackendError> {
        let key_file = VerificationKeyFile::from_bytes(key)?;
        let prepared_key = prepare_verifying_key(&key_file.key);
        Ok(Self { key_file, prepared_key, key_digest: Digest::of(key) })
    }

    /// Returns the public values after checks of lengths, ranges and key.
    fn public_values(&self, statement: &Statement) -> Result<Vec<Fr>, VerifyError> {
        if statement.binding.verification_key != self.key_digest {
            return Err(VerifyError::OtherKey);
        }
        let layout = &self.key_file.layout;
        let values = [
            ("inputs", &statement.inputs, layout.inputs),
            ("outputs", &statement.outputs, layout.outputs),
        ];
        for (quantity, values, expected) in values {
            if values.len() != expected.count {
                return Err(VerifyError::Length {
                    quantity,
                    expected: expected.count,
                    actual: values.len(),
                });
            }
            // Only values in range have an unambiguous digest.
            if values.iter().any(|&value| !expected.range.contains(value)) {
                return Err(VerifyError::Range(quantity));
            }
        }
        let binding = statement.binding.digest(&statement.inputs);
        Ok(layout.public_values(&binding, &statement.inputs, &statement.outputs))
    }

    /// Parses a proof with its public values.
    pub(super) fn parse(
        &self,
        statement: &Statement,
        proof: &[u8],
    ) -> Result<ParsedProof, VerifyError> {
        Ok((self.public_values(statement)?, parse_proof(proof)?))
    }

    /// Verifies one proof.
    pub(super) fn verify_single(&self, (values, proof): &ParsedProof) -> Result<(), VerifyError> {
        let inputs = self.prepare_inputs(values)?;
        match Scheme::verify_proof_with_prepared_inputs(&self.prepared_key, proof, &inputs) {
            Ok(true) => Ok(()),
            Ok(false) => Err(VerifyError::Invalid),
            Err(error) => Err(VerifyError::Verifier(error.to_string())),
        }
    }

    /// Combines the public values with the key's points in one multi-scalar multiplication.
    fn prepare_inputs(&self, values: &[Fr]) -> Result<G1Projective, VerifyError> {
        let points = &self.key_file.key.gamma_abc_g1;
        let (first, others) = points
            .split_first()
            .ok_or_else(|| VerifyError::Verifier("the key is empty".to_owned()))?;
        let sum = G1Projective::msm(others, values);
        let sum =
            sum.map_err(|_| VerifyError::Verifier("public values do not fit the key".to_owned()))?;
        Ok(sum + first)
    }

    /// Verifies all proofs with one pairing equation: the product of their equations, each raised
    /// to a random power.
    fn verify_combined(&self, proofs: &[&ParsedProof]) -> Result<(), VerifyError> {
        let mut rng = os_rng().map_err(|error| VerifyError::Verifier(error.to_string()))?;
        let Some((first, _)) = proofs.first() else { return Ok(()) };
        let mut values = vec![Fr::zero(); first.len()];
        let (mut factor_sum, mut left, mut right, mut c) =
            (Fr::zero(), Vec::new(), Vec::new(), G1Projective::zero());
        for (public, proof) in proofs {
            // 128 random bits: a wrong proof passes with probability 2^-128.
            let factor = Fr::from(u128::rand(&mut rng));
            factor_sum += factor;
            for (sum, value) in values.iter_mut().zip(public) {
                *sum += factor * value;
            }
            left.push((proof.a * factor).into_affine());
            right.push(proof.b);
            c += proof.c * factor;
        }
        let points = &self.key_file.key.gamma_abc_g1;
        let constant = points
            .first()
            .map_or_else(G1Projective::zero, |point| *point * (factor_sum - Fr::from(1_u64)));
        let inputs = self.prepare_inputs(&values)? + constant;
        left.extend([
            (-inputs).into_affine(),
            (-c).into_affine(),
            (self.key_file.key.alpha_g1 * -factor_sum).into_affine(),
        ]);
        right.extend([
            self.key_file.key.gamma_g2,
            self.key_file.key.delta_g2,
            self.key_file.key.beta_g2,
        ]);
        if Bn254::multi_pairing(left, right).is_zero() { Ok(()) } else { Err(VerifyError::Invalid) }
    }
}

/// Parses a proof: exactly 128 bytes, every point on the curve and in the subgroup, none at
/// infinity.
fn parse_proof(bytes: &[u8]) -> Result<Proof<Bn254>, VerifyError> {
    if bytes.len() != PROOF_BYTES {
        return Err(VerifyError::Malformed(format!(
            "{} bytes, expected {PROOF_BYTES}",
            bytes.len()
        )));
    }
    let proof = Proof::<Bn254>::deserialize_compressed(bytes)
        .map_err(|error| VerifyError::Malformed(error.to_string()))?;
    if proof.a == G1Affine::zero() || proof.b == G2Affine::zero() {
        return Err(VerifyError::Malformed("a point is at infinity".to_owned()));
    }
    Ok(proof)
}

impl Verifier for Groth16Verifier {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        self.verify_single(&self.parse(statement, proof)?)
    }

    fn max_batch_size(&self) -> usize {
        MAX_BATCH
    }

    /// Verifies all well-formed proofs with one equation. If that fails, the proofs are bisected:
    /// an invalid proof costs a few more equations, not a verification of each of the others.
    fn verify_all(&self, proofs: &[(Statement, Vec<u8>)]) -> Vec<Result<(), VerifyError>> {
        let parsed: Vec<Result<ParsedProof, VerifyError>> =
            proofs.iter().map(|(statement, proof)| self.parse(statement, proof)).collect();
        let well_formed: Vec<&ParsedProof> = parsed.iter().flatten().collect();
        let invalid_candidates = invalid_candidates(well_formed.len(), |range| {
            well_formed.get(range).is_some_and(|proofs| self.verify_combined(proofs).is_ok())
        });
        let mut positions = 0..;
        let verify = |proof: Result<ParsedProof, VerifyError>| {
            let proof = proof?;
            let is_suspect =
                positions.next().is_some_and(|position| invalid_candidates.contains(&position));
            if is_suspect { self.verify_single(&proof) } else { Ok(()) }
        };
        parsed.into_iter().map(verify).collect()
    }
}

/// Returns the proofs that have to be verified individually: the invalid ones and, after
/// [`MAX_FAILURES`], all that are not known to be valid. `are_valid` verifies several proofs with
/// one equation.
fn invalid_candidates(
    count: usize,
    mut are_valid: impl FnMut(Range<usize>) -> bool,
) -> BTreeSet<usize> {
    let mut invalid_candidates = BTreeSet::new();
    let mut failures = 0;
    // Ranges of proofs, and whether at least one proof of the range is known to be invalid.
    let mut pending = vec![(0..count, false)];
    while let Some((range, is_known_invalid)) = pending.pop() {
        if range.len() <= 1 || failures == MAX_FAILURES {
            invalid_candidates.extend(range);
        } else if is_known_invalid || !are_valid(range.clone()) {
            failures += 1;
            let middle = range.start.midpoint(range.end);
            let (left, right) = (range.start..middle, middle..range.end);
            if are_valid(left.clone()) {
                pending.push((right, true));
            } else {
                pending.extend([(right, false), (left, true)]);
            }
        }
    }
    invalid_candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches 64 proofs for the invalid ones; returns the suspects, of which some are valid, and
    /// the number of equations, theirs included.
    fn search(invalid: &[usize]) -> (Vec<usize>, usize) {
        let mut equations = 0;
        let suspect_proofs = invalid_candidates(MAX_BATCH, |range| {
            equations += 1;
            !invalid.iter().any(|proof| range.contains(proof))
        });
        (suspect_proofs.iter().copied().collect(), equations + suspect_proofs.len())
    }

    #[test]
    fn bisection_finds_invalid_proofs_with_few_equations() {
        assert_eq!(search(&[]), (Vec::new(), 1));
        for first in 0..MAX_BATCH {
            let (suspect_proofs, equations) = search(&[first]);
            assert!(
                suspect_proofs.contains(&first) && suspect_proofs.len() <= 2 && equations <= 14,
                "{first}: {suspect_proofs:?}, {equations}"
            );
            for second in 0..first {
                let (suspect_proofs, equations) = search(&[second, first]);
                assert!(
                    suspect_proofs.contains(&first) && suspect_proofs.contains(&second),
                    "{first}, {second}: {suspect_proofs:?}"
                );
                assert!(
                    suspect_proofs.len() <= 4 && equations <= 25,
                    "{first}, {second}: {suspect_proofs:?}, {equations}"
                );
            }
        }
        // Even if all proofs are invalid, there are few more equations than proofs.
        let all_positions: Vec<usize> = (0..MAX_BATCH).collect();
        let (suspect_proofs, equations) = search(&all_positions);
        assert!(
            suspect_proofs == all_positions && equations <= MAX_BATCH + 2 * MAX_FAILURES,
            "{equations}"
        );
        assert!(invalid_candidates(0, |_| false).is_empty());
    }
}
