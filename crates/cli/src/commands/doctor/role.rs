//! The services that `tao doctor` can check separately.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use clap::ValueEnum;
use taonet_babelbit_config::Config;
use taonet_cli_babelbit::runner;
use taonet_doctor::{DiskNeeds, Finding, WriteDirectory, port};

/// A daemon of Babelbit.
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
}

impl Role {
    /// All daemons, which usually share one machine outside containers.
    pub(super) const ALL: [Self; 5] =
        [Self::Gateway, Self::Signer, Self::Validator, Self::Runner, Self::Miner];

    /// Returns the directories in which the daemon writes; `state` is the directory of all daemons'
    /// state.
    pub(super) fn write_directories(self, config: &Config, state: &Path) -> Vec<WriteDirectory> {
        let recordings =
            |content, path: &Path| WriteDirectory::new(content, path, DiskNeeds::RECORDINGS);
        let records = |content, path: &Path| WriteDirectory::new(content, path, DiskNeeds::STATE);
        match self {
            Self::Gateway => vec![records("weight ledger", &state.join("subtensor-gateway"))],
            Self::Signer => vec![records("audit log", &state.join("signer"))],
            Self::Validator => {
                vec![
                    records("validator state", &state.join("validator")),
                    records("caches", &config.cache_dir),
                ]
            }
            Self::Runner => vec![
                recordings("logs", &config.logs_dir),
                recordings("scores", &config.scores_dir),
                records("status files", &config.status_dir),
                WriteDirectory::of_file("transcripts", &config.transcript_cache, DiskNeeds::STATE),
            ],
            Self::Miner => vec![records("replay log", &state.join("replay"))],
        }
    }

    /// Checks the port of the daemon; `None` for a miner without a configured port.
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
        };
        Some(port(names, address, setting).await)
    }
}
