"""The calls that every client makes, directly and through the proxy; and the uploads that are refused early."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

import vendor  # noqa: E402

MIRROR = "/api/v2/mirror"
ORGANIZATION = vendor.organization_id(1)
LABELS = [vendor.label_id(ORGANIZATION, number) for number in range(6)]
JSON = {"Content-Type": "application/json"}
EARLY_BYTES = 8 << 20

QUERIES = ("?", "?a", "?a=&b", "?a=1&a=2", "?x=%2F%2f%20+", "?q=%C3%A9", "?a%5B%5D=1", "?b=~!$'()*,;:@/", "?a=b?c=d", "?%41=%61",
           "/%7Euser", "/a;b=c,d", "/trailing/", "/a%2Fb", "/" + "long" * 200)
STATUSES = (200, 201, 204, 301, 304, 400, 404, 418, 500)


def compared():
    """Every call, in order: what a write changed the next reads show."""
    yield from labels()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        target = f"{MIRROR}/{method.lower()}"
        yield call(f"{method} without a body", method, target)
        yield call(f"{method} with an empty body", method, target, fields=JSON, body="")
        yield call(f"{method} with a body", method, target, fields=JSON, body='{"x": "\u00fc", "y": 1}')
        if method not in ("GET", "HEAD"):
            yield call(f"{method} with a large body", method, target, body="0123456789", times=30_000)
        yield call(f"{method} in chunks", method, target, fields=JSON, body='{"x": 2}', chunked=True)
        yield call(f"{method} answered in chunks", method, f"{target}?shape=chunked")
    for query in QUERIES:
        yield call(f"target {query[:20]}", "GET", MIRROR + query if query[0] == "/" else f"{MIRROR}/query{query}")
    for status in STATUSES:
        yield call(f"status {status}", "GET", f"{MIRROR}/status?status={status}")
        yield call(f"status {status} to POST", "POST", f"{MIRROR}/status?status={status}", fields=JSON, body='{"x": 3}')
    yield call("compressed", "GET", f"{MIRROR}/z?shape=gzip", fields={"Accept-Encoding": "gzip"})
    yield call("fields", "GET", f"{MIRROR}/fields", fields={"X-Odd": "a  b;c=\"d\"", "Cookie": "a=1; b=2", "Accept": "*/*;q=0.1",
                                                          "User-Agent": "tests/1.0 (of clients)", "Cache-Control": "max-age=0"})
    yield call("large answer", "GET", "/api/v2/download/300000")
    yield call("refused key", "GET", "/api/v2/campaigns", key="dead")


def labels():
    """Reads and writes of labels; reads with the bodies that client libraries send along."""
    item, change = f"/api/v2/lead-labels/{LABELS[0]}", f"/api/v2/lead-labels/{LABELS[1]}"
    for time in ("first", "again"):
        yield call(f"label, {time}", "GET", item)
        yield call(f"label, HEAD, {time}", "HEAD", item)
        yield call(f"list, {time}", "GET", "/api/v2/lead-labels?limit=100")
        yield call(f"list, search, {time}", "GET", "/api/v2/lead-labels?search=a%20b&limit=10")
    for name, body in (("null", "null"), ("{}", "{}"), ("nothing", ""), ("more", '{"a":1}')):
        yield call(f"label with a body of {name}", "GET", item, fields=JSON, body=body)
        yield call(f"list with a body of {name}", "GET", "/api/v2/lead-labels?limit=100", fields=JSON, body=body)
        yield call(f"label with chunks of {name}", "GET", item, fields=JSON, body=body, chunked=True)
    yield call("label with data: null", "GET", item, fields=JSON, data=None)
    yield call("label with data: {}", "GET", item, fields=JSON, data={})
    yield call("label, refused key", "GET", item, key="dead")
    yield call("created", "POST", "/api/v2/lead-labels", fields=JSON, body='{"label":"new","interest_status_label":"positive"}')
    yield call("changed", "PATCH", change, fields=JSON, body='{"description":"changed"}')
    yield call("changed, read", "GET", change)
    yield call("changed in chunks", "PATCH", change, fields=JSON, body='{"description":"again"}', chunked=True)
    yield call("changed in chunks, read", "GET", change)
    yield call("deleted with a body", "DELETE", f"/api/v2/lead-labels/{LABELS[2]}", fields=JSON, body='{"reassigned_status":3}')
    yield call("deleted without one", "DELETE", f"/api/v2/lead-labels/{LABELS[3]}")
    yield call("deleted with an empty one", "DELETE", f"/api/v2/lead-labels/{LABELS[4]}", body="")
    yield call("deleted, read", "GET", f"/api/v2/lead-labels/{LABELS[2]}")
    yield call("list at the end", "GET", "/api/v2/lead-labels?limit=100")


def early(client, times):
    """Uploads of 8 MiB that are answered before they have arrived, each behind a call that makes it so."""
    item = f"/api/v2/lead-labels/{LABELS[5]}"
    yield call("known", "GET", item)
    for number in range(times):
        yield call("413", "PATCH", item, fields=JSON, body="u" * 64, times=EARLY_BYTES // 64)
        for name, key in (("401", f"dead-{client}-{number}"), ("429", f"limited-{client}-{number}")):
            yield call(f"before {name}", "POST", "/api/v2/leads", fields=JSON, body="{}", key=key)
            yield call(name, "POST", "/api/v2/leads", fields=JSON, body="u" * 64, times=EARLY_BYTES // 64, key=key)


def early_at_the_simulator(times):
    """The same against the simulated API, which does not know the key."""
    for _ in range(times):
        yield call("401", "POST", "/api/v2/lead-labels", fields=JSON, body="u" * 64, times=EARLY_BYTES // 64, key="unknown")


def call(name, method, target, **more):
    """One line of the file that drivers read."""
    return {"name": name, "method": method, "target": target, **more}
