//! Compares the integer network of a language model with the model, without keys: how often both
//! choose the same token, their perplexities, and the error of every tensor.
//!
//! `cargo run --release -p taonet-proof-lm --example precision -- MODEL TOKENS SCALE WEIGHT_BITS
//! SAMPLE [TEXT]`

use std::path::Path;
use std::{env, fs};

use taonet_proof_core::quantise::QuantiseOptions;
use taonet_proof_lm::{LmOptions, measure};

#[allow(clippy::print_stdout, reason = "the output of a development tool")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let ([model, tokens, scale, weight_bits, sample], text) = match &arguments[..] {
        [model, tokens, scale, weight_bits, sample] => {
            ([model, tokens, scale, weight_bits, sample], None)
        }
        [model, tokens, scale, weight_bits, sample, text] => {
            ([model, tokens, scale, weight_bits, sample], Some(fs::read_to_string(text)?))
        }
        _ => return Err("expected MODEL TOKENS SCALE WEIGHT_BITS SAMPLE [TEXT]".into()),
    };
    let options = QuantiseOptions {
        activation_bits: scale.parse()?,
        weight_bits: weight_bits.parse()?,
        ..QuantiseOptions::default()
    };
    let sample = fs::read_to_string(sample)?;
    let lm = LmOptions { tokens: tokens.parse()?, sample: Some(&sample) };
    let precision = measure(Path::new(model), &options, lm, text.as_deref())?;
    for tensor in &precision.tensors {
        println!("{:9.6} {}", tensor.error, tensor.node);
    }
    let [model_perplexity, network_perplexity] = precision.perplexities;
    println!("same token at {} of {} positions", precision.same, precision.positions);
    println!(
        "perplexity {model_perplexity:.3} of the model, {network_perplexity:.3} of the integer network"
    );
    Ok(())
}
