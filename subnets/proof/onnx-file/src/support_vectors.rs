//! Attributes of support vector machines.

use taonet_proof_core::network::MAX_MULTIPLY_ADDS;

use super::attributes::{check_transform, finite_floats};
use super::proto::NodeProto;
use super::{MAX_PARAMETERS, OnnxError, unsupported};

/// Attributes of a support vector machine.
pub struct SupportVectorMachine {
    /// Function of the row and each support vector.
    pub kernel: Kernel,
    /// Number of support vectors.
    pub count: usize,
    /// Support vectors, one after the other.
    pub vectors: Vec<f32>,
    /// One row of coefficients for each sum.
    pub coefficients: Vec<f32>,
    /// Offset of each sum.
    pub offsets: Vec<f32>,
    /// Factor and offset of the sum in a logistic function, if the scores are probabilities.
    pub probability: Option<[f32; 2]>,
}

/// Function of a row and a support vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// The scalar product.
    Linear,
    /// `(gamma * product + offset) ^ degree`.
    Polynomial {
        /// Factor of the product.
        gamma: f32,
        /// Offset of the product.
        offset: f32,
        /// Exponent.
        degree: f32,
    },
    /// `exp(-gamma * distance²)`.
    Radial {
        /// Factor of the squared distance.
        gamma: f32,
    },
    /// `tanh(gamma * product + offset)`.
    Sigmoid {
        /// Factor of the product.
        gamma: f32,
        /// Offset of the product.
        offset: f32,
    },
}

impl SupportVectorMachine {
    /// Parses a classifier or regressor of rows with this number of features.
    pub fn parse(node: &NodeProto, features: usize) -> Result<Self, OnnxError> {
        check_transform(node)?;
        let attribute_floats =
            |name: &str| finite_floats(node, name, node.floats(name).unwrap_or_default());
        let (vectors, coefficients, offsets) = (
            attribute_floats("support_vectors")?,
            attribute_floats("coefficients")?,
            attribute_floats("rho")?,
        );
        let shape_error = || {
            unsupported(
                node,
                "support vectors, coefficients and rho do not fit each other".to_owned(),
            )
        };
        let kernel = Kernel::parse(node)?;
        if node.op_type == "SVMRegressor" {
            let count = usize::try_from(node.int("n_supports", 0)).unwrap_or_default();
            if node.int("one_class", 0) != 0 {
                return Err(unsupported(node, "one_class is unsupported".to_owned()));
            }
            // Without support vectors, the coefficients are those of the features.
            let width = if count == 0 { features } else { count };
            if count.checked_mul(features) != Some(vectors.len())
                || coefficients.len() != width
                || offsets.len() != 1
            {
                return Err(shape_error());
            }
            return Ok(Self { kernel, count, vectors, coefficients, offsets, probability: None });
        }
        let vectors_per_class = node.ints("vectors_per_class").unwrap_or_default();
        let vectors_per_class = vectors_per_class
            .iter()
            .map(|&count| usize::try_from(count).ok())
            .collect::<Option<Vec<usize>>>();
        let vectors_per_class =
            vectors_per_class.filter(|counts| counts.len() > 1).ok_or_else(|| {
                unsupported(
                    node,
                    "a classifier without support vectors of two classes is unsupported".to_owned(),
                )
            })?;
        let count = vectors_per_class
            .iter()
            .try_fold(0_usize, |sum, &count| sum.checked_add(count))
            .ok_or_else(shape_error)?;
        let (classes, pairs) =
            (vectors_per_class.len(), vectors_per_class.len() * (vectors_per_class.len() - 1) / 2);
        let fits = count > 0
            && count.checked_mul(features) == Some(vectors.len())
            && count.checked_mul(classes - 1) == Some(coefficients.len())
            && offsets.len() == pairs;
        if !fits {
            return Err(shape_error());
        }
        let (a, b) = (attribute_floats("prob_a")?, attribute_floats("prob_b")?);
        let probability = match (&a[..], &b[..]) {
            ([], []) => None,
            (&[a], &[b]) if classes == 2 => Some([a, b]),
            _ => {
                let reason = "probabilities of more than two classes are found by iteration, which is unsupported; hint: \
                              train the model without probabilities";
                return Err(unsupported(node, reason.to_owned()));
            }
        };
        // A few classes have many pairs.
        let parameters = (pairs as u64).saturating_mul(count.max(features) as u64);
        let multiply_adds =
            (pairs as u64).saturating_mul(count as u64).saturating_mul(features as u64);
        if parameters > MAX_PARAMETERS || multiply_adds > MAX_MULTIPLY_ADDS {
            return Err(OnnxError::Parameters(parameters));
        }
        let coefficients = pair_coefficients(&vectors_per_class, &coefficients, count);
        Ok(Self { kernel, count, vectors, coefficients, offsets, probability })
    }
}

/// Returns the coefficients of all support vectors for each pair of classes. In the file, a class
/// has coefficients for the other classes, one row each.
fn pair_coefficients(vectors_per_class: &[usize], coefficients: &[f32], count: usize) -> Vec<f32> {
    let starts: Vec<usize> = vectors_per_class
        .iter()
        .scan(0, |next_start, &count| Some(std::mem::replace(next_start, *next_start + count)))
        .collect();
    let classes = starts.len();
    let mut rows = Vec::new();
    for first_class in 0..classes {
        for second_class in first_class + 1..classes {
            let mut row = vec![0.0; count];
            // Each class has one row per other class, in order. Without a row for the class itself,
            // the rows of the classes after it are one earlier.
            for (class, row_index) in [(first_class, second_class - 1), (second_class, first_class)]
            {
                let (Some(&start), Some(&length)) =
                    (starts.get(class), vectors_per_class.get(class))
                else {
                    continue;
                };
                let source =
                    coefficients.get(row_index * count + start..row_index * count + start + length);
                if let (Some(target), Some(source)) = (row.get_mut(start..start + length), source) {
                    target.copy_from_slice(source);
                }
            }
            rows.extend(row);
        }
    }
    rows
}

impl Kernel {
    fn parse(node: &NodeProto) -> Result<Self, OnnxError> {
        let parameters =
            finite_floats(node, "kernel_params", node.floats("kernel_params").unwrap_or_default())?;
        let (gamma, offset, degree) = match parameters[..] {
            [] => (0.0, 0.0, 3.0),
            [gamma, offset, degree] => (gamma, offset, degree),
            _ => {
                return Err(unsupported(
                    node,
                    "kernel_params does not have three numbers".to_owned(),
                ));
            }
        };
        match node.text("kernel_type").unwrap_or(b"LINEAR") {
            b"LINEAR" => Ok(Self::Linear),
            b"POLY" => Ok(Self::Polynomial { gamma, offset, degree }),
            b"RBF" => Ok(Self::Radial { gamma }),
            b"SIGMOID" => Ok(Self::Sigmoid { gamma, offset }),
            _ => Err(unsupported(
                node,
                "kernel_type is neither LINEAR, POLY, RBF nor SIGMOID".to_owned(),
            )),
        }
    }
}
