//! Poseidon over BN254's scalar field: the permutation of nine elements, S-box x^5, 8 full and 63
//! partial rounds, with constants from the Grain LFSR of the published reference script. A sponge
//! of rate eight hashes inputs or outputs that are too many for public values.

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_crypto_primitives::sponge::poseidon::find_poseidon_ark_and_mds;
use ark_ff::{Field as _, PrimeField as _, Zero as _};

use super::r1cs::{Lc, R1cs};

/// Number of elements absorbed by one permutation.
pub(super) const RATE: usize = 8;
const FULL_ROUNDS: usize = 8;
const PARTIAL_ROUNDS: usize = 63;

struct Parameters {
    full_rounds: usize,
    partial_rounds: usize,
    /// Constants of each round.
    constants: Vec<Vec<Fr>>,
    matrix: Vec<Vec<Fr>>,
}

impl Parameters {
    fn new(rate: usize, full_rounds: usize, partial_rounds: usize) -> Self {
        let bits = u64::from(Fr::MODULUS_BIT_SIZE);
        let (constants, matrix) =
            find_poseidon_ark_and_mds(bits, rate, full_rounds as u64, partial_rounds as u64, 0);
        Self { full_rounds, partial_rounds, constants, matrix }
    }

    /// Returns whether all elements pass the S-box in this round, not only the first.
    fn is_full(&self, round: usize) -> bool {
        round < self.full_rounds / 2 || round >= self.full_rounds / 2 + self.partial_rounds
    }
}

fn parameters() -> &'static Parameters {
    static PARAMETERS: OnceLock<Parameters> = OnceLock::new();
    PARAMETERS.get_or_init(|| Parameters::new(RATE, FULL_ROUNDS, PARTIAL_ROUNDS))
}

/// Permutes the state and appends the S-boxes' squares, fourth and fifth powers to `trace`, in the
/// order of computation.
fn permute(parameters: &Parameters, state: &mut Vec<Fr>, trace: &mut Vec<Fr>) {
    for (round, constants) in parameters.constants.iter().enumerate() {
        for (index, (value, constant)) in state.iter_mut().zip(constants).enumerate() {
            *value += constant;
            if index == 0 || parameters.is_full(round) {
                let square = value.square();
                let fourth = square.square();
                *value *= fourth;
                trace.extend([square, fourth, *value]);
            }
        }
        let mixed =
            parameters.matrix.iter().map(|row| row.iter().zip(&*state).map(|(a, b)| *a * b).sum());
        *state = mixed.collect();
    }
}

fn constrain_permutation(cs: &mut R1cs, parameters: &Parameters, state: &mut Vec<Lc>) {
    for (round, constants) in parameters.constants.iter().enumerate() {
        for (index, (value, constant)) in state.iter_mut().zip(constants).enumerate() {
            *value = std::mem::take(value).plus(Fr::ONE, &Lc::constant(*constant)).compact();
            if index == 0 || parameters.is_full(round) {
                let [square, fourth, fifth] = [(); 3].map(|()| Lc::var(cs.allocate_witness()));
                cs.enforce(value.clone(), value.clone(), square.clone());
                cs.enforce(square.clone(), square, fourth.clone());
                cs.enforce(fourth, value.clone(), fifth.clone());
                *value = fifth;
            }
        }
        let mixed = parameters.matrix.iter().map(|row| {
            let sum = row
                .iter()
                .zip(&*state)
                .fold(Lc::zero(), |sum, (factor, value)| sum.plus(*factor, value));
            sum.compact()
        });
        *state = mixed.collect();
    }
}

/// Hashes elements. The sponge's capacity starts as their number, so the digest depends on the
/// length.
pub(super) fn hash(elements: &[Fr]) -> Fr {
    hash_traced(elements, &mut Vec::new())
}

/// Hashes elements like [`hash`] and appends the values of [`constrain_hash`]'s variables to
/// `trace`.
pub(super) fn hash_traced(elements: &[Fr], trace: &mut Vec<Fr>) -> Fr {
    let parameters = parameters();
    let mut state = vec![Fr::zero(); RATE + 1];
    if let Some(capacity) = state.first_mut() {
        *capacity = Fr::from(elements.len() as u64);
    }
    for chunk in elements.chunks(RATE) {
        for (value, element) in state.iter_mut().skip(1).zip(chunk) {
            *value += element;
        }
        permute(parameters, &mut state, trace);
    }
    state.first().copied().unwrap_or_default()
}

/// Constrains the digest of linear combinations.
pub(super) fn constrain_hash(cs: &mut R1cs, elements: &[Lc]) -> Lc {
    let parameters = parameters();
    let mut state = vec![Lc::zero(); RATE + 1];
    if let Some(capacity) = state.first_mut() {
        *capacity = Lc::constant(Fr::from(elements.len() as u64));
    }
    for chunk in elements.chunks(RATE) {
        for (value, element) in state.iter_mut().skip(1).zip(chunk) {
            *value = std::mem::take(value).plus(Fr::ONE, element);
        }
        constrain_permutation(cs, parameters, &mut state);
    }
    state.first().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ark_ff::MontFp;

    use super::*;

    /// The digests of (1, 2) and of (1, …, 8), the instance in use, equal those that circomlib
    /// computes.
    #[test]
    fn poseidon_permutation_equals_published_values() {
        let digest = |parameters: &Parameters, inputs: u64| {
            let mut state: Vec<Fr> = (0..=inputs).map(Fr::from).collect();
            permute(parameters, &mut state, &mut Vec::new());
            state[0]
        };
        let expected: Fr =
            MontFp!("7853200120776062878684798364095072458815029376092732009249414926327459813530");
        assert_eq!(digest(&Parameters::new(2, 8, 57), 2), expected);
        let expected: Fr = MontFp!(
            "18604317144381847857886385684060986177838410221561136253933256952257712543953"
        );
        assert_eq!(digest(parameters(), RATE as u64), expected);
    }

    #[test]
    fn constraints_and_values_agree() {
        let elements: Vec<Fr> = (0..11_u64).map(Fr::from).collect();
        let mut cs = R1cs::new(0);
        let inputs: Vec<Lc> = elements.iter().map(|_| Lc::var(cs.allocate_witness())).collect();
        let digest = constrain_hash(&mut cs, &inputs);
        let mut assignment = vec![Fr::ONE];
        assignment.extend(&elements);
        let expected = hash_traced(&elements, &mut assignment);
        cs.enforce_equal(digest, &Lc::constant(expected));
        assert_eq!(cs.violated_constraint(&assignment), None);
        assert_eq!(assignment.len(), cs.variables);
        for position in 1..assignment.len() {
            let mut wrong = assignment.clone();
            wrong[position] += Fr::ONE;
            assert!(cs.violated_constraint(&wrong).is_some(), "{position}");
        }
    }

    #[test]
    fn hash_depends_on_the_input_length() {
        assert_ne!(hash(&[Fr::from(1)]), hash(&[Fr::from(1), Fr::from(0)]));
        assert_ne!(hash(&[]), hash(&[Fr::from(0)]));
    }
}
