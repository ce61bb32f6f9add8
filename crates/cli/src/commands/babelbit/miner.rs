//! `bb miner`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_node::miner::profile::{
    Interpreter, Manner, Mumbler, Parrot, Patient, Profile, ProfileName, Silent,
};
use taonet_babelbit_node::miner::server::{Miner, router};
use taonet_babelbit_node::miner::{MinerConfig, describe_metrics};
use taonet_primitives::Hotkey;
use taonet_speech::{CtcRecognizer, Espeak, Recognizer, Synthesizer};
use taonet_wire::Policy;

use crate::context::Context;
use crate::daemon::{Daemon, MetricsArgs};
use crate::keys::KeyArgs;
use crate::settings;

/// Serve a miner
#[derive(Debug, Args)]
pub(crate) struct MinerArgs {
    /// What it does: interpreter, patient, parrot, mumbler or silent
    #[arg(long, default_value = "interpreter")]
    profile: ProfileName,
    #[command(flatten)]
    key: KeyArgs,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8092")]
    listen: SocketAddr,
    /// Hotkeys that may call; left out, everyone with a valid signature
    #[arg(long, value_name = "HOTKEY")]
    allow: Vec<Hotkey>,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let hotkey = args.key.load(&config.network)?.hotkey();
    let policy = if args.allow.is_empty() { Policy::open() } else { Policy::only(args.allow.iter().copied()) };
    let profile = Engines::default().profile(args.profile)?;
    let miner_config = MinerConfig {
        predict_path: config.predict_endpoint.parse().context("BB_MINER_PREDICT_ENDPOINT")?,
        miner_id: Some(format!("taonet {}", args.profile)),
        ..MinerConfig::default()
    };
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        describe_metrics();
        let router = router(Arc::new(Miner::new(miner_config, profile)), hotkey, policy);
        context.say(&format!("hotkey {hotkey}"));
        daemon.serve(&format!("miner ({})", args.profile), router, context).await
    })
}

/// What profiles hear and speak with, loaded when the first of them needs it.
#[derive(Default)]
pub(crate) struct Engines {
    recognizer: Option<Arc<dyn Recognizer>>,
    synthesizer: Option<Arc<dyn Synthesizer>>,
}

impl Engines {
    /// Engines that are loaded already.
    pub(crate) fn with(recognizer: Arc<dyn Recognizer>, synthesizer: Arc<dyn Synthesizer>) -> Self {
        Self { recognizer: Some(recognizer), synthesizer: Some(synthesizer) }
    }

    pub(crate) fn profile(&mut self, name: ProfileName) -> anyhow::Result<Arc<dyn Profile>> {
        Ok(match name {
            ProfileName::Interpreter => Arc::new(self.interpreter()?),
            ProfileName::Patient => Arc::new(Patient::new(self.interpreter()?)),
            ProfileName::Parrot => Arc::new(Parrot),
            ProfileName::Mumbler => Arc::new(Mumbler::new(self.synthesizer()?, Manner::default().voice)?),
            ProfileName::Silent => Arc::new(Silent),
        })
    }

    fn interpreter(&mut self) -> anyhow::Result<Interpreter> {
        Ok(Interpreter::new(self.recognizer()?, self.synthesizer()?, Manner::default())?)
    }

    fn recognizer(&mut self) -> anyhow::Result<Arc<dyn Recognizer>> {
        if let Some(recognizer) = &self.recognizer {
            return Ok(Arc::clone(recognizer));
        }
        let recognizer: Arc<dyn Recognizer> = Arc::new(CtcRecognizer::embedded()?);
        Ok(Arc::clone(self.recognizer.insert(recognizer)))
    }

    fn synthesizer(&mut self) -> anyhow::Result<Arc<dyn Synthesizer>> {
        if let Some(synthesizer) = &self.synthesizer {
            return Ok(Arc::clone(synthesizer));
        }
        let synthesizer: Arc<dyn Synthesizer> = Arc::new(Espeak::find()?);
        Ok(Arc::clone(self.synthesizer.insert(synthesizer)))
    }
}
