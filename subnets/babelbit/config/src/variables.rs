use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use taonet_babelbit_core::weights::ArenaShare;
use taonet_neuron::OperatorConfig;
use taonet_primitives::{NetUid, Uid};
use taonet_settings::value::{
    Expected, address, any, flag, http_url, integer, number, seconds, secret,
};
use taonet_settings::{DisplayValue, Variable, replaced, unused, variable};

use super::{Config, DEFAULT_MAX_SKIPPED_EPOCHS, submission};

/// Parses a number of attempts, in the range accepted by signer and gateway.
fn attempts(text: &str) -> Result<u32, Expected> {
    text.parse().ok().filter(|count| *count <= 1_000).ok_or("an integer from 0 to 1000")
}

/// Parses a delay between attempts, in the range accepted by signer and gateway.
fn retry_delay(text: &str) -> Result<Duration, Expected> {
    seconds(text)
        .ok()
        .filter(|delay| *delay <= Duration::from_mins(10))
        .ok_or("a number of seconds from 0 to 600")
}

/// Parses the device of a language model.
fn device(text: &str) -> Result<String, Expected> {
    if ["cpu", "cuda", "mps"].contains(&text) {
        Ok(text.to_owned())
    } else {
        Err("cpu, cuda or mps")
    }
}

/// Parses an external IP address; `auto` detects it.
fn external_ip(text: &str) -> Result<Option<IpAddr>, Expected> {
    if text == "auto" {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|_| "an IP address or auto")
    }
}

/// Parses the maximum number of tokens of a completion.
fn tokens(text: &str) -> Result<NonZeroU32, Expected> {
    text.parse()
        .ok()
        .filter(|count: &NonZeroU32| count.get() <= 512)
        .ok_or("an integer from 1 to 512")
}

/// Parses a number of pairs of texts.
fn pairs(text: &str) -> Result<NonZeroU32, Expected> {
    text.parse()
        .ok()
        .filter(|count: &NonZeroU32| count.get() <= 10_000)
        .ok_or("an integer from 1 to 10000")
}

/// Parses a number of retries of one call.
fn retries(text: &str) -> Result<u32, Expected> {
    text.parse().ok().filter(|count| *count <= 10).ok_or("an integer from 0 to 10")
}

/// Parses a number of blocks.
fn blocks(text: &str) -> Result<u32, Expected> {
    text.parse().ok().filter(|blocks| *blocks > 0).ok_or("a number of blocks, at least 1")
}

/// Returns the table of all known variables: those of every operator, then Babelbit's own.
pub fn variables() -> &'static [Variable<Config>] {
    static VARIABLES: LazyLock<Vec<Variable<Config>>> = LazyLock::new(|| {
        OperatorConfig::variables().into_iter().chain(babelbit_variables()).collect()
    });
    &VARIABLES
}

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn babelbit_variables() -> Vec<Variable<Config>> {
    vec![
        variable!("BABELBIT_NETUID", "Netuid of the subnet", netuid = |t: &str| integer(t).map(NetUid)),
        Variable {
            name: "BB_RULES",
            help: "Scoring rules: reference (compatible), or strict to correct the reference's errors",
            apply: Some(|config, text| {
                config.rules = text.parse().map_err(|_| "reference or strict")?;
                Ok(())
            }),
            show: |config| config.rules.to_string(),
        },
        variable!("BB_UTTERANCE_ENGINE_URL", "URL of the utterance engine", engine_url = http_url),
        variable!("BABELBIT_API_TIMEOUT_S", "Timeout of a call to the engine, in seconds", api_timeout = seconds),
        variable!("BB_OUTPUT_LOGS_DIR", "Directory of run logs and audio", logs_dir = any),
        variable!("BB_OUTPUT_SCORES_DIR", "Directory of challenge runs and scores", scores_dir = any),
        variable!("BB_CHALLENGE_STATUS_DIR", "Directory of challenge status files", status_dir = any),
        variable!("BB_MAX_MINERS_PER_RUN", "Maximum number of miners in a run", max_miners = integer),
        variable!("BB_MINER_PREDICT_ENDPOINT", "Path of the miners' predict route", predict_endpoint = any),
        variable!("BB_MINER_TIMEOUT_SEC", "Timeout of a call to a miner, in seconds", play.miner_timeout = seconds),
        Variable {
            name: "BB_MINER_TASK",
            help: "What bb miner says: transcribe (the words), or translate (Whisper's English translation)",
            apply: Some(|config, text| {
                config.miner_task = text.parse().map_err(|_| "transcribe or translate")?;
                Ok(())
            }),
            show: |config| config.miner_task.to_string(),
        },
        variable!("BB_MINER_LM", "Language model that shortens the phrases of a speech miner: a directory, a GGUF file, the name of an installed model, or hub:OWNER/NAME; default: none", phrase_model = |t: &str| any(t).map(Some)),
        variable!("BB_MINER_BACKEND_API_KEY", "API key for the server of bb miner --backend-url", model_keys.backend = secret),
        variable!("BB_MINER_STT_API_KEY", "API key for the server of bb miner --stt-url", model_keys.stt = secret),
        variable!("BB_MINER_LLM_API_KEY", "API key for the server of bb miner --llm-url", model_keys.llm = secret),
        variable!("BB_MINER_TTS_API_KEY", "API key for the server of bb miner --tts-url", model_keys.tts = secret),
        variable!("MINER_MODEL_ID", "Language model of a text miner: a directory, a GGUF file, or its name on the Hugging Face hub", language_model.path = |t: &str| any(t).map(Some)),
        variable!("MINER_MODEL_REVISION", "Revision of a text miner's language model on the hub; default: main", language_model.revision = |t: &str| any(t).map(Some)),
        variable!("HF_TOKEN", "Access token of the Hugging Face hub, for gated language models of a text miner; default: HUGGINGFACE_API_KEY", model_keys.hub = secret),
        variable!("MINER_DEVICE", "Device of a text miner's language model: cpu, cuda or mps; default: cpu", language_model.device = |t: &str| device(t).map(Some)),
        variable!("MINER_LOAD_IN_8BIT", "Quantise a text miner's language model to 8 bits", language_model.in_8_bits = flag),
        variable!("MINER_LOAD_IN_4BIT", "Quantise a text miner's language model to 4 bits", language_model.in_4_bits = flag),
        variable!("MINER_AXON_PORT", "Port of a miner: bb miner listens on it on all interfaces, and bb register-axon publishes it; default: 8092, on loopback only", axon_port = |t: &str| integer(t).map(Some)),
        variable!("MINER_EXTERNAL_IP", "External IP address that bb register-axon publishes; default: auto, which queries public services", external_ip = external_ip),
        variable!("CHUTE_MAX_NEW_TOKENS", "Maximum number of tokens that a text miner's language model or completion server adds; default: 64", language_model.max_new_tokens = |t: &str| tokens(t).map(Some)),
        variable!("CHUTE_FALLBACK_COMPLETION", "Text that a text miner adds to words that its language model or completion server does not continue; default: none", language_model.fallback_completion = |t: &str| any(t).map(Some)),
        variable!("MINER_DEV_MODE", "Answer unsigned requests to a text miner; local networks only", unsigned_requests = flag),
        variable!("BB_S2S_INIT_TIMEOUT_SEC", "Timeout for opening the first session of a challenge, in seconds", play.init_timeout = seconds),
        variable!("BB_S2S_CHUNK_TIMEOUT_SEC", "Timeout of the response to a frame, in seconds", play.chunk_timeout = seconds),
        variable!("BB_S2S_DRAIN_TIMEOUT_SEC", "Timeout for draining a reply, in seconds", play.drain_timeout = seconds),
        variable!("BB_S2S_FINAL_DRAIN_MIN_TIMEOUT_SEC", "Minimum time for draining a reply, in seconds", play.final_drain_min = seconds),
        variable!("BB_S2S_DRAIN_MAX_REQUESTS", "Maximum number of empty requests to drain a reply", play.drain_max_requests = integer),
        variable!("BB_DEV_MODE", "Development mode: allow miners on loopback and private addresses", dev_mode = flag),
        variable!("BB_LOCAL_MINER_IP", "Additional address that maps to this machine in development mode", local_miner_ip = |t: &str| any(t).map(Some)),
        variable!("BB_AUDIO_SCORING_METADATA_ROOT", "Directory of reference documents", metadata_root = any),
        variable!("BB_AUDIO_SCORING_STT_MODEL",
            "Speech recognition model; default: tiny-ctc (a test double) on local networks, otherwise faster-whisper-small", recognizer = |t: &str| any(t).map(Some)),
        variable!("BB_AUDIO_SCORING_STT_CACHE_PATH", "File of the transcript cache", transcript_cache = any),
        variable!("BB_AUDIO_SCORING_EMBEDDER", "Sentence embedding model", embedder = any),
        variable!("EMBED_DIM", "Number of leading dimensions of the text contest's sentence vectors; default: all", text_vectors.dimensions = |t: &str| integer(t).map(Some)),
        variable!("BASELINE_PAIRS", "Number of pairs of utterances whose mean similarity calibrates the text contest's scores", text_vectors.pairs = pairs),
        variable!("BASELINE_SEED", "Seed of the pairs of BASELINE_PAIRS", text_vectors.seed = integer),
        variable!("BB_AUDIO_SCORING_ACCURACY_THRESHOLD", "Minimum accuracy of a reply to pass", scoring.accuracy_threshold = number),
        variable!("BB_AUDIO_SCORING_RATE_LOWER", "Minimum ratio of the reply's speaking rate to the reference's", scoring.rate_lower = number),
        variable!("BB_AUDIO_SCORING_RATE_UPPER", "Maximum ratio of the reply's speaking rate to the reference's", scoring.rate_upper = number),
        variable!("BB_AUDIO_SCORING_LATENCY_OVERSHOOT_FRACTION",
            "Overshoot at which the latency score is 0, as a fraction of the source's duration", scoring.latency_overshoot_fraction = number),
        variable!("BB_AUDIO_SCORING_LATENCY_MIN_OVERSHOOT_SEC", "Lower bound of the overshoot at which the latency score is 0, in seconds", scoring.latency_min_overshoot_sec = number),
        variable!("BB_AUDIO_SCORING_LATENCY_MAX_OVERSHOOT_SEC", "Upper bound of the overshoot at which the latency score is 0, in seconds", scoring.latency_max_overshoot_sec = number),
        variable!("BB_AUDIO_SCORING_LATENCY_POWER", "Exponent of the latency score", scoring.latency_power = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_SIMILARITY_THRESHOLD",
            "Cosine similarity above which replies count as duplicates", scoring.duplication_similarity_threshold = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_GAMMA", "Exponent of the duplication penalty", scoring.duplication_gamma = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_MIN_SCORE_FOR_PRESSURE",
            "Minimum score of a reply that penalises its duplicates", scoring.duplication_min_score_for_pressure = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_SCORE_EPSILON",
            "Score margin over its duplicates that exempts a reply from the duplication penalty", scoring.duplication_score_epsilon = number),
        variable!("BB_MODELS_DIR", "Directory that is searched first for models", models_dir = |t: &str| any(t).map(Some)),
        Variable {
            name: "BB_ARENA_INCENTIVE_PERCENT",
            help: "Share of the weights that the arena receives, in percent",
            apply: Some(|config, text| {
                config.arena_share = ArenaShare::from_setting(Some(text));
                Ok(())
            }),
            show: |config| (config.arena_share.get() * 100.0).to_string(),
        },
        variable!("BB_DEFAULT_FALLBACK_UID", "Uid that receives unearned weight", burn_uid = |t: &str| Ok::<_, Expected>(Uid(t.parse().unwrap_or(248)))),
        // Also read before all other variables, since default paths depend on it.
variable!("BABELBIT_CACHE_DIR", "Directory of caches", cache_dir = any),
        variable!("BITTENSOR_SUBTENSOR_FALLBACK",
            "Fallback node of the subtensor gateway, used when the nodes of the network fail", services.fallback_node = |t: &str| any(t).map(Some)),
        variable!("BB_SUBMIT_API_URL",
            "URL of the scoring API; default: this machine on local networks, otherwise https://scoring.babelbit.ai", submit_api_url = |t: &str| http_url(t).map(Some)),
        Variable {
            name: "BB_ENABLE_VALIDATION_SUBMISSIONS",
            help: "Submit results to the scoring API; default on local networks: only if BB_SUBMIT_API_URL is set",
            apply: Some(|config, text| {
                config.submission.enabled = Some(flag(text)?);
                Ok(())
            }),
            show: |config| config.submits().display_value(),
        },
        variable!("BB_SUBMIT_TIMEOUT_S", "Timeout of a submission, in seconds", submission.timeout = seconds),
        variable!("BB_SUBMIT_CONCURRENCY", "Maximum number of concurrent submissions", submission.concurrency = submission::concurrency),
        variable!("BB_ENABLE_S3_UPLOADS", "Upload result files to the S3 bucket before they are submitted", operator.s3.enabled = flag),
        variable!("SIGNER_URL",
            "URL of the signer; default: this machine on local networks, otherwise http://signer:8080", services.signer_url = |t: &str| http_url(t).map(Some)),
        variable!("SIGNER_HOST", "Address that the signer listens on", services.signer_host = address),
        variable!("SIGNER_PORT", "Port that the signer listens on", services.signer_port = integer),
        variable!("SIGNER_RETRIES", "Maximum number of the gateway's attempts to confirm weights that the signer submits", services.signer_retries = attempts),
        variable!("SIGNER_RETRY_DELAY", "Delay between the gateway's attempts to confirm weights that the signer submits, in seconds", services.signer_retry_delay = retry_delay),
        variable!("BB_SET_WEIGHTS_RETRIES",
            "Maximum number of the gateway's attempts to confirm weights that the validator submits without the signer; default: SIGNER_RETRIES", services.set_weights_retries = |t: &str| attempts(t).map(Some)),
        variable!("BB_SET_WEIGHTS_RETRY_DELAY",
            "Delay between the gateway's attempts to confirm weights that the validator submits without the signer, in seconds; default: SIGNER_RETRY_DELAY", services.set_weights_retry_delay = |t: &str| retry_delay(t).map(Some)),
        variable!("SUBTENSOR_GATEWAY_URL",
            "URL of the subtensor gateway; default: this machine on local networks, otherwise \
             http://subtensor-gateway:8090", services.gateway_url = |t: &str| http_url(t).map(Some)),
        variable!("SUBTENSOR_GATEWAY_HOST", "Address that the subtensor gateway listens on", services.gateway_host = address),
        variable!("SUBTENSOR_GATEWAY_PORT", "Port that the subtensor gateway listens on", services.gateway_port = integer),
        variable!("SUBTENSOR_GATEWAY_TIMEOUT_S", "Timeout of a call to the subtensor gateway, in seconds", services.gateway_timeout = seconds),
        variable!("BB_API_TOKEN_FILE", "File with the access token of signer and subtensor gateway", services.token_file = |t: &str| any(t).map(Some)),
        variable!("BB_MAX_SKIPPED_WEIGHT_EPOCHS",
            "Consecutive epochs without scores after which all weight goes to BB_DEFAULT_FALLBACK_UID", services.max_skipped_epochs = |t: &str| Ok::<_, Expected>(t.parse().unwrap_or(DEFAULT_MAX_SKIPPED_EPOCHS))),
        variable!("BABELBIT_METRICS_ADDR", "Address that bb validate and bb runner serve metrics on", services.metrics_addr = address),
        variable!("BABELBIT_METRICS_PORT", "Port that bb validate serves metrics on", services.metrics_port = integer),
        variable!("BABELBIT_RUNNER_TEMPO", "Blocks between two main rounds", rounds.tempo = blocks),
        variable!("BB_RUNNER_ON_STARTUP", "Play a main round when bb runner starts", rounds.on_startup = flag),
        variable!("BB_ENABLE_SOLO_CHALLENGE", "Play a solo round after each main round", rounds.solo = flag),
        variable!("BB_STEP_BLOCK_MODULO",
            "Blocks per step of a text round, each of which begins and ends at a multiple of this number; 0 disables this", rounds.step_blocks = integer),
        variable!("BB_ENABLE_ARENA_CHALLENGE", "Play arena rounds", rounds.arena.enabled = flag),
        variable!("BB_ARENA_RUN_ON_STARTUP", "Play an arena round when bb runner starts", rounds.arena.on_startup = flag),
        variable!("BB_ARENA_CADENCE_BLOCKS", "Blocks between two arena rounds", rounds.arena.cadence = |t: &str| integer(t).map(|blocks: u32| blocks.max(1))),
        variable!("BB_ARENA_STARTUP_UTTERANCE_COUNT",
            "Number of utterances at the start of an arena challenge with a longer timeout for opening sessions", rounds.arena.startup_utterances = integer),
        variable!("BB_ARENA_STARTUP_TIMEOUT_SEC",
            "Time for all arena miners of a text round to become healthy, and time of each for its first prediction, in seconds; 0 disables both", rounds.arena.startup_timeout = seconds),
        variable!("BB_ARENA_STARTUP_REQUEST_TIMEOUT_SEC",
            "Timeout of one attempt at an arena miner's first prediction in a text round, in seconds", rounds.arena.startup_request_timeout = seconds),
        variable!("BB_ARENA_MAX_CONSECUTIVE_UTTERANCE_FAILURES",
            "Number of consecutive failed utterances after which an arena miner is dropped; 0 disables this", rounds.arena.drop_after_failures = integer),
        variable!("BB_ARENA_MINER_TIMEOUT_SEC", "Timeout of a call to an arena miner, in seconds", rounds.arena.miner_timeout = seconds),
        variable!("BB_ARENA_INIT_BARRIER_TIMEOUT_SEC",
            "Maximum time for opening a session with an arena miner, in seconds", rounds.arena.max_init_timeout = seconds),
        variable!("BB_ARENA_GATEWAY_URL",
            "URL of the arena gateway; default: this machine on local networks, otherwise https://gw.babelbit.ai/", arena.gateway_url = |t: &str| http_url(t).map(Some)),
        variable!("BB_ARENA_CONTAINERS_API_PATH", "Route of the arena gateway that lists arena miners", arena.registry_path = any),
        variable!("BB_ARENA_CONTAINERS_STATUS", "Statuses of the arena miners to list, separated by commas", arena.status = any),
        variable!("BB_ARENA_CONTAINERS_WINDOW_SECONDS", "Time window of the list of arena miners, in seconds", arena.window_seconds = integer),
        variable!("BB_ARENA_CONTAINERS_TIMEOUT_SEC",
            "Timeout of a request for the list of arena miners or for a token, in seconds", arena.registry_timeout = seconds),
        variable!("BB_ARENA_ROUTE_READY_TIMEOUT_SEC", "Timeout for all arena miners to become ready, in seconds", arena.ready_timeout = seconds),
        variable!("BB_ARENA_ROUTE_READY_POLL_SEC", "Polling interval for the readiness of arena miners, in seconds", arena.ready_poll = seconds),
        variable!("BB_ARENA_RUNSYNC_API_PATH", "Route of the arena gateway that calls miners", arena.runsync_path = any),
        variable!("BB_ARENA_GATEWAY_AUTH_API_PATH", "Route of the arena gateway that issues tokens", arena.auth_path = any),
        variable!("BB_ARENA_GATEWAY_TIMEOUT_SEC", "Timeout of a call through the arena gateway, in seconds; values below 600 are raised to 600", arena.gateway_timeout = seconds),
        variable!("BB_ARENA_GATEWAY_RETRY_BASE_DELAY_SEC",
            "Initial delay before a retry of a call through the arena gateway, in seconds", arena.retry_base_delay = seconds),
        variable!("BB_ARENA_GATEWAY_RETRY_MAX_DELAY_SEC", "Maximum delay between retries of a call through the arena gateway, in seconds", arena.retry_max_delay = seconds),
        variable!("RUNPOD_API_KEY", "API key for arena miners on RunPod", arena.runpod_api_key = secret),
        variable!("POD_HEALTH_PATH", "Health route of arena miners on RunPod", arena.pod_health_path = any),
        variable!("POD_WAKE_TIMEOUT_SECONDS", "Timeout for waking an arena miner on RunPod, in seconds", arena.pod_wake_timeout = seconds),
        variable!("POD_WAKE_POLL_INTERVAL_SECONDS", "Polling interval while an arena miner on RunPod wakes, in seconds", arena.pod_wake_poll = seconds),
        variable!("CHUTES_USERNAME", "Name of the account on Chutes", chutes.username = any),
        variable!("CHUTES_API_KEY", "API key of the account on Chutes", chutes.api_key = secret),
        variable!("CHUTES_API_URL", "URL of the Chutes API", chutes.api_url = http_url),
        variable!("CHUTES_MINER_BASE_URL_TEMPLATE", "URL of a text miner's chute, with {slug} for its slug", chutes.base_url_template = any),
        variable!("CHUTES_MINER_PREDICT_ENDPOINT", "Path of the predict route of a text miner's chute", chutes.predict_endpoint = any),
        variable!("CHUTES_API_N_RETRIES", "Number of retries of a call to a text miner's chute", chutes.retries = retries),
        variable!("CHUTES_TIMEOUT_SEC", "Timeout of a call to a text miner's chute, in seconds", chutes.timeout = seconds),
        variable!("HUGGINGFACE_USERNAME", "Name of the account on the Hugging Face hub", chutes.hub_username = any),
        variable!("HUGGINGFACE_API_KEY", "API key of the account on the Hugging Face hub", chutes.hub_key = secret),
        variable!("HF_ENDPOINT", "URL of the Hugging Face hub for text miners' models", chutes.hub_url = http_url),
        replaced("BABELBIT_TEMPO", "use bb validate --tempo for the blocks per epoch of weights"),
        unused("SIGNER_SEED"), unused("BABELBIT_TAIL"), unused("BABELBIT_ALPHA"), unused("BABELBIT_M_MIN"),
        unused("BABELBIT_MAX_SUBTENSOR_RETRIES"), unused("BABELBIT_VERSION"), unused("BABELBIT_MAX_CONCURRENT_API_CALLS"),
        unused("BB_AUDIO_SCORING_STT_DEVICE"), unused("BB_ARENA_INIT_KEEPALIVE_ENABLED"),
        unused("BB_ARENA_INIT_KEEPALIVE_INTERVAL_SEC"),
        unused("BB_ARENA_STARTUP_CHUNK_TIMEOUT_SEC"), unused("BB_ARENA_STARTUP_CHUNK_COUNT"),
        unused("S3_SUBMISSIONS_DIR"), unused("BB_SCORER_DEVICE"), unused("BB_SCORE_PARALLELISM"),
        unused("BB_SCORE_IO_PARALLELISM"), unused("BB_SCORE_TORCH_THREADS"), unused("BB_TRACE_MINER_CALLS"),
        replaced("EMBEDDER_NAME", "use BB_AUDIO_SCORING_EMBEDDER for the sentence embedding model"),
        unused("EMBED_BATCH_SIZE"),
        replaced("CHUTE_DO_SAMPLE", "only the script of a chute reads it; bb miner predicts the likeliest words"),
        replaced("CHUTE_TEMPERATURE", "only the script of a chute reads it; bb miner predicts the likeliest words"),
        replaced("CHUTE_TOP_P", "only the script of a chute reads it; bb miner predicts the likeliest words"),
        replaced("CHUTE_TOP_K", "only the script of a chute reads it; bb miner predicts the likeliest words"),
    ]
}
