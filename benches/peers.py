"""One peer's index, measured beside ours: see benches/peers.rs, which calls this.

peers.py WHICH HASHES QUERIES NEAR: files of 32-byte PDQ hashes. Prints one JSON line. WHICH is one of

- faiss-flat: IndexBinaryFlat;
- faiss-multihash: IndexBinaryMultiHash of 16 x 16 bits in an IndexBinaryIDMap2, its fastest exact form at radius 31;
- threatexchange: the library's default PDQ index;
- usearch, pgvector: HNSW graphs with default build parameters. They are approximate, and have no search by radius: they are asked for the
  NEAREST rows, and rows beyond RADIUS are dropped. pgvector runs in a private Postgres (postgres.py).

Look-ups run on one thread, and for pgvector in one server process. `micros` excludes the time that these waited for a core. `build_s` is CPU
time. `hits` are those of QUERIES, as [query, row]; `near` are those of NEAR, which is not timed. A peer that is not installed or does not
start yields {"skipped": reason}.
"""

import contextlib
import json
import signal
import sys
import time
from importlib import metadata

import numpy

RADIUS = 31
PASSES = 3
# No query has more hits than this (benches/peers.rs checks), so the limit itself costs no recall.
NEAREST = 10
# Candidates kept during a look-up (ef). The first is the default.
USEARCH_EF = (64, 256, 1024)
PGVECTOR_EF = (40, 100, 400)


class Skipped(Exception):
    """The peer can't be measured here."""


class Peer:
    def __init__(self, package, build, look_ups, size=None, process=None):
        """`build(hashes)` makes the index. `look_ups(index, queries)` yields, for each setting, its name and a function from a query's number
        to rows. For an index in a server, `size(index)` is its size in bytes and `process` the server's process id."""
        self.package, self.build, self.look_ups, self.size, self.process = package, build, look_ups, size, process


def faiss_flat(hashes):
    import faiss

    index = faiss.IndexBinaryFlat(256)
    index.add(hashes)
    return index


def faiss_multihash(hashes):
    import faiss

    multi = faiss.IndexBinaryMultiHash(256, 16, 16)
    index = faiss.IndexBinaryIDMap2(multi)
    index.add_with_ids(hashes, numpy.arange(len(hashes)))
    # Of 31 bits in 16 blocks, some block has one at the most.
    multi.nflip = 1
    faiss.downcast_IndexBinary(index.index).nflip = 1
    return index


def faiss_look_ups(index, queries):
    # Faiss finds what is nearer than its radius.
    yield "", lambda at: index.range_search(queries[at : at + 1], RADIUS + 1)[2].tolist()


def threatexchange(hashes):
    from threatexchange.signal_type.pdq.pdq_index import PDQIndex

    return PDQIndex((bytes(row).hex(), number) for number, row in enumerate(hashes))


def threatexchange_look_ups(index, queries):
    texts = [bytes(query).hex() for query in queries]
    yield "", lambda at: [match.metadata for match in index.query(texts[at])]


def usearch(hashes):
    from usearch.index import Index

    index = Index(ndim=256, metric="hamming", dtype="b1")
    index.add(numpy.arange(len(hashes)), hashes)
    return index


def usearch_look_ups(index, queries):
    def look_up(at):
        nearest = index.search(queries[at], NEAREST, threads=1)
        return nearest.keys[nearest.distances <= RADIUS].tolist()

    for ef in USEARCH_EF:
        index.expansion_search = ef
        yield f"ef {ef}", look_up


def bits(row):
    return "".join(map("{:08b}".format, row))


def pgvector(database):
    def build(hashes):
        database.execute("CREATE UNLOGGED TABLE hashes (row int, hash bit(256))")
        with database.cursor() as cursor, cursor.copy("COPY hashes FROM STDIN") as copy:
            for number, row in enumerate(hashes):
                copy.write_row((number, bits(row)))
        database.execute("CREATE INDEX by_hash ON hashes USING hnsw (hash bit_hamming_ops)")
        database.execute("VACUUM ANALYZE hashes")
        database.execute("SET enable_seqscan = off")

    def look_ups(_, queries):
        texts = [bits(query) for query in queries]
        nearest = f"SELECT row, hash <~> %(hash)s::bit(256) AS distance FROM hashes ORDER BY distance LIMIT {NEAREST}"
        within = f"SELECT row FROM ({nearest}) AS nearest WHERE distance <= {RADIUS}"
        for ef in PGVECTOR_EF:
            database.execute(f"SET hnsw.ef_search = {ef}")
            yield f"ef {ef}", lambda at: [row for (row,) in database.execute(within, {"hash": texts[at]}, prepare=True)]

    def one(sql):
        return database.execute(sql).fetchone()[0]

    extension = one("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    package = f"pgvector {extension}, Postgres {one('SHOW server_version')}"
    size = lambda _: one("SELECT pg_total_relation_size('hashes')")
    return Peer(package, build, look_ups, size, one("SELECT pg_backend_pid()"))


@contextlib.contextmanager
def peer(which):
    version = lambda package: f"{package} {metadata.version(package)}"
    if which == "pgvector":
        import postgres

        with contextlib.ExitStack() as ending:
            try:
                database = ending.enter_context(postgres.connection())
            except RuntimeError as error:
                raise Skipped(error) from error
            yield pgvector(database)
    elif which == "usearch":
        yield Peer(version("usearch"), usearch, usearch_look_ups)
    else:
        import faiss

        # threatexchange's index is one of Faiss's.
        faiss.omp_set_num_threads(1)
        if which == "threatexchange":
            yield Peer(version("threatexchange"), threatexchange, threatexchange_look_ups)
        else:
            package = f"{version('faiss-cpu')}, built with {faiss.get_compile_options().strip()}"
            yield Peer(package, faiss_flat if which == "faiss-flat" else faiss_multihash, faiss_look_ups)


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def scheduled(process):
    """Nanoseconds that a process's main thread ran, and waited for a core."""
    with open(f"/proc/{process}/schedstat") as schedstat:
        ran, waited, _ = schedstat.read().split()
        return int(ran), int(waited)


def measure(of, hashes, queries, near):
    def ran():
        return time.process_time() + (scheduled(of.process)[0] / 1e9 if of.process else 0)

    def waited():
        return (scheduled("thread-self")[1] + (scheduled(of.process)[1] if of.process else 0)) / 1e9

    def every(look_up, many):
        return [[at, row] for at in range(many) for row in look_up(at)]

    before, started = resident(), ran()
    index = of.build(hashes)
    build_s = ran() - started
    size = of.size(index) if of.size else resident() - before
    found_near = {setting: every(look_up, len(near)) for setting, look_up in of.look_ups(index, near)}
    runs = []
    for setting, look_up in of.look_ups(index, queries):
        hits = every(look_up, len(queries))  # and the caches are warm
        micros = []
        for _ in range(PASSES):
            started = time.perf_counter() - waited()
            for at in range(len(queries)):
                look_up(at)
            micros.append((time.perf_counter() - waited() - started) / len(queries) * 1e6)
        runs.append({"setting": setting, "micros": sorted(micros)[PASSES // 2], "hits": hits, "near": found_near[setting]})
    return {"package": of.package, "build_s": build_s, "bytes_a_hash": size / len(hashes), "runs": runs}


def main():
    # So that the server is stopped and its folder deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    which, *files = sys.argv[1:]
    hashes, queries, near = (numpy.fromfile(path, numpy.uint8).reshape(-1, 32) for path in files)
    try:
        with peer(which) as of:
            print(json.dumps(measure(of, hashes, queries, near)))
    except (ImportError, Skipped) as why:
        print(json.dumps({"skipped": str(why)}))


main()
