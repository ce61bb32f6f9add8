"""Runs unmodified bittensor 11 on a development chain.

localnet_sdk11.py      reads {"url", "netuid", "coldkey", "hotkey"} from standard input; prints the result of each
                       operation
"""
import json
import os
import sys
import tempfile

# The SDK caches metadata in the user's home directory.
os.environ["BITTENSOR_RUNTIME_CACHE_DIR"] = tempfile.mkdtemp()

import bittensor as bt  # noqa: E402
from localnet_answers import Tool, print_results  # noqa: E402

question = json.load(sys.stdin)
NETUID, COLDKEY, HOTKEY = question["netuid"], question["coldkey"], question["hotkey"]
operation = Tool("bittensor")
subtensor = bt.Subtensor(question["url"])


@operation("connect")
def _():
    return subtensor.spec_version


@operation("block")
def _():
    return subtensor.block


@operation("balance")
def _():
    return subtensor.balances.get(COLDKEY).rao


@operation("existential deposit")
def _():
    return subtensor.balances.existential_deposit().rao


@operation("subnets list")
def _():
    return [subnet.netuid for subnet in subtensor.subnets.all()]


@operation("hyperparameters")
def _():
    return subtensor.subnets.subnet_hyperparameters(NETUID)["tempo"]


@operation("metagraph")
def _():
    graph = subtensor.subnets.metagraph(NETUID)
    return [neuron.uid for neuron in graph.neurons if neuron.hotkey == HOTKEY]


@operation("neurons")
def _():
    return [neuron.uid for neuron in subtensor.neurons.all(NETUID) if neuron.hotkey == HOTKEY]


@operation("uid")
def _():
    return subtensor.neurons.uid(HOTKEY, NETUID)


@operation("commitments")
def _():
    return len(subtensor.identity.commitments(NETUID))


@operation("stake list")
def _():
    return sorted({position.netuid for position in subtensor.staking.positions(COLDKEY)})


@operation("delegates")
def _():
    return {one.hotkey: [one.owner, round(one.take, 4)] for one in subtensor.delegation.delegates()}


@operation("prices")
def _():
    return subtensor.prices.alpha_prices()[NETUID]


@operation("quote")
def _():
    quote = subtensor.prices.quote_stake(NETUID, 1.0)
    return {"alpha": quote.alpha.rao, "tao_fee": quote.tao_fee.rao}


@operation("epochs")
def _():
    return subtensor.epochs.epoch_status(NETUID)


print_results()
