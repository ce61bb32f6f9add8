//! `tao axon`: an echo server and a client for signed requests, to debug connections from a shell;
//! and the withdrawal of a published endpoint.

mod call;
mod call_outcome;
mod data;
mod echo;
mod peer;
mod ping;
mod reset;
mod serve;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, BtauthScheme, DendriteScheme, Signer, SynapseClass};

pub(crate) use call_outcome::CallOutcome;
pub(crate) use ping::quantile;

/// The commands of `tao axon`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(serve::ServeArgs),
    Call(call::CallArgs),
    Ping(ping::PingArgs),
    Reset(reset::ResetArgs),
}

/// Runs a command of `tao axon`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::run(args, context),
        Command::Call(args) => call::run(args, context),
        Command::Ping(args) => ping::run(args, context),
        Command::Reset(args) => reset::run(args, context),
    }
}

/// Signature scheme of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemeName {
    /// `btauth/1` of the Bittensor SDK 11
    Btauth,
    /// Synapses of the Bittensor SDK 10
    Dendrite,
    /// Scheme of Babelbit's validators; the request body is not signed
    Babelbit,
}

impl SchemeName {
    fn signer(self, keypair: Keypair, synapse: Option<SynapseClass>) -> Signer {
        // The external address is not resolved: no scheme signs it.
        let ip = "0.0.0.0";
        match self {
            Self::Btauth => Signer::new(keypair, ip, BtauthScheme::new()),
            Self::Babelbit => Signer::new(keypair, ip, BabelbitScheme::axon()),
            Self::Dendrite => Signer::new(
                keypair,
                ip,
                synapse.into_iter().fold(synapses(), DendriteScheme::class),
            ),
        }
    }
}

/// Creates the dendrite scheme with the synapse classes of the echo neuron.
fn synapses() -> DendriteScheme {
    DendriteScheme::new().class(prompt_class(echo::ECHO)).class(prompt_class(echo::STREAM))
}

fn prompt_class(name: &str) -> SynapseClass {
    SynapseClass::new(name).hash(["prompt"]).required("prompt", json!(""))
}
