//! Conversion of support vector machines: a kernel of the row with each support vector, and
//! weighted sums of these.

use taonet_proof_onnx_file::support_vectors::{Kernel, SupportVectorMachine};

use super::expansion::Expansion;
use super::linear::{first_input, scores_of};
use super::node::output_name;
use super::proto::NodeProto;
use super::{OnnxError, Reader};

/// Returns a machine with two sums: the only sum of `machine`, times `factor` and with this offset,
/// comes second, and its negation first.
fn with_negated_copy(
    machine: SupportVectorMachine,
    factor: f32,
    offset: f32,
) -> SupportVectorMachine {
    let signed_coefficients =
        |sign: f32| machine.coefficients.iter().map(move |value| sign * factor * value);
    let coefficients = signed_coefficients(-1.0).chain(signed_coefficients(1.0)).collect();
    SupportVectorMachine { coefficients, offsets: vec![-offset, offset], ..machine }
}

impl Reader {
    pub(super) fn convert_support_vector_regressor(
        &mut self,
        node: &NodeProto,
    ) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let machine = SupportVectorMachine::parse(node, features)?;
        Self::check_elements(node, &[1, machine.count.max(1), features])?;
        let mut expansion = Expansion::new(self, node);
        let sums = expansion.append_machine(first_input(node)?, machine, features)?;
        expansion.node_named(output_name(node)?, "Identity", &[&sums], Vec::new());
        expansion.finish()
    }

    /// Converts a classifier. Its scores are the sums of all pairs of classes; those of two classes
    /// are the opposite of the sum and the sum, or their logistic functions.
    pub(super) fn convert_support_vector_classifier(
        &mut self,
        node: &NodeProto,
    ) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let machine = SupportVectorMachine::parse(node, features)?;
        Self::check_elements(node, &[1, machine.count.max(1), features])?;
        let (name, probability) = (scores_of(node)?, machine.probability);
        let (machine, operator) = match (&machine.offsets[..], probability) {
            (&[offset], Some([factor, added])) => {
                (with_negated_copy(machine, factor, factor * offset + added), "Sigmoid")
            }
            (&[offset], None) => (with_negated_copy(machine, 1.0, offset), "Identity"),
            _ => (machine, "Identity"),
        };
        let mut expansion = Expansion::new(self, node);
        let sums = expansion.append_machine(first_input(node)?, machine, features)?;
        expansion.node_named(name, operator, &[&sums], Vec::new());
        expansion.finish()
    }
}

impl Expansion<'_> {
    /// Appends the weighted sums of kernels.
    fn append_machine(
        &mut self,
        input: &str,
        machine: SupportVectorMachine,
        features: usize,
    ) -> Result<String, OnnxError> {
        let SupportVectorMachine { kernel, count, vectors, coefficients, offsets, .. } = machine;
        let row = self.reshape(input, &[1, features])?;
        let sums = offsets.len();
        if count == 0 {
            return self.append_weighted_sums(&row, sums, coefficients, offsets);
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
            return self.append_weighted_sums(&row, sums, weights, offsets);
        }
        let kernels = self.append_kernels(&row, kernel, count, vectors)?;
        self.append_weighted_sums(&kernels, sums, coefficients, offsets)
    }

    /// Appends the kernels of a row with all support vectors.
    fn append_kernels(
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
        let products = self.append_weighted_sums(row, count, vectors, vec![0.0; count])?;
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
