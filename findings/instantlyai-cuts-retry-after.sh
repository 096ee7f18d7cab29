#!/usr/bin/env bash
#
# instantlyai 0.7.0 (PyPI, with httpx 0.28.1): how long it waits after a 429.
#
# `Retry-After` in seconds is obeyed up to 30 s (`max_backoff`); of a longer one it waits 30 s and calls again, into the same
# limit, and with its four calls it gives up after 90 s of a wait that was said to be 120. The other form that RFC 9110 §10.2.3
# has, a date, is passed over: it calls again after half a second.
#
# seen, with the sleeps that it asks for written down in place of slept:
#     Retry-After: 20 -> 20, 20, 20, then an error
#     Retry-After: 120 -> 30, 30, 30, then an error
#     Retry-After: a date in two minutes -> below 1, below 2, below 3, then an error
#     Retry-After: 120 with max_backoff=120 -> 120, 120, 120, then an error
#
# Needs python3 with venv.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check instantlyai==0.7.0 httpx==0.28.1

cat >seen.py <<'PYTHON'
import logging
import time
from email.utils import formatdate

import httpx
import instantlyai

logging.disable(logging.CRITICAL)
slept = []
time.sleep = slept.append


def waits(name, retry_after, shown, **options):
    slept.clear()
    body = {"statusCode": 429, "error": "Too Many Requests", "message": "Rate limit exceeded"}
    transport = httpx.MockTransport(lambda _: httpx.Response(429, headers={"Retry-After": retry_after}, json=body))
    client = instantlyai.Instantly(api_key="key", http_client=httpx.Client(transport=transport), **options)
    try:
        client.lead_labels.list(limit=1)
        end = "an answer"
    except instantlyai.RateLimitError:
        end = "an error"
    print(f"Retry-After: {name} -> {', '.join(map(shown, slept))}, then {end}")


whole = "{:.0f}".format
waits("20", "20", whole)
waits("120", "120", whole)
waits("a date in two minutes", formatdate(time.time() + 120, usegmt=True), lambda wait: f"below {int(wait) + 1}")
waits("120 with max_backoff=120", "120", whole, max_backoff=120.0)
PYTHON

seen=$(venv/bin/python seen.py)
printf '%s\n' "$seen"
[[ $seen == 'Retry-After: 20 -> 20, 20, 20, then an error
Retry-After: 120 -> 30, 30, 30, then an error
Retry-After: a date in two minutes -> below 1, below 2, below 3, then an error
Retry-After: 120 with max_backoff=120 -> 120, 120, 120, then an error' ]]
