use super::*;
use crate::LocalLayers;

fn config() -> LlamaConfig {
    LlamaConfig {
        kind: LlamaKind::Llama,
        vocabulary: 40,
        hidden: 24,
        intermediate: 36,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_size: 6,
        local: None,
        context: 32,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
    }
}

/// Returns the dimensions of each architecture.
fn configs() -> [LlamaConfig; 4] {
    let config_with = |kind, head_size, local| LlamaConfig { kind, head_size, local, ..config() };
    // The first layer of Gemma is local, the second one global.
    let local = LocalLayers { window: 3, rope_theta: 100.0, period: 2 };
    [
        config_with(LlamaKind::Llama, 6, None),
        config_with(LlamaKind::Qwen2, 6, None),
        // The heads are wider than their share of the residual stream.
        config_with(LlamaKind::Qwen3, 10, None),
        config_with(LlamaKind::Gemma3, 10, Some(local)),
    ]
}

fn matvec(rows: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    rows.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

fn rms_normalized(vector: &[f64]) -> Vec<f64> {
    let mean = vector.iter().map(|x| x * x).sum::<f64>() / vector.len() as f64;
    vector.iter().map(|x| x / (mean + 1e-5).sqrt()).collect()
}

/// Norms each head of a vector.
fn rms_normalized_heads(vector: &[f64], norm: &[f64]) -> Vec<f64> {
    vector
        .chunks(norm.len())
        .flat_map(|head| rms_normalized(head).into_iter().zip(norm).map(|(x, scale)| x * scale))
        .collect()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn add(one: &mut [f64], other: &[f64]) {
    for (one, other) in one.iter_mut().zip(other) {
        *one += other;
    }
}

/// Rotates the pairs (i, i + half) of each head by the position's angles.
fn rotated(vector: &[f64], heads: usize, position: usize, theta: f64) -> Vec<f64> {
    let size = vector.len() / heads;
    let half = size / 2;
    let mut rotated_vector = vector.to_vec();
    for head in 0..heads {
        for pair in 0..half {
            let angle = position as f64 / theta.powf(2.0 * pair as f64 / size as f64);
            let (a, b) = (vector[head * size + pair], vector[head * size + pair + half]);
            rotated_vector[head * size + pair] = a * angle.cos() - b * angle.sin();
            rotated_vector[head * size + pair + half] = a * angle.sin() + b * angle.cos();
        }
    }
    rotated_vector
}

/// Computes the logits with a reference implementation of the architecture on plain numbers.
#[allow(clippy::needless_range_loop, reason = "indices as in the formulas")]
fn reference_logits(model: &Llama, tokens: &[u32]) -> Vec<Vec<f64>> {
    let config = model.config;
    let size = config.head_size;
    let embeddings = Llama::rows(&model.embeddings);
    let mut stream: Vec<Vec<f64>> =
        tokens.iter().map(|token| embeddings[*token as usize].clone()).collect();
    let is_gemma = config.kind == LlamaKind::Gemma3;
    if is_gemma {
        for hidden in &mut stream {
            *hidden = hidden.iter().map(|x| x * (config.hidden as f64).sqrt()).collect();
        }
    }
    for (index, layer) in model.layers.iter().enumerate() {
        let local = config.local.filter(|local| !(index + 1).is_multiple_of(local.period));
        let theta = local.map_or(config.rope_theta, |local| local.rope_theta);
        let output_norms = layer.output_norms.as_ref();
        let output_normed = |vector: &[f64], norm: Option<&Tensor>| match norm.map(values) {
            None => vector.to_vec(),
            Some(norm) => rms_normalized_heads(vector, &norm),
        };
        let project = |layer: &Linear| {
            let (rows, bias) = (Llama::rows(&layer.weight), layer.bias.as_ref().map(values));
            let output = |hidden: &Vec<f64>| {
                let mut output = matvec(&rows, &rms_normalized(hidden));
                if let Some(bias) = &bias {
                    add(&mut output, bias);
                }
                output
            };
            stream.iter().map(output).collect::<Vec<_>>()
        };
        let norm_heads = |vectors: Vec<Vec<f64>>, norm: Option<&Tensor>| match norm.map(values) {
            None => vectors,
            Some(norm) => {
                vectors.iter().map(|vector| rms_normalized_heads(vector, &norm)).collect()
            }
        };
        let norms = layer.head_norms.as_ref();
        let rotate = |vectors: Vec<Vec<f64>>, heads| {
            vectors
                .iter()
                .enumerate()
                .map(|(position, vector)| rotated(vector, heads, position, theta))
                .collect::<Vec<_>>()
        };
        let queries = norm_heads(project(&layer.query), norms.map(|norms| &norms.query));
        let keys = norm_heads(project(&layer.key), norms.map(|norms| &norms.key));
        let (queries, keys) = (rotate(queries, config.heads), rotate(keys, config.kv_heads));
        let values = project(&layer.value);
        let output = Llama::rows(&layer.output.weight);
        for position in 0..tokens.len() {
            let mut weighted_values = vec![0.0; config.heads * size];
            for head in 0..config.heads {
                let kv_head = head / (config.heads / config.kv_heads);
                let query = &queries[position][head * size..(head + 1) * size];
                let first = local.map_or(0, |local| (position + 1).saturating_sub(local.window));
                let scores: Vec<f64> = (first..=position)
                    .map(|past| {
                        let key = &keys[past][kv_head * size..(kv_head + 1) * size];
                        (query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>()
                            / (size as f64).sqrt())
                        .exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (past, score) in (first..).zip(&scores) {
                    let value = &values[past][kv_head * size..(kv_head + 1) * size];
                    for (dimension, value) in value.iter().enumerate() {
                        weighted_values[head * size + dimension] += score / sum * value;
                    }
                }
            }
            let attended = matvec(&output, &weighted_values);
            add(
                &mut stream[position],
                &output_normed(&attended, output_norms.map(|norms| &norms.attention)),
            );
        }
        let (gate, up, down) = (
            Llama::rows(&layer.gate.weight),
            Llama::rows(&layer.up.weight),
            Llama::rows(&layer.down.weight),
        );
        for hidden in &mut stream {
            let input = rms_normalized(hidden);
            let gated: Vec<f64> = matvec(&gate, &input)
                .into_iter()
                .zip(matvec(&up, &input))
                .map(
                    |(gate, up)| {
                        if is_gemma { gelu(gate) * up } else { gate / (1.0 + (-gate).exp()) * up }
                    },
                )
                .collect();
            let feed_forward_output = matvec(&down, &gated);
            add(
                hidden,
                &output_normed(&feed_forward_output, output_norms.map(|norms| &norms.feed_forward)),
            );
        }
    }
    let head = Llama::rows(&model.head.weight);
    stream.iter().map(|hidden| matvec(&head, &rms_normalized(hidden))).collect()
}

const TOKENS: [u32; 9] = [3, 39, 0, 17, 17, 8, 25, 1, 30];

#[test]
fn logits_match_a_reference_implementation() {
    for config in configs() {
        let model = Llama::random(config, 11).unwrap();
        let actual = model.forward(&TOKENS, &mut KvCache::default()).unwrap();
        for (actual, expected) in
            actual.iter().flatten().zip(reference_logits(&model, &TOKENS).iter().flatten())
        {
            assert!(
                (f64::from(*actual) - expected).abs() < 2e-3,
                "{config:?}: {actual}, expected {expected}"
            );
        }
    }
}

#[test]
fn logits_with_and_without_cache_are_equal() {
    for config in configs() {
        let model = Llama::random(config, 11).unwrap();
        let complete_logits = model.forward(&TOKENS, &mut KvCache::default()).unwrap();
        let mut cache = KvCache::default();
        let mut split_logits = model.forward(&TOKENS[..4], &mut cache).unwrap();
        split_logits.extend(model.forward(&TOKENS[4..7], &mut cache).unwrap());
        for token in &TOKENS[7..] {
            split_logits.push(model.next(&[*token], &mut cache).unwrap());
        }
        assert_eq!(cache.tokens(), TOKENS.len());
        for (one, other) in complete_logits.iter().flatten().zip(split_logits.iter().flatten()) {
            assert!((one - other).abs() < 1e-3, "{one} {other}");
        }
    }
}

#[test]
fn seed_determines_the_weights() {
    let logits = |seed| {
        Llama::random(config(), seed).unwrap().next(&TOKENS, &mut KvCache::default()).unwrap()
    };
    assert_eq!(logits(1), logits(1));
    let has_difference =
        logits(1).iter().zip(logits(2)).any(|(one, other)| (one - other).abs() > 1.0);
    assert!(has_difference);
}

#[test]
fn invalid_configuration_is_refused() {
    for invalid in [
        LlamaConfig { heads: 5, ..config() },
        LlamaConfig { kv_heads: 3, ..config() },
        LlamaConfig { head_size: 5, ..config() },
        LlamaConfig { head_size: 0, ..config() },
        LlamaConfig { head_size: usize::MAX - 1, ..config() },
        LlamaConfig { layers: 0, ..config() },
        LlamaConfig {
            local: Some(LocalLayers { window: 0, rope_theta: 1e4, period: 6 }),
            ..config()
        },
        LlamaConfig {
            local: Some(LocalLayers { window: 4, rope_theta: 1e4, period: 0 }),
            ..config()
        },
        LlamaConfig {
            local: Some(LocalLayers { window: 4, rope_theta: 0.0, period: 6 }),
            ..config()
        },
    ] {
        assert!(matches!(Llama::random(invalid, 1), Err(ModelError::Config(_))), "{invalid:?}");
    }
    let model = Llama::random(config(), 1).unwrap();
    let mut cache = KvCache::default();
    assert!(matches!(model.next(&[40], &mut cache), Err(ModelError::Tokens)));
    assert!(matches!(model.forward(&[], &mut cache), Err(ModelError::Tokens)));
    let long = model.next(&[1; 33], &mut cache);
    assert!(matches!(long, Err(ModelError::TooLong { tokens: 33, context: 32 })));
    assert_eq!(cache.tokens(), 0);
}
