//! Malicious peers and arguments.

use serde_json::{Value, json};

use super::{BOB, address, axon, failure, neuron, run_client, service};
use crate::support::{Terminal, error_document, refusal, stderr};

const PROMPT: &str = r#"{"prompt": ""}"#;

#[test]
fn request_body_above_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spaces");
    let at_file = format!("@{}", file.display());
    let daemon = neuron("btauth", &[]);
    for (bytes, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        std::fs::write(&file, vec![b' '; bytes]).unwrap();
        let output = run_client(
            "call",
            &address(&daemon),
            "btauth",
            &["--path", "/echo", "--data", &at_file, "--json"],
        );
        let response: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(response["status"], status, "{}", stderr(&output));
    }
}

#[test]
fn control_characters_are_escaped_on_terminal() {
    let address = service("200 OK", "{\"a\": \"\u{9b}2J\u{1b}[31m\u{202e}\"}\n\tτ");
    let arguments = ["call", &address, "--hotkey", BOB, "--key-uri", "//Alice"];
    for extra_args in [&[][..], &["--stream"]] {
        let mut call = axon(&arguments);
        call.args(extra_args);
        let (status, screen) = Terminal::start(call).finish();
        assert!(status.success(), "{screen}");
        assert!(
            screen.contains(r#"{"a": "\u{9b}2J\u{1b}[31m\u{202e}"}"#) && screen.contains("τ\n"),
            "{screen}"
        );
        assert!(!screen.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{screen:?}");
    }

    let text = "no\u{1b}]0;title\u{7}\nerror: something else\u{9b}2J\u{202e}";
    let evil = service("403 Forbidden", text);
    let output = run_client("call", &evil, "btauth", &["--json"]);
    assert_eq!(failure(&output).1["body"], text);
    let (error, document) = (stderr(&output), error_document(&output).unwrap());
    assert!(!error.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{error:?}");
    assert!(document["error"].as_str().unwrap().ends_with(text), "{document}");
    let error = stderr(&run_client("call", &evil, "btauth", &[]));
    assert!(
        error.contains(r"no\u{1b}]0;title\u{7}\nerror: something else\u{9b}2J\u{202e}"),
        "{error}"
    );
}

#[test]
fn contradictory_axon_status_is_failure() {
    let fails = "500 Internal Server Error\r\nbt_header_axon_status_code: 200\r\nbt_header_axon_status_message: Success";
    let refuses =
        "200 OK\r\nbt_header_axon_status_code: 401\r\nbt_header_axon_status_message: Not Verified";
    for (head, outcome, status, exit) in
        [(fails, "UnknownException", 500, 1), (refuses, "Unauthenticated", 401, 4)]
    {
        let address = service(head, "{}");
        let (code, response) =
            failure(&run_client("call", &address, "dendrite", &["--data", PROMPT, "--json"]));
        assert_eq!(
            (code, &response["outcome"], &response["status"]),
            (exit, &json!(outcome), &json!(status))
        );
        let stream_output =
            run_client("call", &address, "dendrite", &["--data", PROMPT, "--stream"]);
        assert!(refusal(&stream_output, exit).contains(outcome));
        let (code, pings) =
            failure(&run_client("ping", &address, "dendrite", &["-n", "2", "--json"]));
        assert_eq!(
            (code, &pings["answered"], &pings["outcomes"]),
            (exit, &json!(0), &json!({ outcome: 2 }))
        );
    }
}

#[test]
fn out_of_range_timeouts_are_refused() {
    for (option, value) in
        [("--timeout", "1e19"), ("--timeout", "1e300"), ("--timeout", "0"), ("--timeout", "86401")]
    {
        let error = refusal(&run_client("call", "127.0.0.1:1", "btauth", &[option, value]), 2);
        assert!(
            error.contains("expected a number of seconds above 0 and at most 86400"),
            "{error}"
        );
    }
}
