//! Miners of the demonstration: the real miner, with completions that differ in quality.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taonet_chain::Chain;
use taonet_cli_localnet::demo_chain::{DemoChain, NETUID};
use taonet_kit::{Caller, Miner, MinerSettings, SynapseError};
use taonet_primitives::{Hotkey, with_causes};
use taonet_prompting_neurons::{CannedAnswers, Completer, Prompting, miner};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use tokio::net::TcpListener;

/// Behaviour of a demonstration miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Answers in a sentence.
    Good,
    /// Answers with the last word of this sentence.
    Short,
    /// Repeats the question.
    Parrot,
    /// Answers in a sentence, late.
    Slow,
    /// Accepts requests and never answers.
    Silent,
}

impl Behaviour {
    const ALL: [Self; 5] = [Self::Good, Self::Short, Self::Parrot, Self::Slow, Self::Silent];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Short => "short",
            Self::Parrot => "parrot",
            Self::Slow => "slow",
            Self::Silent => "silent",
        }
    }

    fn create_miner(self, keypair: Keypair, request_timeout: Duration) -> anyhow::Result<Miner> {
        let (settings, answers) = (MinerSettings::new(NETUID), CannedAnswers::built_in()?);
        if self == Self::Good {
            return Ok(miner(keypair, settings, Completer::canned(answers)));
        }
        let answers = Arc::new(answers);
        Ok(Miner::new(keypair, settings).serve(move |request: Prompting, _: Caller| {
            complete(self, Arc::clone(&answers), request_timeout, request)
        }))
    }
}

async fn complete(
    behaviour: Behaviour,
    answers: Arc<CannedAnswers>,
    request_timeout: Duration,
    request: Prompting,
) -> Result<Prompting, SynapseError> {
    let question = request.messages.last().cloned().unwrap_or_default();
    let answer = answers.answer(&question);
    let completion = match behaviour {
        Behaviour::Good => answer.to_owned(),
        Behaviour::Short => answer.split(' ').next_back().unwrap_or_default().to_owned(),
        Behaviour::Parrot => question,
        Behaviour::Slow => {
            tokio::time::sleep(request_timeout.mul_f64(0.7)).await;
            answer.to_owned()
        }
        Behaviour::Silent => std::future::pending().await,
    };
    Ok(Prompting { completion, ..request })
}

/// A running miner of the demonstration.
pub(super) struct DemoMiner {
    pub(super) behaviour: Behaviour,
    pub(super) hotkey: Hotkey,
}

/// Starts and registers one miner of each behaviour.
pub(super) async fn start(
    chain: &DemoChain,
    request_timeout: Duration,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<DemoMiner>> {
    let mut miners = Vec::new();
    for behaviour in Behaviour::ALL {
        let keypair = Keypair::from_uri(&format!("//prompting//{}", behaviour.name()))?;
        let hotkey = keypair.hotkey();
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
        chain.register(&keypair, listener.local_addr()?.port()).await?;
        let miner = behaviour.create_miner(keypair, request_timeout)?;
        let (client, stop): (Arc<dyn Chain>, _) = (chain.client(), shutdown.clone());
        shutdown.spawn("miner", async move {
            if let Err(error) = miner.run(listener, client, &stop).await {
                tracing::error!(
                    error = with_causes(&error),
                    miner = behaviour.name(),
                    "miner stopped"
                );
            }
        });
        miners.push(DemoMiner { behaviour, hotkey });
    }
    Ok(miners)
}
