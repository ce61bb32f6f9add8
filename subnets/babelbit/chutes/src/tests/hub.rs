//! Tests of uploads to the Hugging Face hub.

use std::path::Path;

use wiremock::matchers::{body_json, body_string_contains};

use super::*;

fn model(directory: &Path) -> LocalModel {
    std::fs::create_dir_all(directory.join("sub/.git")).unwrap();
    for (name, content) in [
        ("config.json", "{}"),
        ("model.safetensors", "weights"),
        ("sub/a.txt", "a"),
        ("sub/.git/x", "no"),
        (".env", "no"),
    ] {
        std::fs::write(directory.join(name), content).unwrap();
    }
    LocalModel::read(directory).unwrap()
}

#[tokio::test]
async fn model_upload_sends_the_expected_hub_requests() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    let names: Vec<_> = model.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "sub/a.txt"]);
    let weights = model.files[1].clone();
    let (server, settings) = server().await;
    let token = || header("authorization", "Bearer hf_secret");
    Mock::given(method("POST"))
        .and(path("/api/repos/create"))
        .and(token())
        .and(body_json(json!({ "type": "model", "name": "Babelbit-hot", "organization": "al", "private": false })))
        .respond_with(ResponseTemplate::new(409).set_body_json(json!({ "error": "exists" })))
        .expect(1)
        .mount(&server)
        .await;
    let modes = json!({ "files": [
        { "path": "config.json", "uploadMode": "regular" }, { "path": "model.safetensors", "uploadMode": "lfs" },
        { "path": "sub/a.txt", "uploadMode": "regular", "shouldIgnore": true }] });
    Mock::given(path("/api/models/al/Babelbit-hot/preupload/main"))
        .and(token())
        .and(body_string_contains("\"sample\":\"e30=\""))
        .respond_with(ok(&modes))
        .expect(1)
        .mount(&server)
        .await;
    let objects = json!({ "objects": [{ "oid": weights.sha256, "size": 7, "actions": {
        "upload": { "href": format!("{}/storage?signed=1", server.uri()), "header": { "x-part": "1" } },
        "verify": { "href": format!("{}/verify", server.uri()) } } }] });
    Mock::given(path("/al/Babelbit-hot.git/info/lfs/objects/batch"))
        .and(token())
        .and(header("content-type", "application/vnd.git-lfs+json"))
        .respond_with(ok(&objects))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(path("/storage"))
        .and(header("x-part", "1"))
        .and(header("content-length", "7"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/verify"))
        .and(token())
        .and(body_json(json!({ "oid": weights.sha256, "size": 7 })))
        .respond_with(ok(&json!({})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/api/models/al/Babelbit-hot/commit/main"))
        .and(token())
        .and(header("content-type", "application/x-ndjson"))
        .respond_with(ok(&json!({ "commitOid": REVISION })))
        .expect(1)
        .mount(&server)
        .await;
    let hub = HubApi::new(&settings).unwrap();
    let mut uploaded = Vec::new();
    let revision =
        hub.upload("al/Babelbit-hot", &model, |name| uploaded.push(name.to_owned())).await.unwrap();
    assert_eq!(
        (revision.as_str(), uploaded.as_slice()),
        (REVISION, &["model.safetensors".to_owned()][..])
    );
    let requests = server.received_requests().await.unwrap();
    let put = requests.iter().find(|request| request.url.path() == "/storage").unwrap();
    assert_eq!(
        (put.body.as_slice(), put.headers.get("authorization")),
        (&b"weights"[..], None),
        "the storage gets no key"
    );
    let commit = String::from_utf8(requests.last().unwrap().body.clone()).unwrap();
    let lines: Vec<Value> =
        commit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<_> =
        lines.iter().map(|line| (line["key"].as_str().unwrap(), &line["value"]["path"])).collect();
    assert_eq!(
        keys,
        [
            ("header", &Value::Null),
            ("file", &json!("config.json")),
            ("lfsFile", &json!("model.safetensors"))
        ]
    );
    assert_eq!(
        (&lines[1]["value"]["content"], &lines[2]["value"]["oid"]),
        (&json!("e30="), &json!(weights.sha256))
    );
}

/// Columns: missing part of the hub's response · error
#[tokio::test]
async fn malformed_hub_response_error_names_the_field() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    for (answer, expected) in [
        (
            json!({}),
            "cannot prepare the upload: the response has no field files of the expected type",
        ),
        (
            json!({ "files": [{}] }),
            "cannot prepare the upload: the response has no field files.path of the expected type",
        ),
        (
            json!({ "files": [] }),
            "cannot commit the files: the response has no field commitOid of the expected type",
        ),
    ] {
        let (server, settings) = server().await;
        Mock::given(method("POST")).respond_with(ok(&answer)).mount(&server).await;
        let hub = HubApi::new(&settings).unwrap();
        assert_eq!(hub.upload("al/m", &model, |_| ()).await.unwrap_err().to_string(), expected);
    }
}

#[test]
fn models_that_cannot_be_uploaded_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let error = |path: &Path| LocalModel::read(path).unwrap_err().to_string();
    assert!(error(directory.path()).contains("contains no file\nhint: "));
    assert!(error(&directory.path().join("missing")).starts_with("cannot read "));
    std::os::unix::fs::symlink("elsewhere", directory.path().join("link")).unwrap();
    assert!(error(directory.path()).contains("link: No such file"));
    std::fs::remove_file(directory.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/dev/null", directory.path().join("device")).unwrap();
    assert!(error(directory.path()).contains("device: not a regular file\nhint: "));
}

#[tokio::test]
async fn model_info_reports_gated_models() {
    for (gated, expected) in
        [(json!(false), false), (json!("auto"), true), (json!(true), true), (Value::Null, false)]
    {
        let (server, settings) = server().await;
        Mock::given(path(format!("/api/models/al/m/revision/{REVISION}")))
            .respond_with(ok(&json!({ "sha": REVISION, "gated": gated })))
            .mount(&server)
            .await;
        let hub = HubApi::new(&settings).unwrap();
        let call = hub.model("al/m", Some(REVISION));
        let info = HubApi::info(&call, &hub.send(&call).await.unwrap()).unwrap();
        assert_eq!((info.sha.as_deref(), info.is_gated()), (Some(REVISION), expected));
    }
}
