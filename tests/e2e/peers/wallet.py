"""Runs steps with a Python wallet tool: steps as JSON on standard input, a list of results on standard output.

Runs in the environments `wallet` (bittensor-wallet 4) and `sdk11` (bittensor 11), which have the same names here.
"""
import json
import os
import subprocess
import sys

try:
    from bittensor.keyfiles import Keyfile, Keypair
    from bittensor.wallet import Wallet
except ImportError:
    from bittensor_wallet import Keyfile, Keypair, Wallet


def keypair(step):
    kind = step.get("crypto_type", 1)
    if "mnemonic" in step:
        return Keypair.create_from_mnemonic(step["mnemonic"], kind)
    return Keypair.create_from_uri(step["uri"], kind)


def described(pair):
    return {"address": pair.ss58_address, "public_key": bytes(pair.public_key).hex(), "crypto_type": pair.crypto_type}


def read(step):
    """A keyfile; the password can come from the environment."""
    return described(Keyfile(step["path"]).get_keypair(step.get("password")))


def write(step):
    password = step.get("password")
    pair = keypair(step)
    Keyfile(step["path"]).set_keypair(pair, encrypt=password is not None, overwrite=False, password=password)
    return described(pair)


def open_wallet(step):
    """Each key of a wallet through the public API."""
    wallet = Wallet(name=step["name"], hotkey=step["hotkey"], path=step["path"])
    keys = {"coldkey": wallet.get_coldkey(step.get("password")), "coldkeypub": wallet.coldkeypub}
    keys |= {"hotkey": wallet.hotkey, "hotkeypub": wallet.hotkeypub}
    return {name: described(pair) for name, pair in keys.items()}


def create_wallet(step):
    wallet = Wallet(name=step["name"], hotkey=step["hotkey"], path=step["path"])
    wallet.create_new_coldkey(suppress=True, coldkey_password=step.get("password"), use_password="password" in step)
    wallet.create_new_hotkey(suppress=True, use_password=False)
    return {"coldkey": described(wallet.coldkeypub), "hotkey": described(wallet.hotkey)}


def sign(step):
    pair = Keyfile(step["path"]).get_keypair(step.get("password")) if "path" in step else keypair(step)
    return bytes(pair.sign(bytes.fromhex(step["message"]))).hex()


def verify(step):
    pair = Keypair(ss58_address=step["address"], crypto_type=step.get("crypto_type", 1))
    return pair.verify(bytes.fromhex(step["message"]), bytes.fromhex(step["signature"]))


def import_json(step):
    with open(step["path"]) as file:
        return described(Keypair.create_from_encrypted_json(file.read(), step["password"]))


def password_variable(step):
    """The variable that the tool itself sets for a keyfile's password, as a child process sees it."""
    file = Keyfile(step["path"])
    file.save_password_to_env(step["password"])
    environment = subprocess.run(["env", "-0"], check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    both = dict(line.split("=", 1) for line in environment if "=" in line)
    name = file.env_var_name()
    return {"name": name, "value": both.get(name, os.environ.get(name))}


STEPS = [read, write, open_wallet, create_wallet, sign, verify, import_json, password_variable]


def main():
    steps = {step.__name__: step for step in STEPS}
    answers = []
    for step in json.load(sys.stdin):
        try:
            answers.append({"answer": steps[step["do"]](step)})
        # Errors have several types, including one of the Rust core that is not an Exception.
        except BaseException as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
    # The wallet tools print to standard output themselves.
    print("\n" + json.dumps(answers))


main()
