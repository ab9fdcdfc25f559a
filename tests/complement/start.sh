#!/bin/sh
# Starts Lethe for Complement. SERVER_NAME is its name; /complement/ca, when it is there, signs its certificate.
# Without a container: COMPLEMENT_DIR holds what is /complement in one, LISTEN_ADDRESS is an address of its own.
set -eu
dir=${COMPLEMENT_DIR:-/complement}
address=${LISTEN_ADDRESS:-0.0.0.0}

export LETHE_SERVER__NAME="$SERVER_NAME"
export LETHE_SERVER__LISTEN="[\"$address:8008\"]"
export LETHE_STORAGE__DATA="$dir/data"

if [ -e "$dir/ca/ca.key" ]; then
  if [ ! -e "$dir/tls.crt" ]; then
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$SERVER_NAME" \
      -keyout "$dir/tls.key" -out "$dir/tls.csr" 2>/dev/null
    echo "subjectAltName=DNS:$SERVER_NAME" > "$dir/tls.ext"
    openssl x509 -req -in "$dir/tls.csr" -CA "$dir/ca/ca.crt" -CAkey "$dir/ca/ca.key" -set_serial 1 -days 365 \
      -extfile "$dir/tls.ext" -out "$dir/tls.new" 2>/dev/null
    mv "$dir/tls.new" "$dir/tls.crt"
  fi
  export LETHE_SERVER__LISTEN_TLS="[\"$address:8448\"]"
  export LETHE_SERVER__TLS_CERTIFICATE="$dir/tls.crt" LETHE_SERVER__TLS_KEY="$dir/tls.key"
fi

exec "${LETHE_BIN:-lethe}" serve --config "${LETHE_CONFIG:-$dir/lethe.toml}"
