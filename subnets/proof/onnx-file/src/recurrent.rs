//! Attributes of recurrent cells: LSTM, GRU and RNN.

use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// Maximum number of steps of all directions. Each becomes several nodes, of which there is a
/// maximum, too.
const MAX_STEPS: usize = 1024;
/// Operators that can be activations.
const ACTIVATIONS: [&str; 6] = ["Elu", "HardSigmoid", "Relu", "Sigmoid", "Softsign", "Tanh"];

/// Sizes and options of a recurrent node.
pub struct RecurrentLayer {
    /// Number of gates: 4 for LSTM, 3 for GRU, 1 for RNN.
    pub gates: usize,
    /// Number of steps of the sequence, of which only the first ones may count.
    pub steps: usize,
    /// Number of inputs of each step.
    pub inputs: usize,
    /// Number of hidden units.
    pub hidden: usize,
    /// Whether each direction is from the last step to the first.
    pub is_reverse: Vec<bool>,
    /// Operators of the activations of each direction, as many as the cell has.
    pub activations: Vec<Vec<String>>,
    /// Whether the batch is the first dimension.
    pub is_batch_first: bool,
    /// Whether a GRU multiplies with the reset gate after the product with the recurrent weights.
    pub is_linear_before_reset: bool,
}

impl RecurrentLayer {
    /// Reads the layer of a node for an input with these dimensions.
    pub fn parse(
        node: &NodeProto,
        dims: &[usize],
        weight_dims: &[usize],
    ) -> Result<Self, OnnxError> {
        let (gates, defaults): (usize, &[&str]) = match node.op_type.as_str() {
            "LSTM" => (4, &["Sigmoid", "Tanh", "Tanh"]),
            "GRU" => (3, &["Sigmoid", "Tanh"]),
            _ => (1, &["Tanh"]),
        };
        let is_batch_first = node.int("layout", 0) != 0;
        let &[first, second, inputs] = dims else {
            return Err(unsupported(
                node,
                format!("the input has dimensions {dims:?}, expected three"),
            ));
        };
        let (steps, batch) = if is_batch_first { (second, first) } else { (first, second) };
        let is_reverse = match node.text("direction").unwrap_or(b"forward") {
            b"forward" => vec![false],
            b"reverse" => vec![true],
            b"bidirectional" => vec![false, true],
            _ => return Err(unsupported(node, "the direction is unknown".to_owned())),
        };
        let &[directions, rows, width] = weight_dims else {
            return Err(unsupported(
                node,
                format!("the weights have dimensions {weight_dims:?}, expected three"),
            ));
        };
        let hidden = rows / gates;
        let fits = batch == 1
            && directions == is_reverse.len()
            && width == inputs
            && hidden * gates == rows;
        let declared_size = node.int("hidden_size", hidden.cast_signed() as i64);
        if !fits || hidden == 0 || usize::try_from(declared_size) != Ok(hidden) {
            return Err(unsupported(
                node,
                format!(
                    "weights {weight_dims:?} do not fit an input of {dims:?} with a batch of 1"
                ),
            ));
        }
        if node.int("input_forget", 0) != 0 {
            return Err(unsupported(node, "input_forget is unsupported".to_owned()));
        }
        if steps.saturating_mul(directions) > MAX_STEPS {
            return Err(unsupported(
                node,
                format!("a sequence of {steps} steps, expected at most {MAX_STEPS}"),
            ));
        }
        let activations = activations(node, defaults, directions)?;
        let is_linear_before_reset = node.int("linear_before_reset", 0) != 0;
        Ok(Self {
            gates,
            steps,
            inputs,
            hidden,
            is_reverse,
            activations,
            is_batch_first,
            is_linear_before_reset,
        })
    }

    /// Returns the dimensions of all outputs of the sequence, and of those of its last steps.
    pub fn output_dims(&self) -> [Vec<usize>; 2] {
        let (directions, hidden) = (self.is_reverse.len(), self.hidden);
        if self.is_batch_first {
            [vec![1, self.steps, directions, hidden], vec![1, directions, hidden]]
        } else {
            [vec![self.steps, directions, 1, hidden], vec![directions, 1, hidden]]
        }
    }
}

/// Returns the operators of the activations of each direction.
fn activations(
    node: &NodeProto,
    defaults: &[&str],
    directions: usize,
) -> Result<Vec<Vec<String>>, OnnxError> {
    let Some(activations) = node.attribute("activations").map(|attribute| &attribute.strings)
    else {
        return Ok(vec![defaults.iter().map(|&name| name.to_owned()).collect(); directions]);
    };
    let operator = |name: &Vec<u8>| {
        let activation =
            ACTIVATIONS.iter().find(|activation| activation.as_bytes().eq_ignore_ascii_case(name));
        activation.map(|&activation| activation.to_owned()).ok_or_else(|| {
            unsupported(
                node,
                format!("the activation '{}' is unsupported", String::from_utf8_lossy(name)),
            )
        })
    };
    let operators = activations.iter().map(operator).collect::<Result<Vec<String>, _>>()?;
    if operators.len() != defaults.len() * directions {
        return Err(unsupported(
            node,
            format!("{} activations for {directions} directions", operators.len()),
        ));
    }
    Ok(operators.chunks(defaults.len()).map(<[String]>::to_vec).collect())
}
