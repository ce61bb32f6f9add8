//! env.example: every setting, with its default and its meaning. `TAONET_UPDATE_DOCS=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use taonet_babelbit_node::config::{Config, Variable, variables};

use crate::{read, root};

const HEAD: &str = "\
# The settings of `bb` and their defaults, written from its own table by a test. Copy this file (docker compose reads
# .env, the systemd units /etc/taonet/taonet.env), and take the # off where another value is wanted. A line ends with its
# value: no comments behind it, no quotes, no ~ and no $HOME. `bb config check` says what does not fit.
";

/// Sections, in this order, and how the names in them begin; the longest beginning counts.
const SECTIONS: [(&str, &[&str]); 13] = [
    ("Chain, subnet, wallet", &["BITTENSOR_", "BABELBIT_NETUID"]),
    ("Neighbours", &["BB_UTTERANCE_ENGINE_", "BABELBIT_API_", "BB_SUBMIT_API_URL"]),
    ("Rounds", &["BB_", "BABELBIT_RUNNER_", "BABELBIT_MAX_SUBTENSOR_"]),
    ("Calls to miners", &["BB_MINER_", "BB_S2S_", "BB_DEV_MODE", "BB_LOCAL_MINER_IP", "BB_MAX_MINERS_"]),
    ("Files", &["BB_OUTPUT_", "BB_CHALLENGE_STATUS_", "BABELBIT_CACHE_", "BB_MODELS_"]),
    ("Scoring", &["BB_AUDIO_SCORING_", "BB_RULES"]),
    ("Arena", &["BB_ARENA_", "BB_ENABLE_ARENA_", "RUNPOD_", "POD_"]),
    ("Submission of results", &["BB_SUBMIT_", "BB_ENABLE_VALIDATION_", "BB_OUTBOX_"]),
    ("Copies in S3", &["S3_", "BB_ENABLE_S3_"]),
    ("Weights", &["BB_ARENA_INCENTIVE_", "BB_DEFAULT_FALLBACK_", "BB_MAX_SKIPPED_", "BB_SET_WEIGHTS_"]),
    ("Signer and subtensor gateway", &["SIGNER_", "SUBTENSOR_GATEWAY_", "BB_API_TOKEN_"]),
    ("Metrics", &["BABELBIT_METRICS_"]),
    ("The subnet owner's scoring API", &["DATABASE_"]),
];

/// The defaults of a machine whose home directory is nowhere else the start of a path.
fn defaults() -> Config {
    Config::from_variables([], Some(Path::new("HOME"))).unwrap().0
}

/// A setting's line. What is below the home directory is left out: the file is the same for everybody.
fn line(variable: &Variable, defaults: &Config) -> String {
    let value = (variable.show)(defaults);
    match value.strip_prefix("HOME/") {
        Some(rest) => format!("# {}; left out: ~/{rest}\n#{}=\n", variable.help, variable.name),
        None => format!("# {}\n#{}={value}\n", variable.help, variable.name),
    }
}

fn section(name: &str) -> usize {
    let beginnings = SECTIONS.iter().enumerate().flat_map(|(place, (_, all))| all.iter().map(move |b| (place, *b)));
    let fitting = beginnings.filter(|(_, beginning)| name.starts_with(beginning));
    fitting.max_by_key(|(_, beginning)| beginning.len()).map_or_else(
        || panic!("{name} belongs to no section of env.example: give it one in SECTIONS, in this test"),
        |(place, _)| place,
    )
}

fn written() -> String {
    let defaults = defaults();
    let mut sections = BTreeMap::<usize, String>::new();
    let mut unused = String::new();
    for variable in variables() {
        if variable.apply.is_some() {
            *sections.entry(section(variable.name)).or_default() += &line(variable, &defaults);
        } else {
            let instead = if variable.help.is_empty() { String::new() } else { format!("# {}\n", variable.help) };
            writeln!(unused, "{instead}#{}=", variable.name).unwrap();
        }
    }
    let mut text = HEAD.to_owned();
    for (place, lines) in sections {
        write!(text, "\n## {}\n\n{lines}", SECTIONS[place].0).unwrap();
    }
    if !unused.is_empty() {
        write!(text, "\n## Known from the reference system, without effect here\n\n{unused}").unwrap();
    }
    text
}

/// The settings of the file, as if every # were taken off.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with("# ") && !line.starts_with("##"));
    lines.filter_map(|line| line.trim_start_matches('#').split_once('=')).collect()
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let text = written();
    if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
        std::fs::write(root().join("env.example"), &text).unwrap();
    }
    let file = read("env.example");
    let hint = "after a change of settings: TAONET_UPDATE_DOCS=1 cargo test -p taonet-cli --test operations example";
    let (names, known) = (names(&file), variables().iter().map(|variable| variable.name.to_owned()).collect());
    assert_eq!(names, known, "env.example has other names than the configuration; {hint}");
    assert!(file == text, "env.example has other defaults, meanings or sections than the configuration; {hint}");
}

fn names(text: &str) -> std::collections::BTreeSet<String> {
    settings(text).into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// As it is, and with every # taken off, the file sets what would hold without it.
#[test]
fn the_example_changes_nothing() {
    let file = read("env.example");
    assert!(file.lines().all(|line| line.is_empty() || line.starts_with('#')), "something is set in env.example");
    let pairs = settings(&file).into_iter().map(|(name, value)| (name.into(), value.into()));
    let (config, warnings) = Config::from_variables(pairs, Some(Path::new("HOME"))).unwrap();
    assert_eq!(warnings, []);
    for variable in variables() {
        assert_eq!((variable.show)(&config), (variable.show)(&defaults()), "{}", variable.name);
    }
}
