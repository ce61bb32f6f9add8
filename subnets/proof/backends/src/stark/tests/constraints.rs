//! The constraints and lookups of all tables, checked row by row without a proof.

use std::collections::HashMap;

use p3_air::{Air as _, AirBuilder, BaseAir as _, ExtensionBuilder, RowWindow};
use p3_field::{BasedVectorSpace as _, Field as _};
use p3_lookup::{Count, InteractionBuilder};

use super::super::config::{self, Challenge};
use super::*;

/// Sums of the counts of all messages, by bus and message: each must be zero.
type Messages = HashMap<(String, Vec<Val>), Val>;

/// Returns a constraint or lookup that the columns of an execution violate; `None` if there is
/// none.
pub(super) fn find_violation(
    plan: &Plan,
    traces: &Traces,
    inputs: &[i64],
    outputs: &[i64],
) -> Option<String> {
    let rows = plan.log_rows.first().map_or(0, |log| 1 << log);
    let mut tables = with_public_column(&plan.tables, &trace::public_column(inputs, outputs, rows));
    let mut columns = traces.tables.clone();
    if let Some(first) = polynomials_index(&tables) {
        // A verifier draws them; here, any will do that a false equation does not expect.
        let mut generator = testing::generator(12);
        let challenges = [(); 2].map(|()| {
            Challenge::from_basis_coefficients_fn(|_| {
                Val::from_u32(generator.random_range(0..Val::ORDER_U32))
            })
        });
        let powers = Arc::new(Powers::new(challenges, &plan.polynomials.gaps));
        let late_tables = &plan.tables[first..];
        let values = trace::evaluate(&plan.polynomials, late_tables, &traces.coefficients, &powers);
        // Those of the last tables are empty.
        columns.truncate(first);
        columns.extend(values);
        let early_tables = tables.iter_mut().filter(|table| table.kind.early_width() > 0);
        for (table, coefficients) in early_tables.zip(&traces.coefficients) {
            let fixed = table.fixed.as_deref().unwrap().as_view();
            let all_columns = config::concatenate_columns(fixed, coefficients.as_view());
            table.fixed = Some(Arc::new(all_columns));
        }
        for table in &mut tables[first..] {
            table.powers = Some(Arc::clone(&powers));
        }
    }
    let mut messages = Messages::new();
    let violation = tables
        .iter()
        .zip(&columns)
        .find_map(|(table, columns)| violated_constraint(table, columns, &mut messages));
    violation.or_else(|| {
        let unbalanced = messages.iter().find(|(_, sum)| !sum.is_zero());
        unbalanced.map(|message| format!("{message:?}"))
    })
}

/// Returns a constraint of a table that its columns violate, and collects its messages.
fn violated_constraint(
    table: &Table,
    columns: &RowMajorMatrix<Val>,
    messages: &mut Messages,
) -> Option<String> {
    let fixed = table.fixed.as_deref().unwrap();
    let rows = columns.values.len() / columns.width;
    assert_eq!(fixed.values.len() / fixed.width, rows, "{:?}", table.kind);
    (0..rows).find_map(|row| {
        let mut checker = RowChecker {
            columns: window(columns, row),
            fixed: window(fixed, row),
            public: table.periodic_values(row),
            edges: [row == 0, row + 1 == rows],
            violations: 0,
            messages: &mut *messages,
        };
        table.eval(&mut checker);
        (checker.violations > 0)
            .then(|| format!("{:?}, row {row}: {} constraints", table.kind, checker.violations))
    })
}

/// Returns a row and the one after it: the first one after the last.
fn window(matrix: &RowMajorMatrix<Val>, row: usize) -> RowWindow<'_, Val> {
    let row_of = |row: usize| &matrix.values[row * matrix.width..][..matrix.width];
    let rows = matrix.values.len() / matrix.width;
    RowWindow::from_two_rows(row_of(row), row_of((row + 1) % rows))
}

/// Evaluates the constraints of a row.
struct RowChecker<'a> {
    columns: RowWindow<'a, Val>,
    fixed: RowWindow<'a, Val>,
    /// The value of the public column, in the table that has one.
    public: Vec<Val>,
    /// Whether the row is the first and the last one.
    edges: [bool; 2],
    /// Number of constraints that do not hold.
    violations: usize,
    messages: &'a mut Messages,
}

impl<'a> AirBuilder for RowChecker<'a> {
    type F = Val;
    type Expr = Val;
    type Var = Val;
    type PreprocessedWindow = RowWindow<'a, Val>;
    type MainWindow = RowWindow<'a, Val>;
    type PublicVar = Val;
    type PeriodicVar = Val;

    fn main(&self) -> Self::MainWindow {
        self.columns
    }

    fn preprocessed(&self) -> &Self::PreprocessedWindow {
        &self.fixed
    }

    fn is_first_row(&self) -> Val {
        Val::from_bool(self.edges[0])
    }

    fn is_last_row(&self) -> Val {
        Val::from_bool(self.edges[1])
    }

    fn is_transition(&self) -> Val {
        Val::from_bool(!self.edges[1])
    }

    fn assert_zero<I: Into<Val>>(&mut self, x: I) {
        self.violations += usize::from(!x.into().is_zero());
    }

    fn periodic_values(&self) -> &[Val] {
        &self.public
    }
}

impl ExtensionBuilder for RowChecker<'_> {
    type EF = Challenge;
    type ExprEF = Challenge;
    type VarEF = Challenge;

    fn assert_zero_ext<I: Into<Challenge>>(&mut self, x: I) {
        self.violations += usize::from(!x.into().is_zero());
    }
}

impl InteractionBuilder for RowChecker<'_> {
    fn push_interaction<E: Into<Val>>(
        &mut self,
        bus_name: &str,
        fields: impl IntoIterator<Item = E>,
        count: impl Into<Count<Val>>,
    ) {
        let (count, _) = count.into().into_parts();
        if !count.is_zero() {
            let message = (bus_name.to_owned(), fields.into_iter().map(Into::into).collect());
            *self.messages.entry(message).or_insert(Val::ZERO) += count;
        }
    }

    fn push_local_interaction(&mut self, _: impl IntoIterator<Item = (Vec<Val>, Count<Val>)>) {
        panic!("no table has messages to itself");
    }
}
