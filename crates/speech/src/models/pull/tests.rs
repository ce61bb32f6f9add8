use std::sync::Mutex;

use tokio::io::AsyncReadExt;
use wiremock::matchers::{header, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::models::ModelKind;

const SMALL: ModelSpec = ModelSpec {
    name: "small",
    kind: ModelKind::Recognizer,
    repository: Some("tests/small"),
    revision: "0a1b2c",
    directory: None,
    purpose: "tests",
    files: &[ModelFile {
        name: "weights.bin",
        // The hash of the ten bytes `0123456789`.
        sha256: "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
        bytes: 10,
    }],
    packages: &[],
    memory: None,
};
/// The same model in a directory of its repository.
const NESTED: ModelSpec = ModelSpec { directory: Some("en/medium"), ..SMALL };
const CONTENT: &str = "0123456789";

/// A mock hub, and a store with an empty directory.
struct Setup {
    server: MockServer,
    root: tempfile::TempDir,
    store: ModelStore,
}

impl Setup {
    async fn new() -> Self {
        let (server, root) = (MockServer::start().await, tempfile::tempdir().unwrap());
        let store = ModelStore::with(vec![root.path().to_owned()], &server.uri());
        Self { server, root, store }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("small").join(name)
    }

    /// Writes a file as left by an earlier attempt.
    fn write_file(&self, name: &str, content: &str) {
        std::fs::create_dir_all(self.root.path().join("small")).unwrap();
        std::fs::write(self.file(name), content).unwrap();
    }

    async fn respond_with(&self, response: ResponseTemplate) {
        Mock::given(method("GET"))
            .and(path("/tests/small/resolve/0a1b2c/weights.bin"))
            .respond_with(response)
            .mount(&self.server)
            .await;
    }

    async fn pull(&self) -> Result<PathBuf, ModelError> {
        self.store.pull(&SMALL, |_| {}).await
    }

    async fn requests(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }

    fn assert_complete(&self) {
        assert_eq!(std::fs::read_to_string(self.file("weights.bin")).unwrap(), CONTENT);
        assert!(!self.file("weights.bin.part").exists());
    }
}

/// Returns the progress of a download.
fn progress(event: PullEvent<'_>) -> PullProgress {
    match event {
        PullEvent::Download(progress) => progress,
        PullEvent::Copy { .. } => panic!("{event:?}"),
    }
}

fn ok(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(body)
}

#[tokio::test]
async fn model_is_fetched_with_progress() {
    let setup = Setup::new().await;
    setup.respond_with(ok(CONTENT)).await;
    let events = Mutex::new(Vec::new());
    let dir = setup
        .store
        .pull(&SMALL, |event| events.lock().unwrap().push(progress(event)))
        .await
        .unwrap();
    assert_eq!(dir, setup.root.path().join("small"));
    setup.assert_complete();
    let events = events.into_inner().unwrap();
    let expected = |done| PullProgress { file: "weights.bin", done, total: 10 };
    assert_eq!((events.first(), events.last()), (Some(&expected(0)), Some(&expected(10))));
}

#[tokio::test]
async fn model_in_a_directory_of_its_repository_is_fetched() {
    let setup = Setup::new().await;
    Mock::given(method("GET"))
        .and(path("/tests/small/resolve/0a1b2c/en/medium/weights.bin"))
        .respond_with(ok(CONTENT))
        .mount(&setup.server)
        .await;
    setup.store.pull(&NESTED, |_| {}).await.unwrap();
    setup.assert_complete();
}

#[tokio::test]
async fn complete_file_is_not_fetched_again() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin", CONTENT);
    setup.pull().await.unwrap();
    assert_eq!(setup.requests().await, 0);
}

/// A damaged copy in another directory is not used.
#[tokio::test]
async fn given_directory_is_filled_from_cache() {
    for (cached, requests) in [(CONTENT, 0), ("something else", 1)] {
        let setup = Setup::new().await;
        setup.respond_with(ok(CONTENT)).await;
        setup.write_file("weights.bin", cached);
        let extra_directory = tempfile::tempdir().unwrap();
        let directories = vec![extra_directory.path().to_owned(), setup.root.path().to_owned()];
        let store = ModelStore::with(directories, &setup.server.uri());
        let copies = Mutex::new(Vec::new());
        let observe = |event: PullEvent<'_>| {
            if let PullEvent::Copy { file, from } = event {
                copies.lock().unwrap().push((file, from.to_owned()));
            }
        };
        let dir = store.pull(&SMALL, observe).await.unwrap();
        assert_eq!(dir, extra_directory.path().join("small"));
        let expected = (requests == 0).then(|| ("weights.bin", setup.root.path().join("small")));
        assert_eq!(copies.into_inner().unwrap(), Vec::from_iter(expected), "{cached}");
        assert_eq!(std::fs::read_to_string(dir.join("weights.bin")).unwrap(), CONTENT);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        assert_eq!(setup.requests().await, requests, "{cached}");
        assert_eq!(
            std::fs::read_to_string(setup.file("weights.bin")).unwrap(),
            cached,
            "the cache is unchanged"
        );
    }
}

#[tokio::test]
async fn model_file_with_other_content_is_replaced() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin", "something else");
    setup.respond_with(ok(CONTENT)).await;
    setup.pull().await.unwrap();
    setup.assert_complete();
}

#[tokio::test]
async fn interrupted_download_resumes() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", "0123");
    let remaining = ResponseTemplate::new(206)
        .insert_header("Content-Range", "bytes 4-9/10")
        .set_body_bytes("456789");
    Mock::given(header("Range", "bytes=4-"))
        .respond_with(remaining)
        .expect(1)
        .mount(&setup.server)
        .await;
    let done_counts = Mutex::new(Vec::new());
    setup
        .store
        .pull(&SMALL, |event| done_counts.lock().unwrap().push(progress(event).done))
        .await
        .unwrap();
    setup.assert_complete();
    assert_eq!(done_counts.into_inner().unwrap().last(), Some(&10));
}

#[tokio::test]
async fn complete_partial_file_is_used_without_request() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", CONTENT);
    setup.pull().await.unwrap();
    setup.assert_complete();
    assert_eq!(setup.requests().await, 0);
}

#[tokio::test]
async fn download_restarts_when_hub_ignores_the_range() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", "0123");
    setup.respond_with(ok(CONTENT)).await;
    setup.pull().await.unwrap();
    setup.assert_complete();
}

#[tokio::test]
async fn too_long_partial_file_is_fetched_again() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", "0123456789ab");
    setup.respond_with(ok(CONTENT)).await;
    setup.pull().await.unwrap();
    setup.assert_complete();
}

#[tokio::test]
async fn unsatisfiable_range_restarts_the_next_download() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", "0123");
    Mock::given(header_exists("Range"))
        .respond_with(ResponseTemplate::new(416))
        .mount(&setup.server)
        .await;
    assert!(matches!(setup.pull().await, Err(ModelError::Status { status: 416, .. })));
    setup.respond_with(ok(CONTENT)).await;
    setup.pull().await.unwrap();
    setup.assert_complete();
}

#[tokio::test]
async fn file_with_other_content_is_refused_and_removed() {
    let setup = Setup::new().await;
    setup.respond_with(ok("9876543210")).await;
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::WrongDownload { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("/tests/small/resolve/0a1b2c/weights.bin is not the published file"),
        "{text}"
    );
    assert!(text.contains(SMALL.files[0].sha256), "{text}");
    assert!(!setup.file("weights.bin").exists());
    assert!(!setup.file("weights.bin.part").exists());
}

#[tokio::test]
async fn missing_file_is_an_error_with_its_address() {
    let setup = Setup::new().await;
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Status { status: 404, .. }), "{error}");
    assert!(!error.is_retryable());
    assert!(
        error
            .to_string()
            .ends_with("/tests/small/resolve/0a1b2c/weights.bin responded with HTTP status 404"),
        "{error}"
    );
    assert!(!setup.file("weights.bin").exists());
}

#[tokio::test]
async fn failed_pull_leaves_no_empty_directory_of_its_own() {
    let setup = Setup::new().await;
    let directory = setup.root.path().join("small");
    let source = tempfile::tempdir().unwrap();
    for existed in [false, true] {
        if existed {
            std::fs::create_dir(&directory).unwrap();
        }
        setup.pull().await.unwrap_err();
        assert_eq!(directory.exists(), existed, "pull");
        setup.store.import(&SMALL, source.path()).await.unwrap_err();
        assert_eq!(directory.exists(), existed, "import");
    }
}

#[tokio::test]
async fn truncated_response_is_kept_for_the_next_attempt() {
    let setup = Setup::new().await;
    setup.respond_with(ok("01234")).await;
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Size { expected: 10, received: 5, .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(std::fs::read_to_string(setup.file("weights.bin.part")).unwrap(), "01234");
}

#[tokio::test]
async fn broken_connection_keeps_received_bytes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012";
        socket.write_all(head).await.unwrap();
        socket.shutdown().await.unwrap();
    });
    let root = tempfile::tempdir().unwrap();
    let store = ModelStore::with(vec![root.path().to_owned()], &hub);
    let error = store.pull(&SMALL, |_| {}).await.unwrap_err();
    server.await.unwrap();
    assert!(matches!(error, ModelError::Connection { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(root.path().join("small/weights.bin.part")).unwrap(), "012");
}

#[tokio::test]
async fn too_long_response_is_refused() {
    let setup = Setup::new().await;
    setup.respond_with(ok("0123456789 and more")).await;
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Size { .. }), "{error}");
    assert!(!setup.file("weights.bin.part").exists());
}

#[tokio::test]
async fn two_processes_do_not_write_one_file() {
    let setup = Setup::new().await;
    setup.write_file("weights.bin.part", "");
    let other = File::open(setup.file("weights.bin.part")).unwrap();
    other.lock().unwrap();
    assert!(matches!(setup.pull().await, Err(ModelError::Busy { .. })));
}

#[tokio::test]
async fn built_in_model_cannot_be_pulled() {
    let setup = Setup::new().await;
    let result = setup.store.pull(&crate::models::TINY_CTC, |_| {}).await;
    assert!(matches!(result, Err(ModelError::BuiltIn { model: "tiny-ctc" })));
}

#[tokio::test]
async fn model_is_copied_from_a_directory() {
    let setup = Setup::new().await;
    let source = tempfile::tempdir().unwrap();
    let from = source.path().join("weights.bin");
    let import = || setup.store.import(&SMALL, source.path());
    assert!(matches!(import().await, Err(ModelError::Io { path, .. }) if path == from));
    std::fs::write(&from, "something else").unwrap();
    let error = import().await.unwrap_err();
    assert!(matches!(error, ModelError::WrongDirectory { .. }), "{error}");
    let (text, directory) = (error.to_string(), source.path().display());
    let expected =
        format!("{directory} has another model than small, or a damaged one: weights.bin has");
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.ends_with("; hint: pass the directory of small"), "{text}");
    assert!(!setup.file("weights.bin").exists());
    std::fs::write(&from, CONTENT).unwrap();
    assert_eq!(import().await.unwrap(), setup.root.path().join("small"));
    setup.assert_complete();
    // Files that are already present are not copied again.
    std::fs::remove_file(&from).unwrap();
    import().await.unwrap();
    assert_eq!(setup.requests().await, 0);
}
