"""The published SDK `instantlyai` on the other resources: what it makes of every answer, as JSON."""

import json
import os

from instantlyai import Instantly

client = Instantly(base_url=os.environ["INSTANTLY_BASE_URL"])  # the key: INSTANTLY_API_KEY
told = {"workspace": client.workspaces.retrieve()}
for name in ("custom_tags", "lead_lists", "campaigns"):
    resource = getattr(client, name)
    items = list(resource.list(limit=100))
    told[name] = items
    told[f"{name}, one"] = resource.retrieve(str(items[0].id))
print(json.dumps(told, default=lambda model: model.model_dump(mode="json"), sort_keys=True))
