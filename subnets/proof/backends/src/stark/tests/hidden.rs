//! Proofs that hide the values between inputs and outputs.

use p3_air::BaseAir as _;
use p3_field::{BasedVectorSpace as _, Field as _};
use p3_lookup::{LogUpGadget, LookupProtocol as _};
use taonet_proof_core::network::Matrices;

use super::super::config::{Challenge, HIDING, ProofRngs};
use super::*;
use crate::testing::{elements, moved, small};

fn matrices() -> Network {
    let sizes = Matrices { count: 2, rows: 3, inner: 4, columns: 5 };
    testing::matrices(sizes, Some(Rescale { shift: 6, clamp: Clamp::Signed(8) }))
}

#[test]
fn hidden_proofs_verify_for_their_statement_only() {
    for network in [testing::network(1), testing::wide_padding(), elements(1, true), matrices()] {
        let test_setup = TestSetup::new(&StarkHiding, &network);
        assert_eq!(u32::from(test_setup.keys.verification[0]), HIDING.format);
        check_binding(&test_setup);
    }
}

#[test]
fn flipped_bit_of_hidden_proof_is_rejected() {
    for network in [testing::network(1), matrices()] {
        check_flips(&StarkHiding, &TestSetup::new(&StarkHiding, &network));
    }
}

/// The lowest and the highest sum, or one of them in turn unless `TAONET_TEST_ALL` is set.
#[test]
fn extremes_of_every_layer_are_proven_with_hidden_values() {
    let clamps = [None, Some(Clamp::Unsigned(8)), Some(Clamp::Signed(8))];
    for (index, kind) in LayerKind::ALL.into_iter().enumerate() {
        let clamp = if kind == LayerKind::Relu { clamps[1] } else { clamps[index % 3] };
        let rescale = clamp.map(|clamp| Rescale { shift: 15, clamp });
        let test_setup = TestSetup::new(&StarkHiding, &kind.network(WIDE, 32_000, rescale));
        for (end, inputs) in testing::extreme_sum_inputs(&test_setup.circuit).iter().enumerate() {
            if !is_exhaustive() && end != index % 2 {
                continue;
            }
            let (statement, proof) = test_setup.prove(inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{kind:?}");
        }
    }
}

#[test]
fn keys_of_hidden_proofs_are_derived_from_the_network() {
    let circuit = testing::network(1).lower().unwrap();
    let key = |backend: &dyn Backend| backend.setup(&circuit).unwrap().verification;
    let (plain, hiding) = (key(&Stark), key(&StarkHiding));
    assert_eq!(key(&StarkHiding), hiding);
    assert!(hiding.len() < 200);
    for (key, zero_knowledge) in [(&plain, false), (&hiding, true)] {
        Stark.check_key(&circuit, key).unwrap();
        assert_eq!(Stark.capabilities_of(key).unwrap().zero_knowledge, zero_knowledge);
    }
    let other = StarkHiding.setup(&testing::network(2).lower().unwrap()).unwrap();
    assert!(Stark.check_key(&circuit, &other.verification).is_err());
}

/// Columns of hidden proofs have half as many rows as others, those of public values included. The
/// field has no codewords for more.
#[test]
fn public_values_beyond_the_rows_of_a_table_are_rejected() {
    let mut network = small(1, vec![moved(&[0], &[0], 0)]);
    network.input.shape = Shape::new(2, 1 << 10, 1 << 10).unwrap();
    let circuit = network.lower().unwrap();
    let result = StarkHiding.estimate(&circuit);
    assert!(matches!(result, Err(BackendError::Size { .. })), "{result:?}");
}

#[test]
fn hidden_proofs_are_short() {
    let test_setup = TestSetup::new(&StarkHiding, &testing::network(1));
    let (_, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
    assert!(proof.len() < 600_000, "{} bytes", proof.len());
}

impl<S: Scheme> Forger<S> {
    /// Returns the tables and the public values of the statement.
    fn tables_and_public_values(&self) -> (Vec<Table>, Vec<Vec<Val>>) {
        let Statement { binding, inputs, outputs } = &self.statement;
        let public = &self.traces.tables[self.table(TableKind::Public)].values;
        let tables = with_public_column(&self.prover.system.tables, public);
        let publics = public_values(&tables, &binding.digest(inputs), outputs);
        (tables, publics)
    }

    /// Proves the statement, which has products of polynomials.
    fn prove_statement(&self) -> StagedProof<S> {
        let (tables, publics) = self.tables_and_public_values();
        self.prover.start().prove_staged(tables, &self.traces, &publics).unwrap()
    }
}

/// Returns the commitments to columns, in their order in the proof.
fn roots<S: Scheme>(staged: &StagedProof<S>) -> Vec<Vec<u8>> {
    let commitments = &staged.proof.commitments;
    let roots = [
        Some(&staged.coefficients),
        Some(&commitments.main),
        Some(&commitments.quotient_chunks),
        commitments.permutation.as_ref(),
        commitments.random.as_ref(),
    ];
    roots.into_iter().flatten().map(|root| postcard::to_allocvec(root).unwrap()).collect()
}

/// Returns the values of all columns but the fixed ones at the points outside of the rows.
fn opened_values(staged: &StagedProof<Hiding>) -> Vec<Challenge> {
    let values = staged.proof.opened_values.instances.iter().flat_map(|opened| {
        let base = &opened.base_opened_values;
        let rows = [&base.trace_local, &opened.permutation_local, &opened.permutation_next];
        let rows = rows.into_iter().chain(&base.trace_next).chain(&base.random);
        rows.chain(&base.quotient_chunks).flatten().copied()
    });
    values.collect()
}

/// Index of the fixed columns among the commitments that are opened.
const FIXED_COMMITMENT: usize = 3;

/// Returns the rows that queries open, but those of fixed columns.
fn queried_rows(staged: &StagedProof<Hiding>) -> Vec<&Vec<Val>> {
    let (_, proof) = &staged.proof.opening_proof;
    let openings =
        proof.input_openings.iter().enumerate().filter(|&(index, _)| index != FIXED_COMMITMENT);
    openings.flat_map(|(_, opening)| opening.opened_values.iter().flatten()).collect()
}

/// Whoever has two proofs of one statement cannot combine what they disclose: no value that depends
/// on a column is the same.
#[test]
fn two_hidden_proofs_share_no_opening_and_no_sum() {
    let plain = Forger::<Plain>::new(&matrices());
    let [first, second] = [(); 2].map(|()| plain.prove_statement());
    assert_eq!(roots(&first)[..2], roots(&second)[..2], "the same columns");
    let hiding = Forger::<Hiding>::new(&matrices());
    let [first, second] = [(); 2].map(|()| hiding.prove_statement());
    assert_eq!(roots(&first).len(), 5);
    for (one, other) in roots(&first).iter().zip(&roots(&second)) {
        assert_ne!(one, other);
    }
    let sums = |staged: &StagedProof<Hiding>| {
        let sums = staged.proof.lookup_terminals.iter();
        sums.map(|sum| sum.as_ref().unwrap().0).collect::<Vec<Challenge>>()
    };
    let (sums, others) = (sums(&first), sums(&second));
    assert_eq!(sums.len(), hiding.prover.system.tables.len());
    assert!(sums.iter().all(|sum| !others.contains(sum)));
    let (values, others) = (opened_values(&first), opened_values(&second));
    assert!(values.len() > 100 && values.iter().all(|value| !others.contains(value)));
    let (rows, others) = (queried_rows(&first), queried_rows(&second));
    assert!(rows.len() > 1000 && rows.iter().all(|row| !others.contains(row)));
}

/// Returns value columns with new masks.
fn masked(columns: &[&RowMajorMatrix<Val>]) -> Vec<RowMajorMatrix<Val>> {
    masks::with_masks(columns, &mut ProofRngs::from_seed(&Seed::random().unwrap()).masks)
}

/// At the same challenges, the sums of the same lookups differ between two proofs, and add up to
/// zero in both.
#[test]
fn sums_of_lookups_are_masked() {
    let forger = Forger::<Hiding>::new(&testing::network(3));
    let ProofSystem { tables, prepared, .. } = &forger.prover.system;
    let challenge = |first: usize| {
        Challenge::from_basis_coefficients_fn(|index| Val::from_usize(first + index * index))
    };
    let sums = |columns: &[RowMajorMatrix<Val>]| -> Vec<Challenge> {
        let tables = tables.iter().zip(columns).zip(&prepared.common.lookups);
        let sums = tables.map(|((table, columns), lookups)| {
            let challenges = [challenge(12_345), challenge(67_890)].repeat(lookups.len());
            let fixed = table.preprocessed_trace();
            let gadget = LogUpGadget::new();
            let (_, sum) = gadget.generate_permutation(columns, &fixed, &[], lookups, &challenges);
            sum.unwrap().0
        });
        sums.collect()
    };
    let columns: Vec<&RowMajorMatrix<Val>> = forger.traces.tables.iter().collect();
    let [first, second] = [(); 2].map(|()| sums(&masked(&columns)));
    for sums in [&first, &second] {
        assert!(sums.iter().copied().sum::<Challenge>().is_zero());
    }
    assert!(first.iter().zip(&second).all(|(one, other)| one != other));
}

/// A mask whose sent and received messages differ could balance a false lookup.
#[test]
fn modified_masks_are_rejected() {
    let forger = Forger::<Hiding>::new(&testing::network(3));
    let (tables, publics) = forger.tables_and_public_values();
    let columns: Vec<&RowMajorMatrix<Val>> = forger.traces.tables.iter().collect();
    let verify = |changed: Option<usize>| {
        let mut masked = masked(&columns);
        if let Some(table) = changed {
            masked[table].values[0] += Val::ONE;
        }
        let masked: Vec<&RowMajorMatrix<Val>> = masked.iter().collect();
        let config = &forger.prover.system.config;
        let proof = forger.prover.prove_columns(config, &tables, &masked, &publics).unwrap();
        let proof = postcard::to_allocvec(&proof).unwrap();
        Stark.verifier(&forger.key).unwrap().verify(&forger.statement, &proof)
    };
    assert_eq!(verify(None), Ok(()));
    for table in 0..tables.len() {
        assert_eq!(verify(Some(table)), Err(VerifyError::Invalid), "{table}");
    }
}
