"""Runs the miner. `summing-subnet-miner --help` lists the options."""

import argparse
import os
import signal
import sys
import threading

import bittensor as bt

from .miner import Miner

# Seconds between two reads of the callers' stakes and permits.
REFRESH = 300


def parse(arguments):
    """The options, which are those of the Rust program where both have them."""
    parser = argparse.ArgumentParser(prog="summing-subnet-miner", description="Answer the requests of validators")
    parser.add_argument("--netuid", type=int, required=True, help="netuid of the subnet")
    parser.add_argument(
        "--network", default=os.environ.get("BT_NETWORK", "local"),
        help="finney, test, local or the URL of a node [env: BT_NETWORK, default: local]")
    parser.add_argument(
        "--wallet-path", default=os.environ.get("BT_WALLET_PATH", "~/.bittensor/wallets"),
        help="directory of the wallets [env: BT_WALLET_PATH, default: ~/.bittensor/wallets]")
    parser.add_argument("--wallet-name", default="default", help="name of the wallet [default: default]")
    parser.add_argument("--wallet-hotkey", default="default", help="name of the hotkey [default: default]")
    parser.add_argument("--port", type=int, default=8091, help="listen port, on all interfaces [default: 8091]")
    parser.add_argument("--announce", metavar="IP:PORT", help="external address to publish on the chain")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    wallet = bt.Wallet(name=options.wallet_name, hotkey=options.wallet_hotkey, path=options.wallet_path)
    subtensor = bt.Subtensor(network=options.network)
    metagraph = subtensor.metagraph(options.netuid)
    hotkey = wallet.hotkey.ss58_address
    if hotkey not in metagraph.hotkeys:
        sys.exit(f"error: {hotkey} is not registered on subnet {options.netuid}")

    miner = Miner()
    miner.update(metagraph)
    # Without an address to publish, the SDK would ask a public service for one.
    ip, port = options.announce.rsplit(":", 1) if options.announce else ("127.0.0.1", options.port)
    axon = bt.Axon(wallet=wallet, port=options.port, external_ip=ip, external_port=int(port))
    axon.attach(forward_fn=miner.forward, blacklist_fn=miner.blacklist, priority_fn=miner.priority)
    axon.start()
    if options.announce:
        response = subtensor.serve_axon(options.netuid, axon)
        if not response.success:
            axon.stop()
            sys.exit(f"error: cannot publish {options.announce}: {response.message}")
    bt.logging.info(f"listening on port {options.port}")
    while not stopped.wait(REFRESH):
        try:
            metagraph.sync(subtensor=subtensor)
            miner.update(metagraph)
        except Exception as error:
            # The miner keeps the callers that it knows.
            bt.logging.warning(f"cannot read the neurons of the subnet: {error}")
    axon.stop()


if __name__ == "__main__":
    main()
