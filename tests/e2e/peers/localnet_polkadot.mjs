// Uses a development chain with Polkadot-JS, which is installed in the directory of the first argument. Reads {"url",
// "netuid"} from standard input and prints the result of each operation.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text as read } from "node:stream/consumers";

const need = createRequire(join(process.argv[2], "package.json"));
const { ApiPromise, HttpProvider, Keyring, WsProvider } = need("@polkadot/api");
const { createKeyMulti, encodeAddress, sortAddresses } = need("@polkadot/util-crypto");
const { dependencies } = need("./package.json");

/** Maximum time of one operation, in milliseconds. */
const PATIENCE = 60_000;
const TAO = 1_000_000_000n;

const { url, netuid } = JSON.parse(await read(process.stdin));
const did = {};

/** Runs an operation and records its result or error. */
async function operation(name, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${PATIENCE / 1000} s`)), PATIENCE);
  });
  try {
    did[name] = { ok: true, value: await Promise.race([work(), late]) };
  } catch (error) {
    did[name] = { ok: false, value: String(error.message ?? error).split("\n")[0] };
    console.error(name, error);
  }
  clearTimeout(timer);
}

const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true, throwOnConnect: true });
const keys = new Keyring({ type: "sr25519" });
const [alice, bob, charlie, dave] = ["//Alice", "//Bob", "//Charlie", "//Dave"].map((uri) => keys.addFromUri(uri));
const hotkey = keys.addFromUri("//PolkadotHotkey").address;

const free = async (address) => (await api.query.system.account(address)).data.free.toBigInt();
const names = (events) => events.map(({ event }) => `${event.section}.${event.method}`);

/** Submits a transaction; returns its statuses and events once it is final, or throws the chain's error. */
function send(transaction, signer, options = {}) {
  return new Promise((resolve, reject) => {
    const statuses = [];
    const follow = ({ status, events, dispatchError }) => {
      statuses.push(status.type);
      if (!status.isFinalized) return;
      if (dispatchError?.isModule) {
        const { section, name } = api.registry.findMetaError(dispatchError.asModule);
        reject(new Error(`${section}.${name}`));
      } else if (dispatchError) {
        reject(new Error(dispatchError.toString()));
      } else {
        resolve({ statuses, events, block: status.asFinalized });
      }
    };
    transaction.signAndSend(signer, options, follow).catch(reject);
  });
}

/** The first values of a subscription. */
function collect(count, subscribe) {
  return new Promise((resolve, reject) => {
    const values = [];
    let stop;
    const add = (value) => {
      values.push(value);
      if (values.length === count) stop.then((unsubscribe) => { unsubscribe(); resolve(values); }, reject);
    };
    stop = subscribe(add);
    stop.catch(reject);
  });
}

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return error.message;
  }
  return null;
}

await operation("connect", async () => {
  const [chain, name, properties] = await Promise.all([
    api.rpc.system.chain(), api.rpc.system.name(), api.rpc.system.properties(),
  ]);
  const symbol = properties.tokenSymbol.unwrap()[0].toString();
  const decimals = properties.tokenDecimals.unwrap()[0].toNumber();
  const spec = api.runtimeVersion.specVersion.toNumber();
  return { chain: chain.toString(), name: name.toString(), spec, symbol, decimals };
});

await operation("connect over HTTP", async () => {
  const over = await ApiPromise.create({ provider: new HttpProvider(url.replace("ws:", "http:")), noInitWarn: true });
  const same = over.genesisHash.eq(api.genesisHash);
  await over.disconnect();
  return same;
});

await operation("constants", () => [
  api.consts.balances.existentialDeposit.toNumber(),
  api.consts.aura.slotDuration.toNumber(),
  api.consts.system.version.specName.toString(),
]);

await operation("storage value", async () => (await api.query.subtensorModule.tempo(netuid)).toNumber());

await operation("storage map", async () => {
  const entries = await api.query.subtensorModule.tempo.entries();
  return Object.fromEntries(entries.map(([key, value]) => [key.args[0].toNumber(), value.toNumber()]));
});

await operation("storage keys in pages", async () => {
  const tempo = api.query.subtensorModule.tempo;
  const first = await tempo.keysPaged({ args: [], pageSize: 40 });
  const second = await tempo.keysPaged({ args: [], pageSize: 40, startKey: first.at(-1) });
  return [first.length, second.length];
});

await operation("several storage items", async () => {
  const { subtensorModule, system } = api.query;
  const found = await api.queryMulti([[subtensorModule.tempo, netuid], [system.account, bob.address]]);
  return [found[0].toNumber(), found[1].data.free.toString()];
});

await operation("runtime API", async () => {
  const nonce = await api.call.accountNonceApi.accountNonce(alice.address);
  const price = await api.call.swapRuntimeApi.currentAlphaPrice(netuid);
  const subnet = await api.call.subnetInfoRuntimeApi.getDynamicInfo(netuid);
  const name = Buffer.from(subnet.unwrap().subnetName.map((letter) => letter.toNumber())).toString();
  return { nonce: nonce.toNumber(), price: price.toNumber() / 1e9, name };
});

await operation("subscription to new heads", async () => {
  const heads = await collect(3, (add) => api.rpc.chain.subscribeNewHeads(add));
  return heads.map((head) => head.number.toNumber());
});

await operation("subscription to finalized heads", async () => {
  const heads = await collect(3, (add) => api.rpc.chain.subscribeFinalizedHeads(add));
  // The hash that the API computes is the chain's.
  const hash = await api.rpc.chain.getBlockHash(heads[0].number.unwrap());
  return [heads[2].number.toNumber() - heads[0].number.toNumber(), hash.eq(heads[0].hash)];
});

await operation("transfer", async () => {
  const before = await free(bob.address);
  const { statuses, events } = await send(api.tx.balances.transferKeepAlive(bob.address, TAO), alice);
  return { received: (await free(bob.address) - before).toString(), statuses, events: names(events) };
});

await operation("subscription to storage", async () => {
  const before = await free(charlie.address);
  const seen = collect(2, (add) => api.query.system.account(charlie.address, add));
  await send(api.tx.balances.transferKeepAlive(charlie.address, TAO), alice);
  return (await seen).map((account) => (account.data.free.toBigInt() - before).toString());
});

await operation("fee", async () => {
  const transaction = api.tx.balances.transferKeepAlive(bob.address, TAO);
  const { partialFee } = await transaction.paymentInfo(alice);
  const { events } = await send(transaction, alice);
  const paid = events.find(({ event }) => api.events.transactionPayment.TransactionFeePaid.is(event));
  return [partialFee.toString(), paid.event.data.actualFee.toString()];
});

await operation("mortal transaction with a tip", async () => {
  const { events } = await send(api.tx.system.remark("0x1234"), alice, { era: 64, tip: 1_000 });
  const paid = events.find(({ event }) => api.events.transactionPayment.TransactionFeePaid.is(event));
  return paid.event.data.tip.toNumber();
});

await operation("batch", async () => {
  const calls = [1n, 2n].map((amount) => api.tx.balances.transferKeepAlive(dave.address, amount * TAO));
  const before = await free(dave.address);
  const { events } = await send(api.tx.utility.batchAll(calls), alice);
  return { received: (await free(dave.address) - before).toString(), events: names(events) };
});

await operation("error of a call", () => {
  const all = api.tx.balances.transferKeepAlive(bob.address, 10_000_000n * TAO);
  return failure(() => send(all, alice));
});

await operation("refused transaction", () => {
  const stale = api.tx.system.remark("0x00");
  return failure(() => send(stale, alice, { nonce: 0 }));
});

await operation("proxy", async () => {
  await send(api.tx.proxy.addProxy(bob.address, "Transfer", 0), alice);
  const [proxies] = await api.query.proxy.proxies(alice.address);
  const held = proxies.map((one) => [one.delegate.toString(), one.proxyType.type]);
  const inner = api.tx.balances.transferKeepAlive(dave.address, TAO);
  const before = await free(dave.address);
  const { events } = await send(api.tx.proxy.proxy(alice.address, null, inner), bob);
  const executed = events.find(({ event }) => api.events.proxy.ProxyExecuted.is(event));
  const outside = api.tx.proxy.proxy(alice.address, null, api.tx.system.remark("0x00"));
  const { events: refused } = await send(outside, bob);
  const filtered = refused.find(({ event }) => api.events.proxy.ProxyExecuted.is(event));
  await send(api.tx.proxy.removeProxy(bob.address, "Transfer", 0), alice);
  return {
    held,
    received: (await free(dave.address) - before).toString(),
    results: [executed.event.data.result.isOk, filtered.event.data.result.isOk],
    left: (await api.query.proxy.proxies(alice.address))[0].length,
  };
});

await operation("multisig", async () => {
  const all = [alice.address, bob.address, charlie.address];
  const account = encodeAddress(createKeyMulti(all, 2), 42);
  await send(api.tx.balances.transferKeepAlive(account, 5n * TAO), alice);
  const inner = api.tx.balances.transferKeepAlive(dave.address, 3n * TAO);
  const others = (signer) => sortAddresses(all.filter((address) => address !== signer.address), 42);
  const limit = (await inner.paymentInfo(account)).weight;
  const { events } = await send(api.tx.multisig.asMulti(2, others(alice), null, inner, limit), alice);
  const open = (await api.query.multisig.multisigs(account, inner.method.hash)).unwrap();
  const before = await free(dave.address);
  const { events: last } = await send(api.tx.multisig.asMulti(2, others(bob), open.when, inner, limit), bob);
  const of = (some) => names(some).filter((name) => name.startsWith("multisig."));
  return { received: (await free(dave.address) - before).toString(), events: [of(events), of(last)] };
});

await operation("register and stake", async () => {
  await send(api.tx.subtensorModule.burnedRegister(netuid, hotkey), alice);
  const uid = (await api.query.subtensorModule.uids(netuid, hotkey)).unwrap().toNumber();
  const { events } = await send(api.tx.subtensorModule.addStake(hotkey, netuid, 100n * TAO), alice);
  const added = events.find(({ event }) => api.events.subtensorModule.StakeAdded.is(event));
  return { uid, coldkey: added.event.data[0].toString(), hotkey: added.event.data[1].toString() };
});

await operation("sudo", async () => {
  const { events } = await send(api.tx.sudo.sudo(api.tx.adminUtils.sudoSetKappa(netuid, 30_000)), alice);
  const done = events.find(({ event }) => api.events.sudo.Sudid.is(event));
  return [done.event.data.sudoResult.isOk, (await api.query.subtensorModule.kappa(netuid)).toNumber()];
});

await operation("block and events", async () => {
  const { block: hash } = await send(api.tx.system.remarkWithEvent("0x5b"), bob);
  const { block } = await api.rpc.chain.getBlock(hash);
  const events = await (await api.at(hash)).query.system.events();
  const mine = block.extrinsics.findIndex((one) => one.isSigned && one.signer.toString() === bob.address);
  const own = events.filter(({ phase }) => phase.isApplyExtrinsic && phase.asApplyExtrinsic.eqn(mine));
  const { method } = block.extrinsics[mine];
  return { call: `${method.section}.${method.method}`, first: block.extrinsics[0].method.section, events: names(own) };
});

await operation("subscription to events", async () => {
  const seen = collect(4, (add) => api.query.system.events(add));
  await send(api.tx.system.remarkWithEvent("0x5c"), bob);
  return (await seen).some((events) => names(events).includes("system.Remarked"));
});

await operation("storage at an earlier block", async () => {
  const genesis = await api.at(await api.rpc.chain.getBlockHash(0));
  return (await genesis.query.system.account(alice.address)).data.free.toString();
});

await api.disconnect();
console.log(JSON.stringify([{ tool: "@polkadot/api", version: dependencies["@polkadot/api"], did }]));
