use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::CallError;
use taonet_babelbit_runner::testing::{ScriptedMiner, Step};
use taonet_dashboard::{Access, BasePath, Dashboard};
use taonet_primitives::Hotkey;
use taonet_speech::{CtcRecognizer, samples_to_bytes};
use tower::ServiceExt as _;

use super::upload::decode;
use super::*;

/// Recording of vectors/speech, and its text.
const RECORDING: &[u8] = include_bytes!("../../../../../vectors/speech/utt00.wav");
const TEXT: &str = "the old ferry crossed the harbor twice before the fog came down";
const INJECTION: &str = "<script>alert(1)</script>";
const FORM_CONTENT_TYPE: &str = "multipart/form-data; boundary=b";

/// Returns a miner that returns the source unchanged.
fn parrot() -> ScriptedMiner {
    ScriptedMiner::new(|_, call| Step::text(call.audio_b64.to_string(), call.in_eos))
}

/// Returns the page, with a parrot as uid 1 and a miner that fails as uid 2.
fn section(recordings: Option<&Path>) -> Arc<TrySection> {
    let section = TrySection::new(TrySettings {
        recognizer: Arc::new(CtcRecognizer::embedded().unwrap()),
        recognized_speech: "synthesised English speech only",
        target_language: "de".to_owned(),
        samples: vec![TrySample {
            language: "English".to_owned(),
            text: TEXT.to_owned(),
            wav: RECORDING.into(),
        }],
        recordings: recordings.map(Path::to_owned),
    });
    let miner = |uid, connection| {
        let key = MinerKey { uid: Uid(uid), hotkey: Hotkey::from_bytes([7; 32]) };
        Miner { key, name: Some(INJECTION.to_owned()), connection }
    };
    let failing = ScriptedMiner::new(|_, _| Step::error(CallError::Refused(INJECTION.into())));
    section.offer(
        vec![miner(1, Arc::new(parrot())), miner(2, Arc::new(failing))],
        &Changes::default(),
    );
    section
}

fn site(section: &Arc<TrySection>) -> Router {
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), Changes::default());
    dashboard.with(Arc::clone(section) as _).router(Shutdown::new())
}

async fn send(
    site: &Router,
    request: axum::http::request::Builder,
    body: Vec<u8>,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = request.header(HOST, "127.0.0.1:8099").body(Body::from(body)).unwrap();
    let response = site.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec())
}

async fn get(site: &Router, path: &str) -> (StatusCode, String) {
    let (status, _, body) = send(site, Request::get(path), Vec::new()).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Sends a request from a page of the site.
async fn post(
    site: &Router,
    path: &str,
    kind: &str,
    body: Vec<u8>,
) -> (StatusCode, HeaderMap, String) {
    let request =
        Request::post(path).header(ORIGIN, "http://127.0.0.1:8099").header(CONTENT_TYPE, kind);
    let (status, headers, body) = send(site, request, body).await;
    (status, headers, String::from_utf8(body).unwrap())
}

/// Opens a visit; returns its path.
async fn start(site: &Router, miner: u16, keep: bool) -> Result<String, (StatusCode, String)> {
    let body = json!({ "miner": miner, "keep": keep }).to_string().into_bytes();
    let (status, _, body) = post(site, "/try/visits", "text/plain", body).await;
    if status != 200 {
        return Err((status, body));
    }
    let answer: Value = serde_json::from_str(&body).unwrap();
    Ok(format!("/try/visits/{}", answer["visit"].as_str().unwrap()))
}

/// Sends samples of a visit; returns the JSON response, or the status and the error.
async fn send_speech(
    site: &Router,
    visit: &str,
    samples: &[f32],
    is_last: bool,
) -> Result<Value, (StatusCode, String)> {
    let path = format!("{visit}/sound{}", if is_last { "?last" } else { "" });
    let (status, _, body) =
        post(site, &path, "application/octet-stream", samples_to_bytes(samples)).await;
    if status == 200 { Ok(serde_json::from_str(&body).unwrap()) } else { Err((status, body)) }
}

/// Returns an uploaded form with a file.
fn form(miner: u16, keep: bool, file: &[u8]) -> Vec<u8> {
    let miner = miner.to_string();
    let keep = keep.then_some(("keep", &b"on"[..]));
    let fields = [("miner", miner.as_bytes())].into_iter().chain(keep).chain([("sound", file)]);
    form_of(&fields.collect::<Vec<_>>())
}

/// Returns a form of type `multipart/form-data`.
fn form_of(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let head = format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--b--\r\n");
    form
}

#[tokio::test]
async fn recording_is_interpreted_without_javascript() {
    let section = section(None);
    let site = site(&section);
    let (status, page) = get(&site, "/try").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("enctype=\"multipart/form-data\"") && !page.contains("<script>"),
        "{page}"
    );
    assert!(!page.contains("name=\"keep\""), "nothing can be kept: {page}");
    assert!(
        page.contains("the contest's language (de)")
            && page.contains("the test double tiny-ctc, which understands"),
        "{page}"
    );

    let (status, headers, body) =
        post(&site, "/try", FORM_CONTENT_TYPE, form(1, true, RECORDING)).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let result = headers[LOCATION].to_str().unwrap().to_owned();
    let (status, page) = get(&site, &result).await;
    assert_eq!(status, 200);
    assert!(page.matches(TEXT).count() == 2 && !page.contains("<script>"), "{page}");
    assert!(page.contains("deleted after 10 minutes"), "{page}");
    for (file, samples) in [("source.wav", 90_729), ("reply.wav", 48 * 1_920)] {
        let (status, headers, wav) =
            send(&site, Request::get(format!("{result}/{file}")), Vec::new()).await;
        assert_eq!(
            (status, headers[CONTENT_TYPE].to_str().unwrap()),
            (StatusCode::OK, "audio/wav")
        );
        assert_eq!(decode(&wav).unwrap().len(), samples, "{file}");
    }
    assert_eq!(get(&site, &format!("{result}/other.wav")).await.0, 404);
    section.trials.remove_expired(Instant::now() + Duration::from_mins(11));
    assert_eq!(get(&site, &result).await.0, 404);
}

#[tokio::test]
async fn reply_arrives_while_the_visitor_speaks() {
    let section = section(None);
    let site = site(&section);
    let speech = decode(RECORDING).unwrap();
    let visit = start(&site, 1, false).await.unwrap();
    let mut reply = Vec::new();
    for samples in speech.chunks(1_000) {
        let answer = send_speech(&site, &visit, samples, false).await.unwrap();
        assert!(answer.get("result").is_none(), "{answer}");
        reply.extend(STANDARD.decode(answer["audio"].as_str().unwrap()).unwrap());
    }
    // Complete frames have been returned.
    assert_eq!(reply.len(), speech.len() / 1_920 * 7_680);
    let (_, captions) = get(&site, &format!("{visit}/captions")).await;
    let captions: Value = serde_json::from_str(&captions).unwrap();
    for speaker in ["heard", "said"] {
        let caption = &captions[speaker];
        assert_eq!((&caption["text"], &caption["language"]), (&json!(TEXT), &json!("en")));
        assert!(caption["delay_sec"].as_f64() > Some(0.0), "{captions}");
    }
    // Each word of the parrot is heard one frame later.
    let lagging = captions["lagging_sec"].as_f64().unwrap();
    assert!((0.0..3.0).contains(&lagging), "{captions}");

    let answer = send_speech(&site, &visit, &[], true).await.unwrap();
    assert_eq!((&answer["heard"], &answer["said"]), (&Value::from(TEXT), &Value::from(TEXT)));
    reply.extend(STANDARD.decode(answer["audio"].as_str().unwrap()).unwrap());
    let mut padded = speech.clone();
    padded.resize(48 * 1_920, 0.0);
    assert_eq!(reply, samples_to_bytes(&padded));
    let (status, page) = get(&site, answer["result"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    // 48 frames of 80 ms, each heard one frame later, less the speech of 3.780 s.
    assert!(page.contains("0.14 s") && page.contains("Average lagging"), "{page}");
    assert_eq!(send_speech(&site, &visit, &[], true).await.unwrap_err().0, 404);
}

#[tokio::test]
async fn sample_is_interpreted_with_and_without_javascript() {
    let section = section(None);
    let site = site(&section);
    let (_, page) = get(&site, "/try").await;
    assert!(page.contains("name=\"sample\" value=\"English\""), "{page}");
    let (status, headers, wav) =
        send(&site, Request::get("/try/samples/English"), Vec::new()).await;
    assert_eq!((status, headers[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "audio/wav"));
    assert_eq!(wav, RECORDING);
    assert_eq!(get(&site, "/try/samples/French").await.0, 404);

    let submit =
        |sample: &'static [u8]| form_of(&[("miner", b"1"), ("sound", b""), ("sample", sample)]);
    let (status, headers, body) = post(&site, "/try", FORM_CONTENT_TYPE, submit(b"English")).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let (_, page) = get(&site, headers[LOCATION].to_str().unwrap()).await;
    assert!(page.contains(TEXT) && page.contains("Language: en"), "{page}");
    let (status, _, body) = post(&site, "/try", FORM_CONTENT_TYPE, submit(b"French")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("no such sample"), "{body}");
}

#[tokio::test]
async fn empty_conversation_has_a_result() {
    let section = section(None);
    let site = site(&section);
    let visit = start(&site, 1, false).await.unwrap();
    let answer = send_speech(&site, &visit, &[], true).await.unwrap();
    let (status, page) = get(&site, answer["result"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert!(page.contains("No words were recognised."), "{page}");
}

#[tokio::test(start_paused = true)]
async fn visitors_are_limited_and_idle_ones_are_removed() {
    let section = section(None);
    let site = site(&section);
    let mut visits = Vec::new();
    for _ in 0..MAX_VISITORS {
        visits.push(start(&site, 1, false).await.unwrap());
    }
    let (status, error) = start(&site, 1, false).await.unwrap_err();
    assert_eq!(status, 503);
    assert!(error.contains("all 4 sessions are in use"), "{error}");
    assert_eq!(post(&site, "/try", FORM_CONTENT_TYPE, form(1, false, RECORDING)).await.0, 503);
    // Only the first visitor continues to speak.
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(10)).await;
        send_speech(&site, &visits[0], &[0.0; 480], false).await.unwrap();
    }
    section.visits.remove_expired(Instant::now());
    assert_eq!(send_speech(&site, &visits[1], &[], false).await.unwrap_err().0, 404);
    for _ in 1..MAX_VISITORS {
        start(&site, 1, false).await.unwrap();
    }
    assert_eq!(start(&site, 1, false).await.unwrap_err().0, 503);
    send_speech(&site, &visits[0], &[0.0; 480], false).await.unwrap();
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let section = section(None);
    let site = site(&section);
    let visit = start(&site, 1, false).await.unwrap();
    let sound = format!("{visit}/sound");
    for (path, kind, body, expected, reason) in [
        ("/try/visits", "", b"{".to_vec(), 400, "the body is not JSON"),
        ("/try/visits", "", br#"{"miner": 1}"#.to_vec(), 400, "keep"),
        ("/try/visits", "", vec![b' '; 2_000], 413, "the body exceeds 1024 bytes"),
        ("/try/visits", "", br#"{"miner": 9, "keep": false}"#.to_vec(), 404, "no miner has uid 9"),
        ("/try/visits/0/sound", "", Vec::new(), 404, "has ended"),
        (sound.as_str(), "", vec![0; 5], 400, "not a multiple of 4"),
        (sound.as_str(), "", vec![0; 200_000], 413, "the body exceeds 192000 bytes"),
        ("/try", "", Vec::new(), 400, "malformed form"),
        ("/try", FORM_CONTENT_TYPE, form(1, false, b"MP3"), 400, "not a WAV recording"),
        ("/try", FORM_CONTENT_TYPE, form(9, false, RECORDING), 404, "no miner has uid 9"),
        (
            "/try",
            FORM_CONTENT_TYPE,
            vec![0; (12 << 20) + 1],
            413,
            "the body exceeds 12582912 bytes",
        ),
        ("/try", FORM_CONTENT_TYPE, form(2, false, RECORDING), 502, "the miner failed"),
    ] {
        let (status, _, body) = post(&site, path, kind, body).await;
        assert_eq!(status.as_u16(), expected, "{path}: {body}");
        assert!(body.contains(reason), "{path}: {reason}: {body}");
        // The form's page has no inline script: it loads its script by URL.
        assert!(path != "/try" || !body.contains("<script>"), "{path}: {body}");
    }
    let (status, _, _) =
        send(&site, Request::post("/try/visits"), br#"{"miner": 1, "keep": false}"#.to_vec()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(get(&site, "/try/results/0").await.0, 404);
    assert_eq!(get(&site, "/try/visits/0/captions").await.0, 404);
}

#[tokio::test]
async fn speech_length_is_limited_and_samples_are_clamped() {
    let section = section(None);
    let site = site(&section);
    let visit = start(&site, 1, false).await.unwrap();
    let invalid = [vec![f32::NAN; 960], vec![2.0; 960]].concat();
    let answer = send_speech(&site, &visit, &invalid, false).await.unwrap();
    let clamped = samples_to_bytes(&[vec![0.0; 960], vec![1.0; 960]].concat());
    assert_eq!(STANDARD.decode(answer["audio"].as_str().unwrap()).unwrap(), clamped);
    for _ in 1..15 {
        send_speech(&site, &visit, &vec![0.0; 48_000], false).await.unwrap();
    }
    send_speech(&site, &visit, &vec![0.0; 46_080], false).await.unwrap();
    let (status, error) = send_speech(&site, &visit, &[0.0], false).await.unwrap_err();
    assert_eq!(status, 413);
    assert!(error.contains("longer than 30 s"), "{error}");
}

#[tokio::test]
async fn failing_miner_ends_the_conversation() {
    let section = section(None);
    let site = site(&section);
    let visit = start(&site, 2, false).await.unwrap();
    let (status, error) = send_speech(&site, &visit, &[0.0; 1_920], false).await.unwrap_err();
    assert_eq!(
        (status, error.as_str()),
        (StatusCode::BAD_GATEWAY, "the miner failed: <script>alert(1)</script>")
    );
    assert_eq!(send_speech(&site, &visit, &[0.0; 1_920], false).await.unwrap_err().0, 404);
}

#[tokio::test]
async fn recordings_are_kept_only_with_consent() {
    let directory = tempfile::tempdir().unwrap();
    let recordings = directory.path().join("try-it");
    let section = section(Some(&recordings));
    let site = site(&section);
    assert!(get(&site, "/try").await.1.contains("name=\"keep\""));
    assert_eq!(
        post(&site, "/try", FORM_CONTENT_TYPE, form(1, false, RECORDING)).await.0,
        StatusCode::SEE_OTHER
    );
    assert!(!recordings.exists());
    let (_, headers, _) = post(&site, "/try", FORM_CONTENT_TYPE, form(1, true, RECORDING)).await;
    let (_, page) = get(&site, headers[LOCATION].to_str().unwrap()).await;
    assert!(page.contains("kept in the directory of this contest"), "{page}");
    let folders: Vec<_> =
        fs::read_dir(&recordings).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1);
    for file in ["source.wav", "reply.wav", "visit.json"] {
        let metadata = fs::metadata(folders[0].join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let visit: Value =
        serde_json::from_slice(&fs::read(folders[0].join("visit.json")).unwrap()).unwrap();
    assert_eq!(
        (&visit["miner"]["uid"], &visit["heard"], &visit["said"]),
        (&json!(1), &json!(TEXT), &json!(TEXT))
    );
}
