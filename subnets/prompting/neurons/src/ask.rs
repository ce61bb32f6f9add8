//! A client that asks miners and chooses the best completion.

use std::sync::Arc;
use std::time::Duration;

use taonet_kit::{AddressPolicy, CallError, MinerEntry, Protocol as _, QueryError, QueryLimits, Reply, query};
use taonet_lm::Message;
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_core::Reward;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, DendriteScheme, SignedClient, Signer};

use crate::judge::Answer;
use crate::{Judge, JudgeError, Prompting};

/// Why no miner could be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The request cannot be signed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The completions cannot be rewarded.
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// The reply of a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct MinerAnswer {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// The completion, or why there is none.
    pub completion: Result<String, String>,
    /// Time until the reply.
    pub took: Duration,
    /// What the completion is worth, and why.
    pub reward: Reward,
}

/// Creates the client that [`ask()`] needs, which signs its requests with `keypair` and calls permitted addresses.
///
/// # Errors
/// [`CallError`] when the TLS setup fails.
pub fn client(keypair: Keypair, addresses: &AddressPolicy, limits: QueryLimits) -> Result<SignedClient, CallError> {
    let signer = Signer::new(keypair, "0.0.0.0", DendriteScheme::new().class(Prompting::class()));
    let config = ClientConfig { max_response_bytes: limits.max_response_bytes, ..ClientConfig::default() };
    SignedClient::with_addresses(signer, config, addresses.permitted())
}

/// Sends a conversation to miners; returns their completions, the best first. Among equal ones, the fastest is first.
///
/// # Errors
/// [`AskError`] when the request cannot be signed, or the completions cannot be rewarded.
pub async fn ask(
    client: &SignedClient,
    miners: &[MinerEntry],
    conversation: Vec<Message>,
    limits: QueryLimits,
    judge: Arc<Judge>,
) -> Result<Vec<MinerAnswer>, AskError> {
    let replies = query(client, miners, &Prompting::new(&conversation), limits).await?;
    let answers: Vec<Answer> = replies.iter().map(|reply| Answer::of(reply, limits.deadline)).collect();
    let judged = judge.judge(conversation, answers).await?;
    let rated = replies.into_iter().zip(judged.rewards);
    let mut answers: Vec<MinerAnswer> = rated.map(|(reply, reward)| answer(reply, reward)).collect();
    answers.sort_by(|one, other| {
        let by_reward = other.reward.total.total_cmp(&one.reward.total);
        by_reward.then(one.completion.is_err().cmp(&other.completion.is_err())).then(one.took.cmp(&other.took))
    });
    Ok(answers)
}

fn answer(reply: Reply<Prompting>, reward: Reward) -> MinerAnswer {
    let Reply { uid, hotkey, response, took } = reply;
    let completion = response.map(|response| response.completion).map_err(|error| error.to_string());
    MinerAnswer { uid, hotkey, completion, took, reward }
}
