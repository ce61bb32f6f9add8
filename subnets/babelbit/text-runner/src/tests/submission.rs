//! Submission of result files to the scoring API.

use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_objects::testing::{S3Server, settings};
use taonet_objects::{ObjectStorage, S3Addressing};

use super::*;

/// Starts a scoring API, and an outbox that submits the runner's files to it.
async fn outbox(runner: &TextRunner) -> (MockServer, Outbox) {
    outbox_with(runner, None).await
}

async fn outbox_with(runner: &TextRunner, storage: Option<ObjectStorage>) -> (MockServer, Outbox) {
    let server = MockServer::start().await;
    let keypair = Arc::new(Keypair::from_uri("//Alice").unwrap());
    let settings = OutboxSettings {
        concurrency: 1,
        drain_timeout: Duration::ZERO,
        ..OutboxSettings::new(server.uri().parse().unwrap(), runner.paths.clone())
    };
    let outbox = Outbox::new(Arc::clone(&runner.ledger), keypair, storage, settings).unwrap();
    (server, outbox)
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| request.body_json().unwrap()).collect()
}

#[tokio::test]
async fn files_survive_a_restart_until_they_are_submitted() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, miners) = (engine(TEXT).await, miners(&[&echo]));
    {
        let runner = runner(&directory).await;
        let played = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
        assert_eq!((played.outcome, played.files.len()), (TextOutcome::Finished, 5));
        let (server, outbox) = outbox(&runner).await;
        Mock::given(path("/v1/submit"))
            .respond_with(ResponseTemplate::new(503))
            .mount(&server)
            .await;
        assert_eq!(outbox.drain().await.unwrap().waiting, 5);
    }
    let runner = runner(&directory).await;
    let second_report = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!((second_report.outcome, second_report.files.len()), (TextOutcome::AlreadyDone, 0));
    let (server, outbox) = outbox(&runner).await;
    Mock::given(path("/v1/submit")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    // The files are due one second after the failure.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(outbox.drain().await.unwrap().delivered, 5);
    assert_eq!(bodies(&server).await.len(), 5);
}

/// A killed run leaves no record, so the next run plays the challenge again.
#[tokio::test]
async fn challenge_without_a_record_is_played_again() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, runner, echo_miners) =
        (engine(TEXT).await, runner(&directory).await, miners(&[&echo]));
    let silent_miner = scripted(|_| Ok(String::new()));
    let unscored = runner.run_once(&engine, &miners(&[&silent_miner]), |_| ()).await.unwrap();
    assert_eq!((unscored.outcome, unscored.miners[0].score), (TextOutcome::Finished, None));
    assert_eq!(runner.ledger.outbox_counts().await.unwrap().waiting, 0);
    assert_eq!(
        runner.run_once(&engine, &echo_miners, |_| ()).await.unwrap().outcome,
        TextOutcome::Finished
    );
    assert_eq!(
        runner.run_once(&engine, &echo_miners, |_| ()).await.unwrap().outcome,
        TextOutcome::AlreadyDone
    );
    assert_eq!(runner.ledger.outbox_counts().await.unwrap().waiting, 5);

    // Another contest's challenge of the same uid is not the same.
    let solo = TextRunner { challenge_type: ChallengeType::Solo, submit: false, ..runner.clone() };
    assert_eq!(
        solo.run_once(&engine, &echo_miners, |_| ()).await.unwrap().outcome,
        TextOutcome::Finished
    );
    assert_eq!(
        runner.ledger.outbox_counts().await.unwrap().waiting,
        5,
        "nothing is queued without submissions"
    );
}

#[tokio::test]
async fn refused_file_does_not_delay_other_files() {
    fn is_log_of_dialogue_a(request: &wiremock::Request) -> bool {
        let body: Value = request.body_json().unwrap();
        body["kind"] == "dialogue_logs" && body["data"]["dialogue_uid"] == "a"
    }
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let runner = runner(&directory).await;
    runner.run_once(&engine(TEXT).await, &miners(&[&echo]), |_| ()).await.unwrap();
    let (server, outbox) = outbox(&runner).await;
    Mock::given(path("/v1/submit"))
        .and(is_log_of_dialogue_a)
        .respond_with(ResponseTemplate::new(413))
        .mount(&server)
        .await;
    Mock::given(path("/v1/submit")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let counts = outbox.drain().await.unwrap();
    assert_eq!((counts.waiting, counts.refused, counts.delivered), (0, 1, 4));
}

/// Columns: kind · file type · dialogue
#[tokio::test]
async fn files_are_signed_and_submitted_once_scores_first() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let runner = TextRunner { main_challenge_uid: Some("m".into()), ..runner(&directory).await };
    runner.run_once(&engine(TEXT).await, &miners(&[&echo]), |_| ()).await.unwrap();
    let (server, outbox) = outbox(&runner).await;
    Mock::given(path("/v1/submit")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    outbox.drain().await.unwrap();
    let bodies = bodies(&server).await;
    let seen: Vec<_> = bodies
        .iter()
        .map(|body| {
            (
                body["kind"].clone(),
                body["data"]["file_type"].clone(),
                body["data"]["dialogue_uid"].clone(),
            )
        })
        .collect();
    let expected = [
        ("challenge_scores", "challenge_scores", Value::Null),
        ("dialogue_scores", "dialogue_scores", json!("a")),
        ("dialogue_logs", "dialogue_log", json!("a")),
        ("dialogue_scores", "dialogue_scores", json!("b")),
        ("dialogue_logs", "dialogue_log", json!("b")),
    ];
    assert_eq!(
        seen,
        expected.map(|(kind, file_type, dialogue)| (json!(kind), json!(file_type), dialogue))
    );
    let keypair = Keypair::from_uri("//Alice").unwrap();
    for body in &bodies {
        let mut signed = body.clone();
        let fields = signed.as_object_mut().unwrap();
        fields.remove("kind");
        let signature = fields.remove("signature").unwrap().as_str().unwrap().parse().unwrap();
        let text = taonet_wire::sorted_json(&signed);
        assert!(taonet_wallet::verify(&keypair.hotkey(), text.as_bytes(), &signature));
        let data = &body["data"];
        assert_eq!(
            (&data["challenge_type"], &data["main_challenge_uid"]),
            (&json!("main"), &json!("m"))
        );
        assert!(
            data.get("protocol").is_none() && data.get("score_method").is_none(),
            "fields of the speech contest"
        );
    }
    let content: Value =
        serde_json::from_str(bodies[0]["data"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["challenge_mean_U"].as_f64().map(|mean| mean > 0.0), Some(true));
    assert_eq!(bodies[0]["challenge_id"], "text-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_to_the_bucket_before_they_are_submitted() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let runner = runner(&directory).await;
    runner.run_once(&engine(TEXT).await, &miners(&[&echo]), |_| ()).await.unwrap();
    let bucket = S3Server::start().await;
    let storage = ObjectStorage::open(&settings(&bucket.url, S3Addressing::Path)).unwrap();
    let (server, outbox) = outbox_with(&runner, Some(storage)).await;
    Mock::given(path("/v1/submit")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    assert_eq!(outbox.drain().await.unwrap().waiting, 0);
    let bodies = bodies(&server).await;
    assert_eq!(bodies.len(), 5);
    for body in bodies {
        let data = &body["data"];
        let key = data["s3_path"].as_str().unwrap();
        let folder = if data["file_type"] == "dialogue_log" { "logs/logs" } else { "submissions" };
        assert!(
            key.starts_with(&format!("{folder}/text-1/main/")) && key.contains("_miner_1_"),
            "{key}"
        );
        assert!(key.ends_with(data["file_name"].as_str().unwrap()), "{key}");
        assert_eq!(
            std::fs::read_to_string(bucket.object(key)).unwrap(),
            data["content"].as_str().unwrap()
        );
    }
}
