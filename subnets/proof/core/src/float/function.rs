mod operation;

use std::sync::Arc;

pub use operation::{Binary, Unary};

/// Maximum number of operations of a [`Function`]; longer chains become several functions.
pub const MAX_OPERATIONS: usize = 64;

/// A function of one variable, which applies to every element of a tensor. A chain of element-wise
/// operators, such as `x * sigmoid(x)`, is one function.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// The variable.
    Variable,
    /// A constant.
    Constant(f64),
    /// An operation on one function.
    Unary(Unary, Arc<Self>),
    /// An operation on two functions.
    Binary(Binary, Arc<Self>, Arc<Self>),
    /// The second function where the first one is not 0, and the third one elsewhere.
    Select(Arc<Self>, Arc<Self>, Arc<Self>),
    /// The value in a column of a table, in the row that the function names. A negative number
    /// counts from the last row.
    Lookup(Arc<Lookup>, usize, Arc<Self>),
}

/// A table of numbers, such as an embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// Values, row by row.
    values: Vec<f32>,
    width: usize,
    magnitude: f32,
    has_integer_values: bool,
}

impl Lookup {
    /// Creates a table with rows of this width.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        let magnitude = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let has_integer_values = values.iter().all(|value| value.fract().abs() <= 0.0);
        Self { values, width, magnitude, has_integer_values }
    }

    /// Returns a value; not a number if the table has no such row.
    fn value(&self, row: f64, column: usize) -> f64 {
        let rows = self.values.len().checked_div(self.width).unwrap_or_default() as f64;
        let row = if row < 0.0 { row.round() + rows } else { row.round() };
        if !(0.0..rows).contains(&row) {
            return f64::NAN;
        }
        self.values.get(row as usize * self.width + column).copied().map_or(f64::NAN, f64::from)
    }
}

impl Function {
    /// Applies an operation to this function's value.
    #[must_use]
    pub fn then(self, operation: Unary) -> Self {
        Self::Unary(operation, Arc::new(self))
    }

    /// Combines the values of two functions of the same variable.
    #[must_use]
    pub fn with(self, operation: Binary, other: Self) -> Self {
        Self::Binary(operation, Arc::new(self), Arc::new(other))
    }

    /// Returns the number of operations.
    pub fn operation_count(&self) -> usize {
        match self {
            Self::Variable | Self::Constant(_) => 0,
            Self::Unary(_, function) => 1 + function.operation_count(),
            Self::Binary(_, a, b) => 1 + a.operation_count() + b.operation_count(),
            Self::Select(condition, a, b) => {
                1 + condition.operation_count() + a.operation_count() + b.operation_count()
            }
            Self::Lookup(_, _, row) => 1 + row.operation_count(),
        }
    }

    /// Returns a function that has the value of `a` where this one is not 0, and that of `b`
    /// elsewhere.
    #[must_use]
    pub fn select(self, a: Self, b: Self) -> Self {
        Self::Select(Arc::new(self), Arc::new(a), Arc::new(b))
    }

    /// Returns a function that has the values of a table's column in the rows that this one names.
    #[must_use]
    pub fn look_up(self, table: &Arc<Lookup>, column: usize) -> Self {
        Self::Lookup(Arc::clone(table), column, Arc::new(self))
    }

    /// Returns the largest magnitude of the table in which the function's value is looked up, if it
    /// is one.
    pub(crate) fn table_magnitude(&self) -> Option<f32> {
        if let Self::Lookup(table, ..) = self { Some(table.magnitude) } else { None }
    }

    /// Returns whether the function looks values up in a table.
    pub(crate) fn looks_up(&self) -> bool {
        self.any_subfunction(|part| matches!(part, Self::Lookup(..)))
    }

    /// Returns whether the function looks up rows that its argument names only if that is an exact
    /// integer.
    pub(crate) fn looks_up_exactly(&self) -> bool {
        self.any_subfunction(|part| matches!(part, Self::Lookup(_, _, row) if !row.is_integer()))
    }

    /// Returns whether the function's values are integers, whatever its argument is.
    pub(crate) fn is_integer(&self) -> bool {
        let is_integer_limit = |limit: f64| limit.is_infinite() || limit.fract().abs() <= 0.0;
        match self {
            Self::Constant(value) => value.fract().abs() <= 0.0,
            Self::Unary(operation, _) if operation.is_step() => true,
            Self::Unary(Unary::Abs | Unary::Neg | Unary::Not | Unary::Relu, function) => {
                function.is_integer()
            }
            Self::Unary(Unary::Clip { low, high }, function) => {
                is_integer_limit(*low) && is_integer_limit(*high) && function.is_integer()
            }
            Self::Variable | Self::Unary(..) => false,
            Self::Binary(operation, a, b) => {
                let keeps_integers = operation.is_remainder()
                    || matches!(operation, Binary::Add | Binary::Multiply | Binary::Subtract);
                operation.is_comparison() || (keeps_integers && a.is_integer() && b.is_integer())
            }
            Self::Select(_, a, b) => a.is_integer() && b.is_integer(),
            Self::Lookup(table, ..) => table.has_integer_values,
        }
    }

    /// Returns whether neighbouring arguments can have entirely different values, as the rows of a
    /// table have.
    pub(crate) fn is_discontinuous(&self) -> bool {
        self.any_subfunction(|part| match part {
            Self::Lookup(..) => true,
            Self::Unary(operation, _) => operation.is_step(),
            Self::Binary(operation, ..) => operation.is_comparison() || operation.is_remainder(),
            _ => false,
        })
    }

    /// Returns whether the function or one that it consists of has a property.
    fn any_subfunction(&self, property: fn(&Self) -> bool) -> bool {
        property(self)
            || match self {
                Self::Variable | Self::Constant(_) => false,
                Self::Unary(_, function) | Self::Lookup(_, _, function) => {
                    function.any_subfunction(property)
                }
                Self::Binary(_, a, b) => a.any_subfunction(property) || b.any_subfunction(property),
                Self::Select(condition, a, b) => {
                    [condition, a, b].iter().any(|part| part.any_subfunction(property))
                }
            }
    }

    /// Returns whether the function depends on nothing but the sign of its argument, or whether
    /// that is 0.
    pub fn is_function_of_sign(&self) -> bool {
        match self {
            Self::Variable => false,
            Self::Constant(_) => true,
            Self::Unary(Unary::Sign, function) if **function == Self::Variable => true,
            Self::Unary(_, function) | Self::Lookup(_, _, function) => {
                function.is_function_of_sign()
            }
            Self::Binary(operation, a, b) => {
                let compares_with_zero = **a == Self::Variable
                    && matches!(**b, Self::Constant(zero) if zero.abs() <= 0.0);
                (operation.is_comparison() && compares_with_zero)
                    || (a.is_function_of_sign() && b.is_function_of_sign())
            }
            Self::Select(condition, a, b) => {
                [condition, a, b].iter().all(|part| part.is_function_of_sign())
            }
        }
    }

    /// Returns whether the function's only values are 0 and 1.
    pub(crate) fn is_boolean(&self) -> bool {
        match self {
            // Its argument is 0 or 1.
            Self::Unary(Unary::Not, _) => true,
            Self::Binary(operation, a, b) => {
                operation.is_comparison()
                    || (*operation == Binary::Multiply && a.is_boolean() && b.is_boolean())
            }
            Self::Select(_, a, b) => a.is_boolean() && b.is_boolean(),
            Self::Variable | Self::Constant(_) | Self::Unary(..) | Self::Lookup(..) => false,
        }
    }

    /// Evaluates the function; the result is infinite or not a number where the function is
    /// undefined.
    pub fn apply(&self, variable: f64) -> f64 {
        match self {
            Self::Variable => variable,
            Self::Constant(value) => *value,
            Self::Unary(operation, function) => operation.apply(function.apply(variable)),
            Self::Binary(operation, a, b) => operation.apply(a.apply(variable), b.apply(variable)),
            Self::Select(condition, a, b) => {
                let condition = condition.apply(variable);
                let selected = if condition.abs() > 0.0 { a } else { b };
                if condition.is_nan() { condition } else { selected.apply(variable) }
            }
            Self::Lookup(table, column, row) => table.value(row.apply(variable), *column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_function_applies_operations_in_order() {
        // x * sigmoid(x) and log(1 + exp(x)) are Swish and Softplus.
        let swish =
            Function::Variable.then(Unary::Sigmoid).with(Binary::Multiply, Function::Variable);
        let softplus = Function::Variable
            .then(Unary::Exp)
            .with(Binary::Add, Function::Constant(1.0))
            .then(Unary::Log);
        assert_eq!((swish.operation_count(), softplus.operation_count()), (2, 3));
        for x in [-30.0, -1.5, 0.0, 0.25, 7.0] {
            assert!((swish.apply(x) - Unary::Swish { alpha: 1.0 }.apply(x)).abs() < 1e-12, "{x}");
            assert!((softplus.apply(x) - Unary::Softplus.apply(x)).abs() < 1e-12, "{x}");
        }
        assert!((Unary::Softplus.apply(2000.0) - 2000.0).abs() < f64::EPSILON);
        assert!(Function::Variable.then(Unary::Sqrt).apply(-1.0).is_nan());
        assert!(Function::Variable.then(Unary::Reciprocal).apply(0.0).is_infinite());
    }

    #[test]
    fn undefined_values_stay_undefined() {
        let root = || Function::Variable.then(Unary::Sqrt);
        let one = || Function::Constant(1.0);
        let limit = Unary::Clip { low: 0.5, high: 2.0 };
        for function in [
            root().then(Unary::Relu),
            root().then(limit),
            root().then(Unary::Celu { alpha: 1.0 }),
            root().with(Binary::Less, one()),
            root().with(Binary::Power, Function::Constant(0.0)),
            one().with(Binary::Power, root()),
            root().select(one(), one()),
        ] {
            assert!(
                function.apply(-1.0).is_nan() && function.apply(1.0).is_finite(),
                "{function:?}"
            );
        }
    }

    #[test]
    fn lookup_outside_its_rows_is_nan() {
        let table = Arc::new(Lookup::new(vec![1.0, 2.0, 3.0, -4.0, 5.0, 6.0], 2));
        let second = Function::Variable.look_up(&table, 1);
        let values: Vec<f64> =
            [0.0, 1.0, 2.0, -1.0, -3.0].iter().map(|&row| second.apply(row)).collect();
        assert_eq!(values, vec![2.0, -4.0, 6.0, 6.0, 2.0]);
        assert!([3.0, -4.0, f64::NAN, f64::INFINITY].iter().all(|&row| second.apply(row).is_nan()));
        assert_eq!((second.table_magnitude(), second.operation_count()), (Some(6.0), 1));
        assert!(
            Function::Variable.look_up(&Arc::new(Lookup::new(vec![], 0)), 0).apply(0.0).is_nan()
        );
    }

    #[test]
    fn comparisons_return_zero_or_one() {
        let compared = |operation| Function::Variable.with(operation, Function::Constant(1.5));
        let values = |function: &Function, arguments: &[f64]| {
            arguments.iter().map(|&x| function.apply(x)).collect::<Vec<f64>>()
        };
        for (operation, expected) in [
            (Binary::Equal, vec![0.0, 1.0, 0.0]),
            (Binary::Greater, vec![0.0, 0.0, 1.0]),
            (Binary::GreaterOrEqual, vec![0.0, 1.0, 1.0]),
            (Binary::Less, vec![1.0, 0.0, 0.0]),
            (Binary::LessOrEqual, vec![1.0, 1.0, 0.0]),
        ] {
            let function = compared(operation);
            assert_eq!(values(&function, &[1.0, 1.5, 2.0]), expected, "{operation:?}");
            let opposite: Vec<f64> = expected.iter().map(|value| 1.0 - value).collect();
            assert_eq!(
                values(&function.clone().then(Unary::Not), &[1.0, 1.5, 2.0]),
                opposite,
                "{operation:?}"
            );
            assert!(
                function.is_boolean()
                    && function.with(Binary::Multiply, compared(Binary::Less)).is_boolean()
            );
        }
        // The branch that is not taken need not have a value.
        let root = compared(Binary::Less)
            .select(Function::Constant(-1.0), Function::Variable.then(Unary::Sqrt));
        assert_eq!(values(&root, &[-4.0, 4.0]), vec![-1.0, 2.0]);
        assert!(!root.is_boolean() && !Function::Variable.is_boolean());
        let inverse = Function::Variable.then(Unary::Inverse { minimum: 0.5 });
        assert_eq!(
            values(&inverse, &[-4.0, -0.25, 0.0, 0.25, 4.0]),
            vec![-0.25, -2.0, 2.0, 2.0, 0.25]
        );
    }

    /// Expected values are those of Python's `%` and `math.fmod`.
    #[test]
    fn remainders_have_the_sign_of_divisor_or_dividend() {
        for (a, b, modulo, remainder) in [
            (7.0, 3.0, 1.0, 1.0),
            (-7.0, 3.0, 2.0, -1.0),
            (7.0, -3.0, -2.0, 1.0),
            (-7.0, -3.0, -1.0, -1.0),
            (-6.0, 3.0, 0.0, 0.0),
            (5.5, 2.0, 1.5, 1.5),
        ] {
            let values = [Binary::Modulo, Binary::Remainder].map(|operation| operation.apply(a, b));
            assert!(
                (values[0] - modulo).abs() < 1e-12 && (values[1] - remainder).abs() < 1e-12,
                "{a} {b}: {values:?}"
            );
        }
        let modulo_zero = Function::Variable.with(Binary::Modulo, Function::Constant(0.0));
        assert!(modulo_zero.apply(1.0).is_nan());
    }

    #[test]
    fn functions_that_need_exact_arguments_are_recognised() {
        let zero = || Function::Constant(0.0);
        let is_positive = || Function::Variable.with(Binary::Greater, zero());
        let table = Arc::new(Lookup::new(vec![1.0, 2.0], 1));
        for (function, is_function_of_sign, is_discontinuous, looks_up) in [
            (Function::Variable, false, false, false),
            (zero(), true, false, false),
            (Function::Variable.then(Unary::Sigmoid), false, false, false),
            (Function::Variable.then(Unary::Truncate), false, true, false),
            (Function::Variable.then(Unary::RoundEven), false, true, false),
            (Function::Variable.then(Unary::Floor), false, true, false),
            (Function::Variable.then(Unary::Sign).then(Unary::Abs), true, true, false),
            (Function::Variable.then(Unary::Exp).then(Unary::Sign), false, true, false),
            (Function::Variable.with(Binary::Modulo, Function::Constant(3.0)), false, true, false),
            (is_positive(), true, true, false),
            (
                is_positive().then(Unary::Not).with(Binary::Multiply, Function::Constant(3.0)),
                true,
                true,
                false,
            ),
            (Function::Variable.with(Binary::Greater, Function::Constant(1.0)), false, true, false),
            (zero().with(Binary::Less, Function::Variable), false, true, false),
            (is_positive().select(Function::Constant(2.0), zero()), true, true, false),
            (is_positive().select(Function::Variable, zero()), false, true, false),
            (is_positive().look_up(&table, 0), true, true, true),
            (Function::Variable.look_up(&table, 0).then(Unary::Exp), false, true, true),
        ] {
            let actual =
                (function.is_function_of_sign(), function.is_discontinuous(), function.looks_up());
            assert_eq!(actual, (is_function_of_sign, is_discontinuous, looks_up), "{function:?}");
        }
    }

    #[test]
    fn functions_with_integer_values_are_recognised() {
        let integer = || Function::Variable.then(Unary::Truncate);
        let limited = |low| integer().then(Unary::Clip { low, high: f64::INFINITY });
        let table = |value| Arc::new(Lookup::new(vec![1.0, value], 1));
        for (function, is_integer, looks_up_exactly) in [
            (Function::Variable, false, false),
            (integer(), true, false),
            (Function::Variable.then(Unary::RoundEven), true, false),
            (integer().with(Binary::Multiply, Function::Constant(3.0)), true, false),
            (integer().with(Binary::Multiply, Function::Constant(0.5)), false, false),
            (integer().then(Unary::Sigmoid), false, false),
            (integer().with(Binary::Remainder, Function::Constant(3.0)), true, false),
            (Function::Variable.with(Binary::Modulo, Function::Constant(3.0)), false, false),
            (Function::Variable.then(Unary::Ceil), true, false),
            (Function::Variable.then(Unary::Sign), true, false),
            (limited(1.0), true, false),
            (limited(0.5), false, false),
            (
                Function::Variable.with(Binary::Less, Function::Constant(0.5)).then(Unary::Not),
                true,
                false,
            ),
            (Function::Variable.select(Function::Constant(4.0), integer()), true, false),
            (Function::Variable.select(Function::Constant(4.0), Function::Variable), false, false),
            (Function::Variable.look_up(&table(2.0), 0), true, true),
            (Function::Variable.look_up(&table(2.5), 0), false, true),
            (integer().look_up(&table(2.0), 0), true, false),
        ] {
            assert_eq!(
                (function.is_integer(), function.looks_up_exactly()),
                (is_integer, looks_up_exactly),
                "{function:?}"
            );
        }
    }
}
