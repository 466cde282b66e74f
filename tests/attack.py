"""Everything at once: does a server that is attacked on all sides still answer?

    python tests/attack.py BINARY [SECONDS]      (grpcio and grpcio-tools, as for tests/grpc_client.py)

Starts BINARY on free ports of the loopback network with a store of its own, measures it quiet for a while, then lets callers from other
loopback addresses loose on it, in a process of their own: unread streams, half-sent and overfull messages, idle connections that answer PINGs, trickled imports, slow
headers on the operator port, and a flood of costly pictures. Meanwhile a decent caller asks for hashes, pictures and probes. All loops end with the
time. Prints the figures as JSON; no test runs it, as what it measures depends on the machine.
"""

import json, os, socket, struct, subprocess, sys, tempfile, threading, time, urllib.request, zlib

ATTACKS = sys.argv[1] == "--attack"  # the other process: --attack GRPC_PORT OPERATOR_PORT
BINARY, SECONDS = (None, 0.0) if ATTACKS else (sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 300.0)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = [f"list-{n:03}" for n in range(100)]
QUIET_S = min(20.0, SECONDS / 3)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def message(body, flag=0):
    return bytes([flag]) + struct.pack(">I", len(body)) + body


class Raw:
    """HTTP/2 by hand, within the windows that the server gives."""

    def __init__(self, address, source):
        self.socket = socket.create_connection(address, timeout=5, source_address=(source, 0))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        self.next, self.buffer = 1, b""
        self.pump(0.05)  # its windows hold once they are acknowledged

    def call(self, path, body, end=False, room=1_000_000):
        stream, self.next = self.next, self.next + 2
        head = b"\x83\x86" + literal(":path", path) + literal(":authority", "x") + literal("content-type", "application/grpc") + literal("te", "trailers")
        self.socket.sendall(frame(1, 4, stream, head))
        body = body[:room]
        for at in range(0, len(body), 16384):
            self.socket.sendall(frame(0, 0, stream, body[at : at + 16384]))
        if end:
            self.socket.sendall(frame(0, 1, stream))
        return stream

    def more(self, stream, body):
        self.socket.sendall(frame(0, 0, stream, body))

    def pump(self, seconds, read_all=False):
        """Answers PINGs and SETTINGS; gives windows back only where asked to. False once the connection is closed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return True
            if not data:
                return False
            self.buffer += data
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + (size := int.from_bytes(self.buffer[:3], "big")):
                kind, flags, payload = self.buffer[3], self.buffer[4], self.buffer[9 : 9 + size]
                if kind == 6 and not flags & 1:
                    self.socket.sendall(frame(6, 1, 0, payload))
                if kind == 4 and not flags & 1:
                    self.socket.sendall(frame(4, 1, 0))
                if kind == 0 and read_all and payload:
                    self.socket.sendall(frame(8, 0, 0, struct.pack(">I", len(payload))))
                self.buffer = self.buffer[9 + size :]
        return True


def png(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes((x * y // 977 + x // 3) & 255 for x in range(width)) if y % 64 == 0 else b"\2" + bytes(width) for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Server:
    def __init__(self, folder):
        self.ports = [self.free(), self.free()]
        env = dict(os.environ, HASHWARDEN__GRPC__LISTEN=f"127.0.0.1:{self.ports[0]}", HASHWARDEN__OPERATOR__LISTEN=f"127.0.0.1:{self.ports[1]}",
                   HASHWARDEN__STORE__DIR=f"{folder}/store", HASHWARDEN__LOG__LEVEL="error")
        self.process = subprocess.Popen([BINARY, "serve"], env=env, stdout=subprocess.DEVNULL)
        self.grpc, self.operator = ("127.0.0.1", self.ports[0]), ("127.0.0.1", self.ports[1])
        for _ in range(200):
            if self.page("/readyz"):
                return
            time.sleep(0.1)
        raise SystemExit("the server does not get ready")

    @staticmethod
    def free():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def page(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}{path}", timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return None

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status if ":" in line)
        return int(lines["VmRSS"].split()[0]) // 1024


def main():
    if ATTACKS:
        return attack_all(("127.0.0.1", int(sys.argv[2])), ("127.0.0.1", int(sys.argv[3])), sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}/proto", f"--python_out={folder}", f"--grpc_python_out={folder}",
                        *[f"{ROOT}/proto/hashwarden/v1/{f}" for f in sorted(os.listdir(f"{ROOT}/proto/hashwarden/v1"))]], check=True)
        sys.path.insert(0, folder)
        server = Server(folder)
        try:
            print(json.dumps(run(server, folder), indent=1))
        finally:
            server.process.terminate()
            server.process.wait(60)


def run(server, folder):
    import grpc
    from hashwarden.v1 import hash_list_service_pb2 as lists_pb, hash_list_service_pb2_grpc as lists_service
    from hashwarden.v1 import match_service_pb2 as pb, match_service_pb2_grpc as service

    channel = grpc.insecure_channel("%s:%d" % server.grpc)
    matching, lists = service.MatchServiceStub(channel), lists_service.HashListServiceStub(channel)
    for name in NAMES:
        lists.CreateHashList(lists_pb.CreateHashListRequest(name=name), timeout=30)
    hashed = pb.MatchItem(item_id="1", hashes={"hashes": [{"kind": 1, "hex": "0f" * 32}]})
    small = png(640, 480)

    def percentile(values, share):
        return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000, 2) if values else None

    def measure(seconds):
        hash_s, image_s, health_s, resident, refused = [], [], [], [], []

        def repeat(times, pause, ask):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                began = time.monotonic()
                try:
                    ask()
                    times.append(time.monotonic() - began)
                except Exception as error:
                    refused.append(f"{type(error).__name__}: {getattr(error, 'details', lambda: error)()}"[:160])
                time.sleep(pause)

        def health():
            with urllib.request.urlopen("http://127.0.0.1:%d/healthz" % server.ports[1], timeout=5) as reply:
                assert reply.status == 200

        asks = [
            (hash_s, 0.005, lambda: matching.Match(pb.MatchRequest(item=hashed), timeout=10)),
            (image_s, 0.2, lambda: matching.Match(pb.MatchRequest(item=pb.MatchItem(item_id="1", image=small)), timeout=10)),
            (health_s, 0.1, health),
            (resident, 0.25, lambda: None),
        ]
        memory = []
        asks[3] = (resident, 0.25, lambda: memory.append(server.resident_mib()))
        threads = [threading.Thread(target=repeat, args=ask) for ask in asks]
        [t.start() for t in threads]
        [t.join() for t in threads]
        return {
            "hash_ms": {"p50": percentile(hash_s, 0.5), "p99": percentile(hash_s, 0.99), "worst": percentile(hash_s, 1), "n": len(hash_s)},
            "image_ms": {"p50": percentile(image_s, 0.5), "p99": percentile(image_s, 0.99), "worst": percentile(image_s, 1), "n": len(image_s)},
            "healthz_ms": {"p50": percentile(health_s, 0.5), "p99": percentile(health_s, 0.99), "worst": percentile(health_s, 1), "n": len(health_s)},
            "resident_mib_most": max(memory),
            "refused": {what: refused.count(what) for what in sorted(set(refused))},
        }

    quiet = measure(QUIET_S)
    # A process of its own: else what is measured is how long the callers here wait for each other.
    attackers = subprocess.Popen([sys.executable, __file__, "--attack", *map(str, server.ports), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    attackers.stdout.readline()
    under = measure(SECONDS)
    metrics = [line for line in (server.page("/metrics") or "").splitlines() if "_limit_" in line and not line.startswith("#")]
    told = json.loads(attackers.communicate()[0])
    time.sleep(2)
    return {"seconds": SECONDS, "quiet": quiet, "under attack": under, "attacks": told, "after_mib": server.resident_mib(), "limits": metrics}


def attack_all(grpc, operator, folder):
    """Until the input is closed; then prints how often each was done."""
    sys.path.insert(0, folder)
    from hashwarden.v1 import hash_list_service_pb2 as lists_pb, match_service_pb2 as pb

    costly, ended, told = png(4000, 3000), threading.Event(), {}

    def attack(name, source, pause, make):
        """One caller that does the same again and again, on new connections where its own were closed."""
        held = []
        while not ended.is_set():
            try:
                make(held, source)
                told[name] = told.get(name, 0) + 1
            except OSError:
                told[name + ", closed"] = told.get(name + ", closed", 0) + 1
                held.clear()
            ended.wait(pause)

    match, stream = "/hashwarden.v1.MatchService/Match", "/hashwarden.v1.MatchService/MatchStream"
    # An item with an image of 30 MiB, well-formed as far as it comes: what is not is refused at its first bytes, and holds nothing.
    half = message(b"\x0a\x85\x80\x80\x0f" + b"\x1a\x80\x80\x80\x0f" + bytes(30 << 20))[: 1 << 20]
    overfull = message(b"\xa3\x06\xa4\x06" + b"\x0a\x00" * 490_000)
    bomb = message(b"\xa3\x06\xa4\x06" + b"\x0a\x00" * 510_000)
    many = message(b"".join(b"\x0a" + bytes([len(i)]) + i for i in [b"\x0a\x011\x22\x46\x0a\x44\x08\x01\x12\x40" + b"0f" * 32] * 12_000))
    named = pb.MatchItem(item_id="1", hashes={"hashes": [{"kind": 1, "hex": "0f" * 32}]}, lists=NAMES * 10).SerializeToString()
    repeated = message(pb.MatchStreamRequest(items=[pb.MatchItem.FromString(named)] * 60).SerializeToString())
    picture = message(pb.MatchRequest(item=pb.MatchItem(item_id="1", image=costly)).SerializeToString())
    header = message(lists_pb.ImportEntriesRequest(header={"list": NAMES[0], "activate": True}).SerializeToString())
    byte = message(lists_pb.ImportEntriesRequest(chunk=b"0").SerializeToString())

    def calls(path, body, each=2, most=60):
        def make(held, source):
            if len(held) >= most:
                held.pop(0).socket.close()
            raw = Raw(grpc, source)
            [raw.call(path, body, room=900_000) for _ in range(each)]
            raw.pump(0.01)
            held.append(raw)

        return make

    def idle(held, source):
        if len(held) < 400:
            held.append(Raw(grpc, source))
        for raw in held[:]:
            if not raw.pump(0.001):
                held.remove(raw)

    def trickle(held, source):
        if not held:
            held.append((raw := Raw(grpc, source), raw.call("/hashwarden.v1.HashListService/ImportEntries", header)))
        raw, call = held[0]
        raw.more(call, byte)
        if not raw.pump(0.01):
            raise OSError("closed")

    def slow_headers(held, source):
        if len(held) < 128:
            s = socket.create_connection(operator, timeout=5, source_address=(source, 0))
            s.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            held.append(s)
        for s in held[:]:
            try:
                s.send(b"x")
            except OSError:
                held.remove(s)

    def pictures(held, source):
        if len(held) >= 4:
            held.pop(0).socket.close()
        raw = Raw(grpc, source)
        room = 1_900_000 // len(picture)
        [raw.call(match, picture, end=True) for _ in range(min(60, room))]
        raw.pump(0.2, read_all=True)
        held.append(raw)

    attacks = [
        ("unread streams", "127.0.0.2", 0.2, calls(stream, many)),
        ("unread streams of repeated names", "127.0.0.3", 0.2, calls(stream, repeated)),
        ("half-sent pictures", "127.0.0.4", 0.1, calls(match, half)),
        ("half-sent streams", "127.0.0.5", 0.1, calls(stream, half)),
        ("overfull messages", "127.0.0.6", 0.5, calls(stream, overfull, each=1)),
        ("bombs", "127.0.0.7", 0.2, calls(stream, bomb, each=1)),
        ("idle connections", "127.0.0.8", 0.02, idle),
        ("idle connections", "127.0.0.9", 0.02, idle),
        ("trickled import", "127.0.0.10", 1.0, trickle),
        ("slow headers", "127.0.0.11", 0.05, slow_headers),
        ("costly pictures", "127.0.0.12", 0.1, pictures),
    ]
    threads = [threading.Thread(target=attack, args=a, daemon=True) for a in attacks]
    [t.start() for t in threads]
    print(flush=True)
    sys.stdin.read()
    ended.set()
    [t.join(10) for t in threads]
    print(json.dumps(told))


main()
