//! The decoder of a VITS network, HiFi-GAN: from a hidden signal of a few hundred channels to
//! samples.
//!
//! It takes most of the time of a network. [`Decoder::find`] recognises the nodes from the first
//! transposed convolution to the output, and [`Decoder::run`] runs them several times as fast as
//! rten, which runs the other nodes. A network with other nodes in this part has no [`Decoder`]:
//! then rten runs all of it.

mod builder;
mod convolution;
mod stage;
#[cfg(test)]
mod tests;

use builder::Builder;
pub(crate) use convolution::Signal;
use stage::Stage;

use crate::onnx::graph::Graph;

/// The decoder of a network.
pub(crate) struct Decoder {
    /// Name of the value that enters the decoder.
    pub(crate) input: String,
    /// Name of the value of the samples.
    pub(crate) output: String,
    /// Channels of the input.
    channels: usize,
    stages: Vec<Stage>,
}

impl Decoder {
    /// Finds the decoder in an ONNX file. Returns `None` if the file has none, or one with
    /// unsupported nodes.
    pub(crate) fn find(file: &[u8]) -> Option<Self> {
        let graph = Graph::parse(file)?;
        let first = graph.nodes.iter().find(|node| node.operator == "ConvTranspose")?;
        let input = *first.inputs.first()?;
        let channels = *graph.floats(first.inputs.get(1)?)?.shape.first()?;
        let mut builder = Builder::new(&graph, input, channels);
        for node in &graph.nodes {
            if builder.depends_on_input(node) {
                builder.add_node(node)?;
            }
        }
        let output = builder.output?.to_owned();
        Some(Self {
            input: input.to_owned(),
            output,
            channels,
            stages: Stage::split(builder.steps),
        })
    }

    /// Returns the samples of a signal, or `None` if the signal has other dimensions than the
    /// decoder's input.
    pub(crate) fn run(&self, mut signal: Signal) -> Option<Vec<f32>> {
        if signal.values.len() != self.channels.checked_mul(signal.width)? {
            return None;
        }
        rten::thread_pool().run(|| {
            for stage in &self.stages {
                signal = stage.run(&signal)?;
            }
            signal.values.iter_mut().for_each(|sample| *sample = sample.tanh());
            Some(signal.values)
        })
    }
}
