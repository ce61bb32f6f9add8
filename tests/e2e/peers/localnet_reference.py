"""Runs the operations of the SDK's end-to-end suite that depend on the genesis block, on a chain with --genesis reference.

localnet_reference.py  reads {"url"} from standard input; prints the result of each operation
"""
import json
import os
import sys

sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

from bittensor.core.extrinsics.utils import sudo_call_extrinsic  # noqa: E402
from bittensor.extras import SubtensorApi  # noqa: E402
from bittensor.extras.dev_framework import ACTIVATE_SUBNET, REGISTER_NEURON, REGISTER_SUBNET, TestSubnet  # noqa: E402
from bittensor.utils.balance import Balance  # noqa: E402
from localnet_answers import Tool, print_results  # noqa: E402
from sdk10_wallet import wallet  # noqa: E402

operation = Tool("bittensor")
alice, bob = wallet("//Alice", "//Alice_hk"), wallet("//Bob", "//Bob_hk")
# The suite names the node "localhost".
subtensor = SubtensorApi(network=json.load(sys.stdin)["url"], legacy_methods=False)
substrate = subtensor.substrate
NOW = {"mev_protection": False}


def free(who):
    return subtensor.wallets.get_balance(who.coldkeypub.ss58_address).rao


@operation("subnets")
def _():
    return subtensor.subnets.get_all_subnets_netuid()


@operation("owner of Alice's hotkey")
def _():
    return subtensor.wallets.does_hotkey_exist(alice.hotkey.ss58_address)


@operation("register two subnets")
def _():
    subnets = [TestSubnet(subtensor), TestSubnet(subtensor)]
    for subnet in subnets:
        subnet.execute_steps([REGISTER_SUBNET(bob), ACTIVATE_SUBNET(bob), REGISTER_NEURON(alice)])
    return [subnet.netuid for subnet in subnets]


@operation("balance of the sudo key")
def _():
    """The fees of others do not go to //Alice."""
    before = free(alice)
    response = subtensor.extrinsics.transfer(
        wallet=bob, destination_ss58=wallet("//Dave", "//Dave_hk").coldkeypub.ss58_address, amount=Balance.from_tao(1),
        **NOW
    )
    return [response.success, free(alice) - before]


@operation("duplicate proxy")
def _():
    add = {"wallet": alice, "delegate_ss58": bob.coldkeypub.ss58_address, "proxy_type": "Any", "delay": 0}
    first, second = subtensor.proxies.add_proxy(**add, **NOW), subtensor.proxies.add_proxy(**add, **NOW)
    return [first.success, second.error["name"], second.error["docs"]]


@operation("storage set by sudo")
def _():
    key = substrate.create_storage_key("SubtensorModule", "Tempo", [2]).to_hex()
    response = sudo_call_extrinsic(
        subtensor=subtensor.inner_subtensor, wallet=alice, call_module="System", call_function="set_storage",
        call_params={"items": [[key, b"\x21\x00"]]},
    )
    return [response.success, subtensor.subnets.tempo(2)]


@operation("code set by sudo")
def _():
    response = sudo_call_extrinsic(
        subtensor=subtensor.inner_subtensor, wallet=alice, call_module="System", call_function="set_storage",
        call_params={"items": [["0x3a636f6465", b"\x00"]]},
    )
    return response.success


print_results()
