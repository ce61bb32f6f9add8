//! The completions behind a miner's score.

use std::collections::BTreeMap;

use taonet_kit::{Explanation, RecordedReward, RecordedStep, RequestHash};

use crate::{AnswerRecord, StepRecord};

/// Maximum rounding difference between the share in the log and the reward in the scores.
const TOLERANCE: f64 = 1e-9;

/// A recorded reward of a miner, with the completion that earned it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedReward {
    /// The step.
    pub step: RecordedStep,
    /// The recorded reward, with the score before and after it.
    pub reward: RecordedReward,
    /// Contribution of the reward to the score.
    pub contribution: f64,
    /// Question and answer; `None` if the miner could not be called, or the log no longer has the
    /// step.
    pub answer: Option<(String, AnswerRecord)>,
}

/// Adds the completions to the rewards of a miner; the oldest reward is first. `records` are the
/// steps of the log that asked the miner, in their order.
///
/// Both refer to the hash of the request. A validator that is killed at the end of a step has
/// written the log, but not the scores: such a step has no reward.
pub fn explain_rewards(
    explanation: &Explanation,
    records: Vec<StepRecord>,
) -> Vec<ExplainedReward> {
    let mut answers: BTreeMap<RequestHash, Vec<(String, AnswerRecord)>> = BTreeMap::new();
    for StepRecord { question, request, answers: replies, .. } in records {
        let miner_answer = replies.into_iter().find(|answer| answer.hotkey == explanation.hotkey);
        if let (Some(request), Some(answer)) = (request, miner_answer) {
            answers.entry(request).or_default().push((question, answer));
        }
    }
    // From the newest step on: the oldest ones are no longer in the log.
    let rewards = explanation.rewards.iter().zip(explanation.contributions()).rev();
    let mut explained: Vec<ExplainedReward> = rewards
        .map(|((step, reward), contribution)| {
            let answer = answers.get_mut(&step.request).and_then(|request_answers| {
                let matches_reward = |(_, answer): &(String, AnswerRecord)| {
                    (answer.share - reward.reward).abs() <= TOLERANCE
                };
                let index = request_answers.iter().rposition(matches_reward)?;
                Some(request_answers.remove(index))
            });
            ExplainedReward { step: *step, reward: *reward, contribution, answer }
        })
        .collect();
    explained.reverse();
    explained
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use taonet_kit::CompletedStep;
    use taonet_primitives::{BlockNumber, Hotkey, Uid};

    use super::*;

    fn miner() -> Hotkey {
        Hotkey::from_bytes([1; 32])
    }

    fn request(number: u8) -> RequestHash {
        RequestHash::from_bytes([number; 32])
    }

    /// Returns a record with the replies of two miners.
    fn record(request_number: u8, share: f64, completion: &str) -> StepRecord {
        let answer = |hotkey, share| AnswerRecord {
            uid: Uid(3),
            hotkey,
            share,
            reward: 0.5,
            parts: BTreeMap::new(),
            completion: completion.to_owned(),
            error: None,
            seconds: 0.25,
        };
        let answers =
            vec![answer(Hotkey::from_bytes([2; 32]), 1.0 - share), answer(miner(), share)];
        StepRecord {
            question: "What?".to_owned(),
            request: Some(request(request_number)),
            seed: None,
            answers,
        }
    }

    /// Returns the explanation of rewards by the numbers of their requests.
    fn explanation(rewards: &[(u8, f64)]) -> Explanation {
        let completed = CompletedStep { block: BlockNumber::new(7), started_at: UNIX_EPOCH };
        let mut score = 0.0;
        let mut rewarded = Vec::new();
        for (number, (request_number, reward)) in (1..).zip(rewards) {
            let (score_before, alpha) = (score, 0.5);
            score += alpha * (reward - score);
            let step = RecordedStep { number, completed, alpha, request: request(*request_number) };
            let reward = RecordedReward {
                hotkey: miner(),
                uid: Uid(3),
                reward: *reward,
                score_before,
                score_after: score,
            };
            rewarded.push((step, reward));
        }
        Explanation { hotkey: miner(), score, rewards: rewarded }
    }

    /// Columns: requests and rewards of the steps · requests, shares and completions of the log ·
    /// completion of each step
    #[test]
    fn explained_reward_has_the_completion_of_its_step() {
        type Rewards = &'static [(u8, f64)];
        type Records = &'static [(u8, f64, &'static str)];
        type Completions = &'static [Option<&'static str>];
        let rows: [(Rewards, Records, Completions); 6] = [
            (
                &[(1, 0.5), (2, 0.25)],
                &[(1, 0.5, "one"), (2, 0.25, "two")],
                &[Some("one"), Some("two")],
            ),
            // The log of the first step is gone, or the miner could not be called in it.
            (&[(1, 0.5), (2, 0.25)], &[(2, 0.25, "two")], &[None, Some("two")]),
            (&[(1, 0.0), (2, 0.25)], &[(1, 0.5, "one"), (2, 0.25, "two")], &[None, Some("two")]),
            // The same question again.
            (
                &[(1, 0.5), (1, 0.5)],
                &[(1, 0.5, "one"), (1, 0.5, "two")],
                &[Some("one"), Some("two")],
            ),
            (&[(1, 0.5), (1, 0.5)], &[(1, 0.5, "two")], &[None, Some("two")]),
            // The validator was killed after the log of a step was written; it asked the same
            // question again.
            (
                &[(1, 0.5), (1, 0.25)],
                &[(1, 0.5, "one"), (1, 0.75, "lost"), (1, 0.25, "two")],
                &[Some("one"), Some("two")],
            ),
        ];
        for (rewards, records, expected) in rows {
            let records = records
                .iter()
                .map(|(request, share, completion)| record(*request, *share, completion));
            let actual = explain_rewards(&explanation(rewards), records.collect());
            let completions = actual
                .iter()
                .map(|one| one.answer.as_ref().map(|(_, answer)| answer.completion.as_str()));
            assert_eq!(completions.collect::<Vec<_>>(), expected, "{rewards:?}");
            assert!(
                actual.iter().all(|one| one
                    .answer
                    .as_ref()
                    .is_none_or(|(_, answer)| answer.hotkey == miner()))
            );
        }
        let actual = explain_rewards(&explanation(&[(1, 0.5), (2, 0.25)]), Vec::new());
        assert_eq!(actual.iter().map(|one| one.contribution).collect::<Vec<_>>(), [0.125, 0.125]);
    }
}
