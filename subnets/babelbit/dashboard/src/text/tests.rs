use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use serde_json::{Value, json};
use taonet_dashboard::{Access, BasePath, Dashboard};
use tower::ServiceExt as _;

use super::*;

const INJECTION: &str = "<script>alert(1)</script>\u{202e}";

/// A run directory with a challenge of the text contest: two miners with one dialogue each, and a
/// file of the speech contest.
struct ResultFiles {
    folder: tempfile::TempDir,
}

impl ResultFiles {
    fn write() -> Self {
        let results = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(results.paths().scores).unwrap();
        for (uid, score) in [(4, 0.25), (7, 0.75)] {
            let run = json!({"challenge_uid": "small-talk", "challenge_type": "main", "miner_uid": uid,
                "miner_hotkey": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "challenge_mean_U": score,
                "dialogues": [{"dialogue_uid": "bus", "dialogue_average_u_best_early": score, "dialogue_index": 0}]});
            let head = format!("small-talk_type_main_miner_{uid}");
            results.add(&format!("challenge_run_{head}_run_20261122_030405.json"), &run);
            let step = |step: usize, prediction: &str, score: f64| {
                json!({"step": step, "lexical_similarity": 0.5, "semantic_cosine_raw": 0.5, "semantic_similarity": 0.5,
                    "earliness": 1.0, "U_step": score, "prediction": prediction})
            };
            let steps = json!([
                step(0, INJECTION, 0.125),
                step(1, "Is this seat taken?", score),
                step(2, "Is this seat free?", 0.1),
                step(3, "Is this seat free?", 0.1)
            ]);
            let dialogue = json!({"dialogue_uid": "bus", "utterances": [{"utterance_number": 0, "steps": steps,
                "ground_truth": "Is this seat free?", "best_step": 1, "U_best": score, "total_steps": 4}]});
            results.add(
                &format!("dialogue_run_{head}_dlg_bus_run_20261122_030405-score.json"),
                &dialogue,
            );
        }
        let speech = json!({"challenge_uid": "ferry", "miner_uid": 4, "miner_hotkey": "5G", "utterances": []});
        results.add("challenge_run_ferry_type_main_miner_4_run_20261122_030406.json", &speech);
        results
    }

    fn paths(&self) -> RunPaths {
        RunPaths::in_directory(self.folder.path())
    }

    fn add(&self, name: &str, document: &Value) {
        std::fs::write(self.paths().scores.join(name), document.to_string()).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let section = TextSection::open(&self.paths()).await.unwrap();
        let dashboard =
            Dashboard::new(Access::Local, BasePath::default(), Changes::default()).with(section);
        let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
        let response = dashboard.router(Shutdown::new()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 22).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn runs_are_listed_with_the_best_miner_first() {
    let results = ResultFiles::write();
    let (status, page) = results.get("/text").await;
    assert_eq!(status, 200);
    let [worse, better] = ["uid 4", "uid 7"].map(|miner| page.find(miner).unwrap());
    assert!(better < worse && page.contains("0.750") && page.contains("5Grwva…utQY"), "{page}");
    assert!(!page.contains("ferry") && !page.contains("malformed"), "{page}");
    let arena = json!({"challenge_uid": "small-talk", "challenge_type": "arena", "miner_uid": 4, "miner_hotkey": "5G",
        "challenge_mean_U": 0.5, "dialogues": []});
    results.add("challenge_run_small-talk_type_arena_miner_4_run_20261122_030406.json", &arena);
    let (_, page) = results.get("/text").await;
    let contests =
        ["main", "arena"].map(|contest| page.matches(&format!("<td>{contest}</td>")).count());
    assert_eq!(contests, [2, 1], "{page}");
    let overview = results.get("/").await;
    assert!(overview.0 == 200 && overview.1.contains("/text"), "{}", overview.1);
    results.add("challenge_run_cut_run_20261122_030407.json", &json!("cut"));
    let (_, page) = results.get("/text").await;
    assert!(page.contains("1 malformed file not shown") && page.contains("uid 7"), "{page}");
}

#[tokio::test]
async fn run_page_shows_predictions_and_stopping_points() {
    let results = ResultFiles::write();
    let path = "/text/challenge_run_small-talk_type_main_miner_7_run_20261122_030405";
    let (status, page) = results.get(path).await;
    assert_eq!(status, 200);
    for part in
        ["Is this seat free?", "Is this seat taken?", "stops after word 2 of 4", "0.125", "0.750"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.matches("stops here").count(), 1);
    // The words after the second one.
    for word in ["seat", "free?"] {
        assert!(
            page.contains(&format!("<td>{word} <small>not needed</small></td>")),
            "{word}: {page}"
        );
    }
    assert_eq!(page.matches("not needed").count(), 2);
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'), "{page}");
    let score = "dialogue_run_small-talk_type_main_miner_7_dlg_bus_run_20261122_030405-score.json";
    std::fs::remove_file(results.paths().scores.join(score)).unwrap();
    let (status, page) = results.get(path).await;
    assert!(status == 200 && page.contains("This dialogue is unreadable"), "{page}");
}

#[tokio::test]
async fn dialogue_uid_with_path_characters_is_shown() {
    let results = ResultFiles::write();
    let head = "small-talk_type_main_miner_9";
    let run = json!({"challenge_uid": "small-talk", "challenge_type": "main", "miner_uid": 9, "miner_hotkey": "5G",
        "challenge_mean_U": 0.5,
        "dialogues": [{"dialogue_uid": "../a b", "dialogue_average_u_best_early": 0.5, "dialogue_index": 0}]});
    results.add(&format!("challenge_run_{head}_run_20261122_030405.json"), &run);
    let dialogue = json!({"dialogue_uid": "../a b", "utterances": []});
    results
        .add(&format!("dialogue_run_{head}_dlg____a_b_run_20261122_030405-score.json"), &dialogue);
    let (status, page) =
        results.get(&format!("/text/challenge_run_{head}_run_20261122_030405")).await;
    assert!(status == 200 && page.contains("No utterance was completed."), "{page}");
}

#[tokio::test]
async fn only_text_result_files_are_served() {
    let results = ResultFiles::write();
    for name in [
        "absent",
        "challenge_run_absent",
        "challenge_run_%2e%2e%2f%2e%2e%2fpasswd",
        "challenge_run_%FF",
    ] {
        let (status, page) = results.get(&format!("/text/{name}")).await;
        assert!([400, 404].contains(&status), "{name}: {status} {page}");
    }
}

#[tokio::test]
async fn directories_without_texts_have_no_section() {
    let folder = tempfile::tempdir().unwrap();
    assert!(TextSection::open(&RunPaths::in_directory(folder.path())).await.is_none());
    std::fs::create_dir(folder.path().join("scores")).unwrap();
    assert!(TextSection::open(&RunPaths::in_directory(folder.path())).await.is_none());
}

#[test]
fn files_are_read_once_until_they_change() {
    let results = ResultFiles::write();
    let (mut index, scores) = (files::Index::default(), results.paths().scores);
    for _ in 0..3 {
        assert_eq!(index.list(&scores).unwrap().runs.len(), 2);
        assert_eq!(index.reads, 3, "two of the text contest, one of the speech contest");
    }
    let name = "challenge_run_small-talk_type_main_miner_4_run_20261122_030405.json";
    let text = std::fs::read_to_string(scores.join(name)).unwrap();
    std::fs::write(scores.join(name), text.replace("0.25", "0.875")).unwrap();
    let actual = index.list(&scores).unwrap();
    assert_eq!((actual.runs[0].miner_uid, actual.runs[0].mean, index.reads), (4, Some(0.875), 4));
    std::fs::remove_file(scores.join(name)).unwrap();
    assert_eq!((index.list(&scores).unwrap().runs.len(), index.reads), (1, 4));
}

#[tokio::test]
async fn named_pipe_among_results_does_not_block() {
    let results = ResultFiles::write();
    let name = "challenge_run_pipe_run_20261122_030407";
    let pipe = results.paths().scores.join(format!("{name}.json"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (page, path) = (results.get("/text"), format!("/text/{name}"));
    let Ok((status, body)) = tokio::time::timeout(Duration::from_mins(1), page).await else {
        // Unblocks the thread that reads the pipe, so that the test can fail.
        drop(std::fs::OpenOptions::new().write(true).open(&pipe));
        panic!("the index waits for the pipe");
    };
    assert!(
        status == 200 && body.contains("1 malformed file not shown") && body.contains("uid 7"),
        "{body}"
    );
    assert_eq!(results.get(&path).await.0, 404);
}

#[tokio::test]
async fn text_of_result_files_is_escaped() {
    let results = ResultFiles::write();
    let head = "a_type_main_miner_9";
    let dialogue = |uid: &str| json!({"dialogue_uid": uid, "dialogue_average_u_best_early": 0.5, "dialogue_index": 0});
    let run = json!({"challenge_uid": INJECTION, "miner_uid": 9, "miner_hotkey": INJECTION,
        "dialogues": [dialogue("bus"), dialogue(INJECTION)]});
    results.add(&format!("challenge_run_{head}_run_20261122_030409.json"), &run);
    let dialogue = json!({"dialogue_uid": INJECTION, "utterances": [{"utterance_number": 0, "steps": [
        {"step": 0, "lexical_similarity": 0.5, "semantic_similarity": 0.5, "earliness": 1.0, "U_step": 0.5,
         "prediction": INJECTION}], "ground_truth": INJECTION, "best_step": 0, "U_best": 0.5}]});
    results.add(&format!("dialogue_run_{head}_dlg_bus_run_20261122_030409-score.json"), &dialogue);
    let path = format!("/text/challenge_run_{head}_run_20261122_030409");
    // The challenge and the miner in the list; on the page also the second dialogue, the utterance,
    // its first word and the prediction.
    for (path, count) in
        [("/text", 2), (path.as_str(), 7), (format!("{path}?dialogue=2").as_str(), 4)]
    {
        let (status, body) = results.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(!body.contains("<script>alert") && !body.contains('\u{202e}'), "{path}: {body}");
        assert!(
            body.matches("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}").count() >= count,
            "{path}: {body}"
        );
    }
}
