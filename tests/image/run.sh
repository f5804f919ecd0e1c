#!/usr/bin/env bash
# Builds Guard's image and runs it for real: `make image-test`, as root on Debian.
#
# It needs no registry and no running engine: a Docker engine of its own builds on a base image made by debootstrap. How this
# machine reaches Debian's mirror and the Python package index is read when it runs and goes into that base image only.
# Everything that it starts, mounts and writes lies in one temporary folder and is gone at the end.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/.venv/bin/python
say() { printf 'image-test: %s\n' "$*"; }
fail() { printf 'image-test: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "only root may start an engine and make a Debian root; run it with sudo"
[ -x "$python" ] || fail "there is no $python; run make setup first"
cd "$root"
"$python" -m tools.build
binary() { "$python" -c 'import sys; from tools import binaries; print(binaries.locate([sys.argv[1]])[sys.argv[1]])' "$1"; }
kustomize=$(binary kustomize)
helm=$(binary helm)
sops=$(binary sops)

work=$(mktemp -d "${TMPDIR:-/tmp}/guard-image.XXXXXX")
engine=
clean_up() {
  status=$?
  trap - EXIT
  if [ -n "$engine" ]; then
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
  fi
  # Nothing below a mount point may be removed: what the engine or debootstrap left mounted comes first, innermost first.
  awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r place; do
    umount "$place" || umount --lazy "$place"
  done
  rm -rf --one-file-system "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

quietly() { # quietly LOG COMMAND...: its output is shown only when it fails
  log=$work/$1.log
  shift
  "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; fail "failed: $1"; }
}

# ---- an engine

if ! command -v dockerd debootstrap >/dev/null || [ ! -x /usr/bin/docker ]; then
  say "installing docker.io and debootstrap"
  quietly apt env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update && apt-get install --yes --no-install-recommends docker.io debootstrap'
fi
# The client of the same package as the engine, whatever else is called docker here.
docker() { env -u DOCKER_CONTEXT DOCKER_CONFIG="$work/config" DOCKER_BUILDKIT=0 /usr/bin/docker --host "unix://$work/docker.sock" "$@"; }

say "starting an engine"
printf '{}' >"$work/engine.json"
dockerd --config-file "$work/engine.json" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/docker.pid" \
  --host "unix://$work/docker.sock" --bridge none --iptables=false --ip6tables=false >"$work/engine.log" 2>&1 &
engine=$!
for _ in $(seq 300); do
  docker version >/dev/null 2>&1 && break
  kill -0 "$engine" 2>/dev/null || break
  sleep 0.2
done
docker version >/dev/null 2>&1 || { tail -n 40 "$work/engine.log" >&2; fail "the engine does not start"; }
say "engine $(docker version --format '{{.Server.Version}}'), storage driver $(docker info --format '{{.Driver}}')"

# ---- the base image

# shellcheck disable=SC1091
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt's own placeholders
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v suite="$suite" '$2 == suite { print $1; exit }')
[ -n "$mirror" ] || fail "this machine's apt sources name no mirror of $suite"
say "making a Debian root ($suite)"
base=$work/base
quietly debootstrap debootstrap --variant=minbase "$suite" "$base" "$mirror"
# Without documentation and translations, now and for packages to come, as in Debian's slim images.
for place in doc info locale man; do
  find "$base/usr/share/$place" -mindepth 1 ! -type d ! -name copyright -delete
  echo "path-exclude=/usr/share/$place/*"
done >"$base/etc/dpkg/dpkg.cfg.d/slim"
echo "path-include=/usr/share/doc/*/copyright" >>"$base/etc/dpkg/dpkg.cfg.d/slim"
rm -f "$base"/etc/apt/sources.list
cp -rL /etc/apt/sources.list* "$base/etc/apt/"
cp -rL /etc/apt/keyrings "$base/etc/apt/" 2>/dev/null || true
cp -L /usr/share/keyrings/*.gpg "$base/usr/share/keyrings/" 2>/dev/null || true
apt-config dump | grep -E '^(Acquire::(Check-|http|https|Retries)|APT::Install-)' >"$base/etc/apt/apt.conf.d/99as-this-machine" || true
if [ -f /etc/pip.conf ]; then cp -L /etc/pip.conf "$base/etc/pip.conf"; fi
# The authorities that this machine trusts, where the package ca-certificates does not write.
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/machine.pem"
changes=(--change "ENV PIP_CERT=/etc/ssl/machine.pem")
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!name:-}" ]; then changes+=(--change "ENV $name=${!name}"); fi
done
tar -C "$base" --exclude=./var/cache/apt/archives/\*.deb --exclude=./var/lib/apt/lists/\* --one-file-system -c . |
  docker import "${changes[@]}" - guard-test-base >/dev/null
rm -rf --one-file-system "$base"
size() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1e6 }'; }

# ---- the image

say "building the image"
context=$work/context
mkdir "$context"
git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | tar -c --null --files-from - | tar -xC "$context"
install -D -m 0755 "$kustomize" "$context/build/kustomize"
install -D -m 0755 "$helm" "$context/build/helm"
install -D -m 0755 "$sops" "$context/build/sops"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")
quietly build docker build --network host --build-arg BASE_IMAGE=guard-test-base --build-arg "VERSION=$version" --tag "gitops-guard:$version" "$context"
say "built gitops-guard:$version: $(size "gitops-guard:$version"), of which the base $(size guard-test-base)"

# ---- what is in it

image() { docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges "$@"; }
inside() { image --entrypoint sh "gitops-guard:$version" -euc "$1"; }
expect() { # expect WHAT WANTED GOT
  [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
  say "ok: $1: ${3:-none}"
}
expect "the version" "guard, version $version" "$(image "gitops-guard:$version" --version)"
# shellcheck disable=SC2016 # the shell inside expands it
expect "its user" "65532 65532" "$(inside 'echo "$(id -u) $(id -g)"')"
expect "git" "git version" "$(inside 'git --version | cut -d" " -f1-2')"
# It refuses to run for a user without a name.
expect "ssh" "hostname git.example.com" "$(inside 'ssh -F /dev/null -G git.example.com | grep ^hostname')"
expect "kustomize" "$("$kustomize" version)" "$(inside 'kustomize version')"
expect "helm" "$("$helm" version --short)" "$(inside 'helm version --short')"
expect "sops" "$("$sops" --disable-version-check --version)" "$(inside 'sops --disable-version-check --version')"
# What Kustomize needs of decrypted values is put together there.
expect "what its user can write to in memory" "tmpfs" "$(inside 'rmdir "$(mktemp -d /dev/shm/test.XXXXXX)" && stat -f -c %T /dev/shm')"
expect "files that its user could change outside the data folder" "" \
  "$(inside 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /run/lock -o -path /var/lib/guard \) -prune -o ! -type l -writable -print 2>/dev/null')"
expect "files that run as another user" "" "$(inside 'find / -xdev -path /proc -prune -o -type f -perm /6000 -print 2>/dev/null')"
# shellcheck disable=SC2016 # the shell inside expands it
expect "pip, compilers" "" "$(inside 'for name in pip pip3 gcc cc make; do command -v $name || true; done')"
expect "the help of guard run" "--webhook-url" "$(image "gitops-guard:$version" run --help | grep -o -- --webhook-url)"

# ---- Guard at work

say "running it against a control plane"
DOCKER_HOST="unix://$work/docker.sock" DOCKER_CONFIG="$work/config" "$python" -m tests.image.exercise "gitops-guard:$version"
say "all is well"
