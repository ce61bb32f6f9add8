"""Reads the numbers of a subnet's neurons with the metagraph of unmodified bittensor 11.

localnet_sdk11_numbers.py  reads {"url", "netuid", "blocks"} from standard input; prints a list with the numbers after
                       each of the blocks, in the fields of localnet_numbers.py
"""
import json
import os
import sys
import tempfile

# The SDK caches metadata in the user's home directory.
os.environ["BITTENSOR_RUNTIME_CACHE_DIR"] = tempfile.mkdtemp()

import bittensor as bt  # noqa: E402

question = json.load(sys.stdin)
subtensor = bt.Subtensor(question["url"])


def numbers(block):
    """Reads the neurons after a block: amounts in rao, shares in parts of 65 535."""
    graph = subtensor.subnets.metagraph(question["netuid"], block=block)

    def column(field, convert):
        return [convert(getattr(neuron, field)) for neuron in graph.neurons]

    plain = ("hotkey", "coldkey", "validator_permit", "last_update")
    amounts = ("alpha_stake", "tao_stake", "total_stake", "emission")
    shares = ("incentive", "dividends", "consensus")
    return {
        **{field: column(field, lambda value: value) for field in plain},
        **{field: column(field, lambda amount: amount.rao) for field in amounts},
        **{field: column(field, lambda share: round(share * 65_535)) for field in shares},
    }


print(json.dumps([numbers(block) for block in question["blocks"]]), flush=True)
