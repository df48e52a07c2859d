#!/usr/bin/env bash
# First light: what `make run` shows. A tenant with demonstration data, a job that really runs, its outputs through the
# shell and through the kernel. Uses only what a user has: agavesh and agavefs. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
work=$(mktemp -d)
export AGAVE_CACHE_DIR=$work/agave XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config
unset AGAVE_BASE_URL AGAVE_TOKEN AGAVE_USERNAME AGAVE_PASSWORD AGAVE_API_KEY AGAVE_API_SECRET AGAVE_CA_CERT AGAVEFS_CACHE_DIR

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || step() { printf '\n%s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

mounted=
finish() {
  status=$?
  [ -z "$mounted" ] || "$bin/agavefs" umount "$work/mnt" >/dev/null 2>&1 || true
  "$bin/agavesh" tenant stop >/dev/null 2>&1 || true
  rm -rf --one-file-system "$work" # should it still be mounted, the platform's files are not ours to remove
  exit $status
}
trap finish EXIT
PATH=$bin:$PATH

step "An embedded tenant on this machine, with demonstration data"
show agavesh whoami
show agavesh systems

step "A job that really runs"
show agavesh jobs submit wordcount-1.0 text=agave://data.demo/README.txt --name first-light --wait
job=$(agavesh -o csv jobs | sed -n 2p | cut -d, -f1)

step "Its outputs, in the shell"
show agavesh ls -l "job:$job/"
show agavesh get "job:$job/wordcount.txt" "$work/by-shell.txt"

step "The same through the kernel"
mkdir "$work/mnt"
status=0
show agavefs mount "$work/mnt" || status=$?
case $status in
  0)
    mounted=yes
    show ls -l "$work/mnt/jobs/$job/outputs"
    show cp "$work/mnt/jobs/$job/outputs/wordcount.txt" "$work/by-mount.txt"
    cmp "$work/by-shell.txt" "$work/by-mount.txt" && echo "both copies are the same: $(wc -c < "$work/by-mount.txt") bytes"
    show agavefs umount "$work/mnt"
    mounted=
    ;;
  69) # agavefs has just said what is missing here: pyfuse3, /dev/fuse or the right to open it
    echo "so the mount is left out; the shell has all the rest"
    ;;
  *) exit $status ;;
esac
show agavesh tenant stop

cat <<'END'

What next:
  .venv/bin/agavesh                          a prompt; TAB completes, `help` explains
  mkdir mnt && .venv/bin/agavefs mount mnt   your files and job outputs as folders; `.venv/bin/agavefs umount mnt` ends it
  .venv/bin/agavesh login URL                use your own tenant instead of the embedded one
END
