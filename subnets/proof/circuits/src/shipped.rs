//! The models that ship with the product, for demonstrations and tests.

use taonet_proof_core::Range;
use taonet_proof_core::quantise::{QuantiseOptions, Sample};

use crate::{
    Backends, CircuitError, CompileOptions, Compiled, CompiledSlices, compile, compile_slices,
};

/// A shipped model. models/NAME/README.md describes the model and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShippedModel {
    /// A dense network, 784-128-64-10, on 28×28 pixels.
    DigitsMlp,
    /// Two convolutions with pooling, then dense layers, on 28×28 pixels.
    DigitsLenet,
    /// A regression from ten measurements to one number.
    DiabetesRegression,
}

impl ShippedModel {
    /// All shipped models.
    pub const ALL: [Self; 3] = [Self::DigitsMlp, Self::DigitsLenet, Self::DiabetesRegression];

    /// Returns the model's name, which is also the name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DigitsMlp => "digits-mlp",
            Self::DigitsLenet => "digits-lenet",
            Self::DiabetesRegression => "diabetes-regression",
        }
    }

    /// Returns the ONNX file.
    pub const fn onnx(self) -> &'static [u8] {
        match self {
            Self::DigitsMlp => include_bytes!("../../../../models/digits-mlp/model.onnx"),
            Self::DigitsLenet => include_bytes!("../../../../models/digits-lenet/model.onnx"),
            Self::DiabetesRegression => {
                include_bytes!("../../../../models/diabetes-regression/model.onnx")
            }
        }
    }

    /// Returns held-out inputs, with labels or targets.
    ///
    /// # Errors
    /// Never for a released version: the sample is embedded in the program.
    pub fn sample(self) -> Result<Sample, CircuitError> {
        let text: &[u8] = match self {
            // Both models share the same digits.
            Self::DigitsMlp | Self::DigitsLenet => {
                include_bytes!("../../../../models/digits-mlp/sample.json")
            }
            Self::DiabetesRegression => {
                include_bytes!("../../../../models/diabetes-regression/sample.json")
            }
        };
        serde_json::from_slice(text)
            .map_err(|source| CircuitError::Json { document: "sample", source })
    }

    /// Returns the model's quantisation options.
    pub fn quantise_options(self) -> QuantiseOptions {
        let options = QuantiseOptions::default();
        match self {
            Self::DigitsMlp | Self::DigitsLenet => options,
            // Measurements are in units of 1/1024.
            Self::DiabetesRegression => {
                QuantiseOptions { input_range: Range { low: -256, high: 255 }, ..options }
            }
        }
    }

    /// Compiles the model for a backend.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub fn compile(self, backend: &str) -> Result<Compiled, CircuitError> {
        self.compile_with(backend, &Backends::default())
    }

    /// Compiles the model for one of the given backends.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub fn compile_with(
        self,
        backend: &str,
        backends: &Backends,
    ) -> Result<Compiled, CircuitError> {
        let options = CompileOptions { backends: backends.clone(), ..self.options(backend) };
        compile(self.onnx(), &self.sample()?, &options)
    }

    /// Compiles the model, split into `count` slices.
    ///
    /// # Errors
    /// When the backend is unknown, or the model has too few layers.
    pub fn compile_slices(
        self,
        backend: &str,
        count: usize,
    ) -> Result<CompiledSlices, CircuitError> {
        compile_slices(self.onnx(), &self.sample()?, &self.options(backend), count)
    }

    fn options(self, backend: &str) -> CompileOptions {
        CompileOptions {
            name: self.name().to_owned(),
            backend: backend.to_owned(),
            backends: Backends::default(),
            quantise: self.quantise_options(),
            max_error: None,
            contributor: "anonymous".to_owned(),
        }
    }
}
