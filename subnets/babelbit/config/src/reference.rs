//! The variables of the reference's env.example and code that this program reads differently.

use std::path::Path;

use super::{Config, variables};

/// Kind of difference between a variable's effect and that in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Only the default differs, or a requirement at a daemon's startup: a set value has the same
    /// meaning.
    DefaultOnly,
    /// A set value has a different effect on the network `local` only.
    LocalOnly,
    /// Only a blank value has a different effect.
    Blank,
    /// A set value has a different meaning.
    Meaning,
    /// The variable has no effect here.
    NoEffect,
}

impl DifferenceKind {
    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DefaultOnly => "default only",
            Self::LocalOnly => "local only",
            Self::Blank => "blank",
            Self::Meaning => "meaning",
            Self::NoEffect => "no effect",
        }
    }
}

/// A variable of the reference system that has another meaning, default or range here, or no
/// effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The variable's name.
    pub name: &'static str,
    /// Kind of the difference.
    pub kind: DifferenceKind,
    /// Effect of the variable in the reference: its default, or the meaning of its value.
    pub reference: &'static str,
    /// Effect of the variable in this program.
    pub here: &'static str,
    /// Recommended action if the variable is set; empty if none is needed.
    pub remedy: &'static str,
}

impl Difference {
    /// Whether a value has a different effect here than in the reference. `value` is `None` for an
    /// unset variable, and `config` contains the parsed value. Differences of defaults do not
    /// matter: `bb config show` prints the defaults.
    ///
    /// A value that equals the default does not matter either: a copied env.example sets most
    /// variables to their defaults.
    pub fn matters(&self, value: Option<&str>, config: &Config) -> bool {
        let Some(value) = value.map(str::trim) else { return false };
        let is_blank = value.is_empty();
        match self.kind {
            DifferenceKind::DefaultOnly => false,
            DifferenceKind::LocalOnly => !is_blank && config.operator.network.is_local(),
            DifferenceKind::Blank => is_blank,
            DifferenceKind::Meaning => !is_blank && !self.is_default(config),
            DifferenceKind::NoEffect => !is_blank,
        }
    }

    /// Whether the variable's setting has its default value.
    fn is_default(&self, config: &Config) -> bool {
        let setting = variables().iter().find(|variable| variable.name == self.name);
        let defaults = Config::defaults(Path::new(""));
        setting.is_none_or(|setting| (setting.show)(config) == (setting.show)(&defaults))
    }
}

const fn default_only(
    name: &'static str,
    reference: &'static str,
    here: &'static str,
) -> Difference {
    Difference { name, kind: DifferenceKind::DefaultOnly, reference, here, remedy: "" }
}

const fn local_only(
    name: &'static str,
    reference: &'static str,
    here: &'static str,
    remedy: &'static str,
) -> Difference {
    Difference { name, kind: DifferenceKind::LocalOnly, reference, here, remedy }
}

const fn blank(
    name: &'static str,
    reference: &'static str,
    here: &'static str,
    remedy: &'static str,
) -> Difference {
    Difference { name, kind: DifferenceKind::Blank, reference, here, remedy }
}

const fn meaning(
    name: &'static str,
    reference: &'static str,
    here: &'static str,
    remedy: &'static str,
) -> Difference {
    Difference { name, kind: DifferenceKind::Meaning, reference, here, remedy }
}

const fn no_effect(name: &'static str, reference: &'static str, here: &'static str) -> Difference {
    Difference { name, kind: DifferenceKind::NoEffect, reference, here, remedy: "remove it" }
}

/// Returns every variable of the reference that is read differently, in the order of the sections
/// of its env.example. All others have the same meaning and the same default.
pub const fn differences() -> &'static [Difference] {
    DIFFERENCES
}

const NO_EFFECT: &str = "no effect";

#[rustfmt::skip]
static DIFFERENCES: &[Difference] = &[
    no_effect("BITTENSOR_NETWORK", "unused", "no effect; BITTENSOR_SUBTENSOR_ENDPOINT or BT_NETWORK selects the network"),
    default_only("BITTENSOR_SUBTENSOR_ENDPOINT", "finney", "BT_CHAIN_ENDPOINT and BT_NETWORK take precedence; a list of nodes is allowed"),
    local_only("BITTENSOR_SUBTENSOR_FALLBACK", "wss://lite.sub.latent.to:443 on every network", "that node on finney only; on the network `local`, none", "remove it: a development chain has one node"),
    no_effect("BABELBIT_TEMPO", "100, whatever is set", "no effect; bb validate --tempo changes it"),
    no_effect("BABELBIT_TAIL", "28800, only logged", NO_EFFECT),
    no_effect("BABELBIT_ALPHA", "0.2, only logged", NO_EFFECT),
    no_effect("BABELBIT_M_MIN", "25, only logged", NO_EFFECT),
    no_effect("BABELBIT_MAX_SUBTENSOR_RETRIES", "5", "no effect; a round that fails is retried at most 20 times within its epoch"),
    no_effect("BABELBIT_VERSION", "0.1.0, logged at startup", "no effect; `bb --version` prints the version"),
    no_effect("BABELBIT_MAX_CONCURRENT_API_CALLS", "1, unused", NO_EFFECT),
    default_only("BABELBIT_METRICS_ADDR", "0.0.0.0", "127.0.0.1 unless set"),
    default_only("BB_UTTERANCE_ENGINE_URL", "http://localhost:8000 for a single run and bb validate", "https://api.babelbit.ai for all commands"),
    default_only("BB_SUBMIT_API_URL", "https://scoring.babelbit.ai", "the same; on the network `local`, this machine"),
    local_only("BB_ENABLE_VALIDATION_SUBMISSIONS", "1", "1; on the network `local`, only if BB_SUBMIT_API_URL is set", "set BB_SUBMIT_API_URL to submit results on the network `local`"),
    meaning("BB_SUBMIT_TIMEOUT_S", "30 for every submission", "30, and the transfer time of a file at 256 KiB/s", "no longer add time for large files to the value"),
    meaning("BB_DEV_MODE", "rewrites addresses of this machine", "also permits loopback and private addresses, which are refused without it", "unset it on public networks: it lets miners choose addresses in your own network"),
    meaning("BB_LOCAL_MINER_IP", "replaced by host.docker.internal", "replaced by 127.0.0.1 outside containers", "outside containers, let the miners listen on loopback or on all addresses"),
    default_only("BB_AUDIO_SCORING_STT_MODEL", "faster-whisper-small", "the same; on the network `local`, the test double tiny-ctc"),
    no_effect("BB_AUDIO_SCORING_STT_DEVICE", "cpu", "no effect; the recogniser runs on the processor"),
    blank("BB_ARENA_GATEWAY_URL", "https://gw.babelbit.ai/; blank means BB_SUBMIT_API_URL", "blank means the default; on the network `local`, this machine", "set it to the value of BB_SUBMIT_API_URL, which the reference uses"),
    no_effect("BB_ARENA_INIT_KEEPALIVE_ENABLED", "1", "no effect; miners run independently, without a grace period"),
    no_effect("BB_ARENA_INIT_KEEPALIVE_INTERVAL_SEC", "30", "no effect; miners run independently, without a grace period"),
    no_effect("BB_ARENA_STARTUP_CHUNK_TIMEOUT_SEC", "60, never read", NO_EFFECT),
    no_effect("BB_ARENA_STARTUP_CHUNK_COUNT", "4, never read", NO_EFFECT),
    default_only("BB_SET_WEIGHTS_RETRIES", "20", "SIGNER_RETRIES unless set"),
    default_only("BB_SET_WEIGHTS_RETRY_DELAY", "2", "SIGNER_RETRY_DELAY unless set"),
    default_only("SIGNER_URL", "http://signer:8080", "the same; on the network `local`, this machine"),
    default_only("SIGNER_HOST", "any address, for every caller", "beyond loopback, callers need the token in BB_API_TOKEN_FILE"),
    no_effect("SIGNER_SEED", "unused", NO_EFFECT),
    default_only("SUBTENSOR_GATEWAY_URL", "http://subtensor-gateway:8090", "the same; on the network `local`, this machine"),
    default_only("SUBTENSOR_GATEWAY_HOST", "0.0.0.0", "127.0.0.1 unless set; beyond loopback, callers need the token in BB_API_TOKEN_FILE"),
    default_only("BB_ENABLE_S3_UPLOADS", "without S3_BUCKET_NAME, disables uploads", "without S3_BUCKET_NAME, an error at startup"),
    no_effect("S3_SUBMISSIONS_DIR", "challenges, unused", NO_EFFECT),
    default_only("S3_SIGNATURE_VERSION", "any", "s3v4 only"),
    no_effect("HUGGINGFACE_CONCURRENCY", "2", "no effect; files are uploaded one after another"),
    no_effect("HF_HUB_ENABLE_HF_TRANSFER", "selects a downloader", "no effect; downloads resume and are verified"),
    default_only("MINER_MODEL_ID", "babelbit-ai/base-miner", "no default; a directory or a GGUF file is allowed"),
    default_only("MINER_AXON_PORT", "8092 on all interfaces", "8092 on loopback unless set; if set, on all interfaces"),
    default_only("MINER_EXTERNAL_IP", "published if set", "`auto`, the default, queries public services"),
    meaning("MINER_DEV_MODE", "on all networks", "on the network `local` only", "unset it on other networks than `local`: the miner does not start with it"),
    no_effect("PG_HOST", "db, unused", NO_EFFECT),
    no_effect("PG_PORT", "5432, unused", NO_EFFECT),
    no_effect("PG_DB", "babelbit, unused", NO_EFFECT),
    no_effect("PG_USER", "babelbit, unused", NO_EFFECT),
    no_effect("PG_PASSWORD", "babelbit, unused", NO_EFFECT),
    default_only("CHUTE_MAX_NEW_TOKENS", "24", "64 for bb miner"),
    default_only("CHUTE_FALLBACK_COMPLETION", "...", "none for bb miner"),
    no_effect("CHUTE_TEMPERATURE", "0.7", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    no_effect("CHUTE_TOP_P", "0.95", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    no_effect("CHUTE_TOP_K", "50", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    no_effect("CHUTE_DO_SAMPLE", "1", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    no_effect("EMBEDDER_NAME", "mixedbread-ai/mxbai-embed-large-v1", "no effect; BB_AUDIO_SCORING_EMBEDDER selects the embedder of both contests"),
    default_only("EMBED_DIM", "64", "all dimensions unless set"),
    no_effect("EMBED_BATCH_SIZE", "32", "no effect; sentences are embedded one at a time"),
    no_effect("BB_SCORER_DEVICE", "cpu", "no effect; the embedder runs on the processor"),
    no_effect("BB_SCORE_PARALLELISM", "4, unused in the speech contest", NO_EFFECT),
    no_effect("BB_SCORE_IO_PARALLELISM", "4, unused in the speech contest", NO_EFFECT),
    no_effect("BB_SCORE_TORCH_THREADS", "0, unused in the speech contest", NO_EFFECT),
    meaning("BB_STEP_BLOCK_MODULO", "0, unused in the speech contest", "0; for rounds of the text contest", "remove it, unless the runner plays the text contest"),
    meaning("BB_ARENA_STARTUP_TIMEOUT_SEC", "300, unused in the speech contest", "300; for rounds of the text contest", "remove it, unless the runner plays the text contest"),
    meaning("BB_ARENA_STARTUP_REQUEST_TIMEOUT_SEC", "60, unused in the speech contest", "60; for rounds of the text contest", "remove it, unless the runner plays the text contest"),
    no_effect("BB_TRACE_MINER_CALLS", "1, unused in the speech contest", NO_EFFECT),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use taonet_settings::file_variables;

    use super::*;

    /// The names and defaults of the reference's variables; the file says its source.
    const REFERENCE: &str = include_str!("reference/variables.env");

    fn defaults() -> Config {
        Config::from_variables([], Some(Path::new("HOME"))).unwrap().0
    }

    /// Returns a default of the reference as `bb config show` prints it, with the home directory
    /// `HOME`.
    fn normalized(name: &str, default: &str) -> String {
        let text = match default {
            "true" => "1",
            "false" => "0",
            text => text,
        };
        match name {
            // Unset has the reference's meaning, and is printed as an empty value.
            "BITTENSOR_WALLET_PATH" | "MINER_DEVICE" => String::new(),
            _ => text.strip_suffix(".0").unwrap_or(text).replace('~', "HOME"),
        }
    }

    #[test]
    fn every_reference_variable_has_same_default_or_is_difference() {
        let reference = file_variables(REFERENCE).unwrap();
        assert_eq!(reference.len(), 149);
        let difference_names: BTreeSet<_> = differences().iter().map(|row| row.name).collect();
        assert_eq!(difference_names.len(), differences().len(), "a variable has two rows");
        let unknown: Vec<_> =
            difference_names.iter().filter(|name| !reference.contains_key(**name)).collect();
        assert!(unknown.is_empty(), "the reference has no variables {unknown:?}");

        let config = defaults();
        let settings = variables().iter().filter(|variable| variable.apply.is_some());
        let our_defaults: BTreeMap<_, _> =
            settings.map(|variable| (variable.name, (variable.show)(&config))).collect();
        for (name, default) in
            reference.iter().filter(|(name, _)| !difference_names.contains(name.as_str()))
        {
            let expected = normalized(name, default);
            assert_eq!(
                our_defaults.get(name.as_str()),
                Some(&expected),
                "{name}: neither the same default nor a difference"
            );
        }
    }

    #[test]
    fn each_variable_without_effect_is_listed_as_a_difference() {
        for variable in variables().iter().filter(|variable| variable.apply.is_none()) {
            let row = differences().iter().find(|row| row.name == variable.name);
            let kind = row.map(|row| row.kind);
            assert_eq!(kind, Some(DifferenceKind::NoEffect), "{}", variable.name);
        }
        for row in differences() {
            assert!(!row.reference.is_empty() && !row.here.is_empty(), "{row:?}");
            assert_eq!(row.remedy.is_empty(), row.kind == DifferenceKind::DefaultOnly, "{row:?}");
            let is_setting = variables()
                .iter()
                .any(|variable| variable.name == row.name && variable.apply.is_some());
            assert_eq!(row.kind == DifferenceKind::NoEffect, !is_setting, "{row:?}");
            assert_eq!(row.here.starts_with("no effect"), !is_setting, "{row:?}");
        }
    }

    #[test]
    fn difference_is_reported_only_for_values_with_another_effect() {
        for (name, value, is_local, expected) in [
            ("BABELBIT_METRICS_ADDR", Some("0.0.0.0"), false, false),
            ("SIGNER_HOST", Some("0.0.0.0"), false, false),
            ("BITTENSOR_SUBTENSOR_ENDPOINT", Some("finney"), false, false),
            ("BB_ENABLE_VALIDATION_SUBMISSIONS", Some("1"), false, false),
            ("BB_ENABLE_VALIDATION_SUBMISSIONS", Some("1"), true, true),
            ("BB_ARENA_GATEWAY_URL", Some("https://gw.example"), false, false),
            ("BB_ARENA_GATEWAY_URL", Some(" "), false, true),
            ("BB_ARENA_GATEWAY_URL", None, false, false),
            ("BB_DEV_MODE", Some("0"), false, false),
            ("BB_DEV_MODE", Some("false"), false, false),
            ("BB_DEV_MODE", Some("1"), false, true),
            ("BB_SUBMIT_TIMEOUT_S", Some("30"), false, false),
            ("BB_SUBMIT_TIMEOUT_S", Some("60"), false, true),
            ("PG_HOST", Some("db"), false, true),
            ("PG_HOST", Some(""), false, false),
        ] {
            let row = differences().iter().find(|row| row.name == name).unwrap();
            let network = is_local.then_some(("BT_NETWORK".into(), "local".into()));
            let variable = value.map(|value| (name.into(), value.into()));
            let (config, _) =
                Config::from_variables(network.into_iter().chain(variable), None).unwrap();
            assert_eq!(row.matters(value, &config), expected, "{name}={value:?}");
        }
    }
}
