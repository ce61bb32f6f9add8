//! Security of the parameters for the largest permitted circuit, by the analysis that the authors
//! of the proof system publish as the crate `p3-security`.

use std::sync::Arc;

use p3_air::BaseAir as _;
use p3_air::symbolic::{AirLayout, SymbolicExpr};
use p3_batch_stark::num_batched_openings;
use p3_batch_stark::symbolic::get_symbolic_constraints;
use p3_field::{BasedVectorSpace, Field as _, TwoAdicField as _};
use p3_lookup::{LogUpGadget, Lookups};
use p3_security::logup::{self, LOGUP_LABEL, LogUpAir};
use p3_security::report::{
    BATCH_LABEL, DEEP_LABEL, LDT_COMMIT_LABEL, LDT_QUERY_LABEL, RegimeReport, SecurityReport,
    SecurityTerm,
};
use p3_security::shape::{InstanceShape, StarkAirParams};
use p3_security::stark::{conjectured_security_report, proven_security_report};
use p3_security::{ErrorBits, GrindingSites};
use p3_uni_stark::OpeningShape;

use super::super::air::{Table, TableKind, Tile};
use super::super::keys::kinds;
use super::super::projection::{MAX_DEGREE, MAX_GAPS, Powers};
use super::scheme::RANDOM_COLUMNS;
use super::*;

/// Bits of security of the hash function against collisions.
const COLLISION_BITS: usize = 128;
/// Label of the evaluation of polynomials.
const POLYNOMIALS_LABEL: &str = "evaluation of polynomials";
/// Maximum number of rows of a column that one constraint reads.
const MAX_ROWS_READ: usize = 2;

/// Size of the largest permitted circuit, as the analysis needs it.
struct LargestCircuit {
    air: StarkAirParams,
    lookups: LogUpAir,
    shape: InstanceShape,
}

impl LargestCircuit {
    /// Measures the largest circuit: all tables, with the maximum number of rows each, and the
    /// largest tile.
    fn new(parameters: &Parameters) -> Self {
        let tile = Tile { inputs: MAX_TILE_SIDE, outputs: MAX_TILE_SIDE };
        let kinds = kinds(tile, MAX_GAPS, parameters.hides_inputs).into_iter();
        let kinds =
            kinds.take_while(|kind| has_polynomials(parameters) || *kind != TableKind::Polynomials);
        let powers = Arc::new(Powers::placeholder(&[2; MAX_GAPS]));
        let tables = kinds.map(|kind| Table {
            is_masked: parameters.hides_values,
            powers: Some(Arc::clone(&powers)),
            ..Table::new(kind, None)
        });
        let tables: Vec<Table> = tables.collect();
        let lookups_of_tables = if parameters.hides_values {
            lookups_of::<Hiding>(parameters, &tables)
        } else {
            lookups_of::<Plain>(parameters, &tables)
        };
        let shape_of_openings = if parameters.hides_values {
            OpeningShape::hiding(RANDOM_COLUMNS)
        } else {
            OpeningShape::new()
        };
        let (mut constraints, mut degree, mut openings) = (0, 0, 0);
        let mut lookups = LogUpAir { num_interactions: 0, max_message_width: 0 };
        for (table, columns) in tables.iter().zip(&lookups_of_tables) {
            let layout = AirLayout::from_air::<Val>(table);
            let (base, extension) = get_symbolic_constraints::<Val, Challenge, _, _>(
                table,
                layout,
                columns,
                &LogUpGadget::new(),
            );
            let degrees = base.iter().map(SymbolicExpr::degree_multiple);
            let max_degree =
                degrees.chain(extension.iter().map(SymbolicExpr::degree_multiple)).max().unwrap();
            degree = degree.max(max_degree);
            constraints += base.len() + extension.len();
            openings += num_batched_openings(
                table.width(),
                !table.main_next_row_columns().is_empty(),
                table.preprocessed_width(),
                !table.preprocessed_next_row_columns().is_empty(),
                quotient_chunks(max_degree, parameters.hides_values),
                columns.len(),
                <Challenge as BasedVectorSpace<Val>>::DIMENSION,
                shape_of_openings,
            );
            // The early columns are not fixed ones to the scheme.
            if table.kind.early_width() > 0 {
                openings += shape_of_openings.num_random_codewords();
            }
            for lookup in columns.iter() {
                lookups.num_interactions += lookup.elements.len();
                let widest = lookup.elements.iter().map(Vec::len).max().unwrap();
                lookups.max_message_width = lookups.max_message_width.max(widest);
            }
        }
        let air = StarkAirParams {
            num_constraints: constraints,
            max_constraint_degree: degree,
            num_quotient_chunks: quotient_chunks(degree, parameters.hides_values),
            max_combo: MAX_ROWS_READ,
        };
        let shape = InstanceShape {
            // A hidden column is committed with as many random values.
            log_trace_length: max_log_rows(parameters) + usize::from(parameters.hides_values),
            // The order of the field is not a power of two: its logarithm, rounded down.
            modulus_bits: Challenge::bits() - 1,
            collision_resistance: COLLISION_BITS,
            num_batched_functions: openings,
        };
        Self { air, lookups, shape }
    }
}

/// Returns the lookups of the tables with the maximum number of rows, as the proof system combines
/// them.
fn lookups_of<S: Scheme>(parameters: &Parameters, tables: &[Table]) -> Vec<Lookups<Val>> {
    let config: Config<S> = parameters.config().unwrap();
    let rows = vec![max_log_rows(parameters) + config.is_zk(); tables.len()];
    Prepared::from_airs_and_degrees(&config, tables, &rows).unwrap().common.lookups
}

fn max_log_rows(parameters: &Parameters) -> usize {
    let [_, max] = parameters.log_rows;
    max
}

/// Returns whether circuits with these parameters can have products of polynomials.
fn has_polynomials(parameters: &Parameters) -> bool {
    parameters.format >= POLYNOMIALS.format
}

/// Returns the number of parts of the quotient polynomial for constraints of this degree. The
/// polynomials of hidden columns have twice the degree, and the parts are masked.
fn quotient_chunks(degree: usize, hides: bool) -> usize {
    let hides = usize::from(hides);
    ((degree + hides).max(2) - 1).next_power_of_two() << hides
}

/// Returns the security of the largest circuit: under the conjecture, and proven.
fn reports(parameters: &Parameters) -> (RegimeReport, SecurityReport) {
    let LargestCircuit { air, lookups, shape } = LargestCircuit::new(parameters);
    let fri = parameters.fri_parameters(mmcs());
    let grinding = GrindingSites {
        out_of_domain: parameters.grinding.point,
        lookup_challenge: parameters.grinding.lookups,
        ..fri.grinding_sites()
    };
    let regime = fri.security_regime();
    // The lookups have a fraction for each row, not for each value of a polynomial.
    let rows = InstanceShape { log_trace_length: max_log_rows(parameters), ..shape };
    let mut challenges = vec![logup::security_term(&lookups, &rows, &grinding).unwrap()];
    if has_polynomials(parameters) {
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

/// Bits of security of all formats, as docs/proof.md states them.
const DOCUMENTED: [(&str, [f64; 6]); 5] = [
    (LDT_QUERY_LABEL, [100.5, 100.5, 102.2, 100.5, 102.2, 100.5]),
    (LOGUP_LABEL, [100.6, 100.5, 101.4, 100.5, 101.3, 100.5]),
    (DEEP_LABEL, [101.0, 101.0, 100.8, 101.0, 100.8, 101.0]),
    (BATCH_LABEL, [100.9, 100.4, 100.9, 100.4, 100.9, 100.4]),
    (LDT_COMMIT_LABEL, [101.2, 101.2, 101.2, 101.2, 101.2, 101.2]),
];

#[test]
fn documented_security_bits_match_the_computed_ones() {
    for (index, parameters) in RELEASED.iter().enumerate() {
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
        assert!(
            others.all(|term| term.bits.bits() >= documented_minimum(term.label)),
            "{conjectured:#?}"
        );
    }
}

/// Returns the documented bits of the steps that have the same ones, or more, in all formats.
fn documented_minimum(label: &str) -> f64 {
    if label == POLYNOMIALS_LABEL { 101.0 } else { 113.0 }
}

#[test]
fn released_parameters_give_100_bits_of_security() {
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
fn security_level_is_that_of_the_weakest_step() {
    let without_grinding = Grinding { lookups: 0, point: 0, openings: 0, folding: 0, queries: 16 };
    let (conjectured, _) =
        reports(&Parameters { queries: 500, grinding: without_grinding, ..TILES });
    assert!((89.0..91.0).contains(&conjectured.security_bits()), "{conjectured:#?}");
    assert_eq!(conjectured.binding().label, BATCH_LABEL);
}

#[test]
fn formats_increase_and_the_last_is_the_newest() {
    assert_eq!(RELEASED.last().map(|last| last.format), Some(NEWEST_FORMAT));
    for (index, parameters) in RELEASED.iter().enumerate() {
        assert_eq!(Parameters::of(parameters.format), Some(parameters));
        assert!(RELEASED.iter().skip(index + 1).all(|later| later.format > parameters.format));
    }
    assert_eq!(Parameters::of(NEWEST_FORMAT + 1), None);
}

/// The random values of a hidden column are at least twice as many as a proof discloses of it: one
/// for each query, and those of the challenges' field at two points.
#[test]
fn hidden_columns_have_enough_random_values() {
    let dimension = <Challenge as BasedVectorSpace<Val>>::DIMENSION;
    let [min, max] = HIDING.log_rows;
    assert!(1 << min >= 2 * (HIDING.queries + MAX_ROWS_READ * dimension));
    // The longest codewords are subgroups of the field.
    assert_eq!(max + 1 + HIDING.log_blowup, Val::TWO_ADICITY);
}

/// The longest codewords of a large circuit are the field's largest subgroup.
#[test]
fn largest_tables_have_the_longest_codewords() {
    for parameters in [&LARGE, &BOUNDED] {
        assert_eq!(max_log_rows(parameters) + parameters.log_blowup, Val::TWO_ADICITY);
    }
}
