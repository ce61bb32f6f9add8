//! Simultaneous recognition and translation by Whisper in `bb miner`.

use clap::{Args, ValueEnum};
use taonet_babelbit_config::MinerTask;
use taonet_cli_models::engines::SimultaneousPolicy;
use taonet_cli_models::language::SpokenLanguage;
use taonet_whisper::{AlignAttOptions, SpeechTask};

/// Speech-to-text engine in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SttEngine {
    /// Each phrase is transcribed once, when a pause ends it.
    Phrases,
    /// Whisper recognises words while the speaker speaks.
    Whisper,
}

/// Policy by which the words of unfinished speech become ready for use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyName {
    /// Words that the decoder attends to away from the end of the audio.
    Alignatt,
    /// Words on which two consecutive recognition passes agree.
    LocalAgreement,
}

#[derive(Debug, Args)]
pub(super) struct SimultaneousArgs {
    /// Speech recognition of this process: phrases (each one when it ends) or whisper (while the
    /// speaker speaks) [default: phrases]
    #[arg(long, value_name = "ENGINE", hide_possible_values = true, conflicts_with = "stt_url")]
    stt: Option<SttEngine>,
    /// When the words of --stt whisper are ready: alignatt (the decoder attends to audio before the
    /// end) or local-agreement (two recognition passes agree) [default: alignatt]
    #[arg(long, value_name = "POLICY", hide_possible_values = true, conflicts_with = "stt_url")]
    stt_policy: Option<PolicyName>,
    /// Distance from the end of the audio that a word of alignatt needs, in frames of 20 ms; fewer
    /// give earlier words with more errors [default: 25]
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u16).range(0..=200))]
    frame_threshold: Option<u16>,
    /// What the miner says: transcribe (the words, in the language spoken) or translate (Whisper's
    /// English translation, with --stt whisper) [env: BB_MINER_TASK] [default: transcribe]
    #[arg(long, value_name = "TASK")]
    task: Option<MinerTask>,
    /// Language spoken, for --stt whisper: a code such as fr, or auto (announced by the validator,
    /// or else detected) [default: auto]
    #[arg(long, value_name = "CODE")]
    source_language: Option<SpokenLanguage>,
}

impl SimultaneousArgs {
    /// Returns the name of an option or setting by which Whisper recognises the speech;
    /// `configured_task` is that of the settings.
    pub(super) fn whisper_option(&self, configured_task: MinerTask) -> Option<&'static str> {
        let options = [
            ("--stt whisper", self.stt == Some(SttEngine::Whisper)),
            ("--task translate", self.task == Some(MinerTask::Translate)),
            (
                "BB_MINER_TASK=translate",
                self.task.is_none() && configured_task == MinerTask::Translate,
            ),
            ("--source-language", self.source_language.is_some()),
        ];
        options.into_iter().find_map(|(name, is_selected)| is_selected.then_some(name))
    }

    /// Returns the name of an option that only Whisper uses, but that does not select it.
    fn policy_option(&self) -> Option<&'static str> {
        let policy = self.stt_policy.is_some().then_some("--stt-policy");
        policy.or_else(|| self.frame_threshold.is_some().then_some("--frame-threshold"))
    }

    /// Returns the name of an option or setting for Whisper; `configured_task` is that
    /// of the settings.
    pub(super) fn option(&self, configured_task: MinerTask) -> Option<&'static str> {
        self.whisper_option(configured_task).or_else(|| self.policy_option())
    }

    /// Returns an error message if an option has no effect because Whisper does not recognise the
    /// speech; `configured_task` is that of the settings.
    pub(super) fn unused_option(&self, configured_task: MinerTask) -> Option<String> {
        let name = self.policy_option()?;
        self.whisper_option(configured_task).is_none().then(|| {
            format!("{name} has no effect without --stt whisper\nhint: add --stt whisper, or omit {name}")
        })
    }

    /// Returns an error message if options contradict each other.
    pub(super) fn conflict(&self, configured_task: MinerTask, has_server: bool) -> Option<String> {
        let name = self.option(configured_task)?;
        if has_server || self.stt == Some(SttEngine::Phrases) {
            let other = if has_server { "--stt-url" } else { "--stt phrases" };
            return Some(format!(
                "{name} is for Whisper in this process, not for {other}\nhint: omit one of them"
            ));
        }
        (self.frame_threshold.is_some() && self.stt_policy == Some(PolicyName::LocalAgreement)).then(|| {
            "--frame-threshold is for --stt-policy alignatt\nhint: omit it, or --stt-policy local-agreement".to_owned()
        })
    }

    /// Returns the task of Whisper.
    pub(super) fn task(&self, configured_task: MinerTask) -> SpeechTask {
        match self.task.unwrap_or(configured_task) {
            MinerTask::Transcribe => SpeechTask::Transcribe,
            MinerTask::Translate => SpeechTask::Translate,
        }
    }

    /// Returns the language spoken, unless Whisper detects it.
    pub(super) fn source_language(&self) -> Option<&'static str> {
        self.source_language.and_then(SpokenLanguage::code)
    }

    /// Returns the policy.
    pub(super) fn policy(&self) -> SimultaneousPolicy {
        match self.stt_policy {
            Some(PolicyName::LocalAgreement) => SimultaneousPolicy::LocalAgreement,
            Some(PolicyName::Alignatt) | None => {
                let default = AlignAttOptions::default();
                let frame_threshold =
                    self.frame_threshold.map_or(default.frame_threshold, usize::from);
                SimultaneousPolicy::AlignAtt(AlignAttOptions { frame_threshold, ..default })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[arg(long)]
        stt_url: Option<String>,
        #[command(flatten)]
        simultaneous: SimultaneousArgs,
    }

    fn parse(options: &[&str]) -> SimultaneousArgs {
        Line::try_parse_from([&["bb"], options].concat()).unwrap().simultaneous
    }

    /// Columns: options · task of the settings · whether Whisper recognises the speech · start of
    /// the error; none if the options are accepted
    #[test]
    fn whisper_options_select_whisper() {
        use MinerTask::{Transcribe, Translate};

        for (options, setting, uses_whisper, expected) in [
            (&[][..], Transcribe, false, None),
            (&["--stt", "phrases"], Transcribe, false, None),
            (&["--stt", "whisper"], Transcribe, true, None),
            (&["--task", "translate"], Transcribe, true, None),
            (&["--task", "transcribe"], Translate, false, None),
            (&[], Translate, true, None),
            (&["--source-language", "auto"], Transcribe, true, None),
            (
                &["--stt", "phrases", "--task", "translate"],
                Transcribe,
                true,
                Some("--task translate is for Whisper"),
            ),
            (
                &["--stt", "phrases"],
                Translate,
                true,
                Some("BB_MINER_TASK=translate is for Whisper"),
            ),
            (
                &["--stt", "whisper", "--stt-policy", "local-agreement", "--frame-threshold", "10"],
                Transcribe,
                true,
                Some("--frame-threshold is for --stt-policy alignatt"),
            ),
        ] {
            let args = parse(options);
            assert_eq!(args.whisper_option(setting).is_some(), uses_whisper, "{options:?}");
            let conflict = args.conflict(setting, false);
            assert_eq!(conflict.is_some(), expected.is_some(), "{options:?}: {conflict:?}");
            assert!(
                conflict.unwrap_or_default().starts_with(expected.unwrap_or_default()),
                "{options:?}"
            );
        }
        assert!(
            parse(&["--task", "translate"])
                .conflict(Transcribe, true)
                .unwrap()
                .contains("not for --stt-url")
        );
    }

    /// Columns: options · task of the settings · start of the error; none if the options are
    /// accepted
    #[test]
    fn policy_options_require_whisper() {
        use MinerTask::{Transcribe, Translate};

        let threshold = "--frame-threshold has no effect without --stt whisper\nhint: ";
        for (options, setting, expected) in [
            (&["--frame-threshold", "5"][..], Transcribe, Some(threshold)),
            (&["--frame-threshold", "5"], Translate, None),
            (&["--frame-threshold", "5", "--stt", "whisper"], Transcribe, None),
            (&["--frame-threshold", "5", "--task", "transcribe"], Translate, Some(threshold)),
            (
                &["--stt-policy", "alignatt"],
                Transcribe,
                Some("--stt-policy has no effect without --stt whisper\nhint: "),
            ),
            (&["--stt-policy", "alignatt", "--source-language", "fr"], Transcribe, None),
            (&[], Transcribe, None),
        ] {
            let error = parse(options).unused_option(setting);
            assert_eq!(error.is_some(), expected.is_some(), "{options:?}: {error:?}");
            assert!(
                error.unwrap_or_default().starts_with(expected.unwrap_or_default()),
                "{options:?}"
            );
        }
    }

    #[test]
    fn invalid_option_values_are_named_in_the_error() {
        for (option, value) in [
            ("--source-language", "xx"),
            ("--source-language", "french"),
            ("--frame-threshold", "201"),
        ] {
            let error = Line::try_parse_from(["bb", option, value]).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid value '{value}' for '{option}")), "{error}");
        }
    }

    #[test]
    fn language_and_policy_options_are_parsed() {
        assert_eq!(parse(&["--source-language", "fr"]).source_language(), Some("fr"));
        assert_eq!(parse(&["--source-language", "FR"]).source_language(), Some("fr"));
        assert_eq!(parse(&["--source-language", "auto"]).source_language(), None);
        assert_eq!(parse(&[]).policy(), SimultaneousPolicy::default());
        assert_eq!(
            parse(&["--stt-policy", "local-agreement"]).policy(),
            SimultaneousPolicy::LocalAgreement
        );
        let options = AlignAttOptions { frame_threshold: 10, ..AlignAttOptions::default() };
        assert_eq!(
            parse(&["--frame-threshold", "10"]).policy(),
            SimultaneousPolicy::AlignAtt(options)
        );
        assert_eq!(
            parse(&["--task", "translate"]).task(MinerTask::Transcribe),
            SpeechTask::Translate
        );
    }
}
