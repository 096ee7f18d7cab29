#!/bin/sh
# A label list twice: the second answer comes from the proxy's memory, and says how old it is.
set -eu
for _ in 1 2; do
    curl --fail-with-body --silent --show-error --include \
        --header "Authorization: Bearer $INSTANTLY_API_KEY" \
        "$INSTANTLY_BASE_URL/api/v2/lead-labels?limit=100" | grep -i '^cache-status'
done
