use std::sync::Mutex;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_settings::Secret;
use wiremock::matchers::{header, header_exists, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::ChutesSettings;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS_CONTENT: &str = "0123456789";

/// A hub with one model, its storage for large files, and a directory for downloads.
struct TestHub {
    hub: MockServer,
    storage: MockServer,
    directory: tempfile::TempDir,
}

fn model(text: &str) -> HubModel {
    text.parse().unwrap()
}

fn file(name: &str, content: &str, large: bool) -> Value {
    let lfs = large
        .then(|| json!({ "sha256": hex::encode(Sha256::digest(content)), "size": content.len() }));
    json!({ "rfilename": name, "size": content.len(), "lfs": lfs })
}

/// Files of a model in safetensors, and others that a miner does not need.
fn files() -> Value {
    json!([
        file("README.md", "text", false),
        file("config.json", "{}", false),
        file("tokenizer.json", "{\"a\": 1}", false),
        file("pytorch_model.bin", "pickle", true),
        file("model.safetensors", WEIGHTS_CONTENT, true),
    ])
}

impl TestHub {
    async fn new() -> Self {
        Self {
            hub: MockServer::start().await,
            storage: MockServer::start().await,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn api(&self) -> HubApi {
        self.api_with(None)
    }

    fn api_with(&self, key: Option<&str>) -> HubApi {
        let hub_url = self.hub.uri().parse().unwrap();
        HubApi::new(&ChutesSettings {
            hub_url,
            hub_key: key.map(Secret::new),
            ..ChutesSettings::default()
        })
        .unwrap()
    }

    /// Lists these files as the branch `main` of `al/m`.
    async fn list(&self, files: &Value) {
        let listing =
            ResponseTemplate::new(200).set_body_json(json!({ "sha": COMMIT, "siblings": files }));
        let revision = path("/api/models/al/m/revision/main");
        let mock = Mock::given(method("GET")).and(revision).and(query_param("blobs", "true"));
        mock.respond_with(listing).mount(&self.hub).await;
    }

    async fn serve_small_file(&self, name: &str, content: &str) {
        let mock = Mock::given(method("GET")).and(path(format!("/al/m/resolve/{COMMIT}/{name}")));
        mock.respond_with(ResponseTemplate::new(200).set_body_bytes(content))
            .mount(&self.hub)
            .await;
    }

    /// Redirects a large file to the storage.
    async fn redirect_large_file(&self, name: &str) {
        let target = format!("{}/bucket/{name}?signed=1", self.storage.uri());
        let mock = Mock::given(path(format!("/al/m/resolve/{COMMIT}/{name}")));
        mock.respond_with(ResponseTemplate::new(302).insert_header("Location", target))
            .mount(&self.hub)
            .await;
    }

    async fn store(&self, response: ResponseTemplate) {
        Mock::given(method("GET"))
            .and(path("/bucket/model.safetensors"))
            .respond_with(response)
            .mount(&self.storage)
            .await;
    }

    /// Serves the whole model.
    async fn complete(&self) {
        self.list(&files()).await;
        self.serve_small_file("config.json", "{}").await;
        self.serve_small_file("tokenizer.json", "{\"a\": 1}").await;
        self.redirect_large_file("model.safetensors").await;
    }

    async fn download(&self, text: &str) -> Result<PathBuf, HubDownloadError> {
        self.api().download(&model(text), self.directory.path(), |_| ()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("al+m").join(COMMIT).join(name)
    }

    fn write_file(&self, name: &str, content: &str) {
        std::fs::create_dir_all(self.path("")).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    async fn requests(&self) -> usize {
        let [hub, storage] = [&self.hub, &self.storage].map(MockServer::received_requests);
        hub.await.unwrap().len() + storage.await.unwrap().len()
    }
}

fn ok(content: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(content)
}

/// Columns: text · repository, GGUF file and revision; none if malformed
#[test]
fn model_name_is_split_into_repository_file_and_revision() {
    type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>);
    let table: [(&str, Option<Parts<'_>>); 14] = [
        ("gpt2", Some(("gpt2", None, None))),
        ("al/Babelbit-hot_1.2", Some(("al/Babelbit-hot_1.2", None, None))),
        ("al/m@main", Some(("al/m", None, Some("main")))),
        ("al/m@refs/pr/1", Some(("al/m", None, Some("refs/pr/1")))),
        ("al/m/m-q4_0.gguf", Some(("al/m", Some("m-q4_0.gguf"), None))),
        ("al/m/sub/m.gguf@v1", Some(("al/m", Some("sub/m.gguf"), Some("v1")))),
        ("", None),
        ("al/", None),
        ("al/..", None),
        ("al/m@", None),
        ("al/m@../x", None),
        ("al/m/model.bin", None),
        ("al/m?x=1", None),
        ("https://huggingface.co/gpt2", None),
    ];
    for (text, expected) in table {
        let parsed = text.parse::<HubModel>().ok();
        let actual = parsed
            .as_ref()
            .map(|model| (&*model.repository, model.file.as_deref(), model.revision.as_deref()));
        assert_eq!(actual, expected, "{text}");
        assert!(parsed.is_none_or(|model| model.to_string() == text), "{text}");
    }
}

#[tokio::test]
async fn model_is_downloaded_once() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.store(ok(WEIGHTS_CONTENT)).await;
    let reported = Mutex::new(Vec::new());
    let progress = |progress: HubProgress<'_>| {
        reported.lock().unwrap().push((progress.file.to_owned(), progress.done));
    };
    let actual = hub.api().download(&model("al/m"), hub.directory.path(), progress).await.unwrap();
    assert_eq!(actual, hub.directory.path().join("al+m").join(COMMIT));
    for (name, content) in [
        ("config.json", "{}"),
        ("tokenizer.json", "{\"a\": 1}"),
        ("model.safetensors", WEIGHTS_CONTENT),
    ] {
        assert_eq!(std::fs::read_to_string(hub.path(name)).unwrap(), content);
    }
    assert!(
        !hub.path("pytorch_model.bin").exists() && !hub.path("model.safetensors.part").exists()
    );
    assert_eq!(reported.into_inner().unwrap().last(), Some(&("model.safetensors".to_owned(), 10)));
    let request_count = hub.requests().await;
    assert_eq!(hub.download("al/m").await.unwrap(), actual);
    assert_eq!(
        hub.requests().await,
        request_count + 2,
        "the branch is looked up again, nothing is downloaded"
    );
}

#[tokio::test]
async fn key_is_sent_to_the_hub_but_not_to_its_storage() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.store(ok(WEIGHTS_CONTENT)).await;
    let api = hub.api_with(Some("hf_secret"));
    api.download(&model("al/m"), hub.directory.path(), |_| ()).await.unwrap();
    let has_key = |request: &wiremock::Request| request.headers.contains_key("authorization");
    assert!(hub.hub.received_requests().await.unwrap().iter().all(has_key));
    let stored = hub.storage.received_requests().await.unwrap();
    assert!(!stored.is_empty() && !stored.iter().any(has_key));
    let keyless = TestHub::new().await;
    keyless.complete().await;
    keyless.store(ok(WEIGHTS_CONTENT)).await;
    keyless.download("al/m").await.unwrap();
    assert!(!keyless.hub.received_requests().await.unwrap().iter().any(has_key));
}

#[tokio::test]
async fn interrupted_download_resumes() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.write_file("model.safetensors.part", "0123");
    let remaining = ResponseTemplate::new(206)
        .insert_header("Content-Range", "bytes 4-9/10")
        .set_body_bytes("456789");
    let mock = Mock::given(method("GET"))
        .and(path("/bucket/model.safetensors"))
        .and(header("Range", "bytes=4-"));
    mock.respond_with(remaining).expect(1).mount(&hub.storage).await;
    hub.download("al/m").await.unwrap();
    assert_eq!(std::fs::read_to_string(hub.path("model.safetensors")).unwrap(), WEIGHTS_CONTENT);
}

#[tokio::test]
async fn complete_partial_file_needs_no_request() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.write_file("model.safetensors.part", WEIGHTS_CONTENT);
    hub.download("al/m").await.unwrap();
    assert!(hub.path("model.safetensors").exists());
    assert_eq!(hub.storage.received_requests().await.unwrap().len(), 0);
}

/// Columns: content of the storage
#[tokio::test]
async fn file_with_wrong_size_or_hash_is_deleted() {
    for content in ["9876543210", "0123456789 and more"] {
        let hub = TestHub::new().await;
        hub.complete().await;
        hub.store(ok(content)).await;
        let error = hub.download("al/m").await.unwrap_err();
        assert!(
            error.to_string().starts_with("model.safetensors of al/m differs from the hub's list"),
            "{error}"
        );
        assert!(
            !hub.path("model.safetensors").exists() && !hub.path("model.safetensors.part").exists()
        );
    }
}

#[tokio::test]
async fn parts_of_the_weights_and_gguf_files_are_selected() {
    let listing = |files: Value| {
        serde_json::from_value::<Listing>(json!({ "sha": COMMIT, "siblings": files })).unwrap()
    };
    let names = |files: Value, text: &str| -> Result<Vec<String>, String> {
        let listing = listing(files);
        let actual = listing.files(&model(text)).map_err(|error| error.to_string())?;
        Ok(actual.iter().map(|file| file.rfilename.clone()).collect())
    };
    let base = ["config.json", "tokenizer.json"];
    let file_list = |more: &[&str]| -> Value {
        base.iter().chain(more).map(|name| file(name, "x", false)).collect()
    };
    let parts = [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    assert_eq!(names(file_list(&parts), "al/m").unwrap(), [&base[..], &parts].concat());
    // Configuration and tokenizer files are included, other files are not.
    let other_files =
        ["generation_config.json", "chat_template.jinja", "tokenizer_config.json", "README.md"];
    let expected = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
    ];
    assert_eq!(
        names(file_list(&[&other_files[..], &["model.safetensors"]].concat()), "al/m").unwrap(),
        expected
    );
    // One file has precedence over parts.
    let weights_and_index = [&parts[..], &["model.safetensors"]].concat();
    assert_eq!(
        names(file_list(&weights_and_index), "al/m").unwrap(),
        [&base[..], &["model.safetensors"]].concat()
    );
    let ggufs = file_list(&["m-q4_0.gguf", "sub/m.gguf", "sub/tokenizer.json"]);
    assert_eq!(
        names(ggufs.clone(), "al/m/m-q4_0.gguf").unwrap(),
        ["m-q4_0.gguf", "tokenizer.json"]
    );
    assert_eq!(
        names(ggufs.clone(), "al/m/sub/m.gguf").unwrap(),
        ["sub/m.gguf", "sub/tokenizer.json"]
    );
    for (files, text, missing) in [
        (file_list(&["pytorch_model.bin"]), "al/m", "al/m has no model.safetensors\nhint: "),
        (json!([file("model.safetensors", "x", true)]), "al/m", "al/m has no config.json\nhint: "),
        (ggufs, "al/m/other.gguf", "al/m/other.gguf has no other.gguf\nhint: "),
    ] {
        let error = names(files, text).unwrap_err();
        assert!(error.starts_with(missing), "{error}");
    }
}

/// Columns: status of the list, of a file · error · whether a retry may succeed · whether a key is
/// needed
#[tokio::test]
async fn download_error_depends_on_http_status() {
    for (listed, resolved, expected, retryable, auth) in [
        (404, 200, "the hub has no public model al/m\nhint: ", false, false),
        (401, 200, "the hub has no public model al/m\nhint: ", false, false),
        (403, 200, "access to al/m is gated\nhint: ", false, true),
        (200, 401, "access to al/m is gated\nhint: ", false, true),
        (200, 403, "access to al/m is gated\nhint: ", false, true),
        (200, 404, "cannot download the model: HTTP 404", false, false),
        (503, 200, "cannot read the model's revision: HTTP 503", true, false),
    ] {
        let hub = TestHub::new().await;
        let list = ResponseTemplate::new(listed)
            .set_body_json(json!({ "sha": COMMIT, "siblings": files() }));
        Mock::given(path("/api/models/al/m/revision/main"))
            .respond_with(list)
            .mount(&hub.hub)
            .await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(resolved))
            .mount(&hub.hub)
            .await;
        let error = hub.download("al/m").await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{listed} {resolved}: {error}");
        assert_eq!((error.is_retryable(), error.is_auth()), (retryable, auth), "{error}");
    }
}

/// Columns: response · error
#[tokio::test]
async fn malformed_file_lists_are_reported() {
    for (answer, expected) in [
        (json!({ "siblings": [] }), "siblings"),
        (json!({ "sha": COMMIT, "siblings": [{ "rfilename": "config.json" }] }), "siblings"),
        (json!({ "sha": "../../x", "siblings": [] }), "sha"),
    ] {
        let hub = TestHub::new().await;
        let list = ResponseTemplate::new(200).set_body_json(&answer);
        Mock::given(method("GET")).respond_with(list).mount(&hub.hub).await;
        let error = hub.download("al/m").await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "cannot read the model's revision: the response has no field {expected} of the expected type"
            )
        );
    }
}

#[tokio::test]
async fn redirects_are_followed_except_loops_and_other_schemes() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.store(ok(WEIGHTS_CONTENT)).await;
    let redirect = |target: &str| ResponseTemplate::new(307).insert_header("Location", target);
    let redirected = redirect("/api/models/al/m/revision/main?blobs=true");
    Mock::given(path("/api/models/old/revision/main"))
        .respond_with(redirected)
        .mount(&hub.hub)
        .await;
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let redirected = redirect(&format!("/al/m/resolve/{COMMIT}/{name}"));
        Mock::given(path(format!("/old/resolve/{COMMIT}/{name}")))
            .respond_with(redirected)
            .mount(&hub.hub)
            .await;
    }
    let actual = hub.download("old").await.unwrap();
    assert_eq!(std::fs::read_to_string(actual.join("model.safetensors")).unwrap(), WEIGHTS_CONTENT);
    for target in ["/api/models/loop/revision/main", "ftp://127.0.0.1/x"] {
        let hub = TestHub::new().await;
        Mock::given(header_exists("user-agent"))
            .respond_with(redirect(target))
            .mount(&hub.hub)
            .await;
        let error = hub.download("loop").await.unwrap_err().to_string();
        assert_eq!(error, "cannot read the model's revision: HTTP 307");
    }
}

#[tokio::test]
async fn last_download_is_used_when_the_hub_is_unavailable() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.store(ok(WEIGHTS_CONTENT)).await;
    let actual = hub.download("al/m").await.unwrap();
    hub.hub.reset().await;
    Mock::given(header_exists("user-agent"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&hub.hub)
        .await;
    assert_eq!(hub.download("al/m").await.unwrap(), actual);
    assert!(
        hub.download("al/m@v1").await.unwrap_err().is_retryable(),
        "another revision is not the same"
    );
    // A commit never changes.
    let pinned_model = format!("al/m@{COMMIT}");
    assert!(hub.download(&pinned_model).await.is_err());
    std::fs::copy(
        hub.directory.path().join("al+m/complete/main"),
        hub.directory.path().join("al+m/complete").join(COMMIT),
    )
    .unwrap();
    let request_count = hub.requests().await;
    assert_eq!(hub.download(&pinned_model).await.unwrap(), actual);
    assert_eq!(hub.requests().await, request_count);
}

#[tokio::test]
async fn locked_download_returns_busy_error() {
    let hub = TestHub::new().await;
    hub.complete().await;
    hub.write_file(".lock", "");
    let _lock = lock_file(&hub.path(".lock")).await.unwrap().unwrap();
    let error = hub.download("al/m").await.unwrap_err();
    assert!(matches!(error, HubDownloadError::Busy(_)) && error.is_retryable(), "{error}");
}
