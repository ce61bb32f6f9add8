"""Makes the calls that the SDK's own end-to-end suite expects to fail, on a chain with --genesis reference --block-time
instant.

localnet_refusals.py  reads {"url"} from standard input; prints the names of the errors of each group of calls
"""
import json
import os
import re
import sys

sys.argv = sys.argv[:1]
os.environ.setdefault("BT_NO_PARSE_CLI_ARGS", "1")

import bittensor as bt  # noqa: E402
from bittensor.core.chain_data.proxy import ProxyType  # noqa: E402
from bittensor.core.extrinsics.pallets import Balances, SubtensorModule  # noqa: E402
from bittensor.core.extrinsics.utils import sudo_call_extrinsic  # noqa: E402
from bittensor.extras import SubtensorApi  # noqa: E402
from bittensor.utils.balance import Balance  # noqa: E402
from localnet_answers import Tool, print_results  # noqa: E402
from sdk10_wallet import wallet  # noqa: E402

# The SDK logs to standard output, which has the results.
bt.logging.off()
NOW = {"mev_protection": False}
NETUID = 2

operation = Tool("bittensor")
alice, bob, charlie, dave, eve = (
    wallet(f"//{name}", f"//{name}_hk") for name in ("Alice", "Bob", "Charlie", "Dave", "Eve")
)
subtensor = SubtensorApi(network=json.load(sys.stdin)["url"], legacy_methods=False)
substrate = subtensor.substrate


def coldkey(who):
    return who.coldkeypub.ss58_address


def hotkey(who):
    return who.hotkey.ss58_address


def error(response):
    """Name of the error from a block, or of the SDK's exception for the pool's refusal; without one, its custom error.
    None after a success."""
    if response.success:
        return None
    if isinstance(response.error, dict):
        assert response.error["name"] in response.message, response
        return response.error["name"]
    name = type(response.error).__name__
    return re.search(r"Custom error: \d+", response.message)[0] if name == "SubstrateRequestException" else name


def mine(blocks):
    substrate.rpc_request("dev_mine", [blocks])


def sudo(pallet, function, parameters):
    response = sudo_call_extrinsic(subtensor=subtensor.inner_subtensor, wallet=alice, call_module=pallet,
                                   call_function=function, call_params=parameters)
    assert response.success, response


def own(function, parameters):
    """A call of the pallet AdminUtils, signed by the subnet's owner."""
    call = substrate.compose_call("AdminUtils", function, parameters)
    return subtensor.inner_subtensor.sign_and_send_extrinsic(call=call, wallet=dave)


@operation("takes")
def _():
    def change(who, take):
        return error(subtensor.delegates.set_delegate_take(
            wallet=who, hotkey_ss58=hotkey(alice), take=take, raise_error=False
        ))

    unknown = change(alice, 0.1)
    assert subtensor.extrinsics.root_register(wallet=alice, **NOW).success
    bounds = [change(bob, 0.1), change(alice, 0.5), change(alice, 0.1), change(alice, 0.15)]
    sudo("AdminUtils", "sudo_set_tx_delegate_take_rate_limit", {"tx_rate_limit": 0})
    return [unknown, *bounds, change(alice, 0.15)]


@operation("subnets")
def _():
    assert subtensor.subnets.register_subnet(dave, **NOW).success
    assert subtensor.subnets.start_call(dave, NETUID, **NOW).success
    sudo("AdminUtils", "sudo_set_admin_freeze_window", {"window": 0})
    identity = bt.core.chain_data.SubnetIdentity("name", "repo", "contact", "url", "logo", "discord", "text", "more")

    def describe(who):
        return error(subtensor.subnets.set_subnet_identity(
            wallet=who, netuid=NETUID, subnet_identity=identity, **NOW
        ))

    return [describe(bob), describe(dave)]


@operation("commitments")
def _():
    def commit(data):
        response = subtensor.commitments.set_commitment(
            wallet=alice, netuid=NETUID, data=data, raise_error=False, **NOW
        )
        # The SDK hides the error in the message of an exception of its own.
        return None if response.success else re.search(r"`(\w+)\(Module\)`", response.message)[1]

    unregistered = commit("Hello World!")
    assert subtensor.subnets.burned_register(wallet=alice, netuid=NETUID, **NOW).success
    assert subtensor.subnets.burned_register(wallet=bob, netuid=NETUID, **NOW).success
    first = commit("Hello World!")
    sudo("Commitments", "set_max_space", {"new_limit": len("Hello World!")})
    return [unregistered, first, commit("Hello World!longer")]


@operation("children")
def _():
    sudo("SubtensorModule", "set_pending_childkey_cooldown", {"cooldown": 15})

    def children(netuid, *shares):
        return error(subtensor.extrinsics.set_children(
            wallet=alice, hotkey_ss58=hotkey(alice), netuid=netuid, children=list(shares), raise_error=False, **NOW
        ))

    other = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM"
    first = [
        children(0), children(3), children(NETUID, (1.0, hotkey(alice))),
        children(NETUID, *[(0.1, hotkey(bob))] * 10), children(NETUID, (1.0, hotkey(bob)), (1.0, other)),
        children(NETUID, (1.0, hotkey(bob))), children(NETUID),
    ]
    mine(150)
    sudo("AdminUtils", "sudo_set_stake_threshold", {"min_stake": 1_000_000_000_000})
    poor = children(NETUID, (1.0, hotkey(bob)))
    sudo("AdminUtils", "sudo_set_stake_threshold", {"min_stake": 0})
    return [*first, poor]


@operation("alpha values")
def _():
    def values(low, high):
        return error(own("sudo_set_alpha_values", {"netuid": NETUID, "alpha_low": low, "alpha_high": high}))

    sudo("AdminUtils", "sudo_set_owner_hparam_rate_limit", {"epochs": 0})
    disabled = values(6_553, 53_083)
    sudo("AdminUtils", "sudo_set_liquid_alpha_enabled", {"netuid": NETUID, "enabled": True})
    return [disabled, values(26_001, 54_099), values(6_553, 87), values(0, 53_083), values(53_084, 53_083)]


@operation("weights")
def _():
    sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", {"netuid": NETUID, "enabled": False})

    def weights(uids, values):
        call = substrate.compose_call("SubtensorModule", "set_weights", {
            "netuid": NETUID, "dests": uids, "weights": values, "version_key": 0
        })
        return error(subtensor.inner_subtensor.sign_and_send_extrinsic(call=call, wallet=alice, sign_with="hotkey"))

    lengths = weights([1], [1, 2])
    sudo("AdminUtils", "sudo_set_weights_set_rate_limit", {"netuid": NETUID, "weights_set_rate_limit": 1_000_000})
    return [lengths, weights([1], [1])]


@operation("proxies")
def _():
    proxies = subtensor.proxies

    def change(function, delegate, proxy_type, delay=0):
        return error(function(
            wallet=bob, delegate_ss58=coldkey(delegate), proxy_type=proxy_type, delay=delay, **NOW
        ))

    add, remove = proxies.add_proxy, proxies.remove_proxy
    changes = [
        change(add, charlie, ProxyType.Registration), change(add, charlie, ProxyType.Registration),
        change(remove, charlie, ProxyType.Registration), change(remove, charlie, ProxyType.Registration),
        change(add, bob, ProxyType.Registration), change(add, charlie, ProxyType.Any, delay=30),
    ]
    call = SubtensorModule(subtensor.inner_subtensor).start_call(netuid=NETUID)
    through = {"wallet": charlie, "real_account_ss58": coldkey(bob), "force_proxy_type": ProxyType.Any, "call": call}
    announced = {**through, "delegate_ss58": coldkey(charlie)}
    calls = [error(proxies.proxy(**through, **NOW)), error(proxies.proxy_announced(**announced, **NOW))]
    assert proxies.announce_proxy(
        wallet=charlie, real_account_ss58=coldkey(bob), call_hash="0x" + call.call_hash.hex(), **NOW
    ).success
    calls.append(error(proxies.proxy_announced(**announced, **NOW)))
    mine(30)
    calls.append(error(proxies.proxy_announced(**announced, **NOW)))
    return [*changes, *calls]


@operation("pure proxies")
def _():
    made = subtensor.proxies.create_pure_proxy(wallet=bob, proxy_type=ProxyType.Any, delay=0, index=0, **NOW)
    assert made.success, made
    pure = made.data["pure_account"]
    assert subtensor.extrinsics.transfer(wallet=bob, destination_ss58=pure, amount=Balance.from_tao(1), **NOW).success

    def transfer():
        call = Balances(subtensor.inner_subtensor).transfer_keep_alive(dest=coldkey(alice), value=500)
        return error(subtensor.proxies.proxy(
            wallet=bob, real_account_ss58=pure, force_proxy_type=ProxyType.Any, call=call, **NOW
        ))

    alive = transfer()
    fields = {name: made.data[name] for name in ("spawner", "proxy_type", "index", "height", "ext_index")}
    killed = subtensor.proxies.kill_pure_proxy(wallet=bob, pure_proxy_ss58=pure, **fields, **NOW)
    return [alive, error(killed), transfer()]


@operation("crowdloans")
def _():
    loans, tao = subtensor.crowdloans, Balance.from_tao

    def create(end, deposit=10, cap=15):
        return error(loans.create_crowdloan(
            wallet=bob, deposit=tao(deposit), min_contribution=tao(1), cap=tao(cap), end=subtensor.block + end,
            target_address=hotkey(charlie), **NOW
        ))

    def contribute(who, amount, loan=0):
        return error(loans.contribute_crowdloan(wallet=who, crowdloan_id=loan, amount=tao(amount), **NOW))

    named = {"wallet": bob, "crowdloan_id": 0, **NOW}
    missing = [
        contribute(bob, 10), error(loans.withdraw_crowdloan(**named)),
        error(loans.update_min_contribution_crowdloan(new_min_contribution=tao(10), **named)),
        error(loans.update_cap_crowdloan(new_cap=tao(10), **named)),
        error(loans.update_end_crowdloan(new_end=10_000, **named)),
        error(loans.dissolve_crowdloan(**named)), error(loans.finalize_crowdloan(**named)),
    ]
    assert set(missing) == {"InvalidCrowdloanId"}, missing
    created = [
        create(240, deposit=5), create(240, cap=10), create(0), create(10), create(20_100), create(240),
    ]
    refund = error(loans.refund_crowdloan(wallet=charlie, crowdloan_id=0, **NOW))
    contributed = [contribute(alice, 0.5), contribute(alice, 5), contribute(charlie, 1)]
    ended = [
        error(loans.finalize_crowdloan(**named)), error(loans.finalize_crowdloan(**named)), contribute(charlie, 5),
        error(loans.dissolve_crowdloan(**named)),
    ]
    return [*created, refund, *contributed, *ended]


@operation("coldkey swaps")
def _():
    def announce(new):
        return subtensor.extrinsics.announce_coldkey_swap(
            wallet=charlie, new_coldkey_ss58=coldkey(new), raise_error=False, **NOW
        )

    def swap(new):
        return subtensor.extrinsics.swap_coldkey_announced(
            wallet=charlie, new_coldkey_ss58=coldkey(new), raise_error=False, **NOW
        )

    def transfer():
        return subtensor.extrinsics.transfer(
            wallet=charlie, destination_ss58=coldkey(alice), amount=Balance.from_tao(1), raise_error=False, **NOW
        )

    # The SDK compares the announcement before it sends the call.
    messages = [swap(eve).message]
    first = announce(eve)
    assert first.success, first
    again, blocked = announce(alice), transfer()
    messages += [swap(alice).message, swap(eve).message]
    disputed = subtensor.extrinsics.dispute_coldkey_swap(wallet=charlie, **NOW)
    return [
        *(message.split(".")[0] for message in messages), error(again), error(blocked), error(disputed), error(transfer()),
    ]


print_results()
