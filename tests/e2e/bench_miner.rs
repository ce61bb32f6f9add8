//! `tao bench-miner` through the binary: a miner of the summing subnet on an embedded chain, and
//! miners that do not answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
use taonet_chain::{Chain, calls};
use taonet_kit::{Load, MinerSettings, Rate};
use taonet_service::Shutdown;
use taonet_summing_subnet::miner;
use taonet_validator::testing::{LocalChain, NETUID};

use crate::axon::{BOB, address, neuron};
use crate::support::{document, free_address, refusal, stderr, tao};

/// Published address that represents this machine: the chain rejects loopback addresses.
const PUBLISHED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Runs a benchmark with a development key, on a local network.
fn bench(arguments: &[&str]) -> Output {
    let mut tao = tao();
    tao.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
        .args(["bench-miner", "--json"])
        .args(arguments)
        .output()
        .unwrap()
}

/// JSON document and exit code of a benchmark, also of one without success.
fn exit_and_report(output: &Output) -> (i32, Value) {
    let document =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)));
    (output.status.code().unwrap(), document)
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_miner_is_benchmarked() {
    let (chain, shutdown) = (LocalChain::start(1).await, Shutdown::new());
    let keypair = chain.miners[0].clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let default = MinerSettings::new(NETUID);
    let load = Load { rate: Some(Rate { per_second: 1, burst: 15 }), ..default.load };
    let miner = miner(keypair.clone(), MinerSettings { load, ..default });
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });
    chain.send(calls::serve_axon(NETUID, 1, SocketAddr::new(PUBLISHED, port)), &keypair).await;

    let (hotkey, network, folder) =
        (keypair.hotkey().to_string(), chain.node.url(), tempfile::tempdir().unwrap());
    let [csv, svg] =
        ["miner.csv", "miner.svg"].map(|name| folder.path().join(name).display().to_string());
    let target =
        [hotkey.as_str(), "--netuid", "59", "--local-miner-ip", "192.0.2.1", "--network", &network];
    let as_validator = ["--key-uri", "//validator"];
    let load = ["--calls", "5", "--batch", "2", "--rate", "50", "--csv", &csv, "--plot", &svg];
    let report = document(&bench(&[&target[..], &as_validator, &load].concat()));
    assert_eq!(
        (&report["requests"], &report["succeeded"], &report["complete"]),
        (&json!(10), &json!(10), &json!(true)),
        "{report}"
    );
    assert!(
        report["achieved_rate"].as_f64().unwrap() > 0.0 && report["late_ms"]["max"].is_f64(),
        "{report}"
    );
    assert_eq!(
        (&report["url"], &report["size"]),
        (&json!(format!("http://127.0.0.1:{port}/")), &json!(9))
    );
    assert_eq!(
        (&report["outcomes"][0]["outcome"], &report["failures"]),
        (&json!("Success"), &json!([]))
    );
    let csv = std::fs::read_to_string(csv).unwrap();
    assert_eq!(csv.lines().filter(|line| line.contains(",1,Success,200,")).count(), 10, "{csv}");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert_eq!(svg.matches("fill-opacity").count(), 10, "{svg}");

    // Above the rate limit of the miner.
    let load = ["--calls", "100", "--rate", "1000"];
    let report = document(&bench(&[&target[..], &as_validator, &load].concat()));
    let count = |outcome: &str| {
        let outcomes = report["outcomes"].as_array().unwrap();
        outcomes
            .iter()
            .find(|entry| entry["outcome"] == outcome)
            .map_or(0, |entry| entry["requests"].as_u64().unwrap())
    };
    assert_eq!(count("Success") + count("Backoff"), 100, "{report}");
    assert!(count("Backoff") >= 50, "{report}");
    assert!(
        report["failures"][0]["reason"].as_str().unwrap().contains("exceeds its rate limit"),
        "{report}"
    );

    // Only validators may call the miner.
    let (exit, report) = exit_and_report(&bench(
        &[&target[..], &["--key-uri", "//Charlie", "--calls", "3"]].concat(),
    ));
    assert_eq!(
        (exit, &report["succeeded"], &report["failures"][0]["status"]),
        (4, &json!(0), &json!(403)),
        "{report}"
    );
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}

#[test]
fn requests_from_file_are_sent_and_responses_checked() {
    let daemon = neuron("dendrite", &[]);
    let address = address(&daemon);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.json");
    let target = [
        address.as_str(),
        "--hotkey",
        BOB,
        "--key-uri",
        "//Alice",
        "--calls",
        "4",
        "--rate",
        "100",
    ];
    let run = |field: &str| {
        let document = json!({
            "class": "EchoSynapse", "hash": ["prompt"], "required": { "prompt": "" },
            "answer": field, "requests": [{ "prompt": "one" }, { "prompt": "two" }],
        });
        std::fs::write(&file, document.to_string()).unwrap();
        exit_and_report(&bench(&[&target[..], &["--kind", file.to_str().unwrap()]].concat()))
    };
    let (exit, report) = run("answer");
    assert_eq!(
        (exit, &report["succeeded"], &report["size"]),
        (0, &json!(4), &Value::Null),
        "{report}"
    );
    let (exit, report) = run("completion");
    assert_eq!(
        (exit, &report["succeeded"], &report["outcomes"][0]["code"]),
        (1, &json!(0), &json!(8)),
        "{report}"
    );
    assert_eq!(report["failures"][0]["reason"], "the response has no `completion`");
    // The report is not lost if a file cannot be written.
    run("answer");
    if Path::new("/dev/full").exists() {
        let files = ["--kind", file.to_str().unwrap(), "--csv", "/dev/full"];
        let output = bench(&[&target[..], &files].concat());
        let (exit, report) = exit_and_report(&output);
        assert_eq!((exit, &report["succeeded"]), (1, &json!(4)), "{report}");
        assert!(stderr(&output).contains("cannot write /dev/full"), "{}", stderr(&output));
    }
}

#[test]
fn unresponsive_miner_is_a_network_failure() {
    // Accepts connections, but never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let closed_address = free_address();
    for (address, outcome, seconds) in
        [(&silent_address, "Timeout", "0.2"), (&closed_address, "Unavailable", "12")]
    {
        let arguments = [
            "--hotkey",
            BOB,
            "--key-uri",
            "//Alice",
            "--calls",
            "6",
            "--batch",
            "2",
            "--rate",
            "100",
        ];
        let output =
            bench(&[&[address.as_str()][..], &arguments, &["--timeout", seconds]].concat());
        let (exit, report) = exit_and_report(&output);
        assert_eq!((exit, &report["succeeded"]), (3, &json!(0)), "{report}");
        let outcomes = &report["outcomes"];
        assert_eq!(
            (&outcomes[0]["outcome"], &outcomes[0]["requests"]),
            (&json!(outcome), &json!(12)),
            "{report}"
        );
        assert!(stderr(&output).contains("none of 12 requests succeeded"), "{}", stderr(&output));
    }
}

#[test]
fn invalid_benchmark_is_refused_and_keeps_existing_files() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("nowhere/miner.svg").display().to_string();
    let csv = folder.path().join("miner.csv").display().to_string();
    std::fs::write(&csv, "results of before").unwrap();
    let key = ["--key-uri", "//Alice"];
    for (arguments, code, words) in [
        (&["8.8.8.8:8091", "--hotkey", BOB][..], 2, "hint: pass --yes if the miner is yours"),
        (&["127.0.0.1:9"], 2, "an address requires --hotkey"),
        (&[BOB], 2, "a hotkey requires --netuid"),
        (
            &["127.0.0.1:9", "--hotkey", BOB, "--calls", "100000", "--batch", "2"],
            2,
            "more than 100000 requests",
        ),
        (&["127.0.0.1:9", "--hotkey", BOB, "--size", "19"], 2, "numbers have at most 18 digits"),
        (
            &["127.0.0.1:9", "--hotkey", BOB, "--rate", "0"],
            2,
            "calls per second from 0.001 to 10000",
        ),
        (
            &["127.0.0.1:9", "--hotkey", BOB, "--kind", "/nowhere.json"],
            1,
            "cannot read /nowhere.json",
        ),
        (&["127.0.0.1:9", "--hotkey", BOB, "--plot", &plot], 1, "cannot create "),
        (
            &["127.0.0.1:9", "--hotkey", BOB, "--csv", &csv, "--plot", &csv],
            2,
            "is also another file of this command",
        ),
        (
            &["127.0.0.1:9", "--hotkey", BOB, "--max-response", "67108864"],
            2,
            "is more than 2 GiB of memory",
        ),
        (&["8.8.8.8:8091", "--hotkey", BOB, "--csv", &csv], 2, "8.8.8.8 is a public address"),
    ] {
        let error = refusal(&bench(&[arguments, &key].concat()), code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), "results of before");
}
