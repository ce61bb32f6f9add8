//! Admission of callers by a server, and its limits.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use taonet_primitives::Hotkey;
use taonet_wire::{Concurrency, Load, Rate, Registration, RegistrationTable};

use crate::chain::Metagraph;
use crate::convert::seconds;
use crate::errors::Failure;

/// Stakes and validator permits by hotkey, shared by a policy and the code that updates them.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Standings(Arc<RegistrationTable>);

#[pymethods]
impl Standings {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Replaces all standings by those of a metagraph.
    fn update(&self, metagraph: &Metagraph) {
        let registration = |neuron: &taonet_chain::Neuron| {
            (
                neuron.hotkey,
                Registration {
                    stake: neuron.total_stake.get(),
                    validator_permit: neuron.validator_permit,
                },
            )
        };
        self.0.replace(metagraph.graph().neurons.iter().map(registration).collect());
    }

    /// Replaces all standings by these tuples (stake in rao, validator permit).
    fn replace(&self, standings: HashMap<String, (u64, bool)>) -> Result<(), Failure> {
        let registration = |(hotkey, (stake, validator_permit)): (String, _)| {
            Ok((self::hotkey("standings", &hotkey)?, Registration { stake, validator_permit }))
        };
        self.0.replace(standings.into_iter().map(registration).collect::<Result<_, Failure>>()?);
        Ok(())
    }
}

/// The access policy: which callers with a valid signature may call. By default, all of them.
#[pyclass(frozen, module = "taonet")]
#[derive(Clone)]
pub(crate) struct Policy(pub(crate) taonet_wire::Policy);

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (*, allowed=None, blocked=Vec::new(), standings=None, registered_only=false, min_stake=0,
                        validators_only=false))]
    fn new(
        allowed: Option<Vec<String>>,
        blocked: Vec<String>,
        standings: Option<&Standings>,
        registered_only: bool,
        min_stake: u64,
        validators_only: bool,
    ) -> Result<Self, Failure> {
        let open = taonet_wire::Policy::open;
        let mut policy = allowed.map_or_else(
            || Ok(open()),
            |allowed| hotkeys("allowed", &allowed).map(taonet_wire::Policy::only),
        )?;
        policy = policy.block(hotkeys("blocked", &blocked)?).min_stake(min_stake);
        if let Some(standings) = standings {
            policy = policy.with_registrations(standings.0.clone());
        }
        if registered_only {
            policy = policy.registered_only();
        }
        Ok(Self(if validators_only { policy.validators_only() } else { policy }))
    }
}

fn hotkeys(name: &str, texts: &[String]) -> Result<Vec<Hotkey>, Failure> {
    texts.iter().map(|text| hotkey(name, text)).collect()
}

/// Parses one of the hotkeys in an argument. The error names both.
fn hotkey(name: &str, text: &str) -> Result<Hotkey, Failure> {
    text.parse().map_err(|error| Failure::value(format!("{name}: {text:?}: {error}")))
}

/// The limits on each request, and on all of them together.
#[pyclass(frozen, module = "taonet")]
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) limits: taonet_wire::Limits,
    pub(crate) load: Load,
}

#[pymethods]
impl Limits {
    /// Times are in seconds. `large_bodies_bytes` is the memory for all bodies together, of which
    /// the first 64 KiB of each do not count. `rate` is the number of requests per second of one
    /// hotkey, `burst` the capacity of its bucket; `running` is the number of concurrent requests,
    /// and `waiting` that of queued ones. A request waits in the queue for at most `patience`.
    #[new]
    #[pyo3(signature = (*, body_bytes=1_048_576, large_bodies_bytes=67_108_864, body_timeout=10.0,
                        answer_timeout=300.0, header_bytes=16_384, rate=None, burst=None, running=None, waiting=1024,
                        patience=10.0))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        body_bytes: usize,
        large_bodies_bytes: usize,
        body_timeout: f64,
        answer_timeout: f64,
        header_bytes: usize,
        rate: Option<u32>,
        burst: Option<u32>,
        running: Option<usize>,
        waiting: usize,
        patience: f64,
    ) -> Result<Self, Failure> {
        if body_bytes > large_bodies_bytes {
            let hint = "hint: set large_bodies_bytes, the memory that large bodies share, to at least body_bytes";
            return Err(Failure::value(format!(
                "body_bytes is {body_bytes}, above {large_bodies_bytes}; {hint}"
            )));
        }
        let limits = taonet_wire::Limits {
            body_bytes,
            large_bodies_bytes,
            body_timeout: seconds("body_timeout", body_timeout)?,
            answer_timeout: seconds("answer_timeout", answer_timeout)?,
            header_bytes,
            ..taonet_wire::Limits::default()
        };
        let patience = seconds("patience", patience)?;
        let load = Load {
            rate: rate.map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) }),
            concurrency: running.map(|running| Concurrency {
                running,
                waiting,
                max_wait: patience,
            }),
        };
        Ok(Self { limits, load })
    }
}
