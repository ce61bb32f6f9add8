//! A client that asks miners and chooses the best completion.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_kit::{
    AddressPolicy, CallError, MinerEntry, Protocol as _, QueryError, QueryLimits, Reply,
    ReplyError, StreamError, query, query_stream,
};
use taonet_lm::Message;
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_core::Reward;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, DendriteScheme, SignedClient, Signer};

use crate::judge::Answer;
use crate::{Judge, JudgeError, Prompting, StreamPrompting};

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
    /// The completion cannot be streamed.
    #[error(transparent)]
    Stream(StreamError),
    /// A part of a completion cannot be written.
    #[error("cannot write the completion")]
    Output(#[source] io::Error),
}

/// The reply of a miner.
#[derive(Debug)]
pub struct MinerAnswer {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// The completion, or why there is none.
    pub completion: Result<String, ReplyError>,
    /// Time until the reply.
    pub elapsed: Duration,
    /// Reward of the completion, with its components.
    pub reward: Reward,
}

/// Creates the client that [`ask()`] needs, which signs its requests with `keypair` and calls
/// permitted addresses.
///
/// # Errors
/// [`CallError`] when the TLS setup fails.
pub fn client(
    keypair: Keypair,
    addresses: &AddressPolicy,
    limits: QueryLimits,
) -> Result<SignedClient, CallError> {
    let scheme = DendriteScheme::new().class(Prompting::class()).class(StreamPrompting::class());
    let signer = Signer::new(keypair, "0.0.0.0", scheme);
    let config =
        ClientConfig { max_response_bytes: limits.max_response_bytes, ..ClientConfig::default() };
    SignedClient::with_addresses(signer, config, addresses.permitted())
}

/// Sends a conversation to miners; returns their completions, the best first. Among equal ones, the
/// fastest is first.
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
    let answers: Vec<Answer> =
        replies.iter().map(|reply| Answer::from_reply(reply, limits.deadline)).collect();
    let judged_completions = judge.judge(conversation, answers).await?;
    let rated_replies = replies.into_iter().zip(judged_completions.rewards);
    let mut answers: Vec<MinerAnswer> =
        rated_replies.map(|(reply, reward)| miner_answer(reply, reward)).collect();
    answers.sort_by(|one, other| {
        let order = other.reward.total.total_cmp(&one.reward.total);
        order
            .then(one.completion.is_err().cmp(&other.completion.is_err()))
            .then(one.elapsed.cmp(&other.elapsed))
    });
    Ok(answers)
}

/// Sends a conversation to one miner, and calls `on_part` with each part of its completion as it
/// arrives. The reply has the complete text; that of a miner which fails after some parts is an
/// error.
///
/// # Errors
/// [`AskError`] when the request cannot be sent to any miner, or `on_part` fails.
pub async fn ask_streaming(
    client: &SignedClient,
    miner: &MinerEntry,
    conversation: &[Message],
    limits: QueryLimits,
    mut on_part: impl FnMut(&str) -> io::Result<()>,
) -> Result<Reply<Prompting>, AskError> {
    let start = Instant::now();
    let request = Prompting::new(conversation);
    let reply = |response: Result<Prompting, ReplyError>| Reply {
        uid: miner.uid,
        hotkey: miner.hotkey,
        response,
        elapsed: start.elapsed(),
    };
    let mut parts =
        match query_stream(client, miner, &StreamPrompting(request.clone()), limits).await {
            Ok(parts) => parts,
            Err(StreamError::Query(error)) => return Err(error.into()),
            Err(StreamError::Reply(error)) => return Ok(reply(Err(error))),
            Err(other) => return Err(AskError::Stream(other)),
        };
    let mut completion = String::new();
    while let Some(part) = parts.next_part().await {
        match part {
            Ok(part) => {
                on_part(&part).map_err(AskError::Output)?;
                completion.push_str(&part);
            }
            Err(error) => return Ok(reply(Err(error))),
        }
    }
    Ok(reply(Ok(Prompting { completion, ..request })))
}

/// Rewards the reply of one miner to a conversation.
///
/// # Errors
/// [`AskError`] when the completion cannot be rewarded.
pub async fn reward_reply(
    reply: Reply<Prompting>,
    conversation: Vec<Message>,
    limits: QueryLimits,
    judge: &Arc<Judge>,
) -> Result<MinerAnswer, AskError> {
    let judged =
        judge.judge(conversation, vec![Answer::from_reply(&reply, limits.deadline)]).await?;
    Ok(miner_answer(reply, judged.rewards.into_iter().next().unwrap_or_default()))
}

fn miner_answer(reply: Reply<Prompting>, reward: Reward) -> MinerAnswer {
    let Reply { uid, hotkey, response, elapsed } = reply;
    let completion = response.map(|response| response.completion);
    MinerAnswer { uid, hotkey, completion, elapsed, reward }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{any, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::{HashedWords, query_limits};

    const QUESTION: &str = "What is the capital of Texas?";
    const SENTENCE: &str = "The capital of Texas is Austin.";

    fn body(roles: &[&str], question: &str, completion: &str) -> Vec<u8> {
        json!({ "roles": roles, "messages": [question], "completion": completion })
            .to_string()
            .into_bytes()
    }

    /// Replaces the completion `?` of a response.
    fn with_completion(json: &[u8]) -> Vec<u8> {
        let complete = body(&["user"], QUESTION, "?");
        let before = complete.strip_suffix(b"\"?\"}").unwrap();
        [before, json].concat()
    }

    /// Columns: response · the start of the completion, or what the error contains
    fn responses() -> Vec<(ResponseTemplate, Result<&'static str, &'static str>)> {
        let ok = |body: Vec<u8>| ResponseTemplate::new(200).set_body_bytes(body);
        let long = "word ".repeat(4_000);
        vec![
            (ok(body(&["user"], QUESTION, SENTENCE)), Ok(SENTENCE)),
            (ok(body(&["user"], QUESTION, "Austin")), Ok("Austin")),
            (ok(body(&["user"], QUESTION, QUESTION)), Ok(QUESTION)),
            (ok(body(&["user"], QUESTION, &long)), Ok("word word")),
            (ok(body(&["user"], QUESTION, "")), Ok("")),
            (ok(vec![b' '; 1 << 20]), Err("")),
            (ok(with_completion(b"\"\xff\"}")), Err("not a message")),
            (ok(with_completion(b"7}")), Err("not a message")),
            (ok(with_completion(b"\"one\", \"completion\": \"two\"}")), Err("not a message")),
            (ok(b"[]".to_vec()), Err("not a message")),
            (ok(body(&["user"; 2_000], QUESTION, SENTENCE)), Err("not a message")),
            (ok(body(&["user"], "What is the capital of Italy?", "Rome")), Err("another request")),
            (ResponseTemplate::new(503), Err("503")),
            (
                ok(body(&["user"], QUESTION, SENTENCE)).set_delay(Duration::from_mins(1)),
                Err("timeout"),
            ),
        ]
    }

    #[tokio::test]
    async fn best_completion_is_first_and_hostile_replies_score_zero() {
        let (keypair, addresses) =
            (Keypair::from_uri("//validator").unwrap(), AddressPolicy::private());
        let (mut servers, mut miners) = (Vec::new(), Vec::new());
        for (uid, (response, _)) in (0..).map(Uid).zip(responses()) {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(response).mount(&server).await;
            let address = addresses.resolve(&server.address().to_string()).unwrap();
            miners.push(MinerEntry { uid, hotkey: keypair.hotkey(), address, name: None });
            servers.push(server);
        }
        let limits = query_limits(Duration::from_secs(3));
        let client = client(keypair, &addresses, limits).unwrap();
        let conversation = vec![Message::new("user", QUESTION)];
        let judge = Arc::new(Judge::new(Arc::new(HashedWords), None));
        let answers = ask(&client, &miners, conversation, limits, judge).await.unwrap();
        assert_eq!(answers[0].completion.as_deref().ok(), Some(SENTENCE), "{answers:?}");
        let totals: Vec<f64> = answers.iter().map(|answer| answer.reward.total).collect();
        assert!(totals.is_sorted_by(|one, other| one >= other), "{totals:?}");
        for (uid, (_, expected)) in (0..).map(Uid).zip(responses()) {
            let answer = answers.iter().find(|answer| answer.uid == uid).unwrap();
            match (&answer.completion, expected) {
                (Ok(completion), Ok(start)) => {
                    assert!(completion.starts_with(start), "{uid}: {completion}");
                }
                (Err(error), Err(text)) => {
                    assert!(error.to_string().contains(text), "{uid}: {error}");
                }
                _ => panic!("{uid}: {:?}, expected {expected:?}", answer.completion),
            }
            let is_rewarded = [Uid(0), Uid(1), Uid(3)].contains(&uid);
            assert_eq!(answer.reward.total > 0.0, is_rewarded, "{uid}: {:?}", answer.reward);
        }
        drop(servers);
    }

    #[tokio::test]
    async fn joined_stream_parts_equal_the_completion() {
        let (keypair, addresses) =
            (Keypair::from_uri("//validator").unwrap(), AddressPolicy::private());
        let limits = query_limits(Duration::from_secs(3));
        let client = client(keypair.clone(), &addresses, limits).unwrap();
        let conversation = vec![Message::new("user", QUESTION)];
        for (response, expected) in [
            (ResponseTemplate::new(200).set_body_bytes(SENTENCE), Ok(SENTENCE)),
            (ResponseTemplate::new(501), Err("501")),
            (ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 1 << 20]), Err("")),
        ] {
            let server = MockServer::start().await;
            Mock::given(path("/StreamPrompting")).respond_with(response).mount(&server).await;
            let address = addresses.resolve(&server.address().to_string()).unwrap();
            let miner = MinerEntry { uid: Uid(0), hotkey: keypair.hotkey(), address, name: None };
            let mut received = String::new();
            let take = |part: &str| {
                received.push_str(part);
                Ok(())
            };
            let reply = ask_streaming(&client, &miner, &conversation, limits, take).await.unwrap();
            let judge = Arc::new(Judge::new(Arc::new(HashedWords), None));
            let answer = reward_reply(reply, conversation.clone(), limits, &judge).await.unwrap();
            match expected {
                Ok(text) => {
                    assert_eq!(
                        (answer.completion.as_deref().ok(), received.as_str()),
                        (Some(text), text)
                    );
                    assert!(answer.reward.total > 0.5, "{:?}", answer.reward);
                }
                Err(text) => assert!(answer.completion.unwrap_err().to_string().contains(text)),
            }
        }
    }
}
