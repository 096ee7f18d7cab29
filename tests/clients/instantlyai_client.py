"""The published SDK `instantlyai`: its base_url is the proxy's."""

import os

from instantlyai import Instantly

client = Instantly(base_url=os.environ["INSTANTLY_BASE_URL"])  # the key: INSTANTLY_API_KEY
labels = list(client.lead_labels.list(limit=100))
same = client.lead_labels.retrieve(labels[0].id)
renamed = client.lead_labels.update(labels[0].id, label=f"{same.label}!")
assert client.lead_labels.retrieve(labels[0].id).label == renamed.label
print(f"{len(labels)} labels, and the change is seen at once")
