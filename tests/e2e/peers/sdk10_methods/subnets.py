"""Subnets, their hyperparameters and epochs."""
from bittensor.core.chain_data.subnet_identity import SubnetIdentity
from localnet_answers import expect, expect_equal

from . import Client, cold, hot, operation

IDENTITY = SubnetIdentity(
    subnet_name="Speech", github_repo="https://example.org/speech", subnet_contact="speech@example.org",
    subnet_url="https://example.org", logo_url="https://example.org/logo.png", discord="speech", description="Speech",
    additional="none",
)


@operation("subnets")
async def _(c: Client):
    block = await c.get_current_block()
    count = await c.get_total_subnets(block)
    netuids = list(range(count))
    expect_equal(list(await c.get_all_subnets_netuid(block)), netuids)
    expect_equal([subnet.netuid for subnet in await c.all_subnets(block)], netuids)
    expect_equal([subnet.netuid for subnet in await c.get_all_subnets_info(block)], netuids)
    subnet = await c.subnet(c.netuid, block)
    expect_equal((subnet.subnet_name, subnet.owner_hotkey), ("Babelbit", hot(c.owner)))
    expect_equal(await c.get_subnet_owner_hotkey(c.netuid, block), hot(c.owner))
    expect_equal(subnet.price.rao, (await c.get_subnet_price(c.netuid, block)).rao)
    expect_equal(subnet.price.rao, (await c.get_subnet_prices(block))[c.netuid].rao)
    info = await c.get_subnet_info(c.netuid, block)
    expect_equal((info.netuid, info.tempo, info.owner_ss58), (c.netuid, subnet.tempo, cold(c.owner)))
    expect_equal([await c.subnet_exists(netuid) for netuid in (c.netuid, count)], [True, False])
    expect_equal([await c.is_subnet_active(netuid) for netuid in (c.netuid, 18)], [True, False])
    expect_equal((await c.get_mechanism_count(c.netuid), await c.get_mechanism_emission_split(c.netuid)), (1, None))
    flows = await c.get_all_ema_tao_inflow(block)
    expect_equal(flows.get(c.netuid), await c.get_ema_tao_inflow(c.netuid, block))


@operation("subnet registration")
async def _(c: Client):
    await c.sudo("AdminUtils", "sudo_set_network_rate_limit", rate_limit=0)
    count = await c.get_total_subnets()
    cost, before = await c.get_subnet_burn_cost(), await c.get_balance(cold(c.bob))
    await c.write("register_subnet", c.bob)
    netuid = count
    expect_equal((await c.get_total_subnets(), await c.get_subnet_owner_hotkey(netuid)), (count + 1, hot(c.bob)))
    paid = before.rao - (await c.get_balance(cold(c.bob))).rao
    expect(paid >= cost.rao, (paid, cost))
    expect((await c.get_subnet_burn_cost()).rao > cost.rao, cost)
    await c.mine(await c.get_start_call_delay())
    await c.write("start_call", c.bob, netuid)
    expect_equal(await c.is_subnet_active(netuid), True)
    await c.write("set_subnet_identity", c.bob, netuid, IDENTITY)
    expect_equal((await c.subnet(netuid)).subnet_identity, IDENTITY)


@operation("hyperparameters")
async def _(c: Client):
    all_of_them = await c.get_subnet_hyperparameters(c.netuid)
    for name, method in [
        ("tempo", c.tempo), ("immunity_period", c.immunity_period), ("min_allowed_weights", c.min_allowed_weights),
        ("weights_rate_limit", c.weights_rate_limit), ("commit_reveal_weights_enabled", c.commit_reveal_enabled),
        ("commit_reveal_period", c.get_subnet_reveal_period_epochs),
    ]:
        expect_equal((name, await method(c.netuid)), (name, getattr(all_of_them, name)))
    expect_equal(await c.max_weight_limit(c.netuid), all_of_them.max_weight_limit / 65_535)
    expect_equal(await c.difficulty(c.netuid), await c.get_hyperparameter("Difficulty", c.netuid))
    expect_equal((await c.recycle(c.netuid)).rao, await c.get_hyperparameter("Burn", c.netuid))
    for method, item in [
        (c.tx_rate_limit, "TxRateLimit"), (c.get_admin_freeze_window, "AdminFreezeWindow"),
        (c.get_owner_hyperparam_rate_limit, "OwnerHyperparamRateLimit"),
    ]:
        expect_equal((item, await method()), (item, (await c.query_subtensor(item)).value))
    stake = (await c.query_subtensor("NominatorMinRequiredStake")).value
    expect_equal((await c.get_minimum_required_stake()).rao, stake)
    expect_equal(await c.last_drand_round(), (await c.query_module("Drand", "LastStoredRound")).value)


@operation("epochs")
async def _(c: Client):
    block = await c.get_current_block()
    state = await c.get_epoch_schedule_state(c.netuid, block)
    expect_equal(state.last_epoch_block, await c.get_last_epoch_block(c.netuid, block))
    expect_equal(state.pending_epoch_at, await c.get_pending_epoch_at(c.netuid, block))
    expect_equal(state.subnet_epoch_index, await c.get_subnet_epoch_index(c.netuid, block))
    expect_equal(state.blocks_since_last_step, await c.blocks_since_last_step(c.netuid, block))
    begin = await c.get_next_epoch_start_block(c.netuid, block)
    expect_equal(begin, state.last_epoch_block + state.tempo)
    expect_equal(await c.blocks_until_next_epoch(c.netuid, block=block), begin - block)
    window = await c.get_admin_freeze_window()
    expect_equal(await c.is_in_admin_freeze_window(c.netuid, block), begin - block < window)
    await c.rpc("dev_epoch", c.netuid)
    expect(await c.get_subnet_epoch_index(c.netuid) > state.subnet_epoch_index, state)


@operation("triggered epochs")
async def _(c: Client):
    netuid = await c.get_total_subnets() - 1
    await c.sudo("AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=netuid, enabled=False)
    # The window before an epoch, in which an epoch cannot be triggered, is as long as the tempo.
    await c.sudo("AdminUtils", "sudo_set_admin_freeze_window", window=1)
    index = await c.get_subnet_epoch_index(netuid)
    await c.write("trigger_epoch", c.bob, netuid)
    due = await c.get_pending_epoch_at(netuid)
    # On a busy machine the epoch can be over before its block is read.
    expect(due > 0 or await c.get_subnet_epoch_index(netuid) > index, due)
    await c.mine(max(0, due - await c.get_current_block()))
    expect(await c.get_subnet_epoch_index(netuid) > index, index)
    expect_equal(await c.get_pending_epoch_at(netuid), 0)


@operation("deprecated settings")
async def _(c: Client):
    netuid = await c.get_total_subnets() - 1
    least, most = await c.get_min_tempo(), await c.get_max_tempo()
    low, high = await c.get_min_activity_cutoff_factor_milli(), await c.get_max_activity_cutoff_factor_milli()
    expect(1 <= least < most and 1 <= low < high, (least, most, low, high))
    expect_equal(await c.get_max_epochs_per_block(), 32)
    before = await c.tempo(netuid), await c.get_activity_cutoff_factor_milli(netuid)
    # The SDK uses calls that succeed without effect, on the main network too.
    await c.write("set_tempo", c.bob, netuid, least)
    await c.write("set_activity_cutoff_factor", c.bob, netuid, low)
    await c.write("root_set_activity_cutoff_factor", c.alice, netuid, high)
    expect_equal((await c.tempo(netuid), await c.get_activity_cutoff_factor_milli(netuid)), before)
