use proptest::prelude::*;

use super::*;

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16 + 1).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

/// Builds a CTranslate2 file with variables (name, shape, type, data) and one alias.
fn binary(variables: &[(&str, &[u32], u8, &[u8])], alias: (&str, &str)) -> Vec<u8> {
    let mut bytes = 6u32.to_le_bytes().to_vec();
    bytes.extend(string("WhisperSpec"));
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((variables.len() as u32).to_le_bytes());
    for (name, shape, element, data) in variables {
        bytes.extend(string(name));
        bytes.push(shape.len() as u8);
        bytes.extend(shape.iter().flat_map(|extent| extent.to_le_bytes()));
        bytes.push(*element);
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(*data);
    }
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(string(alias.0));
    bytes.extend(string(alias.1));
    bytes
}

fn example() -> Vec<u8> {
    let floats: Vec<u8> = [1.0f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    binary(
        &[
            ("a/weight", &[2, 1], 0, &floats),
            ("b/weight", &[3], 4, &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00]),
            ("c/weight", &[2], 1, &[0xff, 0x7f]),
            ("encoder/num_heads", &[], 2, &[12, 0]),
            ("d", &[1], 5, &[0x80, 0x3f]),
        ],
        ("e/weight", "a/weight"),
    )
}

fn open(name: &str, bytes: &[u8]) -> Result<Weights, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    // The open file outlives its folder.
    Weights::open(folder.path())
}

#[test]
fn ctranslate2_tensors_are_read_by_name_and_alias() {
    let mut weights = open("model.bin", &example()).unwrap();
    let half = 2f32.powi(-24);
    let expected = [
        ("a/weight", vec![2, 1], Values::Float(vec![1.0, -2.0])),
        ("e/weight", vec![2, 1], Values::Float(vec![1.0, -2.0])),
        ("b/weight", vec![3], Values::Float(vec![1.0, -2.0, half])),
        ("c/weight", vec![2], Values::Int8(vec![-1, 127])),
        ("d", vec![1], Values::Float(vec![1.0])),
    ];
    for (name, shape, values) in expected {
        assert_eq!(weights.shape(name).unwrap(), shape);
        assert_eq!(weights.tensor(name).unwrap(), Tensor { shape, values });
    }
    assert_eq!(weights.attribute("encoder/num_heads").unwrap(), Some(12));
    assert_eq!(weights.attribute("decoder/num_heads").unwrap(), None);
    assert!(
        matches!(weights.tensor("absent"), Err(ModelError::MissingTensor(name)) if name == "absent")
    );
    // One matrix of two elements as int8, and seven other elements as f32, except for the alias.
    assert_eq!(weights.quantized_bytes(), 2 + 4 * (3 + 2 + 1 + 1));
    assert_eq!(weights.digest().unwrap(), hex::encode(Sha256::digest(example())));
}

#[test]
fn unusable_int8_scale_is_refused() {
    for scale in [0.0_f32, f32::NAN, f32::INFINITY] {
        let scale = scale.to_le_bytes();
        let variables: [(&str, &[u32], u8, &[u8]); 2] =
            [("a/weight", &[1, 2], 1, &[1, 2]), ("a/weight_scale", &[1], 0, &scale)];
        let weights = open("model.bin", &binary(&variables, ("b/weight", "a/weight"))).unwrap();
        let error = crate::load::Loader(weights).quantized("a/weight", 2, 1).unwrap_err();
        assert!(
            matches!(&error, ModelError::NotFinite(name) if name == "a/weight_scale"),
            "{error}"
        );
    }
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let bytes = example();
    for length in 0..bytes.len() {
        let error = open("model.bin", &bytes[..length]).unwrap_err();
        assert!(matches!(error, ModelError::Corrupt { .. }), "{length}: {error}");
    }
}

#[test]
fn files_of_other_models_and_versions_are_refused() {
    let refused = |bytes: Vec<u8>| open("model.bin", &bytes).unwrap_err().to_string();
    let mut bytes = example();
    bytes[0] = 7;
    assert!(refused(bytes).ends_with("binary version 7, expected 6"));
    let mut bytes = example();
    bytes[6] = b'X';
    assert!(
        refused(bytes)
            .ends_with("model `XhisperSpec` revision 3, expected `WhisperSpec` revision 3")
    );
    let bytes = binary(&[("a", &[3], 0, &[0; 8])], ("b", "a"));
    assert!(refused(bytes).contains("tensor `a` of shape [3] has 8 bytes"));
    let bytes = binary(&[("a", &[], 6, &[0])], ("b", "a"));
    assert!(refused(bytes).ends_with("element type 6 of tensor `a`"));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Weights::open(folder.path()), Err(ModelError::NoWeights(_))));
}

/// CTranslate2 writes 16-bit integers for `--quantization int16`, with scales in a separate tensor.
#[test]
fn weights_of_16_and_32_bit_integers_are_refused() {
    for (element, bits) in [(2, 16), (3, 32)] {
        let data = vec![1; 2 * bits / 8];
        let error =
            open("model.bin", &binary(&[("a/weight", &[2, 1], element, &data)], ("b", "a/weight")))
                .unwrap_err();
        assert!(matches!(error, ModelError::Unsupported { .. }), "{error}");
        let expected = format!(
            "tensor `a/weight` has {bits}-bit integers; hint: convert the model with `--quantization int8`"
        );
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    let attributes: [(&str, &[u32], u8, &[u8]); 2] =
        [("a", &[], 2, &[3, 0]), ("b", &[], 3, &[4, 0, 0, 0])];
    let mut weights = open("model.bin", &binary(&attributes, ("c", "a"))).unwrap();
    assert_eq!(["a", "b"].map(|name| weights.attribute(name).unwrap()), [Some(3), Some(4)]);
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn fused_tensors_are_concatenated_from_safetensors() {
    let header = r#"{"__metadata__": {"format": "pt"},
        "model.decoder.layers.0.encoder_attn.k_proj.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        "model.decoder.layers.0.encoder_attn.v_proj.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]},
        "model.decoder.layers.0.encoder_attn.v_proj.bias": {"dtype": "BF16", "shape": [1], "data_offsets": [16, 18]}}"#;
    let mut data: Vec<u8> =
        [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    data.extend([0x80, 0x3f]);
    let mut weights = open("model.safetensors", &safetensors(header, &data)).unwrap();
    let name = "decoder/layer_0/attention/linear_1";
    assert!(weights.has(&format!("{name}/weight")));
    let weight = weights.tensor(&format!("{name}/weight")).unwrap();
    assert_eq!(
        weight,
        Tensor { shape: vec![2, 2], values: Values::Float(vec![1.0, 2.0, 3.0, 4.0]) }
    );
    // Keys have no bias, which counts as zero.
    let bias = weights.tensor(&format!("{name}/bias")).unwrap();
    assert_eq!(bias, Tensor { shape: vec![2], values: Values::Float(vec![0.0, 1.0]) });
    assert!(!weights.has("decoder/layer_1/attention/linear_1/weight"));
}

#[test]
fn ctranslate2_and_safetensors_names_correspond() {
    let cases = [
        ("encoder/conv1/weight", "model.encoder.conv1.weight"),
        ("encoder/position_encodings/encodings", "model.encoder.embed_positions.weight"),
        ("decoder/embeddings/weight", "model.decoder.embed_tokens.weight"),
        ("decoder/layer_norm/beta", "model.decoder.layer_norm.bias"),
        (
            "decoder/layer_3/attention/layer_norm/gamma",
            "model.decoder.layers.3.encoder_attn_layer_norm.weight",
        ),
        (
            "decoder/layer_3/attention/linear_2/bias",
            "model.decoder.layers.3.encoder_attn.out_proj.bias",
        ),
        ("encoder/layer_11/ffn/linear_1/weight", "model.encoder.layers.11.fc2.weight"),
        (
            "encoder/layer_11/ffn/layer_norm/gamma",
            "model.encoder.layers.11.final_layer_norm.weight",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(names::safetensors_names(name), [Some(expected.to_owned())]);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, at in 0usize..200, value: u8) {
        let _ = open("model.bin", &bytes);
        let _ = open("model.safetensors", &bytes);
        let mut changed = example();
        if let Some(byte) = changed.get_mut(at) {
            *byte = value;
        }
        if let Ok(mut weights) = open("model.bin", &changed) {
            let _ = weights.tensor("a/weight");
        }
    }
}
