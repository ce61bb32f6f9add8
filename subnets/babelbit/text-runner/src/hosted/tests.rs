use serde_json::json;
use taonet_babelbit_runner::{ChainView, MinerSource};
use taonet_primitives::NetUid;
use taonet_settings::Secret;
use taonet_validator::subtensor_gateway::GatewayClient;
use wiremock::matchers::{header, method, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::MinerSelection;
use crate::tests::scripted;

fn key(uid: u16) -> MinerKey {
    MinerKey { uid: Uid(uid), hotkey: Hotkey::from_bytes([uid as u8 + 1; 32]) }
}

fn policy() -> AddressPolicy {
    AddressPolicy::private()
}

fn axon(uid: u16) -> MinerEntry {
    let address = policy().resolve("127.0.0.1:9").unwrap();
    MinerEntry { uid: Uid(uid), hotkey: key(uid).hotkey, address, name: None }
}

fn text(uid: u16, block: u64, text: &str) -> PublishedText {
    PublishedText { hotkey: key(uid).hotkey, block, text: text.to_owned() }
}

fn commitment_json(slug: &str, model: &str) -> String {
    json!({ "model": model, "revision": "r", "chute_id": format!("id-{slug}"), "slug": slug })
        .to_string()
}

/// Columns: commitment · whether there is an axon · block of the candidate; none if ineligible
#[test]
fn miner_candidate_needs_commitment_or_axon() {
    let (complete, without_slug) = (commitment_json("a", "m"), r#"{"model": "m"}"#.to_owned());
    let other_hotkey = json!({ "slug": "a", "hotkey": key(9).hotkey }).to_string();
    for (commitment, has_axon, expected) in [
        (None, false, None),
        (None, true, Some(0)),
        (Some(&complete), false, Some(7)),
        (Some(&complete), true, Some(7)),
        (Some(&without_slug), false, None),
        (Some(&without_slug), true, Some(7)),
        (Some(&"nonsense".to_owned()), true, None),
        (Some(&other_hotkey), true, None),
    ] {
        let texts: Vec<_> =
            commitment.map(|commitment| text(3, 7, commitment)).into_iter().collect();
        let axons: Vec<_> = has_axon.then(|| axon(3)).into_iter().collect();
        let actual = candidates([key(3)].into_iter(), &axons, &texts);
        assert_eq!(
            actual.first().map(|candidate| candidate.block),
            expected,
            "{commitment:?} {has_axon}"
        );
    }
    let first = candidates([key(0)].into_iter(), &[], &[text(0, 7, &complete)]);
    assert_eq!(first[0].block, 0, "the block of uid 0 counts as 0");
}

/// Columns: uid, block and text of each miner · uids that remain
#[test]
fn earliest_commitment_of_a_slug_wins() {
    type Miner = (u16, u64, Option<&'static str>);
    let table: [(&[Miner], &[u16]); 4] = [
        (&[(1, 5, Some("a")), (2, 3, Some("a")), (3, 4, Some("b"))], &[2, 3]),
        (&[(1, 5, Some("a")), (2, 5, Some("a"))], &[1]),
        (&[(1, 0, None), (2, 0, None)], &[1, 2]),
        (&[(0, 0, Some("a")), (1, 1, Some("a")), (2, 0, None)], &[0, 2]),
    ];
    for (miners, expected) in table {
        let candidate = |(uid, block, slug): &Miner| Candidate {
            key: key(*uid),
            block: *block,
            commitment: slug.map(|slug| {
                Commitment::parse(&commitment_json(slug, "m"), &key(*uid).hotkey).unwrap()
            }),
            axon: None,
        };
        let remaining = keep_earliest(miners.iter().map(candidate).collect(), Candidate::slug);
        assert_eq!(
            remaining.iter().map(|candidate| candidate.key.uid.0).collect::<Vec<_>>(),
            expected
        );
    }
}

/// Serves a metagraph of neurons without axons, the hub and Chutes.
async fn services() -> MockServer {
    let server = MockServer::start().await;
    let hotkeys: Vec<_> = (0..6).map(|uid| key(uid).hotkey.to_string()).collect();
    let axons: Vec<_> = (0..6)
        .map(|uid| {
            if uid == 5 {
                json!({ "ip": "127.0.0.1", "port": 9 })
            } else {
                json!({ "ip": "0.0.0.0", "port": 0 })
            }
        })
        .collect();
    let snapshot = json!({ "block": 7, "hotkeys": hotkeys, "last_update": [0, 0, 0, 0, 0, 0], "axons": axons });
    let ok = |body| ResponseTemplate::new(200).set_body_json(body);
    Mock::given(path("/v1/metagraph/snapshot")).respond_with(ok(snapshot)).mount(&server).await;
    Mock::given(path("/api/models/a/gated"))
        .respond_with(ok(json!({ "gated": "auto" })))
        .mount(&server)
        .await;
    Mock::given(path("/api/models/a/lost/revision/r"))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let private = ResponseTemplate::new(401);
    Mock::given(path("/api/models/a/private/revision/r"))
        .respond_with(private)
        .mount(&server)
        .await;
    Mock::given(path_regex("^/api/models/"))
        .respond_with(ok(json!({ "gated": false })))
        .mount(&server)
        .await;
    let chute = |slug: &str, revision: &str| {
        ok(json!({ "chute_id": "x", "slug": slug, "revision": revision }))
    };
    for (id, slug, revision) in
        [("id-good", "good", "r"), ("id-other", "good", "r"), ("id-old", "old", "q")]
    {
        let mock = Mock::given(path(format!("/chutes/{id}"))).and(header("authorization", "cpk"));
        mock.respond_with(chute(slug, revision)).mount(&server).await;
    }
    server
}

fn miners_of(
    server: &MockServer,
    texts: Vec<PublishedText>,
    api_key: Option<Secret>,
) -> CommittedMiners {
    let url: url::Url = server.uri().parse().unwrap();
    let gateway = GatewayClient::new(&url, None, Duration::from_secs(5)).unwrap();
    let echo = scripted(|request| Ok(format!("axon {}", request.prefix)));
    let axons = AxonMiners {
        source: MinerSource::Metagraph(policy()),
        chain: Arc::new(ChainView::new(gateway, NetUid(59), None)),
        connect: Arc::new(move |_| Ok(Arc::clone(&echo) as Arc<dyn TextConnection>)),
        selection: MinerSelection::random(256),
    };
    let settings = ChutesSettings {
        api_url: url.clone(),
        hub_url: url,
        base_url_template: format!("{}/chute/{{slug}}", server.uri()),
        api_key,
        ..ChutesSettings::default()
    };
    let read: ReadCommitments = Arc::new(move || std::future::ready(Ok(texts.clone())).boxed());
    CommittedMiners::new(axons, policy(), read, settings).unwrap()
}

#[tokio::test]
async fn ineligible_models_and_chutes_are_excluded() {
    let server = services().await;
    let texts = vec![
        text(0, 9, &commitment_json("good", "a/good")),
        text(1, 9, &commitment_json("gate", "a/gated")),
        text(2, 9, &commitment_json("lost", "a/lost")),
        text(3, 9, &commitment_json("old", "a/old")),
        text(4, 9, &commitment_json("missing", "a/missing")),
    ];
    let miners = miners_of(&server, texts.clone(), Some(Secret::new("cpk")));
    let actual = async |miners: &CommittedMiners| -> Vec<u16> {
        miners.miners().await.unwrap().iter().map(|miner| miner.key.uid.0).collect()
    };
    assert_eq!(actual(&miners).await, [0, 5], "a chute of its own revision, and an axon");
    let flag_requests = |server: Vec<wiremock::Request>| {
        server.iter().filter(|request| request.url.path() == "/api/models/a/gated").count()
    };
    actual(&miners).await;
    assert_eq!(flag_requests(server.received_requests().await.unwrap()), 1, "the flag is cached");
    let keyless = miners_of(&server, texts, None);
    assert_eq!(actual(&keyless).await, [5]);
}

/// Columns: commitment of a miner with an axon · number of miners
#[tokio::test]
async fn model_without_a_chute_is_checked() {
    for (commitment, expected) in [
        (json!({}), 1),
        (json!({ "model": "a/good", "revision": "r" }), 1),
        (json!({ "model": "a/gated" }), 0),
        (json!({ "model": "a/lost", "revision": "r" }), 0),
        (json!({ "model": "a/private", "revision": "r" }), 0),
    ] {
        let server = services().await;
        let texts = vec![text(5, 9, &commitment.to_string())];
        let miners = miners_of(&server, texts, Some(Secret::new("cpk"))).miners().await.unwrap();
        assert_eq!(miners.len(), expected, "{commitment}");
    }
}

#[tokio::test]
async fn unreachable_hub_excludes_no_miner() {
    let server = services().await;
    let mut miners = miners_of(
        &server,
        vec![text(0, 9, &commitment_json("good", "a/good"))],
        Some(Secret::new("cpk")),
    );
    let unreachable = ChutesSettings {
        hub_url: "http://127.0.0.1:9".parse().unwrap(),
        ..miners.settings.clone()
    };
    miners.hub = HubApi::new(&unreachable).unwrap();
    assert_eq!(miners.miners().await.unwrap().len(), 2);
}

/// Columns: status of the chute · time until it answers · timeout of the step · prediction
#[tokio::test]
async fn axon_is_the_fallback_of_a_chute() {
    let (no_delay, max_delay, long) =
        (Duration::ZERO, Duration::from_mins(10), Duration::from_mins(1));
    for (status, delay, step, expected) in [
        (200, no_delay, long, "chute"),
        (503, no_delay, long, "axon Is"),
        (404, no_delay, long, "axon Is"),
        (200, max_delay, Duration::from_secs(2), "axon Is"),
    ] {
        let server = services().await;
        let answer = ResponseTemplate::new(status)
            .set_delay(delay)
            .set_body_json(json!({ "success": true, "utterance": { "prediction": "chute" } }));
        let mock = Mock::given(method("POST"))
            .and(path("/chute/good/predict"))
            .and(header("authorization", "Bearer cpk"));
        mock.respond_with(answer).expect(1).mount(&server).await;
        let texts = vec![text(5, 9, &commitment_json("good", "a/good"))];
        let miners = miners_of(&server, texts, Some(Secret::new("cpk"))).miners().await.unwrap();
        let request =
            serde_json::from_value(json!({ "index": "s", "step": 0, "prefix": "Is" })).unwrap();
        let prediction = miners[0].connection.predict(&request, step).await;
        assert_eq!(prediction.unwrap(), expected, "{status}");
    }
}

#[tokio::test]
async fn chute_without_an_axon_gets_the_whole_step() {
    let server = services().await;
    let answer = ResponseTemplate::new(200)
        .set_delay(Duration::from_secs(2))
        .set_body_json(json!({ "prediction": "chute" }));
    Mock::given(method("POST"))
        .and(path("/chute/good/predict"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let miners = miners_of(
        &server,
        vec![text(0, 9, &commitment_json("good", "a/good"))],
        Some(Secret::new("cpk")),
    );
    let request =
        serde_json::from_value(json!({ "index": "s", "step": 0, "prefix": "Is" })).unwrap();
    let miners = miners.miners().await.unwrap();
    // More than half of the timeout passes until the answer.
    let prediction = miners[0].connection.predict(&request, Duration::from_millis(3_900)).await;
    assert_eq!(prediction.unwrap(), "chute");
}

/// The chute returns the context twice, escaped as by Python. Columns: length of the prediction ·
/// length or error
#[tokio::test]
async fn response_limit_of_a_chute_excludes_its_context() {
    let limit = MAX_PREDICTION_BYTES;
    for (length, expected) in
        [(limit, Ok(limit)), (limit + 1, Err(format!("response exceeds {limit} bytes")))]
    {
        let server = services().await;
        let context = "gr\u{fc}n ".repeat(20_000);
        let escaped = context.replace('\u{fc}', "\\u00fc");
        let prediction = "a".repeat(length);
        let body = format!(
            r#"{{"success": true, "utterance": {{"context": "{escaped}", "prediction": "{prediction}"}},
            "context_used": "{escaped}"}}"#
        );
        let answer = ResponseTemplate::new(200).set_body_string(body);
        Mock::given(method("POST"))
            .and(path("/chute/good/predict"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let miners = miners_of(
            &server,
            vec![text(0, 9, &commitment_json("good", "a/good"))],
            Some(Secret::new("cpk")),
        );
        let request = json!({ "index": "s", "step": 0, "prefix": "Is", "context": context });
        let request = serde_json::from_value(request).unwrap();
        let miners = miners.miners().await.unwrap();
        let prediction = miners[0].connection.predict(&request, Duration::from_mins(1)).await;
        let actual = prediction.map(|text| text.len()).map_err(|error| error.to_string());
        assert_eq!(actual, expected, "{length}");
    }
}

#[tokio::test]
async fn unresponsive_chain_is_an_error() {
    let server = services().await;
    let mut miners = miners_of(&server, Vec::new(), None);
    miners.read = Arc::new(|| std::future::ready(Err("no node responds".into())).boxed());
    assert_eq!(miners.miners().await.unwrap_err().to_string(), "no node responds");
}
