use std::time::Duration;

use taonet_kit::ReplyError;
use taonet_primitives::Uid;
use taonet_prompting_core::compute_weights;
use tempfile::TempDir;

use super::*;
use crate::{CannedAnswers, HashedWords};

const GOOD: u16 = 0;
const SHORT: u16 = 1;
const PARROT: u16 = 2;
const SILENT: u16 = 3;

fn hotkey(uid: u16) -> Hotkey {
    Hotkey::from_bytes([uid as u8 + 1; 32])
}

fn neurons() -> Vec<Neuron> {
    [GOOD, SHORT, PARROT, SILENT].map(|uid| Neuron::new(Uid(uid), hotkey(uid), None)).to_vec()
}

fn judge() -> Judge {
    Judge::new(Arc::new(HashedWords), None)
}

fn open(directory: &TempDir, dataset: Dataset, settings: ChallengeSettings) -> PromptingChallenge {
    PromptingChallenge::open(directory.path(), judge(), dataset, 7, settings).unwrap()
}

fn gated_settings() -> ChallengeSettings {
    ChallengeSettings { best: Some(1), random: 1, ..ChallengeSettings::default() }
}

/// Returns what a miner completes; `None` if it does not reply.
fn completion(uid: u16, request: &Prompting) -> Option<String> {
    let question = request.messages.last().unwrap();
    let answer = CannedAnswers::built_in().unwrap().answer(question).to_owned();
    match uid {
        GOOD => Some(answer),
        SHORT => answer.split(' ').next_back().map(str::to_owned),
        PARROT => Some(question.clone()),
        _ => None,
    }
}

fn reply(uid: u16, completion: Option<String>, request: &Prompting) -> Reply<Prompting> {
    let status =
        || ReplyError::Status { status: http::StatusCode::BAD_GATEWAY, message: "no".to_owned() };
    let response =
        completion.map(|completion| Prompting { completion, ..request.clone() }).ok_or_else(status);
    Reply { uid: Uid(uid), hotkey: hotkey(uid), response, elapsed: Duration::from_millis(100) }
}

/// Makes a step with the chosen miners; returns their uids with the shares.
async fn step(challenge: &PromptingChallenge) -> Vec<(u16, f64)> {
    let selected = challenge.select(neurons(), Selection::All);
    let request = challenge.request(&[]).await.unwrap();
    let uids: Vec<u16> = selected.iter().map(|neuron| neuron.uid.0).collect();
    let replies: Vec<_> =
        uids.iter().map(|uid| reply(*uid, completion(*uid, &request), &request)).collect();
    let shares = challenge.rewards(&request, &replies).await.unwrap();
    uids.into_iter().zip(shares).collect()
}

#[tokio::test]
async fn good_miner_earns_most_and_parrot_and_silent_miner_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let challenge = open(&directory, Dataset::built_in().unwrap(), ChallengeSettings::default());
    for _ in 0..10 {
        let shares = step(&challenge).await;
        let [good, short, parrot, silent] = [0, 1, 2, 3].map(|index: usize| shares[index].1);
        assert!(good > short && short > 0.0, "{shares:?}");
        assert!(parrot.abs() < f64::MIN_POSITIVE && silent.abs() < f64::MIN_POSITIVE, "{shares:?}");
        assert!((good + short - 1.0).abs() < 1e-9, "{shares:?}");
    }
    let records = EventLog::in_directory(directory.path()).read().unwrap();
    assert_eq!(records.len(), 10);
    let silent = &records[0].answers[usize::from(SILENT)];
    assert_eq!(silent.error.as_deref(), Some("status 502 Bad Gateway: no"));
    let weights = compute_weights(&records.iter().map(StepRecord::event).collect::<Vec<_>>(), 0.1);
    assert_eq!(weights.uids, [Uid(GOOD), Uid(SHORT)]);
    assert!(weights.of(Uid(GOOD)) > weights.of(Uid(SHORT)), "{weights:?}");
}

#[tokio::test]
async fn gate_prefers_the_good_miner_after_200_steps_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut challenge = open(&directory, Dataset::built_in().unwrap(), gated_settings());
    for number in 0..200 {
        assert_eq!(step(&challenge).await.len(), 2, "one miner by the gate, one at random");
        if number == 100 {
            challenge = open(&directory, Dataset::built_in().unwrap(), gated_settings());
        }
    }
    let gate = GateFile::open(directory.path(), &judge(), 8).unwrap().gate().clone();
    let hotkeys = [GOOD, SHORT, PARROT, SILENT].map(hotkey);
    for seed in 0..20 {
        let Item::Question(question) = Dataset::built_in().unwrap().sample(&mut Draws::new(seed))
        else {
            panic!()
        };
        let scores = gate.scores(&judge().embed(&question).unwrap(), &hotkeys);
        assert!(scores[1..].iter().all(|score| *score < scores[0]), "{question}: {scores:?}");
    }
}

#[tokio::test]
async fn question_about_a_passage_precedes_its_answer() {
    let files = tempfile::tempdir().unwrap();
    let passage =
        "The capital of Texas is Austin, a city on the Colorado River with a million people in it.";
    std::fs::write(files.path().join("passages.txt"), passage).unwrap();
    let settings = ChallengeSettings::default();
    let question = "Which city is the capital of Texas, and on which river is it?";
    for is_restarted in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let start =
            || open(&directory, Dataset::open(files.path()).unwrap(), ChallengeSettings::default());
        let mut challenge = start();
        for (system, user, completion) in [
            (&settings.question_prompt, passage, Some(question)),
            (&settings.base_prompt, question, Some("It is Austin, the capital of Texas.")),
            // Nobody asks a question: the next step asks again.
            (&settings.question_prompt, passage, None),
            (&settings.question_prompt, passage, Some(question)),
        ] {
            let request = challenge.request(&[]).await.unwrap();
            assert_eq!(request.messages, [system.as_str(), user], "{is_restarted}");
            assert_eq!(request.roles, ["system", "user"]);
            let replies = [reply(GOOD, completion.map(str::to_owned), &request)];
            challenge.rewards(&request, &replies).await.unwrap();
            if is_restarted {
                challenge = start();
            }
        }
    }
}

/// Also without the setting `best`: the gate then learns, but selects no miner.
#[test]
fn gate_removes_departed_miners() {
    for settings in [gated_settings(), ChallengeSettings::default()] {
        let directory = tempfile::tempdir().unwrap();
        let challenge = open(&directory, Dataset::built_in().unwrap(), settings.clone());
        let departed = (0..=MAX_GATE_HOTKEYS as u16).map(|number| {
            let mut bytes = [0xff; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            (Hotkey::from_bytes(bytes), 0.5)
        });
        let rewards: Vec<_> = departed.chain([(hotkey(GOOD), 1.0)]).collect();
        let embedding = judge().embed("Who?").unwrap();
        challenge.lock_state().file.gate.train(&embedding, &rewards, settings.gate);
        assert_eq!(challenge.gate().miners(), MAX_GATE_HOTKEYS + 2);
        challenge.select(neurons(), Selection::All);
        assert_eq!(challenge.gate().miners(), 1, "{settings:?}");
    }
}

#[tokio::test]
async fn step_after_a_failed_step_has_a_question() {
    let directory = tempfile::tempdir().unwrap();
    let challenge = open(&directory, Dataset::built_in().unwrap(), gated_settings());
    let first = challenge.request(&[]).await.unwrap();
    // The query failed: no rewards were computed, and none are prepared for the next step.
    assert_eq!(challenge.select(neurons(), Selection::All).len(), 2);
    let second = challenge.request(&[]).await.unwrap();
    assert!(!first.messages[1].is_empty() && !second.messages[1].is_empty());
}

#[tokio::test]
async fn rewards_of_hostile_completions_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    let challenge = open(&directory, Dataset::built_in().unwrap(), ChallengeSettings::default());
    let request = challenge.request(&[]).await.unwrap();
    let texts = [
        "",
        "\u{0}\u{feff}\n",
        "word ".repeat(100_000).as_str(),
        "?".repeat(1 << 20).as_str(),
        "𝔘𝔫𝔦 🙂",
    ]
    .map(str::to_owned);
    let replies: Vec<_> =
        (0..).zip(texts).map(|(uid, text)| reply(uid, Some(text), &request)).collect();
    let shares = challenge.rewards(&request, &replies).await.unwrap();
    assert_eq!(shares.len(), 5);
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    let records = EventLog::in_directory(directory.path()).read().unwrap();
    assert!(records[0].answers.iter().all(|answer| answer.completion.chars().count() <= 500));
}

#[test]
fn out_of_range_settings_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let default = ChallengeSettings::default;
    let gate =
        |learning_rate, momentum| taonet_prompting_core::GateSettings { learning_rate, momentum };
    for (settings, is_valid) in [
        (default(), true),
        (gated_settings(), true),
        (ChallengeSettings { best: Some(0), random: 1, ..default() }, true),
        (ChallengeSettings { best: Some(0), random: 0, ..default() }, false),
        (ChallengeSettings { question_prompt: default().base_prompt, ..default() }, false),
        (ChallengeSettings { temperature: 0.0, ..default() }, false),
        (ChallengeSettings { temperature: f64::NAN, ..default() }, false),
        (ChallengeSettings { gate: gate(0.0, 0.9), ..default() }, false),
        (ChallengeSettings { gate: gate(0.1, 1.0), ..default() }, false),
        (ChallengeSettings { deadline: Duration::ZERO, ..default() }, false),
    ] {
        let result = PromptingChallenge::open(
            directory.path(),
            judge(),
            Dataset::built_in().unwrap(),
            7,
            settings.clone(),
        );
        assert_eq!(result.is_ok(), is_valid, "{settings:?}");
    }
}
