//! Figures of the benchmark, as JSON and as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

use anyhow::{bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use taonet_babelbit_audit::conformance::{PAGE_REMEDY, PlayedChallenge, Timings};
use taonet_babelbit_core::field_metrics::{
    ChallengeMetrics, TextPair, UtteranceMetrics, chrf, sentence_bleu, word_error_rate,
};
use taonet_babelbit_core::rounding::round6;
use taonet_babelbit_core::scoring::Gate;
use taonet_cli_base::exit::QuotingError;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{decimals, table, wrap_text};
use taonet_cli_base::tables::INTERPRET_BENCHMARK;
use taonet_primitives::{Hotkey, counted};
use taonet_speech::models::describe_recognizer;

use super::super::measure::ratio;
use super::items::Item;
use crate::reply_error::{self, readable_error};
use crate::test_miner::timing_table;

/// Figures of all recordings.
pub(super) struct Report {
    /// Argument that selected the recordings.
    pub(super) recordings: String,
    /// Number of recordings played at the same time.
    pub(super) speakers: NonZeroUsize,
    /// Name and fingerprint of the recogniser of the replies.
    pub(super) recognizer: [String; 2],
    /// Name of the sentence embedder.
    pub(super) embedder: String,
    pub(super) miner: MeasuredMiner,
    pub(super) items: Vec<ItemFigures>,
    pub(super) timings: Timings,
}

/// The miner, and what it used.
#[derive(Debug, Serialize)]
pub(super) struct MeasuredMiner {
    pub(super) url: String,
    pub(super) hotkey: Hotkey,
    /// Options of a miner that the benchmark started.
    pub(super) options: Option<Vec<String>>,
    /// Processor time of all its threads and of the programs that it ran, from the first recording
    /// to the last.
    pub(super) cpu_sec: Option<f64>,
    /// Peak memory of its process.
    pub(super) max_rss_mb: Option<f64>,
}

/// Figures of one recording.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ItemFigures {
    name: String,
    /// Words of the recording, if known.
    source: Option<String>,
    reference: String,
    /// Transcript of the reply; null if the reply was not transcribed, which counts as an empty
    /// text.
    transcript: Option<String>,
    source_sec: f64,
    score: f64,
    accuracy: Option<f64>,
    /// Speaking rate of the reply, divided by the reference's.
    rate_ratio: Option<f64>,
    /// Time from the end of the recording to the end of the reply on the virtual clock.
    overshoot_sec: Option<f64>,
    #[serde(flatten)]
    metrics: UtteranceMetrics,
    /// Wall-clock time from the opening of the session to the end of the reply; null if the reply
    /// is incomplete.
    wall_sec: Option<f64>,
    /// `wall_sec` divided by `source_sec`.
    real_time_factor: Option<f64>,
    /// Wall-clock time from the last sent frame to the end of the reply.
    after_source_sec: Option<f64>,
    failed_gates: Vec<Gate>,
    error: Option<String>,
}

/// Figures over all recordings.
#[derive(Debug, PartialEq, Serialize)]
struct Total {
    /// Mean score.
    score: f64,
    /// Mean accuracy of the replies whose transcript was compared with the reference.
    accuracy: Option<f64>,
    /// Text metrics over all recordings together, means of the lags, and the number of transcribed
    /// replies.
    #[serde(flatten)]
    metrics: Option<ChallengeMetrics>,
    /// Duration of the recordings.
    source_sec: f64,
    /// Wall-clock time of the complete replies, divided by the duration of their recordings.
    real_time_factor: Option<f64>,
    /// Number of recordings whose reply is incomplete, or could not be scored.
    failed: usize,
}

impl ItemFigures {
    /// Computes the figures of a recording from its result. A recording that was not played has
    /// failed.
    pub(super) fn of(item: Item, played: &[PlayedChallenge]) -> Self {
        let played = played.iter().find(|played| played.challenge_uid == item.challenge.uid);
        let reply = played.and_then(|played| played.miner.utterances.first());
        // Only transcribed replies have metrics; a reply that could not be transcribed has an empty
        // transcript.
        let metrics = played.and_then(|played| played.miner.metrics.as_ref());
        let transcript = metrics.and(reply).and_then(|reply| reply.transcript.clone());
        let reference = item.challenge.utterances.first();
        let reference =
            reference.map(|utterance| utterance.target.text.clone()).unwrap_or_default();
        let pair = TextPair {
            hypothesis: transcript.as_deref().unwrap_or_default(),
            reference: &reference,
        };
        let utterance_metrics = UtteranceMetrics {
            wer: round6(word_error_rate([pair])),
            bleu: round6(sentence_bleu(pair)),
            chrf: round6(chrf([pair])),
            al_ms: metrics.and_then(|metrics| metrics.al_ms),
            laal_ms: metrics.and_then(|metrics| metrics.laal_ms),
            atd_ms: metrics.and_then(|metrics| metrics.atd_ms),
        };
        let wall_sec =
            reply.and_then(|reply| reply.wall_after_source_sec.map(|_| reply.wall_total_sec));
        let (failed_gates, error) = match reply {
            Some(reply) => (reply.failed_gates.clone(), reply.error.clone()),
            None => (vec![Gate::PredictionError], Some("the recording was not played".to_owned())),
        };
        Self {
            metrics: utterance_metrics,
            reference,
            transcript,
            score: reply.map_or(0.0, |reply| reply.score),
            accuracy: reply.and_then(|reply| reply.accuracy),
            rate_ratio: reply.and_then(|reply| reply.rate_ratio),
            overshoot_sec: reply.and_then(|reply| reply.overshoot_sec),
            wall_sec,
            real_time_factor: wall_sec.map(|wall| ratio(wall, item.source_sec)),
            after_source_sec: reply.and_then(|reply| reply.wall_after_source_sec),
            failed_gates,
            error,
            source_sec: item.source_sec,
            source: item.source,
            name: item.name,
        }
    }

    /// Whether the reply is incomplete, or could not be scored.
    const fn is_failed(&self) -> bool {
        self.wall_sec.is_none() || self.error.is_some()
    }

    fn text_pair(&self) -> TextPair<'_> {
        TextPair {
            hypothesis: self.transcript.as_deref().unwrap_or_default(),
            reference: &self.reference,
        }
    }
}

impl Total {
    fn from_items(items: &[ItemFigures]) -> Self {
        let pairs: Vec<_> = items.iter().map(|item| (item.text_pair(), item.metrics)).collect();
        let replies = items.iter().filter(|item| item.transcript.is_some()).count();
        let accuracies: Vec<f64> = items.iter().filter_map(|item| item.accuracy).collect();
        let complete: Vec<(f64, f64)> =
            items.iter().filter_map(|item| Some((item.wall_sec?, item.source_sec))).collect();
        let wall: f64 = complete.iter().map(|(wall, _)| wall).sum();
        let source: f64 = complete.iter().map(|(_, source)| source).sum();
        Self {
            score: ratio(items.iter().map(|item| item.score).sum(), items.len() as f64),
            accuracy: (!accuracies.is_empty())
                .then(|| accuracies.iter().sum::<f64>() / accuracies.len() as f64),
            metrics: ChallengeMetrics::of(&pairs)
                .map(|metrics| ChallengeMetrics { replies, ..metrics }),
            source_sec: items.iter().map(|item| item.source_sec).sum(),
            real_time_factor: (source > 0.0).then_some(wall / source),
            failed: items.iter().filter(|item| item.is_failed()).count(),
        }
    }
}

impl Report {
    /// Whether the miner completed a reply. Otherwise, all figures are those of missing replies.
    pub(super) fn has_replies(&self) -> bool {
        self.items.iter().any(|item| item.wall_sec.is_some())
    }

    /// Checks that every recording has a complete reply, which was scored.
    ///
    /// # Errors
    /// If a recording failed. If all did without a complete reply, the error has their errors.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.has_replies() {
            let errors: BTreeSet<_> =
                self.items.iter().filter_map(|item| item.error.as_deref()).collect();
            let is_unreachable = errors.iter().all(|error| error.starts_with("ConnectionError:"));
            let is_page = errors.iter().all(|error| reply_error::is_page(error));
            let hint = match (is_unreachable, is_page) {
                (true, _) => Some("start the miner, and check its address"),
                (false, true) => Some(PAGE_REMEDY),
                (false, false) => None,
            };
            let errors: BTreeSet<_> = errors.into_iter().map(readable_error).collect();
            let errors: Vec<_> = errors.iter().map(|error| &**error).collect();
            let summary = "the miner completed no reply";
            if errors.is_empty() {
                bail!(summary);
            }
            return Err(QuotingError::error(None, summary, &errors.join("; "), hint));
        }
        let failed = self.items.iter().filter(|item| item.is_failed()).count();
        ensure!(
            failed == 0,
            "{failed} of {} failed\nhint: the report has the errors",
            counted(self.items.len(), "recording")
        );
        Ok(())
    }

    /// Returns the report as JSON.
    pub(super) fn document(&self) -> Value {
        let [name, fingerprint] = &self.recognizer;
        json!({
            "schema": 1,
            "benchmark": "interpret",
            "recordings": self.recordings,
            "speakers": self.speakers,
            "recognizer": { "name": name, "fingerprint": fingerprint },
            "embedder": self.embedder,
            "miner": self.miner,
            "total": Total::from_items(&self.items),
            "items": self.items,
            "timings": self.timings,
        })
    }

    /// Formats the report as text.
    pub(super) fn format_report(&self) -> String {
        let total = Total::from_items(&self.items);
        let mut rows = table(&INTERPRET_BENCHMARK);
        for item in &self.items {
            let reasons =
                item.failed_gates.iter().map(|gate| gate.reason()).collect::<Vec<_>>().join(", ");
            let UtteranceMetrics { wer, bleu, chrf, al_ms, laal_ms, atd_ms } = item.metrics;
            let figures = Row {
                score: item.score,
                text_metrics: [wer, bleu, chrf],
                lags: [al_ms, laal_ms, atd_ms],
            };
            rows.add_row(figures.cells(&item.name, item.real_time_factor, reasons));
        }
        if let Some(ChallengeMetrics { wer, bleu, chrf, al_ms, laal_ms, atd_ms, .. }) =
            total.metrics
        {
            let figures = Row {
                score: total.score,
                text_metrics: [wer, bleu, chrf],
                lags: [al_ms, laal_ms, atd_ms],
            };
            rows.add_row(figures.cells("all", total.real_time_factor, String::new()));
        }
        let (timings, conditions, usage) =
            (timing_table(&self.timings), self.conditions(), self.usage(&total));
        let mut text =
            format!("{rows}\n\n{timings}\n\n{}\n{}", wrap_text(&conditions), wrap_text(&usage));
        for (item, error) in self.items.iter().filter_map(|item| Some((item, item.error.as_ref()?)))
        {
            let _ = write!(
                text,
                "\nerror: {}: {}",
                printable(&item.name),
                printable(&readable_error(error))
            );
        }
        text
    }

    fn conditions(&self) -> String {
        format!(
            "scored without competitors, transcribed with {} and compared with {}; lags in seconds of the recording",
            describe_recognizer(&self.recognizer[0]),
            self.embedder
        )
    }

    /// Describes what the miner used for the recordings.
    fn usage(&self, total: &Total) -> String {
        let mut text = format!("{:.1} s of speech", total.source_sec);
        if self.speakers > NonZeroUsize::MIN {
            let _ = write!(text, " by {} speakers at a time", self.speakers);
        }
        if let Some(seconds) = self.miner.cpu_sec {
            let _ = write!(text, "; processor time of the miner {seconds:.2} s");
            // How much of an incomplete recording the miner processed is unknown.
            if self.items.iter().all(|item| item.wall_sec.is_some()) {
                let factor = ratio(seconds, total.source_sec);
                let _ = write!(text, " ({factor:.3} × real time)");
            }
        }
        if let Some(megabytes) = self.miner.max_rss_mb {
            let _ = write!(text, "; its peak memory {megabytes:.0} MB");
        }
        text
    }
}

/// Figures of a row of the table.
struct Row {
    score: f64,
    /// Word error rate, BLEU and chrF.
    text_metrics: [f64; 3],
    /// AL, LAAL and ATD in milliseconds.
    lags: [Option<f64>; 3],
}

impl Row {
    fn cells(self, name: &str, real_time_factor: Option<f64>, reasons: String) -> [String; 10] {
        let [wer, bleu, chrf] = self.text_metrics.map(|value| decimals(Some(value), 1));
        let [al, laal, atd] =
            self.lags.map(|lag| decimals(lag.map(|milliseconds| milliseconds / 1000.0), 2));
        let factor = decimals(real_time_factor, 3);
        [
            name.to_owned(),
            decimals(Some(self.score), 3),
            wer,
            bleu,
            chrf,
            al,
            laal,
            atd,
            factor,
            reasons,
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_primitives::SampleRate;

    use super::super::super::sounds::encode_wav;
    use super::super::items::Recordings;
    use super::*;

    fn figures(
        name: &str,
        transcript: Option<&str>,
        reference: &str,
        lag: Option<f64>,
    ) -> ItemFigures {
        let pair = TextPair { hypothesis: transcript.unwrap_or_default(), reference };
        let wall_sec = transcript.map(|_| 1.0);
        ItemFigures {
            name: name.to_owned(),
            source: None,
            reference: reference.to_owned(),
            transcript: transcript.map(str::to_owned),
            source_sec: 4.0,
            score: if transcript.is_some() { 0.5 } else { 0.0 },
            accuracy: transcript.map(|_| 0.8),
            rate_ratio: transcript.map(|_| 1.1),
            overshoot_sec: transcript.map(|_| 1.5),
            metrics: UtteranceMetrics {
                wer: word_error_rate([pair]),
                bleu: sentence_bleu(pair),
                chrf: chrf([pair]),
                al_ms: lag,
                laal_ms: lag,
                atd_ms: lag,
            },
            wall_sec,
            real_time_factor: wall_sec.map(|wall| wall / 4.0),
            after_source_sec: wall_sec,
            failed_gates: if transcript.is_some() {
                Vec::new()
            } else {
                vec![Gate::PredictionError]
            },
            error: transcript.is_none().then(|| "timeout after 3.0s".to_owned()),
        }
    }

    #[test]
    fn unplayed_recording_counts_as_failed() {
        let directory = tempfile::tempdir().unwrap();
        let file = encode_wav(vec![0.1; 16_000], SampleRate::HZ_16K).unwrap();
        std::fs::write(directory.path().join("a.wav"), file).unwrap();
        std::fs::write(directory.path().join("a.txt"), "Hello.").unwrap();
        let recordings = Recordings::find(directory.path(), None, "en", Duration::from_mins(10));
        let Recordings::Files(items) = recordings.unwrap() else { panic!("a directory") };
        let figures: Vec<_> = items.into_iter().map(|item| ItemFigures::of(item, &[])).collect();
        let total = Total::from_items(&figures);
        assert_eq!((total.failed, total.score, total.source_sec), (1, 0.0, 1.0));
        assert_eq!(figures[0].error.as_deref(), Some("the recording was not played"));
        assert_eq!(
            (figures[0].metrics.wer, figures[0].failed_gates.as_slice()),
            (100.0, &[Gate::PredictionError][..])
        );
    }

    /// As in sacreBLEU, a missing translation is an empty line, which lowers BLEU and chrF and
    /// increases the word error rate.
    #[test]
    fn reply_without_transcript_counts_as_an_empty_text() {
        let reference = "the cat sat on the mat";
        let perfect = figures("1", Some(reference), reference, Some(1_500.0));
        let all = Total::from_items(std::slice::from_ref(&perfect));
        let metrics = all.metrics.unwrap();
        assert_eq!(
            (metrics.wer, metrics.bleu, metrics.chrf, metrics.replies),
            (0.0, 100.0, 100.0, 1)
        );
        let both = Total::from_items(&[perfect, figures("2", None, reference, None)]);
        let metrics = both.metrics.unwrap();
        // The brevity penalty is e^(1 - 12/6); chrF has precision 1 and recall 1/2.
        assert_eq!((metrics.wer, metrics.bleu, metrics.chrf), (50.0, 36.787_944, 55.555_556));
        assert_eq!((metrics.replies, metrics.laal_ms, both.failed), (1, Some(1_500.0), 1));
        assert_eq!((both.score, both.accuracy, both.source_sec), (0.25, Some(0.8), 8.0));
        // Only the recording with a complete reply counts.
        assert_eq!(both.real_time_factor, Some(0.25));
        let none = Total::from_items(&[]);
        assert_eq!((none.score, none.metrics, none.real_time_factor), (0.0, None, None));
    }

    /// Creates a report of recordings with these figures.
    fn report(items: Vec<ItemFigures>) -> Report {
        Report {
            recordings: "recordings".to_owned(),
            speakers: NonZeroUsize::MIN,
            recognizer: ["tiny-ctc".to_owned(), String::new()],
            embedder: "embedder".to_owned(),
            miner: MeasuredMiner {
                url: "http://127.0.0.1:1".to_owned(),
                hotkey: Hotkey::from_bytes([0; 32]),
                options: None,
                cpu_sec: None,
                max_rss_mb: None,
            },
            items,
            timings: Timings::default(),
        }
    }

    /// The processor time of an incomplete recording is not that of its duration.
    #[test]
    fn processor_time_per_real_time_requires_complete_replies() {
        let complete = figures("a", Some("hello"), "hello", None);
        let incomplete = figures("b", None, "hello", None);
        for (items, expected) in [
            (
                vec![complete.clone()],
                "4.0 s of speech; processor time of the miner 2.00 s (0.500 × real time)",
            ),
            (vec![complete, incomplete], "8.0 s of speech; processor time of the miner 2.00 s"),
        ] {
            let mut report = report(items);
            report.miner.cpu_sec = Some(2.0);
            assert_eq!(report.usage(&Total::from_items(&report.items)), expected);
        }
    }

    #[test]
    fn failed_recordings_are_errors() {
        let failed = |error: &str| {
            let error = Some(error.to_owned());
            ItemFigures { error, ..figures("a", None, "hello", None) }
        };
        let complete = figures("b", Some("hello"), "hello", None);
        let error = Some("ValueError:WAV payload had no frames".to_owned());
        let silent = ItemFigures { error, ..complete.clone() };
        let refused = "ConnectionError:cannot connect to 127.0.0.1:1";
        for (items, expected) in [
            (vec![complete.clone()], None),
            (
                vec![failed(refused), failed(refused)],
                Some(
                    "the miner completed no reply: cannot connect to 127.0.0.1:1\nhint: start the miner, and check its \
                     address",
                ),
            ),
            (
                vec![failed("501:<html>\n<h1>No POST</h1>")],
                Some(
                    "the miner completed no reply: status 501: No POST\nhint: a proxy or web server answered in place of \
                     the miner: start the miner behind it, and check the proxy's upstream address and timeout",
                ),
            ),
            (
                vec![failed(refused), failed("timeout after 3.0s\u{1b}")],
                Some(
                    "the miner completed no reply: cannot connect to 127.0.0.1:1; timeout after 3.0s\\u{1b}",
                ),
            ),
            (
                vec![silent.clone()],
                Some("1 of 1 recording failed\nhint: the report has the errors"),
            ),
            (
                vec![complete.clone(), complete, failed(refused)],
                Some("1 of 3 recordings failed\nhint: the report has the errors"),
            ),
        ] {
            let error = report(items).check().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected);
        }
        assert_eq!(Total::from_items(std::slice::from_ref(&silent)).failed, 1);
        let text = report(vec![silent]).format_report();
        assert!(text.ends_with("\nerror: b: the reply has no audio"), "{text}");
    }
}
