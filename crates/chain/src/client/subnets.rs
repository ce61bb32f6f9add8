use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use taonet_primitives::{Alpha, BlockHash, BlockNumber, Coldkey, Hotkey, NetUid, Rao, Uid};

use super::metagraph::lossy_text;
use super::state::StorageQuery;
use super::{Client, Inner};
use crate::hyperparameters::format_fixed_point;
use crate::{
    At, ChainError, CommitReveal, Hyperparameters, Price, Schedule, SimulatedSwap, Subnet,
    SubnetIdentity, WeightRules,
};

const SUBNET_API: &str = "SubnetInfoRuntimeApi";
const SWAP_API: &str = "SwapRuntimeApi";

/// Queries for subnets, prices and registration costs.
impl Client {
    /// Returns all subnets.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn subnets(&self, at: At) -> Result<Vec<Subnet>, ChainError> {
        let raw_subnets: Vec<Option<RawSubnet>> =
            self.api_at("subnets", SUBNET_API, "get_all_dynamic_info", &[], at).await?;
        Ok(raw_subnets.into_iter().flatten().map(Subnet::from).collect())
    }

    /// Returns the subnet with this netuid.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`], or another [`ChainError`] if the read fails.
    pub async fn subnet(&self, netuid: NetUid, at: At) -> Result<Subnet, ChainError> {
        let raw: Option<RawSubnet> =
            self.api_at("subnet", SUBNET_API, "get_dynamic_info", &[number(netuid.0)], at).await?;
        raw.map(Subnet::from).ok_or(ChainError::NoSuchSubnet(netuid))
    }

    /// Returns the hyperparameters of a subnet.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`], or another [`ChainError`] if the read fails.
    pub async fn hyperparameters(
        &self,
        netuid: NetUid,
        at: At,
    ) -> Result<Hyperparameters, ChainError> {
        let method = "get_subnet_hyperparams_v3";
        let entries = self.runtime_api(SUBNET_API, method, &[netuid.0.into()], at).await?;
        if entries.is_null() {
            Err(ChainError::NoSuchSubnet(netuid))
        } else {
            Ok(Hyperparameters::from_json(&entries))
        }
    }

    /// Returns the current cost of registering on a subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn registration_cost(&self, netuid: NetUid, at: At) -> Result<Rao, ChainError> {
        let keys = [number(netuid.0)];
        Ok(self
            .value_at("registration cost", "SubtensorModule", "Burn", &keys, at)
            .await?
            .unwrap_or_default())
    }

    /// Returns the current cost of creating a subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn subnet_cost(&self, at: At) -> Result<Rao, ChainError> {
        let (api, method) = ("SubnetRegistrationRuntimeApi", "get_network_registration_cost");
        self.api_at("subnet cost", api, method, &[], at).await
    }

    /// Returns the alpha price of every subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn prices(&self, at: At) -> Result<Vec<Price>, ChainError> {
        self.api_at("prices", SWAP_API, "current_alpha_price_all", &[], at).await
    }

    /// Returns the price of one alpha of a subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn price(&self, netuid: NetUid, at: At) -> Result<Rao, ChainError> {
        self.api_at("price", SWAP_API, "current_alpha_price", &[number(netuid.0)], at).await
    }

    /// Simulates buying alpha for an amount of TAO.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn simulate_buying(
        &self,
        netuid: NetUid,
        tao: Rao,
        at: At,
    ) -> Result<SimulatedSwap, ChainError> {
        let args = [number(netuid.0), number(tao.get())];
        self.api_at("simulated purchase", SWAP_API, "sim_swap_tao_for_alpha", &args, at).await
    }

    /// Simulates selling an amount of alpha.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn simulate_selling(
        &self,
        netuid: NetUid,
        alpha: Alpha,
        at: At,
    ) -> Result<SimulatedSwap, ChainError> {
        let args = [number(netuid.0), number(alpha.get())];
        self.api_at("simulated sale", SWAP_API, "sim_swap_alpha_for_tao", &args, at).await
    }
}

impl Inner {
    pub(super) async fn weight_rules(
        &self,
        netuid: NetUid,
        block: BlockHash,
    ) -> Result<WeightRules, ChainError> {
        let runtime = self.runtime(block).await?;
        let netuid_key = [number(netuid.0)];
        let mut items = StorageQuery::new(&runtime).with_item("CommitRevealWeightsVersion", &[])?;
        for item in [
            "NetworksAdded",
            "SubnetworkN",
            "MinAllowedWeights",
            "MaxWeightsLimit",
            "WeightsVersionKey",
            "WeightsSetRateLimit",
            "CommitRevealWeightsEnabled",
            "RevealPeriodEpochs",
            "MechanismCountCurrent",
            "Tempo",
            "LastEpochBlock",
            "PendingEpochAt",
            "SubnetEpochIndex",
        ] {
            items = items.with_item(item, &netuid_key)?;
        }
        let values = items.read(self, block).await?;
        if !values.get::<bool>("NetworksAdded")? {
            return Err(ChainError::NoSuchSubnet(netuid));
        }
        let commit_reveal = CommitReveal {
            period_epochs: values.get("RevealPeriodEpochs")?,
            version: values.get("CommitRevealWeightsVersion")?,
        };
        let pending: BlockNumber = values.get("PendingEpochAt")?;
        Ok(WeightRules {
            neurons: values.get("SubnetworkN")?,
            min_allowed_weights: values.get("MinAllowedWeights")?,
            max_weights_limit: values.get("MaxWeightsLimit")?,
            version_key: values.get("WeightsVersionKey")?,
            rate_limit_blocks: values.get("WeightsSetRateLimit")?,
            commit_reveal: values
                .get::<bool>("CommitRevealWeightsEnabled")?
                .then_some(commit_reveal),
            mechanisms: values.get("MechanismCountCurrent")?,
            schedule: Schedule {
                tempo: values.get("Tempo")?,
                last_epoch: values.get("LastEpochBlock")?,
                pending_epoch: (pending != BlockNumber::default()).then_some(pending),
                epoch_index: values.get("SubnetEpochIndex")?,
            },
        })
    }

    pub(super) async fn uid(
        &self,
        netuid: NetUid,
        hotkey: &Hotkey,
        block: BlockHash,
    ) -> Result<Option<Uid>, ChainError> {
        let keys = [number(netuid.0), Value::from_bytes(hotkey.as_bytes())];
        self.read_value("SubtensorModule", "Uids", &keys, block).await
    }
}

/// A subnet as returned by the runtime API.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RawSubnet {
    netuid: NetUid,
    owner_hotkey: Hotkey,
    owner_coldkey: Coldkey,
    subnet_name: Vec<u8>,
    token_symbol: Vec<u8>,
    tempo: u16,
    last_step: BlockNumber,
    alpha_in: Alpha,
    alpha_out: Alpha,
    tao_in: Rao,
    alpha_out_emission: Alpha,
    alpha_in_emission: Alpha,
    tao_in_emission: Rao,
    network_registered_at: BlockNumber,
    subnet_identity: Option<RawIdentity>,
    moving_price: Fixed,
}

/// An I96F32 fixed-point number.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Fixed {
    bits: i128,
}

#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawIdentity {
    subnet_name: Vec<u8>,
    github_repo: Vec<u8>,
    subnet_contact: Vec<u8>,
    subnet_url: Vec<u8>,
    discord: Vec<u8>,
    description: Vec<u8>,
    logo_url: Vec<u8>,
    additional: Vec<u8>,
}

impl From<RawSubnet> for Subnet {
    fn from(raw: RawSubnet) -> Self {
        Self {
            netuid: raw.netuid,
            name: lossy_text(Some(raw.subnet_name)),
            symbol: lossy_text(Some(raw.token_symbol)),
            owner_hotkey: raw.owner_hotkey,
            owner_coldkey: raw.owner_coldkey,
            tempo: raw.tempo,
            last_step: raw.last_step,
            tao_in: raw.tao_in,
            alpha_in: raw.alpha_in,
            alpha_out: raw.alpha_out,
            tao_in_emission: raw.tao_in_emission,
            alpha_in_emission: raw.alpha_in_emission,
            alpha_out_emission: raw.alpha_out_emission,
            registered_at: raw.network_registered_at,
            moving_price: format_fixed_point(raw.moving_price.bits, 32),
            identity: raw.subnet_identity.map(SubnetIdentity::from),
        }
    }
}

impl From<RawIdentity> for SubnetIdentity {
    fn from(raw: RawIdentity) -> Self {
        Self {
            subnet_name: lossy_text(Some(raw.subnet_name)),
            github_repo: lossy_text(Some(raw.github_repo)),
            subnet_contact: lossy_text(Some(raw.subnet_contact)),
            subnet_url: lossy_text(Some(raw.subnet_url)),
            discord: lossy_text(Some(raw.discord)),
            description: lossy_text(Some(raw.description)),
            logo_url: lossy_text(Some(raw.logo_url)),
            additional: lossy_text(Some(raw.additional)),
        }
    }
}

pub(super) fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}
