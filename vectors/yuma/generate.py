#!/usr/bin/env python3
"""Writes fixed.json and random.json: what oracle.run_fixed gives, so that the Rust tests need no Python.

  python3 generate.py          writes both files
  python3 generate.py --check  fails when they are not what would be written
numpy is not needed. The random epochs come from a fixed seed.
"""
import json, os, random, sys

from oracle import U16, apply, run_fixed

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ("stake_weight", "new_validator_permit", "consensus", "validator_trust", "incentive", "dividends",
        "server_emission", "validator_emission", "emission")


def load(name):
    with open(os.path.join(HERE, name)) as file:
        return json.load(file)


def graph_epochs(graph):
    """Four epochs of the large network for each layout, with and without self weights. All validators get equal
    values and so do all servers: one of each is recorded, and the one value of all bonds (null without bonds)."""
    n, count = graph["n"], graph["validators"]
    for layout in ("contiguous", "last"):
        first = 0 if layout == "contiguous" else n - count
        validators = range(first, first + count)
        servers = [uid for uid in range(n) if uid not in validators]
        for self_weights in (False, True):
            state = dict(
                n=n, block=1, tempo=graph["tempo"], activity_cutoff=10 * graph["tempo"], last_mechanism_step=0,
                emission=graph["emission"],
                stake=[graph["stake_per_validator"] if i in validators else graph["stake_per_server"] for i in range(n)],
                stake_threshold=0, owner_uid=None, max_validators=graph["max_validators"],
                validator_permit=[False] * n, last_update=[1] * n, block_at_registration=[0] * n, commit_blocks=None,
                weights=[[] for _ in range(n)], bonds=[[] for _ in range(n)], kappa=graph["kappa"],
                bonds_penalty=graph["bonds_penalty"], bonds_moving_average=graph["bonds_moving_average"],
                yuma3=graph["yuma3"], liquid_alpha=False, alpha_low=45875, alpha_high=58982,
                alpha_sigmoid_steepness=1000)
            for epoch in range(4):
                if epoch == 1:
                    for i in validators:
                        state["weights"][i] = [[j, U16 // n] for j in servers]
                    if self_weights:
                        for j in servers:
                            state["weights"][j] = [[j, U16]]
                result = run_fixed(state)
                one = lambda uids: {key: same(result[key][i] for i in uids) for key in KEYS}
                bonds = [entry for row in result["bonds"] for entry in row]
                bond = same(value for _, value in bonds) if bonds else None
                if bonds:
                    assert all(result["bonds"][i] == [[j, bond] for j in servers] for i in validators)
                yield dict(layout=layout, self_weights=self_weights, epoch=epoch, validator=one(validators),
                           server=one(servers), bond=bond)
                state = apply(state, result)


def same(values):
    values = list(values)
    assert all(value == values[0] for value in values)
    return values[0]


def random_epoch(r):
    """An epoch with every setting drawn at random, small enough for ties, empty rows and lost majorities."""
    n = r.choice([1, 2, 3, 4, 5, 6, 8, 10, 13])
    block, tempo = r.choice([5, 100, 100_000]), r.choice([1, 10, 360])
    near = lambda: max(block - r.choice([0, 0, 1, 2, tempo, 2 * tempo, 50]), 0)
    level = r.choice([1, 3, 10**6, 10**15, 2**64 - 1])
    rarity = r.choice([0, 0.1, 0.4])
    share = lambda: r.choice([0, 1, U16, U16 // 2, r.randrange(U16 + 1)])

    def row(density, values):
        uids = [j for j in range(n + 2) if r.random() < density]
        if r.random() < 0.3:
            r.shuffle(uids)
        return [[j, values()] for j in uids]

    density, bond_density = r.choice([0.3, 0.6, 0.9, 1]), r.random()
    weight = r.choice([share, lambda: r.choice([1, 2, 3]), lambda: r.randrange(U16 + 1)])
    low, high = sorted((share(), share()))
    return dict(
        n=n, block=block, tempo=tempo, activity_cutoff=r.choice([1, 100, 100, 5000]),
        last_mechanism_step=r.choice([0, near()]), emission=r.choice([0, 1, 10**9, 10**12 + 7, 2**64 - 1]),
        stake=[r.choice([0, level, level, r.randrange(level + 1), r.randrange(level + 1)]) for _ in range(n)],
        stake_threshold=r.choice([0, 0, level // 2]), owner_uid=r.choice([None, None, r.randrange(n)]),
        max_validators=r.choice([1, 2, n // 2, n, 64]),
        validator_permit=[r.random() < 0.9 for _ in range(n)], last_update=[near() for _ in range(n)],
        block_at_registration=[near() if r.random() < rarity else 0 for _ in range(n)],
        commit_blocks=r.choice([None, None, [r.choice([None, near()]) for _ in range(n)]]),
        weights=[row(density, weight) for _ in range(n)],
        bonds=[[[j, b] for j, b in row(bond_density, share) if j < n] for _ in range(n)],
        kappa=r.choice([32767, 32767, share()]), bonds_penalty=r.choice([0, U16, share()]),
        bonds_moving_average=r.choice([0, 900_000, 975_000, 1_000_000, r.randrange(1_000_001)]),
        yuma3=r.random() < 0.55, liquid_alpha=r.random() < 0.7,
        alpha_low=low, alpha_high=high,
        alpha_sigmoid_steepness=r.choice([1000, 0, -1000, 32767, -32768, r.randrange(-2000, 2000)]))


def files():
    fixed = dict(
        about="what run_fixed gives: for every case of cases.json by id, and for the network of graph_512.json",
        cases={case["id"]: run_fixed(case["input"]) for case in load("cases.json")["cases"]},
        graph_512=list(graph_epochs(load("graph_512.json"))))
    r, cases = random.Random(2025), []
    for i in range(200):
        epoch = random_epoch(r)
        cases.append(dict(id=f"random_{i}", input=epoch, fixed=run_fixed(epoch)))
    return {"fixed.json": fixed, "random.json": dict(about="random epochs and what run_fixed gives", cases=cases)}


if __name__ == "__main__":
    for name, document in files().items():
        text, path = json.dumps(document, separators=(",", ":")) + "\n", os.path.join(HERE, name)
        if sys.argv[1:] == ["--check"]:
            with open(path) as file:
                assert file.read() == text, f"{name} is out of date"
        else:
            with open(path, "w") as file:
                file.write(text)
