//! Checks env.example and docs/settings.md: every setting with its default and description.
//! `TAONET_UPDATE_DOCS=1` regenerates them.

use std::fmt::Write as _;
use std::path::Path;

use taonet_babelbit_config::{Config, variables};
use taonet_settings::{Section, example};

use crate::{read, root};

const HEAD: &str = "\
# The settings of `bb` with their defaults, generated from the table of settings. Copy this file (docker compose reads
# .env, the systemd units /etc/taonet/taonet.env), and uncomment the settings that you change. Values extend to the end of
# the line: no comments after them, no quotes, no ~ and no $HOME. `bb config check` reports invalid values.
";

const PAGE_HEAD: &str = "\
# Settings

The environment variables of `bb` with their defaults, generated from the table of settings.
[env.example](../env.example) has the same settings as a file to copy, and [Run a
validator](validator.md#settings) says how `bb` reads it. Descriptions end with the default where it
is not a fixed value.
";

const SECTIONS: [Section; 16] = [
    Section { title: "Chain, subnet, wallet", prefixes: &["BITTENSOR_", "BABELBIT_NETUID"] },
    Section {
        title: "Engine and scoring API",
        prefixes: &["BB_UTTERANCE_ENGINE_", "BABELBIT_API_", "BB_SUBMIT_API_URL"],
    },
    Section { title: "Rounds", prefixes: &["BB_", "BABELBIT_RUNNER_", "BABELBIT_MAX_SUBTENSOR_"] },
    Section {
        title: "Calls to miners",
        prefixes: &["BB_MINER_", "BB_S2S_", "BB_DEV_MODE", "BB_LOCAL_MINER_IP", "BB_MAX_MINERS_"],
    },
    Section {
        title: "Task and inference servers of a miner",
        prefixes: &[
            "BB_MINER_TASK",
            "BB_MINER_LM",
            "BB_MINER_BACKEND_",
            "BB_MINER_STT_",
            "BB_MINER_LLM_",
            "BB_MINER_TTS_",
        ],
    },
    Section {
        title: "Address of a miner, text miner and its language model",
        prefixes: &["MINER_", "CHUTE_", "HF_TOKEN"],
    },
    Section { title: "Text miners on Chutes", prefixes: &["CHUTES_", "HUGGINGFACE_", "HF_"] },
    Section {
        title: "Files",
        prefixes: &["BB_OUTPUT_", "BB_CHALLENGE_STATUS_", "BABELBIT_CACHE_", "BB_MODELS_"],
    },
    Section {
        title: "Scoring",
        prefixes: &["BB_AUDIO_SCORING_", "BB_RULES", "EMBED_", "BASELINE_"],
    },
    Section { title: "Arena", prefixes: &["BB_ARENA_", "BB_ENABLE_ARENA_", "RUNPOD_", "POD_"] },
    Section {
        title: "Submission of results",
        prefixes: &["BB_SUBMIT_", "BB_ENABLE_VALIDATION_", "BB_OUTBOX_"],
    },
    Section { title: "Object storage (S3)", prefixes: &["S3_", "BB_ENABLE_S3_"] },
    Section {
        title: "Weights",
        prefixes: &[
            "BB_ARENA_INCENTIVE_",
            "BB_DEFAULT_FALLBACK_",
            "BB_MAX_SKIPPED_",
            "BB_SET_WEIGHTS_",
        ],
    },
    Section {
        title: "Signer and subtensor gateway",
        prefixes: &["SIGNER_", "SUBTENSOR_GATEWAY_", "BB_API_TOKEN_"],
    },
    Section { title: "Metrics", prefixes: &["BABELBIT_METRICS_"] },
    Section {
        title: "Transcription workers, and the subnet owner's scoring API",
        prefixes: &["NATS_", "DATABASE_"],
    },
];

/// Returns the defaults with a home directory that is not a prefix of any other path.
fn defaults() -> Config {
    Config::from_variables([], Some(Path::new("HOME"))).unwrap().0
}

fn generate_example() -> String {
    example(HEAD, &SECTIONS, variables(), &defaults()).unwrap_or_else(|name| {
        panic!(
            "{name} belongs to no section of env.example: add its prefix to SECTIONS in this test"
        )
    })
}

/// Renders docs/settings.md from env.example: a table for each section.
fn page(example: &str) -> String {
    let mut text = PAGE_HEAD.to_owned();
    let mut description = "";
    for line in example.strip_prefix(HEAD).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            write!(text, "\n## {title}\n\n| Variable | Default | Description |\n|---|---|---|\n")
                .unwrap();
        } else if let Some(help) = line.strip_prefix("# ") {
            description = help;
        } else if let Some((name, value)) =
            line.strip_prefix('#').and_then(|line| line.split_once('='))
        {
            let default = if value.is_empty() { String::new() } else { format!(" `{value}`") };
            writeln!(text, "| `{name}` |{default} | {description} |").unwrap();
            description = "";
        }
    }
    text
}

/// Returns the settings of the file with all lines uncommented.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with("# ") && !line.starts_with("##"));
    lines.filter_map(|line| line.trim_start_matches('#').split_once('=')).collect()
}

#[test]
fn env_example_has_every_setting_with_its_default() {
    let text = generate_example();
    if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
        std::fs::write(root().join("env.example"), &text).unwrap();
        std::fs::write(root().join("docs/settings.md"), page(&text)).unwrap();
    }
    let file = read("env.example");
    let hint = "hint: regenerate both with TAONET_UPDATE_DOCS=1 cargo test -p taonet-cli --test operations example";
    let (names, expected) =
        (names(&file), variables().iter().map(|variable| variable.name.to_owned()).collect());
    assert_eq!(
        names, expected,
        "the names in env.example differ from those of the configuration; {hint}"
    );
    assert!(
        file == text,
        "env.example differs from the configuration in defaults, descriptions or sections; {hint}"
    );
    assert!(
        read("docs/settings.md") == page(&text),
        "docs/settings.md differs from env.example; {hint}"
    );
}

fn names(text: &str) -> std::collections::BTreeSet<String> {
    settings(text).into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The file changes no setting, with or without its lines commented out.
#[test]
fn env_example_changes_no_setting() {
    let file = read("env.example");
    assert!(
        file.lines().all(|line| line.is_empty() || line.starts_with('#')),
        "something is set in env.example"
    );
    let pairs = settings(&file).into_iter().map(|(name, value)| (name.into(), value.into()));
    let (config, warnings) = Config::from_variables(pairs, Some(Path::new("HOME"))).unwrap();
    assert_eq!(warnings, []);
    for variable in variables() {
        assert_eq!((variable.show)(&config), (variable.show)(&defaults()), "{}", variable.name);
    }
}
