//! Comparison of language detection.

use std::collections::BTreeMap;

use super::*;
use crate::options::Options;
use crate::transcribe::Recording;

/// Maximum relative difference of probabilities, from rounding in int8.
const ROUNDING: f64 = 0.25;

/// Detects the language of recordings with both engines. Returns the number of equal languages, and
/// the number of recordings whose language both engines consider certain.
fn check(peer: &Peer, audio: &[Vec<f32>], extra: &[&str]) -> (usize, usize) {
    let folder = peer.model("tiny", extra);
    let model = Arc::new(Model::open(&folder).unwrap());
    let paths: Vec<PathBuf> = audio
        .iter()
        .enumerate()
        .map(|(i, samples)| peer.write_values(&format!("audio{i}"), samples))
        .collect();
    let answers = peer.run_reference(json!({"do": "detect", "model": folder, "audio": paths}));
    let options = Arc::new(Options { temperatures: vec![0.0], ..Options::default() });
    let (mut equal, mut certain) = (0, 0);
    for (i, samples) in audio.iter().enumerate() {
        let mut recording = Recording::new(model.clone(), options.clone(), samples);
        // The first window needs the language.
        recording.next_window(&mut Buffers::default(), &mut model.decoder.cache()).unwrap();
        let ours = recording.into_transcription();
        let languages: BTreeMap<String, f64> =
            serde_json::from_value(answers[i]["languages"].clone()).unwrap();
        let best = answers[i]["probability"].as_f64().unwrap();
        let case =
            format!("recording {i} {extra:?}: {} {}", ours.language, ours.language_probability);
        let theirs = languages[&ours.language];
        let actual = f64::from(ours.language_probability);
        assert!((actual - theirs).abs() <= ROUNDING * theirs, "{case}, the reference {theirs}");
        if answers[i]["language"] == ours.language {
            equal += 1;
            certain += usize::from(best > 0.5);
        } else {
            assert!(
                best - theirs <= ROUNDING * best,
                "{case}, the reference {} {best}",
                answers[i]["language"]
            );
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "languages {extra:?}: {equal} of {} equal, of which {certain} have a probability above 0.5",
        audio.len()
    );
    (equal, certain)
}

/// With random weights, no language is certain, and our engine decodes the reference's window. With
/// large embeddings of the language tokens, one language is certain, and our engine decodes only
/// the first window. One of four recordings is tried, and all of them if `TAONET_TEST_ALL` is set.
#[test]
fn detected_languages_match_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let step = if is_exhaustive() { 1 } else { 4 };
    let mut audio: Vec<_> = recordings().into_iter().step_by(step).collect();
    audio.extend([
        sound(1, 3.0),
        sound(2, 29.99),
        sound(3, 30.0),
        sound(4, 31.0),
        vec![0.0; 48_000],
    ]);
    // A seed with one language that is clearly more probable than the others.
    for (languages, expected) in [("1", 0), ("8", audio.len())] {
        let (equal, certain) =
            check(&peer, &audio, &["--layers", "1", "--seed", "4", "--languages", languages]);
        assert!(equal * 10 >= audio.len() * 9, "{equal} of {} languages are equal", audio.len());
        assert_eq!(certain, expected.min(equal), "factor {languages}");
    }
}
