//! `bb push` and the other commands for chutes, against a server that checks every request.

mod cloud;
mod large_files;
pub(crate) mod program;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;

pub(crate) use self::cloud::Cloud;
use crate::chain::{BABELBIT, BOB};
use crate::support::{bb, document, local_bb, refusal, require_sentence_model, stderr};
use crate::text_contest::small_talk;
use crate::text_rounds::{Network, engine};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const NAME: &str = "al-Babelbit-0123456789ab";
const SLUG: &str = "alice-al-babelbit-0123456789ab";
const CHUTES_KEY: &str = "cpk_very.secret";
const HUB_KEY: &str = "hf_very.secret";

/// A command with accounts at this server.
pub(crate) fn with_accounts<'a>(
    command: &'a mut Command,
    server: &InferenceServer,
) -> &'a mut Command {
    let url = server.url().trim_end_matches("/v1");
    command.env("CHUTES_API_URL", url).env("HF_ENDPOINT", url);
    command.env("CHUTES_MINER_BASE_URL_TEMPLATE", format!("{url}/chute/{{slug}}"));
    command.env("CHUTES_USERNAME", "alice").env("CHUTES_API_KEY", CHUTES_KEY);
    command.env("HUGGINGFACE_USERNAME", "al").env("HUGGINGFACE_API_KEY", HUB_KEY)
}

/// A model's directory.
pub(crate) fn model(folder: &Path) -> String {
    let model = folder.join("model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("config.json"), "{}").unwrap();
    std::fs::write(model.join("model.safetensors"), "weights").unwrap();
    model.display().to_string()
}

#[track_caller]
fn assert_no_key(text: &str) {
    assert!(!text.contains("very.secret"), "{text}");
}

#[test]
fn runner_finds_and_plays_pushed_model() {
    require_sentence_model();
    let network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let path = model(folder.path());
    let push = |arguments: &[&str]| {
        let mut command = local_bb();
        command.args(["-vvv", "push", "--json", "--yes"]).args(arguments);
        with_accounts(&mut command, &server)
            .env("BT_CHAIN_ENDPOINT", network.chain.url())
            .output()
            .unwrap()
    };
    let pushed =
        push(&["--model-path", &path, "--share-with", "validator-account", "--key-uri", "//Bob"]);
    let result = document(&pushed);
    assert_no_key(&stderr(&pushed));
    assert_eq!(result["schema"], "taonet.push/1");
    assert_eq!(
        (&result["revision"], &result["chute_id"], &result["slug"]),
        (&json!(REVISION), &json!("c-1"), &json!(SLUG))
    );
    assert_eq!(
        (&result["commitment"]["hotkey"], &result["extrinsic"]["success"], &result["warmed_up"]),
        (&json!(BOB), &json!(true), &json!(true))
    );
    assert_eq!(
        cloud.take_requests(),
        [
            "POST /api/repos/create",
            "POST /api/models/al/Babelbit-default/preupload/main",
            "POST /al/Babelbit-default.git/info/lfs/objects/batch",
            "PUT /storage",
            "POST /api/models/al/Babelbit-default/commit/main",
            "GET /chutes/?name=babelbit&limit=100&page=0",
            "GET /images/babelbit:0123456789ab",
            "POST /chutes/?accept_fee=true",
            "POST /chutes/share",
            "GET /chutes/warmup/c-1",
        ]
    );
    let commitments = network.chain.run_json(&["commitment", "get", BOB, "--netuid", BABELBIT]);
    let text: Value =
        serde_json::from_str(commitments["commitments"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["commitment"]);

    // A second push of the same revision changes neither the model nor the chute.
    document(&push(&["--revision", REVISION, "--no-commit", "--no-warmup"]));
    let requests = cloud.take_requests();
    assert_eq!(requests.len(), 2, "{requests:?}");

    // The runner reads the commitment, checks model and chute, and plays the chute.
    let engine = engine(folder.path());
    small_talk(folder.path());
    let mut runner = network.runner(&engine, &folder.path().join("kept"));
    runner.args(["--once", "-vvv"]).env("BB_ENABLE_VALIDATION_SUBMISSIONS", "0");
    let runner_output = with_accounts(&mut runner, &server).output().unwrap();
    assert_no_key(&stderr(&runner_output));
    let report = document(&runner_output);
    assert_eq!(
        (&report["outcome"], &report["miners"][0]["hotkey"]),
        (&json!("finished"), &json!(BOB)),
        "{report}"
    );
    assert_eq!(report["miners"][0]["errors"], 0);
    let requests = cloud.take_requests();
    assert!(
        requests.contains(&format!("POST /chute/{SLUG}/predict"))
            && requests.contains(&"GET /chutes/c-1".to_owned()),
        "{requests:?}"
    );
    // Without a key for Chutes, the miner cannot be called.
    let mut runner = network.runner(&engine, &folder.path().join("other"));
    let without_keys = runner.args(["--once"]).output().unwrap();
    let error = refusal(&without_keys, 1);
    assert!(
        error.contains("CHUTES_API_KEY is not set") && error.contains("no miner on subnet 59"),
        "{error}"
    );
}

#[test]
fn push_builds_image_of_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    cloud.remove_image();
    let path = model(folder.path());
    let push = |arguments: &[&str]| {
        let mut command = local_bb();
        command.args(["push", "--no-commit", "--no-warmup", "--yes"]).args(arguments);
        with_accounts(&mut command, &server).output().unwrap()
    };
    let pushed = push(&["--model-path", &path]);
    let stderr_text = stderr(&pushed);
    assert!(pushed.status.success(), "{stderr_text}");
    for line in ["building babelbit:0123456789ab", "STEP 1/2", "pushed"] {
        assert!(stderr_text.lines().any(|printed| printed == line), "{line}: {stderr_text}");
    }
    assert!(*cloud.is_deployed.lock().unwrap());
    let requests = cloud.take_requests();
    let after_upload = requests
        .iter()
        .skip_while(|request| !request.starts_with("GET /chutes/"))
        .collect::<Vec<_>>();
    assert_eq!(
        after_upload,
        [
            "GET /chutes/?name=babelbit&limit=100&page=0",
            "GET /images/babelbit:0123456789ab",
            "POST /images/",
            "GET /images/babelbit:0123456789ab",
            "GET /images/i-1/logs",
            "GET /images/babelbit:0123456789ab",
            "POST /chutes/?accept_fee=true",
        ]
    );
    let image = cloud.account.lock().unwrap().image.take().unwrap();
    assert_eq!(
        (&image["username"], &image["tag"]),
        (&json!("alice"), &json!("0123456789ab")),
        "{image}"
    );
    assert!(
        image["dockerfile"]
            .as_str()
            .unwrap()
            .starts_with("FROM parachutes/python:3.12\nRUN pip install "),
        "{image}"
    );

    // A setup.py that defines another image needs a Dockerfile beside it.
    cloud.remove_image();
    *cloud.is_deployed.lock().unwrap() = false;
    let template = folder.path().join("template");
    std::fs::create_dir(&template).unwrap();
    std::fs::write(template.join("setup.py"), "image = 1\n").unwrap();
    let arguments = ["--revision", REVISION, "--template", template.to_str().unwrap()];
    let error = refusal(&push(&arguments), 1);
    assert!(
        error.contains("setup.py defines an image, but there is no Dockerfile beside it"),
        "{error}"
    );
    assert!(error.contains(&format!("continue with --revision {REVISION}")), "{error}");
    std::fs::write(template.join("Dockerfile"), "FROM parachutes/vllm:1\n").unwrap();
    assert!(push(&arguments).status.success());
    let image = cloud.account.lock().unwrap().image.take().unwrap();
    assert_eq!(image["dockerfile"], "FROM parachutes/vllm:1");
}

/// Columns: status of the image · options · parts of the error
#[test]
fn push_without_usable_image_deploys_nothing() {
    let (cloud, server) = Cloud::serve();
    for (status, options, expected) in [
        (
            Some("error: no such package"),
            &[][..],
            [
                "the build of babelbit:0123456789ab failed: error: no such package",
                "`chutes images delete ",
            ],
        ),
        (
            None,
            &["--image", "babelbit:0123456789ab"],
            ["Chutes has no image babelbit:0123456789ab", "without --image"],
        ),
    ] {
        *cloud.image.lock().unwrap() = status;
        let mut command = local_bb();
        command
            .args(["push", "--no-commit", "--no-warmup", "--yes", "--revision", REVISION])
            .args(options);
        let error = refusal(&with_accounts(&mut command, &server).output().unwrap(), 1);
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        let requests = cloud.take_requests();
        assert!(!requests.iter().any(|request| request.starts_with("POST")), "{requests:?}");
    }
}

#[test]
fn chute_is_named_pinged_and_deleted() {
    let (cloud, server) = Cloud::serve();
    let run = |arguments: &[&str]| {
        let mut command = bb();
        command.arg("-vvv").args(arguments).args(["--revision", REVISION]);
        let output = with_accounts(&mut command, &server).output().unwrap();
        assert_no_key(&stderr(&output));
        output
    };
    let predicted = document(&run(&["chute-slug", "--json"]));
    assert_eq!((&predicted["slug"], &predicted["deployed"]), (&json!(SLUG), &json!(false)));
    assert!(refusal(&run(&["delete-chute", "--yes"]), 1).contains("is deployed"));
    *cloud.is_deployed.lock().unwrap() = true;
    let output = run(&["chute-slug"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{SLUG} c-1"));

    let ping = document(&run(&["ping-chute", "--json"]));
    assert_eq!(
        (&ping["health"]["status"], &ping["predictions"][4]["prediction"]),
        (&json!("healthy"), &json!("Hi - how are you today"))
    );
    let calls =
        cloud.take_requests().iter().filter(|request| request.starts_with("POST /chute/")).count();
    assert_eq!(calls, 6, "the health and five predictions");

    // A chute on this machine gets no API key, and Chutes is not asked for it.
    let local = format!("{}/local", server.url().trim_end_matches("/v1"));
    let ping = document(&run(&["ping-chute", "--json", "--local", &local]));
    assert_eq!((&ping["slug"], &ping["health"]["status"]), (&Value::Null, &json!("healthy")));
    assert_eq!(
        cloud.take_requests(),
        [&["POST /local/health"][..], &["POST /local/predict"; 5]].concat()
    );
    let mut without_revision = bb();
    without_revision.args(["ping-chute", "--json", "--local", &local]);
    document(&with_accounts(&mut without_revision, &server).output().unwrap());
    assert_eq!(cloud.take_requests().len(), 6);

    let mut logs = bb();
    let logs = with_accounts(logs.args(["-vvv", "chute-logs", "--instance-id", "i-1"]), &server)
        .output()
        .unwrap();
    assert_no_key(&stderr(&logs));
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "loading the model\nready\n");
    let dry_run = document(&run(&["delete-chute", "--dry-run"]));
    assert!(dry_run["requests"][0]["url"].as_str().unwrap().ends_with("/chutes/c-1"), "{dry_run}");
    assert!(*cloud.is_deployed.lock().unwrap(), "nothing is deleted");
    assert!(refusal(&run(&["delete-chute"]), 2).contains("hint: pass --yes"));
    assert!(run(&["delete-chute", "--yes"]).status.success());
    assert!(!*cloud.is_deployed.lock().unwrap());

    // A chute that the reference's program has named is found by its revision.
    let chute_name = "al-babelbit-brave-otter";
    *cloud.name.lock().unwrap() = chute_name;
    assert_eq!(document(&run(&["chute-slug", "--json"]))["deployed"], false);
    *cloud.is_deployed.lock().unwrap() = true;
    let actual = document(&run(&["chute-slug", "--json"]));
    assert_eq!((&actual["name"], &actual["chute_id"]), (&json!(chute_name), &json!("c-1")));
    let deleted = document(&run(&["delete-chute", "--yes", "--json"]));
    assert_eq!((&deleted["name"], *cloud.is_deployed.lock().unwrap()), (&json!(chute_name), false));
}

#[test]
fn push_dry_run_sends_nothing_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let path = model(folder.path());
    let mut command = local_bb();
    command.args([
        "push",
        "--dry-run",
        "--key-uri",
        "//Bob",
        "--share-with",
        "validator-account",
        "--model-path",
        &path,
    ]);
    let output = with_accounts(&mut command, &server).output().unwrap();
    let result = document(&output);
    assert_no_key(&format!("{result} {}", stderr(&output)));
    let requests: Vec<_> = result["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["request"].as_str().unwrap())
        .collect();
    assert_eq!(
        requests,
        [
            "create the repository",
            "prepare the upload",
            "commit the files",
            "list the chutes",
            "get the image",
            "build the image",
            "read the build's log",
            "deploy the chute",
            "share the chute",
            "warm up the chute",
        ]
    );
    assert_eq!(
        (&result["commitment"]["model"], &result["commitment"]["hotkey"]),
        (&json!("al/Babelbit-default"), &json!(BOB))
    );
    assert_eq!(cloud.take_requests(), [""; 0]);
}

#[test]
fn generated_chute_script_is_valid_python() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let script = folder.path().join("my_chute.py");
    let mut command = bb();
    command.args(["generate-chute-script", "--revision", REVISION, "--output"]).arg(&script);
    assert!(with_accounts(&mut command, &server).output().unwrap().status.success());
    let text = std::fs::read_to_string(&script).unwrap();
    assert!(text.contains(REVISION) && text.contains("public_api_path=\"/predict\""));
    assert_no_key(&text);
    assert_eq!(cloud.take_requests(), [""; 0]);
    let mut parsed = Command::new("python3");
    parsed.args(["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"]).arg(&script);
    let parsed = parsed.output().unwrap();
    assert!(parsed.status.success(), "{}", stderr(&parsed));
}

/// arguments · variables · status · part of the error
#[test]
fn chutes_usage_errors_are_explained() {
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);

    let (_, server) = Cloud::serve();
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    #[rustfmt::skip]
    let table: [Row<'_>; 15] = [
        (&["chute-slug", "--revision", "main"], &[], 2, "expected 40 hex digits"),
        (&["chute-slug", "--revision", REVISION], &[("HUGGINGFACE_USERNAME", "")], 2, "HUGGINGFACE_USERNAME is not set"),
        (&["chute-slug", "--revision", REVISION], &[("CHUTES_API_URL", "http://127.0.0.1:9")], 3, "cannot list the chutes"),
        (&["ping-chute", "--revision", REVISION, "--local", "127.0.0.1:8000"], &[], 2, "expected an http or https URL"),
        (&["chute-logs", "--instance-id", "i-1"], &[("CHUTES_API_KEY", "")], 4, "hint: set CHUTES_API_KEY"),
        (&["delete-chute", "--yes", "--revision", REVISION], &[("CHUTES_API_KEY", "")], 4, "hint: set CHUTES_API_KEY"),
        (&["push", "--key-uri", "//Bob"], &[], 2, "--model-path <DIR>"),
        (&["push", "--key-uri", "//Bob", "--model-path", &path, "--revision", REVISION], &[], 2, "cannot be used with"),
        (&["push", "--no-commit", "--key-uri", "//Bob", "--model-path", &path], &[], 2, "which --no-commit omits"),
        (&["push", "--no-commit", "--no-deploy", "--revision", REVISION, "--share-with", "x"], &[], 2, "cannot be used with"),
        (&["ping-chute"], &[], 2, "--revision <SHA>"),
        (&["push", "--no-commit", "--model-path", "missing"], &[], 1, "cannot read missing"),
        (&["push", "--no-commit", "--model-path", &path], &[("HUGGINGFACE_API_KEY", "")], 4, "hint: set HUGGINGFACE_API_KEY"),
        (&["push", "--no-commit", "--model", "al", "--model-path", &path], &[], 2, "expected OWNER/NAME"),
        (&["generate-chute-script", "--revision", REVISION, "--template", "missing"], &[], 1, "has none of setup.py"),
    ];
    for (arguments, variables, status, text) in table {
        let mut command = local_bb();
        let command =
            with_accounts(command.args(arguments), &server).envs(variables.iter().copied());
        let error = refusal(&command.output().unwrap(), status);
        assert!(error.contains(text), "{arguments:?}: {error}");
        assert_no_key(&error);
    }
}
