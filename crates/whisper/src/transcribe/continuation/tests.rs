use std::sync::Arc;

use super::*;
use crate::options::Options;
use crate::testing::{model, noise};

/// Number of encoder positions of the audio: 4 s.
const POSITIONS: usize = 200;

fn continue_noise(prefix: &Prefix) -> Continuation {
    let model = model();
    let options = Options { language: Some("en".to_owned()), no_speech_threshold: None, ..Options::default() };
    let mut recording = Recording::new(model.clone(), Arc::new(options), &noise(64_000));
    let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
    let continuation = recording.continue_text(&mut buffers, &mut cache, prefix).unwrap();
    assert_eq!(cache.used(), 0);
    continuation
}

fn tokens(continuation: &Continuation) -> Vec<u32> {
    continuation.words.iter().flat_map(|word| word.tokens.clone()).collect()
}

#[test]
fn a_token_near_the_end_of_the_audio_is_not_decoded() {
    let prefix = |frame_threshold| Prefix { frame_threshold, padding: Some(1.0), ..Prefix::default() };
    assert!(tokens(&continue_noise(&prefix(POSITIONS))).is_empty());
    let texts: Vec<_> =
        (1..POSITIONS).step_by(20).map(|threshold| tokens(&continue_noise(&prefix(threshold)))).collect();
    assert!(texts.iter().any(|text| !text.is_empty()));
    // A higher threshold stops earlier in the same text.
    for pair in texts.windows(2) {
        let [longer, shorter] = pair else { unreachable!() };
        assert!(longer.is_empty() || longer.starts_with(shorter), "{longer:?} and {shorter:?}");
    }
}

#[test]
fn final_words_are_not_decoded_again() {
    for frame_threshold in (1..POSITIONS).step_by(20) {
        let prefix = Prefix { frame_threshold, ..Prefix::default() };
        let first = continue_noise(&prefix);
        let again = continue_noise(&Prefix { tokens: tokens(&first), ..prefix });
        if !first.words.is_empty() {
            assert!(again.words.is_empty(), "{first:?}, then {again:?}");
        }
    }
}

#[test]
fn times_ascend_within_the_audio() {
    for frame_threshold in (1..POSITIONS).step_by(20) {
        let found = continue_noise(&Prefix { frame_threshold, ..Prefix::default() });
        let times: Vec<f64> = found.words.iter().flat_map(|word| [word.start, word.end]).chain([found.until]).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times.iter().all(|time| (0.0..=4.0).contains(time)), "{times:?}");
    }
}
