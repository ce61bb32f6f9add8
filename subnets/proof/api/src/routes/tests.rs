use reqwest::{Certificate, Client};
use taonet_http::ServeLimits;
use taonet_proof_circuits::{
    Backends, CompileOptions, Compiled, ModelBundle, ShippedModel, compile,
};
use taonet_proof_core::quantise::Sample;
use taonet_proof_miner::Behaviour;
use tokio::net::TcpListener;

use super::*;
use crate::testing::TestValidator;
use crate::{ApiKeys, Identity, serve_tls};

struct TestApi {
    url: String,
    client: Client,
    keys: [String; 2],
    circuit: Digest,
    model: Digest,
    stop: Shutdown,
    work_directory: tempfile::TempDir,
}

impl Drop for TestApi {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// Starts a validator's API over TLS, with one miner that serves one model, both unsliced and in
/// slices.
async fn start(behaviour: Behaviour, settings: ApiSettings) -> TestApi {
    serve_users(TestValidator::start(behaviour).await, settings).await
}

/// Serves the API of a validator to two users.
async fn serve_users(fixture: TestValidator, settings: ApiSettings) -> TestApi {
    let path = fixture.work_directory.path().join("keys.json");
    let mut keys = ApiKeys::open(&path).unwrap();
    let users = ["ada", "bob"].map(|name| keys.add(name, &path).unwrap());
    let (url, client) = serve_api(&fixture, &settings, &fixture.stop, ServeLimits::default()).await;
    let TestValidator { circuit, model, stop, work_directory, examiner: _ } = fixture;
    TestApi { url, client, keys: users, circuit, model, stop, work_directory }
}

/// Serves the API of a validator until `stop`; returns its URL and a client that trusts its
/// certificate.
async fn serve_api(
    fixture: &TestValidator,
    settings: &ApiSettings,
    stop: &Shutdown,
    limits: ServeLimits,
) -> (String, Client) {
    let keys = LiveKeys::open(&fixture.work_directory.path().join("keys.json")).unwrap();
    let identity = Identity::self_signed(fixture.work_directory.path()).unwrap();
    let reloaded = Identity::self_signed(fixture.work_directory.path()).unwrap();
    assert_eq!(
        identity.certificate(),
        reloaded.certificate(),
        "the certificate survives a restart"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let routes = router(Arc::clone(&fixture.examiner), keys, settings, stop).unwrap();
    let (stop_signal, server_identity) = (stop.clone(), identity.clone());
    stop.spawn("api", async move {
        serve_tls(listener, routes, &server_identity, limits, &stop_signal).await.unwrap();
    });
    let root = Certificate::from_pem(identity.certificate()).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let client = Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .resolve("localhost", address)
        .build()
        .unwrap();
    (url, client)
}

impl TestApi {
    async fn get(&self, user: usize, path: &str) -> (u16, String) {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.keys[user]);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn submit(&self, body: &Value) -> (u16, Value) {
        let request =
            self.client.post(format!("{}/v1/proofs", self.url)).bearer_auth(&self.keys[0]);
        let response = request.body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }
}

fn jobs(max_running: usize) -> JobSettings {
    JobSettings { max_running, ..ApiSettings::default().jobs }
}

fn submission(circuit: Digest) -> Value {
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    json!({ "circuit": circuit, "input": { "input_data": [inputs] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_become_bundles_that_verify() {
    let api = start(Behaviour::Honest, ApiSettings::default()).await;
    let (status, served) = api.get(0, "/v1/circuits").await;
    let served: Value = serde_json::from_str(&served).unwrap();
    assert_eq!((status, served["circuits"].as_array().unwrap().len()), (200, 4), "{served}");
    assert_eq!(served["circuits"][0]["language_model"], false, "{served}");
    for (circuit, proofs) in [(api.circuit, 1), (api.model, 2)] {
        let (status, accepted) = api.submit(&submission(circuit)).await;
        assert_eq!((status, &accepted["status"]), (202, &json!("running")));
        let id = accepted["id"].as_str().unwrap();
        let (status, events) = api.get(0, &format!("/v1/proofs/{id}/events")).await;
        assert_eq!(status, 200);
        let count = |text: &str| events.matches(text).count();
        assert_eq!(
            (count(r#""event":"asked""#), count(r#""event":"verified""#)),
            (proofs, proofs),
            "{events}"
        );
        assert_eq!(count("event: end"), 1, "{events}");
        // A late client receives all events, too.
        assert_eq!(api.get(0, &format!("/v1/proofs/{id}/events")).await.1, events);
        let (_, document) = api.get(0, &format!("/v1/proofs/{id}")).await;
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["status"], "done", "{document}");
        let (status, bundle) = api.get(0, &format!("/v1/proofs/{id}/bundle")).await;
        assert_eq!(status, 200);
        let bundle = ModelBundle::from_json(bundle.as_bytes()).unwrap();
        bundle.verify().unwrap();
        assert_eq!((bundle.id().unwrap(), bundle.proofs().len()), (circuit, proofs));
        assert_eq!(document["outputs"], json!(bundle.proofs().last().unwrap().outputs));
        assert_eq!(api.get(1, &format!("/v1/proofs/{id}")).await.0, 404, "another key's proof");
        assert_eq!(api.get(1, &format!("/v1/proofs/{id}/bundle")).await.0, 404);
    }
}

/// Keys that are removed while the validator runs are rejected from the next request on.
#[tokio::test(flavor = "multi_thread")]
async fn removed_keys_are_rejected_without_a_restart() {
    let api = start(Behaviour::Honest, ApiSettings::default()).await;
    let path = api.work_directory.path().join("keys.json");
    let mut keys = ApiKeys::open(&path).unwrap();
    assert_eq!(
        [api.get(0, "/v1/circuits").await.0, api.get(1, "/v1/circuits").await.0],
        [200, 200]
    );
    keys.remove("ada", &path).unwrap();
    assert_eq!(
        [api.get(0, "/v1/circuits").await.0, api.get(1, "/v1/circuits").await.0],
        [401, 200]
    );
    let eve_key = keys.add("eve", &path).unwrap();
    let request = api.client.get(format!("{}/v1/circuits", api.url)).bearer_auth(eve_key);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_and_invalid_submissions_are_refused() {
    let rate_limit = RateLimit { requests: 15, window: Duration::from_mins(10) };
    let api = start(Behaviour::WrongOutput, ApiSettings { rate: rate_limit, jobs: jobs(1) }).await;
    for request in [
        api.client.get(format!("{}/v1/circuits", api.url)),
        api.client.get(format!("{}/v1/circuits", api.url)).bearer_auth("taoproof_0"),
        api.client.post(format!("{}/v1/proofs", api.url)).body("{}"),
    ] {
        assert_eq!(request.send().await.unwrap().status().as_u16(), 401);
    }
    assert_eq!(
        api.client.get(format!("{}/healthz", api.url)).send().await.unwrap().status().as_u16(),
        200
    );
    for body in [
        json!({}),
        json!({ "circuit": Digest::of(b"x"), "input": [1] }),
        json!({ "circuit": api.circuit, "input": [1] }),
        json!({ "circuit": api.circuit, "input": "text" }),
        json!({ "circuit": api.circuit, "input": [0.5] }),
        json!({ "circuit": api.model, "input": [1_000_000] }),
        json!({ "circuit": api.circuit, "prompt": "The capital of Texas is" }),
        json!({ "circuit": api.circuit, "input": submission(api.circuit)["input"], "prompt": "" }),
    ] {
        assert_eq!(api.submit(&body).await.0, 422, "{body}");
    }
    let oversized_request = api
        .client
        .post(format!("{}/v1/proofs", api.url))
        .bearer_auth(&api.keys[0])
        .body(" ".repeat(10_000));
    assert_eq!(
        oversized_request.send().await.unwrap().status().as_u16(),
        413,
        "ten integers are shorter"
    );
    let (status, accepted) = api.submit(&submission(api.circuit)).await;
    assert_eq!(status, 202);
    let id = accepted["id"].as_str().unwrap();
    let (_, events) = api.get(0, &format!("/v1/proofs/{id}/events")).await;
    assert!(
        events.contains(r#""fault":"wrong_output""#) && events.contains("no miner proved slice 0"),
        "{events}"
    );
    assert_eq!(api.get(0, &format!("/v1/proofs/{id}/bundle")).await.0, 409);
    assert_eq!(api.get(0, "/v1/proofs/nonsense").await.0, 404);
    let mut last_status = 0;
    for _ in 0..5 {
        last_status = api.get(0, "/v1/circuits").await.0;
    }
    assert_eq!(last_status, 429, "the key's rate is used up");
    assert_eq!(api.get(1, "/v1/circuits").await.0, 200, "another key's is not");
}

/// Compiles digits-mlp for pictures that have a sixteenth of the brightness.
fn digits_for_dim_images() -> Compiled {
    let model = ShippedModel::DigitsMlp;
    let bright_images = model.sample().unwrap().inputs;
    let dim_images =
        bright_images.iter().map(|image| image.iter().map(|pixel| pixel / 16).collect());
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let sample = Sample { inputs: dim_images.collect(), ..Sample::default() };
    compile(model.onnx(), &sample, &options).unwrap()
}

/// A proof of the outputs would be valid, but they could be far from those of the model.
#[tokio::test(flavor = "multi_thread")]
async fn saturating_inputs_are_refused() {
    let compiled = digits_for_dim_images();
    let circuit = compiled.metadata.id().unwrap();
    let validator = TestValidator::start_with(Behaviour::Honest, Some(&compiled)).await;
    let api = serve_users(validator, ApiSettings::default()).await;
    let bright_image = ShippedModel::DigitsMlp.sample().unwrap().inputs[0].clone();
    let (status, answer) = api.submit(&json!({ "circuit": circuit, "input": bright_image })).await;
    let expected = "values are beyond the range of the model's sample and saturate: Relu '";
    assert!(answer["error"].as_str().unwrap().starts_with(expected), "{answer}");
    assert_eq!(status, 400);
    let black_image = vec![0; bright_image.len()];
    assert_eq!(api.submit(&json!({ "circuit": circuit, "input": black_image })).await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_in_progress_are_bounded() {
    let slow = Behaviour::Slow(Duration::from_secs(30));
    let api = start(slow, ApiSettings { jobs: jobs(2), ..ApiSettings::default() }).await;
    let document = submission(api.circuit);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(api.submit(&document).await.0);
    }
    assert_eq!(statuses, [202, 202, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_last_as_long_as_the_proof() {
    let fixture = TestValidator::start(Behaviour::Slow(Duration::from_secs(8))).await;
    let path = fixture.work_directory.path().join("keys.json");
    let key = ApiKeys::open(&path).unwrap().add("ada", &path).unwrap();
    // Each timeout of a connection is shorter than the time that the proof takes.
    let short_timeout = Duration::from_secs(3);
    let limits = ServeLimits {
        header_timeout: short_timeout,
        write_timeout: short_timeout,
        ..ServeLimits::default()
    };
    let (url, client) = serve_api(&fixture, &ApiSettings::default(), &fixture.stop, limits).await;
    let request = client
        .post(format!("{url}/v1/proofs"))
        .bearer_auth(&key)
        .body(submission(fixture.circuit).to_string());
    let accepted: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = accepted["id"].as_str().unwrap();
    let events =
        client.get(format!("{url}/v1/proofs/{id}/events")).bearer_auth(&key).send().await.unwrap();
    let events = events.text().await.unwrap();
    assert!(events.contains("event: end") && events.contains(r#""status":"done""#), "{events}");
    fixture.stop.request();
}

/// A shutdown or a kill interrupts proofs: users get an error, and can fetch the proof under the
/// same ID after the restart.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_in_progress_survive_restarts() {
    let fixture = TestValidator::start(Behaviour::Slow(Duration::from_secs(12))).await;
    let path = fixture.work_directory.path().join("keys.json");
    let key = ApiKeys::open(&path).unwrap().add("ada", &path).unwrap();
    let directory = Some(fixture.work_directory.path().join("jobs"));
    let settings =
        ApiSettings { jobs: JobSettings { directory, ..jobs(4) }, ..ApiSettings::default() };
    let first = Shutdown::new();
    let (url, client) = serve_api(&fixture, &settings, &first, ServeLimits::default()).await;
    let request = client
        .post(format!("{url}/v1/proofs"))
        .bearer_auth(&key)
        .body(submission(fixture.circuit).to_string());
    let accepted: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = accepted["id"].as_str().unwrap().to_owned();
    let document = async |client: &Client, url: &str| {
        let answer =
            client.get(format!("{url}/v1/proofs/{id}")).bearer_auth(&key).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    // The second server starts as after a kill: the first one has written nothing but the request.
    let second_stop = Shutdown::new();
    let (other, other_client) =
        serve_api(&fixture, &settings, &second_stop, ServeLimits::default()).await;
    assert_eq!(document(&other_client, &other).await["status"], "running");
    let events =
        client.get(format!("{url}/v1/proofs/{id}/events")).bearer_auth(&key).send().await.unwrap();
    first.request();
    let events = events.text().await.unwrap();
    assert!(
        events.contains(r#""status":"interrupted""#) && events.contains("resumes afterwards"),
        "{events}"
    );
    first.finished().await.unwrap();
    while document(&other_client, &other).await["status"] == "running" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    second_stop.request();
    second_stop.finished().await.unwrap();
    // The finished proof is still available after another restart.
    let (url, client) = serve_api(&fixture, &settings, &fixture.stop, ServeLimits::default()).await;
    assert_eq!(document(&client, &url).await["status"], "done");
    let bundle =
        client.get(format!("{url}/v1/proofs/{id}/bundle")).bearer_auth(&key).send().await.unwrap();
    ModelBundle::from_json(&bundle.bytes().await.unwrap()).unwrap().verify().unwrap();
    fixture.stop.request();
}
