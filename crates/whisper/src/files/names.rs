//! Mapping of CTranslate2's tensor names to those of Hugging Face checkpoints.

/// Returns the Hugging Face tensors that CTranslate2 fuses under `name`; `None` is a missing bias,
/// which counts as zero (Whisper's key projections have no bias).
pub(super) fn parts(name: &str) -> Vec<Option<String>> {
    let (side, rest) = name.split_once('/').unwrap_or(("", name));
    let single = |tensor: String| vec![Some(format!("model.{side}.{tensor}"))];
    match rest {
        "embeddings/weight" | "projection/weight" => {
            return single("embed_tokens.weight".to_owned());
        }
        "position_encodings/encodings" => return single("embed_positions.weight".to_owned()),
        "layer_norm/gamma" => return single("layer_norm.weight".to_owned()),
        "layer_norm/beta" => return single("layer_norm.bias".to_owned()),
        _ => {}
    }
    let Some((layer, rest)) = rest.strip_prefix("layer_").and_then(|rest| rest.split_once('/'))
    else {
        return single(rest.replace('/', "."));
    };
    let (block, kind) = rest.rsplit_once('/').unwrap_or((rest, ""));
    let norm = match kind {
        "gamma" => "weight",
        _ => "bias",
    };
    let fused = |attention: &str, projections: &[&str]| {
        projections
            .iter()
            .map(|&projection| {
                let exists = kind == "weight" || projection != "k_proj";
                exists
                    .then(|| format!("model.{side}.layers.{layer}.{attention}.{projection}.{kind}"))
            })
            .collect()
    };
    match block {
        "self_attention/layer_norm" => {
            single(format!("layers.{layer}.self_attn_layer_norm.{norm}"))
        }
        "self_attention/linear_0" => fused("self_attn", &["q_proj", "k_proj", "v_proj"]),
        "self_attention/linear_1" => fused("self_attn", &["out_proj"]),
        "attention/layer_norm" => single(format!("layers.{layer}.encoder_attn_layer_norm.{norm}")),
        "attention/linear_0" => fused("encoder_attn", &["q_proj"]),
        "attention/linear_1" => fused("encoder_attn", &["k_proj", "v_proj"]),
        "attention/linear_2" => fused("encoder_attn", &["out_proj"]),
        "ffn/layer_norm" => single(format!("layers.{layer}.final_layer_norm.{norm}")),
        "ffn/linear_0" => single(format!("layers.{layer}.fc1.{kind}")),
        "ffn/linear_1" => single(format!("layers.{layer}.fc2.{kind}")),
        _ => single(format!("layers.{layer}.{}", rest.replace('/', "."))),
    }
}
