"""Fifty services on one key, each busier than the one before, and a key that the API refuses.

Usage: load.py ADDRESS KEY LABEL; called by `run`.
"""

import http.client
import sys

LONG = "spiffe://cluster.local/ns/production/sa/a-service-of-name"


def main():
    address, key, label = sys.argv[1:4]
    connection = http.client.HTTPConnection(address)

    def ask(path, name, token=key):
        connection.request("GET", f"/api/v2/{path}", headers={"Authorization": f"Bearer {token}", "X-Caller": name})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    for number in range(1, 50):
        name = f"service-{number:02}"
        for _ in range(number):
            assert ask(f"lead-labels/{label}", name) == 200
        if number % 7 == 0:
            assert ask("lead-labels?search=x", name) == 200
    assert ask(f"lead-labels/{label}", LONG) == 200
    assert ask("campaigns", "service-07", "a-key-that-is-dead") == 401


main()
