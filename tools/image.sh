#!/usr/bin/env bash
# Builds the image, starts the Lethe of compose.yaml from it, logs in, and prints the image's size and the time a start
# takes: `make image`.
#
# The ordinary way is the Dockerfile's: everything is built in a container, from images of a registry. Where no registry
# can be reached, Debian stands in for its base images (debootstrap → docker import), and the release binary is built on
# this machine, which must then be Debian 12, and copied in. LETHE_IMAGE_STANDIN=1 asks for that in any case.
set -euo pipefail
cd "$(dirname "$0")/.."

base=rust:1.95-slim-bookworm
scratch=$(mktemp -d)
project=lethe-image-$$
export SERVER_NAME=image.test MATRIX_HOST=matrix.localhost ELEMENT_HOST=chat.localhost HTTP_PORT=0 HTTPS_PORT=0

if ! docker info >/dev/null 2>&1; then
    echo "image: no container engine answers; on Debian: apt-get install docker.io docker-compose, then start dockerd" >&2
    exit 1
fi
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$project" -f compose.yaml)

cleanup() {
    "${compose[@]}" down --volumes --timeout 15 >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# An image of plain Debian 12 under the name $1, with the packages named after it.
stand_in() {
    local name=$1
    shift
    if ! docker image inspect lethe-standin-debian >/dev/null 2>&1; then
        command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >&2
        debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/debian" >&2
        tar -C "$scratch/debian" -c . | docker import - lethe-standin-debian >&2
    fi
    if [ $# = 0 ]; then
        docker tag lethe-standin-debian "$name"
    else
        printf 'FROM lethe-standin-debian\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends %s\n%s\n' \
            "$1" "$2" | docker build -q -t "$name" - >&2
    fi
}

build_standin() {
    . tools/env.sh
    # LETHE_BINARY: a release binary that is at hand.
    local binary=${LETHE_BINARY:-}
    if [ -z "$binary" ]; then
        cargo build --locked -j2 --release --package lethe >&2
        binary=${CARGO_TARGET_DIR:-target}/release/lethe
    fi
    stand_in lethe-standin-rust
    mkdir "$scratch/context"
    cp -r Dockerfile docker "$scratch/context/"
    strip -o "$scratch/context/lethe" "$binary"
    docker build -q -t lethe:latest --build-arg RUST=lethe-standin-rust --build-arg PREBUILT=lethe "$scratch/context" >&2
}

if [ -z "${LETHE_IMAGE_STANDIN:-}" ] && { docker image inspect "$base" || timeout 120 docker pull -q "$base"; } >/dev/null 2>&1; then
    echo "image: built in a container from $base"
    docker build -t lethe:latest . >&2
else
    echo "image: no registry can be reached; plain Debian stands in, with a binary built here"
    build_standin
fi
printf 'image size: %s MiB\n' "$(docker image inspect -f '{{.Size}}' lethe:latest | awk '{printf "%.1f", $1 / 1048576}')"

"${compose[@]}" up -d --no-build lethe >&2
container=$("${compose[@]}" ps -q lethe)
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container"; }
wait_until_ready() {
    for _ in $(seq 400); do
        curl -fsS -o /dev/null "http://$(address):8008/ready" 2>/dev/null && return 0
        sleep 0.05
    done
    echo "image: the server does not become ready" >&2
    docker logs "$container" >&2
    return 1
}
wait_until_ready

password="correct horse battery staple of $project"
printf '%s\n' "$password" | docker exec -i "$container" lethe user add alice --password-stdin
login() {
    curl -fsS "$@" -H 'Content-Type: application/json' --data \
        "{\"type\":\"m.login.password\",\"identifier\":{\"type\":\"m.id.user\",\"user\":\"alice\"},\"password\":\"$password\"}"
}
login "http://$(address):8008/_matrix/client/v3/login" | grep -q '"access_token"'
echo "login: alice logged in over HTTP"

# From the moment the engine starts the process to the first answer.
docker stop -t 15 "$container" >/dev/null
before=$(date +%s%N)
docker start "$container" >/dev/null
started=$(date +%s%N)
wait_until_ready
ready=$(date +%s%N)
printf 'start: %d ms from the start of the container to the first answer (the engine takes %d ms of it)\n' \
    $(((ready - before) / 1000000)) $(((started - before) / 1000000))
login "http://$(address):8008/_matrix/client/v3/login" | grep -q '"access_token"'
echo "login: alice logged in again after the restart"

docker exec "$container" lethe health
printf 'runs as %s, root file system read-only: %s\n' \
    "$(docker inspect -f '{{.Config.User}}' "$container")" "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}}' "$container")"
docker exec "$container" lethe doctor || [ $? = 1 ]
docker stop -t 15 "$container" >/dev/null
docker logs "$container" 2>&1 | grep -q stopped
echo "stop: in order, exit code $(docker inspect -f '{{.State.ExitCode}}' "$container")"
docker start "$container" >/dev/null
wait_until_ready

# The proxy, where its image is at hand or can be stood in for.
if ! docker image inspect caddy:2 >/dev/null 2>&1 && ! timeout 120 docker pull -q caddy:2 >/dev/null 2>&1; then
    stand_in caddy:2 caddy 'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config'
fi
"${compose[@]}" up -d --no-build --no-deps proxy >&2
proxy=$("${compose[@]}" ps -q proxy)
port=$(docker port "$proxy" 443/tcp | head -n 1 | sed 's/.*://')
through() { curl -fsS -k --connect-to "matrix.localhost:443:127.0.0.1:$port" "$@"; }
for _ in $(seq 100); do
    through -o /dev/null https://matrix.localhost/_matrix/client/versions 2>/dev/null && break
    sleep 0.1
done
through https://matrix.localhost/_matrix/client/versions | grep -q '"versions"'
login -k --connect-to "matrix.localhost:443:127.0.0.1:$port" https://matrix.localhost/_matrix/client/v3/login | grep -q '"access_token"'
echo "proxy: alice logged in over HTTPS"
# What fails is what proxies like to quote.
docker stop -t 15 "$container" >/dev/null
through -o /dev/null https://matrix.localhost/_matrix/client/v3/rooms/canary 2>/dev/null && exit 1
through -o /dev/null https://matrix.localhost/_synapse/admin/v1/register 2>/dev/null && exit 1
if docker logs "$proxy" 2>&1 | grep -e canary -e '/_matrix' -e remote_ip; then
    echo "proxy: its log quotes requests" >&2
    exit 1
fi
echo "proxy: its log quotes no request, failed ones neither ($(docker logs "$proxy" 2>&1 | wc -l) lines)"
