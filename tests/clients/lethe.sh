#!/usr/bin/env bash
# The server of the client stories: everything that depends on Lethe's command line and configuration.
#
#   lethe.sh configure DIR PORT   writes DIR/lethe.toml
#   lethe.sh start DIR            starts the server and returns when it answers
#   lethe.sh kill DIR             ends it with SIGKILL
#   lethe.sh backup DIR           makes a backup of the running server
#   lethe.sh restore DIR          puts that backup in place of what the server, which is down, has
#   lethe.sh clock DIR DAYS       sets the server's clock, and no other, that many days ahead, whether it runs or not; a
#                                 server whose clock is to be set while it runs has it set, to 0, before it starts
#   lethe.sh confirm DIR          says that the clock is right, and returns when nothing that has expired is left
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
  local clock=()
  if [ -e "$dir/clock" ]; then
    # The monotonic clock and the times of files stay as they are. The file is read whenever somebody asks for the time.
    clock=(env LD_PRELOAD="$(faketime)" FAKETIME_TIMESTAMP_FILE="$dir/clock" FAKETIME_NO_CACHE=1
      FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1)
  fi
  nohup "${clock[@]}" "$LETHE_BIN" --config "$dir/lethe.toml" serve >> "$dir/lethe.log" 2>&1 < /dev/null &
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

faketime() {
  local library=(/usr/lib/*/faketime/libfaketimeMT.so.1)
  [ -e "${library[0]}" ] || { echo "lethe.sh: libfaketime is not installed" >&2; exit 1; }
  echo "${library[0]}"
}

clock() {
  echo "+$1d" > "$dir/clock.new"
  mv "$dir/clock.new" "$dir/clock"
}

confirm() {
  "$LETHE_BIN" --config "$dir/lethe.toml" retention confirm-clock > /dev/null
  local state destroyed_by=$((SECONDS + 120))
  until
    state=$("$LETHE_BIN" --config "$dir/lethe.toml" --json retention state)
    grep -q '"clock_trusted":true' <<< "$state" && grep -q '"gone":0' <<< "$state"
  do
    if ((SECONDS > destroyed_by)); then
      echo "lethe.sh: what has expired is not gone: $state" >&2
      exit 1
    fi
    sleep 0.1
  done
}

case $1 in
  configure) configure "$3" ;;
  start) start ;;
  kill) kill -KILL "$(cat "$dir/pid")" 2> /dev/null || true ;;
  backup) backup ;;
  restore) restore ;;
  clock) clock "$3" ;;
  confirm) confirm ;;
  *) echo "lethe.sh configure|start|kill|backup|restore|clock|confirm DIR [PORT|DAYS]" >&2; exit 2 ;;
esac
