use std::time::Duration;

use taonet_babelbit_core::weights::ArenaShare;
use taonet_objects::settings as s3;
use taonet_primitives::{NetUid, Uid};
use taonet_settings::value::{Expected, address, any, flag, http_url, number, seconds, secret, whole};
use taonet_settings::{Network, Shown, Variable, replaced, unused, variable};

use super::{Config, MAX_SKIPPED_EPOCHS, submission};

/// Parses a number of attempts, in the range accepted by signer and gateway.
fn attempts(text: &str) -> Result<u32, Expected> {
    text.parse().ok().filter(|count| *count <= 1_000).ok_or("a whole number from 0 to 1000")
}

/// Parses a delay between attempts, in the range accepted by signer and gateway.
fn pause(text: &str) -> Result<Duration, Expected> {
    seconds(text).ok().filter(|pause| *pause <= Duration::from_mins(10)).ok_or("a number of seconds from 0 to 600")
}

/// Parses a number of blocks.
fn blocks(text: &str) -> Result<u32, Expected> {
    text.parse().ok().filter(|blocks| *blocks > 0).ok_or("a number of blocks from 1")
}

/// Table of all known variables.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn variables() -> &'static [Variable<Config>] {
    static VARIABLES: &[Variable<Config>] = &[
        variable!("BITTENSOR_SUBTENSOR_ENDPOINT", "Network or node: finney, test, local or a URL", network = |t: &str| t.parse::<Network>().map_err(|_| "a network")),
        variable!("BABELBIT_NETUID", "The subnet", netuid = |t: &str| whole(t).map(NetUid)),
        Variable {
            name: "BB_RULES",
            help: "reference, or strict to mend what the reference gets wrong",
            apply: Some(|config, text| {
                config.rules = text.parse().map_err(|_| "reference or strict")?;
                Ok(())
            }),
            show: |config| config.rules.to_string(),
        },
        variable!("BB_UTTERANCE_ENGINE_URL", "The utterance engine", engine_url = http_url),
        variable!("BABELBIT_API_TIMEOUT_S", "Deadline of one call to the engine, in seconds", api_timeout = seconds),
        variable!("BB_OUTPUT_LOGS_DIR", "Where run logs and audio go", logs_dir = any),
        variable!("BB_OUTPUT_SCORES_DIR", "Where challenge runs and scores go", scores_dir = any),
        variable!("BB_CHALLENGE_STATUS_DIR", "Where status files go", status_dir = any),
        variable!("BB_MAX_MINERS_PER_RUN", "Most miners played in one run", max_miners = whole),
        variable!("BB_MINER_PREDICT_ENDPOINT", "Path of the miners' predict route", predict_endpoint = any),
        variable!("BB_MINER_TIMEOUT_SEC", "Deadline of one call to a miner", play.miner_timeout = seconds),
        variable!("BB_S2S_INIT_TIMEOUT_SEC", "Deadline for opening the first session of a challenge", play.init_timeout = seconds),
        variable!("BB_S2S_CHUNK_TIMEOUT_SEC", "Deadline for the answer to a frame", play.chunk_timeout = seconds),
        variable!("BB_S2S_DRAIN_TIMEOUT_SEC", "Deadline for the rest of a reply", play.drain_timeout = seconds),
        variable!("BB_S2S_FINAL_DRAIN_MIN_TIMEOUT_SEC", "Least time for the rest of a reply", play.final_drain_min = seconds),
        variable!("BB_S2S_DRAIN_MAX_REQUESTS", "How often the rest of a reply is asked for", play.drain_max_requests = whole),
        variable!("BB_DEV_MODE", "Call miners on loopback and private addresses", dev_mode = flag),
        variable!("BB_LOCAL_MINER_IP", "In development mode, the address that stands for this machine", local_miner_ip = |t: &str| any(t).map(Some)),
        variable!("BB_AUDIO_SCORING_METADATA_ROOT", "Where reference documents are looked up", metadata_root = any),
        variable!("BB_AUDIO_SCORING_STT_MODEL", "The recogniser; left out: tiny-ctc on local networks, else faster-whisper-small", recognizer = |t: &str| any(t).map(Some)),
        variable!("BB_AUDIO_SCORING_STT_CACHE_PATH", "The transcript cache", transcript_cache = any),
        variable!("BB_AUDIO_SCORING_EMBEDDER", "The sentence embedder", embedder = any),
        variable!("BB_AUDIO_SCORING_ACCURACY_THRESHOLD", "Accuracy from which a reply passes", scoring.accuracy_threshold = number),
        variable!("BB_AUDIO_SCORING_RATE_LOWER", "Lowest ratio of speaking rates that passes", scoring.rate_lower = number),
        variable!("BB_AUDIO_SCORING_RATE_UPPER", "Highest ratio of speaking rates that passes", scoring.rate_upper = number),
        variable!("BB_AUDIO_SCORING_LATENCY_OVERSHOOT_FRACTION", "Allowed overshoot as a share of the source", scoring.latency_overshoot_fraction = number),
        variable!("BB_AUDIO_SCORING_LATENCY_MIN_OVERSHOOT_SEC", "Least allowed overshoot", scoring.latency_min_overshoot_sec = number),
        variable!("BB_AUDIO_SCORING_LATENCY_MAX_OVERSHOOT_SEC", "Greatest allowed overshoot", scoring.latency_max_overshoot_sec = number),
        variable!("BB_AUDIO_SCORING_LATENCY_POWER", "How the latency score falls", scoring.latency_power = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_SIMILARITY_THRESHOLD", "Cosine from which replies count as the same", scoring.duplication_similarity_threshold = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_GAMMA", "How strongly equal replies lower a score", scoring.duplication_gamma = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_MIN_SCORE_FOR_PRESSURE", "Score from which a reply puts pressure on others", scoring.duplication_min_score_for_pressure = number),
        variable!("BB_AUDIO_SCORING_DUPLICATION_SCORE_EPSILON", "How much better a reply must be to feel no pressure", scoring.duplication_score_epsilon = number),
        variable!("BB_MODELS_DIR", "Where models are looked for first", models_dir = |t: &str| any(t).map(Some)),
        Variable {
            name: "BB_ARENA_INCENTIVE_PERCENT",
            help: "The arena's share of the weights",
            apply: Some(|config, text| {
                config.arena_share = ArenaShare::from_setting(Some(text));
                Ok(())
            }),
            show: |config| (config.arena_share.get() * 100.0).to_string(),
        },
        variable!("BB_DEFAULT_FALLBACK_UID", "Receives what nobody has earned", burn_uid = |t: &str| Ok::<_, Expected>(Uid(t.parse().unwrap_or(248)))),
        // First, since default paths depend on it.
variable!("BABELBIT_CACHE_DIR", "Where caches are kept", cache_dir = any),
        variable!("BITTENSOR_WALLET_COLD", "Name of the wallet whose hotkey signs, where no option names a key", operator.wallet_name = any),
        variable!("BITTENSOR_WALLET_HOT", "Name of that hotkey", operator.wallet_hotkey = any),
        variable!("BITTENSOR_WALLET_PATH", "The directory of wallets, or a keyfile", operator.wallet_path = |t: &str| any(t).map(Some)),
        variable!("BITTENSOR_SUBTENSOR_FALLBACK", "The node that the subtensor gateway asks where the network's own fail", operator.fallback_node = |t: &str| any(t).map(Some)),
        variable!("BB_SUBMIT_API_URL", "The scoring API; left out: on this machine for local networks, else https://scoring.babelbit.ai", submit_api_url = |t: &str| http_url(t).map(Some)),
        Variable {
            name: "BB_ENABLE_VALIDATION_SUBMISSIONS",
            help: "Submit results to the scoring API; left out: on the network local only where BB_SUBMIT_API_URL names one",
            apply: Some(|config, text| {
                config.submission.enabled = Some(flag(text)?);
                Ok(())
            }),
            show: |config| config.submits().shown(),
        },
        variable!("BB_SUBMIT_TIMEOUT_S", "Deadline of one submission, in seconds", submission.timeout = seconds),
        variable!("BB_SUBMIT_CONCURRENCY", "Submissions at a time", submission.concurrency = submission::concurrency),
        variable!("DATABASE_URL", "The database of bb scoring-api: postgres://… or sqlite:FILE", submission.database_url = submission::database),
        variable!("BB_ENABLE_S3_UPLOADS", "Upload result files before they are submitted", s3.enabled = flag),
        variable!("S3_ENDPOINT_URL", "The S3 service; left out: AWS", s3.endpoint_url = s3::endpoint),
        variable!("S3_REGION", "Its region", s3.region = any),
        variable!("S3_ACCESS_KEY_ID", "Who uploads; left out: what the machine's role allows", s3.access_key_id = secret),
        variable!("S3_SECRET_ACCESS_KEY", "The secret to it", s3.secret_access_key = secret),
        variable!("S3_BUCKET_NAME", "The bucket", s3.bucket = any),
        variable!("S3_LOG_DIR", "Run logs go below this folder of the bucket", s3.log_dir = s3::folder),
        variable!("S3_ADDRESSING_STYLE", "path or virtual: how the bucket's name is part of addresses", s3.addressing = s3::addressing),
        variable!("S3_USE_SSL", "Use TLS where S3_ENDPOINT_URL has no scheme", s3.use_ssl = flag),
        Variable {
            name: "S3_SIGNATURE_VERSION",
            help: "s3v4, the only one",
            apply: Some(|_, text| s3::signature_version(text)),
            show: |_| "s3v4".to_owned(),
        },
        variable!("SIGNER_URL", "The signer; left out: on this machine for local networks, else http://signer:8080", operator.signer_url = |t: &str| http_url(t).map(Some)),
        variable!("SIGNER_HOST", "Where the signer listens", operator.signer_host = address),
        variable!("SIGNER_PORT", "Where the signer listens", operator.signer_port = whole),
        variable!("SIGNER_RETRIES", "How often the signer has the gateway try to set weights", operator.signer_retries = attempts),
        variable!("SIGNER_RETRY_DELAY", "Seconds between two of these attempts", operator.signer_retry_delay = pause),
        variable!("BB_SET_WEIGHTS_RETRIES", "As SIGNER_RETRIES, where the validator asks the gateway itself", operator.set_weights_retries = |t: &str| attempts(t).map(Some)),
        variable!("BB_SET_WEIGHTS_RETRY_DELAY", "As SIGNER_RETRY_DELAY, where the validator asks the gateway itself", operator.set_weights_retry_delay = |t: &str| pause(t).map(Some)),
        variable!("SUBTENSOR_GATEWAY_URL", "The subtensor gateway; left out: on this machine for local networks, else http://subtensor-gateway:8090", operator.gateway_url = |t: &str| http_url(t).map(Some)),
        variable!("SUBTENSOR_GATEWAY_HOST", "Where the subtensor gateway listens", operator.gateway_host = address),
        variable!("SUBTENSOR_GATEWAY_PORT", "Where the subtensor gateway listens", operator.gateway_port = whole),
        variable!("SUBTENSOR_GATEWAY_TIMEOUT_S", "Deadline of one call to the subtensor gateway, in seconds", operator.gateway_timeout = seconds),
        variable!("BB_API_TOKEN_FILE", "The file with the token that callers of signer and subtensor gateway show", operator.token_file = |t: &str| any(t).map(Some)),
        variable!("BB_MAX_SKIPPED_WEIGHT_EPOCHS", "Epochs without scores before everything goes to the fallback uid", operator.max_skipped_epochs = |t: &str| Ok::<_, Expected>(t.parse().unwrap_or(MAX_SKIPPED_EPOCHS))),
        variable!("BABELBIT_METRICS_ADDR", "Where bb validate and bb runner serve metrics", operator.metrics_addr = address),
        variable!("BABELBIT_METRICS_PORT", "Where bb validate serves metrics", operator.metrics_port = whole),
        variable!("BABELBIT_RUNNER_TEMPO", "Blocks from one main round to the next", rounds.tempo = blocks),
        variable!("BB_RUNNER_ON_STARTUP", "Whether bb runner begins with a main round", rounds.on_startup = flag),
        variable!("BB_ENABLE_SOLO_CHALLENGE", "Whether a solo round follows each main round", rounds.solo = flag),
        variable!("BB_ENABLE_ARENA_CHALLENGE", "Whether there are arena rounds", rounds.arena.enabled = flag),
        variable!("BB_ARENA_RUN_ON_STARTUP", "Whether bb runner begins with an arena round", rounds.arena.on_startup = flag),
        variable!("BB_ARENA_CADENCE_BLOCKS", "Blocks from one arena round to the next", rounds.arena.cadence = |t: &str| whole(t).map(|blocks: u32| blocks.max(1))),
        variable!("BB_ARENA_STARTUP_UTTERANCE_COUNT", "Utterances for which arena miners may take long to open a session", rounds.arena.startup_utterances = whole),
        variable!("BB_ARENA_MAX_CONSECUTIVE_UTTERANCE_FAILURES", "An arena miner that fails so many utterances in a row is dropped", rounds.arena.drop_after_failures = whole),
        variable!("BB_ARENA_MINER_TIMEOUT_SEC", "Deadline of one call to an arena miner", rounds.arena.miner_timeout = seconds),
        variable!("BB_ARENA_INIT_BARRIER_TIMEOUT_SEC", "Longest time for opening a session with an arena miner", rounds.arena.init_barrier = seconds),
        variable!("BB_ARENA_GATEWAY_URL", "The arena gateway; left out: on this machine for local networks, else https://gw.babelbit.ai/", arena.gateway_url = |t: &str| http_url(t).map(Some)),
        variable!("BB_ARENA_CONTAINERS_API_PATH", "The arena gateway's route that lists the miners", arena.registry_path = any),
        variable!("BB_ARENA_CONTAINERS_STATUS", "Which states of miners are asked for, separated by commas", arena.status = any),
        variable!("BB_ARENA_CONTAINERS_WINDOW_SECONDS", "How far back the list of miners looks, in seconds", arena.window_seconds = whole),
        variable!("BB_ARENA_CONTAINERS_TIMEOUT_SEC", "Deadline of one call for the list of miners, or for a token", arena.registry_timeout = seconds),
        variable!("BB_ARENA_ROUTE_READY_TIMEOUT_SEC", "How long is waited for miners that are not ready", arena.ready_timeout = seconds),
        variable!("BB_ARENA_ROUTE_READY_POLL_SEC", "How often it is looked whether they are", arena.ready_poll = seconds),
        variable!("BB_ARENA_RUNSYNC_API_PATH", "The arena gateway's route that calls miners", arena.runsync_path = any),
        variable!("BB_ARENA_GATEWAY_AUTH_API_PATH", "The arena gateway's route that gives tokens", arena.auth_path = any),
        variable!("BB_ARENA_GATEWAY_TIMEOUT_SEC", "Deadline of one call through the arena gateway, where it is more than 600 s", arena.gateway_timeout = seconds),
        variable!("BB_ARENA_GATEWAY_RETRY_BASE_DELAY_SEC", "The first pause before a call through the arena gateway is repeated", arena.retry_base_delay = seconds),
        variable!("BB_ARENA_GATEWAY_RETRY_MAX_DELAY_SEC", "The longest of these pauses", arena.retry_max_delay = seconds),
        variable!("RUNPOD_API_KEY", "The key for arena miners that RunPod runs", arena.runpod_api_key = secret),
        variable!("POD_HEALTH_PATH", "The route that says whether such a miner is awake", arena.pod_health_path = any),
        variable!("POD_WAKE_TIMEOUT_SECONDS", "How long such a miner may take to wake", arena.pod_wake_timeout = seconds),
        variable!("POD_WAKE_POLL_INTERVAL_SECONDS", "How often it is looked whether it has", arena.pod_wake_poll = seconds),
        replaced("MINER_AXON_PORT", "say with --listen where the miner listens"),
        unused("MINER_EXTERNAL_IP"), unused("MINER_DEV_MODE"),
        replaced("BABELBIT_TEMPO", "say with bb validate --tempo how many blocks an epoch of weights has"),
        unused("SIGNER_SEED"), unused("BABELBIT_TAIL"), unused("BABELBIT_ALPHA"), unused("BABELBIT_M_MIN"),
        unused("BABELBIT_MAX_SUBTENSOR_RETRIES"), unused("BABELBIT_VERSION"), unused("BABELBIT_MAX_CONCURRENT_API_CALLS"),
        unused("BB_AUDIO_SCORING_STT_DEVICE"), unused("BB_ARENA_INIT_KEEPALIVE_ENABLED"),
        unused("BB_ARENA_INIT_KEEPALIVE_INTERVAL_SEC"),
        unused("BB_ARENA_STARTUP_CHUNK_TIMEOUT_SEC"), unused("BB_ARENA_STARTUP_CHUNK_COUNT"),
        unused("S3_SUBMISSIONS_DIR"), unused("BB_SCORER_DEVICE"), unused("BB_SCORE_PARALLELISM"),
        unused("BB_SCORE_IO_PARALLELISM"), unused("BB_SCORE_TORCH_THREADS"), unused("BB_ARENA_STARTUP_TIMEOUT_SEC"),
        unused("BB_ARENA_STARTUP_REQUEST_TIMEOUT_SEC"), unused("BB_STEP_BLOCK_MODULO"), unused("BB_TRACE_MINER_CALLS"),
    ];
    VARIABLES
}
