//! Conversion of embeddings: rows of a constant table that are chosen by computed integers. Each
//! column of the table is a function of the index.

use std::sync::Arc;

use taonet_proof_core::float::Lookup;

use super::dims;
use super::expansion::{Expansion, permutation_attribute};
use super::node::output_name;
use super::proto::NodeProto;
use super::{ElementType, OnnxError, Reader, unsupported};

impl Reader {
    pub(super) fn convert_embedding(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let index = self.tensor(node, 1)?;
        if node.input.get(1).and_then(|name| self.element_types.get(name))
            != Some(&ElementType::Integer)
        {
            return Err(unsupported(node, "the indices are not integers".to_owned()));
        }
        let missing = || unsupported(node, "the table is missing".to_owned());
        let table = self.weights(node, 0)?.ok_or_else(missing)?;
        let values = table.to_floats().ok_or_else(|| {
            unsupported(node, "an integer of the table exceeds single precision".to_owned())
        })?;
        let values = values.into_owned();
        let table_dims = table.dims.clone();
        let axis = dims::axis(node, node.int("axis", 0), table_dims.len())?;
        if axis != 0 {
            return self.convert_embedding_along(node, axis, table_dims.len(), index.dims.len());
        }
        if table_dims.first() == Some(&0) {
            return Err(missing());
        }
        let row_dims = table_dims.get(1..).unwrap_or_default();
        let dims = [&index.dims[..], row_dims].concat();
        Self::check_elements(node, &dims)?;
        self.count_parameters(values.len())?;
        let (count, width) = (index.shape.elements(), row_dims.iter().product::<usize>());
        let table = Arc::new(Lookup::new(values, width));
        let (root, function) = self.root_and_function(index.index);
        let mut columns = Vec::with_capacity(width);
        for column in 0..width {
            columns.push(self.push_mapped(root, function.clone().look_up(&table, column))?);
        }
        let indices = dims::transposed_positions(&[width, count], &[1, 0]);
        self.define_moved(node, columns, indices, 0.0, dims)
    }

    /// Looks up along an axis of the table other than the first one: in the transposed table, whose
    /// first axis it is.
    fn convert_embedding_along(
        &mut self,
        node: &NodeProto,
        axis: usize,
        rank: usize,
        index_rank: usize,
    ) -> Result<(), OnnxError> {
        let [table, index] = &node.input[..] else { return Err(OnnxError::Empty) };
        let moved_order =
            permutation_attribute([axis].into_iter().chain(0..axis).chain(axis + 1..rank));
        // The axes of the index come first.
        let restored_order = permutation_attribute(
            (index_rank..index_rank + axis)
                .chain(0..index_rank)
                .chain(index_rank + axis..index_rank + rank - 1),
        );
        let mut expansion = Expansion::new(self, node);
        let table = expansion.node_with("Transpose", &[table], moved_order);
        let rows = expansion.node("Gather", &[&table, index]);
        expansion.node_named(output_name(node)?, "Transpose", &[&rows], restored_order);
        expansion.finish()
    }
}
