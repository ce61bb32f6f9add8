"""Runs every command of unmodified btcli 9 on a development chain.

localnet_btcli.py      reads {"url", "netuid"} from standard input; prints the result of each command. Fails if btcli
                       has a command that is not run. By default, commands that stake go through the MEV
                       shield.
"""
import json
import os
import re
import sys

from rich.cells import cell_len

from btcli_process import (
    COMMANDS, HOME, URL, WALLETS, Failed, Keypair, Reader, address, cli, document, mine_on_demand, question, run,
    succeeded, text, wallet,
)
from bittensor_cli.src.bittensor.extrinsics.root import generate_weight_hash
from localnet_answers import Tool, print_results

NETUID = question["netuid"]
# A subnet with a long tempo, which the commands start and change, and one whose alpha they burn.
CALM = 18
NOBODY = 21
operation = Tool("bittensor-cli")
# The chain's own blocks are far apart: an encrypted call lives for 8 blocks only.
mine_on_demand(URL)
read = Reader()

wallet("alice", "//Alice", {"default": "//AliceHotkey", "second": "//AliceSecond", "third": "//AliceThird"})
wallet("bob", "//Bob", {"default": "//BobHotkey"})
wallet("dave", "//Dave", {"default": "//DaveHotkey"})
wallet("eve", "//Eve", {"default": "//EveHotkey"})
wallet("ferdie", "//Ferdie", {"default": "//FerdieHotkey"})
wallet("ed", "//Ed", {"default": "//EdHotkey"}, crypto_type=0)
ALICE, BOB, DAVE, EVE, FERDIE = map(address, ("//Alice", "//Bob", "//Dave", "//Eve", "//Ferdie"))
HOTKEY, SECOND, THIRD, OTHER = map(address, ("//AliceHotkey", "//AliceSecond", "//AliceThird", "//BobHotkey"))
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
STAKE = ("--netuid", NETUID, "--tolerance", "0.5")



class Unsupported(Failed):
    """A command that cannot work on the real chain either."""


SENATE = "the real chain has no senate either (spec version 461)"
COMMITMENTS = "btcli reads a storage item under a name that no chain has"
DISABLED = "btcli has disabled the command on every chain"
BASKETS = "the real chain has baskets in place of these claims (spec version 461)"
# Arguments, message of btcli, reason.
EXCEPTIONS = {
    "sudo senate": ([], "SenateMembers", SENATE),
    "sudo proposals": ([], "SenateMembers", SENATE),
    "sudo senate-vote": (["--proposal", "0x" + "11" * 32, "--vote-aye"], "SenateMembers", SENATE),
    "stake set-claim": (["Swap"], "set_root_claim_type", BASKETS),
    "wallet history": ([], "currently disabled", DISABLED),
    "weights commit": (
        ["--netuid", NETUID, "--uids", "0", "--weights", "1", "--salt", "7"],
        "get_commit_reveal_weights_enabled",
        COMMITMENTS,
    ),
    "stake process-claim": (["--netuids", NETUID], "No claimable emissions found", BASKETS),
}


def check(condition, *seen):
    """Fails with the observed values unless the condition holds."""
    if not condition:
        raise Failed(" ".join(map(str, seen))[:600])


def narrow(command, *given, has="", columns=80, **how):
    """Runs a command in a narrow terminal; checks that no line is wider, and that the output has a text."""
    said = text(command, *given, columns=columns, **how)
    wide = [line for line in said.splitlines() if cell_len(line.rstrip()) > columns]
    check(not wide, "wider than", columns, wide)
    check(has in said, f"no {has!r} in:", " ".join(said.split()))
    return said


def storage(item, *keys):
    return read("SubtensorModule", item, *keys)


def free(account):
    return read("System", "Account", account)["data"]["free"]


def mine(blocks):
    """Produces blocks, for limits and delays that count blocks."""
    read("rpc", "dev_mine", blocks)


def height():
    return int(read("rpc", "chain_getHeader")["number"], 16)


def block_and_index(answer):
    return [int(part) for part in answer["extrinsic_identifier"].split("-")]


# The first command, before any transaction.
@operation("wallet balance")
def _():
    narrow("wallet balance", has="Free")
    return document("wallet balance")["balances"]["alice"]


# The installed program itself, once; all other commands run in forked children.
@operation("the program itself")
def _():
    given = ["--wallet-path", WALLETS, "--wallet-name", "bob", "--network", URL, "--json-output"]
    done = run(["wallet", "balance", *given])
    check(done.returncode == 0, done.stdout, done.stderr)
    return json.loads(done.stdout)["balances"]["bob"]["coldkey"]


# btcli hides this command from its help; it has no JSON output.
@operation("wallet inspect")
def _():
    return "1,000,000.0000" in narrow("wallet inspect", has="alice")


# Configuration.


@operation("config set")
def _():
    given = ["--wallet-name", "alice", "--network", URL, "--tolerance", "0.25"]
    return narrow("config set", *given, answers="y\n", wallet=None, has="0.25").count("alice")


@operation("config get")
def _():
    return narrow("config get", wallet=None, has="0.25 (25.0%)").count("alice")


@operation("config clear")
def _():
    check("Cleared" in text("config clear", "--wallet-name", "--tolerance", answers="y\ny\n", wallet=None))
    text("config clear", "--all", answers="y\n", wallet=None)
    said = text("config get", wallet=None)
    check("0.25" not in said and "alice" not in said, said)
    return True


@operation("config add-proxy")
def _():
    given = ["--name", "friend", "--address", BOB, "--proxy-type", "Transfer", "--spawner", ALICE, "--note", "ours"]
    check(BOB in text("config add-proxy", *given, wallet=None))
    narrow("config proxies", wallet=None, has="friend")
    return True


@operation("config proxies")
def _():
    said = text("config proxies", wallet=None)
    check(all(part in said for part in ("friend", BOB, ALICE, "Transfer", "ours")), said)
    return True


@operation("config update-proxy")
def _():
    said = text("config update-proxy", "--name", "friend", "--delay", "7", "--note", "theirs", wallet=None)
    check("7" in said and "theirs" in said, said)
    return True


@operation("config remove-proxy")
def _():
    check("friend" not in text("config remove-proxy", "--name", "friend", wallet=None).split("Book")[-1])
    return True


@operation("config clear-proxies")
def _():
    for name in ("one", "two"):
        given = ["--name", name, "--address", BOB, "--proxy-type", "Any", "--spawner", ALICE]
        text("config add-proxy", *given, wallet=None)
    check(BOB not in text("config clear-proxies", answers="y\n", wallet=None))
    return True


# Keys.

MADE = {"wallet": "made"}


@operation("wallet create")
def _():
    made = succeeded("wallet create", "--n-words", "12", "--no-use-password", **MADE)["data"]
    on_disk = json.load(open(os.path.join(WALLETS, "made", "coldkeypub.txt")))
    check(on_disk["ss58Address"] == made["coldkey_ss58"], on_disk, made)
    return True


@operation("wallet new-hotkey")
def _():
    made = succeeded("wallet new-hotkey", "--n-words", "24", "--no-use-password", hotkey="extra", **MADE)["data"]
    on_disk = json.load(open(os.path.join(WALLETS, "made", "hotkeys", "extra")))
    check(on_disk["ss58Address"] == made["hotkey_ss58"], on_disk["ss58Address"], made)
    return True


@operation("wallet new-coldkey")
def _():
    before = json.load(open(os.path.join(WALLETS, "made", "coldkeypub.txt")))["ss58Address"]
    made = succeeded("wallet new-coldkey", "--n-words", "12", "--no-use-password", "--overwrite", **MADE)["data"]
    check(made["coldkey_ss58"] != before, made)
    return True


@operation("wallet regen-coldkey")
def _():
    given = ["--mnemonic", PHRASE, "--no-use-password", "--overwrite"]
    made = succeeded("wallet regen-coldkey", *given, **MADE)["data"]
    check(made["coldkey_ss58"] == Keypair.create_from_mnemonic(PHRASE).ss58_address, made)
    return made["coldkey_ss58"]


@operation("wallet regen-hotkey")
def _():
    seed = "0x" + "5b" * 32
    made = succeeded("wallet regen-hotkey", "--seed", seed, "--no-use-password", "--overwrite", **MADE)["data"]
    check(made["hotkey_ss58"] == Keypair.create_from_seed(seed).ss58_address, made)
    return True


@operation("wallet regen-coldkeypub")
def _():
    made = succeeded("wallet regen-coldkeypub", "--ss58", BOB, "--overwrite", **MADE)["data"]
    check(made["coldkey_ss58"] == BOB, made)
    return True


@operation("wallet regen-hotkeypub")
def _():
    made = succeeded("wallet regen-hotkeypub", "--ss58", OTHER, "--overwrite", **MADE)["data"]
    check(made["hotkey_ss58"] == OTHER, made)
    return True


@operation("wallet list")
def _():
    wallets = {one["name"]: one for one in document("wallet list")["wallets"]}
    hotkeys = {one["name"]: one["ss58_address"] for one in wallets["alice"]["hotkeys"]}
    check(wallets["alice"]["ss58_address"] == ALICE and hotkeys["default"] == HOTKEY, wallets)
    narrow("wallet list", has="alice")
    return sorted(hotkeys)


signed = {}


@operation("wallet sign")
def _():
    signed.update(document("wallet sign", "--no-use-hotkey", "--message", "speech"))
    check(signed["signer_address"] == ALICE, signed)
    return True


@operation("wallet verify")
def _():
    given = ["--signature", signed["signed_message"], "--address", ALICE]
    answers = [document("wallet verify", "--message", message, *given)["verified"] for message in ("speech", "noise")]
    check(answers == [True, False], answers)
    return True


sealed = {}


@operation("wallet encrypt")
def _():
    to = Keypair.create_from_uri("//Ed", crypto_type=0).ss58_address
    sealed.update(succeeded("wallet encrypt", "--to", to, "--message", "speech")["data"])
    return sealed["recipient"] == to


@operation("wallet decrypt")
def _():
    answer = document("wallet decrypt", "--no-use-hotkey", "--ciphertext", sealed["ciphertext_hex"], wallet="ed")
    check("speech" in json.dumps(answer), answer)
    return True


# Reading subnets.


@operation("subnets list")
def _():
    narrow("subnets list", has="59")
    return len(document("subnets list")["subnets"])


@operation("subnets show")
def _():
    narrow("subnets show", "--netuid", NETUID, has="Babelbit")
    return document("subnets show", "--netuid", NETUID)["name"]


@operation("subnets burn-cost")
def _():
    narrow("subnets burn-cost", has="1,000")
    return document("subnets burn-cost")


@operation("subnets hyperparameters")
def _():
    narrow("subnets hyperparameters", "--netuid", NETUID, has="tempo")
    rows = document("subnets hyperparameters", "--netuid", NETUID)
    return {row["hyperparameter"]: row["value"] for row in rows}["tempo"]


@operation("sudo get")
def _():
    narrow("sudo get", "--netuid", NETUID, has="tempo")
    return document("sudo get", "--netuid", NETUID)


@operation("subnets conviction")
def _():
    narrow("subnets conviction", "--netuid", NETUID, has="Conviction")
    return document("subnets conviction", "--netuid", NETUID)["netuid"]


@operation("utils convert")
def _():
    said = text("utils convert", "--tao", "1.5", "--rao", "2000000000", wallet=None)
    check("1500000000" in said and "2.0" in said, said)
    return True


@operation("utils latency")
def _():
    # An unreachable proxy blocks the requests to public servers.
    os.environ.update(https_proxy="http://127.0.0.1:9", wss_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1")
    said = text("utils latency", "--network", URL, wallet=None, allow=("❌",))
    check(URL in said.split("Latencies")[-1], said)
    return True


# Owning subnets.


@operation("subnets check-start")
def _():
    narrow("subnets check-start", "--netuid", CALM, has="start block")
    return True


@operation("subnets start")
def _():
    text("subnets start", "--netuid", CALM)
    check(storage("FirstEmissionBlockNumber", CALM), "not started")
    return True


IDENTITY = {
    "--subnet-name": "Journey", "--github-repo": "https://github.com/example/journey",
    "--subnet-contact": "a@example.org", "--subnet-url": "https://example.org", "--discord": "journey", "--description": "A subnet of btcli",
    "--logo-url": "https://example.org/logo.png", "--additional-info": "none",
}


def identity(**changed):
    return [part for key, value in {**IDENTITY, **changed}.items() for part in (key, value)]


@operation("subnets create")
def _():
    made = succeeded("subnets create", *identity(), hotkey="second")
    check(storage("SubnetOwnerHotkey", 60) == SECOND, made)
    return made["netuid"]


@operation("subnets set-identity")
def _():
    succeeded("subnets set-identity", "--netuid", 60, *identity(**{"--discord": "other"}))
    return storage("SubnetIdentitiesV3", 60)["discord"]


@operation("subnets get-identity")
def _():
    narrow("subnets get-identity", "--netuid", 60, has="Journey")
    return document("subnets get-identity", "--netuid", 60)["subnet_name"]


@operation("subnets set-symbol")
def _():
    succeeded("subnets set-symbol", "--netuid", 60, "ᚢ")
    return storage("TokenSymbol", 60)


@operation("sudo set")
def _():
    succeeded("sudo set", "--netuid", CALM, "--param", "max_burn", "--value", "90000000000")
    held = {row["hyperparameter"]: row["value"] for row in document("sudo get", "--netuid", CALM)}
    return [storage("MaxBurn", CALM), held["max_burn"]]


@operation("error of a rejected sudo set")
def _():
    # The chain's error is shown by name.
    return document("sudo set", "--netuid", CALM, "--param", "min_burn", "--value", "5000000000")["err_msg"]


@operation("sudo trim")
def _():
    succeeded("sudo trim", "--netuid", CALM, "--max", "128")
    return storage("MaxAllowedUids", CALM)


@operation("sudo trigger-epoch")
def _():
    # With commit-reveal, the schedule of epochs is fixed.
    succeeded("sudo set", "--netuid", 20, "--param", "commit_reveal_weights_enabled", "--value", "false")
    fires_at = succeeded("sudo trigger-epoch", "--netuid", 20)["fires_at"]
    check(fires_at > 0, fires_at)
    return True


@operation("subnets mechanisms count")
def _():
    narrow("subnets mechanisms count", "--netuid", CALM, has="1 mechanism")
    return document("subnets mechanisms count", "--netuid", CALM)["count"]


@operation("subnets mechanisms set")
def _():
    # The command asks for confirmation whatever its options.
    succeeded("subnets mechanisms set", "--netuid", CALM, "--count", "2", answers="y\n")
    return storage("MechanismCountCurrent", CALM)


@operation("subnets mechanisms split-emissions")
def _():
    succeeded("subnets mechanisms split-emissions", "--netuid", CALM, "--split", "75,25")
    return storage("MechanismEmissionSplit", CALM)


@operation("subnets mechanisms emissions")
def _():
    narrow("subnets mechanisms emissions", "--netuid", CALM, has="49151")
    return document("subnets mechanisms emissions", "--netuid", CALM)


# Neurons.


@operation("subnets register")
def _():
    succeeded("subnets register", "--netuid", NETUID)
    return storage("Uids", NETUID, HOTKEY)


@operation("subnets register with a second wallet")
def _():
    succeeded("subnets register", "--netuid", NETUID, wallet="bob")
    return storage("Uids", NETUID, OTHER)


def axon():
    return storage("Axons", NETUID, HOTKEY)


@operation("axon set")
def _():
    # Both axon commands reject --json-output, because they assume --prompt.
    text("axon set", "--netuid", NETUID, "--ip", "203.0.113.7", "--port", "8099")
    return axon()["port"]


@operation("axon reset")
def _():
    mine(50)
    text("axon reset", "--netuid", NETUID)
    return axon()["port"]


# Stake.


@operation("stake add")
def _():
    return len(succeeded("stake add", "--amount", "100", *STAKE))


@operation("stake add without the MEV shield")
def _():
    succeeded("stake add", "--amount", "10", "--no-mev-protection", "--unsafe", "--netuid", NETUID)
    return True


@operation("stake list")
def _():
    narrow("stake list", has="Babelbit")
    return document("stake list")["stake_info"]


@operation("stake remove")
def _():
    return len(succeeded("stake remove", "--amount", "50", *STAKE))


@operation("stake move")
def _():
    netuids = ["--origin-netuid", NETUID, "--dest-netuid", NETUID]
    succeeded("stake move", "--amount", "60", "--dest", OTHER, *netuids)
    return True


@operation("stake swap")
def _():
    netuids = ["--origin-netuid", NETUID, "--dest-netuid", CALM, "--tolerance", "0.5"]
    succeeded("stake swap", "--amount", "70", *netuids)
    return True


@operation("stake transfer")
def _():
    netuids = ["--origin-netuid", NETUID, "--dest-netuid", NETUID]
    succeeded("stake transfer", "--amount", "80", "--dest", BOB, *netuids)
    return True


def held(netuid, hotkey=HOTKEY):
    rows = document("stake list")["stake_info"].get(hotkey, [])
    return next((row["stake_value"] for row in rows if row["netuid"] == netuid), 0)


@operation("stake wizard")
def _():
    # Swap 2 alpha of Babelbit into subnet 18.
    before = held(CALM)
    answers = f"3\n{NETUID}\n2\n{CALM}\n"
    text("stake wizard", "--tolerance", "0.5", answers=answers)
    check(held(CALM) > before, before, held(CALM))
    return True


@operation("stake set-auto")
def _():
    answer = succeeded("stake set-auto", "--netuid", NETUID, answers=f"{OTHER}\n")
    check(storage("AutoStakeDestination", ALICE, NETUID) == OTHER, answer)
    return True


@operation("stake auto")
def _():
    narrow("stake auto", has="59")
    # On every chain, btcli shows only the first letter of the address.
    return document("stake auto")[str(NETUID)]["status"]


@operation("stake child set")
def _():
    succeeded("stake child set", "--children", OTHER, "--proportions", "0.5", "--netuid", NETUID)
    mine(30)
    return [row[1] for row in storage("ChildKeys", HOTKEY, NETUID)] == [OTHER]


@operation("stake child get")
def _():
    narrow("stake child get", "--netuid", NETUID, has="50.000%")
    return document("stake child get", "--netuid", NETUID)


@operation("stake child take")
def _():
    succeeded("stake child take", "--take", "0.12", "--netuid", NETUID)
    return storage("ChildkeyTake", HOTKEY, NETUID)


@operation("stake child revoke")
def _():
    mine(150)
    succeeded("stake child revoke", "--netuid", NETUID)
    mine(30)
    return storage("ChildKeys", HOTKEY, NETUID)


@operation("subnets register on root")
def _():
    succeeded("subnets register", "--netuid", 0)
    succeeded("stake add", "--amount", "2000", "--netuid", 0, "--unsafe")
    return storage("Uids", 0, HOTKEY)


@operation("sudo set-take")
def _():
    succeeded("sudo set-take", "--take", "0.09")
    return storage("Delegates", HOTKEY)


@operation("sudo get-take")
def _():
    return round(document("sudo get-take")["current_take"], 4)


@operation("sudo stake-burn")
def _():
    text("subnets start", "--netuid", NOBODY)
    before = free(ALICE)
    succeeded("sudo stake-burn", "--netuid", NOBODY, "--amount", "5", "--tolerance", "0.5")
    return before - free(ALICE)


# Locks.

LOCKED = ("--netuid", NETUID)


def lock():
    rows = document("lock list")
    return rows if isinstance(rows, list) else rows.get("locks", rows)


@operation("lock add")
def _():
    text("lock add", *LOCKED, "--hotkey-ss58", HOTKEY, "--amount", "5", "--mode", "decaying")
    found = json.dumps(lock())
    check(HOTKEY in found, found)
    return True


@operation("lock list")
def _():
    narrow("lock list", has="59")
    check("decaying" in json.dumps(lock()).lower(), lock())
    return True


@operation("lock mode")
def _():
    text("lock mode", *LOCKED, "--mode", "perpetual")
    check("perpetual" in json.dumps(lock()).lower(), lock())
    return True


@operation("lock show")
def _():
    narrow("lock show", *LOCKED, has="59")
    check(HOTKEY in json.dumps(document("lock show", *LOCKED)))
    return True


@operation("lock move")
def _():
    text("lock move", *LOCKED, "--dest", OTHER)
    check(OTHER in json.dumps(lock()), lock())
    return True


@operation("stake remove all alpha")
def _():
    # The stake that Bob received by the transfer.
    succeeded("stake remove", "--all-alpha", "--hotkey-ss58-address", HOTKEY, wallet="bob", hotkey=None)
    # The TAO is staked on root, on the same hotkey.
    rows = document("stake list", wallet="bob", hotkey=None)["stake_info"][HOTKEY]
    return [row["netuid"] for row in rows]


# Accounts.


@operation("wallet overview")
def _():
    narrow("wallet overview", has="Babel")
    return sorted(document("wallet overview"))


@operation("wallet transfer")
def _():
    before = free(BOB)
    succeeded("wallet transfer", "--dest", BOB, "--amount", "1.5")
    return free(BOB) - before


@operation("wallet set-identity")
def _():
    given = ["--id-name", "Alice", "--web-url", "https://example.org", "--image-url", "https://example.org/a.png"]
    given += ["--discord", "alice", "--description", "An account", "--additional", "none"]
    succeeded("wallet set-identity", *given, "--github", "https://example.org/alice")
    return storage("IdentitiesV2", ALICE)["name"]


@operation("wallet get-identity")
def _():
    narrow("wallet get-identity", "--ss58", ALICE, has="Alice")
    return document("wallet get-identity", "--ss58", ALICE)["name"]


@operation("wallet associate-hotkey")
def _():
    text("wallet associate-hotkey", hotkey="third")
    return storage("Owner", THIRD) == ALICE


@operation("wallet swap-hotkey")
def _():
    wallet("bob", "//Bob", {"next": "//BobNext"})
    uid = storage("Uids", NETUID, OTHER)
    succeeded("wallet swap-hotkey", "next", "--all-netuids", wallet="bob")
    return storage("Uids", NETUID, address("//BobNext")) == uid


@operation("wallet swap-coldkey")
def _():
    swap = "wallet swap-coldkey"
    fresh = address("//DaveFresh")
    text(swap, "announce", "--new-coldkey", fresh, wallet="dave")
    text(swap, "announce", "--new-coldkey", address("//EveFresh"), wallet="eve")
    narrow(swap, "check", wallet="dave", has="Pending")
    text(swap, "dispute", wallet="eve")
    check(storage("ColdkeySwapDisputes", EVE), "no dispute")
    mine(60)
    text(swap, "execute", "--new-coldkey", fresh, wallet="dave")
    check(free(fresh) > 1_900 * 10**9 and free(DAVE) == 0, free(fresh), free(DAVE))
    text(swap, "announce", "--new-coldkey", address("//FerdieFresh"), wallet="ferdie")
    mine(70)
    text(swap, "clear", wallet="ferdie")
    check(storage("ColdkeySwapAnnouncements", FERDIE) is None, "not cleared")
    return True


@operation("wallet swap-check")
def _():
    narrow("wallet swap-check", "--all", has="Pending Coldkey Swap")
    return document("wallet swap-check", "--all")["announcements"][0]["status"]


# Proxies.

pure = {}


@operation("proxy create")
def _():
    answer = succeeded("proxy create", "--proxy-type", "Any", "--delay", "0")
    pure.update(answer["data"], at=block_and_index(answer))
    return [read("Proxy", "Proxies", pure["pure"])[0][0]["delegate"] == ALICE, pure["delay"]]


@operation("proxy kill")
def _():
    # The signer pays the fee, not the proxy account.
    block, index = pure["at"]
    given = ["--height", block, "--ext-index", index, "--spawner", ALICE, "--proxy", pure["pure"]]
    succeeded("proxy kill", *given, "--proxy-type", "Any")
    return read("Proxy", "Proxies", pure["pure"])[0]


@operation("proxy add")
def _():
    succeeded("proxy add", "--delegate", BOB, "--proxy-type", "Transfer", "--delay", "0")
    before = free(FERDIE)
    succeeded("wallet transfer", "--dest", FERDIE, "--amount", "1", "--proxy", ALICE, wallet="bob")
    return free(FERDIE) - before


@operation("proxy remove")
def _():
    succeeded("proxy remove", "--delegate", BOB, "--proxy-type", "Transfer", "--delay", "0")
    return read("Proxy", "Proxies", ALICE)[0]


@operation("proxy execute")
def _():
    succeeded("proxy add", "--delegate", BOB, "--proxy-type", "Any", "--delay", "5")
    transfer = ["--dest", FERDIE, "--amount", "2", "--proxy", ALICE, "--announce-only"]
    said = text("wallet transfer", *transfer, wallet="bob")
    call_hash = re.search(r"Added entry\s+([0-9a-f]{64})", said).group(1)
    mine(6)
    before = free(FERDIE)
    succeeded("proxy execute", "--proxy", ALICE, "--call-hash", call_hash, wallet="bob")
    received = free(FERDIE) - before
    succeeded("proxy remove", "--all", "--proxy-type", "Any")
    return received


# Crowdloans.

# Long enough for the commands before its end, on a busy machine too.
DURATION = 600
LOAN = ("--deposit", "10", "--min-contribution", "1", "--cap", "30", "--duration", DURATION)


@operation("crowd create")
def _():
    answer = succeeded("crowd create", "--fundraising", "--target-address", EVE, *LOAN)
    succeeded("crowd create", "--fundraising", "--target-address", EVE, *LOAN)
    return [answer["data"]["cap"], read("Crowdloan", "NextCrowdloanId")]


@operation("crowd contribute")
def _():
    succeeded("crowd contribute", "--id", 0, "--amount", "20", wallet="bob")
    succeeded("crowd contribute", "--id", 1, "--amount", "3", wallet="bob")
    succeeded("crowd contribute", "--id", 1, "--amount", "4", wallet="ferdie")
    return read("Crowdloan", "Contributions", 0, BOB)


@operation("crowd update")
def _():
    succeeded("crowd update", "--id", 1, "--min-contribution", "2")
    return read("Crowdloan", "Crowdloans", 1)["min_contribution"]


@operation("crowd withdraw")
def _():
    succeeded("crowd withdraw", "--id", 1, wallet="ferdie")
    return read("Crowdloan", "Contributions", 1, FERDIE)


@operation("crowd list")
def _():
    narrow("crowd list", has="30")
    return document("crowd list")["data"]["total_count"]


@operation("crowd info")
def _():
    narrow("crowd info", "--id", 0, has="30")
    return document("crowd info", "--id", 0)["data"]["status"]


@operation("crowd contributors")
def _():
    narrow("crowd contributors", "--id", 0, has="66.67%")
    found = document("crowd contributors", "--id", 0)
    check(BOB in json.dumps(found), found)
    return True


@operation("crowd finalize")
def _():
    before = free(EVE)
    succeeded("crowd finalize", "--id", 0)
    return free(EVE) - before


@operation("crowd refund")
def _():
    mine(DURATION + 10)
    before = free(BOB)
    succeeded("crowd refund", "--id", 1)
    return free(BOB) - before


@operation("crowd dissolve")
def _():
    succeeded("crowd dissolve", "--id", 1)
    return read("Crowdloan", "Crowdloans", 1)


@operation("subnets price")
def _():
    narrow("subnets price", "--netuids", NETUID, "--current", has="59")
    current = document("subnets price", "--netuids", NETUID, "--current")
    check(current[str(NETUID)]["stats"]["name"] == "Babelbit", current)
    # The history has one price per 300 blocks, and at least five prices are needed.
    mine(max(0, 1_500 - height()))
    history = document("subnets price", "--netuids", f"{NETUID},{CALM}", "--interval-hours", "10")
    return [len(history[str(netuid)]["prices"]) > 4 for netuid in (NETUID, CALM)]


# btcli hides the commands on weights from its help.
@operation("weights reveal")
def _():
    # The rate limit of the owner's calls.
    mine(50)
    succeeded("sudo set", "--netuid", NETUID, "--param", "commit_reveal_weights_enabled", "--value", "true")
    # A hotkey signs without a fee, but needs an account.
    succeeded("wallet transfer", "--dest", HOTKEY, "--amount", "1")
    uid = storage("Uids", NETUID, HOTKEY)
    # btcli cannot commit to weights; see EXCEPTIONS.
    salt = [7, 8, 9]
    commitment = generate_weight_hash(HOTKEY, NETUID, [uid], [65_535], cli.__version_as_int__, salt)
    committed = {"netuid": NETUID, "commit_hash": commitment}
    check(read("signed", "//AliceHotkey", "commit_weights", committed), "commit_weights")
    epoch = storage("SubnetEpochIndex", NETUID)
    while storage("SubnetEpochIndex", NETUID) == epoch:
        mine(1)
    weights = ["--uids", uid, "--weights", "1", "--salt", ",".join(map(str, salt))]
    # The command does not wait for the block.
    succeeded("weights reveal", "--netuid", NETUID, *weights)
    mine(1)
    return [storage("Weights", NETUID, uid) == [[uid, 65_535]], len(storage("WeightCommits", NETUID, HOTKEY) or [])]


@operation("view dashboard")
def _():
    # Opens the page in a browser: here, in a program that does nothing.
    os.environ["BROWSER"] = "true"
    pages = os.path.join(HOME, "pages")
    text("view dashboard", "--save-file", "--dashboard-path", pages)
    page = open(os.path.join(pages, os.listdir(pages)[0])).read()
    check("Babelbit" in page, page[:300])
    return len(page) > 10_000


for command, (given, message, reason) in EXCEPTIONS.items():

    @operation(command)
    def _():
        # Some of the commands report the message without an error.
        try:
            said = text(command, *given)
        except Failed as failure:
            if message not in str(failure):
                raise
            said = str(failure)
        if message in said:
            raise Unsupported(reason)


missing = COMMANDS.keys() - operation.did.keys()
if missing:
    raise Failed(f"these commands are not run: {sorted(missing)}")
operation.did["leaf commands"] = {"ok": True, "value": sorted(COMMANDS)}
print_results()
