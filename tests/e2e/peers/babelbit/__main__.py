"""Test peer for every route of Babelbit, restricted to the documented protocol. httpx and bittensor-wallet
stand for the clients and keys that operators have; nothing here comes from the programs under test.

    python tests/e2e/peers/babelbit ROLE

Servers (engine, miner, scoring-api, arena-gateway, text-engine, text-miner) read their settings as one line of JSON
from standard input, print their address, and exit when standard input ends. Their last line is a report of the
requests, with violations of the protocol as `problems`. The client (runner) reads the service to
test and its address from standard input; its last line is its report.
"""
import json
import sys

import arena_gateway
import engine
import miner
import scoring_api
import text_contest
import web

SERVERS = {
    "engine": engine.Engine,
    "miner": miner.Miner,
    "scoring-api": scoring_api.ScoringApi,
    "arena-gateway": arena_gateway.ArenaGateway,
    "text-engine": text_contest.Engine,
    "text-miner": text_contest.Miner,
}

role = sys.argv[1]
if role == "runner":
    # Servers start faster without httpx.
    import runner

    print(json.dumps(runner.play(json.load(sys.stdin))))
else:
    web.serve(SERVERS[role](json.loads(sys.stdin.readline())))
