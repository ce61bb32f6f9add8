//! The demonstration with and without the model that it serves by default.

use super::*;
use crate::support::{are_installed, stderr};

/// The model of the demonstration, if it is installed.
const CHAT_MODEL: &str = "SmolLM2-135M-Instruct";

/// The miners that serve the model of the demonstration.
const HONEST: [&str; 4] = ["good", "slow", "limiting", "failing"];

/// Without `--model`, the demonstration serves the chat model if it is installed, and otherwise
/// says how to get it.
#[test]
fn demo_without_chat_model_prints_hint() {
    let folder = TempDir::new().unwrap();
    let mut command = tao();
    command.args(["nineteen", "demo", "--once", "--json"]);
    // Neither directory of models has any.
    command
        .env("BB_MODELS_DIR", folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .env("HOME", folder.path());
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert!(
        text.contains(
            "its answers mean nothing\nhint: `tao models pull SmolLM2-135M-Instruct` (98 MB)"
        ),
        "{text}"
    );
    assert!(document(&output)["note"].as_str().unwrap().contains("random weights"));
}

/// The miners that serve the real model pass the checks with the same weights, a miner with another
/// model does not, and the printed command buys an answer that makes sense.
#[test]
fn demo_serves_chat_model() {
    if !are_installed(&[CHAT_MODEL]) {
        return;
    }
    let mut command = tao();
    command
        .args(["nineteen", "demo", "--json", "--periods", "6"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut demo = KillOnDrop(command.spawn().unwrap());
    let documents =
        serde_json::Deserializer::from_reader(demo.0.stdout.take().unwrap()).into_iter::<Value>();
    // A busy machine needs several periods for so many answers.
    let is_checked = |round: &Value| {
        let checked_count = |name| number(miner(round, name), "checked");
        HONEST.iter().map(|name| checked_count(name)).sum::<f64>() > 4.0
            && checked_count("good") > 0.0
            && checked_count("cheating") > 0.0
    };
    // The first period is not closed in the first document.
    let round = documents
        .map(Result::unwrap)
        .skip(1)
        .find(is_checked)
        .expect("five answers are checked in six periods");
    assert!(round["note"].as_str().unwrap().contains(CHAT_MODEL), "{round}");
    // The quality of quantised answers varies much: a test of the command's crate averages many.
    assert!(miner(&round, "quantised")["uid"].is_number(), "{round}");
    let (mut checked, mut sum) = (0.0, 0.0);
    for name in HONEST {
        let honest = miner(&round, name);
        checked += number(honest, "checked");
        sum += number(honest, "checked") * honest["quality"].as_f64().unwrap_or_default();
    }
    assert!(sum / checked >= 0.99, "{round}");
    let [good, cheating] = ["good", "cheating"].map(|name| miner(&round, name));
    assert!(number(good, "weight") > number(cheating, "weight"), "{round}");
    assert!(number(cheating, "quality") < 0.01, "{cheating}");
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The gateway can still send a request to the cheating miner, and between two periods there is
    // no answer.
    buy_by_printed_command(&mut lines, |response| {
        response["choices"][0]["message"]["content"]
            .as_str()
            .is_some_and(|text| text.contains("Rome"))
    });
}
