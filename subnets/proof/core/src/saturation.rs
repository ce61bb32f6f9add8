//! Values beyond the range of the sample from which the scales of a network follow.
//!
//! An activation has a limited range: a larger value saturates, and so does the value of a table.
//! Saturation is part of the network, like rounding, so every backend proves it, and no proof is
//! wrong. But the outputs can be far from those of the model. [`saturations`] names the tensors of
//! an execution in which values saturate.
//!
//! [`sample_saturation`] counts the rows of the sample itself in which values saturate: only one
//! half of it determines the scales.
//!
//! Clamps that are the operation itself are not counted: the negative values of a ReLU, and the
//! conditions of comparisons. Neither are values that exceed the range by a unit, as rounding does,
//! nor those that change nothing: all of their readers are tables with one value for the quarter of
//! the arguments next to the limit, such as the powers of a softmax that are 0, or a sign.
//!
//! Cells and slots are bounded when a network is lowered; this module indexes by them.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taonet_primitives::counted;

use crate::circuit::{Cell, Circuit, Execution, StageKind, Table};
use crate::{Clamp, ExecutionError, Range, Rescale};

/// Name of the file with a [`LayerDescription`] of each layer, in a circuit's directory.
pub const FILE: &str = "layers.json";
/// Maximum size of this file, in bytes.
pub const MAX_BYTES: u64 = 16 << 20;
/// Maximum number of characters of a node's name.
const MAX_NAME: usize = 100;
/// Maximum number of intervals of a table whose values saturate. Further ones are joined with the
/// last one.
const MAX_INTERVALS: usize = 64;
/// Number of tensors that a message names.
const MAX_NAMED_TENSORS: usize = 3;
/// Minimum number of a table's arguments next to each limit whose values are compared.
const MIN_COMPARED_ARGUMENTS: usize = 8;

/// Description of a layer for messages about saturation. No proof depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDescription {
    /// The node of the model that the layer computes, such as `Conv 'conv1'`; empty if unknown.
    pub node: String,
    /// Intervals of a table's arguments whose values saturate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saturated: Vec<Range>,
}

/// Values of a tensor that saturate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Saturation {
    /// Index of the layer that computes the tensor.
    pub layer: usize,
    /// The node of the model that the layer computes, or the layer if the node is unknown.
    pub tensor: String,
    /// Number of values that saturate.
    pub values: usize,
    /// Number of values of the tensor.
    pub of: usize,
}

/// Rows of a sample in which values saturate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampleSaturation {
    /// Number of rows in which values saturate.
    pub rows: usize,
    /// Number of rows of the sample.
    pub of: usize,
    /// The tensor whose values saturate in most rows; `None` if no value saturates.
    pub worst: Option<TensorSaturation>,
}

/// Rows of a sample in which values of a tensor saturate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorSaturation {
    /// The node of the model that computes the tensor, or its layer if the node is unknown.
    pub tensor: String,
    /// Number of rows in which values saturate.
    pub rows: usize,
    /// Number of values that saturate, in all rows.
    pub values: usize,
}

/// Returns the tensors of an execution in which values saturate, in the order of the layers.
/// Without descriptions, tensors are named by their layers, and the values of tables are not
/// counted.
pub fn saturations(
    circuit: &Circuit,
    execution: &Execution,
    layers: &[LayerDescription],
) -> Vec<Saturation> {
    saturations_with_limits(&significant_limits(circuit), circuit, execution, layers)
}

/// Executes the circuits of a model's slices, or the circuit of a whole model, on a sample, and
/// counts the rows in which values saturate.
///
/// # Errors
/// When a row is not an input of the model.
pub fn sample_saturation(
    slices: &[(&Circuit, Vec<LayerDescription>)],
    sample: &[Vec<i64>],
) -> Result<SampleSaturation, ExecutionError> {
    // Once, since they depend on the circuit only.
    let limits: Vec<_> = slices.iter().map(|(circuit, _)| significant_limits(circuit)).collect();
    let mut rows = 0;
    let mut tensors: BTreeMap<String, TensorSaturation> = BTreeMap::new();
    for row in sample {
        let (mut row_counts, mut values) = (BTreeMap::<String, usize>::new(), row.clone());
        for ((circuit, layers), limits) in slices.iter().zip(&limits) {
            let execution = circuit.execute(&values)?;
            for saturation in saturations_with_limits(limits, circuit, &execution, layers) {
                *row_counts.entry(saturation.tensor).or_default() += saturation.values;
            }
            values = execution.outputs(circuit);
        }
        rows += usize::from(!row_counts.is_empty());
        for (tensor, values) in row_counts {
            let empty = TensorSaturation { tensor: tensor.clone(), rows: 0, values: 0 };
            let total = tensors.entry(tensor).or_insert(empty);
            total.rows += 1;
            total.values += values;
        }
    }
    let worst = tensors.into_values().max_by_key(|tensor| (tensor.rows, tensor.values));
    Ok(SampleSaturation { rows, of: sample.len(), worst })
}

/// Returns the tensors in which values saturate, as [`saturations`], with the
/// [`significant_limits`] of the circuit.
fn saturations_with_limits(
    limits: &[[bool; 2]],
    circuit: &Circuit,
    execution: &Execution,
    layers: &[LayerDescription],
) -> Vec<Saturation> {
    let mut saturations = Vec::new();
    for (layer, (stage, sums)) in circuit.stages.iter().zip(&execution.sums).enumerate() {
        let limits = &limits[stage.first as usize..][..stage.count];
        let description = layers.get(layer);
        let values = match &stage.kind {
            StageKind::Table(table) => description.map_or(0, |description| {
                count_saturated_lookups(table, &execution.cells, &description.saturated, limits)
            }),
            kind => kind.rescale().map_or(0, |rescale| count_saturated_sums(rescale, sums, limits)),
        };
        if values > 0 {
            let tensor = tensor_name(layers, layer);
            saturations.push(Saturation { layer, tensor, values, of: stage.count });
        }
    }
    saturations
}

/// Describes tensors with values that saturate, for an error or a warning; `None` if there are
/// none. Names the first three of them.
pub fn describe(saturations: &[Saturation]) -> Option<String> {
    let named = saturations.iter().take(MAX_NAMED_TENSORS).map(|saturation| {
        let Saturation { tensor, values, of, .. } = saturation;
        format!("{tensor} ({values} of {})", counted(*of, "value"))
    });
    let named: Vec<String> = named.collect();
    let others = match saturations.len().saturating_sub(MAX_NAMED_TENSORS) {
        0 => String::new(),
        others => format!(" and {}", counted(others, "other tensor")),
    };
    let prefix = "values are beyond the range of the model's sample and saturate";
    (!named.is_empty()).then(|| format!("{prefix}: {}{others}", named.join(", ")))
}

/// Returns the name of the tensor that a layer computes: that of its node, or the layer if the node
/// is unknown.
pub fn tensor_name(layers: &[LayerDescription], layer: usize) -> String {
    let node = layers.get(layer).map(|layer| &layer.node).filter(|node| !node.is_empty());
    node.map_or_else(|| format!("layer {layer}"), Clone::clone)
}

/// Returns the number of significant lookups of a table whose arguments are in intervals of
/// saturated values.
fn count_saturated_lookups(
    table: &Table,
    cells: &[i64],
    saturated: &[Range],
    limits: &[[bool; 2]],
) -> usize {
    let lookups = table.cells.iter().zip(limits).filter(|(_, limits)| **limits != [false; 2]);
    let arguments = lookups.map(|(&cell, _)| cells[cell as usize]);
    arguments.filter(|&argument| saturated.iter().any(|range| range.contains(argument))).count()
}

/// Returns the number of sums beyond the significant limits of their activations.
fn count_saturated_sums(rescale: Rescale, sums: &[i64], limits: &[[bool; 2]]) -> usize {
    let Range { low, high } = rescale.clamp.range();
    let is_unsigned = match rescale.clamp {
        // The result of a comparison.
        Clamp::Unsigned(1) if rescale.shift == 0 => return 0,
        Clamp::Unsigned(_) => true,
        Clamp::Signed(_) => false,
    };
    let is_saturated = |(sum, [low_matters, high_matters]): &(&i64, &[bool; 2])| {
        let (quotient, _) = rescale.split(**sum);
        (*high_matters && quotient > high + 1)
            || (*low_matters && !is_unsigned && quotient < low - 1)
    };
    sums.iter().zip(limits).filter(is_saturated).count()
}

/// Returns, for each cell, whether a value beyond its lower limit and one beyond its upper limit
/// could change an output.
fn significant_limits(circuit: &Circuit) -> Vec<[bool; 2]> {
    let mut limits = vec![[false; 2]; circuit.cells()];
    let mut mark_limits = |cell: Cell, [low, high]: [bool; 2]| {
        let [low_matters, high_matters] = &mut limits[cell as usize];
        *low_matters |= low;
        *high_matters |= high;
    };
    for stage in &circuit.stages {
        match &stage.kind {
            StageKind::Linear(linear) => {
                let taps = linear.jobs.iter().flat_map(|job| &job.taps);
                taps.for_each(|tap| mark_limits(tap.cell, [true; 2]));
            }
            StageKind::Max(max) => {
                max.groups.iter().flatten().for_each(|&cell| mark_limits(cell, [true; 2]));
            }
            StageKind::Table(table) => {
                let significant = varies_near_limits(table);
                table.cells.iter().for_each(|&cell| mark_limits(cell, significant));
            }
            StageKind::Product(product) => {
                product.pairs.iter().flatten().for_each(|&cell| mark_limits(cell, [true; 2]));
            }
            StageKind::MatrixProduct(product) => {
                product.a.iter().chain(&product.b).for_each(|&cell| mark_limits(cell, [true; 2]));
            }
        }
    }
    circuit.outputs.iter().for_each(|&cell| mark_limits(cell, [true; 2]));
    limits
}

/// Returns whether a table has several values for the quarter of its negative arguments next to the
/// lower limit, and for that of its positive ones next to the upper limit.
fn varies_near_limits(table: &Table) -> [bool; 2] {
    let zero = usize::try_from(-table.arguments.low).unwrap_or_default();
    let (negative, others) = table.values.split_at(zero.min(table.values.len()));
    let positive = others.get(1..).unwrap_or_default();
    let count = |values: &[i32]| (values.len() / 4).max(MIN_COMPARED_ARGUMENTS.min(values.len()));
    let next_to_limits =
        [&negative[..count(negative)], &positive[positive.len() - count(positive)..]];
    next_to_limits.map(|values| values.windows(2).any(|pair| pair[0] != pair[1]))
}

/// Shortens the name of a node, which the owner of a model chooses, for a [`LayerDescription`].
pub(crate) fn shorten_name(node: &str) -> String {
    node.chars().take(MAX_NAME).collect()
}

/// Returns the intervals of arguments, which begin with `low`, whose values exceed a clamp by more
/// than a unit. The values are those before they are clamped, in units.
pub(crate) fn saturated_arguments(
    low: i64,
    values: impl Iterator<Item = f64>,
    clamp: Clamp,
) -> Vec<Range> {
    let limits = clamp.range();
    let (minimum, maximum) = ((limits.low - 1) as f64, (limits.high + 1) as f64);
    let mut intervals: Vec<Range> = Vec::new();
    for (argument, value) in (low..).zip(values) {
        if (minimum..=maximum).contains(&value.round()) {
            continue;
        }
        let is_full = intervals.len() == MAX_INTERVALS;
        match intervals.last_mut() {
            Some(last) if is_full || last.high + 1 == argument => last.high = argument,
            _ => intervals.push(Range::only(argument)),
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::network::{FORMAT, Input, Layer, Network, Operation};

    /// No layer has saturating values.
    const NONE: [(usize, usize); 0] = [];

    fn sum(input: u32, factor: i32, clamp: Clamp) -> Layer {
        Layer {
            inputs: vec![input],
            operation: Operation::Sum { factors: vec![factor] },
            rescale: Some(Rescale { shift: 0, clamp }),
            scale: 0,
        }
    }

    fn table(input: u32, low: i64, values: impl IntoIterator<Item = i32>) -> Layer {
        let operation = Operation::Table { low, values: values.into_iter().collect() };
        Layer { inputs: vec![input], operation, rescale: None, scale: 0 }
    }

    /// Returns the layers of a network with saturating values, and how many.
    fn saturated(
        layers: Vec<Layer>,
        inputs: &[i64],
        descriptions: &[LayerDescription],
    ) -> Vec<(usize, usize)> {
        let shape = Shape::vector(inputs.len()).unwrap();
        let input = Input { shape, range: Range { low: -100, high: 100 }, scale: 0 };
        let circuit = Network { format: FORMAT, input, layers }.lower().unwrap();
        let execution = circuit.execute(inputs).unwrap();
        let saturated = saturations(&circuit, &execution, descriptions);
        assert!(saturated.iter().all(|layer| layer.of == inputs.len()), "{saturated:?}");
        saturated.iter().map(|layer| (layer.layer, layer.values)).collect()
    }

    #[test]
    fn values_beyond_the_range_of_an_activation_are_counted() {
        let layers = || vec![sum(0, 1, Clamp::Signed(4)), sum(1, 1, Clamp::Signed(8))];
        assert_eq!(saturated(layers(), &[-17, -16, 0, 15, 16], &[]), NONE);
        assert_eq!(saturated(layers(), &[-18, 17, 100, 3, -100], &[]), [(0, 4)]);
    }

    #[test]
    fn clamping_by_relu_is_not_counted() {
        let relu = vec![sum(0, 1, Clamp::Unsigned(4))];
        assert_eq!(saturated(relu.clone(), &[-100, 0, 15], &[]), NONE);
        assert_eq!(saturated(relu, &[-100, 0, 100], &[]), [(0, 1)]);
        let condition = vec![sum(0, 1, Clamp::Unsigned(1))];
        assert_eq!(saturated(condition, &[-100, 0, 100], &[]), NONE);
    }

    /// A table of a function that is constant next to a limit has the same value beyond it.
    #[test]
    fn saturation_that_changes_no_output_is_not_counted() {
        let inputs = [-100, -3, 0, 3, 100];
        let with = |value: fn(i32) -> i32| {
            vec![sum(0, 1, Clamp::Signed(6)), table(1, -64, (-64..64).map(value))]
        };
        assert_eq!(saturated(with(i32::signum), &inputs, &[]), NONE);
        assert_eq!(saturated(with(|argument| argument / 2), &inputs, &[]), [(0, 2)]);
        assert_eq!(saturated(with(|argument| argument.max(-40)), &inputs, &[]), [(0, 1)]);
        // Constant for fewer than a quarter of the arguments.
        assert_eq!(saturated(with(|argument| argument.max(-55)), &inputs, &[]), [(0, 2)]);
        // An output, too.
        let layers = with(i32::signum);
        let sum_of_both = Layer {
            inputs: vec![1, 2],
            operation: Operation::Sum { factors: vec![1, 1] },
            rescale: None,
            scale: 0,
        };
        let layers = layers.into_iter().chain([sum_of_both]).collect();
        assert_eq!(saturated(layers, &inputs, &[]), [(0, 2)]);
    }

    #[test]
    fn values_of_a_table_are_counted_by_its_description() {
        let layers = || vec![table(0, -100, (-100..=100).map(|argument| argument.min(20)))];
        let node = "Exp 'e'".to_owned();
        let clamp = Clamp::Signed(4);
        let saturated_ranges = saturated_arguments(-100, (-100..=100).map(f64::from), clamp);
        let expected = [Range { low: -100, high: -18 }, Range { low: 17, high: 100 }];
        assert_eq!(saturated_ranges, expected);
        let description = LayerDescription { node, saturated: saturated_ranges };
        assert_eq!(saturated(layers(), &[-18, -17, 16, 17, 90], &[]), NONE);
        assert_eq!(saturated(layers(), &[-18, -17, 16, 17, 90], &[description]), [(0, 3)]);
    }

    #[test]
    fn saturated_intervals_are_merged_above_their_limit() {
        let values = (0..1000).map(|argument| if argument % 2 == 0 { 100.0 } else { 0.0 });
        let intervals = saturated_arguments(0, values, Clamp::Signed(4));
        assert_eq!(intervals.len(), MAX_INTERVALS);
        // From the 64th even number on.
        assert_eq!(intervals.last(), Some(&Range { low: 126, high: 998 }));
        // Not a number, which the quantiser refuses, is beyond every limit.
        let undefined = saturated_arguments(0, std::iter::once(f64::NAN), Clamp::Signed(4));
        assert_eq!(undefined, [Range::only(0)]);
    }

    /// Values above 16 saturate in the first slice, and those above 8 in the second one.
    #[test]
    fn rows_with_saturating_values_are_counted() {
        let [first, second] = [1, 2].map(|factor| {
            let range = Range { low: -100, high: 100 };
            let input = Input { shape: Shape::vector(2).unwrap(), range, scale: 0 };
            let layers = vec![sum(0, factor, Clamp::Signed(4))];
            Network { format: FORMAT, input, layers }.lower().unwrap()
        });
        let node = |name: &str| vec![LayerDescription { node: name.to_owned(), saturated: vec![] }];
        let slices = [(&first, node("Relu 'a'")), (&second, node("Relu 'b'"))];
        let none = sample_saturation(&slices, &[vec![0, 7], vec![-7, 8]]).unwrap();
        assert_eq!(none, SampleSaturation { rows: 0, of: 2, worst: None });
        let sample = [vec![0, 1], vec![50, 40], vec![12, 1], vec![10, 1]];
        let worst = TensorSaturation { tensor: "Relu 'b'".to_owned(), rows: 3, values: 4 };
        let expected = SampleSaturation { rows: 3, of: 4, worst: Some(worst) };
        assert_eq!(sample_saturation(&slices, &sample).unwrap(), expected);
        let short = sample_saturation(&slices, &[vec![0]]);
        assert_eq!(short, Err(ExecutionError::Length { expected: 2, actual: 1 }));
    }

    #[test]
    fn saturating_tensors_are_described() {
        let saturation = |layer: usize| Saturation {
            layer,
            tensor: format!("Relu 'r{layer}'"),
            values: 3,
            of: 128,
        };
        let saturations: Vec<Saturation> = (0..5).map(saturation).collect();
        let prefix = "values are beyond the range of the model's sample and saturate: Relu 'r0' (3 of 128 values)";
        assert_eq!(describe(&[]), None);
        assert_eq!(describe(&saturations[..1]).as_deref(), Some(prefix));
        let two_tensors = format!("{prefix}, Relu 'r1' (3 of 128 values)");
        assert_eq!(describe(&saturations[..2]), Some(two_tensors.clone()));
        let five_tensors =
            format!("{two_tensors}, Relu 'r2' (3 of 128 values) and 2 other tensors");
        assert_eq!(describe(&saturations), Some(five_tensors));
    }

    #[test]
    fn tensor_of_an_unknown_node_has_the_name_of_its_layer() {
        let described = |node: &str| LayerDescription { node: node.to_owned(), saturated: vec![] };
        let layers = [described("Conv 'a'"), described("")];
        let names = [0, 1, 2].map(|layer| tensor_name(&layers, layer));
        assert_eq!(names, ["Conv 'a'", "layer 1", "layer 2"]);
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(shorten_name("Conv 'a'"), "Conv 'a'");
        assert_eq!(shorten_name(&"ä".repeat(1000)).chars().count(), MAX_NAME);
    }
}
