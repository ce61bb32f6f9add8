"""A validator's round: asks the miners of a subnet to add numbers, and submits weights.

python validator.py --network local --netuid 59 --key-uri //Alice --ledger ./ledger [--miner HOTKEY@HOST:PORT]...
"""

import argparse
import json

import taonet

parser = argparse.ArgumentParser()
parser.add_argument("--network", default="local")
parser.add_argument("--netuid", type=int, required=True)
parser.add_argument("--key-uri", default="//Alice", help="development key; in production, use taonet.Wallet")
parser.add_argument("--ledger", required=True, help="directory of the weight ledger")
parser.add_argument("--miner", action="append", help="call this neuron instead of those that publish an address")
arguments = parser.parse_args()

hotkey = taonet.Keypair.from_uri(arguments.key_uri)
chain = taonet.Client(arguments.network)
graph = chain.metagraph(arguments.netuid)
if arguments.miner:
    named = [(key, *address.rsplit(":", 1)) for key, address in (miner.split("@") for miner in arguments.miner)]
    peers = [taonet.Peer(key, host, int(port)) for key, host, port in named]
else:
    peers = [taonet.Peer(neuron.hotkey, *neuron.axon) for neuron in graph.neurons if neuron.axon and neuron.is_public]

client = taonet.SignedClient(hotkey, taonet.BtauthScheme())
call = taonet.Call("/add", json.dumps({"numbers": [1, 2, 3]}), timeout=10.0, max_response_bytes=10_000)
scores = {}
for reply in client.call_all([(peer, call) for peer in peers]):
    correct = reply.response is not None and reply.response.status == 200 and reply.response.json()["sum"] == 6
    print(f"{reply.peer.hotkey}: {reply.code} in {reply.seconds:.3f} s, {'correct' if correct else 'wrong'}")
    neuron = graph.neuron(reply.peer.hotkey)
    if neuron is not None:
        scores[neuron.uid] = float(correct)

with taonet.WeightLedger(arguments.ledger, chain, hotkey) as ledger:
    # Finishes what an earlier round has left.
    ledger.advance()
    submission = ledger.submit(arguments.netuid, scores, state_block=graph.block.number)
print(f"epoch {submission.epoch}: {submission.weights}, {submission.state}")
