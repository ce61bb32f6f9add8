//! The variables of the reference's env.example and code that this program reads differently.

use super::variables;

/// A variable of the reference system that has another meaning, default or range here, or no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The variable's name.
    pub name: &'static str,
    /// What the reference does with the variable: its default, or what the value means.
    pub reference: &'static str,
    /// What this program does with it.
    pub here: &'static str,
}

impl Difference {
    /// Whether the variable has no effect here.
    pub fn is_without_effect(&self) -> bool {
        variables().iter().find(|known| known.name == self.name).is_none_or(|known| known.apply.is_none())
    }
}

const fn row(name: &'static str, reference: &'static str, here: &'static str) -> Difference {
    Difference { name, reference, here }
}

/// Returns every variable of the reference's env.example that is read differently, in the order of that file's
/// sections. All others have the same meaning and the same default.
pub const fn differences() -> &'static [Difference] {
    DIFFERENCES
}

const ALSO_UNUSED: &str = "no effect, as in the reference";

#[rustfmt::skip]
static DIFFERENCES: &[Difference] = &[
    row("BITTENSOR_NETWORK", "unused", "no effect; BITTENSOR_SUBTENSOR_ENDPOINT or BT_NETWORK selects the network"),
    row("BITTENSOR_SUBTENSOR_ENDPOINT", "finney", "BT_CHAIN_ENDPOINT and BT_NETWORK take precedence; a list of nodes is allowed"),
    row("BITTENSOR_SUBTENSOR_FALLBACK", "wss://lite.sub.latent.to:443 on every network", "that node on finney only; on the network `local`, none"),
    row("BABELBIT_TEMPO", "100, whatever is set", "no effect; bb validate --tempo changes it"),
    row("BABELBIT_TAIL", "28800, only logged", ALSO_UNUSED),
    row("BABELBIT_ALPHA", "0.2, only logged", ALSO_UNUSED),
    row("BABELBIT_M_MIN", "25, only logged", ALSO_UNUSED),
    row("BABELBIT_MAX_SUBTENSOR_RETRIES", "5", "no effect; a round that fails is retried at most 20 times within its epoch"),
    row("BABELBIT_VERSION", "0.1.0, logged at startup", "no effect; `bb --version` prints the version"),
    row("BABELBIT_MAX_CONCURRENT_API_CALLS", "1, unused", ALSO_UNUSED),
    row("BABELBIT_METRICS_ADDR", "0.0.0.0", "127.0.0.1 unless set"),
    row("BB_UTTERANCE_ENGINE_URL", "http://localhost:8000 for a single run and bb validate", "https://api.babelbit.ai for all commands"),
    row("BB_SUBMIT_API_URL", "https://scoring.babelbit.ai", "the same; on the network `local`, this machine"),
    row("BB_ENABLE_VALIDATION_SUBMISSIONS", "1", "1; on the network `local`, only if BB_SUBMIT_API_URL is set"),
    row("BB_SUBMIT_TIMEOUT_S", "30 for every submission", "30, and the transfer time of a file at 256 KiB/s"),
    row("BB_DEV_MODE", "rewrites addresses of this machine", "also permits loopback and private addresses, which are refused without it"),
    row("BB_LOCAL_MINER_IP", "replaced by host.docker.internal", "replaced by 127.0.0.1 outside containers"),
    row("BB_AUDIO_SCORING_STT_MODEL", "faster-whisper-small", "the same; on the network `local`, tiny-ctc"),
    row("BB_AUDIO_SCORING_STT_DEVICE", "cpu", "no effect; the recogniser runs on the processor"),
    row("BB_ARENA_GATEWAY_URL", "https://gw.babelbit.ai/; blank means BB_SUBMIT_API_URL", "blank means the default; on the network `local`, this machine"),
    row("BB_ARENA_INIT_KEEPALIVE_ENABLED", "1", "no effect; miners run independently, without a grace period"),
    row("BB_ARENA_INIT_KEEPALIVE_INTERVAL_SEC", "30", "no effect; miners run independently, without a grace period"),
    row("BB_ARENA_STARTUP_CHUNK_TIMEOUT_SEC", "60, never read", ALSO_UNUSED),
    row("BB_ARENA_STARTUP_CHUNK_COUNT", "4, never read", ALSO_UNUSED),
    row("BB_SET_WEIGHTS_RETRIES", "20", "SIGNER_RETRIES unless set"),
    row("BB_SET_WEIGHTS_RETRY_DELAY", "2", "SIGNER_RETRY_DELAY unless set"),
    row("SIGNER_URL", "http://signer:8080", "the same; on the network `local`, this machine"),
    row("SIGNER_HOST", "any address, for every caller", "beyond loopback, callers need the token in BB_API_TOKEN_FILE"),
    row("SIGNER_SEED", "unused", ALSO_UNUSED),
    row("SUBTENSOR_GATEWAY_URL", "http://subtensor-gateway:8090", "the same; on the network `local`, this machine"),
    row("SUBTENSOR_GATEWAY_HOST", "0.0.0.0", "127.0.0.1 unless set; beyond loopback, callers need the token in BB_API_TOKEN_FILE"),
    row("BB_ENABLE_S3_UPLOADS", "without S3_BUCKET_NAME, disables uploads", "without S3_BUCKET_NAME, an error at startup"),
    row("S3_SUBMISSIONS_DIR", "challenges, unused", ALSO_UNUSED),
    row("S3_SIGNATURE_VERSION", "any", "s3v4 only"),
    row("HUGGINGFACE_CONCURRENCY", "2", "no effect; files are uploaded one after another"),
    row("HF_HUB_ENABLE_HF_TRANSFER", "selects a downloader", "no effect; downloads resume and are verified"),
    row("MINER_MODEL_ID", "babelbit-ai/base-miner", "no default; a directory or a GGUF file is allowed"),
    row("MINER_AXON_PORT", "8092 on all interfaces", "8092 on loopback unless set; if set, on all interfaces"),
    row("MINER_EXTERNAL_IP", "published if set", "`auto`, the default, queries public services"),
    row("MINER_DEV_MODE", "on all networks", "on the network `local` only"),
    row("PG_HOST", "db, unused", ALSO_UNUSED),
    row("PG_PORT", "5432, unused", ALSO_UNUSED),
    row("PG_DB", "babelbit, unused", ALSO_UNUSED),
    row("PG_USER", "babelbit, unused", ALSO_UNUSED),
    row("PG_PASSWORD", "babelbit, unused", ALSO_UNUSED),
    row("CHUTE_MAX_NEW_TOKENS", "24", "64 for bb miner"),
    row("CHUTE_FALLBACK_COMPLETION", "...", "none for bb miner"),
    row("CHUTE_TEMPERATURE", "0.7", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    row("CHUTE_TOP_P", "0.95", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    row("CHUTE_TOP_K", "50", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    row("CHUTE_DO_SAMPLE", "1", "no effect; bb miner predicts the likeliest words, the script of a chute samples"),
    row("EMBEDDER_NAME", "mixedbread-ai/mxbai-embed-large-v1", "no effect; BB_AUDIO_SCORING_EMBEDDER selects the embedder of both contests"),
    row("EMBED_DIM", "64", "all dimensions unless set"),
    row("EMBED_BATCH_SIZE", "32", "no effect; sentences are embedded one at a time"),
    row("BB_SCORER_DEVICE", "cpu", "no effect; the embedder runs on the processor"),
    row("BB_SCORE_PARALLELISM", "4, unused in the speech contest", ALSO_UNUSED),
    row("BB_SCORE_IO_PARALLELISM", "4, unused in the speech contest", ALSO_UNUSED),
    row("BB_SCORE_TORCH_THREADS", "0, unused in the speech contest", ALSO_UNUSED),
    row("BB_STEP_BLOCK_MODULO", "0, unused in the speech contest", "0; for rounds of the text contest"),
    row("BB_ARENA_STARTUP_TIMEOUT_SEC", "300, unused in the speech contest", "300; for rounds of the text contest"),
    row("BB_ARENA_STARTUP_REQUEST_TIMEOUT_SEC", "60, unused in the speech contest", "60; for rounds of the text contest"),
    row("BB_TRACE_MINER_CALLS", "1, unused in the speech contest", ALSO_UNUSED),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::Config;

    /// The reference's variables that are read as there, each with its default.
    #[rustfmt::skip]
    const SAME: &[(&str, &str)] = &[
        ("BITTENSOR_WALLET_COLD", "default"), ("BITTENSOR_WALLET_HOT", "default"), ("BITTENSOR_WALLET_PATH", ""),
        ("BABELBIT_NETUID", "59"), ("BABELBIT_RUNNER_TEMPO", "2160"), ("BABELBIT_CACHE_DIR", "HOME/.babelbit"),
        ("BABELBIT_API_TIMEOUT_S", "10"), ("BABELBIT_METRICS_PORT", "8010"),
        ("BB_RUNNER_ON_STARTUP", "0"), ("BB_ENABLE_SOLO_CHALLENGE", "1"), ("BB_MAX_MINERS_PER_RUN", "256"),
        ("BB_CHALLENGE_STATUS_DIR", "data/challenge_status"), ("BB_OUTPUT_LOGS_DIR", "logs"),
        ("BB_OUTPUT_SCORES_DIR", "scores"), ("BB_MINER_PREDICT_ENDPOINT", "v1/predict"), ("BB_MINER_TIMEOUT_SEC", "10"),
        ("BB_S2S_INIT_TIMEOUT_SEC", "600"), ("BB_S2S_CHUNK_TIMEOUT_SEC", "3"), ("BB_S2S_DRAIN_TIMEOUT_SEC", "10"),
        ("BB_S2S_FINAL_DRAIN_MIN_TIMEOUT_SEC", "5"), ("BB_S2S_DRAIN_MAX_REQUESTS", "8"),
        ("BB_AUDIO_SCORING_METADATA_ROOT", "HOME/.babelbit/audio_scoring/metadata"),
        ("BB_AUDIO_SCORING_STT_CACHE_PATH", "HOME/.babelbit/audio_scoring/stt_cache.jsonl"),
        ("BB_AUDIO_SCORING_EMBEDDER", "all-MiniLM-L6-v2"), ("BB_AUDIO_SCORING_ACCURACY_THRESHOLD", "0.65"),
        ("BB_AUDIO_SCORING_RATE_LOWER", "0.3"), ("BB_AUDIO_SCORING_RATE_UPPER", "1.3"),
        ("BB_AUDIO_SCORING_LATENCY_OVERSHOOT_FRACTION", "0.3"), ("BB_AUDIO_SCORING_LATENCY_MIN_OVERSHOOT_SEC", "2"),
        ("BB_AUDIO_SCORING_LATENCY_MAX_OVERSHOOT_SEC", "10"), ("BB_AUDIO_SCORING_LATENCY_POWER", "2"),
        ("BB_AUDIO_SCORING_DUPLICATION_SIMILARITY_THRESHOLD", "0.88"), ("BB_AUDIO_SCORING_DUPLICATION_GAMMA", "0.5"),
        ("BB_AUDIO_SCORING_DUPLICATION_MIN_SCORE_FOR_PRESSURE", "0"),
        ("BB_AUDIO_SCORING_DUPLICATION_SCORE_EPSILON", "0.02"),
        ("BB_ENABLE_ARENA_CHALLENGE", "0"), ("BB_ARENA_RUN_ON_STARTUP", "0"), ("BB_ARENA_CADENCE_BLOCKS", "300"),
        ("BB_ARENA_CONTAINERS_API_PATH", "/list_arena_miners"), ("BB_ARENA_CONTAINERS_STATUS", "running"),
        ("BB_ARENA_CONTAINERS_WINDOW_SECONDS", "86000"), ("BB_ARENA_CONTAINERS_TIMEOUT_SEC", "10"),
        ("BB_ARENA_ROUTE_READY_TIMEOUT_SEC", "300"), ("BB_ARENA_ROUTE_READY_POLL_SEC", "10"),
        ("BB_ARENA_RUNSYNC_API_PATH", "/runsync"), ("BB_ARENA_GATEWAY_AUTH_API_PATH", "/auth/token"),
        ("BB_ARENA_GATEWAY_TIMEOUT_SEC", "300"), ("BB_ARENA_GATEWAY_RETRY_BASE_DELAY_SEC", "2"), ("BB_ARENA_GATEWAY_RETRY_MAX_DELAY_SEC", "10"),
        ("BB_ARENA_INIT_BARRIER_TIMEOUT_SEC", "600"), ("BB_ARENA_STARTUP_UTTERANCE_COUNT", "3"),
        ("BB_ARENA_MAX_CONSECUTIVE_UTTERANCE_FAILURES", "2"), ("BB_ARENA_MINER_TIMEOUT_SEC", "10"),
        ("BB_ARENA_INCENTIVE_PERCENT", "90"), ("RUNPOD_API_KEY", ""), ("POD_HEALTH_PATH", "/healthz"),
        ("POD_WAKE_TIMEOUT_SECONDS", "90"), ("POD_WAKE_POLL_INTERVAL_SECONDS", "2"),
        ("BB_MAX_SKIPPED_WEIGHT_EPOCHS", "12"), ("BB_DEFAULT_FALLBACK_UID", "248"),
        ("SIGNER_PORT", "8080"), ("SIGNER_RETRIES", "20"), ("SIGNER_RETRY_DELAY", "2"),
        ("SUBTENSOR_GATEWAY_PORT", "8090"), ("SUBTENSOR_GATEWAY_TIMEOUT_S", "300"),
        ("S3_ENDPOINT_URL", ""), ("S3_REGION", "us-east-1"), ("S3_ACCESS_KEY_ID", ""), ("S3_SECRET_ACCESS_KEY", ""),
        ("S3_BUCKET_NAME", ""), ("S3_LOG_DIR", "logs"), ("S3_ADDRESSING_STYLE", "path"), ("S3_USE_SSL", "1"),
        ("HUGGINGFACE_USERNAME", ""), ("HUGGINGFACE_API_KEY", ""), ("MINER_MODEL_REVISION", ""),
        ("MINER_DEVICE", ""), ("MINER_LOAD_IN_8BIT", "0"), ("MINER_LOAD_IN_4BIT", "0"),
        ("CHUTES_API_KEY", ""), ("CHUTES_USERNAME", ""), ("CHUTES_MINER_PREDICT_ENDPOINT", "predict"),
        ("CHUTES_MINER_BASE_URL_TEMPLATE", "https://{slug}.chutes.ai"), ("CHUTES_API_N_RETRIES", "0"),
        ("CHUTES_TIMEOUT_SEC", "10"), ("BASELINE_PAIRS", "100"), ("BASELINE_SEED", "0"),
    ];

    fn defaults() -> BTreeMap<&'static str, String> {
        let (config, _) = Config::from_variables([], Some(Path::new("HOME"))).unwrap();
        let known = variables().iter().filter(|variable| variable.apply.is_some());
        known.map(|variable| (variable.name, (variable.show)(&config))).collect()
    }

    #[test]
    fn variables_without_difference_have_reference_defaults() {
        let (defaults, different) = (defaults(), differences().iter().map(|row| row.name).collect::<BTreeSet<_>>());
        for (name, default) in SAME {
            assert!(!different.contains(name), "{name}");
            assert_eq!(defaults.get(name).map(String::as_str), Some(*default), "{name}");
        }
    }

    #[test]
    fn every_variable_without_effect_is_a_difference() {
        let rows: BTreeMap<_, _> = differences().iter().map(|row| (row.name, row)).collect();
        assert_eq!(rows.len(), differences().len(), "a variable has two rows");
        for variable in variables().iter().filter(|variable| variable.apply.is_none()) {
            assert!(rows.contains_key(variable.name), "{} has no effect, and no row", variable.name);
        }
        for row in differences() {
            assert!(!row.reference.is_empty() && !row.here.is_empty(), "{row:?}");
            assert_eq!(row.is_without_effect(), row.here.starts_with("no effect"), "{row:?}");
        }
    }
}
