#!/bin/sh
# Finds the API key, then becomes `portico`.
#
# PORTICO_API_KEY wins. Else PORTICO_API_KEY_FILE is read: a mounted secret, or a file in the state volume that is
# made at the first start (docker-compose.yml does so: a first start needs no editing, and no key is ever shipped).
# With neither, `portico serve` itself decides: on an address that others can reach it refuses to run without a key.
set -eu

if [ -z "${PORTICO_API_KEY:-}" ] && [ -n "${PORTICO_API_KEY_FILE:-}" ]; then
    # -s: an empty file is left of a start that was cut off, not a key.
    if [ ! -s "$PORTICO_API_KEY_FILE" ]; then
        draft="$PORTICO_API_KEY_FILE.$$"
        if ! (umask 077 && python -I -c 'import secrets; print("sk-" + secrets.token_urlsafe(32))' > "$draft") 2>/dev/null
        then
            echo "portico: PORTICO_API_KEY_FILE: $PORTICO_API_KEY_FILE holds no key and cannot be written;" \
                 "set PORTICO_API_KEY or mount a key there" >&2
            exit 1
        fi
        mv "$draft" "$PORTICO_API_KEY_FILE"
        # The key itself stays out of the log, which others may read.
        echo "portico: made an API key; show it with: docker compose exec gateway cat $PORTICO_API_KEY_FILE" >&2
    fi
    PORTICO_API_KEY=$(cat "$PORTICO_API_KEY_FILE")
    export PORTICO_API_KEY
fi

exec portico "$@"
