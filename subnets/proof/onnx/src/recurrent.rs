//! Conversion of LSTM, GRU and RNN: the steps of a sequence one after the other.

mod cells;

use taonet_proof_onnx_file::recurrent::RecurrentLayer;

use super::expansion::Expansion;
use super::linear::first_input;
use super::proto::NodeProto;
use super::{OnnxError, Reader, Value, dims, invalid_shape, unsupported};
use cells::Direction;

/// Names of the outputs of all steps of a direction, in the order of the sequence, and of its last
/// cell.
struct DirectionOutputs {
    outputs: Vec<String>,
    last_output: String,
    last_cell: Option<String>,
}

impl Reader {
    pub(super) fn convert_recurrent(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let weight_dims =
            self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let layer = RecurrentLayer::parse(node, &input.dims, &weight_dims)?;
        let length = match self.integers(node, 4)? {
            None => layer.steps,
            Some(lengths) => match lengths[..] {
                [length] if length > 0 && length <= layer.steps.cast_signed() as i64 => {
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
            (0..layer.is_reverse.len()).map(|index| Direction::read(self, node, &layer, index));
        let directions = directions.collect::<Result<Vec<_>, _>>()?;
        let mut expansion = Expansion::new(self, node);
        let row = expansion.reshape(first_input(node)?, &[1, layer.steps, layer.inputs])?;
        let mut all_outputs = Vec::with_capacity(directions.len());
        for direction in directions {
            all_outputs.push(direction.unroll(&mut expansion, &layer, &row, length)?);
        }
        expansion.finish()?;
        self.name_outputs(node, &layer, &all_outputs, length)
    }

    /// Names the outputs of a node: those of all steps, of the last step, and the last cell.
    fn name_outputs(
        &mut self,
        node: &NodeProto,
        layer: &RecurrentLayer,
        directions: &[DirectionOutputs],
        length: usize,
    ) -> Result<(), OnnxError> {
        let mut indices = Vec::with_capacity(layer.steps * directions.len() * layer.hidden);
        let padding = (length * directions.len() * layer.hidden) as u32;
        // The tensors have the outputs of one direction after the other, and within it of one step
        // after the other.
        for step in 0..layer.steps {
            for direction in 0..directions.len() {
                let first = (direction * length + step) * layer.hidden;
                indices.extend(
                    (first..first + layer.hidden)
                        .map(|element| if step < length { element as u32 } else { padding }),
                );
            }
        }
        let names: Vec<&str> = directions
            .iter()
            .flat_map(|direction| &direction.outputs)
            .map(String::as_str)
            .collect();
        let [sequence_dims, last_dims] = layer.output_dims();
        self.name_joined(node, 0, &names, indices, sequence_dims)?;
        let in_order = || (0..(directions.len() * layer.hidden) as u32).collect();
        let last_outputs: Vec<&str> =
            directions.iter().map(|direction| direction.last_output.as_str()).collect();
        self.name_joined(node, 1, &last_outputs, in_order(), last_dims.clone())?;
        let cells: Vec<&str> =
            directions.iter().filter_map(|direction| direction.last_cell.as_deref()).collect();
        if cells.is_empty() {
            return Ok(());
        }
        self.name_joined(node, 2, &cells, in_order(), last_dims)
    }

    /// Names an output of a node: elements of these tensors.
    fn name_joined(
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
