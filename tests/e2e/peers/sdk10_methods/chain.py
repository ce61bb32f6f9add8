"""Connection, blocks, untyped queries, balances, shielded extrinsics, and methods without a function on the chain."""
import argparse
import contextlib
import io

import bittensor as bt
from localnet_answers import expect, expect_equal

from . import Client, blocks, cold, operation, rows, tao


@operation("configuration")
async def _(c: Client):
    parser = argparse.ArgumentParser()
    await c.add_args(parser)
    expect("--subtensor.network" in parser.format_help(), parser.format_help())
    config = await c.config()
    expected = (c.subtensor.chain_endpoint, c.subtensor.network)
    expect_equal(await c.setup_config(c.subtensor.chain_endpoint, config), expected)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        await c.help()
    expect(output.getvalue(), "no help")


@operation("blocks")
async def _(c: Client):
    block = await c.get_current_block()
    with blocks():
        await c.wait_for_block(block + 2)
    expect(await c.get_current_block() >= block + 2, block)
    block_hash = await c.get_block_hash(block)
    expect_equal(await c.determine_block_hash(block), block_hash)
    info = await c.get_block_info(block)
    expect_equal((info.number, info.hash, len(info.extrinsics)), (block, block_hash, 1))
    now = await c.get_timestamp(block)
    expect_equal(round(now.timestamp() * 1000), info.timestamp)
    expect_equal(await c.is_fast_blocks(), c.block_seconds == 0.25)


@operation("untyped queries")
async def _(c: Client):
    expect_equal((await c.query_constant("Balances", "ExistentialDeposit")).value, 500)
    account = (await c.query_module("System", "Account", [cold(c.bob)])).value
    expect_equal(account["data"]["free"], (await c.get_balance(cold(c.bob))).rao)
    tempo = (await c.query_subtensor("Tempo", [c.netuid])).value
    expect_equal(await c.get_hyperparameter("Tempo", c.netuid), tempo)
    expect_equal(dict(await rows(await c.query_map("SubtensorModule", "Tempo")))[c.netuid], tempo)
    expect_equal(len(await rows(await c.query_map_subtensor("NetworksAdded"))), await c.get_total_subnets())
    price = await c.query_runtime_api("SwapRuntimeApi", "current_alpha_price", [c.netuid])
    expect_equal(price, (await c.get_subnet_price(c.netuid)).rao)
    cost = await c.state_call("SubnetRegistrationRuntimeApi_get_network_registration_cost", "")
    expect_equal(int.from_bytes(bytes.fromhex(cost["result"][2:]), "little"), (await c.get_subnet_burn_cost()).rao)
    fields = {"dest": cold(c.bob), "value": 1}
    expect_equal(await c.validate_extrinsic_params("Balances", "transfer_keep_alive", fields), fields)


@operation("balances and transfers")
async def _(c: Client):
    bob, dave = cold(c.bob), cold(c.dave)
    before = await c.get_balances(bob, dave)
    expect_equal((await c.get_existential_deposit()).rao, 500)
    fee = await c.get_transfer_fee(c.bob, dave, tao(1.5))
    await c.write("transfer", c.bob, dave, tao(1.5))
    expect_equal((await c.get_balance(dave)).rao - before[dave].rao, 1_500_000_000)
    paid = before[bob].rao - (await c.get_balance(bob)).rao - 1_500_000_000
    # The fee is estimated for an extrinsic without an era, which is one byte shorter.
    expect_equal(paid, fee.rao + 1)


@operation("signed extrinsics")
async def _(c: Client):
    call = await c.compose_call("System", "remark_with_event", {"remark": "hello"})
    fee = await c.get_extrinsic_fee(call, c.bob.coldkeypub)
    sent = await c.write("sign_and_send_extrinsic", call, c.bob)
    expect_equal(sent.extrinsic_fee.rao, fee.rao + 1)


@operation("MEV shield")
async def _(c: Client):
    keys = await c.get_mev_shield_current_key(), await c.get_mev_shield_next_key()
    expect_equal([len(key) for key in keys], [1184, 1184])
    before = (await c.get_balance(cold(c.dave))).rao
    fields = {"dest": cold(c.dave), "value": 7}
    call = await c.compose_call("Balances", "transfer_keep_alive", fields)
    with blocks():
        await c.write("mev_submit_encrypted", c.bob, call)
    c.forget_nonces(c.bob)
    expect_equal((await c.get_balance(cold(c.dave))).rao - before, 7)
    with blocks():
        await c.write("transfer", c.bob, cold(c.dave), tao(1), mev_protection=True)
    c.forget_nonces(c.bob)
    expect_equal((await c.get_balance(cold(c.dave))).rao - before, 1_000_000_007)


@operation("features that the main network has removed")
async def _(c: Client):
    removed = "permanently removed from the chain"
    await c.rejects(removed, "add_liquidity", c.bob, c.netuid, tao(1), tao(1), tao(2))
    await c.rejects(removed, "modify_liquidity", c.bob, c.netuid, 1, tao(1))
    await c.rejects(removed, "remove_liquidity", c.bob, c.netuid, 1)
    await c.rejects(removed, "toggle_user_liquidity", c.bob, c.netuid, True)
    expect_equal(await c.get_liquidity_list(c.bob, c.netuid), [])


@operation("connect and close")
async def _(c: Client):
    other = type(c.subtensor)(network=c.subtensor.chain_endpoint)
    client = Client(other, c.netuid, c.block_seconds)
    if isinstance(other, bt.AsyncSubtensor):
        await client.initialize()
    expect(await client.get_current_block() > 0, other)
    await client.close()
    c.working |= client.working
