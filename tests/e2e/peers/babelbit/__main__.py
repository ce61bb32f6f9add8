"""Test peer for every route of Babelbit, restricted to the documented protocol. httpx and bittensor-wallet
stand for the clients and keys that operators have; nothing here comes from the programs under test.

    python tests/e2e/peers/babelbit ROLE

Servers (engine, miner, scoring-api, arena-gateway, text-engine, text-miner) take their settings as one line of JSON on standard input, say where
they listen, and end with standard input; the last line that they write is a report of what they saw, with all that was
against the protocol as `problems`. The client (runner) takes a question on standard input: which service to play
against, and where it is; its last line is what came back.
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
