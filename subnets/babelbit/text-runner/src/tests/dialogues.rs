//! Dialogues of unusual engines.

use super::*;

/// Columns: uids of two dialogues · their names in files
#[tokio::test]
async fn dialogues_with_the_same_uid_have_separate_files() {
    for (uids, expected) in [
        ([Value::Null, Value::Null], ["unknown", "unknown-1"]),
        ([json!("d"), json!("d")], ["d", "d-1"]),
        ([json!("d"), json!("e")], ["d", "e"]),
        ([json!("d 1"), json!("d/1")], ["d_1", "d_1-1"]),
    ] {
        let token = |token: &str, dialogue: usize| json!({"session_id": "s", "token": token, "dialogue_uid": uids[dialogue], "dialogue_index": dialogue});
        let following = [token("EOF EOF", 0), token("two", 1), token("EOF EOF", 1)];
        let server = engine_of(&token("one", 0), &following).await;
        let directory = tempfile::tempdir().unwrap();
        let echo = scripted(|request| Ok(request.prefix.clone()));
        let runner = runner(&directory).await;
        let report =
            runner.run_once(&client(&server.uri()), &miners(&[&echo]), |_| ()).await.unwrap();
        assert_eq!((report.dialogues, report.miners[0].score), (2, Some(1.0)));
        let logs = names(&runner.paths.logs);
        let mut named: Vec<_> = logs.iter().filter_map(|log| log.split("__dlg_").nth(1)).collect();
        named.sort_unstable();
        let mut expected = expected.map(|name| format!("{name}.jsonl"));
        expected.sort_unstable();
        assert_eq!(named, expected, "{uids:?}");
        assert_eq!(names(&runner.paths.scores).len(), 3, "two dialogues and their mean");
    }
}

/// The uids have more than 100 characters, and differ in the last one.
#[tokio::test]
async fn long_uids_fit_into_file_names() {
    let uid = |end: &str| format!("{}{end}", "u".repeat(100));
    let token = |token: &str, dialogue: usize| {
        json!({"session_id": "s", "token": token, "challenge_uid": uid("c"), "dialogue_uid": uid(["a", "b"][dialogue]),
            "dialogue_index": dialogue})
    };
    let following = [token("EOF EOF", 0), token("two", 1), token("EOF EOF", 1)];
    let server = engine_of(&token("one", 0), &following).await;
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let runner = runner(&directory).await;
    let report = runner.run_once(&client(&server.uri()), &miners(&[&echo]), |_| ()).await.unwrap();
    assert_eq!((report.miners[0].score, &report.miners[0].unwritten), (Some(1.0), &None));
    assert_eq!((names(&runner.paths.logs).len(), names(&runner.paths.scores).len()), (2, 3));
}
