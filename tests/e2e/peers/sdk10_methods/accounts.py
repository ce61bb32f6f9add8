"""Proxies, crowdloans, swaps of coldkeys."""
from bittensor.core.chain_data.proxy import ProxyType
from bittensor_wallet import Keypair
from localnet_answers import expect, expect_equal

from . import Client, cold, operation, tao


@operation("proxies")
async def _(c: Client):
    real, delegate = cold(c.bob), cold(c.charlie)
    await c.write("add_proxy", c.bob, delegate, ProxyType.Transfer, 0)
    ((proxy,), deposit) = await c.get_proxies_for_real_account(real)
    expect_equal((proxy.delegate, proxy.proxy_type, proxy.delay), (delegate, "Transfer", 0))
    expect(deposit.rao > 0, deposit)
    expect_equal((await c.get_proxies())[real], [proxy])
    before = (await c.get_balance(cold(c.dave))).rao
    call = await c.compose_call("Balances", "transfer_keep_alive", {"dest": cold(c.dave), "value": 11})
    await c.write("proxy", c.charlie, real, ProxyType.Transfer, call)
    expect_equal((await c.get_balance(cold(c.dave))).rao - before, 11)
    await c.write("remove_proxy", c.bob, delegate, ProxyType.Transfer, 0)
    expect_equal((await c.get_proxies_for_real_account(real))[0], [])
    for kind in (ProxyType.Transfer, ProxyType.Staking):
        await c.write("add_proxy", c.bob, delegate, kind, 0)
    await c.write("remove_proxies", c.bob)
    expect_equal((await c.get_proxies_for_real_account(real))[0], [])


@operation("pure proxies")
async def _(c: Client):
    made = await c.write("create_pure_proxy", c.bob, ProxyType.Any, 0, 0)
    pure = made.data["pure_account"]
    expect_equal([proxy.delegate for proxy in (await c.get_proxies())[pure]], [cold(c.bob)])
    await c.write("kill_pure_proxy", c.bob, pure, cold(c.bob), ProxyType.Any, 0, made.data["height"],
                  made.data["ext_index"])
    expect(pure not in await c.get_proxies(), pure)


@operation("announced proxy calls")
async def _(c: Client):
    real, delegate = cold(c.bob), cold(c.charlie)
    await c.write("add_proxy", c.bob, delegate, ProxyType.Any, 1)
    call = await c.compose_call("Balances", "transfer_keep_alive", {"dest": cold(c.dave), "value": 13})
    call_hash = "0x" + call.call_hash.hex()
    for withdraw, who, other in [
        ("remove_proxy_announcement", c.charlie, real), ("reject_proxy_announcement", c.bob, delegate),
    ]:
        await c.write("announce_proxy", c.charlie, real, call_hash)
        ((announcement),) = await c.get_proxy_announcement(delegate)
        expect_equal((announcement.real, announcement.call_hash), (real, call_hash))
        expect_equal((await c.get_proxy_announcements())[delegate], [announcement])
        await c.write(withdraw, who, other, call_hash)
        expect_equal(await c.get_proxy_announcement(delegate), [])
    await c.write("announce_proxy", c.charlie, real, call_hash)
    await c.mine(2)
    before = (await c.get_balance(cold(c.dave))).rao
    await c.write("proxy_announced", c.charlie, delegate, real, ProxyType.Any, call)
    expect_equal((await c.get_balance(cold(c.dave))).rao - before, 13)
    await c.write("poke_deposit", c.bob)
    await c.write("remove_proxies", c.bob)


@operation("proxy types and constants")
async def _(c: Client):
    expect_equal((await c.get_proxy_constants()).MaxProxies, 20)
    types = {one.name: one.index for one in await c.get_proxy_types()}
    expect_equal((types["Any"], types["Staking"]), (0, 8))
    filters = {one.name: one for one in await c.get_proxy_filter()}
    expect_equal((filters.keys(), filters["Any"].filter_mode), (types.keys(), "AllowAll"))
    allowed = {call["call_name"] for call in filters["Staking"].filter_mode["Allow"]}
    expect({"add_stake", "remove_stake"} <= allowed and "transfer_allow_death" not in allowed, allowed)


@operation("crowdloans that fail")
async def _(c: Client):
    limits = await c.get_crowdloan_constants()
    number, block = await c.get_crowdloan_next_id(), await c.get_current_block()
    end = block + limits.MinimumBlockDuration + 100
    await c.write("create_crowdloan", c.bob, tao(10), tao(1), tao(100), end, None, cold(c.dave))
    expect_equal(await c.get_crowdloan_next_id(), number + 1)
    await c.write("contribute_crowdloan", c.charlie, number, tao(5))
    loan = await c.get_crowdloan_by_id(number)
    expect_equal((loan.creator, loan.raised.rao, loan.contributors_count), (cold(c.bob), 15_000_000_000, 2))
    expect_equal([one.id for one in await c.get_crowdloans()], [number])
    shares = {who: share.rao for who, share in (await c.get_crowdloan_contributions(number)).items()}
    expect_equal(shares, {cold(c.bob): 10_000_000_000, cold(c.charlie): 5_000_000_000})
    await c.write("withdraw_crowdloan", c.charlie, number)
    expect_equal((await c.get_crowdloan_by_id(number)).raised.rao, 10_000_000_000)
    await c.write("update_cap_crowdloan", c.bob, number, tao(50))
    await c.write("update_end_crowdloan", c.bob, number, end + 1)
    await c.write("update_min_contribution_crowdloan", c.bob, number, tao(2))
    loan = await c.get_crowdloan_by_id(number)
    expect_equal((loan.cap.rao, loan.end, loan.min_contribution.rao), (50_000_000_000, end + 1, 2_000_000_000))
    await c.write("contribute_crowdloan", c.charlie, number, tao(5))
    await c.write("refund_crowdloan", c.bob, number)
    expect_equal((await c.get_crowdloan_by_id(number)).raised.rao, 10_000_000_000)
    await c.write("dissolve_crowdloan", c.bob, number)
    expect_equal(await c.get_crowdloan_by_id(number), None)


@operation("crowdloans that succeed")
async def _(c: Client):
    number, block = await c.get_crowdloan_next_id(), await c.get_current_block()
    end = block + (await c.get_crowdloan_constants()).MinimumBlockDuration + 20
    await c.write("create_crowdloan", c.bob, tao(10), tao(1), tao(20), end, None, cold(c.dave))
    await c.write("contribute_crowdloan", c.charlie, number, tao(10))
    before = (await c.get_balance(cold(c.dave))).rao
    await c.write("finalize_crowdloan", c.bob, number)
    expect_equal((await c.get_crowdloan_by_id(number)).finalized, True)
    expect_equal((await c.get_balance(cold(c.dave))).rao - before, 20_000_000_000)


@operation("coldkey swaps")
async def _(c: Client):
    constants = await c.get_coldkey_swap_constants()
    delay, again = await c.get_coldkey_swap_announcement_delay(), await c.get_coldkey_swap_reannouncement_delay()
    expect(delay > 0 and again > 0, (constants, delay, again))
    old, new = cold(c.charlie), Keypair.create_from_uri("//Charlie/new").ss58_address
    expect_equal(await c.get_coldkey_swap_announcements(), [])
    await c.write("announce_coldkey_swap", c.charlie, new)
    # On every chain, the SDK looks for `value` in entries of a map, which it has decoded to tuples.
    try:
        found = await c.get_coldkey_swap_announcements()
    except AttributeError as error:
        expect("no attribute 'value'" in str(error), error)
    else:
        raise AssertionError(f"the SDK reads announcements now: {found}")
    announcement = await c.get_coldkey_swap_announcement(old)
    expect_equal(announcement.coldkey, old)
    await c.mine(delay + again)
    await c.write("clear_coldkey_swap_announcement", c.charlie)
    expect_equal(await c.get_coldkey_swap_announcement(old), None)
    await c.write("announce_coldkey_swap", c.charlie, new)
    await c.mine(delay)
    free = (await c.get_balance(old)).rao
    await c.write("swap_coldkey_announced", c.charlie, new)
    expect(0 <= free - (await c.get_balance(new)).rao < 10_000_000, free)
    expect_equal(await c.get_owned_hotkeys(old), [])


@operation("disputed coldkey swaps")
async def _(c: Client):
    coldkey = cold(c.dave)
    expect_equal(await c.get_coldkey_swap_dispute(coldkey), None)
    await c.write("announce_coldkey_swap", c.dave, Keypair.create_from_uri("//Dave/new").ss58_address)
    await c.write("dispute_coldkey_swap", c.dave)
    dispute = await c.get_coldkey_swap_dispute(coldkey)
    expect_equal(dispute.coldkey, coldkey)
    expect_equal(await c.get_coldkey_swap_disputes(), [dispute])
