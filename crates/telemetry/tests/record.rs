//! Tests of the log file, which is written in addition to standard error.

use serde_json::Value;
use taonet_telemetry::{LogFormat, init_tracing, record_log};

#[test]
fn events_are_recorded_after_recording_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    init_tracing(0, None, LogFormat::Human);
    tracing::warn!(target: "taonet_runner", "before");
    record_log(&path).unwrap();
    let span = tracing::info_span!(target: "taonet_runner", "round", uid = 7);
    span.in_scope(|| tracing::debug!(target: "taonet_runner::play", utterance = 3, "played"));
    tracing::trace!(target: "taonet_runner", "too detailed");
    tracing::debug!(target: "taonet_http::serve", "connection ended");
    tracing::info!(target: "hyper", "not ours");
    tracing::warn!(target: "hyper", "ours or not");
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> =
        lines.iter().map(|line| line["fields"]["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["played", "ours or not"]);
    assert_eq!(
        (&lines[0]["level"], &lines[0]["target"]),
        (&"DEBUG".into(), &"taonet_runner::play".into())
    );
    assert_eq!(
        (&lines[0]["fields"]["utterance"], &lines[0]["spans"][0]["uid"]),
        (&3.into(), &7.into())
    );
}
