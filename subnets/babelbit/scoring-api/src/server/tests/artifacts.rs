//! Tests of uploads: which files are stored.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;

pub(super) fn metadata(validator: &Keypair, data: Value, timestamp: i64) -> Value {
    let miner = Some((Uid(7), key("//good").hotkey()));
    let submission = Submission::new(&validator.hotkey(), miner, timestamp, "c", data);
    signed(validator, SubmissionKind::AudioBundle, &submission)
}

pub(super) fn bundle(size: usize) -> Value {
    json!({ "file_type": "artifact", "file_name": "audio.tar", "file_size": size })
}

/// Returns a form as the reference's Python clients write it, split before the content of the file.
pub(super) fn form(metadata: &Value, file: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = format!(
        "--x\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n--x\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"audio.tar\"\r\nContent-Type: application/x-tar\r\n\r\n"
    );
    (head.into_bytes(), [file, b"\r\n--x--\r\n"].concat())
}

pub(super) async fn submit(api: &ScoringApi, metadata: &Value, file: &[u8]) -> (u16, Value) {
    let (head, remaining) = form(metadata, file);
    send(api, Body::from([head, remaining].concat())).await
}

pub(super) async fn send(api: &ScoringApi, body: Body) -> (u16, Value) {
    let request = Request::post("/v1/submit-artifact")
        .header("content-type", "multipart/form-data; boundary=x");
    let response = api.router().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Returns every file below a directory, with its content.
pub(super) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut actual = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                actual.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    actual
}

#[tokio::test]
async fn artifact_is_stored_once_and_deleted_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(folder.path(), &sqlite(folder.path()), Admission::Open).await;
    let (validator, time) = (key("//a"), now());
    let answer = submit(&api, &metadata(&validator, bundle(5), time), b"sound").await;
    assert_eq!(answer, (200, json!({ "success": true, "stored": true })));
    let artifacts = folder.path().join("artifacts");
    let miner = key("//good").hotkey();
    let folder_name = format!("c/main/{}/miner_7__hk_{miner}/", validator.hotkey());
    // Returns the only file, which must be the one in the row.
    let sole_file_content = async || {
        let [(name, content)] = files(&artifacts).try_into().unwrap();
        assert!(name.starts_with(&folder_name) && name.ends_with("-audio.tar"), "{name}");
        assert_eq!(api.store().expired_artifacts(i64::MAX, "", 10).await.unwrap(), [name]);
        content
    };
    assert_eq!(sole_file_content().await, b"sound");
    // The signature does not cover the file: the same request with another file changes nothing.
    let answer = submit(&api, &metadata(&validator, bundle(5), time), b"other").await;
    assert_eq!(answer, (200, json!({ "success": true, "stored": false })));
    assert_eq!(sole_file_content().await, b"sound");
    assert_eq!(submit(&api, &metadata(&validator, bundle(3), time + 1), b"new").await.0, 200);
    assert_eq!(sole_file_content().await, b"new");
    assert_eq!(api.store().count().await.unwrap(), 1);
    // After a month, everything is purged.
    let later_api = with_later_clock(&api, ArtifactStore::open(&artifacts, None).unwrap());
    assert_eq!(retention::purge_expired(&later_api.state).await.submissions, 1);
    assert_eq!(files(&artifacts), []);
    assert!(!artifacts.join("c").exists(), "the folder is removed, too");
}

/// Columns: malformed upload, status, error.
#[tokio::test]
async fn invalid_artifact_is_refused_and_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let limits = ScoringLimits { max_artifact_bytes: 1_000, ..ScoringLimits::default() };
    let (validator, time) = (key("//a"), now());
    let api = ScoringApi::with_clock(store, artifacts, Admission::Open, limits, fixed_clock(time));
    let mut forged = metadata(&validator, bundle(5), time);
    forged["timestamp"] = json!(time + 1);
    let mut other_kind = metadata(&validator, json!({}), time);
    other_kind["kind"] = json!("dialogue_logs");
    let large = vec![0; 1_001];
    #[rustfmt::skip]
    let table = [
        (forged, &b"sound"[..], 401, "the signature does not match"),
        (metadata(&validator, bundle(5), time - 400), b"sound", 401, "timestamp differs by 400 s"),
        (metadata(&validator, bundle(6), time), b"sound", 400, "data.file_size is 6, but the file has 5 bytes"),
        (
            metadata(&validator, bundle(1_001), time),
            &large,
            413,
            "the file is larger than 1000 bytes",
        ),
        (metadata(&validator, json!({ "file_name": "../x" }), time), b"sound", 400, "data.file_name: expected"),
        (other_kind, b"sound", 400, "wrong route for dialogue_logs; hint: use /v1/submit"),
    ];
    for (metadata, file, status, text) in table {
        let (actual, answer) = submit(&api, &metadata, file).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(actual == status && error.contains(text), "{actual} {error}, not {status} {text}");
    }
    let (status, _) = send_request(
        &api.router(),
        Method::POST,
        "/v1/submit-artifact",
        &[("content-type", "application/json")],
        "{}",
    )
    .await;
    assert_eq!(status, 400);
    assert_eq!(api.store().count().await.unwrap(), 0);
    assert_eq!(files(&folder.path().join("artifacts")), []);
}

/// An upload interrupted by a kill is cleaned up.
#[tokio::test]
async fn incomplete_file_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join(".incoming")).unwrap();
    std::fs::write(folder.path().join(".incoming/x"), "half").unwrap();
    ArtifactStore::open(folder.path(), None).unwrap();
    assert_eq!(files(folder.path()), []);
}
