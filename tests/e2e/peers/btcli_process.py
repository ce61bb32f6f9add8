"""Runs the commands of unmodified btcli in forked children of one process, which imports it once.

The environment (home directory, wallets) is temporary; standard output is no terminal, as in a pipe.
"""
import atexit
import contextlib
import functools
import gc
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

HOME = tempfile.mkdtemp(prefix="taonet-btcli-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
WALLETS = os.path.join(HOME, "wallets")
os.environ.update(HOME=HOME, NO_COLOR="1")
# Rich reads the width from COLUMNS at each output, unless it is set at import.
os.environ.pop("COLUMNS", None)
question = json.load(sys.stdin)
URL = question["url"]

import typer.main  # noqa: E402
from bittensor_cli import cli  # noqa: E402
from bittensor_wallet import Keypair, Wallet  # noqa: E402
from async_substrate_interface.sync_substrate import SubstrateInterface  # noqa: E402

BTCLI = os.path.join(os.path.dirname(sys.executable), "btcli")
# btcli builds its tree of commands at each start, which takes as long as a command does. Children inherit the parent's.
cli.CLIManager = functools.cache(cli.CLIManager)
typer.main.get_command = functools.cache(typer.main.get_command)


def leaves(group, path=(), hidden=False):
    """Yields all commands below a Click group: words such as "stake child set", the command, whether it is hidden."""
    for name, command in group.commands.items():
        below = (*path, name), hidden or command.hidden
        if getattr(command, "commands", None):
            yield from leaves(command, *below)
        else:
            yield " ".join(below[0]), command, below[1]


def commands():
    """All commands as a map from their words to the Click command, without hidden aliases of other commands."""
    found, functions = {}, set()
    for words, command, hidden in sorted(leaves(typer.main.get_command(cli.CLIManager().app)), key=lambda leaf: leaf[2]):
        function = inspect.unwrap(command.callback)
        if not hidden or function not in functions:
            found[words] = command
            functions.add(function)
    return found


COMMANDS = commands()


class Failed(RuntimeError):
    """A command that exits with an error or reports one."""


def fork(work, stdin, stdout, stderr):
    """Runs a function in a child with these files; returns the process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    # It would visit, and copy, all that the parent has imported.
    gc.disable()
    try:
        for number, file in enumerate((stdin, stdout, stderr)):
            os.dup2(file.fileno(), number)
        code = work() or 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def rpc(url, method, *parameters):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url.replace("ws:", "http:"), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    if "error" in answer:
        raise Failed(f"{method}: {answer['error']}")
    return answer["result"]


def mine_on_demand(url):
    """Starts a child that produces a block whenever a transaction waits."""
    parent = os.getpid()

    def work():
        while os.getppid() == parent:
            if rpc(url, "author_pendingExtrinsics"):
                rpc(url, "dev_mine", 1)
            time.sleep(0.02)

    with open(os.devnull, "r+") as null:
        return fork(work, null, null, null)


def output(arguments, answers="", columns=240, seconds=120):
    """Runs btcli in a child; returns its exit code, standard output and standard error."""
    stdin, out, err = files = [tempfile.TemporaryFile("w+") for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.enter_context(file)
        stdin.write(answers)
        stdin.seek(0)

        def work():
            os.environ["COLUMNS"] = str(columns)
            sys.argv = [BTCLI, *arguments]
            cli.main()

        child = fork(work, stdin, out, err)
        end = time.monotonic() + seconds
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(child, 9)
                os.waitpid(child, 0)
                out.seek(0)
                raise Failed(f"no end after {seconds} s: {out.read()[-600:]}")
            time.sleep(0.01)
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(done[1]), out.read(), err.read()


def option(command, *names):
    """The first of these options that the command has."""
    taken = {opt for parameter in COMMANDS[command].params for opt in (*parameter.opts, *parameter.secondary_opts)}
    return next((name for name in names if name in taken), None)


def arguments_of(command, given, wallet="alice", hotkey="default", as_json=True):
    """Adds the arguments for the chain, the wallet and the output that the command has and that are not given."""
    words = [*command.split(), *map(str, given)]

    def add(value, *names):
        if (name := option(command, *names)) and not any(other in given for other in names):
            words.extend([name] if value is None else [name, value])

    if command.split()[0] == "config":
        return words
    if command != "utils latency":
        add(URL, "--network")
    if wallet:
        add(WALLETS, "--wallet-path")
        add(wallet, "--wallet-name")
        # In these commands, --hotkey is the address of somebody's hotkey.
        if hotkey and "--hotkey-ss58" not in given and "--ss58" not in given and command != "lock add":
            add(hotkey, "--wallet-hotkey", "--hotkey")
    add(None, "--no-prompt")
    if as_json:
        add(None, "--json-output")
    return words


ERRORS = ("Traceback (most recent call last)", "unknown error has occurred", "❌")


def text(command, *given, answers="", columns=240, allow=(), **how):
    """Output of a command that succeeds, without JSON."""
    words = arguments_of(command, given, as_json=False, **how)
    code, out, err = output(words, answers, columns)
    said = out + err
    if code != 0 or any(error in said for error in ERRORS if error not in allow):
        raise Failed(f"exit code {code}: {' '.join(said.split())[-600:]}")
    return out


def document(command, *given, answers="", **how):
    """The JSON document that a command prints, perhaps after prompts."""
    code, out, err = output(arguments_of(command, given, **how), answers)
    said = " ".join((out + err).split())
    if code != 0 or any(error in said for error in ERRORS[:2]):
        raise Failed(f"exit code {code}: {said[-600:]}")
    for start in (at for at, letter in enumerate(out) if letter in "{["):
        try:
            # Rich breaks long lines, within strings too.
            return json.JSONDecoder(strict=False).raw_decode(out[start:])[0]
        except json.JSONDecodeError:
            continue
    raise Failed(f"no JSON: {said[-600:]}")


def flags(part, key=None):
    """All values of the fields that say whether a command succeeded."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from flags(value, name if name in ("success", "staking_success") else key)
    elif isinstance(part, list):
        for value in part:
            yield from flags(value, key)
    elif key and isinstance(part, bool):
        yield part


def succeeded(command, *given, **how):
    """Runs a command whose document says that it and all its parts succeeded; returns the document."""
    answer = document(command, *given, **how)
    found = list(flags(answer))
    if not found or not all(found):
        raise Failed(json.dumps(answer)[:600])
    return answer


class Reader:
    """A child with a connection to the chain that reads storage and signs calls."""

    def __init__(self):
        (self.requests, ours), (theirs, self.answers) = os.pipe(), os.pipe()
        self.to, self.of = os.fdopen(ours, "w"), os.fdopen(theirs)

        def work():
            # Otherwise the child would wait for itself at the end.
            os.close(ours)
            os.close(theirs)
            chain = SubstrateInterface(URL)
            with os.fdopen(self.requests) as requests, os.fdopen(self.answers, "w") as answers:
                for line in requests:
                    try:
                        answer = {"ok": self.read(chain, *json.loads(line))}
                    except Exception as error:  # noqa: BLE001
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    print(json.dumps(answer, default=str), file=answers, flush=True)

        with open(os.devnull) as null:
            fork(work, null, sys.stderr, sys.stderr)

    @staticmethod
    def read(chain, pallet, item, *keys):
        if pallet == "rpc":
            return chain.rpc_request(item, list(keys))["result"]
        if pallet == "map":
            return [[getattr(key, "value", key), getattr(value, "value", value)]
                    for key, value in chain.query_map(item, keys[0], list(keys[1:]))]
        if pallet == "signed":
            function, parameters = keys
            call = chain.compose_call("SubtensorModule", function, parameters)
            extrinsic = chain.create_signed_extrinsic(call, Keypair.create_from_uri(item))
            return chain.submit_extrinsic(extrinsic, wait_for_inclusion=True).is_success
        found = chain.query(pallet, item, list(keys))
        return getattr(found, "value", found)

    def __call__(self, pallet, item, *keys):
        print(json.dumps([pallet, item, *keys]), file=self.to, flush=True)
        answer = json.loads(self.of.readline())
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["ok"]


def wallet(name, coldkey, hotkeys, crypto_type=1):
    """Writes a wallet with the keys of URIs such as //Alice."""
    for hotkey, uri in hotkeys.items():
        made = Wallet(name=name, hotkey=hotkey, path=WALLETS)
        cold = Keypair.create_from_uri(coldkey, crypto_type=crypto_type)
        made.set_coldkey(cold, encrypt=False, overwrite=True)
        made.set_coldkeypub(cold, encrypt=False, overwrite=True)
        made.set_hotkey(Keypair.create_from_uri(uri, crypto_type=crypto_type), encrypt=False, overwrite=True)
    return made


def address(uri):
    """SS58 address of a key."""
    return Keypair.create_from_uri(uri).ss58_address


def run(command):
    """Runs the installed program itself."""
    how = {"env": {**os.environ, "COLUMNS": "240"}, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run([BTCLI, *command], timeout=120, **how)
