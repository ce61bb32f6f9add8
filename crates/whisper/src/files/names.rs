//! Mapping of CTranslate2's tensor names to those of Hugging Face checkpoints.

fn single_name(component: &str, tensor: &str) -> Vec<Option<String>> {
    vec![Some(format!("model.{component}.{tensor}"))]
}

/// Returns the Hugging Face tensors that CTranslate2 fuses under `name`; `None` is a missing bias,
/// which counts as zero (Whisper's key projections have no bias).
pub(super) fn safetensors_names(name: &str) -> Vec<Option<String>> {
    let (component, tensor) = name.split_once('/').unwrap_or(("", name));
    match tensor {
        "embeddings/weight" | "projection/weight" => {
            return single_name(component, "embed_tokens.weight");
        }
        "position_encodings/encodings" => return single_name(component, "embed_positions.weight"),
        "layer_norm/gamma" => return single_name(component, "layer_norm.weight"),
        "layer_norm/beta" => return single_name(component, "layer_norm.bias"),
        _ => {}
    }
    let Some((layer, part)) = tensor.strip_prefix("layer_").and_then(|part| part.split_once('/'))
    else {
        return single_name(component, &tensor.replace('/', "."));
    };
    let (block, kind) = part.rsplit_once('/').unwrap_or((part, ""));
    let norm = match kind {
        "gamma" => "weight",
        _ => "bias",
    };
    let fused = |attention: &str, projections: &[&str]| {
        projections
            .iter()
            .map(|&projection| {
                let exists = kind == "weight" || projection != "k_proj";
                exists.then(|| {
                    format!("model.{component}.layers.{layer}.{attention}.{projection}.{kind}")
                })
            })
            .collect()
    };
    match block {
        "self_attention/layer_norm" => {
            single_name(component, &format!("layers.{layer}.self_attn_layer_norm.{norm}"))
        }
        "self_attention/linear_0" => fused("self_attn", &["q_proj", "k_proj", "v_proj"]),
        "self_attention/linear_1" => fused("self_attn", &["out_proj"]),
        "attention/layer_norm" => {
            single_name(component, &format!("layers.{layer}.encoder_attn_layer_norm.{norm}"))
        }
        "attention/linear_0" => fused("encoder_attn", &["q_proj"]),
        "attention/linear_1" => fused("encoder_attn", &["k_proj", "v_proj"]),
        "attention/linear_2" => fused("encoder_attn", &["out_proj"]),
        "ffn/layer_norm" => {
            single_name(component, &format!("layers.{layer}.final_layer_norm.{norm}"))
        }
        "ffn/linear_0" => single_name(component, &format!("layers.{layer}.fc1.{kind}")),
        "ffn/linear_1" => single_name(component, &format!("layers.{layer}.fc2.{kind}")),
        _ => single_name(component, &format!("layers.{layer}.{}", part.replace('/', "."))),
    }
}
