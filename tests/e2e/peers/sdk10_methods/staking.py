"""Stake, locks, delegates, children, claims on root."""
from localnet_answers import expect, expect_equal

from . import Client, cold, hot, operation, tao


@operation("stake add and remove")
async def _(c: Client):
    hotkey = hot(c.bob)
    expected = await c.sim_swap(0, c.netuid, tao(50))
    expect_equal((await c.get_stake_add_fee(tao(50), c.netuid)).rao, expected.tao_fee.rao)
    # As a nominator: a miner pays no dividends, so the stake grows only by the purchase.
    held = await c.stake(c.dave, hotkey=hotkey)
    await c.write("add_stake", c.dave, c.netuid, hotkey, tao(50))
    added = await c.stake(c.dave, hotkey=hotkey) - held
    expect(0.99 * expected.alpha_amount.rao < added < 1.01 * expected.alpha_amount.rao, (added, expected))
    held = await c.stake(c.bob)
    await c.write("add_stake", c.bob, c.netuid, hotkey, tao(10), safe_staking=True, rate_tolerance=0.1)
    expect(await c.stake(c.bob) - held > 50_000_000_000, held)
    held, sold = await c.stake(c.dave, hotkey=hotkey), tao(100, c.netuid)
    expect((await c.get_unstake_fee(c.netuid, sold)).rao > 0, "no fee")
    await c.write("unstake", c.dave, c.netuid, hotkey, sold)
    expect(abs(held - await c.stake(c.dave, hotkey=hotkey) - sold.rao) < 10, held)


@operation("stake of several hotkeys")
async def _(c: Client):
    hotkeys, netuids = [hot(c.alice), hot(c.charlie)], [c.netuid, c.netuid]
    await c.write("add_stake_multiple", c.bob, netuids, hotkeys, [tao(3), tao(4)])
    held = [await c.stake(c.bob, hotkey=hotkey) for hotkey in hotkeys]
    expect(all(alpha > 1_000_000_000 for alpha in held), held)
    await c.write("unstake_multiple", c.bob, netuids, hotkeys, unstake_all=True)
    expect_equal([await c.stake(c.bob, hotkey=hotkey) for hotkey in hotkeys], [0, 0])


@operation("stake bought and burned")
async def _(c: Client):
    held, free = await c.stake(c.dave, hotkey=hot(c.bob)), (await c.get_balance(cold(c.dave))).rao
    await c.write("add_stake_burn", c.dave, c.netuid, hot(c.bob), tao(2))
    expect(2_000_000_000 <= free - (await c.get_balance(cold(c.dave))).rao < 2_010_000_000, free)
    expect(abs(await c.stake(c.dave, hotkey=hot(c.bob)) - held) < 10, held)


@operation("stake moves")
async def _(c: Client):
    netuid = await c.get_total_subnets() - 1
    moved = tao(10, c.netuid)
    expect((await c.get_stake_movement_fee(c.netuid, netuid, moved)).rao > 0, "no fee")
    held = await c.stake(c.bob, hotkey=hot(c.charlie))
    await c.write("move_stake", c.bob, c.netuid, hot(c.bob), c.netuid, hot(c.charlie), moved)
    expect(await c.stake(c.bob, hotkey=hot(c.charlie)) - held > 9_900_000_000, held)
    held = await c.stake(c.bob, netuid)
    await c.write("swap_stake", c.bob, hot(c.bob), c.netuid, netuid, moved)
    expect(await c.stake(c.bob, netuid) > held, held)
    held = await c.stake(c.dave, hotkey=hot(c.bob))
    await c.write("transfer_stake", c.bob, cold(c.dave), hot(c.bob), c.netuid, c.netuid, moved)
    expect(await c.stake(c.dave, hotkey=hot(c.bob)) - held > 9_900_000_000, held)


@operation("stake reads")
async def _(c: Client):
    block, coldkey, hotkey = await c.get_current_block(), cold(c.bob), hot(c.bob)
    held = (await c.get_stake(coldkey, hotkey, c.netuid, block)).rao
    expect(held > 0, held)
    stakes = await c.get_stake_for_coldkey_and_hotkey(coldkey, hotkey, [c.netuid], block)
    expect_equal(stakes[c.netuid].stake.rao, held)
    mine = {(one.hotkey_ss58, one.netuid): one.stake.rao for one in await c.get_stake_info_for_coldkey(coldkey, block)}
    expect_equal(mine[hotkey, c.netuid], held)
    both = await c.get_stake_info_for_coldkeys([coldkey, cold(c.dave)], block)
    expect_equal(len(both[coldkey]), len(mine))
    total = (await c.get_hotkey_stake(hotkey, c.netuid, block)).rao
    expect_equal((await c.get_stake_for_hotkey(hotkey, c.netuid, block)).rao, total)
    dave = (await c.get_stake(cold(c.dave), hotkey, c.netuid, block)).rao
    expect(abs(held + dave - total) <= 2, (held, dave, total))
    expect(hotkey in await c.get_staking_hotkeys(coldkey, block), hotkey)
    available = await c.get_stake_availability_for_coldkeys([coldkey], [c.netuid], block)
    expect(coldkey in str(available), available)


@operation("stake remove all")
async def _(c: Client):
    expect(await c.stake(c.dave, hotkey=hot(c.bob)) > 0, "no stake")
    await c.write("unstake_all", c.dave, c.netuid, hot(c.bob), None)
    expect_equal(await c.stake(c.dave, hotkey=hot(c.bob)), 0)


@operation("automatic stake")
async def _(c: Client):
    await c.write("set_auto_stake", c.bob, c.netuid, hot(c.alice))
    expect_equal((await c.get_auto_stakes(cold(c.bob)))[c.netuid], hot(c.alice))


@operation("stake locks")
async def _(c: Client):
    coldkey, locked = cold(c.bob), tao(5, c.netuid)
    await c.write("lock_stake", c.bob, hot(c.bob), c.netuid, locked)
    lock = await c.get_stake_lock(coldkey, c.netuid, hot(c.bob))
    expect(0 < lock["locked_mass"].rao <= locked.rao, lock)
    expect_equal([hotkey for hotkey, _ in await c.get_stake_locks(coldkey, c.netuid)], [hot(c.bob)])
    expect(0 < (await c.get_coldkey_lock(coldkey, c.netuid))["locked_mass"].rao <= locked.rao, lock)
    await c.mine(5)
    expect(await c.get_hotkey_conviction(hot(c.bob), c.netuid) > 0, "no conviction")
    expect_equal(await c.get_most_convicted_hotkey_on_subnet(c.netuid), hot(c.bob))
    for enabled in (True, False):
        await c.write("set_perpetual_lock", c.bob, c.netuid, enabled)
        expect_equal(await c.is_perpetual_lock(coldkey, c.netuid), enabled)
    await c.write("move_lock", c.bob, hot(c.charlie), c.netuid)
    expect_equal([hotkey for hotkey, _ in await c.get_stake_locks(coldkey, c.netuid)], [hot(c.charlie)])


@operation("delegates")
async def _(c: Client):
    hotkey = hot(c.alice)
    await c.write("set_delegate_take", c.alice, hotkey, 0.09)
    expect_equal(round(await c.get_delegate_take(hotkey), 4), 0.09)
    expect_equal(await c.is_hotkey_delegate(hotkey), True)
    block = await c.get_current_block()
    delegate = await c.get_delegate_by_hotkey(hotkey, block)
    expect_equal((delegate.hotkey_ss58, delegate.owner_ss58, round(delegate.take, 4)), (hotkey, cold(c.alice), 0.09))
    expect_equal([one for one in await c.get_delegates(block) if one.hotkey_ss58 == hotkey], [delegate])
    held = {(one.hotkey_ss58, one.netuid): one.stake.rao for one in await c.get_delegated(cold(c.alice), block)}
    expect_equal(held[hotkey, c.netuid], (await c.get_stake(cold(c.alice), hotkey, c.netuid, block)).rao)


@operation("identities")
async def _(c: Client):
    fields = ("name", "url", "github_repo", "image", "discord", "description", "additional")
    identity = {field: f"{field} of Alice" for field in fields}
    await c.submit(c.alice, "SubtensorModule", "set_identity", identity)
    found = await c.query_identity(cold(c.alice))
    expect_equal((found.name, found.description), ("name of Alice", "description of Alice"))
    expect_equal(await c.get_delegate_identities(), {cold(c.alice): found})


@operation("children")
async def _(c: Client):
    await c.write("root_set_pending_childkey_cooldown", c.alice, 3)
    expect_equal((await c.query_subtensor("PendingChildKeyCooldown")).value, 3)
    parent, child = hot(c.alice), hot(c.bob)
    await c.write("set_children", c.alice, netuid=c.netuid, hotkey_ss58=parent, children=[(0.5, child)])
    pending, _ = await c.get_children_pending(parent, c.netuid)
    expect_equal([(round(share, 6), hotkey) for share, hotkey in pending], [(0.5, child)])
    await c.mine(3)
    await c.rpc("dev_epoch", c.netuid)
    found, children, _ = await c.get_children(parent, c.netuid)
    expect_equal((found, [(round(share, 6), hotkey) for share, hotkey in children]), (True, [(0.5, child)]))
    parents = await c.get_parents(child, c.netuid)
    expect_equal([(round(share, 6), hotkey) for share, hotkey in parents], [(0.5, parent)])


@operation("root dividends")
async def _(c: Client):
    coldkey, hotkey = cold(c.alice), hot(c.alice)
    expect_equal(await c.get_root_claim_type(coldkey), "Swap")
    await c.write("add_stake", c.alice, 0, hotkey, tao(1000))
    expect_equal(await c.stake(c.alice, 0), 1000_000_000_000)
    # Root stake earns dividends while the prices of all subnets add up to more than one TAO.
    await c.set_storage("SubtensorModule", "SubnetMovingPrice", [c.netuid], (4 << 32).to_bytes(16, "little"))
    await c.mine(10)
    await c.rpc("dev_epoch", c.netuid)
    expect((await c.get_root_alpha_dividends_per_subnet(hotkey, c.netuid)).rao > 0, "no dividends")
    held = await c.stake(c.alice, 0)
    await c.write("claim_root", c.alice, [c.netuid])
    expect(await c.stake(c.alice, 0) > held, held)
    # The main network has replaced the storage of these methods by baskets of root stake.
    rates = await c.get_root_claimable_all_rates(hotkey)
    expect_equal(await c.get_root_claimable_rate(hotkey, c.netuid), rates.get(c.netuid, 0.0))
    claimed = (await c.get_root_claimed(coldkey, hotkey, c.netuid)).rao
    expect_equal(((await c.get_root_claimable_stake(coldkey, hotkey, c.netuid)).rao, claimed), (0, 0))
