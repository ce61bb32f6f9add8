use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use taonet_babelbit_runner::{AddressPolicy, MinerAddress};
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::conformance::{Event, RuleOutcome, tone};

/// A server that sends the same bytes to every request, or never answers if there are none.
async fn server(answer: Vec<u8>) -> MinerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut vec![0; 16_384]).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    resolve(&address.to_string())
}

fn resolve(address: &str) -> MinerAddress {
    AddressPolicy::private().resolve(address).unwrap()
}

fn target(address: MinerAddress, path: &str) -> Target {
    let hotkey = Hotkey::from_bytes([7; 32]);
    Target {
        address,
        predict_path: path.to_owned(),
        hotkey,
        validator: Keypair::from_uri("//Alice").unwrap(),
    }
}

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
                    Gateway</h1></center>\r\n<hr><center>nginx</center></body></html>";

#[test]
fn proxy_error_page_is_shown_without_repeated_status() {
    let reply = |status, page: &str| Reply { status, body: page.into(), ..Reply::default() };
    assert_eq!(excerpt(&reply(502, PAGE)), "502 Bad Gateway nginx");
    assert_eq!(
        excerpt(&reply(404, "<p>404</p> <b>No\n route</b>here<p>here")),
        "404 No route here"
    );
    assert_eq!(excerpt(&reply(502, "<title>5020 ways</title>")), "502 5020 ways");
}

/// Columns: response to every request · what the report shows · beginning of the remedy
#[tokio::test]
async fn each_fault_has_a_specific_hint() {
    let json = "content-type: application/json";
    let rows = [
        (
            response("307 Temporary Redirect\r\nlocation: https://miner.example/v1/predict", b""),
            "307 to https://miner.example/v1/predict",
            "serve the route itself: validators follow no redirects",
        ),
        (
            response(
                &format!("200 OK\r\n{json}\r\ncontent-encoding: gzip"),
                &gzip(r#"{"ready": true}"#),
            ),
            r#"200 (gzip) {"ready": true}"#,
            "disable compression",
        ),
        (
            response("502 Bad Gateway\r\ncontent-type: text/html", PAGE.as_bytes()),
            "502 Bad Gateway nginx",
            "a proxy or web server answered in place of the miner",
        ),
        (
            response("200 OK\r\ncontent-type: text/html", b"<h1>It works!</h1>"),
            "200 It works!",
            "a proxy or web server answered in place of the miner",
        ),
        (
            response("502 Bad Gateway", b"upstream"),
            "502 upstream",
            "the miner did not answer its proxy",
        ),
        (
            response(&format!("404 Not Found\r\n{json}"), br#"{"detail":"Not Found"}"#),
            r#"404 {"detail":"Not Found"}"#,
            "serve POST /v1/predict, or set BB_MINER_PREDICT_ENDPOINT",
        ),
        (response("405 Method Not Allowed", b""), "405", "serve POST /v1/predict"),
        (response("401 Unauthorized", b"no"), "401 no", "verify sr25519 over"),
        (response("403 Forbidden", b"no"), "403 no", "allow the calling validator"),
        (response("413 Payload Too Large", b""), "413", "accept larger bodies"),
        (
            response("422 Unprocessable Entity", b"dtype"),
            "422 dtype",
            "accept the request's fields",
        ),
        (response("429 Too Many Requests", b""), "429", "do not limit the rate"),
        (response("500 Internal Server Error", b"oops"), "500 oops", "read the miner's log"),
        (
            response("503 Service Unavailable", b"loading"),
            "503 loading",
            "wait until the miner has loaded",
        ),
        (
            response(&format!("200 OK\r\n{json}"), br#"{"error": "x"}"#),
            r#"200 {"error": "x"}"#,
            "respond with a JSON",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "invalid HTTP version", "check scheme and port"),
        (Vec::new(), "no response within 3 s", "respond in time"),
    ];
    let settings = PlaySettings { init_timeout: Duration::from_secs(1), ..PlaySettings::default() };
    let source = tone().unwrap();
    for (answer, observation, remedy) in rows {
        let target = target(server(answer).await, "v1/predict");
        let mut reported_rules = Vec::new();
        let mut observe = |event: Event<'_>| {
            if let Event::RuleChecked(report) = event {
                reported_rules.push(report.clone());
            }
        };
        let mut probe = Probe::new(&target, INIT_MESSAGE, &settings, &mut observe).unwrap();
        assert_eq!(probe.open(&source).await, None);
        let report = probe.findings.finish(&[Rule::SignedRequest]).remove(0);
        assert_eq!(
            (report.rule, report.outcome),
            (Rule::SignedRequest, RuleOutcome::Failed),
            "{observation}"
        );
        assert!(report.observation.contains(observation), "{observation}: {}", report.observation);
        let hint = report.hint.clone().unwrap();
        assert!(hint.starts_with(remedy), "{observation}: {hint}");
        assert_eq!(reported_rules, [report]);
    }
}

/// Linux drops requests for a connection while more than the backlog wait to be accepted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn host_that_drops_packets_is_an_error() {
    use tokio::net::TcpSocket;

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connection) =
        tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        waiting.push(connection.unwrap());
    }
    let target = target(resolve(&address.to_string()), "v1/predict");
    let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
    let error = check_text(&target, &settings, &mut observe).await.unwrap_err().to_string();
    let expected = format!("cannot connect to {address}: no connection within 5 s\n");
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn closed_port_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = target(resolve(&address.to_string()), "v1/predict");
    let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
    let speech = check(&target, &tone().unwrap(), &settings, &mut observe).await;
    let mut observe = |_: Event<'_>| ();
    let text = check_text(&target, &settings, &mut observe).await;
    for result in [speech, text] {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot connect to {address}: ")), "{error}");
        assert!(error.contains("\nhint: start the miner, and check scheme, host"), "{error}");
    }
}

/// A response that is valid for each request of both contests.
const VALID_RESPONSE: &str = r#"{"status": "healthy", "model": "m", "model_loaded": true, "ready": true,
    "session_id": "s", "challenge_uid": "taonet-test-miner", "utterance_id": "0", "channels": 1,
    "sample_rate_hz": 24000, "dtype": "float32le", "frame_rate_hz": 12.5, "frame_samples": 1920,
    "prediction": "Good"}"#;

/// Whether a request has its complete head and body.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(0, |length| length.parse::<usize>().unwrap()) <= body.len()
}

/// Reads a complete request: closing a connection with unread data can discard the response.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_complete(&request) && stream.read_buf(&mut request).await.unwrap_or_default() > 0 {}
    String::from_utf8(request).unwrap()
}

/// A miner that ends after this many responses. If `keeps_port`, later connections are accepted and
/// closed, as by a server that forwards the port; otherwise they are refused.
async fn ending_miner(responses: usize, keeps_port: bool) -> MinerAddress {
    async fn respond(mut stream: TcpStream) {
        read_request(&mut stream).await;
        let _ = stream.write_all(&response("200 OK", VALID_RESPONSE.as_bytes())).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for _ in 1..responses {
            respond(listener.accept().await.unwrap().0).await;
        }
        let (last, _) = listener.accept().await.unwrap();
        if keeps_port {
            respond(last).await;
            while let Ok((mut stream, _)) = listener.accept().await {
                read_request(&mut stream).await;
            }
        } else {
            drop(listener);
            respond(last).await;
        }
    });
    resolve(&address.to_string())
}

/// Columns: number of responses of the miner before it ends · violated rules · first rule that is not
/// tested · beginning of the interruption. The miner accepts forged requests.
#[tokio::test]
async fn rules_after_the_end_of_the_miner_are_not_tested() {
    for (responses, violated, not_tested, interruption) in [
        // Two health checks, 13 words and a forged request.
        (
            2 + 13 + 1,
            &[Rule::UnsignedRefused][..],
            Rule::OtherReceiverRefused,
            "other_receiver_refused: ",
        ),
        (2 + 13, &[], Rule::UnsignedRefused, "unsigned_refused: "),
        (2 + 12, &[], Rule::Prediction, "word 6 of 6: "),
        (1, &[], Rule::Health, "/health: "),
    ] {
        for keeps_port in [false, true] {
            let target = target(ending_miner(responses, keeps_port).await, "v1/predict");
            let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
            let report = check_text(&target, &settings, &mut observe).await.unwrap();
            let failed: Vec<_> = report.failed().map(|report| report.rule).collect();
            assert_eq!(failed, violated, "{responses} responses");
            let first = report.rules.iter().find(|report| report.outcome == RuleOutcome::NotTested);
            assert_eq!(first.unwrap().rule, not_tested, "{responses} responses");
            for report in report.rules.iter().filter(|report| report.rule > not_tested) {
                let rule = report.rule;
                assert_eq!(report.outcome, RuleOutcome::NotTested, "{responses}: {rule:?}");
            }
            let observation = report.interruption.unwrap();
            assert!(observation.starts_with(interruption), "{observation}");
            assert!(!observation.contains("error sending request"), "{observation}");
        }
    }
}

#[tokio::test]
async fn messages_are_named_as_by_validators() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(resolve(&listener.local_addr().unwrap().to_string()), "v1/predict");
    let messages = Arc::new(Mutex::new(Vec::new()));
    let received_messages = Arc::clone(&messages);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            let name = request.lines().find_map(|line| line.strip_prefix("name: "));
            let kind = request.split_once(r#"{"kind": ""#).and_then(|(_, end)| end.split_once('"'));
            if let (Some(name), Some((kind, _))) = (name, kind) {
                received_messages.lock().unwrap().push((kind.to_owned(), name.to_owned()));
            }
            let _ = stream.write_all(&response("200 OK", VALID_RESPONSE.as_bytes())).await;
        }
    });
    let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
    check(&target, &tone().unwrap(), &settings, &mut observe).await.unwrap();
    let messages = messages.lock().unwrap();
    let predict_count = messages.iter().filter(|(kind, _)| kind == "predict").count();
    assert!(predict_count > 25 && messages.len() > predict_count);
    for (kind, name) in messages.iter() {
        assert_eq!(name, if kind == "predict" { PREDICT_MESSAGE } else { INIT_MESSAGE });
    }
}

#[tokio::test]
async fn end_of_the_miner_during_the_utterance_violates_no_rule() {
    for keeps_port in [false, true] {
        // Two health checks, init and ten frames.
        let target = target(ending_miner(2 + 1 + 10, keeps_port).await, "v1/predict");
        let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
        let report = check(&target, &tone().unwrap(), &settings, &mut observe).await.unwrap();
        let observation = report.interruption.clone().unwrap();
        assert!(observation.starts_with("frame 11 of 25: "), "{observation}");
        let rules_with = |outcome: RuleOutcome| {
            let reports = report.rules.iter().filter(move |report| report.outcome == outcome);
            reports.map(|report| report.rule).collect::<Vec<_>>()
        };
        assert!(rules_with(RuleOutcome::Failed).is_empty());
        assert_eq!(
            rules_with(RuleOutcome::Passed),
            [
                Rule::Health,
                Rule::SignedRequest,
                Rule::Ready,
                Rule::SessionId,
                Rule::SameUtterance,
                Rule::AudioFormat,
                Rule::FrameGrid
            ]
        );
    }
}

/// The clock of the test advances while the miner does not respond.
#[tokio::test(start_paused = true)]
async fn wait_for_the_response_to_init_is_announced() {
    let target = target(server(Vec::new()).await, "v1/predict");
    let mut activities = Vec::new();
    let mut observe = |event: Event<'_>| {
        if let Event::Progress(text) = event {
            activities.push(text.to_owned());
        }
    };
    let settings = PlaySettings::default();
    let mut probe = Probe::new(&target, INIT_MESSAGE, &settings, &mut observe).unwrap();
    assert_eq!(probe.open(&tone().unwrap()).await, None);
    drop(probe);
    assert_eq!(activities, ["waiting for the response to init, at most 600 s"]);
}

/// A miner that answers health checks, and each prediction with this function of its number.
async fn text_miner(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> MinerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut predictions = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 16_384];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let reply = if request[..read].starts_with(b"GET ") {
                response("200 OK", br#"{"status": "healthy", "model": "m", "model_loaded": true}"#)
            } else {
                predictions += 1;
                answer(predictions)
            };
            let _ = stream.write_all(&reply).await;
        }
    });
    resolve(&address.to_string())
}

/// Columns: body of the fourth prediction · violated rules · beginning of the remedy. Forged
/// requests are accepted.
#[tokio::test]
async fn each_prediction_of_a_text_miner_is_checked() {
    const FORGERIES: [Rule; 6] = [
        Rule::UnsignedRefused,
        Rule::OtherReceiverRefused,
        Rule::FalseSignatureRefused,
        Rule::OldNonceRefused,
        Rule::FutureNonceRefused,
        Rule::ReplayRefused,
    ];
    let long_prediction = format!(r#"{{"prediction": "{}"}}"#, "x".repeat(9_000));
    for (fourth, violated, remedy) in [
        (r#"{"prediction": ""}"#.to_owned(), None, ""),
        (
            r#"{"prediction": null}"#.to_owned(),
            Some(Rule::Prediction),
            "respond with {\"prediction\"",
        ),
        ("[]".to_owned(), Some(Rule::Prediction), "respond with {\"prediction\""),
        (long_prediction, Some(Rule::PredictionLength), "predict the current utterance only"),
    ] {
        let prediction_body = fourth.clone();
        let reported_rules = Arc::new(Mutex::new(Vec::new()));
        let (recorded, before_response) =
            (Arc::clone(&reported_rules), Arc::clone(&reported_rules));
        let reported = Arc::new(AtomicUsize::new(0));
        let reported_to_miner = Arc::clone(&reported);
        let miner = text_miner(move |number| {
            reported_to_miner.store(before_response.lock().unwrap().len(), Ordering::Relaxed);
            let body =
                if number == 4 { fourth.as_str() } else { r#"{"prediction": "Good morning"}"# };
            response("200 OK", body.as_bytes())
        });
        let target = target(miner.await, "/predict");
        let mut observe = move |event: Event<'_>| {
            if let Event::RuleChecked(report) = event {
                recorded.lock().unwrap().push(report.rule);
            }
        };
        let settings = PlaySettings::default();
        let report = check_text(&target, &settings, &mut observe).await.unwrap();
        assert_eq!(report.rules.iter().map(|report| report.rule).collect::<Vec<_>>(), Rule::TEXT);
        let failed: Vec<_> = report.failed().map(|report| report.rule).collect();
        let expected: Vec<_> = violated.into_iter().chain(FORGERIES).collect();
        assert_eq!(failed, expected, "{prediction_body}");
        if let Some(rule) = violated {
            let hint = report
                .rules
                .iter()
                .find(|report| report.rule == rule)
                .unwrap()
                .hint
                .clone()
                .unwrap();
            assert!(hint.starts_with(remedy), "{hint}");
        }
        assert_eq!(
            reported_rules.lock().unwrap().len(),
            Rule::TEXT.len(),
            "each outcome is reported once"
        );
        // Outcomes that the last request does not decide are reported before its response.
        let reported = reported.load(Ordering::Relaxed);
        assert!(reported > Rule::TEXT.len() / 2, "{reported} outcomes before the last response");
        assert_eq!(report.timings.0[0].phase, Phase::Step);
    }
}

/// The text contest has neither audio nor frames, and no setting for its route. Columns: status ·
/// remedy.
#[tokio::test]
async fn hints_are_specific_to_the_text_contest() {
    for (head, remedy) in [
        ("404 Not Found", "serve POST /predict"),
        (
            "413 Payload Too Large",
            "accept larger bodies: a request repeats the dialogue up to its last word",
        ),
        (
            "429 Too Many Requests",
            "do not limit the rate of validators: they send a request for each word as soon as they can",
        ),
    ] {
        let target = target(server(response(head, b"")).await, "/predict");
        let (settings, mut observe) = (PlaySettings::default(), |_: Event<'_>| ());
        let report = check_text(&target, &settings, &mut observe).await.unwrap();
        let signed = report.rules.iter().find(|report| report.rule == Rule::SignedRequest).unwrap();
        assert_eq!(signed.hint.as_deref(), Some(remedy), "{head}");
        for report in report.failed() {
            let hint = report.hint.as_deref().unwrap_or_default();
            assert!(!hint.contains("frame") && !hint.contains("audio"), "{head}: {hint}");
        }
    }
    let timed_out = Fault::NoReply(NoReply::TimedOut).remedy(Rule::SignedRequest, "/predict", true);
    assert_eq!(timed_out, "respond in time: load models before the first request");
}
