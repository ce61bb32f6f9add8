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
use p3_matrix::bitrev::BitReversibleMatrix as _;
use p3_matrix::dense::RowMajorMatrix;

use super::{Challenge, Challenger, FriPcs, Val, concatenate_columns};

type Domain = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Domain;
/// Commitment to columns.
pub(in super::super) type Root = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Commitment;
/// Committed columns.
pub(in super::super) type Data = <FriPcs as CommitmentScheme<Challenge, Challenger>>::ProverData;
type OpeningProof = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Proof;
type Error = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Error;
/// Why columns could not be committed.
pub(super) type ProverError = <FriPcs as CommitmentScheme<Challenge, Challenger>>::ProverError;
type Evaluations<'a> =
    <FriPcs as UnivariateStarkPcs<Challenge, Challenger>>::EvaluationsOnDomain<'a>;
type Committed = Result<(Root, Data), ProverError>;
type Matrix = RowMajorMatrix<Val>;
type Claims = Vec<CommitmentOpening<Challenge, Root, Domain>>;

/// Columns that are committed before all others.
#[derive(Clone)]
pub(in super::super) struct Early {
    /// The tables that they belong to, by index, with the number of the table's fixed columns.
    pub(in super::super) tables: Vec<(usize, usize)>,
    pub(in super::super) root: Root,
    /// The columns; a verifier does not have them.
    pub(in super::super) data: Option<Arc<Data>>,
}

/// The commitment scheme. Without early columns, it is that of the proof system.
#[derive(Clone)]
pub(in super::super) struct StagedPcs {
    inner: FriPcs,
    early: Option<Early>,
}

impl StagedPcs {
    pub(super) const fn new(inner: FriPcs) -> Self {
        Self { inner, early: None }
    }

    pub(super) fn with_early(&self, early: Early) -> Self {
        Self { inner: self.inner.clone(), early: Some(early) }
    }
}

impl CommitmentScheme<Challenge, Challenger> for StagedPcs {
    type Domain = Domain;
    type Commitment = Root;
    type ProverData = Data;
    type Proof = OpeningProof;
    type Error = Error;
    type ProverError = ProverError;

    fn natural_domain_for_degree(&self, degree: usize) -> Domain {
        <FriPcs as CommitmentScheme<Challenge, Challenger>>::natural_domain_for_degree(
            &self.inner,
            degree,
        )
    }

    fn commit(&self, evaluations: impl IntoIterator<Item = (Domain, Matrix)>) -> Committed {
        <FriPcs as CommitmentScheme<Challenge, Challenger>>::commit(&self.inner, evaluations)
    }

    fn open(
        &self,
        requests: Vec<OpeningRequest<'_, Data, Challenge>>,
        challenger: &mut Challenger,
    ) -> Result<(OpenedValues<Challenge>, OpeningProof), ProverError> {
        self.inner.open(requests, challenger)
    }

    fn verify(
        &self,
        claims: Claims,
        proof: &OpeningProof,
        challenger: &mut Challenger,
    ) -> Result<(), Error> {
        self.inner.verify(claims, proof, challenger)
    }
}

impl UnivariateStarkPcs<Challenge, Challenger> for StagedPcs {
    type EvaluationsOnDomain<'a> = Evaluations<'a>;

    const ZK: bool = false;

    fn log_max_trace_height(&self) -> usize {
        <FriPcs as UnivariateStarkPcs<Challenge, Challenger>>::log_max_trace_height(&self.inner)
    }

    fn log_min_trace_height(&self) -> usize {
        <FriPcs as UnivariateStarkPcs<Challenge, Challenger>>::log_min_trace_height(&self.inner)
    }

    fn get_quotient_ldes(
        &self,
        evaluations: impl IntoIterator<Item = (Domain, Matrix)>,
        chunks: usize,
    ) -> Result<Vec<Matrix>, ProverError> {
        UnivariateStarkPcs::<Challenge, Challenger>::get_quotient_ldes(
            &self.inner,
            evaluations,
            chunks,
        )
    }

    fn commit_ldes(&self, ldes: Vec<Matrix>) -> Committed {
        UnivariateStarkPcs::<Challenge, Challenger>::commit_ldes(&self.inner, ldes)
    }

    fn get_evaluations_on_domain<'a>(
        &self,
        data: &'a Data,
        index: usize,
        domain: Domain,
    ) -> Evaluations<'a> {
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
        data: &'a Data,
        index: usize,
        domain: Domain,
    ) -> Evaluations<'a> {
        let fixed = self.get_evaluations_on_domain(data, index, domain);
        let Some(early) = &self.early else { return fixed };
        let position = early.tables.iter().position(|&(table, _)| table == index);
        let (Some(position), Some(data)) = (position, early.data.as_deref()) else { return fixed };
        let early = self.get_evaluations_on_domain(data, position, domain).bit_reverse_rows();
        let fixed = fixed.bit_reverse_rows();
        concatenate_columns(fixed.as_view(), early.as_view()).as_cow().bit_reverse_rows()
    }

    fn open_with_preprocessing(
        &self,
        requests: Vec<OpeningRequest<'_, Data, Challenge>>,
        challenger: &mut Challenger,
        fixed: Option<usize>,
    ) -> Result<(OpenedValues<Challenge>, OpeningProof), ProverError> {
        let mut requests: Vec<OpeningRequest<'_, Data, Challenge>> = requests;
        let (Some(early), Some(fixed)) = (&self.early, fixed) else {
            return self.open(requests, challenger);
        };
        if let (Some(data), Some(request)) = (&early.data, requests.get(fixed)) {
            let points = early
                .tables
                .iter()
                .filter_map(|&(table, _)| request.points.get(table).cloned())
                .collect();
            requests.push(OpeningRequest { prover_data: data, points });
        }
        let (mut opened, proof) = self.open(requests, challenger)?;
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
        mut claims: Claims,
        proof: &OpeningProof,
        challenger: &mut Challenger,
        fixed: Option<usize>,
    ) -> Result<(), Error> {
        let Some(early) = &self.early else { return self.verify(claims, proof, challenger) };
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
        self.verify(claims, proof, challenger)
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
