//! Sums of products over labelled axes, by the formula of the standard.

use super::elements::{all_coordinates, tensor_from_fn};
use super::{Operands, Tensor};
use crate::OnnxError;
use crate::einsum::Equation;

impl Operands<'_> {
    /// Adds the products of all operands over the labels that the output does not have.
    pub(super) fn evaluate_einsum(&self) -> Result<Tensor, OnnxError> {
        let operands = (0..self.node.input.len())
            .map(|position| self.operand(position))
            .collect::<Result<Vec<_>, _>>()?;
        let dims: Vec<&[usize]> = operands.iter().map(|operand| &operand.dims[..]).collect();
        let equation = Equation::parse(self.node, &dims)?;
        let summed: Vec<char> = equation.summed_labels();
        let extents: Vec<usize> = summed.iter().map(|label| equation.extent(*label)).collect();
        let output: Vec<usize> =
            equation.output.iter().map(|label| equation.extent(*label)).collect();
        Ok(tensor_from_fn(output, |coordinates| {
            let terms = all_coordinates(&extents).map(|summed_coordinates| {
                let coordinate = |label: &char| {
                    let coordinate_of = |labels: &[char], coordinates: &[usize]| {
                        labels
                            .iter()
                            .position(|other| other == label)
                            .map(|index| coordinates[index])
                    };
                    coordinate_of(&equation.output, coordinates)
                        .or_else(|| coordinate_of(&summed, &summed_coordinates))
                        .unwrap_or_default()
                };
                let factor = |(operand, labels): (&std::borrow::Cow<'_, Tensor>, &Vec<char>)| {
                    operand.at(&labels.iter().map(coordinate).collect::<Vec<usize>>())
                };
                operands.iter().zip(&equation.inputs).map(factor).product::<f64>()
            });
            terms.sum()
        }))
    }
}
