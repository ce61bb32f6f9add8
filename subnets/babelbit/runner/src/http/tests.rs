use std::time::Duration;

use serde_json::json;
use taonet_primitives::{Hotkey, Uid};
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, Signer};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use taonet_neuron::AddressPolicy;

const LIMIT: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(30);

fn connect(address: &str) -> HttpMiner {
    connect_from("1.2.3.4", address)
}

fn connect_from(external_ip: &str, address: &str) -> HttpMiner {
    let keypair = Keypair::from_uri("//Alice").unwrap();
    let config = ClientConfig { max_response_bytes: LIMIT, ..ClientConfig::default() };
    let client =
        SignedClient::new(Signer::new(keypair, external_ip, BabelbitScheme::axon()), config)
            .unwrap();
    let policy = AddressPolicy::private();
    let miner = MinerEntry {
        uid: Uid(1),
        hotkey: Hotkey::from_bytes([7; 32]),
        address: policy.resolve(address).unwrap(),
        name: None,
    };
    HttpMiner::new(client, &miner, "v1/predict").unwrap()
}

fn predict() -> PredictCall {
    PredictCall {
        session_id: "s1".into(),
        audio_b64: "".into(),
        in_eos: true,
        max_response_bytes: LIMIT,
    }
}

async fn answer(template: ResponseTemplate, limit: Duration) -> Result<PredictResponse, CallError> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(template).mount(&server).await;
    connect(&server.uri()).predict(predict(), limit).await
}

#[tokio::test]
async fn requests_carry_message_name_and_axon_headers() {
    let server = MockServer::start().await;
    let hotkey = Hotkey::from_bytes([7; 32]).to_string();
    let init = json!({
        "kind": "init", "challenge_uid": "c1", "utterance_id": "c1:0", "language": "fr", "sample_rate_hz": 24_000,
        "frame_rate_hz": 12.5, "frame_samples": 1_920, "dtype": "float32le", "channels": 1,
    });
    let mut init_response = init.clone();
    init_response["ready"] = json!(true);
    init_response["session_id"] = json!("s1");
    Mock::given(path("/base/v1/predict"))
        .and(header("name", "BBAudioMinerInitPayload"))
        .and(header("timeout", "600.0"))
        .and(header("bt_header_axon_hotkey", hotkey.as_str()))
        .and(header("bt_header_axon_ip", "127.0.0.1"))
        .and(body_json(&init))
        .respond_with(ResponseTemplate::new(200).set_body_json(init_response))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/base/v1/predict"))
        .and(header("name", "BBAudioMinerPredictPayload"))
        .and(body_json(
            json!({"kind": "predict", "session_id": "s1", "audio_b64": "", "in_eos": true}),
        ))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"session_id": "s1", "out_eos": true})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let miner = connect(&format!("{}/base/", server.uri()));
    let request = InitRequest::new("c1", "c1:0", Some("fr".into()), 1);
    assert_eq!(miner.init(request, Duration::from_mins(10)).await.unwrap().session_id, "s1");
    assert!(miner.predict(predict(), TIMEOUT).await.unwrap().out_eos);
}

#[tokio::test]
async fn failed_response_has_the_recorded_error_text() {
    let json = |value: serde_json::Value| ResponseTemplate::new(200).set_body_json(value);
    let long_body = "x".repeat(400);
    for (template, message) in [
        (ResponseTemplate::new(503).set_body_string("no room"), "503:no room".to_owned()),
        (
            ResponseTemplate::new(500).set_body_string(&long_body),
            format!("500:{}", "x".repeat(300)),
        ),
        (
            ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"),
            "302:".to_owned(),
        ),
        (json(json!([])), "invalid_payload_type".to_owned()),
        (json(json!("text")), "invalid_payload_type".to_owned()),
        (
            json(json!({"session_id": "s1", "error": "unknown session"})),
            "unknown session".to_owned(),
        ),
        (json(json!({"error": {"code": 1}})), "{\"code\":1}".to_owned()),
        (json(json!({"out_eos": true})), "parse:missing field `session_id`".to_owned()),
        (
            json(json!({"session_id": "s1", "audio_b64": "A".repeat(LIMIT)})),
            format!("response exceeds {LIMIT} bytes"),
        ),
    ] {
        assert_eq!(answer(template, TIMEOUT).await.unwrap_err().to_string(), message);
    }
    let timeout_error =
        answer(json(json!({})).set_delay(TIMEOUT), Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(timeout_error.to_string(), "timeout after 0.5s");
    let parse_error =
        answer(ResponseTemplate::new(200).set_body_string("<html>"), TIMEOUT).await.unwrap_err();
    assert!(parse_error.to_string().starts_with("parse:expected value"), "{parse_error}");
}

#[tokio::test]
async fn missing_optional_fields_have_defaults() {
    let template = ResponseTemplate::new(200).set_body_json(json!({"session_id": "s1"}));
    let response = answer(template, TIMEOUT).await.unwrap();
    assert_eq!((response.out_eos, response.audio_b64.as_str(), response.n_bytes), (false, "", 0));
}

#[tokio::test]
async fn unsignable_request_is_an_identity_error() {
    let error =
        connect_from("not\na header", "127.0.0.1:1").predict(predict(), TIMEOUT).await.unwrap_err();
    let expected = "validator_identity_error:invalid value of header bt_header_dendrite_ip";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn unreachable_miner_is_a_connection_error() {
    let error = connect("127.0.0.1:1").predict(predict(), TIMEOUT).await.unwrap_err();
    assert!(
        error.to_string().starts_with("ConnectionError:cannot connect to 127.0.0.1:1"),
        "{error}"
    );
}
