//! Conversion of embeddings: rows of a constant table that are chosen by computed integers. Each
//! column of the table is a function of the index.

use std::sync::Arc;

use taonet_proof_core::float::Lookup;

use super::dims;
use super::proto::NodeProto;
use super::{ElementType, OnnxError, Reader, unsupported};

impl Reader {
    pub(super) fn embed(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let index = self.tensor(node, 1)?;
        if node.input.get(1).and_then(|name| self.types.get(name)) != Some(&ElementType::Integer) {
            return Err(unsupported(node, "the indices are not integers".to_owned()));
        }
        let missing = || unsupported(node, "the table is missing".to_owned());
        let table = self.weights(node, 0)?.ok_or_else(missing)?;
        let values = table.to_floats().ok_or_else(|| {
            unsupported(node, "an integer of the table exceeds single precision".to_owned())
        })?;
        let values = values.into_owned();
        let of_table = table.dims.clone();
        if dims::axis(node, node.int("axis", 0), of_table.len())? != 0 {
            return Err(unsupported(
                node,
                "computed integers choose along the first axis of a constant only".to_owned(),
            ));
        }
        if of_table.first() == Some(&0) {
            return Err(missing());
        }
        let of_row = of_table.get(1..).unwrap_or_default();
        let dims = [&index.dims[..], of_row].concat();
        Self::check_elements(node, &dims)?;
        self.count_parameters(values.len())?;
        let (count, width) = (index.shape.elements(), of_row.iter().product::<usize>());
        let table = Arc::new(Lookup::new(values, width));
        let (root, function) = self.function_of(index.index);
        let mut columns = Vec::with_capacity(width);
        for column in 0..width {
            columns.push(self.push_mapped(root, function.clone().look_up(&table, column))?);
        }
        let indices = dims::transposed(&[width, count], &[1, 0]);
        self.moved(node, columns, indices, 0.0, dims)
    }
}
