#!/usr/bin/env bash
# Stand-ins for the foreign base images, from Debian's packages, for a machine that can reach a
# Debian mirror but no image registry. They have the names of the real ones, so that Dockerfile and
# docker-compose.yml are used unchanged; an existing image of that name is left alone.
#
#   sudo deploy/containers/standins.sh
#
# Needs: apt-get install podman debootstrap. MIRROR and SUITE override the defaults.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export CONTAINERS_CONF=${CONTAINERS_CONF:-$here/containers.conf}
mirror=${MIRROR:-http://deb.debian.org/debian}
suite=${SUITE:-trixie} # its Python is 3.13, its Redis 8.0

for program in podman debootstrap; do
  command -v "$program" >/dev/null || { echo "no $program: apt-get install $program" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap has to be run by root" >&2; exit 2; }

work=$(mktemp -d /var/tmp/standins.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs"

# standin NAME PACKAGES: a folder with a Debian that has these packages; false if NAME is there.
standin() {
  if podman image exists "$1"; then
    echo "$1 is there"
    return 1
  fi
  timeout 600 debootstrap --variant=minbase --cache-dir="$work/debs" --include="$2" \
    "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 ||
    { tail -20 "$work/log" >&2; echo "debootstrap failed: $1" >&2; exit 1; }
  rm -f "$work"/root/var/cache/apt/archives/*.deb
}

# keep NAME CHANGE...: the folder as an image.
keep() {
  local name=$1 changes=()
  shift
  for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$work/root" -c . | podman import --quiet "${changes[@]}" - "$name" >/dev/null
  rm -rf "$work/root"
  echo "$name made: $(podman image inspect --format '{{.Size}}' "$name" | numfmt --to=si)B"
}

python=docker.io/library/$(sed -n 's/^ARG PYTHON=//p' "$here/../../Dockerfile")
if standin "$python" ca-certificates,python3,python3-venv,python3-pip; then
  ln -s /usr/bin/python3 "$work/root/usr/local/bin/python"
  keep "$python" 'CMD ["python3"]' \
    'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin'
fi

redis=docker.io/library/$(sed -n 's/^ *image: \(redis:.*\)/\1/p' "$here/../../docker-compose.yml")
if standin "$redis" redis-server; then
  chroot "$work/root" install -d -o redis -g redis /data
  keep "$redis" 'WORKDIR /data' 'CMD ["redis-server"]'
fi
