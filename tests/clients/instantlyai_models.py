"""Every endpoint of the simulated API that the published SDK `instantlyai` has a model for, read by that model.

A model takes members that it does not know; here there must be none, or the answer is not in the vendor's shape.
"""

import os

from instantlyai import Instantly, NotFoundError

base_url = os.environ["INSTANTLY_BASE_URL"]
client = Instantly(base_url=base_url)  # the key: INSTANTLY_API_KEY
admin = Instantly(base_url=base_url, api_key=os.environ["INSTANTLY_ADMIN_KEY"])


def listed(resource, **query):
    """Every item, page by page, and at least one."""
    items = list(resource.list(limit=1, **query))
    assert items, "nothing is listed"
    return items


def same(one, other):
    assert one == other, f"{one} is not {other}"
    return other


def labels():
    # Behind the first of them the proxy answers from memory.
    for label in listed(client.lead_labels):
        yield same(label, client.lead_labels.retrieve(label.id))
    made = client.lead_labels.create(label="Made by the SDK", interest_status_label="positive")
    yield same(made, client.lead_labels.retrieve(made.id))
    yield client.lead_labels.update(made.id, description="changed")
    yield client.lead_labels.delete(made.id)


def accounts():
    for account in listed(client.accounts):
        yield same(account, client.accounts.retrieve(account.email))


def group():
    for member in listed(admin.workspace_group_members):
        yield same(member, admin.workspace_group_members.retrieve(member.id))
    assert client.workspace_group_members.admin()["admin_workspace_id"] == str(admin.workspaces.retrieve().id)
    assert not list(client.workspace_group_members.list())
    try:
        admin.workspace_group_members.admin()
    except NotFoundError:
        return
    raise AssertionError("the admin workspace has an admin")


# A row a resource: who models more of the API adds what the SDK reads of it.
READS = {
    "lead labels": labels,
    "accounts": accounts,
    "workspace group members": group,
    "workspace": lambda: [client.workspaces.retrieve(), admin.workspaces.retrieve()],
    "campaigns": lambda: list(client.campaigns.list()),
    "custom tags": lambda: list(client.custom_tags.list()),
    "lead lists": lambda: list(client.lead_lists.list()),
    "leads": lambda: list(client.leads.list()),
}

count = 0
for name, read in READS.items():
    for item in read():
        assert not item.model_extra, f"{name}: {type(item).__name__} does not know {item.model_extra}"
        count += 1
    assert count, name
print(f"{count} answers of {len(READS)} resources, every one read by its model")
