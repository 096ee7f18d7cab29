"""httpx: the base URL of the client is the proxy's."""

import os

import httpx

with httpx.Client(
    base_url=os.environ["INSTANTLY_BASE_URL"],
    headers={"Authorization": f"Bearer {os.environ['INSTANTLY_API_KEY']}"},
) as client:
    for _ in range(2):
        answer = client.get("/api/v2/lead-labels", params={"limit": 100}).raise_for_status()
        print(answer.headers["cache-status"])
