//! Challenges in other languages than English: `bb miner --task translate` with a neural voice, `bb
//! test-miner`, and `tao demo`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use taonet_babelbit_challenges::{Challenge, Challenges, Source};
use taonet_speech::{Espeak, SampleFormat, Synthesizer as _, Wav};

use crate::axon::BOB;
use crate::support::{
    Daemon, are_installed, document, is_exhaustive, local_bb, refusal, require_sentence_model, tao,
    write_first_utterances,
};

/// Recogniser of the translating miner, of its replies and of the offline translation.
const WHISPER: &str = "faster-whisper-base";
/// Voice of the miner.
const VOICE: &str = "en_US-joe-medium";
/// Utterances of the demonstration's challenge, unless `TAONET_TEST_ALL` is set: Whisper base
/// transcribes each of them, and the replies of all miners. Of all five, three replies pass the
/// accuracy gate, so at least one of these does.
const PLAYED_UTTERANCES: usize = 3;
/// Minimum similarity of a translation and its reference for points: the accuracy gate.
const ACCURACY_GATE: f64 = 0.65;

/// Returns the shipped challenges in other languages than English, with their names: the German one
/// only, unless `TAONET_TEST_ALL` is set, since each takes more than a minute.
fn foreign_challenges() -> Vec<(String, Challenge)> {
    let all = Challenges::names().map(|name| (Challenges::find(&name).unwrap().unwrap(), name));
    let is_played = |language: &str| language == "de" || language != "en" && is_exhaustive();
    all.filter(|(challenge, _)| is_played(&challenge.language))
        .map(|(challenge, name)| (name, challenge))
        .collect()
}

/// Returns the mean similarity of the references and the translations of complete utterances.
fn offline_accuracy(challenge: &Challenge, folder: &Path) -> f64 {
    let espeak = Espeak::find().unwrap();
    let mut transcribe = tao();
    transcribe.args([
        "speech",
        "transcribe",
        "--json",
        "--stt-model",
        WHISPER,
        "--task",
        "translate",
    ]);
    transcribe.args(["--language", &challenge.language]);
    for (index, utterance) in challenge.utterances.iter().enumerate() {
        let Source::Text { text, voice } = &utterance.source else { panic!("a recording") };
        let file = folder.join(format!("{index}.wav"));
        std::fs::write(
            &file,
            Wav::encode(&espeak.speak(text, voice).unwrap(), SampleFormat::S16).unwrap(),
        )
        .unwrap();
        transcribe.arg(file);
    }
    let transcripts = document(&transcribe.output().unwrap());
    let transcripts = transcripts.as_array().unwrap();
    let pairs = challenge.utterances.iter().zip(transcripts);
    let similarities = pairs.map(|(utterance, transcript)| {
        similarity(&utterance.target.text, transcript["text"].as_str().unwrap())
    });
    similarities.sum::<f64>() / transcripts.len() as f64
}

/// Returns the similarity of two texts, as the accuracy gate computes it: 0 for an empty text.
fn similarity(reference: &str, text: &str) -> f64 {
    if text.trim().is_empty() {
        return 0.0;
    }
    let mut embed = tao();
    embed.args(["speech", "embed", "--json", reference, text]);
    document(&embed.output().unwrap())[0]["cosines"][1].as_f64().unwrap()
}

/// Sets long deadlines: no reply may time out on a busy machine, since scores are checked.
pub(crate) fn with_long_deadlines(command: &mut Command) -> &mut Command {
    for name in ["BB_MINER_TIMEOUT_SEC", "BB_S2S_CHUNK_TIMEOUT_SEC", "BB_S2S_DRAIN_TIMEOUT_SEC"] {
        command.env(name, "60");
    }
    command
}

#[test]
fn translating_miner_scores_where_offline_translation_passes_the_gate() {
    require_sentence_model();
    if !are_installed(&[WHISPER, VOICE]) {
        return;
    }
    let mut miner = local_bb();
    miner.args([
        "miner",
        "--task",
        "translate",
        "--voice",
        &format!("piper:{VOICE}"),
        "--key-uri",
        "//Bob",
    ]);
    let miner = Daemon::start(miner.env("BB_AUDIO_SCORING_STT_MODEL", WHISPER));
    for (name, challenge) in foreign_challenges() {
        let mut test = local_bb();
        test.args([
            "test-miner",
            miner.url(),
            "--miner-hotkey",
            BOB,
            "--json",
            "--challenge",
            &name,
        ]);
        let report = document(
            &with_long_deadlines(test.env("BB_AUDIO_SCORING_STT_MODEL", WHISPER)).output().unwrap(),
        );
        assert_eq!(report["passed"], json!(true), "{name}: {report:#}");
        let contest = &report["contest"];
        assert_eq!(contest["challenges"][0]["challenge_uid"], json!(challenge.uid), "{name}");
        let folder = tempfile::tempdir().unwrap();
        let offline = offline_accuracy(&challenge, folder.path());
        let score = contest["score"].as_f64().unwrap();
        assert!(
            score > 0.0 || offline < ACCURACY_GATE,
            "{name}: score {score}, offline accuracy {offline}: {contest:#}"
        );
    }
}

/// Returns the name of the Spanish challenge, or a file with its first utterances.
fn spanish_challenge(folder: &Path) -> PathBuf {
    if is_exhaustive() {
        return PathBuf::from("es-1");
    }
    write_first_utterances("subnets/babelbit/challenges/es-1.json", PLAYED_UTTERANCES, folder)
}

#[test]
fn demo_translates_a_foreign_challenge() {
    require_sentence_model();
    if !are_installed(&[WHISPER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tao();
    demo.args(["demo", "--json", "--challenge"]).arg(spanish_challenge(folder.path()));
    let demo = document(&with_long_deadlines(&mut demo).output().unwrap());
    let miner = |name: &str| -> Value {
        let miners = demo["challenges"][0]["report"]["miners"].as_array().unwrap();
        miners.iter().find(|miner| miner["name"] == name).unwrap().clone()
    };
    let replies = |name: &str| miner(name)["utterances"].as_array().unwrap().clone();
    assert!(replies("interpreter").iter().all(|reply| reply["error"].is_null()), "{demo:#}");
    // The parrot repeats the Spanish words.
    let accuracy = |name: &str| miner(name)["accuracy"].as_f64().unwrap_or_default();
    assert!(accuracy("interpreter") > accuracy("parrot") + 0.1, "{demo:#}");
    assert!(miner("interpreter")["score"].as_f64() > Some(0.0), "{demo:#}");
}

#[test]
fn demo_refuses_the_embedded_recogniser_for_a_foreign_challenge() {
    let error = refusal(
        &tao().args(["demo", "--json", "--challenge", "fr-1", "--stt", "tiny"]).output().unwrap(),
        2,
    );
    let expected = "is in the language fr: the miners translate with Whisper base, since the embedded recogniser understands";
    assert!(error.contains(expected) && error.contains("hint: omit --stt tiny"), "{error}");
}
