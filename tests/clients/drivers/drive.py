"""Makes the calls of a file with a library of Python: drive.py http.client|requests|httpx|curl|instantlyai BASE KEY FILE

Every driver takes the same file, a JSON list of calls, and prints a line of JSON for each: what its client was answered, or
the error that it was left with. `body` is null for none, else text, repeated `times`; `chunked` sends it without a length.
"""

import hashlib
import http.client
import json
import subprocess
import sys
import tempfile
import urllib.parse

library, base, default_key, path = sys.argv[1:5]


def parts(call):
    """Fields and body of a call."""
    fields = {"Authorization": f"Bearer {call.get('key', default_key)}", **call.get("fields", {})}
    body = call.get("body")
    return fields, None if body is None else (body * call.get("times", 1)).encode()


def by_http_client(call):
    fields, body = parts(call)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=30)
    try:
        content = iter([body]) if call.get("chunked") else body
        connection.request(call["method"], call["target"], content, fields, encode_chunked=bool(call.get("chunked")))
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def by_requests(call):
    import requests

    fields, body = parts(call)
    content = iter([body]) if call.get("chunked") else body
    answer = requests.request(call["method"], base + call["target"], headers=fields, data=content, timeout=30, allow_redirects=False)
    return answer.status_code, [(name, value) for name, value in answer.raw.headers.items()], answer.content


def by_httpx(call):
    import httpx

    fields, body = parts(call)
    content = iter([body]) if call.get("chunked") else body
    answer = httpx.request(call["method"], base + call["target"], headers=fields, content=content, timeout=30)
    return answer.status_code, answer.headers.multi_items(), answer.content


def by_curl(call):
    fields, body = parts(call)
    if call["method"] == "HEAD" and body is not None:
        raise OSError("it waits for a body in the answer then")
    with tempfile.NamedTemporaryFile() as content, tempfile.NamedTemporaryFile() as head, tempfile.NamedTemporaryFile() as told:
        words = ["curl", "--silent", "--show-error", "--globoff", "--path-as-is", "--max-time", "30", "--dump-header", head.name,
                 "--output", told.name]
        words += ["--head"] if call["method"] == "HEAD" else ["--request", call["method"]]
        for name, value in fields.items():
            words += ["--header", f"{name}: {value}"]
        if body is not None:
            content.write(body)
            content.flush()
            words += ["--data-binary", f"@{content.name}"] + (["--header", "Transfer-Encoding: chunked"] if call.get("chunked") else [])
        done = subprocess.run([*words, base + call["target"]], stderr=subprocess.PIPE, check=False)
        first, *rest = head.read().decode("latin-1").split("\r\n\r\n")[-2].split("\r\n") if done.returncode == 0 else [""]
        if not first:
            raise OSError(done.stderr.decode().strip())
        return int(first.split(" ")[1]), [line.split(": ", 1) for line in rest], b"" if call["method"] == "HEAD" else told.read()


def by_instantlyai(_call):
    """The published SDK makes its own calls: a list, a label of it, and a change."""
    from instantlyai import Instantly

    client = Instantly(base_url=base, api_key=default_key)
    labels = list(client.lead_labels.list(limit=100))
    one = client.lead_labels.retrieve(labels[0].id)
    told = [*labels, one, client.lead_labels.update(one.id, description="by the SDK"), client.lead_labels.retrieve(one.id)]
    return 200, [], "\n".join(repr(label) for label in told).encode()


DRIVERS = {"http.client": by_http_client, "requests": by_requests, "httpx": by_httpx, "curl": by_curl, "instantlyai": by_instantlyai}

with open(path, encoding="utf-8") as calls:
    for one_call in json.load(calls):
        try:
            status, answered, content = DRIVERS[library](one_call)
            told = {"status": status, "fields": [list(field) for field in answered], "length": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(), "start": content[:2000].decode("latin-1")}
        except Exception as error:  # whatever the library throws is what its user is left with
            told = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps({"name": one_call["name"], **told}), flush=True)
