"""A foreign client: does the service work for someone who has only its address and proto/?

Usage: grpc_client.py HOST:PORT PROTO_DIR FILES_DIR [--tls], where FILES_DIR holds known.png, stranger.png, drawn.png and its crop.png, and for TLS
ca.pem, caller.pem and caller.key. Run by tests/grpc.rs and tests/tls.rs.
Once through stubs that grpc_tools generates from proto/, once through reflection alone. Prints "checks passed: N" and exits 0, or fails at
the first check that does not hold.
"""

import pathlib
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

passed = 0


def check(got, expected, what):
    global passed
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")
    passed += 1


def refused(call, code, field, what):
    """The call must end with `code`; where a field is named, in a google.rpc.BadRequest."""
    try:
        call()
    except grpc.RpcError as error:
        check(error.code(), code, what)
        fields = []
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    bad = error_details_pb2.BadRequest()
                    if detail.Unpack(bad):
                        fields += [violation.field for violation in bad.field_violations]
        if field is not None:
            check(fields, [field], what)
        return
    sys.exit(f"{what}: was not refused")


def stubs(proto_dir, out):
    """Compiles proto/ to `out` as any user would, so that it can be imported."""
    from grpc_tools import protoc

    files = sorted(str(path) for path in pathlib.Path(proto_dir).rglob("*.proto"))
    include = str(pathlib.Path(protoc.__file__).parent / "_proto")
    if protoc.main(["protoc", f"-I{proto_dir}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)


def with_stubs(channel, files):
    from hashwarden.v1 import hash_list_pb2, hash_list_service_pb2, hash_list_service_pb2_grpc, hash_pb2
    from hashwarden.v1 import match_service_pb2, match_service_pb2_grpc, verdict_pb2

    Hash, Item = hash_pb2.Hash, match_service_pb2.MatchItem
    matching = match_service_pb2_grpc.MatchServiceStub(channel)
    lists = hash_list_service_pb2_grpc.HashListServiceStub(channel)
    known, stranger = (files / "known.png").read_bytes(), (files / "stranger.png").read_bytes()

    def match(item, **options):
        return matching.Match(match_service_pb2.MatchRequest(item=item), **options).result.verdict

    # A list of one picture.
    hashed = matching.Hash(match_service_pb2.HashRequest(image=known))
    identity = [seen.hash for seen in hashed.observations if seen.transform == hash_pb2.TRANSFORM_IDENTITY]
    check(sorted(h.kind for h in identity), [hash_pb2.HASH_KIND_PDQ, hash_pb2.HASH_KIND_PHASH64, hash_pb2.HASH_KIND_DHASH64], "kinds")
    check(len(hashed.digests), 3, "digests")
    policy = hash_list_pb2.PolicyUpdate(actions=[hash_list_pb2.ActionRule(action=verdict_pb2.ACTION_BLOCK)])
    made = lists.CreateHashList(hash_list_service_pb2.CreateHashListRequest(name="py", policy=policy)).list
    check((made.name, made.active_version, made.policy.quality_min), ("py", 0, 50), "a new list")
    entry = hash_list_pb2.NewEntry(id="e1", category="A1", hashes=[*identity, *hashed.digests])
    added = lists.AddEntries(hash_list_service_pb2.AddEntriesRequest(list="py", entries=[entry])).report
    check((added.version, added.added, list(added.ids)), (1, 1, ["e1"]), "an added entry")

    # Pictures and hashes.
    verdict = match(Item(item_id="a", image=known))
    check((verdict.outcome, verdict.action), (verdict_pb2.OUTCOME_MATCH, verdict_pb2.ACTION_BLOCK), "the known picture")
    check({m.entry_id for m in verdict.matches}, {"e1"}, "its entry")
    check(verdict.lists[0].version, 1, "the version that was asked")
    check(match(Item(image=stranger)).outcome, verdict_pb2.OUTCOME_NO_MATCH, "a stranger")
    pdq = next(h for h in identity if h.kind == hash_pb2.HASH_KIND_PDQ)
    by_hash = match(Item(hashes=hash_pb2.Hashes(hashes=[pdq]), lists=["py"]))
    check((by_hash.outcome, by_hash.matches[0].distance, by_hash.matches[0].threshold), (verdict_pb2.OUTCOME_MATCH, 0, 31), "a hash")

    # Views: where a list lets them count, a crop matches, and says where.
    view = by_hash.matches[0].view
    check((view.kind, [(c.x, c.y) for c in view.corners]), (hash_pb2.VIEW_KIND_WHOLE, [(0, 0), (1, 0), (1, 1), (0, 1)]), "the whole")
    drawn, crop = (files / "drawn.png").read_bytes(), (files / "crop.png").read_bytes()
    hashed = matching.Hash(match_service_pb2.HashRequest(image=drawn))
    drawn_pdq = next(seen.hash for seen in hashed.observations if seen.transform == hash_pb2.TRANSFORM_IDENTITY)
    extended = hash_list_pb2.ViewRule(kind=hash_pb2.VIEW_KIND_EXTENDED, radius=37)
    policy = hash_list_pb2.PolicyUpdate(views=hash_list_pb2.ViewKindSet(kinds=[extended.kind]), view_radii=[extended])
    made = lists.CreateHashList(hash_list_service_pb2.CreateHashListRequest(name="views", policy=policy)).list
    check((list(made.policy.views), made.policy.view_action_max), ([extended], verdict_pb2.ACTION_REVIEW), "a list with views")
    entry = hash_list_pb2.NewEntry(id="d", hashes=[drawn_pdq])
    lists.AddEntries(hash_list_service_pb2.AddEntriesRequest(list="views", entries=[entry]))
    verdict = match(Item(image=crop))
    check((verdict.outcome, verdict.action), (verdict_pb2.OUTCOME_MATCH, verdict_pb2.ACTION_REVIEW), "a crop")
    found = verdict.matches[0]
    check((found.entry_id, found.view.kind, found.threshold), ("d", hash_pb2.VIEW_KIND_EXTENDED, 37), "its view")
    check((len(found.view.corners), found.view.corners[0].x < 0, found.view.corners[2].x > 1), (4, True, True), "where it lies")
    check((verdict.views.searched > 0, verdict.views.cut, 0 < found.chance < 1e-9), (True, 0, True), "how many views there were")
    verdict = match(Item(image=crop, views=match_service_pb2.VIEW_SET_WHOLE))
    check((verdict.outcome, verdict.views.searched), (verdict_pb2.OUTCOME_NO_MATCH, 0), "the whole alone")
    lists.DeleteHashList(hash_list_service_pb2.DeleteHashListRequest(name="views"))

    # Broken pictures are verdicts.
    for name, image, reason in [
        ("empty", b"", verdict_pb2.REASON_EMPTY),
        ("one byte", b"x", verdict_pb2.REASON_UNSUPPORTED),
        ("text", b"This is no picture.", verdict_pb2.REASON_UNSUPPORTED),
        ("cut", known[:40], verdict_pb2.REASON_UNDECODABLE),
        ("too large", bytes(256 * 1024 + 1), verdict_pb2.REASON_TOO_LARGE),
    ]:
        verdict = match(Item(image=image))
        check((verdict.outcome, verdict.reason), (verdict_pb2.OUTCOME_NOT_SCANNED, reason), name)

    # Malformed requests name the field.
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    short = Hash(kind=hash_pb2.HASH_KIND_PDQ, hex=pdq.hex[1:])
    refused(lambda: match(Item()), invalid, "item", "no content")
    refused(lambda: match(Item(hashes=hash_pb2.Hashes(hashes=[pdq, pdq, short]))), invalid, "item.hashes.hashes[2].hex", "a short hash")
    refused(lambda: match(Item(hashes=hash_pb2.Hashes(hashes=[Hash(hex=pdq.hex)]))), invalid, "item.hashes.hashes[0].kind", "no kind")
    refused(lambda: match(Item(image=known, lists=["yp"])), grpc.StatusCode.NOT_FOUND, "item.lists[0]", "a misspelt list")
    refused(lambda: match(Item(image=bytes(512 * 1024))), grpc.StatusCode.OUT_OF_RANGE, None, "beyond the message limit")
    refused(lambda: match(Item(image=known), timeout=0.000001), grpc.StatusCode.DEADLINE_EXCEEDED, None, "a deadline that has passed")

    # A stream goes on after a bad item.
    items = [
        Item(item_id="known", image=known),
        Item(item_id="bad", hashes=hash_pb2.Hashes(hashes=[short])),
        Item(item_id="text", image=b"text"),
        Item(item_id="hash", hashes=hash_pb2.Hashes(hashes=[pdq])),
    ]
    messages = [match_service_pb2.MatchStreamRequest(items=items[:2]), match_service_pb2.MatchStreamRequest(items=items[2:])]
    results = {r.item_id: r for reply in matching.MatchStream(iter(messages)) for r in reply.results}
    check(sorted(results), ["bad", "hash", "known", "text"], "one result an item")
    bad = results["bad"].error
    check((bad.code, bad.field), (invalid.value[0], "items[1].hashes.hashes[0].hex"), "the bad item")
    check(results["known"].verdict.outcome, verdict_pb2.OUTCOME_MATCH, "the known picture in a stream")
    check(results["text"].verdict.reason, verdict_pb2.REASON_UNSUPPORTED, "text in a stream")
    check(results["hash"].verdict.outcome, verdict_pb2.OUTCOME_MATCH, "a hash in a stream")

    # An import: whole, then broken in the middle.
    Part, header = hash_list_service_pb2.ImportEntriesRequest, hash_list_service_pb2.ImportHeader

    def parts(name, *chunks, end=True, fail=False):
        yield Part(header=header(list=name, source="test", activate=True))
        for chunk in chunks:
            yield Part(chunk=chunk)
        if fail:
            raise OSError("the file could not be read on")
        if end:
            yield Part(end=hash_list_service_pb2.ImportEnd())

    row = (pdq.hex + "\n").encode()
    other = ("0123456789abcdef" * 4 + "\n").encode()
    lists.CreateHashList(hash_list_service_pb2.CreateHashListRequest(name="file"))
    replies = list(lists.ImportEntries(parts("file", row[:10], row[10:], other, b"nonsense\n")))
    report = replies[-1].report
    check((report.rows, report.bad_row_count, report.entries, report.activated), (3, 1, 2, True), "an import")
    check(report.bad_rows[0].line, 3, "the bad row's line")
    check(all(reply.HasField("progress") for reply in replies[:-1]) and len(replies) > 1, True, "progress")
    check((report.format, report.hashes[0].hashes), (hash_list_pb2.LIST_FORMAT_PDQ_TEXT, 2), "how the file was read")
    doubtful = list(lists.ImportEntries(parts("file", row, b"nonsense\n")))[-1].report
    check((doubtful.activated, doubtful.gone, len(doubtful.warnings)), (False, 1, 1), "a bad row that may be a known entry")
    refused(lambda: list(lists.ImportEntries(parts("file", row, end=False))), invalid, "end", "an import without its end")
    refused(lambda: list(lists.ImportEntries(parts("absent", row))), grpc.StatusCode.NOT_FOUND, None, "an import into no list")
    try:
        list(lists.ImportEntries(parts("file", row, fail=True)))
        sys.exit("an import whose file breaks went through")
    except grpc.RpcError:
        pass
    now = lists.GetHashList(hash_list_service_pb2.GetHashListRequest(name="file")).list
    check((now.active_version, now.rows), (report.version, 2), "the list after broken imports")

    # The rest of a list's life.
    update = hash_list_service_pb2.UpdateHashListRequest
    check(lists.UpdateHashList(update(name="py", disabled=True)).list.disabled, True, "disabling")
    verdict = match(Item(hashes=hash_pb2.Hashes(hashes=[pdq]), lists=["py"]))
    check(verdict.reason, verdict_pb2.REASON_NO_LIST, "a disabled list")
    lists.UpdateHashList(update(name="py", disabled=False))
    removed = lists.RemoveEntries(hash_list_service_pb2.RemoveEntriesRequest(list="py", ids=["e1", "none"])).report
    check((removed.removed, list(removed.missing), removed.version), (1, ["none"], 2), "removing")
    versions = lists.ListHashListVersions(hash_list_service_pb2.ListHashListVersionsRequest(list="py", page_size=1))
    check((len(versions.versions), versions.next_page_token != ""), (1, True), "the first page of versions")
    diff = lists.DiffVersions(hash_list_service_pb2.DiffVersionsRequest(list="py", from_version=1, to_version=2))
    check((diff.added, diff.removed, diff.changed), (0, 1, 0), "the difference of versions")
    diff = lists.DiffVersions(hash_list_service_pb2.DiffVersionsRequest(list="py", from_version=0, to_version=1))
    check((diff.added, diff.removed, diff.changed), (1, 0, 0), "the difference from the empty version")
    many = hash_list_service_pb2.RemoveEntriesRequest(list="py", ids=[""] * 600_000)
    refused(lambda: lists.RemoveEntries(many), invalid, None, "a message of very many empty parts")
    back = lists.RollBackVersion(hash_list_service_pb2.RollBackVersionRequest(list="py")).list
    check(back.active_version, 1, "rolling back")
    forth = lists.ActivateVersion(hash_list_service_pb2.ActivateVersionRequest(list="py", version=2)).list
    check(forth.active_version, 2, "activating")
    check([one.name for one in lists.ListHashLists(hash_list_service_pb2.ListHashListsRequest()).lists], ["file", "py"], "all lists")
    lists.DeleteHashList(hash_list_service_pb2.DeleteHashListRequest(name="py"))
    get = hash_list_service_pb2.GetHashListRequest
    refused(lambda: lists.GetHashList(get(name="py")), grpc.StatusCode.NOT_FOUND, None, "a deleted list")
    exists = hash_list_service_pb2.CreateHashListRequest(name="file")
    refused(lambda: lists.CreateHashList(exists), grpc.StatusCode.ALREADY_EXISTS, None, "a list that is there")


def with_reflection(channel, files):
    """Nothing but the address: descriptors come from the service."""
    database = ProtoReflectionDescriptorDatabase(channel)
    names = set(database.get_services())
    wanted = {"hashwarden.v1.MatchService", "hashwarden.v1.HashListService", "grpc.health.v1.Health"}
    check(wanted - names, set(), "services by reflection")
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName("hashwarden.v1.MatchService").FindMethodByName("Match")
    Request, Response = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    call = channel.unary_unary(
        "/hashwarden.v1.MatchService/Match", request_serializer=Request.SerializeToString, response_deserializer=Response.FromString
    )
    request = Request()
    request.item.item_id = "reflected"
    request.item.image = (files / "known.png").read_bytes()
    result = call(request).result
    outcomes = pool.FindEnumTypeByName("hashwarden.v1.Outcome").values_by_number
    check((result.item_id, outcomes[result.verdict.outcome].name), ("reflected", "OUTCOME_MATCH"), "a match by reflection")


def connect(address, files, tls):
    if not tls:
        return grpc.insecure_channel(address)
    ca, key, certificate = ((files / name).read_bytes() for name in ("ca.pem", "caller.key", "caller.pem"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate))


def main():
    address, proto_dir, files, tls = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4:] == ["--tls"]
    with tempfile.TemporaryDirectory() as out, connect(address, files, tls) as channel:
        stubs(proto_dir, out)
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "hashwarden.v1.MatchService", "hashwarden.v1.HashListService"):
            status = health.Check(health_pb2.HealthCheckRequest(service=service)).status
            check(status, health_pb2.HealthCheckResponse.SERVING, f"health of {service!r}")
        with_stubs(channel, files)
    # With descriptors from a pool of its own, not those of the stubs.
    with connect(address, files, tls) as channel:
        with_reflection(channel, files)
    print(f"checks passed: {passed}")


main()
