//! A decoder as an ONNX graph over a fixed number of tokens.

use std::ops::Range;

use taonet_lm::{Decoder, DecoderLayer, FeedForward, Norm, Positions, Projection};
use taonet_proof_onnx::{Attribute, GraphWriter};

use crate::projections::{AttentionProjections, fold_norm};

/// Version of the operator set: the first one with RMS norms.
const OPSET: i64 = 23;
/// Value that hides later tokens from an attention.
const MASKED_SCORE: f32 = -1e9;
const INPUT: &str = "tokens";
/// Maximum number of embeddings, in numbers, that are looked up: each has a row in the function
/// table of `stark`, which has a row for each value of an activation, too. Larger tables are
/// multiplied with one-hot tokens, and cost a weight for each number.
const MAX_EMBEDDING_NUMBERS: usize = 1 << 20;

// In large models, a text's first token is an attention sink: its values are a thousand times as
// large as those of all other tokens. So in their graphs, the first position has tensors of its
// own, which get scales of their own.

/// Returns the ONNX file of a decoder that reads `tokens` tokens, as integers of the shape [1,
/// tokens], and computes the logits after each of them, with the shape [1, tokens, vocabulary]. The
/// positions must be those of so many tokens.
pub(crate) fn onnx(decoder: &Decoder, tokens: usize) -> Vec<u8> {
    write_graph(decoder, tokens, is_large(decoder))
}

/// Returns whether a model is large: it has more embeddings than are looked up.
pub(crate) fn is_large(decoder: &Decoder) -> bool {
    let embeddings = &decoder.embeddings;
    embeddings.rows * embeddings.columns > MAX_EMBEDDING_NUMBERS
}

/// Returns the ONNX file of a decoder. Embeddings are looked up or, in a large model, multiplied
/// with one-hot tokens.
fn write_graph(decoder: &Decoder, tokens: usize, is_large: bool) -> Vec<u8> {
    let graph = GraphWriter::new(INPUT, &[1, tokens]);
    // The first position of a large model has values far beyond those of the others.
    let first_part = if is_large && tokens > 1 { 1 } else { tokens };
    let parts =
        [0..first_part, first_part..tokens].into_iter().filter(|part| !part.is_empty()).collect();
    let mut writer = DecoderWriter { graph, decoder, tokens, parts };
    writer.append_logits(is_large);
    writer.graph.finish("logits", &[1, tokens, decoder.head.weights.rows], false, OPSET)
}

/// Writes the nodes of a decoder to a graph.
struct DecoderWriter<'a> {
    graph: GraphWriter,
    decoder: &'a Decoder,
    tokens: usize,
    /// Parts of the positions. Where values add up, each part has scales of its own.
    parts: Vec<Range<usize>>,
}

/// Constants that all layers share.
struct SharedTensors {
    /// Added to the scores of an attention.
    mask: String,
    /// Cosines and sines of the rotation of queries and keys.
    rotation: Option<[String; 2]>,
}

impl DecoderWriter<'_> {
    fn append_logits(&mut self, is_large: bool) {
        let Decoder { positions, layers, norm, head, .. } = self.decoder;
        let mut hidden = self.append_embedding(is_large);
        let rotation = match positions {
            Positions::Learned(positions) => {
                let positions = self
                    .graph
                    .floats(&[self.tokens, positions.columns], positions.values.iter().copied());
                hidden = self.append_node("Add", &[&hidden, &positions]);
                None
            }
            Positions::Rotary { cos, sin } => {
                Some([self.append_rotation_table(cos), self.append_rotation_table(sin)])
            }
        };
        let rows =
            (0..self.tokens).flat_map(|row| (0..self.tokens).map(move |column| (row, column)));
        let mask = rows.map(|(row, column)| if column > row { MASKED_SCORE } else { 0.0 });
        let mask = self.graph.floats(&[self.tokens, self.tokens], mask);
        let shared = SharedTensors { mask, rotation };
        let mut hidden = self.split_parts(&hidden);
        for layer in layers {
            let normed = self.append_norm(&hidden, &layer.attention_norm);
            let attention_output = self.append_attention(&normed, layer, &shared);
            let attention_output = self.split_parts(&attention_output);
            hidden = self.append_sum(&hidden, &attention_output);
            let normed = self.append_norm(&hidden, &layer.feed_forward_norm);
            let feed_forward_output = self.append_feed_forward(&normed, layer);
            hidden = self.append_sum(&hidden, &feed_forward_output);
        }
        let normed = self.append_norm(&hidden, norm);
        self.append_linear(&normed, &fold_norm(head, norm));
    }

    /// Adds the embeddings of the tokens.
    fn append_embedding(&mut self, is_large: bool) -> String {
        let Decoder { embeddings, .. } = self.decoder;
        let dims = [embeddings.rows, embeddings.columns];
        let table = self.graph.floats(&dims, embeddings.values.iter().copied());
        if !is_large {
            return self.graph.node("Gather", &[&table, INPUT], &[Attribute::Int("axis", 0)]);
        }
        let depth = self.append_dims([embeddings.rows]);
        let values = self.graph.floats(&[2], [0.0, 1.0]);
        let one_hot = self.append_node("OneHot", &[INPUT, &depth, &values]);
        self.append_node("MatMul", &[&one_hot, &table])
    }

    fn append_node(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.graph.node(operator, inputs, &[])
    }

    /// Splits a row per token into parts.
    fn split_parts(&mut self, rows: &str) -> Vec<String> {
        match &self.parts.clone()[..] {
            [_] => vec![rows.to_owned()],
            parts => parts.iter().map(|part| self.append_slice(rows, part.clone(), 1)).collect(),
        }
    }

    /// Adds the parts of two tensors.
    fn append_sum(&mut self, left: &[String], right: &[String]) -> Vec<String> {
        left.iter()
            .zip(right)
            .map(|(left, right)| self.append_node("Add", &[left, right]))
            .collect()
    }

    /// Adds norms of all parts without their scale and shift, which are part of the projections
    /// after them. Joins the parts, whose values are about equally large now.
    fn append_norm(&mut self, parts: &[String], norm: &Norm) -> String {
        let shift = norm.shift.as_ref().map(|shift| vec![0.0; shift.len()]);
        let norm = Norm { scale: vec![1.0; norm.scale.len()], shift };
        let normed: Vec<String> =
            parts.iter().map(|part| self.append_part_norm(part, &norm)).collect();
        if let [normed] = &normed[..] {
            return normed.clone();
        }
        let normed: Vec<&str> = normed.iter().map(String::as_str).collect();
        self.graph.node("Concat", &normed, &[Attribute::Int("axis", 1)])
    }

    fn append_part_norm(&mut self, values: &str, norm: &Norm) -> String {
        let attributes =
            [Attribute::Int("axis", -1), Attribute::Float("epsilon", self.decoder.norm_eps)];
        let scale = self.graph.floats(&[norm.scale.len()], norm.scale.iter().copied());
        match &norm.shift {
            None => self.graph.node("RMSNormalization", &[values, &scale], &attributes),
            Some(shift) => {
                let shift = self.graph.floats(&[shift.len()], shift.iter().copied());
                self.graph.node("LayerNormalization", &[values, &scale, &shift], &attributes)
            }
        }
    }

    fn append_linear(&mut self, values: &str, layer: &Projection) -> String {
        let matrix = self.append_weights(layer);
        self.append_projection(values, &matrix, layer)
    }

    /// Adds the weights of a projection as a constant.
    fn append_weights(&mut self, layer: &Projection) -> String {
        let weights = &layer.weights;
        let columns = (0..weights.columns)
            .flat_map(|input| weights.values.iter().skip(input).step_by(weights.columns));
        self.graph.floats(&[weights.columns, weights.rows], columns.copied())
    }

    /// Adds a projection whose weights are the constant `matrix`.
    fn append_projection(&mut self, values: &str, matrix: &str, layer: &Projection) -> String {
        let product = self.append_node("MatMul", &[values, matrix]);
        let Some(bias) = &layer.bias else { return product };
        let bias = self.graph.floats(&[bias.len()], bias.iter().copied());
        self.append_node("Add", &[&product, &bias])
    }

    fn append_attention(
        &mut self,
        values: &str,
        layer: &DecoderLayer,
        shared: &SharedTensors,
    ) -> String {
        let &Decoder { heads, kv_heads, head_size, .. } = self.decoder;
        // The scores are divided by the root of the width of a head: so are the queries, or their
        // norm.
        let factor = 1.0 / (head_size as f32).sqrt();
        let projections = AttentionProjections::of(layer, factor);
        let projected = self.append_linear(values, &projections.inputs);
        let (query_width, key_width) = (heads * head_size, kv_heads * head_size);
        let query = self.append_columns(&projected, 0..query_width);
        let key = self.append_columns(&projected, query_width..query_width + key_width);
        let value =
            self.append_columns(&projected, query_width + key_width..query_width + 2 * key_width);
        let (mut query, mut key) =
            (self.split_heads(&query, heads), self.split_heads(&key, kv_heads));
        if let Some([query_norm, key_norm]) = &layer.head_norms {
            let scale = query_norm.scale.iter().map(|scale| scale * factor).collect();
            let shift = query_norm
                .shift
                .as_ref()
                .map(|shift| shift.iter().map(|shift| shift * factor).collect());
            query = self.append_part_norm(&query, &Norm { scale, shift });
            key = self.append_part_norm(&key, key_norm);
        }
        let (query, key) =
            (self.append_rotation(&query, shared), self.append_rotation(&key, shared));
        let value = self.split_heads(&value, kv_heads);
        let (key, value) = (self.repeat_shared_heads(&key), self.repeat_shared_heads(&value));
        let key = self.graph.node("Transpose", &[&key], &[Attribute::Ints("perm", &[0, 1, 3, 2])]);
        let scores = self.append_node("MatMul", &[&query, &key]);
        let scores = self.append_node("Add", &[&scores, &shared.mask]);
        let attention_weights =
            self.graph.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let weighted_values = self.append_node("MatMul", &[&attention_weights, &value]);
        let rows = self.graph.node(
            "Transpose",
            &[&weighted_values],
            &[Attribute::Ints("perm", &[0, 2, 1, 3])],
        );
        let dims = self.append_dims([1, self.tokens, heads * head_size]);
        let rows = self.append_node("Reshape", &[&rows, &dims]);
        self.append_linear(&rows, &projections.output)
    }

    /// Adds a slice with some of the columns of a tensor.
    fn append_columns(&mut self, values: &str, columns: Range<usize>) -> String {
        self.append_slice(values, columns, -1)
    }

    /// Adds a slice with the part of a tensor within these limits of an axis.
    fn append_slice(&mut self, values: &str, limits: Range<usize>, axis: i64) -> String {
        let limits = [limits.start, limits.end].map(|limit| limit.cast_signed() as i64);
        let [start, end, axis] =
            [limits[0], limits[1], axis].map(|value| self.graph.integers(&[1], [value]));
        self.append_node("Slice", &[values, &start, &end, &axis])
    }

    fn append_dims<const N: usize>(&mut self, dims: [usize; N]) -> String {
        self.graph.integers(&[N], dims.map(|dim| dim.cast_signed() as i64))
    }

    /// Splits a row per token into heads: [1, heads, tokens, size].
    fn split_heads(&mut self, rows: &str, heads: usize) -> String {
        let dims = self.append_dims([1, self.tokens, heads, self.decoder.head_size]);
        let split = self.append_node("Reshape", &[rows, &dims]);
        self.graph.node("Transpose", &[&split], &[Attribute::Ints("perm", &[0, 2, 1, 3])])
    }

    /// Repeats keys or values for each of the heads that share them.
    fn repeat_shared_heads(&mut self, values: &str) -> String {
        let &Decoder { heads, kv_heads, .. } = self.decoder;
        if heads == kv_heads {
            return values.to_owned();
        }
        let heads_per_group = heads / kv_heads;
        let order = self.graph.integers(
            &[heads],
            (0..heads).map(|head| (head / heads_per_group).cast_signed() as i64),
        );
        self.graph.node("Gather", &[values, &order], &[Attribute::Int("axis", 1)])
    }

    /// Adds a table of the rotation, which is the same for both halves of a head.
    fn append_rotation_table(&mut self, table: &[f32]) -> String {
        let half = self.decoder.head_size / 2;
        let rows = table.chunks(half.max(1)).flat_map(|row| row.iter().chain(row));
        self.graph.floats(&[self.tokens, 2 * half], rows.copied())
    }

    fn append_rotation(&mut self, values: &str, shared: &SharedTensors) -> String {
        let Some([cos, sin]) = &shared.rotation else { return values.to_owned() };
        let half = self.decoder.head_size / 2;
        let (first, second) =
            (self.append_columns(values, 0..half), self.append_columns(values, half..2 * half));
        let second = self.append_node("Neg", &[&second]);
        let rotated_half =
            self.graph.node("Concat", &[&second, &first], &[Attribute::Int("axis", -1)]);
        let (unrotated, rotated_half) = (
            self.append_node("Mul", &[values, cos]),
            self.append_node("Mul", &[&rotated_half, sin]),
        );
        self.append_node("Add", &[&unrotated, &rotated_half])
    }

    /// Adds a feed-forward layer; returns its parts. The last projection has the weights once for
    /// each part: the values that it reads are as unequal as those to which its results are added.
    fn append_feed_forward(&mut self, values: &str, layer: &DecoderLayer) -> Vec<String> {
        let norm = &layer.feed_forward_norm;
        let (inner, down) = match &layer.feed_forward {
            FeedForward::Gelu { up, down } => {
                let up = self.append_linear(values, &fold_norm(up, norm));
                let inner =
                    self.graph.node("Gelu", &[&up], &[Attribute::String("approximate", "tanh")]);
                (self.split_parts(&inner), down)
            }
            FeedForward::Gated { gate, up, down } => {
                let gate = self.append_linear(values, &fold_norm(gate, norm));
                let share = self.append_node("Sigmoid", &[&gate]);
                let gate = self.append_node("Mul", &[&gate, &share]);
                let up = self.append_linear(values, &fold_norm(up, norm));
                let (gate, up) = (self.split_parts(&gate), self.split_parts(&up));
                let parts = gate.iter().zip(&up);
                (parts.map(|(gate, up)| self.append_node("Mul", &[gate, up])).collect(), down)
            }
        };
        let matrix = self.append_weights(down);
        inner.iter().map(|part| self.append_projection(part, &matrix, down)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use taonet_lm::{CausalModel, KvCache, Llama, LlamaConfig, LlamaKind, LoadOptions};
    use taonet_proof_core::float::FloatOperation;
    use taonet_proof_onnx::Model;

    use super::*;

    /// Compares the logits after each token with those of the model, which caches keys and values.
    fn assert_same_logits(graph: &[u8], tokens: &[u32], mut logits: impl FnMut(u32) -> Vec<f32>) {
        let inputs: Vec<f32> = tokens.iter().map(|&token| token as f32).collect();
        let outputs = Model::decode(graph).unwrap().evaluate(&inputs).unwrap().outputs;
        let vocabulary = outputs.len() / tokens.len();
        for (position, (&token, outputs)) in
            tokens.iter().zip(outputs.chunks(vocabulary)).enumerate()
        {
            let expected = logits(token);
            assert_eq!(expected.len(), vocabulary);
            for (actual, expected) in outputs.iter().zip(expected) {
                let expected = f64::from(expected);
                assert!(
                    (actual - expected).abs() < 1e-3,
                    "position {position}: {actual}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn graph_of_gpt2_has_the_logits_of_the_model() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/facts-lm"));
        let model = CausalModel::open(directory, LoadOptions::default()).unwrap();
        let tokens = [0, 20, 31, 28, 1, 26, 24, 39];
        let mut cache = KvCache::default();
        assert_same_logits(&onnx(&model.decoder(8).unwrap(), 8), &tokens, |token| {
            model.next(&[token], &mut cache).unwrap()
        });
    }

    /// As those of SmolLM2 are, which have too many numbers for a table. The first position has
    /// tensors of its own.
    #[test]
    fn embeddings_are_multiplied_with_one_hot_tokens() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/facts-lm"));
        let model = CausalModel::open(directory, LoadOptions::default()).unwrap();
        let (decoder, tokens) = (model.decoder(8).unwrap(), [0, 20, 31, 28, 1, 26, 24, 52]);
        assert_eq!(onnx(&decoder, 8), write_graph(&decoder, 8, false));
        let mut cache = KvCache::default();
        assert_same_logits(&write_graph(&decoder, 8, true), &tokens, |token| {
            model.next(&[token], &mut cache).unwrap()
        });
    }

    /// Norms have no scales of their own, and an attention has two projections.
    #[test]
    fn graph_has_a_convolution_for_each_projection() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/facts-lm"));
        let decoder =
            CausalModel::open(directory, LoadOptions::default()).unwrap().decoder(8).unwrap();
        let network = taonet_proof_onnx::read(&onnx(&decoder, 8)).unwrap();
        let groups = network.nodes.iter().filter_map(|node| match node.operation {
            FloatOperation::Convolution { groups, .. } => Some(groups),
            _ => None,
        });
        let (projections, others): (Vec<usize>, Vec<usize>) =
            groups.partition(|&groups| groups == 1);
        // Queries, keys and values together, the output, up and down, and the head.
        assert_eq!(projections.len(), 4 * decoder.layers.len() + 1);
        // The positions are added to each element of the embeddings.
        assert_eq!(others, [8 * decoder.embeddings.columns]);
    }

    #[test]
    fn graphs_of_llama_and_qwen_have_the_logits_of_the_models() {
        for kind in [LlamaKind::Llama, LlamaKind::Qwen2, LlamaKind::Qwen3] {
            let config = LlamaConfig {
                kind,
                vocabulary: 11,
                hidden: 16,
                intermediate: 24,
                layers: 2,
                heads: 4,
                // Two heads share keys and values.
                kv_heads: 2,
                head_size: if kind == LlamaKind::Qwen3 { 6 } else { 4 },
                local: None,
                context: 32,
                rope_theta: 10_000.0,
                rope_scaling: None,
                norm_eps: 1e-5,
            };
            let model = Llama::random(config, 7).unwrap();
            let decoder = model.decoder(6).unwrap();
            for is_large in [false, true] {
                let mut cache = KvCache::default();
                assert_same_logits(
                    &write_graph(&decoder, 6, is_large),
                    &[3, 1, 10, 4, 4, 0],
                    |token| model.next(&[token], &mut cache).unwrap(),
                );
            }
        }
    }
}
