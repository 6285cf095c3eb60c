#!/bin/sh
# Mean survival by treatment arm, computed on ciphertext. Run it beside a runtime: GLOVEBOX_DATA names its folder.
# The hospital makes a key, encrypts survival times on its own machine, and starts the decryptor, the only process that has
# the secret key; the consumer asks; the runtime adds numbers that it cannot read.
set -eu
cd "$(dirname -- "$0")/../.."
consumer=${1:-acme}
folder=$(mktemp -d)
: >"$folder/decryptor.out"
hospital() { GLOVEBOX_CREDENTIAL='' ./glovebox "$@"; }

hospital key generate --for survival --out "$folder"
hospital dataset add survival --encrypt time --from examples/data/clinical/colon.csv --unit id --bounds time=0:4000 \
  --group rx --groups Obs Lev Lev+5FU --programs sum,mean,groupSums --key "$folder/survival.secret.json"
hospital policy attach examples/homomorphic/policy.yaml

GLOVEBOX_CREDENTIAL='' ./glovebox decryptor --key "$folder/survival.secret.json" --data "$folder/decryptor" \
  --listen 127.0.0.1:0 --consumer "$consumer" --json >"$folder/decryptor.out" 2>"$folder/decryptor.log" &
decryptor=$!
trap 'kill "$decryptor" 2>/dev/null; rm -rf "$folder"' EXIT
until grep -q listening "$folder/decryptor.out"; do
  kill -0 "$decryptor" || { cat "$folder/decryptor.log"; exit 3; }
  sleep 0.2
done
address=$(sed -n 's/.*"listening": *"\([^"]*\)".*/\1/p' "$folder/decryptor.out")
hospital dataset decryptor survival --at "$address" --certificate "$folder/decryptor/decryptor.pem"
agreement=$(hospital agreement offer --dataset survival --to "$consumer" --json | sed -n 's/.*"id": *"\(agr-[^"]*\)".*/\1/p' | head -1)

./glovebox agreement accept "$agreement"
./glovebox job run --program examples/homomorphic/mean-survival.yaml --agreement "$agreement"
# The decryptor ends with this script, so the agreement is of no more use.
./glovebox agreement terminate "$agreement" --note 'end of the example'
