//! Inference servers of `bb miner`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::{Config, MinerTask};
use taonet_babelbit_miner::profile::{
    Interpreter, InterpreterVoice, Patient, Profile, ProfileName,
};
use taonet_babelbit_miner::remote::{
    ChatRewriter, RemoteModel, RemoteRecognizer, RemoteSynthesizer,
};
use taonet_babelbit_miner::shorten::Shortener;
use taonet_babelbit_text_miner::backend::Backend;
use taonet_babelbit_text_miner::model::TextModel;
use taonet_babelbit_text_miner::ngram::NgramModel;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_models::engines;
use taonet_cli_models::voice::{Speech, VoiceName};
use taonet_http::ModelServer;
use taonet_settings::{Secret, value};
use taonet_speech::Recognizer;
use tokio::runtime::Handle;
use url::Url;

use super::language_model::completion_options;
use super::simultaneous::SimultaneousArgs;
use super::{build_interpreter, is_interpreter, load_speech};

/// Default timeout of a completion: half of the validators' timeout.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(5);
/// Default timeout of a call: one call of each of the three stages fits into the time limit of a
/// frame.
const STAGE_TIMEOUT: Duration = Duration::from_millis(800);
/// Default time limit of all calls for a frame if a neural voice of this process speaks after them.
/// The rest of the validators' 3 s is for that voice: it speaks 6 s even at 3.4 times real time, as
/// in a debug build.
const CALL_LIMIT_BEFORE_NEURAL_VOICE: Duration = Duration::from_millis(1_200);

/// Inference servers with OpenAI's API
#[derive(Debug, Args)]
#[command(next_help_heading = "Inference server options")]
pub(super) struct ServerArgs {
    /// Base URL of a text miner's completion server, including /v1 if it has that prefix
    #[arg(long, value_name = "URL", value_parser = parse_server_url)]
    backend_url: Option<Url>,
    /// Model of the completion server [default: the first that it lists]
    #[arg(long, value_name = "NAME", requires = "backend_url")]
    backend_model: Option<String>,
    #[command(flatten)]
    simultaneous: SimultaneousArgs,
    /// Base URL of the speech-to-text server [default: the recogniser of this process]
    #[arg(long, value_name = "URL", value_parser = parse_server_url)]
    stt_url: Option<Url>,
    /// Speech-to-text model [default: whisper-1]
    #[arg(long, value_name = "NAME", requires = "stt_url")]
    stt_model: Option<String>,
    /// Base URL of the chat server that rewrites the transcript [default: the rules of this
    /// process]
    #[arg(long, value_name = "URL", value_parser = parse_server_url, requires = "llm_model")]
    llm_url: Option<Url>,
    /// Chat model
    #[arg(long, value_name = "NAME", requires = "llm_url")]
    llm_model: Option<String>,
    /// Base URL of the text-to-speech server [default: the voice of this process]
    #[arg(long, value_name = "URL", value_parser = parse_server_url)]
    tts_url: Option<Url>,
    /// Text-to-speech model [default: tts-1]
    #[arg(long, value_name = "NAME", requires = "tts_url")]
    tts_model: Option<String>,
    /// Voice of the text-to-speech model [default: alloy]
    #[arg(long, value_name = "NAME", requires = "tts_url")]
    tts_voice: Option<String>,
    /// Timeout of each call to an inference server and of each prediction or phrase of --lm, in
    /// seconds [default: 5 for completions and predictions, 0.8 for phrases and the other servers]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = parse_timeout)]
    server_timeout: Option<Duration>,
    /// Timeout of each call to the speech-to-text server, in seconds [default: --server-timeout]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = parse_timeout, requires = "stt_url")]
    stt_timeout: Option<Duration>,
    /// Timeout of each call to the chat server, in seconds [default: --server-timeout]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = parse_timeout, requires = "llm_url")]
    llm_timeout: Option<Duration>,
    /// Timeout of each call to the text-to-speech server, in seconds [default: --server-timeout]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = parse_timeout, requires = "tts_url")]
    tts_timeout: Option<Duration>,
    /// Time limit of all calls to inference servers and of --lm for one frame of speech, in
    /// seconds; three times as long for the last frame [default: 2.4; 1.2 if --voice is neural]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = parse_timeout)]
    frame_timeout: Option<Duration>,
}

/// Parses the base URL of a server.
fn parse_server_url(text: &str) -> Result<Url, String> {
    value::http_url(text).map_err(|expected| format!("expected {expected}"))
}

/// Parses a timeout: more than 0 and at most 600 seconds.
fn parse_timeout(text: &str) -> Result<Duration, &'static str> {
    let seconds = value::seconds(text).ok();
    let timeout =
        seconds.filter(|seconds| !seconds.is_zero() && *seconds <= Duration::from_mins(10));
    timeout.ok_or("expected a number of seconds above 0 and at most 600")
}

fn no_model_error() -> anyhow::Error {
    ClassifiedError::usage(
        "--contest text needs a model: --model <FILE>, --lm <PATH|hub:MODEL> or --backend-url <URL>\nhint: bb text train writes \
         a model",
    )
}

impl ServerArgs {
    /// Checks that only servers for the text contest are given, and that there is a model:
    /// `has_local_model` of this process, or a completion server. `has_timeout` tells whether the
    /// local model has a timeout.
    pub(super) fn check_text(
        &self,
        has_local_model: bool,
        has_timeout: bool,
    ) -> anyhow::Result<()> {
        let frame_timeout = self.frame_timeout.is_some().then_some("--frame-timeout");
        if let Some(option) = self.stage_option(MinerTask::Transcribe).or(frame_timeout) {
            return Err(ClassifiedError::usage(format!(
                "{option} is for speech miners\nhint: omit it, or --contest text; --backend-url is the server of a text \
                 miner"
            )));
        }
        if !has_local_model && !self.has_backend() {
            return Err(no_model_error());
        }
        if self.server_timeout.is_some() && !has_timeout && !self.has_backend() {
            return Err(ClassifiedError::usage(
                "--server-timeout has no effect on an n-gram model\nhint: omit it, or add --lm or --backend-url",
            ));
        }
        Ok(())
    }

    /// Checks that only servers for the speech contest are given, and that the profile uses them.
    /// `has_lm` tells whether a language model of this process shortens the phrases.
    pub(super) fn check_speech(
        &self,
        profile: ProfileName,
        voice: Option<&VoiceName>,
        has_lm: bool,
    ) -> anyhow::Result<()> {
        if self.backend_url.is_some() {
            return Err(ClassifiedError::usage(
                "--backend-url is for text miners\nhint: add --contest text",
            ));
        }
        let has_timeout = self.server_timeout.is_some() || self.frame_timeout.is_some();
        if has_timeout && !has_lm && self.remote_stage_option().is_none() {
            return Err(ClassifiedError::usage(
                "--server-timeout and --frame-timeout limit calls to inference servers and --lm\nhint: omit them, or add \
                 --stt-url, --llm-url, --tts-url or --lm",
            ));
        }
        if let Some(message) = self.frame_limit_error(voice, has_lm) {
            return Err(ClassifiedError::usage(&message));
        }
        if let Some(message) =
            self.simultaneous.conflict(MinerTask::Transcribe, self.stt_url.is_some())
        {
            return Err(ClassifiedError::usage(&message));
        }
        match self.stage_option(MinerTask::Transcribe) {
            Some(option) if !is_interpreter(profile) => Err(ClassifiedError::usage(format!(
                "{option} needs an interpreting profile\nhint: use --profile interpreter or patient"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns an error message if a timeout exceeds the time limit of a frame, which would end
    /// every call earlier.
    fn frame_limit_error(&self, voice: Option<&VoiceName>, has_lm: bool) -> Option<String> {
        let timeouts = [
            ("--server-timeout", self.server_timeout),
            ("--stt-timeout", self.stt_timeout),
            ("--llm-timeout", self.llm_timeout),
            ("--tts-timeout", self.tts_timeout),
        ];
        let limit = self.frame_limit(voice, has_lm);
        let (option, timeout) = timeouts.into_iter().find_map(|(option, timeout)| {
            timeout.filter(|timeout| *timeout > limit).map(|timeout| (option, timeout))
        })?;
        Some(format!(
            "{option} {} exceeds the {} s of all calls for a frame\nhint: validators wait 3 s for the response to a \
             frame; if yours wait longer, raise --frame-timeout",
            timeout.as_secs_f64(),
            limit.as_secs_f64(),
        ))
    }

    /// Returns the time limit of all calls for a frame: shorter if a neural `voice` speaks after a
    /// language model, or may have to speak after a call.
    fn frame_limit(&self, voice: Option<&VoiceName>, has_lm: bool) -> Duration {
        let is_neural_voice_last =
            (self.tts_url.is_some() || has_lm) && voice.is_some_and(VoiceName::is_neural);
        let default = if is_neural_voice_last {
            CALL_LIMIT_BEFORE_NEURAL_VOICE
        } else {
            Interpreter::CALL_TIME
        };
        self.frame_timeout.unwrap_or(default)
    }

    /// Whether a server predicts the text.
    pub(super) const fn has_backend(&self) -> bool {
        self.backend_url.is_some()
    }

    /// Whether a server rewrites the phrases.
    pub(super) const fn has_rewriter(&self) -> bool {
        self.llm_url.is_some()
    }

    /// Returns the time limit of a phrase for a language model of this process.
    pub(super) fn phrase_limit(&self) -> Duration {
        self.server_timeout.unwrap_or(Shortener::LIMIT)
    }

    /// Returns the timeout of a text prediction.
    pub(super) fn timeout(&self) -> Duration {
        self.server_timeout.unwrap_or(COMPLETION_TIMEOUT)
    }

    /// Whether a stage of the interpreter uses an inference server or a recogniser other than the
    /// default; `configured_task` is that of the settings.
    pub(super) fn has_stages(&self, configured_task: MinerTask) -> bool {
        self.stage_option(configured_task).is_some()
    }

    /// Returns the name of an option or setting that changes a stage of the interpreter.
    fn stage_option(&self, configured_task: MinerTask) -> Option<&'static str> {
        self.simultaneous.option(configured_task).or_else(|| self.remote_stage_option())
    }

    /// Returns the name of an option that moves a stage to an inference server.
    fn remote_stage_option(&self) -> Option<&'static str> {
        let servers = [
            ("--stt-url", &self.stt_url),
            ("--llm-url", &self.llm_url),
            ("--tts-url", &self.tts_url),
        ];
        servers.into_iter().find_map(|(name, url)| url.is_some().then_some(name))
    }

    /// Returns the model of the text miner: the completion server with the n-gram model as its
    /// fallback, or the n-gram model alone.
    pub(super) async fn text_model(
        &self,
        ngram: Option<Arc<NgramModel>>,
        config: &Config,
    ) -> anyhow::Result<Arc<dyn TextModel>> {
        match (&self.backend_url, ngram) {
            (Some(url), ngram) => {
                let key = ("BB_MINER_BACKEND_API_KEY", config.model_keys.backend.as_ref());
                let server = model_server(url, key, self.timeout())?;
                let (name, options) = (self.backend_model.clone(), completion_options(config));
                let backend = Backend::connect(server, name, options, ngram).await;
                Ok(Arc::new(backend.map_err(|error| {
                    ClassifiedError::error(Failure::Network, error.to_string())
                })?))
            }
            (None, Some(ngram)) => Ok(ngram),
            (None, None) => Err(no_model_error()),
        }
    }

    /// Builds an interpreting profile with these stages, and with the built-in ones for the others.
    /// Must be called on the runtime that serves the miner.
    pub(super) fn build_profile(
        &self,
        name: ProfileName,
        config: &Config,
        voice: Option<&VoiceName>,
        shortener: Option<Arc<Shortener>>,
    ) -> anyhow::Result<Arc<dyn Profile>> {
        let conflict = self.simultaneous.conflict(config.miner_task, self.stt_url.is_some());
        if let Some(message) =
            conflict.or_else(|| self.simultaneous.unused_option(config.miner_task))
        {
            return Err(ClassifiedError::usage(&message));
        }
        let interpreter = if let Some(option) = self.simultaneous.whisper_option(config.miner_task)
        {
            let (language, task) =
                (self.simultaneous.source_language(), self.simultaneous.task(config.miner_task));
            let whisper = engines::simultaneous_whisper(config, language, task, option)?;
            let policy = engines::simultaneous_recognizer(&whisper, self.simultaneous.policy())?;
            build_interpreter(whisper, self.speech(config, voice)?)?.simultaneous(policy)
        } else {
            build_interpreter(self.recognizer(config)?, self.speech(config, voice)?)?
        };
        let mut interpreter =
            interpreter.with_call_time(self.frame_limit(voice, shortener.is_some()));
        if let Some(shortener) = shortener {
            interpreter = interpreter.with_shortener(shortener);
        }
        if let (Some(url), Some(model)) = (&self.llm_url, &self.llm_model) {
            let key = ("BB_MINER_LLM_API_KEY", config.model_keys.llm.as_ref());
            interpreter = interpreter.with_language_model(ChatRewriter::new(self.remote_model(
                url,
                key,
                model,
                self.llm_timeout,
            )?));
        }
        Ok(match name {
            ProfileName::Patient => Arc::new(Patient::new(interpreter)),
            _ => Arc::new(interpreter),
        })
    }

    /// Returns the recogniser. Beyond local networks, the fallback of a speech-to-text server must
    /// be selected explicitly, because a second model may not fit into memory.
    fn recognizer(&self, config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
        let Some(url) = &self.stt_url else { return engines::network_recognizer(config) };
        let has_fallback = config.operator.network.is_local() || config.recognizer.is_some();
        let fallback = has_fallback.then(|| engines::network_recognizer(config)).transpose()?;
        if fallback.is_none() {
            tracing::warn!(
                "phrases are lost when --stt-url fails; BB_AUDIO_SCORING_STT_MODEL selects a fallback"
            );
        }
        let key = ("BB_MINER_STT_API_KEY", config.model_keys.stt.as_ref());
        let remote = self.remote_model(
            url,
            key,
            self.stt_model.as_deref().unwrap_or("whisper-1"),
            self.stt_timeout,
        )?;
        Ok(Arc::new(RemoteRecognizer::new(remote, fallback)))
    }

    /// Returns the voice. That of this process is the fallback of a text-to-speech server; unless
    /// it was chosen, it may be missing.
    fn speech(&self, config: &Config, voice: Option<&VoiceName>) -> anyhow::Result<Speech> {
        let local = load_speech(voice, config);
        let Some(url) = &self.tts_url else { return local };
        let local = match local {
            Err(error) if voice.is_none() => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "phrases are lost when --tts-url fails"
                );
                None
            }
            local => Some(local?),
        };
        let key = ("BB_MINER_TTS_API_KEY", config.model_keys.tts.as_ref());
        let remote = self.remote_model(
            url,
            key,
            self.tts_model.as_deref().unwrap_or("tts-1"),
            self.tts_timeout,
        )?;
        let name = self.tts_voice.as_deref().unwrap_or("alloy").to_owned();
        let (fallback, voice) = local.map(|local| (local.synthesizer, local.voice)).unzip();
        let synthesizer = Arc::new(RemoteSynthesizer::new(remote, name, fallback));
        Ok(Speech {
            synthesizer,
            voice: voice.unwrap_or_else(|| InterpreterVoice::default().voice),
        })
    }

    fn remote_model(
        &self,
        url: &Url,
        key: (&'static str, Option<&Secret>),
        model: &str,
        timeout: Option<Duration>,
    ) -> anyhow::Result<RemoteModel> {
        let server =
            model_server(url, key, timeout.or(self.server_timeout).unwrap_or(STAGE_TIMEOUT))?;
        Ok(RemoteModel { server, model: model.to_owned(), runtime: Handle::current() })
    }
}

/// Creates the client of a server. `key` is an API key with the name of its environment variable.
fn model_server(
    url: &Url,
    (variable, key): (&'static str, Option<&Secret>),
    timeout: Duration,
) -> anyhow::Result<ModelServer> {
    ModelServer::new(url, key.map(Secret::expose), timeout).context(variable)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        servers: ServerArgs,
    }

    /// Columns: options · start of the error; none if the options are accepted
    #[test]
    fn call_timeout_above_frame_limit_is_rejected() {
        let urls = ["--stt-url", "http://h/v1", "--tts-url", "http://h/v1"];
        for (options, expected) in [
            (&[][..], None),
            (&["--server-timeout", "2.4", "--stt-timeout", "1"], None),
            (
                &["--server-timeout", "2.5"],
                Some("--server-timeout 2.5 exceeds the 2.4 s of all calls for a frame\nhint: "),
            ),
            (
                &["--stt-timeout", "0.8", "--frame-timeout", "0.7"],
                Some("--stt-timeout 0.8 exceeds the 0.7 s"),
            ),
            (&["--tts-timeout", "20", "--frame-timeout", "60"], None),
            (&["--stt-timeout", "3"], Some("--stt-timeout 3 exceeds the 2.4 s")),
        ] {
            let line = Line::try_parse_from([&["bb"][..], &urls, options].concat()).unwrap();
            let refusal = line
                .servers
                .check_speech(ProfileName::Interpreter, None, false)
                .err()
                .map(|error| error.to_string());
            assert_eq!(refusal.is_some(), expected.is_some(), "{options:?}: {refusal:?}");
            assert!(
                refusal.unwrap_or_default().starts_with(expected.unwrap_or_default()),
                "{options:?}"
            );
        }
        Line::try_parse_from(["bb", "--llm-timeout", "1"]).unwrap_err();
    }

    /// Columns: options · voice · time limit of a frame in milliseconds
    #[test]
    fn neural_fallback_has_time_left_in_the_frame() {
        let neural = VoiceName::Piper("voice.onnx".to_owned());
        let espeak = VoiceName::Espeak("en-us".to_owned());
        let tts = ["--tts-url", "http://h/v1"];
        for (options, voice, milliseconds) in [
            (&tts[..], Some(&neural), 1_200),
            (&tts, Some(&espeak), 2_400),
            (&tts, None, 2_400),
            // No call precedes the voice of this process.
            (&[], Some(&neural), 2_400),
            (&["--tts-url", "http://h/v1", "--frame-timeout", "2"], Some(&neural), 2_000),
        ] {
            let servers = Line::try_parse_from([&["bb"][..], options].concat()).unwrap().servers;
            assert_eq!(
                servers.frame_limit(voice, false),
                Duration::from_millis(milliseconds),
                "{options:?} {voice:?}"
            );
        }
        // A language model of this process precedes every phrase of the voice.
        let servers = Line::try_parse_from(["bb"]).unwrap().servers;
        for (voice, milliseconds) in [(&neural, 1_200), (&espeak, 2_400)] {
            assert_eq!(
                servers.frame_limit(Some(voice), true),
                Duration::from_millis(milliseconds),
                "{voice:?}"
            );
        }
        let options = ["bb", "--tts-url", "http://h/v1", "--tts-timeout", "2"];
        let servers = Line::try_parse_from(options).unwrap().servers;
        servers.check_speech(ProfileName::Interpreter, None, false).unwrap();
        let error = servers
            .check_speech(ProfileName::Interpreter, Some(&neural), false)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--tts-timeout 2 exceeds the 1.2 s of all calls for a frame\nhint: "),
            "{error}"
        );
    }

    #[test]
    fn timeouts_limit_the_language_model_of_a_speech_miner() {
        let line = Line::try_parse_from(["bb", "--server-timeout", "0.5", "--frame-timeout", "2"])
            .unwrap();
        line.servers.check_speech(ProfileName::Interpreter, None, true).unwrap();
        assert_eq!(line.servers.phrase_limit(), Duration::from_millis(500));
        let error = line
            .servers
            .check_speech(ProfileName::Interpreter, None, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--tts-url or --lm"), "{error}");
        let line = Line::try_parse_from(["bb", "--server-timeout", "2.5"]).unwrap();
        let error = line
            .servers
            .check_speech(ProfileName::Interpreter, None, true)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--server-timeout 2.5 exceeds the 2.4 s of all calls for a frame"),
            "{error}"
        );
    }

    /// Columns: options · whether there is an n-gram model · whether there is a language model ·
    /// part of the errors of a text miner and of a speech miner; none if the options are accepted
    #[test]
    fn options_without_effect_are_refused() {
        type Row =
            (&'static [&'static str], bool, bool, Option<&'static str>, Option<&'static str>);

        let table: [Row; 8] = [
            (&[], false, false, Some("--contest text needs a model"), None),
            (&[], true, false, None, None),
            (
                &["--server-timeout", "1"],
                true,
                false,
                Some("n-gram model\nhint: omit it"),
                Some("hint: omit them"),
            ),
            (&["--server-timeout", "1"], true, true, None, Some("hint: omit them")),
            (
                &["--server-timeout", "1", "--stt", "whisper"],
                true,
                true,
                Some("--stt whisper is for speech miners"),
                Some("hint: omit them"),
            ),
            (
                &["--server-timeout", "1", "--backend-url", "http://h/v1"],
                false,
                false,
                None,
                Some("--contest text"),
            ),
            (
                &["--frame-timeout", "1"],
                true,
                false,
                Some("--frame-timeout is for speech miners"),
                Some("hint: omit them"),
            ),
            (
                &["--frame-timeout", "1", "--tts-url", "http://h/v1"],
                true,
                false,
                Some("speech miners"),
                None,
            ),
        ];
        for (options, has_ngram, has_lm, text_error, speech_error) in table {
            let line = Line::try_parse_from([&["bb"][..], options].concat()).unwrap();
            let text = line.servers.check_text(has_ngram || has_lm, has_lm);
            let speech = line.servers.check_speech(ProfileName::Interpreter, None, false);
            for (actual, expected) in [(text, text_error), (speech, speech_error)] {
                let actual = actual.err().map(|error| error.to_string());
                assert_eq!(actual.is_some(), expected.is_some(), "{options:?}: {actual:?}");
                assert!(
                    actual.unwrap_or_default().contains(expected.unwrap_or_default()),
                    "{options:?}: {expected:?}"
                );
            }
        }
    }

    #[test]
    fn profile_without_recognition_refuses_speech_options() {
        for (options, expected) in [
            (&[][..], None),
            (&["--task", "transcribe"], None),
            (&["--task", "translate"], Some("--task translate needs an interpreting profile")),
            (&["--source-language", "fr"], Some("--source-language needs an interpreting profile")),
            (&["--tts-url", "http://h/v1"], Some("--tts-url needs an interpreting profile")),
        ] {
            let line = Line::try_parse_from([&["bb"][..], options].concat()).unwrap();
            let refusal = line
                .servers
                .check_speech(ProfileName::Parrot, None, false)
                .err()
                .map(|error| error.to_string());
            assert_eq!(refusal.is_some(), expected.is_some(), "{options:?}: {refusal:?}");
            assert!(
                refusal.unwrap_or_default().starts_with(expected.unwrap_or_default()),
                "{options:?}"
            );
        }
    }

    #[test]
    fn policy_option_without_whisper_is_refused() {
        let servers = Line::try_parse_from(["bb", "--frame-threshold", "5"]).unwrap().servers;
        let (config, _) = Config::from_variables([], None).unwrap();
        assert!(servers.has_stages(config.miner_task));
        let error =
            servers.build_profile(ProfileName::Interpreter, &config, None, None).err().unwrap();
        assert!(error.to_string().starts_with("--frame-threshold has no effect"), "{error}");
    }

    #[test]
    fn malformed_timeouts_and_urls_are_rejected() {
        for (text, milliseconds) in [("0.8", 800), ("600", 600_000)] {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "0", "-1", "601", "NaN", "x"] {
            assert_eq!(
                parse_timeout(text),
                Err("expected a number of seconds above 0 and at most 600"),
                "{text}"
            );
        }
        for option in [
            "--server-timeout",
            "--stt-timeout",
            "--llm-timeout",
            "--tts-timeout",
            "--frame-timeout",
        ] {
            let error = Line::try_parse_from(["bb", option, "-1"]).unwrap_err().to_string();
            assert!(error.contains("above 0 and at most 600"), "{option}: {error}");
        }
        assert_eq!(parse_server_url("http://127.0.0.1:8000/v1").unwrap().path(), "/v1");
        for text in ["127.0.0.1:8000", "ftp://127.0.0.1", ""] {
            assert_eq!(
                parse_server_url(text).unwrap_err(),
                "expected an http or https URL",
                "{text}"
            );
        }
    }
}
