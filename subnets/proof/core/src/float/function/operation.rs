//! Operations on numbers, of which a function consists.

use std::cmp::Ordering;

/// Operation on one number, as the ONNX standard defines it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names and parameters are those of the ONNX standard")]
pub enum Unary {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Celu {
        alpha: f64,
    },
    Clip {
        low: f64,
        high: f64,
    },
    Cos,
    Cosh,
    Elu {
        alpha: f64,
    },
    Erf,
    Exp,
    Floor,
    Gelu,
    /// Gelu with `approximate="tanh"`.
    GeluTanh,
    HardSigmoid {
        alpha: f64,
        beta: f64,
    },
    HardSwish,
    /// The reciprocal, where the divisor is at least this far from 0.
    Inverse {
        minimum: f64,
    },
    LeakyRelu {
        alpha: f64,
    },
    Log,
    Mish,
    Neg,
    /// 0 for 1, and 1 for 0.
    Not,
    Reciprocal,
    Relu,
    /// Rounds to the nearest integer, halves to the even one.
    RoundEven,
    Selu {
        alpha: f64,
        gamma: f64,
    },
    Sigmoid,
    /// -1, 0 or 1.
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Swish {
        alpha: f64,
    },
    Tan,
    Tanh,
    /// Rounds towards 0.
    Truncate,
}

/// Operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The sum.
    Add,
    /// The difference.
    Subtract,
    /// The product.
    Multiply,
    /// The quotient.
    Divide,
    /// The remainder of a division that rounds down: it has the sign of the divisor.
    Modulo,
    /// The first number to the power of the second.
    Power,
    /// The remainder of a division that rounds towards 0: it has the sign of the dividend.
    Remainder,
    /// 1 if the numbers are equal, else 0.
    Equal,
    /// 1 if the first number is larger, else 0.
    Greater,
    /// 1 if the first number is larger or equal, else 0.
    GreaterOrEqual,
    /// 1 if the first number is smaller, else 0.
    Less,
    /// 1 if the first number is smaller or equal, else 0.
    LessOrEqual,
}

// The functions of `libm` have the same values on every platform, unlike those of the standard
// library: wherever a model is compiled, it has the same tables.
impl Unary {
    /// Returns whether the operation is a step function: its values are integers, between which it
    /// jumps.
    pub(super) fn is_step(self) -> bool {
        matches!(self, Self::Ceil | Self::Floor | Self::RoundEven | Self::Sign | Self::Truncate)
    }

    pub(super) fn apply(self, x: f64) -> f64 {
        match self {
            // With NaN, maxima and minima would return their other operand.
            _ if x.is_nan() => x,
            Self::Abs => x.abs(),
            Self::Acos => libm::acos(x),
            Self::Acosh => libm::acosh(x),
            Self::Asin => libm::asin(x),
            Self::Asinh => libm::asinh(x),
            Self::Atan => libm::atan(x),
            Self::Atanh => libm::atanh(x),
            Self::Ceil => x.ceil(),
            Self::Celu { alpha } => x.max(0.0) + (alpha * libm::expm1(x / alpha)).min(0.0),
            Self::Clip { low, high } => x.max(low).min(high),
            Self::Cos => libm::cos(x),
            Self::Cosh => libm::cosh(x),
            Self::Elu { alpha } => elu(x, alpha),
            Self::Erf => libm::erf(x),
            Self::Exp => libm::exp(x),
            Self::Floor => x.floor(),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + libm::tanh(inner))
            }
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Inverse { minimum } => x.abs().max(minimum).recip().copysign(x),
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Self::Log => libm::log(x),
            Self::Mish => x * libm::tanh(softplus(x)),
            Self::Neg => -x,
            Self::Not => 1.0 - x,
            Self::Reciprocal => x.recip(),
            Self::Relu => x.max(0.0),
            Self::RoundEven => x.round_ties_even(),
            Self::Selu { alpha, gamma } => gamma * elu(x, alpha),
            Self::Sigmoid => sigmoid(x),
            Self::Sign => f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
            Self::Sin => libm::sin(x),
            Self::Sinh => libm::sinh(x),
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Sqrt => x.sqrt(),
            Self::Swish { alpha } => x * sigmoid(alpha * x),
            Self::Tan => libm::tan(x),
            Self::Tanh => libm::tanh(x),
            Self::Truncate => x.trunc(),
        }
    }
}

impl Binary {
    pub(super) fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            // With NaN, a comparison would be false.
            _ if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Modulo => {
                let remainder = libm::fmod(a, b);
                if remainder.abs() > 0.0 && (remainder < 0.0) != (b < 0.0) {
                    remainder + b
                } else {
                    remainder
                }
            }
            Self::Power => libm::pow(a, b),
            Self::Remainder => libm::fmod(a, b),
            Self::Equal => f64::from(a.partial_cmp(&b) == Some(Ordering::Equal)),
            Self::Greater => f64::from(a > b),
            Self::GreaterOrEqual => f64::from(a >= b),
            Self::Less => f64::from(a < b),
            Self::LessOrEqual => f64::from(a <= b),
        }
    }

    /// Returns whether the result is 0 or 1.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual
        )
    }

    /// Returns whether the operation is the remainder of a division.
    pub(super) fn is_remainder(self) -> bool {
        matches!(self, Self::Modulo | Self::Remainder)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Returns `log(1 + exp(x))` without an overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * libm::expm1(x) } else { x }
}
