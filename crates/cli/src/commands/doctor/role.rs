//! The services that `tao doctor` can check separately.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use clap::ValueEnum;
use taonet_babelbit_config::Config;
use taonet_cli_babelbit::runner;
use taonet_doctor::{DiskNeeds, Finding, WriteDirectory, port};
use taonet_primitives::NetUid;

use super::service_check::Service;

/// Netuid of Nineteen on the main network.
const NINETEEN_NETUID: NetUid = NetUid(19);
/// Netuid of proofs of inference on the main network.
const PROOF_NETUID: NetUid = NetUid(2);

/// A daemon. Babelbit's daemons are configured by settings, all others by options of their
/// commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Subtensor gateway
    Gateway,
    /// Signer
    Signer,
    /// Validator
    Validator,
    /// Runner
    Runner,
    /// Miner
    Miner,
    /// Validator of Nineteen
    NineteenValidator,
    /// Entry process of Nineteen
    NineteenEntry,
    /// Query worker of Nineteen
    NineteenQuery,
    /// Miner of Nineteen
    NineteenMiner,
    /// Validator of proofs
    ProofValidator,
    /// Miner of proofs
    ProofMiner,
    /// Validator of text prompting
    PromptingValidator,
    /// Miner of text prompting
    PromptingMiner,
}

fn recordings_write_directory(content: &'static str, path: &Path) -> WriteDirectory {
    WriteDirectory::new(content, path, DiskNeeds::RECORDINGS)
}

fn state_write_directory(content: &'static str, path: &Path) -> WriteDirectory {
    WriteDirectory::new(content, path, DiskNeeds::STATE)
}

impl Role {
    /// The daemons of Babelbit, which usually share one machine outside containers.
    pub(super) const BABELBIT: [Self; 5] =
        [Self::Gateway, Self::Signer, Self::Validator, Self::Runner, Self::Miner];

    /// Returns whether the daemon is one of Babelbit's.
    pub(super) fn is_babelbit(self) -> bool {
        Self::BABELBIT.contains(&self)
    }

    /// Returns the name of the daemon's subnet in messages.
    pub(super) const fn subnet(self) -> &'static str {
        match self {
            Self::Gateway | Self::Signer | Self::Validator | Self::Runner | Self::Miner => {
                "Babelbit"
            }
            Self::NineteenValidator
            | Self::NineteenEntry
            | Self::NineteenQuery
            | Self::NineteenMiner => "Nineteen",
            Self::ProofValidator | Self::ProofMiner => "proofs",
            Self::PromptingValidator | Self::PromptingMiner => "text prompting",
        }
    }

    /// Returns whether the daemon signs with a hotkey.
    pub(super) fn has_hotkey(self) -> bool {
        self != Self::NineteenEntry
    }

    /// Returns whether the daemon requires the token of its callers.
    pub(super) const fn requires_token(self) -> bool {
        matches!(self, Self::Gateway | Self::Signer)
    }

    /// Returns whether the daemon calls a service with the token.
    pub(super) fn calls(self, service: Service) -> bool {
        match self {
            Self::Validator => true,
            Self::Signer | Self::Runner => service == Service::Gateway,
            _ => false,
        }
    }

    /// Returns the netuid of the daemon's subnet on the main network; `None` for daemons of any
    /// subnet.
    pub(super) const fn netuid(self) -> Option<NetUid> {
        match self {
            Self::NineteenValidator
            | Self::NineteenEntry
            | Self::NineteenQuery
            | Self::NineteenMiner => Some(NINETEEN_NETUID),
            Self::ProofValidator | Self::ProofMiner => Some(PROOF_NETUID),
            _ => None,
        }
    }

    /// Returns the daemons that usually run for another subnet than Babelbit, by its netuid on the
    /// main network.
    pub(super) fn of_subnet(netuid: NetUid) -> &'static [Self] {
        if netuid == NINETEEN_NETUID {
            &[Self::NineteenValidator, Self::NineteenMiner]
        } else if netuid == PROOF_NETUID {
            &[Self::ProofValidator, Self::ProofMiner]
        } else {
            &[]
        }
    }

    /// Returns the directories in which the daemon writes; `state` is the directory of all daemons'
    /// state.
    pub(super) fn write_directories(self, config: &Config, state: &Path) -> Vec<WriteDirectory> {
        match self {
            Self::Gateway => {
                vec![state_write_directory("weight ledger", &state.join("subtensor-gateway"))]
            }
            Self::Signer => vec![state_write_directory("audit log", &state.join("signer"))],
            Self::Validator => {
                vec![
                    state_write_directory("validator state", &state.join("validator")),
                    state_write_directory("caches", &config.cache_dir),
                ]
            }
            Self::Runner => vec![
                recordings_write_directory("logs", &config.logs_dir),
                recordings_write_directory("scores", &config.scores_dir),
                state_write_directory("status files", &config.status_dir),
                WriteDirectory::of_file("transcripts", &config.transcript_cache, DiskNeeds::STATE),
            ],
            Self::Miner => vec![state_write_directory("replay log", &state.join("replay"))],
            // The other daemons write to subdirectories, named after the subnet and the hotkey.
            _ => vec![state_write_directory("state", state)],
        }
    }

    /// Returns the reported name and the default port, on 127.0.0.1, of a daemon of another subnet
    /// than Babelbit; `None` for Babelbit's daemons. The port is that of the service or of its
    /// metrics, and `None` if the daemon has no default.
    pub(super) const fn default_port(self) -> Option<(&'static str, Option<u16>)> {
        Some(match self {
            Self::NineteenValidator => ("nineteen validator", Some(8091)),
            Self::NineteenEntry => ("nineteen entry", Some(8092)),
            Self::NineteenQuery => ("nineteen query", Some(8014)),
            Self::NineteenMiner => ("nineteen miner", Some(4001)),
            Self::ProofValidator => ("proof validator", Some(9090)),
            Self::ProofMiner => ("proof miner", Some(8091)),
            Self::PromptingValidator => ("prompting validator", None),
            Self::PromptingMiner => ("prompting miner", Some(8091)),
            _ => return None,
        })
    }

    /// Checks the port of a daemon of another subnet than Babelbit, at `listen` or at its default
    /// address; `None` for a daemon without any.
    pub(super) async fn check_default_port(self, listen: Option<SocketAddr>) -> Option<Finding> {
        let (name, default) = self.default_port()?;
        let default = default.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Some(port(&[name], listen.or(default)?, "--listen or --metrics").await)
    }

    /// Checks the port of a daemon of Babelbit; `None` for a miner without a configured port, and
    /// for other daemons.
    pub(super) async fn check_port(self, config: &Config) -> Option<Finding> {
        let (names, address, setting): (&[&str], _, _) = match self {
            Self::Gateway => (
                &["subtensor gateway"],
                config.gateway_listen(),
                "SUBTENSOR_GATEWAY_HOST and SUBTENSOR_GATEWAY_PORT",
            ),
            Self::Signer => (&["signer"], config.signer_listen(), "SIGNER_HOST and SIGNER_PORT"),
            Self::Validator => (
                &["validator"],
                config.metrics_listen(),
                "BABELBIT_METRICS_ADDR and BABELBIT_METRICS_PORT",
            ),
            Self::Runner => {
                let address = SocketAddr::new(config.services.metrics_addr, runner::METRICS_PORT);
                (&["runner"], address, "BABELBIT_METRICS_ADDR, or pass --metrics")
            }
            Self::Miner => {
                let address =
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), config.axon_port?.get());
                (&["miner", "text miner"], address, "MINER_AXON_PORT")
            }
            _ => return None,
        };
        Some(port(names, address, setting).await)
    }
}
