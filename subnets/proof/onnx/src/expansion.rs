//! Expansion of a node into nodes of simpler operators. The reader converts these instead; the
//! evaluation computes the original node.

use std::sync::Arc;

use super::node::{has_more_outputs, output_name};
use super::proto::{AttributeKind, AttributeProto, NodeProto};
use super::tensor::{Constant, ConstantData};
use super::{OnnxError, Reader, Value, unsupported};

/// The nodes into which one node is expanded, in their order.
pub(super) struct Expansion<'a> {
    pub(super) reader: &'a mut Reader,
    /// Beginning of the names of all tensors between the nodes.
    prefix: String,
    name_count: usize,
    nodes: Vec<NodeProto>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(reader: &'a mut Reader, node: &NodeProto) -> Self {
        let prefix = node.output.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        Self { reader, prefix, name_count: 0, nodes: Vec::new() }
    }

    pub(super) fn new_name(&mut self) -> String {
        self.name_count += 1;
        format!("{}/{}", self.prefix, self.name_count)
    }

    fn define_constant(&mut self, constant: Constant) -> Result<String, OnnxError> {
        let name = self.new_name();
        super::define(&mut self.reader.values, &name, Value::Constant(Arc::new(constant)))?;
        Ok(name)
    }

    /// Defines a constant; returns its name.
    pub(super) fn floats(&mut self, dims: &[usize], values: Vec<f32>) -> Result<String, OnnxError> {
        self.define_constant(Constant { dims: dims.to_vec(), data: ConstantData::Floats(values) })
    }

    /// Defines a constant of one number.
    pub(super) fn number(&mut self, value: f32) -> Result<String, OnnxError> {
        self.floats(&[], vec![value])
    }

    /// Defines a list of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> Result<String, OnnxError> {
        self.define_constant(Constant::from_integers(values))
    }

    /// Appends a node; returns the name of its output.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.node_with(operator, inputs, Vec::new())
    }

    pub(super) fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.new_name();
        self.node_named(&name, operator, inputs, attributes);
        name
    }

    /// Appends a node whose output has this name.
    pub(super) fn node_named(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            op_type: operator.to_owned(),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// Appends a reduction over the last axis, which remains.
    pub(super) fn reduce(&mut self, operator: &str, input: &str) -> Result<String, OnnxError> {
        self.reduce_over(operator, input, &[-1], true)
    }

    /// Appends a reduction over these axes, which remain with an extent of 1 if
    /// `keeps_dims`.
    pub(super) fn reduce_over(
        &mut self,
        operator: &str,
        input: &str,
        axes: &[i64],
        keeps_dims: bool,
    ) -> Result<String, OnnxError> {
        let keeps_dims = int_attribute("keepdims", i64::from(keeps_dims));
        // The axes are an input since these versions.
        let min_opset = if operator == "ReduceSum" { 13 } else { 18 };
        if self.reader.opset < min_opset {
            return Ok(self.node_with(
                operator,
                &[input],
                vec![ints_attribute("axes", axes), keeps_dims],
            ));
        }
        let axes = self.integers(axes)?;
        Ok(self.node_with(operator, &[input, &axes], vec![keeps_dims]))
    }

    /// Appends a reshape.
    pub(super) fn reshape(&mut self, input: &str, dims: &[usize]) -> Result<String, OnnxError> {
        let name = self.new_name();
        self.reshape_named(&name, input, dims)?;
        Ok(name)
    }

    /// Appends a reshape whose output has this name.
    pub(super) fn reshape_named(
        &mut self,
        name: &str,
        input: &str,
        dims: &[usize],
    ) -> Result<(), OnnxError> {
        let dims: Vec<i64> = dims.iter().map(|&extent| extent.cast_signed() as i64).collect();
        let dims = self.integers(&dims)?;
        self.node_named(name, "Reshape", &[input, &dims], Vec::new());
        Ok(())
    }

    /// Appends a Gather of these positions along the last axis.
    pub(super) fn gather_columns(
        &mut self,
        input: &str,
        positions: std::ops::Range<usize>,
    ) -> Result<String, OnnxError> {
        let positions: Vec<i64> = positions.map(|position| position.cast_signed() as i64).collect();
        let positions = self.integers(&positions)?;
        Ok(self.node_with("Gather", &[input, &positions], vec![int_attribute("axis", -1)]))
    }

    /// Converts all nodes.
    pub(super) fn finish(self) -> Result<(), OnnxError> {
        let Self { reader, nodes, .. } = self;
        for name in nodes.iter().flat_map(|node| &node.input) {
            *reader.use_counts.entry(name.clone()).or_default() += 1;
        }
        nodes.iter().try_for_each(|node| reader.fold_or_convert(node))
    }
}

impl Reader {
    /// Converts a sum of any number of tensors.
    pub(super) fn convert_sum(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [first, others @ ..] = &node.input[..] else {
            return Err(unsupported(node, "the node has no input".to_owned()));
        };
        let Some((last, others)) = others.split_last() else { return self.rename(node, None) };
        let mut expansion = Expansion::new(self, node);
        let mut sum = first.clone();
        for other in others {
            sum = expansion.node("Add", &[&sum, other]);
        }
        expansion.node_named(output_name(node)?, "Add", &[&sum, last], Vec::new());
        expansion.finish()
    }

    /// Returns the number of features of a node's first input, which must have a single row.
    pub(super) fn feature_count(&self, node: &NodeProto) -> Result<usize, OnnxError> {
        if !super::rules::is_classifier(node) && has_more_outputs(node) {
            return Err(unsupported(node, "a second output is unsupported".to_owned()));
        }
        let dims = self.tensor(node, 0)?.dims;
        match dims[..] {
            [features] | [1, features] => Ok(features),
            _ => Err(unsupported(
                node,
                format!("the input has dimensions {dims:?}, expected one row of features"),
            )),
        }
    }
}

pub(super) fn float_attribute(name: &str, value: f32) -> AttributeProto {
    let kind = AttributeKind::Float as i32;
    AttributeProto { name: name.to_owned(), f: value, kind, ..AttributeProto::default() }
}

pub(super) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    let kind = AttributeKind::Int as i32;
    AttributeProto { name: name.to_owned(), i: value, kind, ..AttributeProto::default() }
}

/// Returns the attributes of a Transpose to this order of the axes.
pub(super) fn permutation_attribute(order: impl IntoIterator<Item = usize>) -> Vec<AttributeProto> {
    let order: Vec<i64> = order.into_iter().map(|axis| axis.cast_signed() as i64).collect();
    vec![ints_attribute("perm", &order)]
}

fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    let kind = AttributeKind::Ints as i32;
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        kind,
        ..AttributeProto::default()
    }
}
