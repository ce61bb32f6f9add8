"""Runs a neuron of opentensor/bittensor-subnet-template, unmodified, with bittensor 10.

subnet_template.py CHECKOUT miner|validator HOTKEY FOLDER OPTION...   until it is killed; HOTKEY is a URI such as
                                                                      //Bob, FOLDER is for the wallet and the state
"""
import os
import runpy
import sys

CHECKOUT, NEURON, HOTKEY, FOLDER, *OPTIONS = sys.argv[1:]
FILE = os.path.join(CHECKOUT, "neurons", f"{NEURON}.py")
# The SDK and the neuron parse sys.argv themselves.
os.environ["BT_NO_PARSE_CLI_ARGS"] = "false"
sys.argv = [FILE, "--wallet.path", FOLDER, "--logging.logging_dir", FOLDER, "--logging.debug", *OPTIONS]
sys.path.insert(0, CHECKOUT)

import bittensor as bt  # noqa: E402
from bittensor.utils import networking  # noqa: E402
from bittensor_wallet import Keypair, Wallet  # noqa: E402

# The template is written for SDK 9, which had these names in lower case, too.
for name in ("Axon", "Config", "Dendrite", "Metagraph", "Subtensor", "Wallet"):
    setattr(bt, name.lower(), getattr(bt, name))
# Otherwise the SDK queries a public service. Its dendrite reaches this address on the machine itself; chains reject
# loopback addresses.
networking.get_external_ip = lambda: "192.0.2.1"

wallet = Wallet(name="default", hotkey="default", path=FOLDER)
coldkey = Keypair.create_from_uri("//Alice")
wallet.set_coldkey(coldkey, encrypt=False, overwrite=True)
wallet.set_coldkeypub(coldkey, encrypt=False, overwrite=True)
wallet.set_hotkey(Keypair.create_from_uri(HOTKEY), encrypt=False, overwrite=True)

runpy.run_path(FILE, run_name="__main__")
