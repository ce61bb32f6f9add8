//! Comparison of features, encoder output and logits.

use super::*;

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
            .map(|(i, samples)| peer.put(&format!("audio{i}"), samples))
            .collect();
        let shapes = peer.ask(json!({"do": "mel", "mels": mels, "audio": paths}));
        let log_mel = LogMel::new(mels);
        for (i, samples) in audio.iter().enumerate() {
            let features = log_mel.features(samples);
            assert_eq!(json!([mels, features.frames()]), shapes[i], "recording {i}");
            let expected = peer.get(&format!("mel{i}.f32"));
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

/// Encodes windows with both engines. Returns the relative difference of each output of each of the
/// [`kernels`], and that of the reference's own output when its features change by 1e-7.
fn encoder_differences(
    peer: &Peer,
    name: &str,
    folder: &Path,
    models: &[Model],
    windows: &[Vec<f32>],
) -> Vec<(f64, f64)> {
    let paths: Vec<PathBuf> =
        windows.iter().enumerate().map(|(i, w)| peer.put(&format!("window{i}"), w)).collect();
    let sensitivities = peer.ask(json!({"do": "encode", "model": folder, "mel": paths}));
    let mut differences = Vec::new();
    for (i, window) in windows.iter().enumerate() {
        let theirs = peer.get(&format!("encode{i}.f32"));
        let sensitivity = sensitivities[i].as_f64().unwrap();
        for model in models {
            let mut buffers = model.buffers();
            let gemm = buffers.gemm.clone();
            model.encoder.forward(&gemm, &mut buffers, window).unwrap();
            let difference = relative_difference(&buffers.encoded, &theirs);
            let _ = writeln!(
                std::io::stderr(),
                "{name}, {}: encoder output {difference:.5} apart, reference from itself {sensitivity:.5}",
                gemm.kernel_name()
            );
            differences.push((difference, sensitivity));
        }
    }
    differences
}

fn check_encoder(peer: &Peer, size: &str, extra: &[&str], limit: f64) {
    let folder = peer.model(size, extra);
    let models = models(&folder);
    let (name, windows) = (format!("{size} {extra:?}"), windows(2, models[0].encoder.mels()));
    for (difference, sensitivity) in encoder_differences(peer, &name, &folder, &models, &windows) {
        assert!(difference < (1.25 * sensitivity).max(limit), "{name}: {difference} {sensitivity}");
    }
}

/// A difference in the last bit of one activation moves some integers of the next layer by one.
/// After a dozen layers of unscaled random weights no common bits remain, and two engines differ as
/// much as two runs of the reference on perturbed features: 1.6 %. A one-layer model verifies the
/// arithmetic; residual weights scaled as after training verify the complete encoder. The limits
/// leave room for other orders of the sums, on CPUs with and without AMX.
pub(super) fn check_encoders(peer: &Peer) {
    check_encoder(peer, "micro", &["--quantization", "float32"], 2e-3);
    check_encoder(peer, "micro", &["--quantization", "int8"], 2e-3);
    check_encoder(peer, "small", &["--layers", "1"], 3e-3);
    check_encoder(peer, "large-v3-turbo", &["--layers", "1"], 6e-3);
    check_encoder(peer, "small", &["--residual", "0.2"], 1e-2);
    check_encoder(peer, "small", &[], 2e-2);
}

#[test]
fn the_trained_encoder_equals_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let (folder, windows) = (trained_model(), speech_windows(4));
    let differences = encoder_differences(&peer, "trained", &folder, &models(&folder), &windows);
    for (difference, sensitivity) in differences {
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
fn forced_logits(model: &Model, window: &[f32], prompt: &[u32], tokens: &[u32]) -> Vec<f32> {
    let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
    let memory = model.listen(&mut buffers, window).unwrap();
    let all: Vec<u32> = prompt.iter().chain(tokens).copied().collect();
    let slots: Vec<_> = all.iter().map(|_| cache.take()).collect();
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
            .forward(&buffers.gemm.clone(), &mut buffers, &mut cache, &[&memory], rows, None)
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
const CLEAR: f32 = 0.1;

/// Whether the reference's tokens may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repetition {
    /// With random weights, nearly all tokens are then the same.
    Allowed,
    Forbidden,
}

/// Compares the logits of every step after the same prefix, with which the reference continues
/// greedily.
fn check_steps(
    peer: &Peer,
    name: &str,
    folder: &Path,
    models: &[Model],
    windows: &[Vec<f32>],
    steps: usize,
    repetition: Repetition,
) {
    let vocabulary = &models[0].vocabulary;
    let special = vocabulary.special();
    let english = vocabulary.language_token("en").unwrap();
    let prompt =
        [special.start_of_transcript, english, special.transcribe.unwrap(), special.no_timestamps];
    let paths: Vec<PathBuf> =
        windows.iter().enumerate().map(|(i, w)| peer.put(&format!("window{i}"), w)).collect();
    let answers = peer.ask(json!({
        "do": "steps", "model": folder, "mel": paths, "prompt": prompt, "steps": steps, "suppress": [special.end_of_text],
        "distinct": repetition == Repetition::Forbidden
    }));
    for model in models {
        let name = format!("{name}, {}", model.kernels());
        let total = compare_steps(peer, &name, model, &prompt, windows, &answers, repetition);
        assert_eq!(total, windows.len() * steps, "{name}: steps");
    }
}

/// Compares our logits with those that the reference wrote for its own `answers`; returns the
/// number of steps.
fn compare_steps(
    peer: &Peer,
    name: &str,
    model: &Model,
    prompt: &[u32],
    windows: &[Vec<f32>],
    answers: &Value,
    repetition: Repetition,
) -> usize {
    let end_of_text = model.vocabulary.special().end_of_text as usize;
    let vocabulary = model.decoder.tokens();
    let (mut total, mut equal, mut clear, mut clear_and_equal) = (0, 0, 0, 0);
    let (mut difference, mut values) = (0.0f64, 0u64);
    for (i, window) in windows.iter().enumerate() {
        let tokens: Vec<u32> = serde_json::from_value(answers[i]["tokens"].clone()).unwrap();
        let ours = forced_logits(model, window, prompt, &tokens[..tokens.len() - 1]);
        let theirs = peer.get(&format!("steps{i}.f32"));
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
            if theirs[token] - rival > CLEAR {
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

/// Checks a random model in several runs. Columns: number of windows · steps of each · whether the
/// reference's tokens may be equal.
fn check_random_steps(peer: &Peer, size: &str, extra: &[&str], runs: &[(u32, usize, Repetition)]) {
    let folder = peer.model(size, extra);
    let models = models(&folder);
    for &(count, steps, repetition) in runs {
        let name = format!("{size} {extra:?}, repetition {repetition:?}");
        let windows = windows(count, models[0].encoder.mels());
        check_steps(peer, &name, &folder, &models, &windows, steps, repetition);
    }
}

pub(super) fn check_next_tokens(peer: &Peer) {
    check_random_steps(peer, "tiny", &[], &[(4, 100, Repetition::Forbidden)]);
    check_random_steps(
        peer,
        "large-v3-turbo",
        &["--layers", "1"],
        &[(2, 50, Repetition::Forbidden)],
    );
    // Encoding a window takes most of the time.
    let [repeating, distinct] = if is_exhaustive() { [10, 5] } else { [3, 2] };
    let runs = [(repeating, 200, Repetition::Allowed), (distinct, 200, Repetition::Forbidden)];
    check_random_steps(peer, "small", &[], &runs);
}

#[test]
fn next_tokens_of_the_trained_model_equal_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let (folder, windows) = (trained_model(), speech_windows(1));
    let models = models(&folder);
    check_steps(&peer, "trained", &folder, &models, &windows, 25, Repetition::Forbidden);
}

/// Computes the feature windows of every `step`th recording of vectors/speech.
fn speech_windows(step: usize) -> Vec<Vec<f32>> {
    let log_mel = LogMel::new(80);
    recordings()
        .iter()
        .step_by(step)
        .map(|samples| log_mel.features(samples).window(0, WINDOW_FRAMES))
        .collect()
}
