use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_primitives::Hotkey;
use taonet_settings::Secret;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

mod hub;
mod script;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

async fn server() -> (MockServer, ChutesSettings) {
    let server = MockServer::start().await;
    let url: url::Url = server.uri().parse().unwrap();
    let settings = ChutesSettings {
        api_url: url.clone(),
        hub_url: url,
        username: "alice".to_owned(),
        hub_username: "al".to_owned(),
        api_key: Some(Secret::new("cpk_secret")),
        hub_key: Some(Secret::new("hf_secret")),
        ..ChutesSettings::default()
    };
    (server, settings)
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// Columns: request · method · path and query · body
#[tokio::test]
async fn chutes_api_requests_have_documented_form() {
    let (server, settings) = server().await;
    let api = ChutesApi::new(&settings).unwrap();
    let chute =
        NewChute { name: "n", image: "babelbit:1", code: "x", revision: REVISION, model: "al/m" };
    let table = [
        (api.image("babelbit:1"), "GET", "/images/babelbit:1", Value::Null),
        (api.build_log("i", None), "GET", "/images/i/logs", Value::Null),
        (api.build_log("i", Some("1-0")), "GET", "/images/i/logs?offset=1-0", Value::Null),
        (api.list(2), "GET", "/chutes/?name=babelbit&limit=100&page=2", Value::Null),
        (api.get("id"), "GET", "/chutes/id", Value::Null),
        (
            api.share("id", "bob"),
            "POST",
            "/chutes/share",
            json!({ "chute_id_or_name": "id", "user_id_or_name": "bob" }),
        ),
        (api.warm_up("id"), "GET", "/chutes/warmup/id", Value::Null),
        (api.logs("id"), "GET", "/instances/id/logs", Value::Null),
        (api.delete("a/b"), "DELETE", "/chutes/a%2Fb", Value::Null),
        (api.deploy(&chute), "POST", "/chutes/?accept_fee=true", Value::Null),
    ];
    for (call, verb, target, body) in table {
        assert!(call.summary()["url"].as_str().unwrap().ends_with(target), "{}", call.summary());
        Mock::given(method(verb))
            .and(header("authorization", "cpk_secret"))
            .respond_with(ok(&json!({})))
            .mount(&server)
            .await;
        api.send(&call).await.unwrap();
        let request = server.received_requests().await.unwrap().pop().unwrap();
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        assert_eq!(format!("{}{query}", request.url.path()), target);
        if !body.is_null() {
            assert_eq!(request.body_json::<Value>().unwrap(), body);
        }
        let printed = format!("{call:?} {}", call.summary());
        assert!(
            !printed.contains("secret") && !format!("{settings:?} {api:?}").contains("secret"),
            "{printed}"
        );
    }
    let request: Value =
        server.received_requests().await.unwrap().pop().unwrap().body_json().unwrap();
    for field in ["name", "image", "public", "code", "filename", "ref_str", "node_selector"] {
        assert!(request.get(field).is_some(), "the API requires {field}");
    }
    assert_eq!(
        (&request["revision"], &request["cords"][1]["public_api_path"]),
        (&json!(REVISION), &json!("/predict"))
    );
}

/// Columns: name · revision · ID of the found chute
#[tokio::test]
async fn chute_is_found_by_exact_name_or_revision() {
    let (server, settings) = server().await;
    let other = |n: usize| json!({ "chute_id": format!("other-{n}"), "name": format!("x-Babelbit-{n}"), "revision": null });
    let first: Vec<Value> = (0..100).map(other).collect();
    let items = json!({ "items": [
        { "chute_id": "1", "name": "al-Babelbit-01x", "slug": "a", "revision": "r1" },
        { "chute_id": "2", "name": "al-Babelbit-01", "slug": "b", "revision": "r2", "hot": true },
        { "chute_id": "3", "name": "al-babelbit-brave-otter", "slug": "c", "revision": "r3" }] });
    for (page, items) in [("0", json!({ "items": first })), ("1", items)] {
        let list = Mock::given(query_param("name", "babelbit")).and(query_param("page", page));
        list.respond_with(ok(&items)).mount(&server).await;
    }
    let api = ChutesApi::new(&settings).unwrap();
    let actual = api.find("al-Babelbit-01", "r2").await.unwrap().unwrap();
    assert_eq!(
        (actual.chute_id.as_str(), actual.slug.as_deref(), actual.hot),
        ("2", Some("b"), true)
    );
    for (name, revision, expected) in [
        // A chute with another revision under its name is still the one with this name.
        ("al-Babelbit-01", "r1", Some("2")),
        ("al-Babelbit-03", "r3", Some("3")),
        ("x-Babelbit-7", "r9", Some("other-7")),
        ("al-Babelbit-04", "r4", None),
    ] {
        let actual = api.find(name, revision).await.unwrap().map(|chute| chute.chute_id);
        assert_eq!(actual.as_deref(), expected, "{name} {revision}");
    }
}

#[tokio::test]
async fn image_build_request_is_a_multipart_form() {
    let (server, settings) = server().await;
    Mock::given(method("POST"))
        .and(path("/images/"))
        .respond_with(ok(&json!({})))
        .mount(&server)
        .await;
    let api = ChutesApi::new(&settings).unwrap();
    let dockerfile = "FROM parachutes/python:3.12\nRUN pip install x";
    let call =
        api.build(&NewImage { username: "alice", name: "babelbit", tag: "0123", dockerfile });
    let expected = json!({
        "username": "alice", "name": "babelbit", "tag": "0123", "readme": "Babelbit text miner", "dockerfile": dockerfile,
        "public": "False", "logo_id": "__none__", "wait": "False", "image": "gAROLg==",
        "build_context": { "file": "chute.zip", "bytes": 22 },
    });
    assert_eq!(call.summary()["body"], expected);
    api.send(&call).await.unwrap();
    let request = server.received_requests().await.unwrap().pop().unwrap();
    let content_type = request.headers["content-type"].to_str().unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8(request.body).unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    let [first, fields @ .., file, last] = &parts[..] else { panic!("{body}") };
    assert_eq!((*first, *last, fields.len()), ("", "--\r\n", 9), "{body}");
    for part in fields {
        let (head, value) = part.split_once("\r\n\r\n").unwrap();
        let name = head
            .strip_prefix("\r\ncontent-disposition: form-data; name=\"")
            .unwrap()
            .trim_end_matches('"');
        assert_eq!(value.strip_suffix("\r\n").unwrap(), expected[name], "{name}");
    }
    let (head, archive) = file.split_once("\r\n\r\n").unwrap();
    let disposition =
        "content-disposition: form-data; name=\"build_context\"; filename=\"chute.zip\"";
    assert_eq!(head, format!("\r\n{disposition}\r\ncontent-type: application/zip"));
    assert_eq!(archive, format!("PK\u{5}\u{6}{}\r\n", "\0".repeat(18)));
}

/// Columns: states of the image, one after the other · responses with its log · shown lines · error
#[tokio::test]
async fn build_log_is_followed_until_the_image_is_complete() {
    type Row<'a> = (Vec<ResponseTemplate>, Vec<ResponseTemplate>, &'a [&'a str], &'a str);

    let status = |status: &str| ok(&json!({ "image_id": "i", "status": status }));
    let log =
        |text: &str| ResponseTemplate::new(200).set_body_raw(text.to_owned(), "text/event-stream");
    let first = "data: {\"log\": {\"log_type\": \"stdout\", \"log\": \"STEP 1/2\"}, \"offset\": \"1-1\"}\n.\n";
    let remaining = "data: {\"log\": \"pushed\", \"offset\": \"2-1\"}\nDONE\n.\n.\n";
    let with_carriage_returns = "data: {\"log\": \"STEP 1/2\", \"offset\": \"1-1\"}\r\r.\rdata: {\"log\": \"pushed\"}\rDONE\r";
    let two_lines =
        "data: {\"log\": \"STEP 1/2\", \"offset\": \"1-1\"}\ndata: {\"log\": \"STEP 2/2\"}\nDONE\n";
    let table: [Row<'_>; 9] = [
        (vec![ok(&json!({ "image_id": "i" }))], vec![], &[], ""),
        (vec![status("built and pushed")], vec![], &[], ""),
        (
            vec![
                status("pending build"),
                status("building"),
                ResponseTemplate::new(502),
                status("built and pushed"),
            ],
            vec![log(first), log(remaining)],
            &["STEP 1/2", "pushed"],
            "",
        ),
        // The log of a complete build begins again, as plain text.
        (
            vec![status("building"), status("building"), status("built and pushed")],
            vec![log(first), log("STEP 1/2\npushed\n")],
            &["STEP 1/2"],
            "",
        ),
        (
            vec![status("building"), status("error: no such package")],
            vec![log(remaining)],
            &["pushed"],
            "the build of babelbit:1 failed: error: no such package\nhint: ",
        ),
        // Lines may end with CR. Chutes sends no empty line between entries.
        (
            vec![status("building"), status("built and pushed")],
            vec![log(with_carriage_returns)],
            &["STEP 1/2", "pushed"],
            "",
        ),
        (
            vec![status("building"), status("built and pushed")],
            vec![log(two_lines)],
            &["STEP 1/2", "STEP 2/2"],
            "",
        ),
        (vec![ResponseTemplate::new(404)], vec![], &[], "cannot get the image: HTTP 404"),
        (vec![ResponseTemplate::new(503); 11], vec![], &[], "cannot get the image: HTTP 503"),
    ];
    for (states, logs, expected, error) in table {
        let (server, settings) = server().await;
        for (target, responses) in [("/images/babelbit:1", states), ("/images/i/logs", logs)] {
            for response in responses {
                Mock::given(path(target))
                    .respond_with(response)
                    .up_to_n_times(1)
                    .expect(1)
                    .mount(&server)
                    .await;
            }
        }
        let api = ChutesApi::new(&settings).unwrap();
        let sleeper: taonet_service::Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
        let mut lines = Vec::new();
        let built =
            api.wait_until_built("babelbit:1", &sleeper, |line| lines.push(line.to_owned())).await;
        assert_eq!(lines, expected);
        let actual = built.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(actual.starts_with(error) && actual.is_empty() == error.is_empty(), "{actual}");
        server.verify().await;
        let requests = server.received_requests().await.unwrap();
        let offsets: Vec<_> = requests.iter().filter_map(|request| request.url.query()).collect();
        assert!(offsets.iter().all(|query| *query == "offset=1-1"), "{offsets:?}");
    }
}

/// The client stops reading a log after `DONE`, even if the connection stays open, and after the
/// timeout if nothing arrives.
#[tokio::test]
async fn endless_log_does_not_block_a_build() {
    for first in ["DONE\n", ".\n"] {
        let is_built = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let image = move || {
            let status = if is_built.swap(true, std::sync::atomic::Ordering::Relaxed) {
                "built and pushed"
            } else {
                "building"
            };
            async move { axum::Json(json!({ "image_id": "i", "status": status })) }
        };
        let log = move || async move {
            let (sender, receiver) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let mut sender = sender;
                tokio::io::AsyncWriteExt::write_all(&mut sender, first.as_bytes()).await.unwrap();
                // Until the client closes the connection.
                std::future::pending::<()>().await;
            });
            axum::body::Body::from_stream(tokio_util::io::ReaderStream::new(receiver))
        };
        let routes = axum::Router::new()
            .route("/images/babelbit:1", axum::routing::get(image))
            .route("/images/i/logs", axum::routing::get(log));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let settings = ChutesSettings {
            api_url,
            api_key: Some(Secret::new("k")),
            ..ChutesSettings::default()
        };
        let api = ChutesApi::with_timeout(&settings, Duration::from_millis(500)).unwrap();
        let sleeper: taonet_service::Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
        api.wait_until_built("babelbit:1", &sleeper, |line| panic!("{line}")).await.unwrap();
    }
}

/// Columns: response · lines
#[tokio::test]
async fn log_is_read_line_by_line() {
    for (body, expected) in [
        (
            "data: loading\n\ndata: {\"log\": \"ready\"}\n\n",
            &["loading", "{\"log\": \"ready\"}"][..],
        ),
        ("plain\r\ntext", &["plain", "text"]),
        ("data: one\rdata: two\r\rthree\r", &["one", "two", "three"]),
        ("", &[]),
    ] {
        let (server, settings) = server().await;
        let mock =
            Mock::given(path("/instances/i/logs")).and(header("authorization", "cpk_secret"));
        mock.respond_with(ResponseTemplate::new(200).set_body_string(body)).mount(&server).await;
        let api = ChutesApi::new(&settings).unwrap();
        let mut lines = Vec::new();
        api.follow(&api.logs("i"), |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!(lines, expected);
    }
    let (server, settings) = server().await;
    let refusal = ResponseTemplate::new(404).set_body_string("no instance cpk_secret");
    Mock::given(method("GET")).respond_with(refusal).mount(&server).await;
    let api = ChutesApi::new(&settings).unwrap();
    let error = api.follow(&api.logs("i"), |_| ()).await.unwrap_err().to_string();
    assert_eq!(error, "cannot read the instance's log: HTTP 404: no instance (API key)");
}

/// Columns: response · error
#[tokio::test]
async fn api_errors_do_not_show_the_key() {
    for (response, expected) in [
        (
            ResponseTemplate::new(401).set_body_string("bad key cpk_secret"),
            "cannot get the chute: HTTP 401: bad key (API key)",
        ),
        (ResponseTemplate::new(404), "cannot get the chute: HTTP 404"),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            "cannot get the chute: invalid payload: expected value",
        ),
        (
            ResponseTemplate::new(200).set_body_string("x".repeat(5 << 20)),
            "cannot get the chute: response is larger than 4194304 bytes",
        ),
    ] {
        let (server, settings) = server().await;
        Mock::given(method("GET")).respond_with(response).mount(&server).await;
        let api = ChutesApi::new(&settings).unwrap();
        let error = api.send(&api.get("id")).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        let keyless =
            ChutesApi::new(&ChutesSettings { api_key: None, ..settings.clone() }).unwrap();
        let error = keyless.send(&keyless.get("id")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot get the chute: an API key is required\nhint: set CHUTES_API_KEY"
        );
        assert!(error.is_auth());
        let malformed = ChutesSettings { api_key: Some(Secret::new("a\nb")), ..settings };
        let malformed = ChutesApi::new(&malformed).unwrap();
        assert!(
            malformed
                .send(&malformed.get("id"))
                .await
                .unwrap_err()
                .to_string()
                .starts_with("CHUTES_API_KEY is no")
        );
    }
}

fn request() -> PredictedUtterance {
    serde_json::from_value(json!({ "index": "s", "step": 0, "prefix": "Is" })).unwrap()
}

/// Columns: responses · retries · prediction or error · number of calls
#[tokio::test]
async fn chute_call_is_retried_only_after_temporary_failures() {
    let valid_response = json!({ "success": true, "model": "m", "utterance": { "prediction": "Is it?" }, "complete": false });
    let table: [(Vec<ResponseTemplate>, u32, &str, usize); 7] = [
        (vec![ok(&valid_response)], 0, "Is it?", 1),
        (vec![ok(&json!({ "prediction": "plain" }))], 0, "plain", 1),
        (
            vec![ResponseTemplate::new(503), ResponseTemplate::new(429), ok(&valid_response)],
            2,
            "Is it?",
            3,
        ),
        (vec![ResponseTemplate::new(503), ok(&valid_response)], 0, "HTTP 503", 1),
        (vec![ResponseTemplate::new(401), ok(&valid_response)], 2, "HTTP 401", 1),
        (
            vec![ok(&json!({ "success": false, "error": "no GPU" }))],
            2,
            "the chute reports: no GPU",
            1,
        ),
        (
            vec![ok(&json!({ "success": true }))],
            2,
            "the response has no field utterance.prediction",
            1,
        ),
    ];
    for (responses, retries, expected, calls) in table {
        let (server, settings) = server().await;
        for response in responses {
            let mock = Mock::given(method("POST"))
                .and(path("/predict"))
                .and(header("authorization", "Bearer cpk_secret"));
            mock.respond_with(response).up_to_n_times(1).mount(&server).await;
        }
        let settings = ChutesSettings { retries, ..settings };
        let client = ChuteClient::with_base_url(&settings, server.uri().parse().unwrap()).unwrap();
        let client = client.with_sleeper(Arc::new(|_| Box::pin(std::future::ready(()))));
        let answer = client.predict(&request(), Duration::from_secs(10)).await;
        assert_eq!(answer.unwrap_or_else(|error| error.to_string()), expected);
        assert_eq!(server.received_requests().await.unwrap().len(), calls, "{expected}");
    }
}

#[tokio::test]
async fn stalled_chute_times_out() {
    let (server, settings) = server().await;
    let slow_response = ok(&json!({})).set_delay(Duration::from_secs(30));
    Mock::given(method("POST")).respond_with(slow_response).mount(&server).await;
    let client = ChuteClient::with_base_url(&settings, server.uri().parse().unwrap()).unwrap();
    let error = client.predict(&request(), Duration::from_millis(100)).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
}

#[test]
fn invalid_slug_is_refused() {
    let settings = ChutesSettings::default();
    for slug in ["", "A", "a.b", "a/b", "a@b", "a:1", "ü", &"a".repeat(64)] {
        assert!(
            matches!(ChuteClient::from_slug(&settings, slug), Err(ChuteError::Slug(_))),
            "{slug}"
        );
    }
    assert!(
        format!("{:?}", ChuteClient::from_slug(&settings, "a-1").unwrap())
            .contains("https://a-1.chutes.ai")
    );
    let settings = ChutesSettings { base_url_template: "{slug}".to_owned(), ..settings };
    assert!(matches!(ChuteClient::from_slug(&settings, "a"), Err(ChuteError::Template(_))));
}

/// Columns: text · fields, or the error's beginning
#[test]
fn commitment_round_trips_and_malformed_text_is_refused() {
    let miner = Hotkey::from_bytes([1; 32]);
    let commitment = Commitment {
        model: Some("al/m".into()),
        revision: Some(REVISION.into()),
        chute_id: Some("id".into()),
        slug: Some("a-b".into()),
        hotkey: Some(miner),
    };
    assert_eq!(Commitment::parse(&commitment.text(), &miner).unwrap(), commitment);
    let keys: Vec<String> = serde_json::from_str::<serde_json::Map<_, _>>(&commitment.text())
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["model", "revision", "chute_id", "slug", "hotkey"]);
    let partial = Commitment::parse(r#"{"slug": " ", "model": "m", "more": 1}"#, &miner).unwrap();
    assert_eq!((partial.slug, partial.model.as_deref(), partial.hotkey), (None, Some("m"), None));
    for (text, expected) in [
        ("", "the commitment is not a JSON object"),
        ("[]", "the commitment is not a JSON object"),
        (r#"{"slug": 7}"#, "the commitment is not a JSON object"),
        (&" ".repeat(3_000), "the commitment has 3000 bytes"),
    ] {
        assert!(
            Commitment::parse(text, &miner).unwrap_err().to_string().starts_with(expected),
            "{text}"
        );
    }
    let other = Commitment { hotkey: Some(Hotkey::from_bytes([2; 32])), ..commitment };
    assert!(matches!(
        Commitment::parse(&other.text(), &miner),
        Err(CommitmentError::OtherHotkey(_))
    ));
}
