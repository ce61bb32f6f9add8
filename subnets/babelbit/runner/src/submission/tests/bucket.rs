//! Uploads before submissions: a failing bucket delays files without losing any.

use super::super::testing::{Fault, FaultyProxy};
use super::*;
use taonet_objects::S3Addressing;
use taonet_objects::client_options;
use taonet_objects::testing::{S3Server, settings};

/// Returns the expected key in the bucket of each file of a miner.
fn keys(results: &Results, number: u16) -> Vec<(ResultFile, String)> {
    let name = miner(number).directory();
    let key = |file: ResultFile| {
        let folder = if file == ResultFile::RunLog { "logs/logs" } else { "submissions" };
        let path = results.path(file, number);
        (file, format!("{folder}/c/main/{name}/{}", path.file_name().unwrap().to_str().unwrap()))
    };
    ResultFile::SPEECH_FILES.map(key).to_vec()
}

fn check(results: &Results, server: &S3Server, miners: u16) {
    for number in 0..miners {
        for (file, key) in keys(results, number) {
            assert!(
                std::fs::read(server.object(&key)).unwrap() == Results::content(file, number),
                "{key}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_contain_the_object_key_of_their_file() {
    let results = Results::new(2).await;
    let bucket = S3Server::start().await;
    let (server, url) = accepting_server().await;
    let storage = ObjectStorage::open(&settings(&bucket.url, S3Addressing::Path)).unwrap();
    let counts = results.outbox_with(results.settings(&url), Some(storage)).drain().await.unwrap();
    assert_eq!(counts.delivered, 8);
    check(&results, &bucket, 2);
    let bodies = requests(&server, "/v1/submit").await;
    let bodies: Vec<Value> = bodies.iter().map(|request| request.body_json().unwrap()).collect();
    for number in 0..2 {
        for (file, key) in
            keys(&results, number).into_iter().filter(|(file, _)| *file != ResultFile::Audio)
        {
            let is_expected = |body: &&Value| {
                body["miner_uid"] == number && body["data"]["file_type"] == file.file_type()
            };
            assert_eq!(bodies.iter().find(is_expected).unwrap()["data"]["s3_path"], json!(key));
        }
    }
    for request in requests(&server, "/v1/submit-artifact").await {
        assert!(
            String::from_utf8_lossy(&request.body)
                .contains(r#""s3_path":"submissions/c/main/miner_"#)
        );
    }
}

/// A bucket that fails, at startup and later.
#[tokio::test(flavor = "multi_thread")]
async fn failing_bucket_loses_no_submission() {
    let refused = |status: &str| {
        let body = "<Error><Code>SlowDown</Code></Error>";
        Fault::Response(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    for (case, fault) in [
        ("down", Fault::Down),
        ("500", refused("500 Internal Server Error")),
        ("503", refused("503 Slow Down")),
        ("429", refused("429 Too Many Requests\r\nretry-after: 1")),
        ("garbage", Fault::Response("220 mail.example ESMTP\r\n".into())),
        ("cut short", Fault::Response("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n<".into())),
        ("done without a response", Fault::NoResponses),
    ] {
        let results = Results::new(2).await;
        let bucket = S3Server::start().await;
        let (server, url) = accepting_server().await;
        let proxy = FaultyProxy::start(&bucket.url, fault.clone()).await;
        let storage = ObjectStorage::open(&settings(&proxy.url, S3Addressing::Path)).unwrap();
        let outbox = results.outbox_with(results.settings(&url), Some(storage));
        let wait_for_faults = async |more: usize| {
            let (start, faults_before) = (Instant::now(), proxy.faults());
            while proxy.faults() < faults_before + more {
                assert!(start.elapsed() < Duration::from_mins(1), "{case}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            proxy.set(Fault::None);
        };
        let inject_fault = async || {
            proxy.set(fault.clone());
            results.add(2..4).await;
            wait_for_faults(2).await;
        };
        // The bucket fails at the start, and again halfway.
        tokio::join!(
            wait_for_faults(2),
            Results::deliver_through(outbox, &results, 4, inject_fault)
        );
        check(&results, &bucket, 4);
        assert_eq!(
            server.received_requests().await.unwrap().len(),
            16,
            "{case}: each is submitted once"
        );
    }
}

/// Without permission for the bucket, the outbox submits the files without an upload.
#[tokio::test(flavor = "multi_thread")]
async fn refusing_bucket_does_not_delay_submissions() {
    let results = Results::new(1).await;
    let forbidden_response =
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let proxy = FaultyProxy::start(
        &"http://127.0.0.1:9".parse().unwrap(),
        Fault::Response(forbidden_response.to_owned()),
    )
    .await;
    let (server, url) = accepting_server().await;
    let storage = ObjectStorage::open(&settings(&proxy.url, S3Addressing::Path)).unwrap();
    let counts = results.outbox_with(results.settings(&url), Some(storage)).drain().await.unwrap();
    assert_eq!(counts.delivered, 4);
    for request in requests(&server, "/v1/submit").await {
        assert_eq!(request.body_json::<Value>().unwrap()["data"]["s3_path"], Value::Null);
    }
}

/// A hanging bucket does not block submissions forever.
#[tokio::test]
async fn silent_bucket_times_out() {
    let results = Results::new(0).await;
    let proxy = FaultyProxy::start(&"http://127.0.0.1:9".parse().unwrap(), Fault::HalfOpen).await;
    let path = results.folder.path().join("x");
    std::fs::write(&path, "x").unwrap();
    let settings = settings(&proxy.url, S3Addressing::Path);
    let storage =
        ObjectStorage::open_with(&settings, client_options(Duration::from_millis(200))).unwrap();
    storage.upload("x", &path).await.unwrap_err();
}
