#!/usr/bin/env python3
"""Writes weights.json: random inputs of `tao nineteen weights`, and the weights by the reference's rules.

  python3 generate.py          writes the file
  python3 generate.py --check  fails when it is not what would be written

Only the standard library is needed. The computation follows the rules as the reference runs them, one query after the
other, and shares nothing with the Rust implementation. The random inputs come from a fixed seed.
"""
import json, os, random, sys

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = 72
# Rules that differ between the releases of October (reference) and December 2024 (later).
RELEASES = {"reference": dict(power=3, by_quality=False, threshold=None),
            "later": dict(power=4, by_quality=True, threshold=0.85)}


def rows_of(document, task, hotkey):
    """The rows that rate a miner in a task: all of the task, then its newest of any task, up to 50 together."""
    own = [row for row in document["rewards"] if row["hotkey"] == hotkey and row["task"] == task]
    newest = [row for row in document["rewards"] if row["hotkey"] == hotkey]
    return own + newest[:max(50 - len(own), 0)]


def combined_qualities(document, task, release):
    """Quality with the bonus for the rank by speed, of every registered miner that has a row with both values."""
    uids = {row["hotkey"]: row["uid"] for row in document["contenders"]}
    nodes = document.get("nodes", sorted(uids, key=uids.get))
    qualities, speeds = {}, {}
    for hotkey in nodes:
        rows = [row for row in rows_of(document, task, hotkey)
                if row["quality_score"] is not None and row["metric"] is not None]
        if not rows:
            continue
        mean = sum(row["quality_score"] ** 1.5 for row in rows) / len(rows)
        if release["threshold"] is not None and mean <= release["threshold"] and task != "avatar":
            mean *= mean
        qualities[hotkey] = mean
        metrics = sorted(row["metric"] * (row["quality_score"] if release["by_quality"] else 1) for row in rows)
        speeds[hotkey] = metrics[int(0.3 * len(metrics))]
    # The sort is stable: equal speeds stay in the order of the nodes.
    ranked = sorted(speeds, key=lambda hotkey: -speeds[hotkey])
    bonus = {hotkey: 0.5 * (0.5 - rank / (len(ranked) - 1)) if len(ranked) > 1 else 0
             for rank, hotkey in enumerate(ranked)}
    return {hotkey: quality * (1 + bonus[hotkey]) for hotkey, quality in qualities.items()}


def period_factor(document, task, hotkey):
    """Mean of the period scores, weighted by volume and halved with each older period; a quarter on probation."""
    rows = [(row["period_score"], row["consumed_capacity"]) for row in document["period_scores"]
            if row["task"] == task and row["hotkey"] == hotkey and row["period_score"] is not None]
    total = sum(volume for _, volume in rows)
    if total == 0:
        return 0
    weights = [volume / total * 0.5 ** age for age, (_, volume) in enumerate(rows)]
    if sum(weights) == 0:
        return 0
    mean = sum(score * weight for (score, _), weight in zip(rows, weights)) / sum(weights)
    return mean * (1 if len(rows) > 8 else 0.25)


def normalised(values):
    total = sum(values.values())
    return {key: value / total for key, value in values.items()} if total else {}


def weights(document, release):
    scores = {}
    for task in document["tasks"]:
        if not task["enabled"]:
            continue
        quality = combined_qualities(document, task["task"], release)
        volumes = {row["hotkey"]: quality[row["hotkey"]] * period_factor(document, task["task"], row["hotkey"])
                   * row["capacity"]
                   for row in document["contenders"] if row["task"] == task["task"] and row["hotkey"] in quality}
        powered = {hotkey: share ** release["power"] for hotkey, share in normalised(volumes).items()}
        for hotkey, share in normalised(powered).items():
            scores[hotkey] = scores.get(hotkey, 0) + share * task["weight"]
    uids = {row["hotkey"]: row["uid"] for row in document["contenders"]}
    final = normalised(scores)
    # Thirteen digits: Python's sums of floats differ in the last digit between versions.
    return {"uids": [uids[hotkey] for hotkey in final], "weights": [float(f"{own:.13g}") for own in final.values()]}


def random_document(rng, index):
    names = rng.sample(["chat-8b", "chat-70b", "flux", "avatar"], rng.randint(1, 3))
    tasks = [dict(task=name, weight=round(rng.uniform(0.05, 1), 2), enabled=rng.random() < 0.9) for name in names]
    miners = [f"miner-{number}" for number in range(rng.randint(1, 6))]
    uids = dict(zip(miners, rng.sample(range(256), len(miners))))
    # Some miners contend without rows, some have rows in tasks for which they do not contend.
    contenders = [dict(hotkey=miner, uid=uids[miner], task=task["task"], capacity=rng.choice([0, 800, 60000, 120000]))
                  for task in tasks for miner in miners if rng.random() < 0.7]
    rng.shuffle(contenders)
    rewards = []
    for miner in miners:
        for name in names:
            # Around the 50 rows from which no other rows count; mostly few, which count twice.
            count = rng.choice([0, 0, 1, 2, 3, 5, 8, 24, 26] + ([48, 50, 53] if index % 6 == 0 else []))
            speed = rng.choice([4.0, 40.0, 95.0]) * rng.uniform(0.5, 1.5)
            for _ in range(count):
                quality = rng.choice([1, 1, 0, round(rng.random(), 2)])
                metric = round(speed * rng.uniform(0.8, 1.2), 1) if rng.random() < 0.9 else 7.0
                quality = None if rng.random() < 0.04 else quality
                metric = None if rng.random() < 0.04 else metric
                rewards.append(dict(task=name, hotkey=miner, quality_score=quality, metric=metric))
    rng.shuffle(rewards)
    periods = []
    for row in contenders:
        for _ in range(rng.choice([0, 1, 3, 8, 9, 12])):
            score = None if rng.random() < 0.1 else rng.choice([1, 0, round(rng.random(), 3)])
            volume = 0 if score is None or rng.random() < 0.1 else rng.randint(1, 120000)
            periods.append(dict(task=row["task"], hotkey=row["hotkey"], period_score=score, consumed_capacity=volume))
    rng.shuffle(periods)
    return dict(tasks=tasks, contenders=contenders, rewards=rewards, period_scores=periods)


def cases():
    rng = random.Random(19)
    for index in range(CASES):
        document = random_document(rng, index)
        # Every fourth document names further registered miners, in order of uid.
        if index % 4 == 3:
            uids = {row["hotkey"]: row["uid"] for row in document["contenders"]}
            others = sorted({row["hotkey"] for row in document["rewards"]} - set(uids))
            document["nodes"] = sorted(uids, key=uids.get) + others
        # In some, a contender has left the subnet.
        if index % 8 == 7 and document["nodes"]:
            document["nodes"].pop(rng.randrange(len(document["nodes"])))
        yield dict(document=document, **{name: weights(document, rules) for name, rules in RELEASES.items()})


def main():
    # One line for each case.
    text = "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases()) + "\n]\n"
    path = os.path.join(HERE, "weights.json")
    if "--check" in sys.argv[1:]:
        with open(path) as file:
            if json.load(file) != json.loads(text):
                sys.exit("weights.json is not what generate.py writes")
        return
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
