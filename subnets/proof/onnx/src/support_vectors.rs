//! Conversion of support vector machines: a kernel of the row with each support vector, and
//! weighted sums of these.

use taonet_proof_core::network::MAX_MULTIPLY_ADDS;

use super::expansion::Expansion;
use super::linear::{check_transform, finite, first, scores_of};
use super::node::output;
use super::proto::NodeProto;
use super::{MAX_PARAMETERS, OnnxError, Reader, unsupported};

/// Attributes of a support vector machine.
pub(super) struct Machine {
    pub(super) kernel: Kernel,
    /// Number of support vectors.
    pub(super) count: usize,
    /// Support vectors, one after the other.
    pub(super) vectors: Vec<f32>,
    /// One row of coefficients for each sum.
    pub(super) coefficients: Vec<f32>,
    /// Offset of each sum.
    pub(super) offsets: Vec<f32>,
    /// Factor and offset of the sum in a logistic function, if the scores are probabilities.
    pub(super) probability: Option<[f32; 2]>,
}

/// Function of a row and a support vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kernel {
    Linear,
    Polynomial { gamma: f32, offset: f32, degree: f32 },
    Radial { gamma: f32 },
    Sigmoid { gamma: f32, offset: f32 },
}

impl Machine {
    /// Parses a classifier or regressor of rows with this number of features.
    pub(super) fn parse(node: &NodeProto, features: usize) -> Result<Self, OnnxError> {
        check_transform(node)?;
        let of = |name: &str| finite(node, name, node.floats(name).unwrap_or_default());
        let (vectors, coefficients, offsets) =
            (of("support_vectors")?, of("coefficients")?, of("rho")?);
        let misfit = || {
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
                return Err(misfit());
            }
            return Ok(Self { kernel, count, vectors, coefficients, offsets, probability: None });
        }
        let of_classes = node.ints("vectors_per_class").unwrap_or_default();
        let of_classes = of_classes
            .iter()
            .map(|&count| usize::try_from(count).ok())
            .collect::<Option<Vec<usize>>>();
        let of_classes = of_classes.filter(|counts| counts.len() > 1).ok_or_else(|| {
            unsupported(
                node,
                "a classifier without support vectors of two classes is unsupported".to_owned(),
            )
        })?;
        let count = of_classes
            .iter()
            .try_fold(0_usize, |sum, &count| sum.checked_add(count))
            .ok_or_else(misfit)?;
        let (classes, pairs) = (of_classes.len(), of_classes.len() * (of_classes.len() - 1) / 2);
        let fits = count > 0
            && count.checked_mul(features) == Some(vectors.len())
            && count.checked_mul(classes - 1) == Some(coefficients.len())
            && offsets.len() == pairs;
        if !fits {
            return Err(misfit());
        }
        let (a, b) = (of("prob_a")?, of("prob_b")?);
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
        let work = (pairs as u64).saturating_mul(count as u64).saturating_mul(features as u64);
        if parameters > MAX_PARAMETERS || work > MAX_MULTIPLY_ADDS {
            return Err(OnnxError::Parameters(parameters));
        }
        let coefficients = of_pairs(&of_classes, &coefficients, count);
        Ok(Self { kernel, count, vectors, coefficients, offsets, probability })
    }
}

impl Machine {
    /// Returns a machine with two sums: the opposite of the only one, which is multiplied and has
    /// another offset, and itself.
    fn with_opposite(self, factor: f32, offset: f32) -> Self {
        let of = |sign: f32| self.coefficients.iter().map(move |value| sign * factor * value);
        let coefficients = of(-1.0).chain(of(1.0)).collect();
        Self { coefficients, offsets: vec![-offset, offset], ..self }
    }
}

/// Returns the coefficients of all support vectors for each pair of classes. In the file, a class
/// has coefficients for the other classes, one row each.
fn of_pairs(of_classes: &[usize], coefficients: &[f32], count: usize) -> Vec<f32> {
    let starts: Vec<usize> = of_classes
        .iter()
        .scan(0, |next, &count| Some(std::mem::replace(next, *next + count)))
        .collect();
    let classes = starts.len();
    let mut rows = Vec::new();
    for one in 0..classes {
        for other in one + 1..classes {
            let mut row = vec![0.0; count];
            // The classes before another one are its rows, and those after it are one row earlier.
            for (class, from) in [(one, other - 1), (other, one)] {
                let (Some(&start), Some(&length)) = (starts.get(class), of_classes.get(class))
                else {
                    continue;
                };
                let source = coefficients.get(from * count + start..from * count + start + length);
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
            finite(node, "kernel_params", node.floats("kernel_params").unwrap_or_default())?;
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

impl Reader {
    pub(super) fn support_vector_regressor(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let machine = Machine::parse(node, features)?;
        Self::check_elements(node, &[1, machine.count.max(1), features])?;
        let mut expansion = Expansion::new(self, node);
        let sums = expansion.machine(first(node)?, machine, features)?;
        expansion.node_as(output(node)?, "Identity", &[&sums], Vec::new());
        expansion.finish()
    }

    /// Converts a classifier. Its scores are the sums of all pairs of classes; those of two classes
    /// are the opposite of the sum and the sum, or their logistic functions.
    pub(super) fn support_vector_classifier(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let machine = Machine::parse(node, features)?;
        Self::check_elements(node, &[1, machine.count.max(1), features])?;
        let (name, probability) = (scores_of(node)?, machine.probability);
        let (machine, operator) = match (&machine.offsets[..], probability) {
            (&[offset], Some([factor, added])) => {
                (machine.with_opposite(factor, factor * offset + added), "Sigmoid")
            }
            (&[offset], None) => (machine.with_opposite(1.0, offset), "Identity"),
            _ => (machine, "Identity"),
        };
        let mut expansion = Expansion::new(self, node);
        let sums = expansion.machine(first(node)?, machine, features)?;
        expansion.node_as(name, operator, &[&sums], Vec::new());
        expansion.finish()
    }
}

impl Expansion<'_> {
    /// Appends the weighted sums of kernels.
    fn machine(
        &mut self,
        input: &str,
        machine: Machine,
        features: usize,
    ) -> Result<String, OnnxError> {
        let Machine { kernel, count, vectors, coefficients, offsets, .. } = machine;
        let row = self.reshape(input, &[1, features])?;
        let sums = offsets.len();
        if count == 0 {
            return self.weighted(&row, sums, coefficients, offsets);
        }
        if kernel == Kernel::Linear {
            // One weighted sum of the features has the same values.
            let weights = coefficients.chunks(count).flat_map(|row| {
                (0..features).map(|feature| {
                    let column = vectors.iter().skip(feature).step_by(features);
                    row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                        as f32
                })
            });
            let weights = weights.collect();
            return self.weighted(&row, sums, weights, offsets);
        }
        let kernels = self.kernels(&row, kernel, count, vectors)?;
        self.weighted(&kernels, sums, coefficients, offsets)
    }

    /// Appends the kernels of a row with all support vectors.
    fn kernels(
        &mut self,
        row: &str,
        kernel: Kernel,
        count: usize,
        vectors: Vec<f32>,
    ) -> Result<String, OnnxError> {
        let features = vectors.len() / count;
        if let Kernel::Radial { gamma } = kernel {
            let target =
                self.integers(&[1, count.cast_signed() as i64, features.cast_signed() as i64])?;
            let vectors = self.floats(&[1, count, features], vectors)?;
            let gamma = self.number(-gamma)?;
            let rows = self.node("Expand", &[row, &target]);
            let differences = self.node("Sub", &[&rows, &vectors]);
            let squares = self.node("Mul", &[&differences, &differences]);
            let distances = self.reduce("ReduceSum", &squares)?;
            let distances = self.reshape(&distances, &[1, count])?;
            let arguments = self.node("Mul", &[&distances, &gamma]);
            return Ok(self.node("Exp", &[&arguments]));
        }
        let products = self.weighted(row, count, vectors, vec![0.0; count])?;
        let (Kernel::Polynomial { gamma, offset, .. } | Kernel::Sigmoid { gamma, offset }) = kernel
        else {
            return Ok(products);
        };
        let [gamma, offset] = [self.number(gamma)?, self.number(offset)?];
        let scaled = self.node("Mul", &[&products, &gamma]);
        let argument = self.node("Add", &[&scaled, &offset]);
        if let Kernel::Polynomial { degree, .. } = kernel {
            let degree = self.number(degree)?;
            return Ok(self.node("Pow", &[&argument, &degree]));
        }
        Ok(self.node("Tanh", &[&argument]))
    }
}
