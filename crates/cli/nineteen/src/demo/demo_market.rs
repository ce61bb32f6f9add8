//! Market of the demonstration: the model that its miners serve, and the tasks for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taonet_cli_base::context::Context;
use taonet_cli_models::chat_model::{self, CHAT_MODEL};
use taonet_lm::{Bits, LanguageModel};
use taonet_nineteen_core::MarketConfig;

/// Value of `--model` for the small model with random weights.
const RANDOM_MODEL: &str = "random";

/// A model, and the market for it.
pub(super) struct DemoMarket {
    pub(super) model: Arc<LanguageModel>,
    /// A cheaper model, with fewer layers and other weights, which the cheating miner serves.
    pub(super) cheaper_model: Arc<LanguageModel>,
    /// A trained model with its weights rounded to 4 bits, which the quantised miner serves.
    pub(super) quantised_model: Option<Arc<LanguageModel>>,
    pub(super) market: MarketConfig,
    /// Whether the market has image tasks, for which a painter draws.
    pub(super) has_images: bool,
    /// Whether the model is trained: it makes sense, and takes longer.
    pub(super) is_trained: bool,
    /// Remark on the model for the report.
    pub(super) note: String,
}

impl DemoMarket {
    /// Loads the model that `--model` names. Without it, the chat model if that is installed, or
    /// else the small model with random weights, and says how to install the chat model.
    pub(super) fn load(
        model: Option<&Path>,
        has_images: bool,
        seed: u64,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let image_note =
            if has_images { " A painter draws the images, without a model." } else { "" };
        let cheaper_model = Arc::new(LanguageModel::random("demo", 2, seed ^ 0x5eed)?);
        let installed = if model.is_none() { chat_model::installed_chat_model()? } else { None };
        let source =
            model.filter(|model| *model != Path::new(RANDOM_MODEL)).or(installed.as_deref());
        let Some(source) = source else {
            if model.is_none() {
                let (name, megabytes) = (CHAT_MODEL.name, CHAT_MODEL.bytes() as f64 / 1e6);
                context.print_notice(&format!(
                    "the model has random weights, so its answers mean nothing\nhint: `tao models pull {name}` \
                     ({megabytes:.0} MB) installs one that answers in English"
                ));
            }
            let note = format!(
                "The chain runs in memory; the models have random weights, generated from the seed.{image_note}"
            );
            let model = Arc::new(LanguageModel::random("demo", 4, seed)?);
            let market = parse_market(include_str!("tasks.toml"), has_images)?;
            return Ok(Self {
                model,
                cheaper_model,
                quantised_model: None,
                market,
                has_images,
                is_trained: false,
                note,
            });
        };
        let name = chat_model::model_name(source);
        context.print_notice(&format!(
            "the miners serve {name}; `--model {RANDOM_MODEL}` selects a small model with random \
             weights"
        ));
        let note = format!(
            "The chain runs in memory; the miners serve {name}, the quantised one with weights of 4 bits, the cheating \
             one a random model.{image_note}"
        );
        let model = Arc::new(chat_model::load("demo", source)?);
        let quantised_model = Some(Arc::new(chat_model::load_rounded("demo", source, Bits::Four)?));
        let market = parse_market(include_str!("trained.toml"), has_images)?;
        Ok(Self {
            model,
            cheaper_model,
            quantised_model,
            market,
            has_images,
            is_trained: true,
            note,
        })
    }

    /// Returns the response timeout of a miner, on a machine that also runs all models.
    pub(super) const fn response_timeout(&self) -> Duration {
        Duration::from_secs(if self.is_trained { 30 } else { 10 })
    }

    /// Returns the pause between two requests of the demonstration's buyer.
    pub(super) const fn pause(&self) -> Duration {
        Duration::from_millis(if self.is_trained { 2_000 } else { 200 })
    }
}

fn parse_market(file: &str, has_images: bool) -> anyhow::Result<MarketConfig> {
    let images = if has_images { include_str!("images.toml") } else { "" };
    MarketConfig::from_toml(&format!("{file}\n{images}")).context("the demo's task file is invalid")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use taonet_lm::{Message, Sampling};
    use taonet_nineteen_checker::{LocalReference, check_text};
    use taonet_nineteen_core::scoring::ScoringProfile;
    use taonet_nineteen_core::task::Endpoint;

    use super::*;

    /// Questions to the models, each of which is asked several times with other seeds.
    const QUESTIONS: [&str; 4] = [
        "What is the capital city of Italy?",
        "Tell me about trains.",
        "How do I make tea?",
        "Why is the sea salty?",
    ];
    /// Number of answers to each question.
    const SEEDS: u64 = 4;
    /// Maximum number of tokens of an answer.
    const MAX_TOKENS: usize = 24;

    /// Returns the answer of a miner that serves a model, in the chunks of its stream.
    fn answer(served: &LanguageModel, question: &str, seed: u64) -> Vec<Value> {
        let prompt = served.chat_prompt(&[Message::new("user", question)], false).unwrap();
        let sampling = Sampling {
            temperature: 0.7,
            top_k: 5,
            seed,
            max_tokens: MAX_TOKENS,
            ..Sampling::default()
        };
        let chunk = |step: taonet_lm::Step| {
            let text = served.vocabulary().text(step.token);
            json!({"choices": [{"delta": {"content": text}, "logprobs": {"content": [{"logprob": step.logprob}]}}]})
        };
        served.generate(prompt, sampling).map(|step| chunk(step.unwrap())).collect()
    }

    /// Returns the mean quality of the answers of a miner that serves one model, checked with
    /// another one.
    async fn mean_quality(reference: &LocalReference, served: &LanguageModel) -> f64 {
        let mut sum = 0.0;
        for question in QUESTIONS {
            for seed in 1..=SEEDS {
                let payload = json!({
                    "messages": [{"role": "user", "content": question}],
                    "temperature": 0.7,
                    "top_k": 5,
                    "max_tokens": MAX_TOKENS,
                    "seed": seed,
                });
                let chunks = answer(served, question, seed);
                let checked = check_text(
                    reference,
                    Endpoint::Chat,
                    payload.as_object().unwrap(),
                    &chunks,
                    ScoringProfile::Reference,
                    |count| count / 2,
                );
                sum += checked.await.unwrap().quality.unwrap();
            }
        }
        sum / (QUESTIONS.len() as f64 * SEEDS as f64)
    }

    /// The same weights pass the check, the same model with its weights rounded to 4 bits loses
    /// quality, and another model has none.
    #[tokio::test]
    async fn checks_detect_rounded_weights_and_other_models() {
        let Some(source) = chat_model::installed_chat_model().unwrap() else {
            let name = CHAT_MODEL.name;
            taonet_testing::skip(&format!(
                "NOT TESTED: {name} is not installed. Run scripts/models {name}, or ./test, which does so"
            ));
            return;
        };
        let model = Arc::new(chat_model::load("demo", &source).unwrap());
        let quantised = chat_model::load_rounded("demo", &source, Bits::Four).unwrap();
        let other = LanguageModel::random("demo", 2, 7).unwrap();
        let reference = LocalReference::new(Arc::clone(&model));
        let own_quality = mean_quality(&reference, &model).await;
        assert!(own_quality >= 0.99, "{own_quality}");
        // Measured with a separate implementation: 0.62, with a standard deviation of 0.09.
        let rounded_quality = mean_quality(&reference, &quantised).await;
        assert!(rounded_quality < 0.85, "{rounded_quality}");
        let other_quality = mean_quality(&reference, &other).await;
        assert!(other_quality < 0.01, "{other_quality}");
    }

    #[test]
    fn both_markets_have_the_same_tasks() {
        for has_images in [false, true] {
            let [random, trained] = [include_str!("tasks.toml"), include_str!("trained.toml")]
                .map(|file| parse_market(file, has_images).unwrap());
            let names = |market: &MarketConfig| {
                market.tasks.iter().map(|task| task.task.clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(&random), names(&trained));
            assert_eq!(names(&random).len(), if has_images { 6 } else { 2 });
            assert!(random.period() < trained.period());
        }
    }
}
