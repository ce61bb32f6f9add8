//! False proofs of products of polynomials.

use p3_field::{BasedVectorSpace as _, Field};
use taonet_proof_core::network::Matrices;

use super::super::air::{EXTENSION_DEGREE, KERNEL_WIDTH, POLYNOMIAL_FIXED, POLYNOMIAL_WIDTH};
use super::super::config::Challenge;
use super::super::projection::COEFFICIENTS_PER_ROW;
use super::polynomials::{forger, small};
use super::*;

test_with_both_schemes!(
    every_changed_column_of_polynomials_is_rejected,
    wrong_products_of_matrices_are_rejected,
    false_products_are_rejected,
    other_kernels_of_operands_are_rejected,
    coefficients_chosen_after_the_challenges_are_rejected,
    operands_chosen_after_the_challenges_are_rejected,
    every_changed_column_of_other_tables_is_rejected,
    remainders_of_polynomial_sums_out_of_range_are_rejected,
    tables_without_challenges_are_rejected,
    products_at_other_challenges_are_rejected,
);

impl<S: Scheme> Forger<S> {
    /// Proves outputs with changed coefficients, and values at the challenges that are changed or
    /// for other challenges.
    pub(super) fn forge_staged(
        &self,
        outputs: &[i64],
        change: impl FnOnce(&mut [RowMajorMatrix<Val>]),
        challenges: Option<[Challenge; 2]>,
        late: impl FnOnce(&mut [RowMajorMatrix<Val>]),
    ) -> Result<(), VerifyError> {
        let plan = &self.prover.system.plan;
        let mut coefficients = self.traces.coefficients.clone();
        change(&mut coefficients);
        let (tables, traces, publics) = self.tables_with_outputs(outputs);
        let (root, data) = self.prover.start().commit(&coefficients).unwrap();
        let mut stage = self
            .prover
            .start()
            .second_stage(tables, &coefficients, (root.clone(), data), &publics)
            .unwrap();
        if let Some(challenges) = challenges {
            let first = self.table(TableKind::Polynomials);
            let powers = Arc::new(Powers::new(challenges, &plan.polynomials.gaps));
            stage.values =
                trace::evaluate(&plan.polynomials, &plan.tables[first..], &coefficients, &powers);
            for table in &mut stage.tables[first..] {
                table.powers = Some(Arc::clone(&powers));
            }
        }
        late(&mut stage.values);
        let proof = self.prover.start().prove_second_stage(&stage, &traces, &publics).unwrap();
        self.verify_staged(outputs, root, proof)
    }

    /// Commits to the honest coefficients, and opens others, which are chosen once the challenges
    /// are known. Sends the commitment to the honest ones.
    fn forge_opened(
        &self,
        outputs: &[i64],
        change_after_challenges: impl FnOnce([Challenge; 2], &mut [RowMajorMatrix<Val>]),
        change_late_columns: impl FnOnce(&mut [RowMajorMatrix<Val>]),
    ) -> Result<(), VerifyError> {
        let ProofSystem { parameters, config, .. } = &self.prover.system;
        let mut coefficients = self.traces.coefficients.clone();
        let (tables, traces, publics) = self.tables_with_outputs(outputs);
        let (root, mut data) = self.prover.start().commit(&coefficients).unwrap();
        let early: EarlyColumns<S> = early_columns(&tables, root.clone(), None);
        let (challenges, _) = parameters.second_stage(config, early, &publics.concat());
        change_after_challenges(challenges, &mut coefficients);
        if coefficients != self.traces.coefficients {
            // A commitment that hides is another one each time, even to the same coefficients.
            (_, data) = self.prover.start().commit(&coefficients).unwrap();
        }
        let mut stage = self
            .prover
            .start()
            .second_stage(tables, &coefficients, (root.clone(), data), &publics)
            .unwrap();
        change_late_columns(&mut stage.values);
        let proof = self.prover.start().prove_second_stage(&stage, &traces, &publics).unwrap();
        self.verify_staged(outputs, root, proof)
    }

    /// Returns the tables, the value columns and the public values of a statement with these
    /// outputs.
    fn tables_with_outputs(
        &self,
        outputs: &[i64],
    ) -> (Vec<Table>, Vec<RowMajorMatrix<Val>>, Vec<Vec<Val>>) {
        let Statement { binding, inputs, .. } = &self.statement;
        let mut traces = self.traces.tables.clone();
        let public = &mut traces[self.table(TableKind::Public)].values;
        *public = trace::public_column(inputs, outputs, public.len());
        let tables = with_public_column(&self.prover.system.tables, public);
        let publics = public_values(&tables, &binding.digest(inputs), outputs);
        (tables, traces, publics)
    }

    fn verify_staged(
        &self,
        outputs: &[i64],
        coefficients: Root,
        proof: Proof<S>,
    ) -> Result<(), VerifyError> {
        let proof = postcard::to_allocvec(&StagedProof { coefficients, proof }).unwrap();
        let statement = Statement { outputs: outputs.to_vec(), ..self.statement.clone() };
        Stark.verifier(&self.key).unwrap().verify(&statement, &proof)
    }

    /// Returns the position of an output among the coefficients.
    pub(super) fn coefficient(&self, output: usize) -> usize {
        let plan = &self.prover.system.plan;
        let cell = self.prover.circuit.outputs[output];
        let address = Val::from_u32(plan.locations[cell as usize].address);
        let fixed = plan.fixed_columns(|kind| *kind == TableKind::Polynomials).unwrap();
        let rows = fixed.values.chunks(POLYNOMIAL_FIXED).enumerate();
        let mut positions = rows.filter_map(|(row, fixed)| {
            let column =
                fixed[..COEFFICIENTS_PER_ROW].iter().position(|column| *column == address)?;
            Some(row * COEFFICIENTS_PER_ROW + column)
        });
        positions.next().unwrap()
    }
}

/// Returns the value of a column in the extension field, and its columns.
fn value_of(trace: &mut [Val]) -> (Challenge, &mut [Val]) {
    let columns = &mut trace[..EXTENSION_DEGREE];
    (Challenge::from_basis_coefficients_fn(|index| columns[index]), columns)
}

/// Coefficients of inputs, outputs, and of neither, and the values at the challenges: a change of
/// any column is rejected, although the values follow from the changed coefficients.
fn every_changed_column_of_polynomials_is_rejected<S: Scheme>() {
    let forger = forger::<S>(&testing::network(5));
    let honest = forger.statement.outputs.clone();
    assert_eq!(
        forger.forge_staged(&honest, |_| (), None, |_| ()),
        Ok(()),
        "an unchanged trace is proven"
    );
    let last =
        forger.prover.system.plan.polynomials.products.last().unwrap().inputs.last().unwrap();
    let end = last.row + last.length.div_ceil(COEFFICIENTS_PER_ROW) - 1;
    let mut generator = testing::generator(6);
    for column in changed_columns::<S>(COEFFICIENTS_PER_ROW) {
        for row in changed_rows(column, generator.random_range(0..=end)) {
            let change = |coefficients: &mut [RowMajorMatrix<Val>]| {
                coefficients[0].values[row * COEFFICIENTS_PER_ROW + column] += Val::ONE;
            };
            let result = forger.forge_staged(&honest, change, None, |_| ());
            assert_eq!(result, Err(VerifyError::Invalid), "row {row}, column {column}");
        }
    }
    for (table, width) in [POLYNOMIAL_WIDTH, KERNEL_WIDTH].into_iter().enumerate() {
        for column in changed_columns::<S>(width) {
            // Factors are free where no polynomial of an input ends.
            let row = if table == 0 { end } else { generator.random_range(0..4) };
            let change = |traces: &mut [RowMajorMatrix<Val>]| {
                traces[table].values[row * width + column] += Val::ONE;
            };
            let result = forger.forge_staged(&honest, |_| (), None, change);
            assert_eq!(
                result,
                Err(VerifyError::Invalid),
                "table {table}, row {row}, column {column}"
            );
        }
    }
}

/// A false product of matrices: with an honest balance, with another second matrix, and with
/// another value of it.
fn wrong_products_of_matrices_are_rejected<S: Scheme>() {
    let sizes = Matrices { count: 1, rows: 3, inner: 2, columns: 4 };
    let network = testing::matrices(sizes, None);
    let circuit = Arc::new(network.lower().unwrap());
    let forger = Forger::<S>::with_plan(&network, Arc::clone(&circuit), plan_of::<S>(&circuit));
    let honest = forger.statement.outputs.clone();
    assert_eq!(
        forger.forge_staged(&honest, |_| (), None, |_| ()),
        Ok(()),
        "an unchanged trace is proven"
    );
    let position = forger.coefficient(5);
    let mut outputs = honest.clone();
    outputs[5] += 1;
    let change_coefficient =
        |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[0].values[position] += Val::ONE;
    assert_eq!(
        forger.forge_staged(&outputs, change_coefficient, None, |_| ()),
        Err(VerifyError::Invalid)
    );
    // Weights of both kernels, the padding before them, and rows without a kernel.
    for (index, expected) in [(15, false), (12, false), (0, false), (31, false), (16 * 9, true)] {
        let change =
            |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[1].values[index] += Val::ONE;
        let result = forger.forge_staged(&honest, change, None, |_| ());
        assert_eq!(result.is_ok(), expected, "weight {index}: {result:?}");
    }
    for row in 0..3 {
        for column in 0..EXTENSION_DEGREE {
            let change = |traces: &mut [RowMajorMatrix<Val>]| {
                traces[2].values[row * EXTENSION_DEGREE + column] += Val::ONE;
            };
            assert_eq!(
                forger.forge_staged(&honest, |_| (), None, change),
                Err(VerifyError::Invalid)
            );
        }
    }
}

/// A false output with everything else consistent: memory, public values, and the polynomial's
/// value at the challenges. Only the balance shows it, and the prover may choose its columns.
fn false_products_are_rejected<S: Scheme>() {
    let forger = forger::<S>(&small());
    let position = forger.coefficient(7);
    let mut outputs = forger.statement.outputs.clone();
    outputs[7] += 1;
    let change_coefficient =
        |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[0].values[position] += Val::ONE;
    assert_eq!(
        forger.forge_staged(&outputs, change_coefficient, None, |_| ()),
        Err(VerifyError::Invalid),
        "an honest balance"
    );
    // The balance is zero at the end of the product, without having become it.
    let end = forger.prover.system.plan.polynomials.products[0].inputs.last().unwrap().row
        + forger.prover.system.plan.polynomials.products[0].inputs[0]
            .length
            .div_ceil(COEFFICIENTS_PER_ROW);
    let reset_balance = |traces: &mut [RowMajorMatrix<Val>]| {
        for row in traces[0].values.chunks_mut(POLYNOMIAL_WIDTH).skip(end) {
            row[2 * EXTENSION_DEGREE..].fill(Val::ZERO);
        }
    };
    assert_eq!(
        forger.forge_staged(&outputs, change_coefficient, None, reset_balance),
        Err(VerifyError::Invalid),
        "a reset balance"
    );
    // The balance becomes zero with another value of the last kernel, which the kernels table
    // reports or does not.
    for report in [None, Some((1, KERNEL_WIDTH, EXTENSION_DEGREE))] {
        let other = |traces: &mut [RowMajorMatrix<Val>]| use_other_kernel(traces, end, report);
        assert_eq!(
            forger.forge_staged(&outputs, change_coefficient, None, other),
            Err(VerifyError::Invalid),
            "{report:?}"
        );
    }
}

/// Makes the balance zero from the row `end` on, by another value of the kernel of the row before.
/// If the index of the table that reports this value is given, with its width and the first column
/// of the value, it reports the other value.
pub(super) fn use_other_kernel(
    traces: &mut [RowMajorMatrix<Val>],
    end: usize,
    report: Option<(usize, usize, usize)>,
) {
    let polynomials = &mut traces[0].values;
    let (missing, _) = value_of(&mut polynomials[end * POLYNOMIAL_WIDTH + 2 * EXTENSION_DEGREE..]);
    let last = &mut polynomials[(end - 1) * POLYNOMIAL_WIDTH..][..POLYNOMIAL_WIDTH];
    let (balance, _) = value_of(&mut last[2 * EXTENSION_DEGREE..]);
    let (factor, columns) = value_of(&mut last[EXTENSION_DEGREE..]);
    let after = (balance - missing) * factor.inverse();
    let other = balance * after.inverse();
    columns.copy_from_slice(other.as_basis_coefficients_slice());
    for row in polynomials.chunks_mut(POLYNOMIAL_WIDTH).skip(end) {
        row[2 * EXTENSION_DEGREE..].fill(Val::ZERO);
    }
    let Some((table, width, first)) = report else { return };
    let reported = traces[table].values.chunks_mut(width).find_map(|row| {
        let (value, columns) = value_of(&mut row[first..]);
        (value == factor).then_some(columns)
    });
    reported.unwrap().copy_from_slice(other.as_basis_coefficients_slice());
}

/// A false product of computed matrices whose balance becomes zero with another value of a row of
/// the second matrix: the polynomials table uses it, and the operands table reports it or does not.
fn other_kernels_of_operands_are_rejected<S: Scheme>() {
    let network = testing::matrices(Matrices { count: 1, rows: 3, inner: 2, columns: 4 }, None);
    let circuit = Arc::new(network.lower().unwrap());
    let forger = Forger::<S>::with_plan(&network, Arc::clone(&circuit), plan_of::<S>(&circuit));
    let position = forger.coefficient(5);
    let mut outputs = forger.statement.outputs.clone();
    outputs[5] += 1;
    let change_coefficient =
        |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[0].values[position] += Val::ONE;
    let last = forger.prover.system.plan.polynomials.products[0].inputs.last().unwrap();
    let end = last.row + last.length.div_ceil(COEFFICIENTS_PER_ROW);
    for report in [None, Some((2, EXTENSION_DEGREE, 0))] {
        let other = |traces: &mut [RowMajorMatrix<Val>]| use_other_kernel(traces, end, report);
        assert_eq!(
            forger.forge_staged(&outputs, change_coefficient, None, other),
            Err(VerifyError::Invalid),
            "{report:?}"
        );
    }
}

/// A false output, hidden by coefficients that no cell has: they are chosen with knowledge of the
/// challenges, so that the output's polynomial has the value of the true one. Only the commitment,
/// which came before, shows the change.
fn coefficients_chosen_after_the_challenges_are_rejected<S: Scheme>() {
    let forger = forger::<S>(&small());
    let position = forger.coefficient(7);
    let mut outputs = forger.statement.outputs.clone();
    outputs[7] += 1;
    let ProofSystem { plan, .. } = &forger.prover.system;
    let product = &plan.polynomials.products[0];
    let rows = product.length.div_ceil(COEFFICIENTS_PER_ROW);
    let first =
        product.outputs.iter().rev().find(|&&row| row * COEFFICIENTS_PER_ROW <= position).unwrap()
            * COEFFICIENTS_PER_ROW;
    let positions = first..first + rows * COEFFICIENTS_PER_ROW;
    let fixed = plan.fixed_columns(|kind| *kind == TableKind::Polynomials).unwrap();
    // Neither an address nor a count.
    let is_free = |position: &usize| {
        let row = &fixed.values[position / COEFFICIENTS_PER_ROW * POLYNOMIAL_FIXED..];
        let column = position % COEFFICIENTS_PER_ROW;
        row[column].is_zero() && row[COEFFICIENTS_PER_ROW + column].is_zero()
    };
    let free_positions: Vec<usize> =
        positions.clone().filter(is_free).take(EXTENSION_DEGREE).collect();
    let change_after_challenges =
        |[x, _]: [Challenge; 2], coefficients: &mut [RowMajorMatrix<Val>]| {
            let power = |position: usize| x.exp_u64((positions.end - 1 - position) as u64);
            let powers = std::array::from_fn(|index| power(free_positions[index]));
            let values = &mut coefficients[0].values;
            values[position] += Val::ONE;
            for (&position, factor) in
                free_positions.iter().zip(solve_combination(powers, -power(position)))
            {
                values[position] += factor;
            }
        };
    // At the challenges, the balance is zero: every constraint holds.
    let assert_balanced = |traces: &mut [RowMajorMatrix<Val>]| {
        let last_row = traces[0].values.chunks(POLYNOMIAL_WIDTH).last().unwrap();
        assert!(last_row[2 * EXTENSION_DEGREE..].iter().all(Field::is_zero));
    };
    assert_eq!(
        forger.forge_opened(&outputs, change_after_challenges, assert_balanced),
        Err(VerifyError::Invalid)
    );
    let honest = forger.statement.outputs.clone();
    assert_eq!(forger.forge_opened(&honest, |_, _| (), |_| ()), Ok(()), "the honest coefficients");
}

/// Rows of the operands table without a kernel are free, yet not after the commitment.
fn operands_chosen_after_the_challenges_are_rejected<S: Scheme>() {
    let network = testing::matrices(Matrices { count: 1, rows: 3, inner: 2, columns: 4 }, None);
    let circuit = Arc::new(network.lower().unwrap());
    let forger = Forger::<S>::with_plan(&network, Arc::clone(&circuit), plan_of::<S>(&circuit));
    let honest = forger.statement.outputs.clone();
    let change = |coefficients: &mut [RowMajorMatrix<Val>]| {
        coefficients[1].values[COEFFICIENTS_PER_ROW * 9] += Val::ONE;
    };
    assert_eq!(forger.forge_staged(&honest, change, None, |_| ()), Ok(()), "committed before");
    let change_after_challenges =
        |_: [Challenge; 2], coefficients: &mut [RowMajorMatrix<Val>]| change(coefficients);
    assert_eq!(
        forger.forge_opened(&honest, change_after_challenges, |_| ()),
        Err(VerifyError::Invalid)
    );
}

/// Returns the factors with which four values in the extension field add up to the target.
fn solve_combination(
    values: [Challenge; EXTENSION_DEGREE],
    target: Challenge,
) -> [Val; EXTENSION_DEGREE] {
    // A linear equation for each coefficient of the extension field, with the target's at the end.
    let equations = (0..EXTENSION_DEGREE).map(|index| {
        let coefficient = |value: &Challenge| {
            let coefficients: &[Val] = value.as_basis_coefficients_slice();
            coefficients[index]
        };
        values.iter().chain([&target]).map(coefficient).collect::<Vec<Val>>()
    });
    let mut equations: Vec<Vec<Val>> = equations.collect();
    for pivot in 0..EXTENSION_DEGREE {
        let row = (pivot..EXTENSION_DEGREE).find(|&row| !equations[row][pivot].is_zero()).unwrap();
        equations.swap(pivot, row);
        let inverse = equations[pivot][pivot].inverse();
        let scaled: Vec<Val> = equations[pivot].iter().map(|&value| value * inverse).collect();
        for (index, equation) in equations.iter_mut().enumerate() {
            let factor = equation[pivot];
            for (value, &scaled) in equation.iter_mut().zip(&scaled) {
                *value = if index == pivot { scaled } else { *value - factor * scaled };
            }
        }
    }
    std::array::from_fn(|index| equations[index][EXTENSION_DEGREE])
}

/// The tables beside those of polynomials, whose columns do not depend on the challenges.
fn every_changed_column_of_other_tables_is_rejected<S: Scheme>() {
    check_columns(&forger::<S>(&testing::network(5)));
}

/// Rescales of sums that are products of polynomials, too.
fn remainders_of_polynomial_sums_out_of_range_are_rejected<S: Scheme>() {
    let forger = forger::<S>(&testing::network(5));
    // The first stage: a convolution from two channels to three.
    let product = &forger.prover.system.plan.polynomials.products[0];
    assert_eq!((product.inputs.len(), product.outputs.len()), (2, 3));
    check_remainders(&forger);
}

/// Without the powers of the challenges, no columns satisfy the constraints: an honest proof is
/// rejected, too.
fn tables_without_challenges_are_rejected<S: Scheme>() {
    let forger = forger::<S>(&small());
    let outputs = &forger.statement.outputs;
    let (proven_tables, traces, publics) = forger.tables_with_outputs(outputs);
    let coefficients = &forger.traces.coefficients;
    let file = VerificationKeyFile::from_bytes(&forger.key).unwrap();
    let system = &forger.prover.system;
    let common = file.common_data(&system.config).unwrap();
    let verifier = StarkVerifier {
        tables: file.tables(),
        file,
        parameters: system.parameters,
        config: system.parameters.config().unwrap(),
        common,
        digest: Digest::of(&forger.key),
    };
    let first = forger.table(TableKind::Polynomials);
    let public = &traces[forger.table(TableKind::Public)].values;
    for has_powers in [true, false] {
        // Hidden columns are opened once only.
        let committed = forger.prover.start().commit(coefficients).unwrap();
        let mut stage = forger
            .prover
            .start()
            .second_stage(proven_tables.clone(), coefficients, committed, &publics)
            .unwrap();
        let mut tables = with_public_column(&verifier.tables, public);
        for (table, proven_table) in tables.iter_mut().zip(&mut stage.tables).skip(first) {
            if !has_powers {
                proven_table.powers = None;
            }
            table.powers = proven_table.powers.clone();
        }
        let proof = forger.prover.start().prove_second_stage(&stage, &traces, &publics).unwrap();
        let result = verifier.verify_tables(&stage.config, &tables, &proof, &publics);
        assert_eq!(result.is_ok(), has_powers, "{result:?}");
    }
}

/// False outputs whose polynomial equals the true one at a point that the prover chose: the
/// verifier evaluates it at another point, which depends on the outputs.
fn products_at_other_challenges_are_rejected<S: Scheme>() {
    let forger = forger::<S>(&small());
    let (first, second) = (forger.coefficient(6), forger.coefficient(7));
    // Neighbours in a row: the second has the lower power.
    assert_eq!(second, first + 1);
    let challenges = [Challenge::from_u32(5), Challenge::from_u32(11)];
    let mut outputs = forger.statement.outputs.clone();
    outputs[6] += 1;
    outputs[7] -= 5;
    let change_coefficient = |coefficients: &mut [RowMajorMatrix<Val>]| {
        coefficients[0].values[first] += Val::ONE;
        coefficients[0].values[second] -= Val::from_u32(5);
    };
    // At the chosen point, the balance is zero: every constraint holds.
    let assert_balanced = |traces: &mut [RowMajorMatrix<Val>]| {
        let last_row = traces[0].values.chunks(POLYNOMIAL_WIDTH).last().unwrap();
        assert!(last_row[2 * EXTENSION_DEGREE..].iter().all(Field::is_zero));
    };
    assert_eq!(
        forger.forge_staged(&outputs, change_coefficient, Some(challenges), assert_balanced),
        Err(VerifyError::Invalid)
    );
    assert_eq!(
        forger.forge_staged(&outputs, change_coefficient, None, |_| ()),
        Err(VerifyError::Invalid)
    );
}
