"""Neurons of a subnet: registration, endpoints, commitments, weights."""
from unittest import mock

import bittensor as bt
import known_round
from bittensor.core import async_subtensor, subtensor
from bittensor.core.extrinsics import weights
from bittensor.core.extrinsics.asyncex import weights as async_weights
from localnet_answers import expect, expect_equal

from . import Client, cold, hot, operation, tao

# Functions of the SDK, and those that encrypt to a round whose pulse is known.
SEALED_TEXT = ("get_encrypted_commitment", known_round.seal_text)
SEALED_WEIGHTS = ("get_encrypted_commit_v2", known_round.seal_weights)


async def publish(c: Client):
    """Stores the pulse of the known round."""
    await c.set_storage("Drand", "Pulses", [known_round.ROUND], known_round.PULSE)


@operation("registration")
async def _(c: Client):
    price = await c.recycle(c.netuid)
    before = await c.get_balance(cold(c.alice))
    await c.write("burned_register", c.alice, c.netuid)
    paid = before.rao - (await c.get_balance(cold(c.alice))).rao
    # The price decays with each block. The fee is below 0.001 TAO.
    expect(0.9 * price.rao < paid < 1.01 * price.rao + 1_000_000, (paid, price))
    await c.write("register", c.bob, c.netuid)
    await c.write("register_limit", c.charlie, c.netuid, tao(100))
    expect_equal([await c.uid(who) for who in (c.alice, c.bob, c.charlie)], [1, 2, 3])
    expect_equal(await c.subnetwork_n(c.netuid), 4)


@operation("root registration")
async def _(c: Client):
    # Otherwise, the owner of the subnet becomes the child of Alice's hotkey, which then validates without stake.
    parameters = {"hotkey": hot(c.alice), "enabled": False}
    await c.submit(c.alice, "SubtensorModule", "set_auto_parent_delegation_enabled", parameters)
    await c.write("root_register", c.alice)
    expect_equal(await c.is_hotkey_registered_on_subnet(hot(c.alice), 0), True)


@operation("registered hotkeys")
async def _(c: Client):
    known, unknown = hot(c.alice), hot(c.dave)
    expect_equal([await c.is_hotkey_registered(known, c.netuid), await c.is_hotkey_registered(known)], [True, True])
    expect_equal([await c.is_hotkey_registered_any(hotkey) for hotkey in (known, unknown)], [True, False])
    expect_equal([await c.does_hotkey_exist(hotkey) for hotkey in (known, unknown)], [True, False])
    expect_equal(sorted(await c.get_netuids_for_hotkey(known)), [0, c.netuid])
    netuids = await c.filter_netuids_by_registered_hotkeys([0, 18, c.netuid], [c.netuid], [c.alice], None)
    expect_equal(netuids, [c.netuid])
    expect_equal([await c.get_hotkey_owner(hotkey) for hotkey in (known, unknown)], [cold(c.alice), None])
    expect(known in await c.get_owned_hotkeys(cold(c.alice)), known)


@operation("axon and certificate")
async def _(c: Client):
    axon = bt.Axon(wallet=c.bob, ip="0.0.0.0", port=8099, external_ip="203.0.113.7", external_port=8099)
    certificate = "\x01" + "ab" * 32
    await c.write("serve_axon", c.netuid, axon, certificate)
    uid = await c.uid(c.bob)
    neuron = (await c.neurons_lite(c.netuid))[uid]
    expect_equal((neuron.hotkey, neuron.axon_info.ip, neuron.axon_info.port), (hot(c.bob), "203.0.113.7", 8099))
    found = await c.get_neuron_certificate(hot(c.bob), c.netuid)
    expect_equal(await c.get_all_neuron_certificates(c.netuid), {hot(c.bob): found})
    expect(found.startswith("\x01"), found)


@operation("neurons and metagraph")
async def _(c: Client):
    block, uid = await c.get_current_block(), await c.uid(c.bob)
    neuron = await c.neuron_for_uid(uid, c.netuid, block)
    expect_equal((neuron.uid, neuron.hotkey, neuron.coldkey), (uid, hot(c.bob), cold(c.bob)))
    expect_equal(await c.get_neuron_for_pubkey_and_subnet(hot(c.bob), c.netuid, block), neuron)
    hotkeys = [one.hotkey for one in await c.neurons(c.netuid, block)]
    graph = await c.metagraph(c.netuid, block=block)
    expect_equal((graph.hotkeys, graph.axons[uid].ip), (hotkeys, "203.0.113.7"))
    info = await c.get_metagraph_info(c.netuid, block=block)
    expect_equal((info.hotkeys, info.block, info.tempo), (hotkeys, block, await c.tempo(c.netuid, block)))
    every = {one.netuid: one.hotkeys for one in await c.get_all_metagraphs_info(block=block)}
    expect_equal((every[c.netuid], len(every)), (hotkeys, await c.get_total_subnets(block)))
    registered = (await c.query_subtensor("BlockAtRegistration", [c.netuid, uid])).value
    expect_equal(await c.blocks_since_last_update(c.netuid, uid, block), block - registered)


@operation("commitments")
async def _(c: Client):
    await c.write("set_commitment", c.bob, c.netuid, "speech at 16 kHz")
    expect_equal(await c.get_commitment(c.netuid, await c.uid(c.bob)), "speech at 16 kHz")
    expect_equal(await c.get_all_commitments(c.netuid), {hot(c.bob): "speech at 16 kHz"})
    expect(await c.get_commitment_metadata(c.netuid, hot(c.bob)), "no commitment")
    # A commitment to this text resets the bonds to a miner.
    await c.sudo("AdminUtils", "sudo_set_bonds_reset_enabled", netuid=c.netuid, enabled=True)
    fields = {"netuid": c.netuid, "info": {"fields": [[{"ResetBondsFlag": ()}]]}}
    sent = await c.submit(c.bob, "Commitments", "set_commitment", fields, sign_with="hotkey")
    block = await c.block_of(sent)
    expect_equal((await c.get_last_bonds_reset(c.netuid, hot(c.bob))).value, block)
    expect_equal(await c.get_last_commitment_bonds_reset_block(c.netuid, await c.uid(c.bob)), block)


@operation("timelocked commitments")
async def _(c: Client):
    sent = await c.write("set_reveal_commitment", c.charlie, c.netuid, "later", 10, c.block_seconds)
    stored = await c.get_commitment_metadata(c.netuid, hot(c.charlie))
    expect(str(sent.data["reveal_round"]) in str(stored), stored)
    # The SDK cannot decode shorter texts than 64 bytes.
    text = 100 * "x"
    with mock.patch.object(subtensor, *SEALED_TEXT), mock.patch.object(async_subtensor, *SEALED_TEXT):
        sent = await c.write("set_reveal_commitment", c.charlie, c.netuid, text, 10, c.block_seconds)
    await publish(c)
    await c.mine(1)
    ((block, _),) = expected = await c.get_revealed_commitment(c.netuid, await c.uid(c.charlie))
    expect(block > await c.block_of(sent), block)
    expect_equal(expected, ((block, text),))
    expect_equal(await c.get_revealed_commitment_by_hotkey(c.netuid, hot(c.charlie)), expected)
    expect_equal(await c.get_all_revealed_commitments(c.netuid), {hot(c.charlie): expected})


@operation("weights")
async def _(c: Client):
    # Validator permits are granted at an epoch.
    await c.write("add_stake", c.alice, c.netuid, hot(c.alice), tao(100))
    await c.rpc("dev_epoch", c.netuid)
    validator, miner = await c.uid(c.alice), await c.uid(c.bob)
    expect_equal((await c.get_subnet_validator_permits(c.netuid))[validator], True)
    expect((await c.get_stake_weight(c.netuid))[validator] > 0, await c.get_stake_weight(c.netuid))
    await c.sudo("AdminUtils", "sudo_set_weights_set_rate_limit", netuid=c.netuid, weights_set_rate_limit=0)
    await c.mine(1)
    await c.write("set_weights", c.alice, c.netuid, [miner], [1.0], version_key=0)
    expect_equal(dict(await c.weights(c.netuid))[validator], [(miner, 65_535)])
    await c.rpc("dev_epoch", c.netuid)
    ((target, bond),) = dict(await c.bonds(c.netuid))[validator]
    expect(target == miner and bond > 0, (target, bond))


@operation("committed and revealed weights")
async def _(c: Client):
    await c.sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=c.netuid, enabled=True)
    validator, miner = await c.uid(c.alice), await c.uid(c.charlie)
    arguments = {"uids": [miner], "weights": [65_535], "salt": [1, 2, 3], "version_key": 0}
    options = {"wait_for_inclusion": True, "wait_for_finalization": True, "period": 128}
    await c.rpc("dev_epoch", c.netuid)
    await c.write("commit_weights", c.alice, c.netuid, **arguments, **options)
    for _ in range(await c.get_subnet_reveal_period_epochs(c.netuid)):
        await c.rpc("dev_epoch", c.netuid)
    await c.write("reveal_weights", c.alice, c.netuid, **arguments, period=128)
    expect_equal(dict(await c.weights(c.netuid))[validator], [(miner, 65_535)])


@operation("timelocked weights")
async def _(c: Client):
    validator, miner = await c.uid(c.alice), await c.uid(c.bob)
    sent = await c.write("set_weights", c.alice, c.netuid, [miner], [1.0], block_time=c.block_seconds)
    block = await c.block_of(sent)
    ((hotkey, at, _, reveal_round),) = await c.get_timelocked_weight_commits(c.netuid, block=block)
    expect_equal((hotkey, at, reveal_round), (hot(c.alice), block, sent.data["reveal_round"]))
    # The SDK sets weights again only in a later block.
    await c.mine(1)
    with mock.patch.object(weights, *SEALED_WEIGHTS), mock.patch.object(async_weights, *SEALED_WEIGHTS):
        await c.write("set_weights", c.alice, c.netuid, [miner], [1.0], block_time=c.block_seconds)
    await publish(c)
    expect(dict(await c.weights(c.netuid))[validator] != [(miner, 65_535)], "revealed too early")
    for _ in range(await c.get_subnet_reveal_period_epochs(c.netuid)):
        await c.rpc("dev_epoch", c.netuid)
    expect_equal(dict(await c.weights(c.netuid))[validator], [(miner, 65_535)])
    await c.sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=c.netuid, enabled=False)
