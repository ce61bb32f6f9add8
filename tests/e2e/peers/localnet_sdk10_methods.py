"""Calls every public method of bittensor 10's clients on development chains, and checks the effects.

localnet_sdk10_methods.py  reads {"class", "url", "netuid", "block_seconds"} from standard input, where class is
                       Subtensor or AsyncSubtensor; prints the result of each operation, and for each method whether it
                       works, or why not
"""
import asyncio
import inspect
import json
import os
import sys
import threading
import time

sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from async_substrate_interface.sync_substrate import SubstrateInterface  # noqa: E402
from localnet_answers import Tool, print_results  # noqa: E402
from sdk10_methods import OPERATIONS, WAITING, Client, chain, subnets, neurons, staking, accounts  # noqa: E402, F401
from sdk10_wallet import wallet  # noqa: E402

# The SDK logs to standard output, which has the results.
bt.logging.off()
question = json.load(sys.stdin)
CLASS = getattr(bt, question["class"])
# Methods that fail on the main network too: a part of their error, and their arguments.
UNSUPPORTED = {
    # The senate was removed.
    "get_vote_data": ("Triumvirate", ("0x" + "00" * 32,)),
    # The call was removed in spec version 461.
    "set_root_claim_type": ("set_root_claim_type not found", (wallet("//Bob", "//Bob"), "Keep")),
}
record = Tool("bittensor", f"bittensor {CLASS.__name__}")


def methods():
    """Public callables of the class, without properties."""
    named = ((name, inspect.getattr_static(CLASS, name)) for name in dir(CLASS) if not name.startswith("_"))
    return {name for name, found in named if not isinstance(found, property) and callable(getattr(CLASS, name))}


def mine():
    """Produces a block as soon as an extrinsic is pending or an operation waits for blocks."""
    chain = SubstrateInterface(url=question["url"], ss58_format=42)
    while True:
        waiting = WAITING.is_set()
        if waiting or chain.rpc_request("author_pendingExtrinsics", [])["result"]:
            chain.rpc_request("dev_mine", [1])
        time.sleep(0.25 if waiting else 0.01)


async def main():
    client = Client(CLASS(network=question["url"]), question["netuid"], question["block_seconds"])
    # The genesis block has no timestamp.
    await client.mine(1)
    for name, work in OPERATIONS:
        await record.run(name, work(client))
    for name, (error, arguments) in UNSUPPORTED.items():
        try:
            response = await getattr(client, name)(*arguments)
            found = response.message if not response.success else response
        except Exception as raised:  # noqa: BLE001
            found = raised
        assert error in str(found), (name, found)
        client.working.discard(name)
    unknown = (client.working | client.rejected) - methods()
    assert not unknown, unknown
    record.did["public methods"] = {"ok": True, "value": {
        "working": sorted(client.working - client.rejected),
        "rejected by the SDK": sorted(client.rejected),
        "unsupported": sorted(UNSUPPORTED),
        "without success": sorted(methods() - client.working - client.rejected - UNSUPPORTED.keys()),
    }}
    await client.close()


threading.Thread(target=mine, daemon=True).start()
asyncio.run(main())
print_results()
