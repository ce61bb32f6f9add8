//! A commitment scheme for tables whose value columns are committed in two stages.
//!
//! The proof system commits to all value columns at once, and draws its challenges afterwards. A
//! table that evaluates polynomials at a challenge needs their coefficients before the challenge
//! and their values after it. So the coefficients are committed first, on their own, and the proof
//! system sees them as further fixed columns of the tables: this scheme joins the columns of both
//! commitments, and opens both.

use std::sync::Arc;

use p3_commit::{
    CommitmentOpening, MatrixOpening, OpenedValues, OpeningRequest, Pcs as CommitmentScheme,
    PeriodicLdeTable, PointOpening, UnivariateStarkPcs,
};
use p3_fri::verifier::FriError;
use p3_matrix::dense::RowMajorMatrix;

use super::scheme::{CommittedColumns, Domain, Error, Evaluations, OpeningProof, Root, Scheme};
use super::{Challenge, Challenger, Val};

type CommitResult<S> = Result<(Root, CommittedColumns<S>), <S as Scheme>::Failure>;
type Matrix = RowMajorMatrix<Val>;
type OpeningClaims = Vec<CommitmentOpening<Challenge, Root, Domain>>;

/// Columns that are committed before all others.
#[derive(Clone)]
pub(in super::super) struct EarlyColumns<S: Scheme> {
    /// The tables that they belong to, by index, with the number of the table's fixed columns.
    pub(in super::super) tables: Vec<(usize, usize)>,
    pub(in super::super) root: Root,
    /// The columns; a verifier does not have them.
    pub(in super::super) data: Option<Arc<CommittedColumns<S>>>,
}

/// The commitment scheme. Without early columns, it is that of the proof system.
#[derive(Clone)]
pub(in super::super) struct StagedPcs<S: Scheme> {
    inner: S::Pcs,
    /// The scheme of the fixed columns; `None` if they have no scheme of their own.
    fixed: Option<Arc<S::Pcs>>,
    early: Option<EarlyColumns<S>>,
}

impl<S: Scheme> StagedPcs<S> {
    pub(super) fn new(inner: S::Pcs, fixed: Option<S::Pcs>) -> Self {
        Self { inner, fixed: fixed.map(Arc::new), early: None }
    }

    pub(super) fn with_early(&self, early: EarlyColumns<S>) -> Self {
        Self { early: Some(early), ..self.clone() }
    }
}

impl<S: Scheme> CommitmentScheme<Challenge, Challenger> for StagedPcs<S> {
    type Domain = Domain;
    type Commitment = Root;
    type ProverData = CommittedColumns<S>;
    type Proof = OpeningProof<S>;
    type Error = Error;
    type ProverError = S::Failure;

    fn natural_domain_for_degree(&self, degree: usize) -> Domain {
        CommitmentScheme::<Challenge, Challenger>::natural_domain_for_degree(&self.inner, degree)
    }

    fn commit(&self, evaluations: impl IntoIterator<Item = (Domain, Matrix)>) -> CommitResult<S> {
        CommitmentScheme::<Challenge, Challenger>::commit(&self.inner, evaluations)
    }

    fn open(
        &self,
        requests: Vec<OpeningRequest<'_, CommittedColumns<S>, Challenge>>,
        challenger: &mut Challenger,
    ) -> Result<(OpenedValues<Challenge>, OpeningProof<S>), S::Failure> {
        self.inner.open(requests, challenger)
    }

    fn verify(
        &self,
        claims: OpeningClaims,
        proof: &OpeningProof<S>,
        challenger: &mut Challenger,
    ) -> Result<(), Error> {
        self.inner.verify(claims, proof, challenger)
    }
}

impl<S: Scheme> UnivariateStarkPcs<Challenge, Challenger> for StagedPcs<S> {
    type EvaluationsOnDomain<'a> = Evaluations<'a, S>;

    const ZK: bool = <S::Pcs as UnivariateStarkPcs<Challenge, Challenger>>::ZK;

    fn log_max_trace_height(&self) -> usize {
        UnivariateStarkPcs::<Challenge, Challenger>::log_max_trace_height(&self.inner)
    }

    fn log_min_trace_height(&self) -> usize {
        UnivariateStarkPcs::<Challenge, Challenger>::log_min_trace_height(&self.inner)
    }

    fn commit_preprocessing(
        &self,
        evaluations: impl IntoIterator<Item = (Domain, Matrix)>,
    ) -> CommitResult<S> {
        let scheme = self.fixed.as_deref().unwrap_or(&self.inner);
        UnivariateStarkPcs::<Challenge, Challenger>::commit_preprocessing(scheme, evaluations)
    }

    fn get_quotient_ldes(
        &self,
        evaluations: impl IntoIterator<Item = (Domain, Matrix)>,
        chunks: usize,
    ) -> Result<Vec<Matrix>, S::Failure> {
        // The proof system calls this for several tables at once. The hiding scheme locks its
        // random generator, and computes on all threads until it unlocks it: a thread that waits
        // for the others could take the call for the next table, and wait for its own lock. A copy
        // has a lock of its own.
        let scheme = self.inner.clone();
        UnivariateStarkPcs::<Challenge, Challenger>::get_quotient_ldes(&scheme, evaluations, chunks)
    }

    fn commit_ldes(&self, ldes: Vec<Matrix>) -> CommitResult<S> {
        UnivariateStarkPcs::<Challenge, Challenger>::commit_ldes(&self.inner, ldes)
    }

    fn get_opt_randomization_poly_commitment(
        &self,
        domains: impl IntoIterator<Item = Domain>,
    ) -> Result<Option<(Root, CommittedColumns<S>)>, S::Failure> {
        UnivariateStarkPcs::<Challenge, Challenger>::get_opt_randomization_poly_commitment(
            &self.inner,
            domains,
        )
    }

    fn get_evaluations_on_domain<'a>(
        &self,
        data: &'a CommittedColumns<S>,
        index: usize,
        domain: Domain,
    ) -> Evaluations<'a, S> {
        UnivariateStarkPcs::<Challenge, Challenger>::get_evaluations_on_domain(
            &self.inner,
            data,
            index,
            domain,
        )
    }

    /// The proof system calls this for fixed columns only.
    fn get_evaluations_on_domain_no_random<'a>(
        &self,
        data: &'a CommittedColumns<S>,
        index: usize,
        domain: Domain,
    ) -> Evaluations<'a, S> {
        let fixed =
            UnivariateStarkPcs::<Challenge, Challenger>::get_evaluations_on_domain_no_random(
                &self.inner,
                data,
                index,
                domain,
            );
        let Some(early) = &self.early else { return fixed };
        let position = early.tables.iter().position(|&(table, _)| table == index);
        let (Some(position), Some(data)) = (position, early.data.as_deref()) else { return fixed };
        S::join(fixed, self.get_evaluations_on_domain(data, position, domain))
    }

    fn open_with_preprocessing(
        &self,
        requests: Vec<OpeningRequest<'_, CommittedColumns<S>, Challenge>>,
        challenger: &mut Challenger,
        fixed: Option<usize>,
    ) -> Result<(OpenedValues<Challenge>, OpeningProof<S>), S::Failure> {
        let mut requests: Vec<OpeningRequest<'_, CommittedColumns<S>, Challenge>> = requests;
        let (Some(early), Some(fixed)) = (&self.early, fixed) else {
            return self.inner.open_with_preprocessing(requests, challenger, fixed);
        };
        if let (Some(data), Some(request)) = (&early.data, requests.get(fixed)) {
            let points = early
                .tables
                .iter()
                .filter_map(|&(table, _)| request.points.get(table).cloned())
                .collect();
            requests.push(OpeningRequest { prover_data: data, points });
        }
        let (mut opened, proof) =
            self.inner.open_with_preprocessing(requests, challenger, Some(fixed))?;
        let values = opened.pop().unwrap_or_default();
        for (&(table, _), values) in early.tables.iter().zip(values) {
            let table = opened.get_mut(fixed).and_then(|matrices| matrices.get_mut(table));
            for (fixed, early) in table.into_iter().flatten().zip(values) {
                fixed.extend(early);
            }
        }
        Ok((opened, proof))
    }

    fn verify_with_preprocessing(
        &self,
        mut claims: OpeningClaims,
        proof: &OpeningProof<S>,
        challenger: &mut Challenger,
        fixed: Option<usize>,
    ) -> Result<(), Error> {
        let Some(early) = &self.early else {
            return self.inner.verify_with_preprocessing(claims, proof, challenger, fixed);
        };
        let got = claims.len();
        let Some(claim) = fixed.and_then(|fixed| claims.get_mut(fixed)) else {
            return Err(FriError::InputProofBatchCountMismatch { expected: got + 1, got });
        };
        let got = claim.matrices.len();
        let mut matrices = Vec::with_capacity(early.tables.len());
        for &(index, width) in &early.tables {
            let Some(table) = claim.matrices.get_mut(index) else {
                let batch = fixed.unwrap_or_default();
                return Err(FriError::BatchOpenedValuesCountMismatch {
                    batch,
                    expected: index + 1,
                    got,
                });
            };
            let split = |opening: &mut PointOpening<Challenge>| PointOpening {
                point: opening.point,
                values: opening.values.split_off(width.min(opening.values.len())),
            };
            let points = table.points.iter_mut().map(split).collect();
            matrices.push(MatrixOpening { domain: table.domain, points });
        }
        claims.push(CommitmentOpening { commitment: early.root.clone(), matrices });
        self.inner.verify_with_preprocessing(claims, proof, challenger, fixed)
    }

    fn build_periodic_lde_table(
        &self,
        columns: &[Vec<Val>],
        trace: Domain,
        quotient: Domain,
    ) -> PeriodicLdeTable<Val> {
        UnivariateStarkPcs::<Challenge, Challenger>::build_periodic_lde_table(
            &self.inner,
            columns,
            trace,
            quotient,
        )
    }
}
