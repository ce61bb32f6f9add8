//! `bb push`: model to the hub, chute to Chutes, commitment to the chain.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use axum::http::StatusCode;
use clap::Args;
use serde_json::{Value, json};
use taonet_babelbit_chutes::{
    ApiError, Call as Request, ChuteInfo, ChutesApi, Commitment, HubApi, LocalModel, NewChute,
    NewImage, UploadPlan, chute_name,
};
use taonet_babelbit_config::Config;
use taonet_chain::calls::{self, CommitmentText};
use taonet_chain::{At, Call, Chain as _, Client, HotkeyState};
use taonet_cli_base::chain::{chain_error, configured_network, publish};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::printable::printable;
use taonet_cli_base::prompt;
use taonet_ledger::chain_time;
use taonet_primitives::{Hotkey, MechId, counted};
use taonet_timelock::{Beacon, Round, encrypt};
use taonet_wallet::Keypair;

use super::{
    IMAGE_NAME, ModelArgs, TemplateArgs, api_error, dockerfile, image_tag, model_repository,
    parse_revision, render, require_setting, revision_chute_name, until_interrupted,
};
use crate::settings;

/// Number of blocks until a commitment is revealed, as in the reference.
const BLOCKS_UNTIL_REVEAL: u32 = 1;

/// Size above which the hub usually stores a file separately, in bytes.
const MIN_LARGE_FILE_BYTES: u64 = 10_000_000;

/// Upload a text miner's model, deploy it on Chutes, and publish the commitment on the chain
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Directory of the model to upload
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "revision",
        conflicts_with = "revision"
    )]
    model_path: Option<PathBuf>,
    /// Revision that the hub already has, 40 hex digits, instead of an upload
    #[arg(long, value_name = "SHA", value_parser = parse_revision)]
    revision: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    template: TemplateArgs,
    /// Image of the chute, which must exist [default: babelbit:TAG, which is built if Chutes has no
    /// such image]
    #[arg(long, value_name = "NAME:TAG")]
    image: Option<String>,
    /// Account on Chutes that may use the chute, such as a validator's; may be repeated
    #[arg(long, value_name = "USER")]
    share_with: Vec<String>,
    /// Do not deploy the chute
    #[arg(long, conflicts_with_all = ["template", "image", "share_with"])]
    no_deploy: bool,
    /// Do not publish the commitment
    #[arg(long)]
    no_commit: bool,
    /// Do not start an instance of the chute
    #[arg(long)]
    no_warmup: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Show every request as JSON without sending any
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// State of a push: configuration, clients and arguments.
struct Push<'a> {
    args: &'a PushArgs,
    config: Config,
    hub: HubApi,
    api: ChutesApi,
    model: String,
}

pub(crate) fn push(args: &PushArgs, context: &Context) -> anyhow::Result<()> {
    if args.no_commit && args.key.is_given() {
        let message = "--keyfile and --key-uri sign the commitment, which --no-commit omits\nhint: omit them, or --no-commit";
        return Err(ClassifiedError::usage(message));
    }
    let config = settings::load()?;
    let push = Push {
        hub: HubApi::new(&config.chutes)?,
        api: ChutesApi::new(&config.chutes)?,
        model: model_repository(&config, &args.model)?,
        args,
        config,
    };
    // The wallet is opened first: without it, an upload of gigabytes would be in vain.
    let key = if args.no_commit { None } else { Some(args.key.load(None)?) };
    let files = args.model_path.as_deref().map(LocalModel::read).transpose()?;
    if args.dry_run {
        return context.print_json(
            &push.dry_run(files.as_ref(), key.as_ref().map(Keypair::hotkey).as_ref())?,
        );
    }
    let document = context.block_on(until_interrupted(push.run(files, key.as_ref(), context)))?;
    if context.json { context.print_json(&document) } else { Ok(()) }
}

impl Push<'_> {
    /// Describes every request.
    fn dry_run(
        &self,
        files: Option<&LocalModel>,
        hotkey: Option<&Hotkey>,
    ) -> anyhow::Result<Value> {
        let mut requests: Vec<Request> = Vec::new();
        // The hub assigns the revision at the upload.
        let placeholder_revision = "0".repeat(40);
        let revision = self.args.revision.as_deref().unwrap_or(&placeholder_revision);
        match files {
            Some(files) => {
                requests.push(self.hub.create(&self.model));
                requests.push(self.hub.preupload(&self.model, files));
                // The hub decides which files are large; these need not be read here.
                let large = files
                    .files
                    .iter()
                    .filter(|file| file.size > MIN_LARGE_FILE_BYTES)
                    .map(|file| file.name.clone());
                let plan = UploadPlan { large: large.collect(), ..UploadPlan::default() };
                if !plan.large.is_empty() {
                    // Its response has the addresses to which the files are sent.
                    requests.push(self.hub.batch(&self.model, files, &plan));
                }
                requests.push(self.hub.commit(&self.model, files, &plan)?);
            }
            None => requests.push(self.hub.model(&self.model, Some(revision))),
        }
        let (name, image) =
            (revision_chute_name(&self.config, revision)?, self.image_name(revision));
        if self.needs_chute() {
            requests.push(self.api.list(0));
        }
        if !self.args.no_deploy {
            let code = render(&self.config, &self.args.model, revision, &self.args.template)?;
            let chute =
                NewChute { name: &name, image: &image, code: &code, revision, model: &self.model };
            requests.push(self.api.image(&image));
            if self.args.image.is_none() {
                requests.extend([self.build_request(revision)?, self.api.build_log("ID", None)]);
            }
            requests.push(self.api.deploy(&chute));
            requests.extend(self.args.share_with.iter().map(|user| self.api.share("ID", user)));
        }
        if !self.args.no_warmup {
            requests.push(self.api.warm_up("ID"));
        }
        let commitment = hotkey.map(|hotkey| Commitment {
            model: Some(self.model.clone()),
            revision: Some(revision.to_owned()),
            chute_id: Some("ID".to_owned()),
            slug: Some("SLUG".to_owned()),
            hotkey: Some(*hotkey),
        });
        let requests: Vec<Value> = requests.iter().map(Request::summary).collect();
        Ok(json!({
            "schema": "taonet.push/1", "dry_run": true, "model": self.model, "requests": requests,
            "commitment": commitment,
        }))
    }

    /// Whether a step of the push concerns the chute.
    const fn needs_chute(&self) -> bool {
        !(self.args.no_deploy && self.args.no_commit && self.args.no_warmup)
    }

    /// Returns the image of the chute.
    fn image_name(&self, revision: &str) -> String {
        self.args.image.clone().unwrap_or_else(|| format!("{IMAGE_NAME}:{}", image_tag(revision)))
    }

    /// Returns the request to build the image of a revision.
    fn build_request(&self, revision: &str) -> anyhow::Result<Request> {
        let dockerfile = dockerfile(&self.config, &self.args.model, revision, &self.args.template)?;
        let username = require_setting(&self.config.chutes.username, "CHUTES_USERNAME")?;
        Ok(self.api.build(&NewImage {
            username,
            name: IMAGE_NAME,
            tag: image_tag(revision),
            dockerfile: &dockerfile,
        }))
    }

    async fn run(
        &self,
        files: Option<LocalModel>,
        key: Option<&Keypair>,
        context: &Context,
    ) -> anyhow::Result<Value> {
        let netuid = self.config.netuid;
        let chain = match key {
            Some(key) => {
                let client =
                    Client::connect(&configured_network(None)?).await.map_err(chain_error)?;
                if client.uid(netuid, &key.hotkey(), At::Head).await.map_err(chain_error)?.is_none()
                {
                    bail!(
                        "{} is not registered on subnet {netuid}\nhint: register it with `tao register --netuid {netuid}`, \
                         or pass --no-commit",
                        key.hotkey()
                    );
                }
                Some((client, key))
            }
            None => None,
        };
        let revision = self.upload(files, context).await?;
        let chute = self
            .deploy(&revision, context)
            .await
            .with_context(|| incomplete_model_message(&revision))?;
        let mut extrinsic = Value::Null;
        let mut commitment = None;
        if let Some((client, key)) = chain {
            let Some(chute) = &chute else {
                bail!(
                    "no chute {} is deployed, so there is nothing to commit to\nhint: deploy it without --no-deploy, or pass \
                     --no-commit",
                    chute_name(&self.config.chutes.hub_username, &revision)
                );
            };
            let new_commitment = self.commitment(&revision, chute, key.hotkey());
            let call = self.commitment_call(&new_commitment.text(), &client, key.hotkey()).await?;
            extrinsic = publish(&client, key, &call, context)
                .await
                .with_context(|| incomplete_model_message(&revision))?;
            context.print_notice(&format!("published the commitment on subnet {netuid}"));
            commitment = Some(new_commitment);
        }
        let mut is_warm = false;
        if let Some(chute) = chute.as_ref().filter(|_| !self.args.no_warmup) {
            // A failure is no error: the commitment is published, and a cold chute starts with its
            // first call.
            match self.api.send(&self.api.warm_up(&chute.chute_id)).await {
                Ok(_) => is_warm = true,
                Err(error) => context.print_notice(&format!("not warmed up: {error}")),
            }
        }
        if !context.json {
            let chute =
                chute.as_ref().map(|chute| format!(", chute {} {}", slug(chute), chute.chute_id));
            context.print(&printable(&format!(
                "{} {revision}{}",
                self.model,
                chute.unwrap_or_default()
            )))?;
        }
        Ok(json!({
            "schema": "taonet.push/1", "model": self.model, "revision": revision,
            "chute_id": chute.as_ref().map(|chute| &chute.chute_id), "slug": chute.as_ref().map(slug),
            "shared_with": self.args.share_with,
            "commitment": commitment, "extrinsic": extrinsic, "warmed_up": is_warm,
        }))
    }

    /// Uploads the model, or checks that the hub has the revision; returns the revision.
    async fn upload(&self, files: Option<LocalModel>, context: &Context) -> anyhow::Result<String> {
        match (files, &self.args.revision) {
            (Some(files), _) => {
                let bytes: u64 = files.files.iter().map(|file| file.size).sum();
                let description = counted(files.files.len(), "file");
                context.print_notice(&format!(
                    "uploading {description}, {:.1} MB, to {}",
                    bytes as f64 / 1e6,
                    self.model
                ));
                let upload = self
                    .hub
                    .upload(&self.model, &files, |name| context.print_notice(&printable(name)));
                let revision = upload.await.map_err(api_error)?;
                self::parse_revision(&revision).map_err(|error| {
                    anyhow::anyhow!("the hub returned an invalid revision: {error}")
                })
            }
            (None, Some(revision)) => {
                let call = self.hub.model(&self.model, Some(revision));
                let info = HubApi::info(&call, &self.hub.send(&call).await.map_err(api_error)?)?;
                if info.is_gated() {
                    bail!(
                        "access to {} is gated\nhint: validators skip gated models; open it on the hub",
                        self.model
                    );
                }
                Ok(revision.clone())
            }
            (None, None) => Err(ClassifiedError::usage("--model-path or --revision is required")),
        }
    }

    /// Deploys and shares the chute of a revision, unless it is deployed; with `--no-deploy`, only
    /// looks it up.
    async fn deploy(&self, revision: &str, context: &Context) -> anyhow::Result<Option<ChuteInfo>> {
        let name = revision_chute_name(&self.config, revision)?;
        if !self.needs_chute() {
            return Ok(None);
        }
        let chute = self.api.find(&name, revision).await.map_err(api_error)?;
        if self.args.no_deploy {
            return Ok(chute);
        }
        let chute = match chute {
            Some(chute) => {
                context.print_notice(&printable(&format!("{} is already deployed", chute.name)));
                chute
            }
            None => self.deploy_new(&name, revision, context).await?,
        };
        for user in &self.args.share_with {
            self.api.send(&self.api.share(&chute.chute_id, user)).await.map_err(api_error)?;
        }
        Ok(Some(chute))
    }

    async fn deploy_new(
        &self,
        name: &str,
        revision: &str,
        context: &Context,
    ) -> anyhow::Result<ChuteInfo> {
        prompt::confirm(
            &format!("Deploy {name} on Chutes, which charges your account?"),
            self.args.yes,
        )?;
        let image = self.image_name(revision);
        let sleeper = taonet_service::sleeper();
        match self
            .api
            .wait_until_built(&image, &sleeper, |line| context.print_notice(&printable(line)))
            .await
        {
            Err(error) if has_status(&error, StatusCode::NOT_FOUND) => {
                if self.args.image.is_some() {
                    let hint = "hint: without --image, `bb push` builds an image";
                    return Err(
                        api_error(error).context(format!("Chutes has no image {image}\n{hint}"))
                    );
                }
                context.print_notice(&format!("building {image}"));
                match self.api.send(&self.build_request(revision)?).await {
                    // Another push is already building the image.
                    Err(error) if has_status(&error, StatusCode::CONFLICT) => {}
                    result => drop(result.map_err(api_error)?),
                }
                self.api
                    .wait_until_built(&image, &sleeper, |line| {
                        context.print_notice(&printable(line));
                    })
                    .await
                    .map_err(api_error)?;
            }
            result => result.map_err(api_error)?,
        }
        let code = render(&self.config, &self.args.model, revision, &self.args.template)?;
        let chute = NewChute { name, image: &image, code: &code, revision, model: &self.model };
        let call = self.api.deploy(&chute);
        let response = self.api.send(&call).await.map_err(api_error)?;
        Ok(ChutesApi::chute(&call, &response)?)
    }

    fn commitment(&self, revision: &str, chute: &ChuteInfo, hotkey: Hotkey) -> Commitment {
        Commitment {
            model: Some(self.model.clone()),
            revision: Some(revision.to_owned()),
            chute_id: Some(chute.chute_id.clone()),
            slug: Some(slug(chute)),
            hotkey: Some(hotkey),
        }
    }

    /// Builds the call that publishes a commitment: timelocked, as in the reference, or unencrypted
    /// on a development chain, which has no drand beacon.
    async fn commitment_call(
        &self,
        text: &str,
        chain: &Client,
        hotkey: Hotkey,
    ) -> anyhow::Result<Call> {
        let (text, netuid) = (CommitmentText::new(text)?, self.config.netuid);
        let state =
            chain.hotkey_state(netuid, MechId(0), &hotkey, At::Head).await.map_err(chain_error)?;
        if state.is_development {
            return Ok(calls::set_commitment(netuid, &text));
        }
        let local_time = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .context("the system clock is before 1970")?;
        let round = reveal_round(&state, local_time, chain.block_time())?;
        let plaintext = calls::timelocked_plaintext(&text);
        let ciphertext =
            encrypt(&plaintext, Beacon::quicknet(), round, &mut rand::rng())?.to_bytes();
        Ok(calls::set_timelocked_commitment(netuid, &ciphertext, round.0))
    }
}

/// Returns the drand round that reveals a commitment, by the chain's time. A local clock that
/// differs too much from it is an error, as for timelocked weights: see [`chain_time`].
fn reveal_round(
    state: &HotkeyState,
    local_time: Duration,
    block_time: Duration,
) -> anyhow::Result<Round> {
    let reveal = chain_time(state, local_time)? + block_time * BLOCKS_UNTIL_REVEAL;
    Beacon::quicknet().round_at(reveal).context("the chain's time is before the beacon's start")
}

fn incomplete_model_message(revision: &str) -> String {
    format!(
        "the push is incomplete\nhint: the model is uploaded; continue with --revision {revision}"
    )
}

fn has_status(error: &ApiError, status: StatusCode) -> bool {
    error.status() == Some(status)
}

/// Returns the slug of a deployed chute; its name in lowercase if Chutes reports none.
fn slug(chute: &ChuteInfo) -> String {
    chute.slug.clone().unwrap_or_else(|| chute.name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use taonet_chain::testing::weight_rules;
    use taonet_ledger::{Sealing, SubmitError, timelocked_commit};
    use taonet_primitives::{BlockNumber, NetUid};
    use taonet_timelock::WeightsPayload;

    use super::*;

    const BLOCK_TIME: Duration = Duration::from_secs(12);

    /// Returns the state after a block from the publication time of round 1000.
    fn state() -> HotkeyState {
        let time = Beacon::quicknet().time_of(Round(1000)).unwrap();
        HotkeyState {
            nonce: 0,
            last_update: None,
            commits: Vec::new(),
            time,
            is_development: false,
        }
    }

    /// Returns the error of timelocked weights, such as those of `tao weights set`.
    fn error_of_weights(state: &HotkeyState, local_time: Duration) -> SubmitError {
        let (beacon, head) = (Beacon::quicknet(), BlockNumber::new(1100));
        let sealing = Sealing { beacon, head, block_time: BLOCK_TIME, state, local_time };
        let (hotkey, rules) = (Hotkey::from_bytes([1; 32]), weight_rules(360, None));
        let payload =
            WeightsPayload { hotkey, uids: Vec::new(), values: Vec::new(), version_key: 0 };
        timelocked_commit(&payload, (NetUid(59), MechId(0)), &rules, 1, &sealing, &mut rand::rng())
            .unwrap_err()
    }

    #[test]
    fn reveal_round_uses_chain_time() {
        let state = state();
        let largest = Duration::from_mins(5);
        for local_time in [state.time, state.time.saturating_sub(largest), state.time + largest] {
            // A block is four rounds.
            assert_eq!(reveal_round(&state, local_time, BLOCK_TIME).unwrap(), Round(1004));
        }
        let later = HotkeyState { time: state.time + Duration::from_secs(30), ..state.clone() };
        assert_eq!(reveal_round(&later, state.time, BLOCK_TIME).unwrap(), Round(1014));
    }

    #[test]
    fn wrong_clock_is_rejected_with_error_of_weight_submission() {
        let state = state();
        let day = Duration::from_hours(24);
        for (local_time, words) in [
            (state.time + day, "86400 s ahead of the time of the chain's newest block"),
            (state.time.saturating_sub(day), "86400 s behind the time of the chain's newest block"),
        ] {
            let error = reveal_round(&state, local_time, BLOCK_TIME).unwrap_err();
            assert!(
                matches!(error.downcast_ref(), Some(SubmitError::ClockDifference { .. })),
                "{error}"
            );
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.to_string(), error_of_weights(&state, local_time).to_string());
        }
    }
}
