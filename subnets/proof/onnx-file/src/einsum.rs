//! Equations of Einsum.

use std::collections::BTreeMap;

use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// The labels of the axes of all operands and of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equation {
    /// Labels of the axes of each operand.
    pub inputs: Vec<Vec<char>>,
    /// Labels of the axes of the output.
    pub output: Vec<char>,
    /// Extent of each label's axes.
    extents: BTreeMap<char, usize>,
}

impl Equation {
    /// Parses the equation of a node whose operands have these dimensions.
    pub fn parse(node: &NodeProto, dims: &[&[usize]]) -> Result<Self, OnnxError> {
        let text =
            String::from_utf8_lossy(node.text("equation").unwrap_or_default()).replace(' ', "");
        let equation_error =
            |reason: &str| unsupported(node, format!("equation '{text}': {reason}"));
        if text.contains('.') {
            return Err(equation_error("an ellipsis is unsupported; hint: name all axes"));
        }
        let (left, right) =
            text.split_once("->").map_or((&text[..], None), |(left, right)| (left, Some(right)));
        let inputs: Vec<Vec<char>> =
            left.split(',').map(|labels| labels.chars().collect()).collect();
        if inputs.len() != dims.len() || !inputs.iter().flatten().all(char::is_ascii_alphabetic) {
            return Err(equation_error("labels must be letters, and those of each operand"));
        }
        let (mut extents, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for (labels, dims) in inputs.iter().zip(dims) {
            if labels.len() != dims.len() {
                return Err(equation_error("an operand has another number of dimensions"));
            }
            for (index, (&label, &extent)) in labels.iter().zip(*dims).enumerate() {
                if labels.iter().take(index).any(|&other| other == label) {
                    return Err(equation_error("a label that an operand has twice is unsupported"));
                }
                if *extents.entry(label).or_insert(extent) != extent {
                    return Err(equation_error("the axes of a label differ in their extents"));
                }
                *counts.entry(label).or_insert(0_usize) += 1;
            }
        }
        // If the equation names no output, the output has the labels that occur once, in
        // alphabetical order.
        let labels_used_once =
            || counts.iter().filter(|(_, count)| **count == 1).map(|(&label, _)| label).collect();
        let output: Vec<char> =
            right.map_or_else(labels_used_once, |labels| labels.chars().collect());
        let is_unknown = |(index, label): (usize, &char)| {
            !extents.contains_key(label) || output.iter().take(index).any(|other| other == label)
        };
        if output.iter().enumerate().any(is_unknown) {
            return Err(equation_error("the output has a label twice, or one that no operand has"));
        }
        Ok(Self { inputs, output, extents })
    }

    /// Returns the extent of a label's axes; 1 for an unknown one.
    pub fn extent(&self, label: char) -> usize {
        self.extents.get(&label).copied().unwrap_or(1)
    }

    /// Returns the labels that the output does not have, in alphabetical order.
    pub fn summed_labels(&self) -> Vec<char> {
        self.extents.keys().copied().filter(|label| !self.output.contains(label)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::AttributeProto;

    #[test]
    fn einsum_equations_are_parsed() {
        let parse = |text: &str, dims: &[Vec<usize>]| {
            let dims: Vec<&[usize]> = dims.iter().map(Vec::as_slice).collect();
            let equation = AttributeProto {
                name: "equation".to_owned(),
                s: text.into(),
                ..AttributeProto::default()
            };
            Equation::parse(&NodeProto { attribute: vec![equation], ..NodeProto::default() }, &dims)
        };
        let product = parse("bij, jk -> bki", &[vec![2, 3, 4], vec![4, 5]]).unwrap();
        assert_eq!(
            (product.output.clone(), product.summed_labels()),
            (vec!['b', 'k', 'i'], vec!['j'])
        );
        assert_eq!(
            product.output.iter().map(|&label| product.extent(label)).collect::<Vec<_>>(),
            [2, 5, 3]
        );
        assert_eq!(parse("ji,jk", &[vec![2, 3], vec![2, 4]]).unwrap().output, ['i', 'k']);
        for (text, dims) in [
            ("...i->i", vec![vec![2, 3]]),
            ("ii->i", vec![vec![2, 2]]),
            ("ij->ik", vec![vec![2, 3]]),
            ("ij->ii", vec![vec![2, 3]]),
            ("ij,jk->ik", vec![vec![2, 3], vec![4, 5]]),
            ("ij,jk->ik", vec![vec![2, 3]]),
            ("i->i", vec![vec![2, 3]]),
        ] {
            assert!(parse(text, &dims).is_err(), "{text}");
        }
    }
}
