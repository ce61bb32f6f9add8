//! `tao axon` through the binary: echo neuron, calls, pings, and error messages.

mod hostile;
mod replay;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{
    Daemon, assert_metrics_described, document, free_address, refusal, stderr, tao,
};

pub(crate) const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
pub(crate) const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

/// `tao axon` on a local network, where development keys are allowed.
pub(crate) fn axon(arguments: &[&str]) -> Command {
    let mut tao = tao();
    tao.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").arg("axon").args(arguments);
    tao
}

/// Starts the echo neuron of //Bob.
pub(crate) fn neuron(scheme: &str, extra_args: &[&str]) -> Daemon {
    Daemon::start(axon(&["serve", "--key-uri", "//Bob", "--scheme", scheme]).args(extra_args))
}

/// Runs a call or ping by //Alice to //Bob.
pub(crate) fn run_client(verb: &str, address: &str, scheme: &str, extra_args: &[&str]) -> Output {
    let arguments = [verb, address, "--hotkey", BOB, "--key-uri", "//Alice", "--scheme", scheme];
    axon(&arguments).args(extra_args).output().unwrap()
}

/// HOST:PORT of a daemon.
pub(crate) fn address(daemon: &Daemon) -> String {
    daemon.url().strip_prefix("http://").unwrap().to_owned()
}

/// JSON document and exit code of a failed call.
fn failure(output: &Output) -> (i32, Value) {
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Returns the body of GET `path`.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Response to an unsigned POST request, with its head.
pub(crate) fn post(address: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    // In one write: a server may answer, and close, before a second one.
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn requests_and_responses_round_trip_in_every_scheme() {
    for scheme in ["btauth", "babelbit", "dendrite"] {
        let daemon = neuron(scheme, &["--allow", ALICE]);
        let address = address(&daemon);
        let data = r#"{"prompt": "hello there τ", "deep": [1, 1e22, null]}"#;
        let response = document(&run_client("call", &address, scheme, &["--data", data, "--json"]));
        assert_eq!(
            (&response["code"], &response["outcome"], &response["status"]),
            (&json!(1), &json!("Success"), &json!(200))
        );
        let body = &response["body"];
        assert_eq!(body["deep"].to_string(), "[1,1e+22,null]", "{scheme}");
        if scheme == "dendrite" {
            assert_eq!(
                (&body["answer"], &body["dendrite"]["hotkey"]),
                (&json!("hello there τ"), &json!(ALICE))
            );
            assert_eq!(response["message"], "Success");
        } else {
            assert_eq!(body, &serde_json::from_str::<Value>(data).unwrap());
        }

        let route = if scheme == "dendrite" {
            ["--synapse", "StreamSynapse"]
        } else {
            ["--path", "/stream"]
        };
        let stream_output = run_client(
            "call",
            &address,
            scheme,
            &[&route[..], &["--data", data, "--stream"]].concat(),
        );
        assert!(stream_output.status.success(), "{}", stderr(&stream_output));
        let text = String::from_utf8(stream_output.stdout).unwrap();
        assert!(text.contains("hello there τ"), "{text}");

        let ping = document(&run_client("ping", &address, scheme, &["-n", "20", "--json"]));
        assert_eq!((&ping["sent"], &ping["answered"]), (&json!(20), &json!(20)));
        assert_eq!(ping["outcomes"], json!({ "Success": 20 }));
        let milliseconds = |name: &str| ping["milliseconds"][name].as_f64().unwrap();
        let (min, median, p99) = (milliseconds("min"), milliseconds("median"), milliseconds("p99"));
        assert!(0.0 < min && min <= median && median <= p99 && p99 < 12_000.0, "{ping}");

        assert_eq!(get(&address, "/healthz"), r#"{"ok":true}"#);
        assert_eq!(get(&address, "/readyz"), r#"{"ready":true}"#);
        let metrics = get(&address, "/metrics");
        assert!(metrics.contains(r#"taonet_axon_requests_total{status="200"} 22"#), "{metrics}");
        assert!(metrics.contains("taonet_axon_answer_seconds_count 22"), "{metrics}");
        assert_metrics_described(&metrics, "axon");
        assert_eq!(daemon.terminate().code(), Some(0), "{scheme}");
    }
}

#[test]
fn request_data_is_read_from_files_and_standard_input() {
    let daemon = neuron("btauth", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.json");
    std::fs::write(&file, r#"{"from": "file"}"#).unwrap();
    let at_file = format!("@{}", file.display());
    let plain = run_client("call", &address(&daemon), "btauth", &["--data", &at_file]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap(), "{\"from\": \"file\"}\n");
    let arguments =
        ["call", &address(&daemon), "--hotkey", BOB, "--key-uri", "//Alice", "--data", "-"];
    let output = axon(&arguments).stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"from\": \"file\"}\n");
    let output = run_client("call", &address(&daemon), "btauth", &["--data", "@/nowhere/at-all"]);
    assert!(refusal(&output, 1).contains("cannot read /nowhere/at-all"));
    for (data, error) in [("{", "--data is not JSON"), ("[]", "--data is not a JSON object")] {
        let output = run_client("call", &address(&daemon), "dendrite", &["--data", data]);
        assert!(refusal(&output, 2).contains(error), "{}", stderr(&output));
    }
}

#[test]
fn request_data_is_sent_verbatim() {
    let daemon = neuron("btauth", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes");
    for data in [&b"[1e22, 36893488147419103232, 1.50 ]"[..], b"", b"no JSON\0\xff\r\n"] {
        std::fs::write(&file, data).unwrap();
        let at_file = format!("@{}", file.display());
        for extra_args in [&[][..], &["--stream"]] {
            let output = run_client(
                "call",
                &address(&daemon),
                "btauth",
                &[&["--data", &at_file], extra_args].concat(),
            );
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(output.stdout, [data, b"\n"].concat());
        }
    }
}

#[test]
fn call_failures_determine_exit_code_and_outcome() {
    let (btauth, dendrite) =
        (neuron("btauth", &["--allow", ALICE]), neuron("dendrite", &["--allow", ALICE]));
    for (daemon, scheme) in [(&btauth, "btauth"), (&dendrite, "dendrite")] {
        let address = address(daemon);
        let call = |uri: &str, hotkey: &str| {
            let arguments =
                ["call", &address, "--hotkey", hotkey, "--key-uri", uri, "--scheme", scheme];
            failure(
                &axon(&arguments).args(["--data", r#"{"prompt": ""}"#, "--json"]).output().unwrap(),
            )
        };
        let (exit, stranger) = call("//Charlie", BOB);
        assert_eq!(
            (exit, &stranger["outcome"], &stranger["status"]),
            (4, &json!("SenderUnknown"), &json!(403))
        );
        let (exit, wrong_hotkey) = call("//Alice", ALICE);
        assert_eq!(
            (exit, &wrong_hotkey["outcome"], &wrong_hotkey["status"]),
            (4, &json!("Unauthenticated"), &json!(401))
        );
    }
    let route = ["--path", "/nowhere", "--json"];
    let (exit, unknown) = failure(&run_client("call", &address(&btauth), "btauth", &route));
    assert_eq!(
        (exit, &unknown["outcome"], &unknown["code"]),
        (1, &json!("NotImplemented"), &json!(5))
    );
    let route = ["--synapse", "Unknown", "--json"];
    let (exit, unknown) = failure(&run_client("call", &address(&dendrite), "dendrite", &route));
    assert_eq!(
        (exit, &unknown["outcome"], &unknown["status"]),
        (1, &json!("NotImplemented"), &json!(404))
    );
    assert!(
        unknown["message"].as_str().unwrap().starts_with("Synapse name 'Unknown' not found."),
        "{unknown}"
    );

    // Accepts connections but never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let (exit, late) =
        failure(&run_client("call", &silent_address, "btauth", &["--timeout", "0.2", "--json"]));
    assert_eq!((exit, &late["outcome"], &late["status"]), (3, &json!("Timeout"), &json!(408)));
    drop(silent);
    let closed_address = free_address();
    let (exit, closed_result) =
        failure(&run_client("call", &closed_address, "btauth", &["--json"]));
    assert_eq!(
        (exit, &closed_result["outcome"], &closed_result["status"]),
        (3, &json!("Unavailable"), &json!(503))
    );
    let (exit, pings) =
        failure(&run_client("ping", &closed_address, "dendrite", &["-n", "3", "--json"]));
    assert_eq!(
        (exit, &pings["outcomes"], &pings["answered"]),
        (3, &json!({ "Unavailable": 3 }), &json!(0))
    );
    let table = run_client("ping", &closed_address, "btauth", &["-n", "1"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("Unavailable 1"));
    assert!(stderr(&table).contains("1 of 1 call failed"), "{}", stderr(&table));
}

/// Starts a service with a fixed response, and returns its address.
fn service(head: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            message(&mut stream);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

/// Raw bytes of one request or response.
fn message(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split_once("content-length: ")
                .map_or("0", |(_, remaining)| remaining.lines().next().unwrap());
            if body.len() >= length.parse::<usize>().unwrap() {
                return bytes;
            }
        }
        assert!(count > 0, "half a message: {text}");
    }
}

#[test]
fn neuron_logs_external_address() {
    let private = format!("http://{}/", service("200 OK", "192.168.1.2"));
    let public = format!("http://{}/", service("200 OK", "8.8.8.8\n"));
    let automatic = ["--external-ip", "auto", "--ip-source", &private, "--ip-source", &public];
    let daemon = neuron("btauth", &automatic);
    let port = address(&daemon).rsplit_once(':').unwrap().1.to_owned();
    let expected = format!("reachable at 8.8.8.8:{port} (on the chain: ip 134744072, ip_type 4)");
    assert!(daemon.log().contains(&expected), "{}", daemon.log());

    let ipv6 = neuron("btauth", &["--external-ip", "2606:4700::1", "--external-port", "80"]);
    let expected = "reachable at [2606:4700::1]:80 (on the chain: ip 50543257672059871404715951523469721601, ip_type 6)";
    assert!(ipv6.log().contains(expected), "{}", ipv6.log());

    let mut unreachable =
        axon(&["serve", "--key-uri", "//Bob", "--listen", "127.0.0.1:0", "--external-ip", "auto"]);
    let error = refusal(&unreachable.args(["--ip-source", &private]).output().unwrap(), 1);
    assert!(error.contains("192.168.1.2 is not a public address"), "{error}");
}

#[test]
fn upnp_refuses_loopback_and_private_addresses() {
    for listen in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
        let mut loopback = axon(&["serve", "--key-uri", "//Bob", "--listen", listen, "--upnp"]);
        let error = refusal(&loopback.output().unwrap(), 2);
        assert!(error.contains("--upnp cannot map a loopback address"), "{error}");
    }
    // Without a public address, the search for a router does not start.
    let private = format!("http://{}/", service("200 OK", "192.168.1.2"));
    let mut unknown = axon(&[
        "serve",
        "--key-uri",
        "//Bob",
        "--listen",
        "0.0.0.0:0",
        "--upnp",
        "--external-ip",
        "auto",
    ]);
    let error = refusal(&unknown.args(["--ip-source", &private]).output().unwrap(), 1);
    assert!(error.contains("192.168.1.2 is not a public address"), "{error}");
}
