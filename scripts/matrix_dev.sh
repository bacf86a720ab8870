#!/bin/sh
# A homeserver for development: up, down, reset, status, register NAME.
# MX_DEV_HOMESERVER=embedded (the default), synapse (in a Python environment of its own),
# federation (two of those) or docker.
exec node "$(dirname "$0")/bootstrap.cjs" scripts/synapse/dev.ts "$@"
