//! Comparison of features, encoder output and logits.

use super::encoded::OpenedModel;
use super::*;
use crate::decoder::EncoderMemory;

#[test]
fn features_equal_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let mut audio = recordings();
    audio.extend([
        sound(1, 3.0),
        vec![0.0; 16_000],
        vec![0.5; 1],
        sound(2, 0.011),
        vec![1.0; 40_000],
    ]);
    for mels in [80, 128] {
        let paths: Vec<PathBuf> = audio
            .iter()
            .enumerate()
            .map(|(i, samples)| peer.write_values(&format!("audio{i}"), samples))
            .collect();
        let shapes = peer.run_reference(json!({"do": "mel", "mels": mels, "audio": paths}));
        let log_mel = LogMel::new(mels);
        for (i, samples) in audio.iter().enumerate() {
            let features = log_mel.features(samples);
            assert_eq!(json!([mels, features.frames()]), shapes[i], "recording {i}");
            let expected = peer.read_values(&format!("mel{i}.f32"));
            let difference = greatest_difference(features.values(), &expected);
            assert!(difference < 1e-5, "recording {i}, {mels} bands: {difference}");
        }
    }
}

fn greatest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Computes |a - b| / |b| in the Euclidean norm.
fn relative_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (difference / b.iter().map(|b| square(*b)).sum::<f64>()).sqrt()
}

/// Compares the outputs of the encoder for the first `count` windows. Returns the relative
/// difference of each output of each of the kernels, and that of the reference's own output when
/// its features change by 1e-7.
fn encoder_differences(peer: &Peer, model: &EncodedModel, count: usize) -> Vec<(f64, f64)> {
    let EncodedModel { name, folder, paths, opened } = model;
    let sensitivities =
        peer.run_reference(json!({"do": "encode", "model": folder, "mel": paths[..count]}));
    let mut differences = Vec::new();
    for (i, sensitivity) in sensitivities.as_array().unwrap().iter().enumerate() {
        let theirs = peer.read_values(&format!("encode{i}.f32"));
        let sensitivity = sensitivity.as_f64().unwrap();
        for OpenedModel { model, windows } in opened {
            let difference = relative_difference(&windows[i].output, &theirs);
            let _ = writeln!(
                std::io::stderr(),
                "{name}, {}: encoder output {difference:.5} apart, reference from itself {sensitivity:.5}",
                model.kernels()
            );
            differences.push((difference, sensitivity));
        }
    }
    differences
}

pub(super) fn check_encoder(peer: &Peer, model: &EncodedModel, limit: f64) {
    let name = &model.name;
    for (difference, sensitivity) in encoder_differences(peer, model, 2) {
        assert!(difference < (1.25 * sensitivity).max(limit), "{name}: {difference} {sensitivity}");
    }
}

#[test]
fn trained_encoder_equals_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let model = encoded_speech(&peer, 4);
    for (difference, sensitivity) in encoder_differences(&peer, &model, model.paths.len()) {
        assert!(difference < 1e-2, "{difference} {sensitivity}");
    }
}

#[test]
fn safetensors_give_the_same_model() {
    let Some(peer) = Peer::find() else { return };
    let windows = windows(1, 80);
    let mut encoded = Vec::new();
    for extra in [["--quantization", "float16"].as_slice(), &["--safetensors"]] {
        let folder = peer.model("micro", extra);
        let model = Model::open(&folder).unwrap();
        let mut buffers = Buffers::default();
        model.encoder.forward(&Gemm::default(), &mut buffers, &windows[0]).unwrap();
        encoded.push(buffers.encoded);
        std::fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(encoded[0], encoded[1]);
}

/// Computes the logits of every step after the prompt, given the tokens that follow the prompt.
fn forced_logits(
    model: &Model,
    memory: &EncoderMemory,
    prompt: &[u32],
    tokens: &[u32],
) -> Vec<f32> {
    let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
    let all: Vec<u32> = prompt.iter().chain(tokens).copied().collect();
    let slots: Vec<_> = all.iter().map(|_| cache.allocate()).collect();
    let row = |(position, &token): (usize, &u32)| Row {
        token,
        position,
        memory: 0,
        slots: slots[..=position].to_vec(),
    };
    let rows: Vec<Row> = all.iter().enumerate().map(row).collect();
    // The prompt in one pass, then token by token, as in decoding.
    let (first, remaining) = rows.split_at(prompt.len());
    let width = model.decoder.width();
    let mut logits = Vec::new();
    for rows in std::iter::once(first).chain(remaining.chunks(1)) {
        let states = model
            .decoder
            .forward(&buffers.gemm.clone(), &mut buffers, &mut cache, &[memory], rows, None)
            .unwrap();
        model
            .decoder
            .logits(&buffers.gemm.clone(), &mut buffers, &states[states.len() - width..])
            .unwrap();
        logits.extend_from_slice(&buffers.logits);
    }
    logits
}

/// Margin between the reference's two best tokens, above which rounding does not change the best
/// one.
const CLEAR_MARGIN: f32 = 0.1;

/// Whether the reference's tokens may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repetition {
    /// With random weights, nearly all tokens are then the same.
    Allowed,
    Forbidden,
}

/// Compares the logits of every step in the first `count` windows after the same prefix, with which
/// the reference continues greedily.
pub(super) fn check_steps(
    peer: &Peer,
    model: &EncodedModel,
    count: u32,
    steps: usize,
    repetition: Repetition,
) {
    let vocabulary = &model.opened[0].model.vocabulary;
    let special = vocabulary.special();
    let english = vocabulary.language_token("en").unwrap();
    let prompt =
        [special.start_of_transcript, english, special.transcribe.unwrap(), special.no_timestamps];
    let count = count as usize;
    let answers = peer.run_reference(json!({
        "do": "steps", "model": model.folder, "mel": model.paths[..count], "prompt": prompt, "steps": steps,
        "suppress": [special.end_of_text], "distinct": repetition == Repetition::Forbidden
    }));
    for opened in &model.opened {
        let kernels = opened.model.kernels();
        let name = format!("{}, repetition {repetition:?}, {kernels}", model.name);
        let total = compare_steps(peer, &name, opened, &prompt, &answers, repetition);
        assert_eq!(total, count * steps, "{name}: steps");
    }
}

/// Compares our logits with those that the reference wrote for its own `answers`, one for each of
/// the first windows; returns the number of steps.
fn compare_steps(
    peer: &Peer,
    name: &str,
    opened: &OpenedModel,
    prompt: &[u32],
    answers: &Value,
    repetition: Repetition,
) -> usize {
    let OpenedModel { model, windows } = opened;
    let end_of_text = model.vocabulary.special().end_of_text as usize;
    let vocabulary = model.decoder.tokens();
    let (mut total, mut equal, mut clear, mut clear_and_equal) = (0, 0, 0, 0);
    let (mut difference, mut values) = (0.0f64, 0u64);
    for (i, (answer, window)) in answers.as_array().unwrap().iter().zip(windows).enumerate() {
        let tokens: Vec<u32> = serde_json::from_value(answer["tokens"].clone()).unwrap();
        let ours = forced_logits(model, &window.memory, prompt, &tokens[..tokens.len() - 1]);
        let theirs = peer.read_values(&format!("steps{i}.f32"));
        let mut is_allowed = vec![true; vocabulary];
        is_allowed[end_of_text] = false;
        for ((ours, theirs), token) in
            ours.chunks(vocabulary).zip(theirs.chunks(vocabulary)).zip(&tokens)
        {
            let token = *token as usize;
            let allowed: Vec<usize> = (0..vocabulary).filter(|&index| is_allowed[index]).collect();
            let best = *allowed.iter().max_by(|&&a, &&b| ours[a].total_cmp(&ours[b])).unwrap();
            let rivals = allowed.iter().filter(|&&index| index != token);
            let rival = rivals.map(|&index| theirs[index]).fold(f32::MIN, f32::max);
            total += 1;
            equal += usize::from(best == token);
            if theirs[token] - rival > CLEAR_MARGIN {
                clear += 1;
                clear_and_equal += usize::from(best == token);
            }
            for index in allowed {
                difference += f64::from((ours[index] - theirs[index]).abs());
                values += 1;
            }
            if repetition == Repetition::Forbidden {
                assert!(
                    std::mem::replace(&mut is_allowed[token], false),
                    "{name}: token {token} is repeated"
                );
            }
        }
    }
    let mean = difference / values as f64;
    let _ = writeln!(
        std::io::stderr(),
        "{name}: {equal} of {total} tokens equal, {clear_and_equal} of the {clear} with a clear margin, logits \
         {mean:.5} apart"
    );
    assert!(clear * 6 >= total, "{name}: only {clear} of {total} steps have a clear margin");
    // Few steps say little about 1 %.
    assert!(
        clear - clear_and_equal <= (clear / 100).max(1),
        "{name}: {clear_and_equal} of {clear} clear tokens are equal"
    );
    let minimum = if repetition == Repetition::Forbidden { 75 } else { 99 };
    assert!(equal * 100 >= total * minimum, "{name}: {equal} of {total} tokens are equal");
    assert!(mean < 0.05, "{name}: logits differ by {mean} on average");
    total
}

#[test]
fn next_tokens_of_the_trained_model_equal_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let model = encoded_speech(&peer, 1);
    check_steps(&peer, &model, model.paths.len() as u32, 25, Repetition::Forbidden);
}

/// Encodes every `step`th recording of vectors/speech with the trained model.
fn encoded_speech(peer: &Peer, step: usize) -> EncodedModel {
    EncodedModel::open(peer, "trained".to_owned(), trained_model(), &kernels(), |mels| {
        let log_mel = LogMel::new(mels);
        recordings()
            .iter()
            .step_by(step)
            .map(|samples| log_mel.features(samples).window(0, WINDOW_FRAMES))
            .collect()
    })
}
