//! Security of the parameters for the largest permitted circuit, by the analysis that the authors
//! of the proof system publish as the crate `p3-security`.

use std::sync::Arc;

use p3_air::BaseAir as _;
use p3_air::symbolic::{AirLayout, SymbolicExpr};
use p3_batch_stark::num_batched_openings;
use p3_batch_stark::symbolic::get_symbolic_constraints;
use p3_field::{BasedVectorSpace, Field as _};
use p3_lookup::LogUpGadget;
use p3_security::logup::{self, LOGUP_LABEL, LogUpAir};
use p3_security::report::{
    BATCH_LABEL, DEEP_LABEL, LDT_COMMIT_LABEL, LDT_QUERY_LABEL, RegimeReport, SecurityReport,
    SecurityTerm,
};
use p3_security::shape::{InstanceShape, StarkAirParams};
use p3_security::stark::{conjectured_security_report, proven_security_report};
use p3_security::{ErrorBits, GrindingSites};
use p3_uni_stark::OpeningShape;

use super::super::air::{Kind, Table, Tile};
use super::super::keys::kinds;
use super::super::projection::{MAX_DEGREE, MAX_GAPS, Powers};
use super::*;

/// Bits of security of the hash function against collisions.
const COLLISION_BITS: usize = 128;
/// Label of the evaluation of polynomials.
const POLYNOMIALS_LABEL: &str = "evaluation of polynomials";
/// Maximum number of rows of a column that one constraint reads.
const ROWS_READ: usize = 2;

/// Size of the largest permitted circuit, as the analysis needs it.
struct Largest {
    air: StarkAirParams,
    lookups: LogUpAir,
    shape: InstanceShape,
}

impl Largest {
    /// Measures the largest circuit: all tables, with the maximum number of rows each, and the
    /// largest tile.
    fn new(parameters: &Parameters) -> Self {
        let tile = Tile { inputs: MAX_TILE_SIDE, outputs: MAX_TILE_SIDE };
        let has_polynomials = *parameters == POLYNOMIALS;
        let kinds = kinds(tile, MAX_GAPS).into_iter();
        let kinds = kinds.take_while(|kind| has_polynomials || *kind != Kind::Polynomials);
        let powers = Arc::new(Powers::placeholder(&[2; MAX_GAPS]));
        let tables =
            kinds.map(|kind| Table { powers: Some(Arc::clone(&powers)), ..Table::new(kind, None) });
        let tables: Vec<Table> = tables.collect();
        let rows = vec![MAX_LOG_ROWS; tables.len()];
        let common =
            Prepared::from_airs_and_degrees(&parameters.config(), &tables, &rows).unwrap().common;
        let (mut constraints, mut degree, mut openings) = (0, 0, 0);
        let mut lookups = LogUpAir { num_interactions: 0, max_message_width: 0 };
        for (table, columns) in tables.iter().zip(&common.lookups) {
            let layout = AirLayout::from_air::<Val>(table);
            let (base, extension) = get_symbolic_constraints::<Val, Challenge, _, _>(
                table,
                layout,
                columns,
                &LogUpGadget::new(),
            );
            let degrees = base.iter().map(SymbolicExpr::degree_multiple);
            let own =
                degrees.chain(extension.iter().map(SymbolicExpr::degree_multiple)).max().unwrap();
            degree = degree.max(own);
            constraints += base.len() + extension.len();
            openings += num_batched_openings(
                table.kind.width(),
                !table.main_next_row_columns().is_empty(),
                table.preprocessed_width(),
                !table.preprocessed_next_row_columns().is_empty(),
                quotient_chunks(own),
                columns.len(),
                <Challenge as BasedVectorSpace<Val>>::DIMENSION,
                OpeningShape::new(),
            );
            for lookup in columns.iter() {
                lookups.num_interactions += lookup.elements.len();
                let widest = lookup.elements.iter().map(Vec::len).max().unwrap();
                lookups.max_message_width = lookups.max_message_width.max(widest);
            }
        }
        let air = StarkAirParams {
            num_constraints: constraints,
            max_constraint_degree: degree,
            num_quotient_chunks: quotient_chunks(degree),
            max_combo: ROWS_READ,
        };
        let shape = InstanceShape {
            log_trace_length: MAX_LOG_ROWS,
            // The order of the field is not a power of two: its logarithm, rounded down.
            modulus_bits: Challenge::bits() - 1,
            collision_resistance: COLLISION_BITS,
            num_batched_functions: openings,
        };
        Self { air, lookups, shape }
    }
}

/// Returns the number of parts of the quotient polynomial for constraints of this degree.
fn quotient_chunks(degree: usize) -> usize {
    (degree.max(2) - 1).next_power_of_two()
}

/// Returns the security of the largest circuit: under the conjecture, and proven.
fn reports(parameters: &Parameters) -> (RegimeReport, SecurityReport) {
    let Largest { air, lookups, shape } = Largest::new(parameters);
    let fri = parameters.fri();
    let grinding = GrindingSites {
        out_of_domain: parameters.grinding.point,
        lookup_challenge: parameters.grinding.lookups,
        ..fri.grinding_sites()
    };
    let regime = fri.security_regime();
    let mut challenges = vec![logup::security_term(&lookups, &shape, &grinding).unwrap()];
    if *parameters == POLYNOMIALS {
        // A false equation between polynomials holds at a random point with at most this
        // probability. As everywhere in this analysis, the number of points counts as 2^123,
        // although it is almost 2^124.
        let bits = shape.modulus_bits as f64 - (MAX_DEGREE as f64).log2();
        challenges.push(SecurityTerm::new(POLYNOMIALS_LABEL, ErrorBits::from_log2(bits)));
    }
    (
        conjectured_security_report(&regime, &air, &shape, &challenges, &grinding),
        proven_security_report(&regime, &air, &shape, &challenges, &grinding),
    )
}

/// Bits of security of both formats, as docs/proof.md states them.
const DOCUMENTED: [(&str, [f64; 2]); 5] = [
    (LDT_QUERY_LABEL, [100.5, 100.5]),
    (LOGUP_LABEL, [100.6, 100.5]),
    (DEEP_LABEL, [101.0, 101.0]),
    (BATCH_LABEL, [100.9, 100.4]),
    (LDT_COMMIT_LABEL, [101.2, 101.2]),
];

#[test]
fn documented_figures_are_computed() {
    for (index, parameters) in [&TILES, &POLYNOMIALS].into_iter().enumerate() {
        let (conjectured, _) = reports(parameters);
        for (label, documented) in DOCUMENTED {
            let term = conjectured.terms().iter().find(|term| term.label == label).unwrap();
            assert!(
                (term.bits.bits() - documented[index]).abs() < 0.06,
                "{label}: {conjectured:#?}"
            );
        }
        let mut others = conjectured
            .terms()
            .iter()
            .filter(|term| DOCUMENTED.iter().all(|(label, _)| term.label != *label));
        assert!(others.all(|term| term.bits.bits() >= least_other(term.label)), "{conjectured:#?}");
    }
}

/// Returns the documented bits of the steps that have the same ones, or more, in both formats.
fn least_other(label: &str) -> f64 {
    if label == POLYNOMIALS_LABEL { 101.0 } else { 113.0 }
}

#[test]
fn released_parameters_give_a_hundred_bits() {
    for parameters in &RELEASED {
        let (conjectured, proven) = reports(parameters);
        let format = parameters.format;
        assert!(
            conjectured.security_bits() >= f64::from(SECURITY_BITS),
            "format {format}: {conjectured:#?}"
        );
        assert!((59.0..60.0).contains(&proven.security_bits()), "format {format}: {proven:#?}");
        // All steps together: the union bound over their errors loses at most two bits more.
        let errors: Vec<ErrorBits> = conjectured.terms().iter().map(|term| term.bits).collect();
        assert!(ErrorBits::sum(&errors).bits() > 98.0, "format {format}: {conjectured:#?}");
    }
}

/// The queries alone do not provide 100 bits of security: without proofs of work before the other
/// challenges, the combination of all openings is the weakest step.
#[test]
fn security_is_that_of_the_weakest_step() {
    let none = Grinding { lookups: 0, point: 0, openings: 0, folding: 0, queries: 16 };
    let (conjectured, _) = reports(&Parameters { queries: 500, grinding: none, ..TILES });
    assert!((89.0..91.0).contains(&conjectured.security_bits()), "{conjectured:#?}");
    assert_eq!(conjectured.binding().label, BATCH_LABEL);
}

#[test]
fn formats_increase_and_the_last_is_the_newest() {
    assert_eq!(RELEASED.last().map(|last| last.format), Some(NEWEST));
    for (index, parameters) in RELEASED.iter().enumerate() {
        assert_eq!(Parameters::of(parameters.format), Some(parameters));
        assert!(RELEASED.iter().skip(index + 1).all(|later| later.format > parameters.format));
    }
    assert_eq!(Parameters::of(NEWEST + 1), None);
}
