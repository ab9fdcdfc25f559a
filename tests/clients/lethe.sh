#!/usr/bin/env bash
# The server of the client stories: everything that depends on Lethe's command line and configuration.
#
#   lethe.sh configure DIR PORT   writes DIR/lethe.toml
#   lethe.sh start DIR            starts the server and returns when it answers
#   lethe.sh kill DIR             ends it with SIGKILL
#   lethe.sh backup DIR           makes a backup of the running server
#   lethe.sh restore DIR          puts that backup in place of what the server, which is down, has
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
LETHE_BIN=${LETHE_BIN:-${CARGO_TARGET_DIR:-$HOME/.cache/lethe/target}/ci/lethe}
dir=$2

configure() {
  cat > "$dir/lethe.toml" <<EOF
[server]
listen = ["127.0.0.1:$1"]

[storage]
data = "$dir/data"
keys = "$dir/keys"

[registration]
mode = "token"
tokens_file = "$dir/tokens"

[limits]
burst = 10000
per_second = 1000

[log]
level = "debug"
EOF
  echo story > "$dir/tokens"
  echo "http://127.0.0.1:$1" > "$dir/url"
}

start() {
  cd "$dir"
  nohup "$LETHE_BIN" --config "$dir/lethe.toml" serve >> "$dir/lethe.log" 2>&1 < /dev/null &
  echo $! > "$dir/pid"
  local answer_by=$((SECONDS + 30))
  until curl --silent --fail --max-time 2 --output /dev/null "$(cat "$dir/url")/_matrix/client/versions"; do
    if ! kill -0 "$(cat "$dir/pid")" 2> /dev/null || ((SECONDS > answer_by)); then
      echo "$here/lethe.sh: the server does not answer; its log ends:" >&2
      tail -n 20 "$dir/lethe.log" >&2
      exit 1
    fi
    sleep 0.02
  done
}

backup() {
  rm -rf "$dir/backup" "$dir/backup.keys"
  "$LETHE_BIN" --config "$dir/lethe.toml" backup --data "$dir/backup" --keys "$dir/backup.keys"
}

restore() {
  rm -rf "$dir/data" "$dir/keys"
  "$LETHE_BIN" --config "$dir/lethe.toml" restore --data "$dir/backup" --keys "$dir/backup.keys" \
    --into "$dir/data" --keys-into "$dir/keys"
}

case $1 in
  configure) configure "$3" ;;
  start) start ;;
  kill) kill -KILL "$(cat "$dir/pid")" 2> /dev/null || true ;;
  backup) backup ;;
  restore) restore ;;
  *) echo "lethe.sh configure|start|kill|backup|restore DIR [PORT]" >&2; exit 2 ;;
esac
