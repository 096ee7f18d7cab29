#!/usr/bin/env bash
#
# instantlyai 0.7.0 (PyPI, with httpx 0.28.1): what it does with a create whose fate it cannot know.
#
# A POST that is answered 504, which says that a gateway has not heard the outcome in time, is sent again at once, up to three
# times, as a GET would be; so is one whose answer does not come within the client's time-out. RFC 9110 §9.2.2 lets a client do
# that only where it knows that the request is idempotent, and the Instantly API has no idempotency key: what the first one has
# made is made a second time. With `max_retries=0` the error is raised instead.
#
# seen:
#     answered 504 first: made 2, id of the second returned: True
#     answered late first: made 2, id of the second returned: True
#     max_retries=0: made 1, status of the error that is raised: 504
#
# Needs python3 with venv.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check instantlyai==0.7.0 httpx==0.28.1

cat >seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import instantlyai

made, first, release = [], None, threading.Event()


class Api(BaseHTTPRequestHandler):
    """Makes a label for every POST, and lets the first of a test go unheard."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        made.append(sent["label"])
        label = {
            "id": f"01935c4b-0000-7abc-9def-{len(made):012}", "timestamp_created": "2025-03-07T00:00:01.000Z",
            "created_by": "01911111-0000-7000-8000-000000000001", "organization_id": "01920000-0000-7000-8000-000000000061",
            "label": sent["label"], "interest_status_label": "positive", "interest_status": -496,
        }
        status, body = 200, label
        if len(made) == 1 and first == "504":
            status, body = 504, {"statusCode": 504, "error": "Gateway Timeout", "message": "no answer in time"}
        if len(made) == 1 and first == "late":
            release.wait()
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
server.handle_error = lambda *_: None  # the client that did not wait is gone
threading.Thread(target=server.serve_forever, daemon=True).start()


def create(answer, **options):
    global first
    made.clear()
    first = answer
    client = instantlyai.Instantly(api_key="key", base_url=f"http://127.0.0.1:{server.server_port}", **options)
    return client.lead_labels.create(label="Hot", interest_status_label="positive")


label = create("504")
print(f"answered 504 first: made {len(made)}, id of the second returned: {str(label.id).endswith('2')}")
label = create("late", timeout=httpx.Timeout(0.5))
print(f"answered late first: made {len(made)}, id of the second returned: {str(label.id).endswith('2')}")
release.set()
try:
    create("504", max_retries=0)
except Exception as error:
    print(f"max_retries=0: made {len(made)}, status of the error that is raised: {error.status_code}")
PYTHON

seen=$(venv/bin/python seen.py)
printf '%s\n' "$seen"
[[ $seen == 'answered 504 first: made 2, id of the second returned: True
answered late first: made 2, id of the second returned: True
max_retries=0: made 1, status of the error that is raised: 504' ]]
