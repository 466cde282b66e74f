"""One peer's index, measured beside ours: see benches/peers.rs, which calls this.

peers.py WHICH HASHES QUERIES: files of 32-byte PDQ hashes. Prints one JSON line. WHICH: faiss-flat (IndexBinaryFlat), faiss-multihash
(IndexBinaryMultiHash of 16 x 16 bits in an IndexBinaryIDMap2, which is its quickest exact form at radius 31), threatexchange (the
library's default PDQ index). One thread. `hits` is what was found, as [query, row].
"""

import json
import sys
import time

import faiss
import numpy

RADIUS = 31
PASSES = 3


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def build(which, hashes):
    """The index, and a function from a query's number to rows."""
    if which == "faiss-flat":
        index = faiss.IndexBinaryFlat(256)
        index.add(hashes)
    elif which == "faiss-multihash":
        multi = faiss.IndexBinaryMultiHash(256, 16, 16)
        index = faiss.IndexBinaryIDMap2(multi)
        index.add_with_ids(hashes, numpy.arange(len(hashes)))
        # Of 31 bits in 16 blocks, some block has one at the most.
        multi.nflip = 1
        faiss.downcast_IndexBinary(index.index).nflip = 1
    else:
        from threatexchange.signal_type.pdq.pdq_index import PDQIndex

        return PDQIndex((bytes(row).hex(), number) for number, row in enumerate(hashes))
    return index


def search(which, index, queries):
    if which == "threatexchange":
        texts = [bytes(query).hex() for query in queries]
        return lambda at: [match.metadata for match in index.query(texts[at])]
    # Faiss finds what is nearer than its radius.
    return lambda at: index.range_search(queries[at : at + 1], RADIUS + 1)[2].tolist()


def main():
    which, hashes, queries = sys.argv[1], *(numpy.fromfile(path, numpy.uint8).reshape(-1, 32) for path in sys.argv[2:4])
    faiss.omp_set_num_threads(1)
    before, started = resident(), time.time()
    index = build(which, hashes)
    build_s, bytes_a_hash = time.time() - started, (resident() - before) / len(hashes)
    look_up = search(which, index, queries)
    hits = [[at, row] for at in range(len(queries)) for row in look_up(at)]  # and the caches are warm
    micros = []
    for _ in range(PASSES):
        started = time.perf_counter()
        for at in range(len(queries)):
            look_up(at)
        micros.append((time.perf_counter() - started) / len(queries) * 1e6)
    options = faiss.get_compile_options().split()
    print(json.dumps({"micros": sorted(micros)[PASSES // 2], "build_s": build_s, "bytes_a_hash": bytes_a_hash, "hits": hits, "options": options}))


main()
