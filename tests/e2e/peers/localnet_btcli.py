"""Runs unmodified btcli 9 on a development chain.

localnet_btcli.py      reads {"url", "netuid"} from standard input; says what came of each command. Commands that stake
                       go through the MEV shield, which is their default.
"""
import json
import os
import subprocess
import sys
import tempfile

from bittensor_wallet import Keypair, Wallet
from localnet_answers import Tool, say

question = json.load(sys.stdin)
URL, NETUID = question["url"], question["netuid"]
BTCLI = os.path.join(os.path.dirname(sys.executable), "btcli")
home = tempfile.mkdtemp()
wallets = os.path.join(home, "wallets")
operation = Tool("bittensor-cli")


def wallet(name, coldkey, hotkey):
    made = Wallet(name=name, hotkey="default", path=wallets)
    cold = Keypair.create_from_uri(coldkey)
    made.set_coldkey(cold, encrypt=False, overwrite=True)
    made.set_coldkeypub(cold, encrypt=False, overwrite=True)
    made.set_hotkey(Keypair.create_from_uri(hotkey), encrypt=False, overwrite=True)
    return made


def btcli(*arguments, name="alice", as_json=True):
    """Runs a command and parses the last JSON document of its output."""
    keys = ["--wallet-path", wallets, "--wallet-name", name] if name else []
    if name and arguments[0] not in ("sudo get", "subnets list", "subnets show"):
        keys += ["--hotkey", "default"]
    command = [BTCLI, *arguments[0].split(), *arguments[1:], *keys, "--network", URL]
    command += ["--json-output"] if as_json else []
    environment = {**os.environ, "HOME": home, "NO_COLOR": "1", "COLUMNS": "240"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
    said = done.stdout + done.stderr
    if done.returncode != 0 or "Traceback" in said or "unknown error" in said or "{" not in said and as_json:
        raise RuntimeError(" ".join(said.split())[-600:])
    if not as_json:
        return said
    document = done.stdout
    start = min(at for at in (document.find("{"), document.find("[")) if at >= 0)
    return json.JSONDecoder().raw_decode(document[start:])[0]


def succeeded(answer):
    """Checks that a response and all its parts are successful."""

    def flags(part, key=None):
        if isinstance(part, dict):
            for name, value in part.items():
                yield from flags(value, name if name in ("success", "staking_success") else key)
        elif isinstance(part, list):
            for value in part:
                yield from flags(value, key)
        elif key and isinstance(part, bool):
            yield part

    found = list(flags(answer))
    if not found or not all(found):
        raise RuntimeError(json.dumps(answer))
    return True


alice, bob = wallet("alice", "//Alice", "//AliceHotkey"), wallet("bob", "//Bob", "//BobHotkey")
ALICE, BOB = (who.coldkeypub.ss58_address for who in (alice, bob))
HOTKEY, OTHER = (who.hotkey.ss58_address for who in (alice, bob))
NOW = "--no-prompt"


@operation("wallet balance")
def _():
    return btcli("wallet balance")["balances"]["alice"]


@operation("subnets list")
def _():
    return len(btcli("subnets list", name=None)["subnets"])


@operation("subnets show")
def _():
    return btcli("subnets show", "--netuid", str(NETUID), NOW, name=None)["name"]


@operation("sudo get")
def _():
    return btcli("sudo get", "--netuid", str(NETUID), name=None)


# A long tempo: the owner cannot change hyperparameters shortly before an epoch.
CALM = "18"


@operation("sudo set")
def _():
    change = ["--param", "max_burn", "--value", "90000000000"]
    set_ = succeeded(btcli("sudo set", "--netuid", CALM, *change, NOW))
    held = {row["hyperparameter"]: row["value"] for row in btcli("sudo get", "--netuid", CALM, name=None)}
    return [set_, held["max_burn"]]


@operation("error of a rejected sudo set")
def _():
    # The chain's error is shown by name.
    change = ["--param", "min_burn", "--value", "5000000000"]
    return btcli("sudo set", "--netuid", CALM, *change, NOW)["err_msg"]


@operation("subnets register")
def _():
    return succeeded(btcli("subnets register", "--netuid", str(NETUID), NOW))


@operation("subnets register with a second wallet")
def _():
    return succeeded(btcli("subnets register", "--netuid", str(NETUID), NOW, name="bob"))


@operation("subnets start")
def _():
    return btcli("subnets start", "--netuid", "18", NOW, as_json=False).strip() != ""


STAKE = ["--netuid", str(NETUID), "--tolerance", "0.5", NOW]


@operation("stake add")
def _():
    return succeeded(btcli("stake add", "--amount", "100", *STAKE))


@operation("stake add without the MEV shield")
def _():
    return succeeded(btcli("stake add", "--amount", "10", "--no-mev-protection", "--unsafe", *STAKE))


@operation("stake list")
def _():
    return btcli("stake list", NOW)["stake_info"]


@operation("stake remove")
def _():
    return succeeded(btcli("stake remove", "--amount", "50", *STAKE))


@operation("stake move")
def _():
    keys = ["--origin-netuid", str(NETUID), "--dest-netuid", str(NETUID), "--dest", OTHER]
    return succeeded(btcli("stake move", "--amount", "60", *keys, NOW))


@operation("stake swap")
def _():
    keys = ["--origin-netuid", str(NETUID), "--dest-netuid", "18", "--tolerance", "0.5"]
    return succeeded(btcli("stake swap", "--amount", "70", *keys, NOW))


@operation("stake transfer")
def _():
    keys = ["--origin-netuid", str(NETUID), "--dest-netuid", str(NETUID), "--dest", BOB]
    return succeeded(btcli("stake transfer", "--amount", "80", *keys, NOW))


@operation("stake remove all alpha")
def _():
    return succeeded(btcli("stake remove", "--all-alpha", NOW))


@operation("wallet overview")
def _():
    return btcli("wallet overview") != {}


@operation("wallet transfer")
def _():
    return succeeded(btcli("wallet transfer", "--dest", BOB, "--amount", "1.5", NOW))


say()
