//! The `tao prompt` command.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use taonet_cli_base::chain::{NetworkArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, QuotingError};
use taonet_cli_base::input;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::printable::{self, printable_lines};
use taonet_cli_base::table::decimals;
use taonet_kit::{AddressPolicy, MinerEntry, QueryLimits, Reply};
use taonet_lm::Message;
use taonet_neuron::{MinerDirectory, Neurons};
use taonet_primitives::{Hotkey, NetUid, Uid, counted};
use taonet_prompting_core::Draws;
use taonet_prompting_neurons::{
    GateFile, GateFileError, Judge, MinerAnswer, Prompting, ask, ask_streaming, client,
    query_limits, reward_reply,
};
use taonet_wallet::Keypair;

use super::judge::JudgeArgs;

/// Default maximum number of miners.
const DEFAULT_MINERS: u16 = 16;
/// Error when there is no miner.
const NO_MINER: &str = "there is no miner to ask";

/// Ask the miners of a text-prompting subnet
#[derive(Debug, Args)]
pub struct PromptArgs {
    /// The question; with --roles, one text for each role
    #[arg(value_name = "TEXT", required = true, value_parser = NonEmptyStringValueParser::new())]
    texts: Vec<String>,
    /// System message before the question
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Roles of the texts, separated by commas, to continue a conversation
    #[arg(
        long,
        value_name = "ROLES",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "system"
    )]
    roles: Vec<Role>,
    /// Ask miners of this subnet
    #[arg(long, required_unless_present = "miners")]
    netuid: Option<NetUid>,
    /// Ask the miners in this file instead, one HOTKEY@HOST:PORT a line
    #[arg(long, value_name = "FILE", conflicts_with = "netuid")]
    miners: Option<PathBuf>,
    /// Maximum number of miners to ask [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    limit: Option<u16>,
    /// Ask one miner, and print its completion as it arrives; the default on a terminal, unless
    /// --limit or --json is given
    #[arg(long, conflicts_with = "limit")]
    stream: bool,
    /// Ask the miners that the gate of this validator prefers, by its state directory [default:
    /// random miners]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Timeout of a request in seconds
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
    /// Also call miners at private addresses, for development networks
    #[arg(long)]
    allow_private: bool,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl PromptArgs {
    fn address_policy(&self) -> AddressPolicy {
        // A user who lists miners in a file trusts their addresses.
        AddressPolicy {
            allow_private: self.allow_private || self.miners.is_some(),
            ..AddressPolicy::default()
        }
    }

    /// Returns the messages with their roles.
    fn conversation(&self) -> anyhow::Result<Vec<Message>> {
        let texts = counted(self.texts.len(), "text");
        if self.roles.is_empty() {
            let [question] = self.texts.as_slice() else {
                let hint = "put the question in quotes, or give --roles the role of each text";
                return Err(ClassifiedError::usage(format!("{texts} without roles\nhint: {hint}")));
            };
            let system = self.system.iter().map(|text| Message::new("system", text));
            return Ok(system.chain([Message::new("user", question)]).collect());
        }
        if self.roles.len() != self.texts.len() {
            let roles = counted(self.roles.len(), "role");
            return Err(ClassifiedError::usage(format!(
                "--roles has {roles} for {texts}\nhint: give one text for each role, in quotes"
            )));
        }
        let messages = self.roles.iter().zip(&self.texts);
        Ok(messages.map(|(role, text)| Message::new(role.name(), text)).collect())
    }

    /// Returns the miners that can be asked, from the file or the chain.
    async fn candidates(&self, own_hotkey: Hotkey) -> anyhow::Result<Vec<MinerEntry>> {
        if let Some(file) = &self.miners {
            let text = input::read_text(file)?;
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            return (0..u16::MAX)
                .zip(lines)
                .map(|(uid, line)| parse_miner(Uid(uid), line, &self.address_policy()))
                .collect();
        }
        let netuid = self.netuid.context("--netuid or --miners is required")?;
        let chain = self.key.connect(&self.network).await?;
        let neurons = Neurons::read(&chain, netuid).await.map_err(chain_error)?;
        let directory = MinerDirectory {
            own_hotkey: Some(own_hotkey),
            ..MinerDirectory::new(self.address_policy())
        };
        Ok(directory.select(&neurons).miners)
    }

    /// Chooses at most `limit` of the miners: with `--state`, those that the gate prefers,
    /// otherwise random ones.
    fn select_miners(
        &self,
        mut miners: Vec<MinerEntry>,
        limit: usize,
        judge: Option<&Judge>,
    ) -> anyhow::Result<Vec<MinerEntry>> {
        let mut draws = Draws::new(rand::random());
        let (Some(directory), Some(judge)) = (&self.state, judge) else {
            draws.shuffle(&mut miners);
            miners.truncate(limit);
            return Ok(miners);
        };
        let gate = match GateFile::open(directory, judge, 0) {
            // The validator's own advice is to remove the gate.
            Err(GateFileError::Embedder { path }) => {
                let path = path.display();
                let message = format!(
                    "{path} belongs to another embedding model\nhint: set --embedder as for the validator"
                );
                return Err(ClassifiedError::usage(message));
            }
            result => result?,
        };
        if gate.gate().miners() == 0 {
            let message = format!(
                "no trained gate in {}\nhint: omit --state to ask random miners",
                directory.display()
            );
            return Err(ClassifiedError::usage(message));
        }
        let hotkeys: Vec<Hotkey> = miners.iter().map(|miner| miner.hotkey).collect();
        let question = self.texts.last().map(String::as_str).unwrap_or_default();
        let selected = gate.gate().choose(&judge.embed(question)?, &hotkeys, limit, 0, &mut draws);
        miners.retain(|miner| selected.contains(&miner.hotkey));
        Ok(miners)
    }

    fn limits(&self) -> QueryLimits {
        query_limits(Duration::from_secs(self.timeout.into()))
    }
}

/// Parses a miner of the file.
fn parse_miner(uid: Uid, line: &str, addresses: &AddressPolicy) -> anyhow::Result<MinerEntry> {
    let usage_error = |reason: String| ClassifiedError::usage(format!("miner `{line}`: {reason}"));
    let (hotkey, address) =
        line.split_once('@').ok_or_else(|| usage_error("expected HOTKEY@HOST:PORT".to_owned()))?;
    let hotkey = hotkey.parse::<Hotkey>().map_err(|error| usage_error(error.to_string()))?;
    let address = addresses.resolve(address).map_err(|error| usage_error(error.to_string()))?;
    Ok(MinerEntry { uid, hotkey, address, name: None })
}

pub(crate) fn run(args: &PromptArgs, context: &Context) -> anyhow::Result<()> {
    let conversation = args.conversation()?;
    let is_interactive = args.limit.is_none() && !context.json && std::io::stdout().is_terminal();
    if args.stream || is_interactive {
        return run_streaming(args, conversation, context);
    }
    let keypair = args.key.load(Some(&args.network))?;
    let judge = Arc::new(args.judge.open(context)?);
    let answers = context.block_on(async {
        let candidates = args.candidates(keypair.hotkey()).await?;
        let miners = args.select_miners(
            candidates,
            usize::from(args.limit.unwrap_or(DEFAULT_MINERS)),
            Some(&judge),
        )?;
        let client = client(keypair, &args.address_policy(), args.limits())?;
        Ok(ask(&client, &miners, conversation, args.limits(), judge).await?)
    })?;
    let (best, completion) = best_answer(&answers)?;
    if context.json {
        return context.print_json(&document(best, completion, &answers));
    }
    context.print(&printable_lines(completion))?;
    context.print_notice(&describe_best_answer(best, answers.len()));
    Ok(())
}

/// Asks one miner, and prints its completion as it arrives. The first part must not wait: without
/// `--state`, the models for its reward are loaded afterwards, and the check of a development key
/// runs beside the request.
fn run_streaming(
    args: &PromptArgs,
    conversation: Vec<Message>,
    context: &Context,
) -> anyhow::Result<()> {
    let (keypair, judge) = if args.state.is_some() {
        let keypair = args.key.load(Some(&args.network))?;
        (keypair, Some(args.judge.open(context)?))
    } else {
        (args.key.load_unchecked(&args.network)?, None)
    };
    let key_check = async {
        // Reading miners from the chain connects to it, which includes the check.
        if args.miners.is_some() && args.state.is_none() {
            args.key.check_development_chain(&args.network).await
        } else {
            Ok(())
        }
    };
    let request = stream_answer(args, keypair, &conversation, judge.as_ref(), context);
    let (reply, ()) = context.block_on(async { tokio::try_join!(request, key_check) })?;
    let judge = Arc::new(match judge {
        Some(judge) => judge,
        None => args.judge.open(context)?,
    });
    let rewarded = reward_reply(reply, conversation, args.limits(), &judge);
    let answers = [context.block_on(async { Ok(rewarded.await?) })?];
    let (best, completion) = best_answer(&answers)?;
    if context.json {
        return context.print_json(&document(best, completion, &answers));
    }
    context.print_notice(&describe_best_answer(best, answers.len()));
    Ok(())
}

/// Asks one miner, and prints the parts of its completion.
async fn stream_answer(
    args: &PromptArgs,
    keypair: Keypair,
    conversation: &[Message],
    judge: Option<&Judge>,
    context: &Context,
) -> anyhow::Result<Reply<Prompting>> {
    let candidates = args.candidates(keypair.hotkey()).await?;
    let miners = args.select_miners(candidates, 1, judge)?;
    let miner = miners.first().context(NO_MINER)?;
    let client = client(keypair, &args.address_policy(), args.limits())?;
    let mut output = printable::stdout();
    let mut print =
        |part: &str| match output.write_all(part.as_bytes()).and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        };
    let mut has_part = false;
    let reply = ask_streaming(&client, miner, conversation, args.limits(), |part| {
        has_part = true;
        if context.json { Ok(()) } else { print(part) }
    })
    .await?;
    // An error begins a new line, too.
    if !context.json && (has_part || reply.response.is_ok()) {
        print("\n").context("cannot write to standard output")?;
    }
    Ok(reply)
}

/// Returns the best answer with its completion; an error if no miner gave one.
fn best_answer(answers: &[MinerAnswer]) -> anyhow::Result<(&MinerAnswer, &str)> {
    let best = answers.first().context(NO_MINER)?;
    match &best.completion {
        Ok(completion) => Ok((best, completion)),
        Err(error) => {
            let prefix =
                format!("no answer from {}; the first error", counted(answers.len(), "miner"));
            Err(QuotingError::error(None, &prefix, &error.to_string(), None))
        }
    }
}

fn document(best: &MinerAnswer, completion: &str, answers: &[MinerAnswer]) -> Value {
    json!({
        "schema": "taonet.prompt/1",
        "completion": completion,
        "uid": best.uid,
        "hotkey": best.hotkey,
        "miners": answers.iter().map(answer_document).collect::<Vec<_>>(),
    })
}

fn answer_document(answer: &MinerAnswer) -> Value {
    let parts: serde_json::Map<String, Value> = answer
        .reward
        .parts
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "uid": answer.uid,
        "hotkey": answer.hotkey,
        "completion": answer.completion.as_ref().ok(),
        "error": answer.completion.as_ref().err().map(ToString::to_string),
        "seconds": answer.elapsed.as_secs_f64(),
        "reward": answer.reward.total,
        "parts": parts,
    })
}

/// Describes which miner gave the completion, and its reward.
fn describe_best_answer(best: &MinerAnswer, miner_count: usize) -> String {
    let parts = best
        .reward
        .parts
        .iter()
        .map(|(name, value)| format!("{name} {}", decimals(Some(*value), 2)));
    format!(
        "\nuid {} ({}), the best of {miner_count}, in {} s: reward {} ({})",
        best.uid.0,
        best.hotkey,
        decimals(Some(best.elapsed.as_secs_f64()), 1),
        decimals(Some(best.reward.total), 3),
        parts.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        prompt: PromptArgs,
    }

    /// Columns: arguments · roles of the messages, or what the error says
    #[test]
    fn each_message_has_a_default_or_given_role() {
        for (words, expected) in [
            (&["one"][..], Ok("user")),
            (&["one", "--system", "two"], Ok("system user")),
            (&["one", "two", "three", "--roles", "user,assistant,user"], Ok("user assistant user")),
            (&["--roles", "system,user", "one", "two"], Ok("system user")),
            (&["one", "two"], Err("2 texts without roles")),
            (&["one", "--roles", "system,user"], Err("--roles has 2 roles for 1 text")),
            (&["one", "two", "--roles", "user"], Err("--roles has 1 role for 2 texts")),
        ] {
            let line =
                Line::try_parse_from([&["tao", "--netuid", "1"][..], words].concat()).unwrap();
            match (line.prompt.conversation(), expected) {
                (Ok(messages), Ok(roles)) => {
                    let result: Vec<&str> =
                        messages.iter().map(|message| message.role.as_str()).collect();
                    assert_eq!(result.join(" "), roles, "{words:?}");
                    let texts: BTreeSet<&str> =
                        messages.iter().map(|message| message.content.as_str()).collect();
                    assert!(
                        texts.iter().all(|text| words.contains(text))
                            && texts.len() == messages.len(),
                        "{words:?}"
                    );
                }
                (Err(error), Err(text)) => {
                    assert!(error.to_string().starts_with(text), "{words:?}: {error}");
                }
                (result, _) => panic!("{words:?}: {result:?}, expected {expected:?}"),
            }
        }
        for words in [
            &["one", "--roles", "user", "--system", "two"][..],
            &["one", "--roles", "tool"],
            &["--roles", "user"],
        ] {
            assert!(
                Line::try_parse_from([&["tao", "--netuid", "1"][..], words].concat()).is_err(),
                "{words:?}"
            );
        }
    }

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn miner_line_has_hotkey_and_address() {
        let policy = AddressPolicy::private();
        let miner = parse_miner(Uid(3), &format!("{ALICE}@127.0.0.1:8091"), &policy).unwrap();
        assert_eq!((miner.uid, miner.hotkey.to_string()), (Uid(3), ALICE.to_owned()));
        assert_eq!(miner.address.port(), 8091);
        for (line, reason) in [
            ("127.0.0.1:8091", "expected HOTKEY@HOST:PORT"),
            ("alice@127.0.0.1:8091", "miner `alice@127.0.0.1:8091`"),
            (format!("{ALICE}@127.0.0.1:0").as_str(), "has port 0"),
        ] {
            let error = parse_miner(Uid(0), line, &policy).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
