//! The challenge of validators: questions to miners, and the rewards of their answers.

mod settings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taonet_kit::{BoxError, Challenge, MinerEntry, Neuron, Reply, RequestHash, Selection};
use taonet_lm::Message;
use taonet_primitives::{Hotkey, with_causes};
use taonet_prompting_core::{Draws, Gate, Reward, normalised_rewards};

use crate::events::truncate_text;
use crate::judge::{Answer, JudgedCompletions};
use crate::protocol::last_text;
use crate::{
    AnswerRecord, Dataset, EventLog, GateFile, GateFileError, Item, Judge, Prompting, StepRecord,
};

pub use settings::{ChallengeError, ChallengeSettings};

/// Number of hotkeys from which on the gate forgets those that are not on the subnet: twice the
/// size of a subnet, so that one wrong list of neurons deletes little.
const MAX_GATE_HOTKEYS: usize = 512;

/// The challenge of the text-prompting subnet: a question for each step, a gate that chooses the
/// miners, rewards for their completions.
///
/// A question of the dataset is asked as it is. A passage takes two steps: in the first, miners are
/// asked for a question about it, and the best one is the question of the second.
#[derive(Debug)]
pub struct PromptingChallenge {
    judge: Arc<Judge>,
    dataset: Dataset,
    settings: ChallengeSettings,
    directory: PathBuf,
    events: EventLog,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: GateFile,
    /// The next step's conversation, which the gate needs before the miners are chosen; `None`
    /// after a failure.
    next_step: Option<PreparedStep>,
}

/// The conversation of a step.
#[derive(Debug, Clone)]
struct PreparedStep {
    conversation: Vec<Message>,
    /// Embedding of its last message.
    embedding: Vec<f32>,
}

impl PromptingChallenge {
    /// Opens the challenge of a validator whose state is in `directory`, which must exist: the gate
    /// (`gate.json`) and the record of all steps (`events.jsonl`). `seed` decides the questions of
    /// a new validator; miners must not know it. Blocks: the embedding model computes two texts.
    ///
    /// # Errors
    /// [`ChallengeError`] when a setting is out of its range, or the gate is unusable.
    pub fn open(
        directory: &Path,
        judge: Judge,
        dataset: Dataset,
        seed: u64,
        settings: ChallengeSettings,
    ) -> Result<Self, ChallengeError> {
        settings.validate()?;
        let mut file = GateFile::open(directory, &judge, seed)?;
        let conversation =
            next_conversation(file.question.clone(), &dataset, &settings, &mut file.draws);
        let embedding = judge.embed(last_text(&conversation)).map_err(GateFileError::from)?;
        let state = State { file, next_step: Some(PreparedStep { conversation, embedding }) };
        Ok(Self {
            judge: Arc::new(judge),
            dataset,
            settings,
            directory: directory.to_owned(),
            events: EventLog::in_directory(directory),
            state: Mutex::new(state),
        })
    }

    /// Returns a copy of the gate.
    pub fn gate(&self) -> Gate {
        self.lock_state().file.gate.clone()
    }

    /// Locks the state. A panic of another holder leaves it usable.
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares the next step: it asks `question`, or else one of the dataset.
    async fn prepare(&self, question: Option<String>) -> Result<PreparedStep, BoxError> {
        let conversation = next_conversation(
            question,
            &self.dataset,
            &self.settings,
            &mut self.lock_state().file.draws,
        );
        let judge = Arc::clone(&self.judge);
        let embed = move || {
            let embedding = judge.embed(last_text(&conversation))?;
            Ok::<_, BoxError>(PreparedStep { conversation, embedding })
        };
        tokio::task::spawn_blocking(embed).await?
    }

    /// Trains the gate, saves it with the next question, and records the step.
    async fn train(
        &self,
        judged: &JudgedCompletions,
        question: Option<String>,
        record: StepRecord,
    ) -> Result<(), BoxError> {
        let rewards: Vec<(Hotkey, f64)> =
            record.answers.iter().map(|answer| (answer.hotkey, answer.reward)).collect();
        let file = {
            let mut state = self.lock_state();
            let loss = state.file.gate.train(&judged.embedding, &rewards, self.settings.gate);
            tracing::debug!(loss, miners = rewards.len(), "gate trained");
            state.file.question = question;
            state.file.clone()
        };
        let (directory, events) = (self.directory.clone(), self.events.clone());
        let write = move || {
            file.save(&directory)?;
            events.append(&record)?;
            Ok::<_, BoxError>(())
        };
        tokio::task::spawn_blocking(write).await?
    }
}

impl Challenge for PromptingChallenge {
    type Request = Prompting;

    fn select(&self, eligible: Vec<Neuron>, selection: Selection) -> Vec<Neuron> {
        let hotkeys: Vec<Hotkey> = eligible.iter().map(|neuron| neuron.hotkey).collect();
        let mut state = self.lock_state();
        let State { file, next_step } = &mut *state;
        // Also when the gate does not choose the miners, since it is trained in any case.
        if file.gate.miners() > MAX_GATE_HOTKEYS {
            file.gate.retain(&hotkeys.iter().copied().collect());
        }
        let ChallengeSettings { best: Some(best), random, .. } = self.settings else {
            return selection.choose(eligible);
        };
        let Some(step) = next_step else {
            return Selection::Random(best + random).choose(eligible);
        };
        let selected = file.gate.choose(&step.embedding, &hotkeys, best, random, &mut file.draws);
        eligible.into_iter().filter(|neuron| selected.contains(&neuron.hotkey)).collect()
    }

    async fn request(&self, _: &[MinerEntry]) -> Result<Prompting, BoxError> {
        let prepared_step = self.lock_state().next_step.take();
        let step = match prepared_step {
            Some(step) => step,
            None => self.prepare(None).await?,
        };
        Ok(Prompting::new(&step.conversation))
    }

    async fn rewards(
        &self,
        request: &Prompting,
        replies: &[Reply<Prompting>],
    ) -> Result<Vec<f64>, BoxError> {
        let answers: Vec<Answer> =
            replies.iter().map(|reply| Answer::from_reply(reply, self.settings.deadline)).collect();
        let judged = self.judge.judge(request.messages_with_roles(), answers.clone()).await?;
        let totals: Vec<f64> = judged.rewards.iter().map(|reward| reward.total).collect();
        let shares = normalised_rewards(&totals, self.settings.temperature);
        let record = step_record(request, replies, &answers, &judged.rewards, &shares);
        let requests_question = request.messages.first() == Some(&self.settings.question_prompt);
        let question = best_text(answers, &totals).filter(|_| requests_question);
        self.train(&judged, question.clone(), record).await?;
        match self.prepare(question).await {
            Ok(step) => self.lock_state().next_step = Some(step),
            // The rewards of this step still count. The next step prepares its own question.
            Err(error) => {
                tracing::warn!(error = with_causes(&*error), "cannot prepare the next question");
            }
        }
        Ok(shares)
    }
}

/// Returns the text of the best answer, if it has earned a reward.
fn best_text(answers: Vec<Answer>, totals: &[f64]) -> Option<String> {
    let rewarded_answers = answers.into_iter().zip(totals).filter(|(_, total)| **total > 0.0);
    rewarded_answers
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(answer, _)| truncate_text(&answer.text))
}

fn step_record(
    request: &Prompting,
    replies: &[Reply<Prompting>],
    answers: &[Answer],
    rewards: &[Reward],
    shares: &[f64],
) -> StepRecord {
    let rows = replies.iter().zip(answers).zip(rewards.iter().zip(shares));
    let answer =
        |((reply, answer), (reward, share)): ((&Reply<Prompting>, &Answer), (&Reward, &f64))| {
            AnswerRecord {
                uid: reply.uid,
                hotkey: reply.hotkey,
                share: *share,
                reward: reward.total,
                parts: reward
                    .parts
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), *value))
                    .collect(),
                completion: truncate_text(&answer.text),
                error: reply.response.as_ref().err().map(|error| truncate_text(&error.to_string())),
                seconds: reply.elapsed.as_secs_f64(),
            }
        };
    let question =
        request.messages.last().map(|message| truncate_text(message)).unwrap_or_default();
    // The request was sent, so it can be serialised.
    let hash = RequestHash::of(request).ok();
    StepRecord { question, request: hash, seed: None, answers: rows.map(answer).collect() }
}

/// Returns the conversation of a step: about `question`, or else about an item that is drawn from
/// the dataset.
fn next_conversation(
    question: Option<String>,
    dataset: &Dataset,
    settings: &ChallengeSettings,
    draws: &mut Draws,
) -> Vec<Message> {
    let (system, user) = match question.map_or_else(|| dataset.sample(draws), Item::Question) {
        Item::Question(question) => (&settings.base_prompt, question),
        Item::Passage(passage) => (&settings.question_prompt, passage),
    };
    vec![Message::new("system", system), Message::new("user", user)]
}

#[cfg(test)]
mod tests;
