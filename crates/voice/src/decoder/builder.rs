//! Translation of the graph of a decoder to steps.

use std::collections::HashMap;

use super::convolution::{Activation, Convolution, Shape};
use super::stage::Step;
use crate::onnx::graph::{Graph, Node};

/// A signal after an activation.
#[derive(Debug, Clone, Copy)]
struct ActivatedSignal {
    signal: usize,
    activation: Activation,
}

impl ActivatedSignal {
    fn new(signal: usize) -> Self {
        Self { signal, activation: Activation::NONE }
    }

    fn scaled(mut self, factor: f32) -> Self {
        self.activation.factor *= factor;
        self
    }

    fn with_slope(mut self, slope: f32) -> Self {
        self.activation.slope = slope;
        self
    }
}

/// Maximum number of weights of all convolutions, which nodes can share in the file. Published
/// voices have 15 million in the whole file.
const MAX_WEIGHTS: usize = 1 << 26;

/// Translates nodes to steps. An activation becomes a part of the step that reads its output, and
/// an addition a part of the last convolution before it.
pub(super) struct Builder<'a> {
    graph: &'a Graph<'a>,
    channels: usize,
    /// Number of weights of the convolutions so far.
    weights: usize,
    /// Step `i` reads signals up to `i`, and its output is signal `i + 1`.
    pub(super) steps: Vec<Step>,
    /// Values that depend on the decoder's input, by name.
    values: HashMap<&'a str, ActivatedSignal>,
    /// Number of inputs that read a value.
    reader_counts: HashMap<&'a str, usize>,
    /// Name of the value of the samples.
    pub(super) output: Option<&'a str>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(graph: &'a Graph<'a>, input: &'a str, channels: usize) -> Self {
        let mut reader_counts = HashMap::new();
        for name in graph.nodes.iter().flat_map(|node| &node.inputs) {
            *reader_counts.entry(*name).or_default() += 1;
        }
        let values = HashMap::from([(input, ActivatedSignal::new(0))]);
        Self { graph, channels, weights: 0, steps: Vec::new(), values, reader_counts, output: None }
    }

    /// Returns whether a node depends on the decoder's input.
    pub(super) fn depends_on_input(&self, node: &Node<'_>) -> bool {
        node.inputs.iter().any(|name| self.values.contains_key(name) || self.output == Some(*name))
    }

    /// Adds a node. Returns `None` if it is unsupported.
    pub(super) fn add_node(&mut self, node: &Node<'a>) -> Option<()> {
        let [output] = *node.outputs else { return None };
        if self.output.is_some() {
            // The dimensions of the samples do not matter: they are in one row.
            let is_supported = ["Identity", "Reshape", "Squeeze", "Unsqueeze"]
                .contains(&node.operator)
                && node.inputs.first().copied() == self.output;
            self.output = is_supported.then_some(output);
            return self.output.map(|_| ());
        }
        let value = match (node.operator, &*node.inputs) {
            ("LeakyRelu", [input]) => {
                self.linear_value(input)?.with_slope(node.float("alpha", 0.01))
            }
            ("Div", [input, divisor]) => {
                self.linear_value(input)?.scaled(self.scalar(divisor)?.recip())
            }
            ("Mul", [input, factor]) => self.linear_value(input)?.scaled(self.scalar(factor)?),
            ("Add", [one, other]) => self.add_sum(one, other)?,
            ("Conv" | "ConvTranspose", [input, weights]) => {
                self.add_convolution(node, input, weights, None)?
            }
            ("Conv" | "ConvTranspose", [input, weights, bias]) => {
                self.add_convolution(node, input, weights, Some(bias))?
            }
            ("Tanh", [input]) => {
                let is_last = self.unactivated_signal(input)? == self.steps.len();
                let is_mono = self.steps.last()?.convolution.outputs() == 1;
                self.output = (is_last && is_mono).then_some(output);
                return self.output.map(|_| ());
            }
            _ => return None,
        };
        // A second name of a signal: [`Self::add_sum`] counts the readers of one name only.
        if ["LeakyRelu", "Div", "Mul"].contains(&node.operator)
            && value.activation == Activation::NONE
        {
            return None;
        }
        self.values.insert(output, value);
        Some(())
    }

    /// Returns a value that has no leaky ReLU.
    #[allow(clippy::float_cmp, reason = "a leaky ReLU of slope 1 changes nothing")]
    fn linear_value(&self, name: &str) -> Option<ActivatedSignal> {
        self.values.get(name).copied().filter(|value| value.activation.slope == 1.0)
    }

    /// Returns a value without an activation.
    fn unactivated_signal(&self, name: &str) -> Option<usize> {
        self.values
            .get(name)
            .filter(|value| value.activation == Activation::NONE)
            .map(|value| value.signal)
    }

    /// Returns a constant number.
    fn scalar(&self, name: &str) -> Option<f32> {
        match *self.graph.floats(name)?.values {
            [scalar] => Some(scalar),
            _ => None,
        }
    }

    /// Returns the number of channels of a signal.
    fn channels(&self, signal: usize) -> Option<usize> {
        match signal.checked_sub(1) {
            None => Some(self.channels),
            Some(step) => self.steps.get(step).map(|step| step.convolution.outputs()),
        }
    }

    /// Adds the earlier one of two signals to the step of the later one, which nothing else may
    /// read.
    fn add_sum(&mut self, one: &'a str, other: &'a str) -> Option<ActivatedSignal> {
        let (one, other) =
            ((self.unactivated_signal(one)?, one), (self.unactivated_signal(other)?, other));
        let ((earlier, _), (later, name)) = if one < other { (one, other) } else { (other, one) };
        let has_single_reader = self.reader_counts.get(name) == Some(&1);
        if !has_single_reader || self.channels(earlier)? != self.channels(later)? {
            return None;
        }
        self.steps.get_mut(later.checked_sub(1)?)?.addends.push(earlier);
        Some(ActivatedSignal::new(later))
    }

    /// Adds a step.
    fn add_convolution(
        &mut self,
        node: &Node<'a>,
        input: &str,
        weights: &str,
        bias: Option<&str>,
    ) -> Option<ActivatedSignal> {
        let ActivatedSignal { signal, activation } = *self.values.get(input)?;
        let transposed = node.operator == "ConvTranspose";
        let weights = self.graph.floats(weights)?;
        self.weights += weights.values.len();
        if self.weights > MAX_WEIGHTS {
            return None;
        }
        let ((&[outputs, inputs, kernel], false) | (&[inputs, outputs, kernel], true)) =
            (&*weights.shape, transposed)
        else {
            return None;
        };
        let bias = match bias {
            Some(bias) => self.graph.floats(bias)?.values,
            None => vec![0.0; outputs],
        };
        let [stride] = node.integers("strides", [1])?;
        let [dilation] = node.integers("dilations", [1])?;
        let is_supported = self.channels(signal)? == inputs
            && node.integer("group", 1)? == 1
            && node.text("auto_pad").is_none_or(|pad| pad == b"NOTSET")
            && node.integers("output_padding", [0])? == [0]
            && !node.has("output_shape");
        if !is_supported {
            return None;
        }
        let padding = node.integers("pads", [0, 0])?;
        let shape = Shape { inputs, outputs, kernel, dilation, stride, padding, transposed };
        let convolution = Convolution::new(shape, &weights.values, &bias)?;
        self.steps.push(Step { convolution, input: signal, activation, addends: Vec::new() });
        Some(ActivatedSignal::new(self.steps.len()))
    }
}
