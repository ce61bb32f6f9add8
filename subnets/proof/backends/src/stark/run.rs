//! One use of a prover: the stages of a proof, with random numbers that no other proof has.

use std::sync::Arc;

use p3_matrix::dense::RowMajorMatrix;
use taonet_proof_core::Digest;

use super::air::Table;
use super::config::{
    self, CommittedColumns, Config, EarlyColumns, Proof, ProofRngs, Root, Scheme, Val,
};
use super::projection::Powers;
use super::trace::{self, Traces};
use super::{
    ProofSystem, StagedProof, StarkProver, early_columns, masks, polynomials_index,
    with_public_column,
};
use crate::{BackendError, Seed};

/// A proof in progress.
pub(super) struct ProofRun<'a, S: Scheme> {
    prover: &'a StarkProver<S>,
    /// The proof system, with random generators of its own.
    config: Config<S>,
    /// Seed of the masks, and of the generators if proofs hide their inputs.
    seed: Seed,
}

/// State of a proof after the challenges are drawn.
pub(super) struct SecondStage<S: Scheme> {
    pub(super) config: Config<S>,
    pub(super) tables: Vec<Table>,
    /// Value columns of the last tables, which depend on the challenges.
    pub(super) values: Vec<RowMajorMatrix<Val>>,
}

impl<S: Scheme> SecondStage<S> {
    /// Returns the value columns of all tables, given those of the ones that do not depend on the
    /// challenges.
    fn columns<'a>(
        &'a self,
        independent: &'a [RowMajorMatrix<Val>],
    ) -> Vec<&'a RowMajorMatrix<Val>> {
        let count = self.tables.len() - self.values.len();
        independent.iter().take(count).chain(&self.values).collect()
    }
}

impl<S: Scheme> StarkProver<S> {
    /// Starts a proof. If it hides its inputs, the commitment to its value columns follows from the
    /// seed.
    pub(super) fn start_proof(&self, seed: &Seed) -> Result<ProofRun<'_, S>, BackendError> {
        let ProofSystem { parameters, config, .. } = &self.system;
        // Only the commitments of proofs that hide their inputs are computed again. A copy has
        // random generators of its own: see `StagedPcs::get_quotient_ldes`.
        let config = if parameters.hides_inputs {
            parameters.config_with_seed(seed)?
        } else {
            config.clone()
        };
        Ok(ProofRun { prover: self, config, seed: seed.clone() })
    }
}

impl<S: Scheme> ProofRun<'_, S> {
    /// Proves a statement, given its public inputs, its outputs and its binding.
    pub(super) fn prove_traces(
        &self,
        traces: &Traces,
        inputs: &[i64],
        outputs: &[i64],
        binding: &Digest,
    ) -> Result<Vec<u8>, BackendError> {
        let (tables, public_values) = self.statement_tables(inputs, outputs, binding);
        let encoded = if traces.coefficients.is_empty() {
            let columns: Vec<_> = traces.tables.iter().collect();
            postcard::to_allocvec(&self.prove_tables(
                &self.config,
                &tables,
                &columns,
                &public_values,
            )?)
        } else {
            postcard::to_allocvec(&self.prove_staged(tables, traces, &public_values)?)
        };
        encoded.map_err(|error| BackendError::Internal(error.to_string()))
    }

    /// Returns the commitment to value columns of the proof that [`Self::prove_traces`] makes with
    /// the same seed: the first random numbers that it draws are the same. The proof must hide its
    /// inputs.
    pub(super) fn commitment(
        &self,
        traces: &Traces,
        inputs: &[i64],
        outputs: &[i64],
        binding: &Digest,
    ) -> Result<Root, BackendError> {
        if traces.coefficients.is_empty() {
            let columns: Vec<_> = traces.tables.iter().collect();
            return Ok(commit(&self.config, &self.masked(&columns))?.0);
        }
        let (tables, public_values) = self.statement_tables(inputs, outputs, binding);
        let committed = self.commit(&traces.coefficients)?;
        let stage = self.second_stage(tables, &traces.coefficients, committed, &public_values)?;
        Ok(commit(&stage.config, &self.masked(&stage.columns(&traces.tables)))?.0)
    }

    /// Returns the tables with the statement's public column, and their public values.
    fn statement_tables(
        &self,
        inputs: &[i64],
        outputs: &[i64],
        binding: &Digest,
    ) -> (Vec<Table>, Vec<Vec<Val>>) {
        let ProofSystem { plan, tables, .. } = &self.prover.system;
        let rows = plan.log_rows.first().map_or(0, |log| 1 << log);
        let tables = with_public_column(tables, &trace::public_column(inputs, outputs, rows));
        let public_values = super::public_values(&tables, binding, outputs);
        (tables, public_values)
    }

    /// Returns the value columns of all tables with the masks of this proof.
    fn masked(&self, columns: &[&RowMajorMatrix<Val>]) -> Vec<RowMajorMatrix<Val>> {
        masks::with_masks(columns, &mut ProofRngs::from_seed(&self.seed).masks)
    }

    /// Proves all tables, with masks if the proof hides their columns.
    fn prove_tables(
        &self,
        config: &Config<S>,
        tables: &[Table],
        columns: &[&RowMajorMatrix<Val>],
        public_values: &[Vec<Val>],
    ) -> Result<Proof<S>, BackendError> {
        if !self.prover.system.parameters.hides_values {
            return self.prover.prove_columns(config, tables, columns, public_values);
        }
        let masked = self.masked(columns);
        self.prover.prove_columns(config, tables, &masked.iter().collect::<Vec<_>>(), public_values)
    }

    pub(super) fn prove_staged(
        &self,
        tables: Vec<Table>,
        traces: &Traces,
        public_values: &[Vec<Val>],
    ) -> Result<StagedProof<S>, BackendError> {
        let (coefficients, data) = self.commit(&traces.coefficients)?;
        let stage = self.second_stage(
            tables,
            &traces.coefficients,
            (coefficients.clone(), data),
            public_values,
        )?;
        let proof = self.prove_second_stage(&stage, &traces.tables, public_values)?;
        Ok(StagedProof { coefficients, proof })
    }

    /// Commits to the coefficients of all polynomials.
    pub(super) fn commit(
        &self,
        coefficients: &[RowMajorMatrix<Val>],
    ) -> Result<(Root, CommittedColumns<S>), BackendError> {
        commit(&self.config, coefficients)
    }

    /// Draws the challenges, which follow from the commitment, and evaluates the polynomials at
    /// them.
    pub(super) fn second_stage(
        &self,
        mut tables: Vec<Table>,
        coefficients: &[RowMajorMatrix<Val>],
        (root, data): (Root, CommittedColumns<S>),
        public_values: &[Vec<Val>],
    ) -> Result<SecondStage<S>, BackendError> {
        let ProofSystem { parameters, plan, .. } = &self.prover.system;
        let first_polynomial_table = polynomials_index(&tables)
            .ok_or_else(|| BackendError::Internal("no table of polynomials".to_owned()))?;
        let early: EarlyColumns<S> = early_columns(&tables, root, Some(Arc::new(data)));
        let indices: Vec<usize> = early.tables.iter().map(|&(table, _)| table).collect();
        let (challenges, config) =
            parameters.second_stage(&self.config, early, &public_values.concat());
        let powers = Arc::new(Powers::new(challenges, &plan.polynomials.gaps));
        let late_tables = plan.tables.get(first_polynomial_table..).unwrap_or_default();
        let values = trace::evaluate(&plan.polynomials, late_tables, coefficients, &powers);
        for table in tables.iter_mut().skip(first_polynomial_table) {
            table.powers = Some(Arc::clone(&powers));
        }
        for (table, columns) in indices.into_iter().zip(coefficients) {
            if let Some(fixed) = tables.get_mut(table).and_then(|table| table.fixed.as_mut()) {
                *fixed = Arc::new(config::concatenate_columns(fixed.as_view(), columns.as_view()));
            }
        }
        Ok(SecondStage { config, tables, values })
    }

    /// Proves all tables, given the value columns of those that do not depend on the challenges.
    pub(super) fn prove_second_stage(
        &self,
        stage: &SecondStage<S>,
        independent: &[RowMajorMatrix<Val>],
        public_values: &[Vec<Val>],
    ) -> Result<Proof<S>, BackendError> {
        self.prove_tables(&stage.config, &stage.tables, &stage.columns(independent), public_values)
    }
}

/// Commits to columns of several tables.
fn commit<S: Scheme>(
    config: &Config<S>,
    columns: &[RowMajorMatrix<Val>],
) -> Result<(Root, CommittedColumns<S>), BackendError> {
    config::commit(config, columns).map_err(|error| BackendError::Internal(format!("{error:?}")))
}
