"""bittensor 11, unmodified, connects to a development chain and reads it.

localnet_sdk11.py      reads {"url", "netuid", "coldkey", "hotkey"} from standard input; says, for each operation, what
                       came of it
"""
import json
import os
import sys
import tempfile
import traceback

# It keeps what it learns of a chain beside its user's other files.
os.environ["BITTENSOR_RUNTIME_CACHE_DIR"] = tempfile.mkdtemp()

import bittensor as bt  # noqa: E402

question = json.load(sys.stdin)
NETUID, COLDKEY, HOTKEY = question["netuid"], question["coldkey"], question["hotkey"]
answers = {}
subtensor = bt.Subtensor(question["url"])


def operation(name):
    """Carries an operation out and keeps its answer, or what went wrong."""

    def run(work):
        try:
            answers[name] = {"ok": True, "value": work()}
        except Exception as error:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            answers[name] = {"ok": False, "value": f"{type(error).__name__}: {error}"}
        return work

    return run


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


@operation("hyper-parameters")
def _():
    return subtensor.subnets.subnet_hyperparameters(NETUID)["tempo"]


@operation("metagraph")
def _():
    graph = subtensor.subnets.metagraph(NETUID)
    return [neuron.hotkey for neuron in graph.neurons].index(HOTKEY) >= 0


@operation("neurons")
def _():
    return HOTKEY in [neuron.hotkey for neuron in subtensor.neurons.all(NETUID)]


@operation("uid")
def _():
    return subtensor.neurons.uid(HOTKEY, NETUID)


@operation("commitments")
def _():
    return len(subtensor.identity.commitments(NETUID))


@operation("stake list")
def _():
    return sorted(position.netuid for position in subtensor.staking.positions(COLDKEY))


@operation("delegates")
def _():
    return len(subtensor.delegation.delegates())


@operation("prices")
def _():
    return NETUID in subtensor.prices.alpha_prices()


@operation("quote")
def _():
    return subtensor.prices.quote_stake(NETUID, 1.0) is not None


@operation("epochs")
def _():
    return subtensor.epochs.blocks_until_next_epoch(NETUID) is not None


print(json.dumps(answers, default=str))
