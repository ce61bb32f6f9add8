//! Conversion of LSTM, GRU and RNN: the steps of a sequence one after the other.

mod cells;

use super::expansion::Expansion;
use super::linear::first;
use super::proto::NodeProto;
use super::{OnnxError, Reader, Value, dims, invalid_shape, unsupported};
use cells::Direction;

/// Maximum number of steps of all directions. Each becomes several nodes, of which there is a
/// maximum, too.
const MAX_STEPS: usize = 1024;
/// Operators that can be activations.
const ACTIVATIONS: [&str; 6] = ["Elu", "HardSigmoid", "Relu", "Sigmoid", "Softsign", "Tanh"];

/// Sizes and options of a recurrent node.
pub(super) struct Form {
    /// Number of gates: 4 for LSTM, 3 for GRU, 1 for RNN.
    pub(super) gates: usize,
    /// Number of steps of the sequence, of which only the first ones may count.
    pub(super) steps: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    /// Whether each direction is from the last step to the first.
    pub(super) is_reverse: Vec<bool>,
    /// Operators of the activations of each direction, as many as the cell has.
    pub(super) activations: Vec<Vec<String>>,
    /// Whether the batch is the first dimension.
    pub(super) is_batch_first: bool,
    /// Whether a GRU multiplies with the reset gate after the product with the recurrent weights.
    pub(super) resets_late: bool,
}

impl Form {
    /// Reads the form of a node for an input with these dimensions.
    pub(super) fn parse(
        node: &NodeProto,
        dims: &[usize],
        of_weights: &[usize],
    ) -> Result<Self, OnnxError> {
        let (gates, defaults): (usize, &[&str]) = match node.op_type.as_str() {
            "LSTM" => (4, &["Sigmoid", "Tanh", "Tanh"]),
            "GRU" => (3, &["Sigmoid", "Tanh"]),
            _ => (1, &["Tanh"]),
        };
        let is_batch_first = node.int("layout", 0) != 0;
        let &[one, other, inputs] = dims else {
            return Err(unsupported(
                node,
                format!("the input has dimensions {dims:?}, expected three"),
            ));
        };
        let (steps, batch) = if is_batch_first { (other, one) } else { (one, other) };
        let is_reverse = match node.text("direction").unwrap_or(b"forward") {
            b"forward" => vec![false],
            b"reverse" => vec![true],
            b"bidirectional" => vec![false, true],
            _ => return Err(unsupported(node, "the direction is unknown".to_owned())),
        };
        let &[directions, rows, width] = of_weights else {
            return Err(unsupported(
                node,
                format!("the weights have dimensions {of_weights:?}, expected three"),
            ));
        };
        let hidden = rows / gates;
        let fits = batch == 1
            && directions == is_reverse.len()
            && width == inputs
            && hidden * gates == rows;
        let declared = node.int("hidden_size", hidden.cast_signed() as i64);
        if !fits || hidden == 0 || usize::try_from(declared) != Ok(hidden) {
            return Err(unsupported(
                node,
                format!("weights {of_weights:?} do not fit an input of {dims:?} with a batch of 1"),
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
        let resets_late = node.int("linear_before_reset", 0) != 0;
        Ok(Self {
            gates,
            steps,
            inputs,
            hidden,
            is_reverse,
            activations,
            is_batch_first,
            resets_late,
        })
    }

    /// Returns the dimensions of all outputs of the sequence, and of those of its last steps.
    pub(super) fn output_dims(&self) -> [Vec<usize>; 2] {
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
    let Some(given) = node.attribute("activations").map(|attribute| &attribute.strings) else {
        return Ok(vec![defaults.iter().map(|&name| name.to_owned()).collect(); directions]);
    };
    let operator = |name: &Vec<u8>| {
        let known = ACTIVATIONS.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name));
        known.map(|&known| known.to_owned()).ok_or_else(|| {
            unsupported(
                node,
                format!("the activation '{}' is unsupported", String::from_utf8_lossy(name)),
            )
        })
    };
    let operators = given.iter().map(operator).collect::<Result<Vec<String>, _>>()?;
    if operators.len() != defaults.len() * directions {
        return Err(unsupported(
            node,
            format!("{} activations for {directions} directions", operators.len()),
        ));
    }
    Ok(operators.chunks(defaults.len()).map(<[String]>::to_vec).collect())
}

/// Names of the outputs of all steps of a direction, in the order of the sequence, and of its last
/// cell.
struct Steps {
    outputs: Vec<String>,
    last: String,
    last_cell: Option<String>,
}

impl Reader {
    pub(super) fn recurrent(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let of_weights =
            self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let form = Form::parse(node, &input.dims, &of_weights)?;
        let length = match self.integers(node, 4)? {
            None => form.steps,
            Some(lengths) => match lengths[..] {
                [length] if length > 0 && length <= form.steps.cast_signed() as i64 => {
                    length as usize
                }
                _ => {
                    return Err(unsupported(
                        node,
                        format!("sequence_lens {lengths:?} are not those of one sequence"),
                    ));
                }
            },
        };
        let directions =
            (0..form.is_reverse.len()).map(|index| Direction::read(self, node, &form, index));
        let directions = directions.collect::<Result<Vec<_>, _>>()?;
        let mut expansion = Expansion::new(self, node);
        let row = expansion.reshape(first(node)?, &[1, form.steps, form.inputs])?;
        let mut all = Vec::with_capacity(directions.len());
        for direction in directions {
            all.push(direction.unroll(&mut expansion, &form, &row, length)?);
        }
        expansion.finish()?;
        self.name_outputs(node, &form, &all, length)
    }

    /// Names the outputs of a node: those of all steps, of the last step, and the last cell.
    fn name_outputs(
        &mut self,
        node: &NodeProto,
        form: &Form,
        all: &[Steps],
        length: usize,
    ) -> Result<(), OnnxError> {
        let mut indices = Vec::with_capacity(form.steps * all.len() * form.hidden);
        let padding = (length * all.len() * form.hidden) as u32;
        // The tensors have the outputs of one direction after the other, and within it of one step
        // after the other.
        for step in 0..form.steps {
            for direction in 0..all.len() {
                let first = (direction * length + step) * form.hidden;
                indices.extend(
                    (first..first + form.hidden)
                        .map(|at| if step < length { at as u32 } else { padding }),
                );
            }
        }
        let names: Vec<&str> =
            all.iter().flat_map(|steps| &steps.outputs).map(String::as_str).collect();
        let [of_all, of_last] = form.output_dims();
        self.join(node, 0, &names, indices, of_all)?;
        let in_order = || (0..(all.len() * form.hidden) as u32).collect();
        let last: Vec<&str> = all.iter().map(|steps| steps.last.as_str()).collect();
        self.join(node, 1, &last, in_order(), of_last.clone())?;
        let cells: Vec<&str> = all.iter().filter_map(|steps| steps.last_cell.as_deref()).collect();
        if cells.is_empty() {
            return Ok(());
        }
        self.join(node, 2, &cells, in_order(), of_last)
    }

    /// Names an output of a node: elements of these tensors.
    fn join(
        &mut self,
        node: &NodeProto,
        position: usize,
        tensors: &[&str],
        indices: Vec<u32>,
        dims: Vec<usize>,
    ) -> Result<(), OnnxError> {
        let Some(name) = node.output.get(position).filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let tensor = |&name: &&str| match self.values.get(name) {
            Some(Value::Tensor(index, _)) => Ok(*index),
            _ => Err(unsupported(node, format!("'{name}' is constant"))),
        };
        let inputs = tensors.iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let joined = self.push_moved(node, inputs, indices, 0.0, shape)?;
        super::define(&mut self.values, name, Value::Tensor(joined, dims))
    }
}
