#!/usr/bin/env bash
# certificates.sh FOLDER: an authority of our own and one certificate by it, for the scheduler, the workers and the client.
# Prints the environment that makes every dask and kexue command use them; source what is printed, on every machine.
#
#   ci/cluster/certificates.sh ~/kexue-tls > ~/kexue-tls.env && . ~/kexue-tls.env
#
# Dask asks of both ends a certificate by this authority, and of none a name: whoever holds key.pem may run code as you.
# The authority's own key is thrown away: for new certificates, make new ones for all.
set -euo pipefail

days=${KEXUE_TLS_DAYS:-90}
umask 077
mkdir -p "${1:?usage: certificates.sh FOLDER}"
folder=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" -subj /CN=kexue-authority \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
  -keyout "$work/authority-key.pem" -out "$folder/authority.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=kexue \
  -keyout "$folder/key.pem" -out "$work/request.pem" 2>/dev/null
openssl x509 -req -in "$work/request.pem" -CA "$folder/authority.pem" -CAkey "$work/authority-key.pem" -CAcreateserial \
  -days "$days" -out "$folder/certificate.pem" 2>/dev/null

prefix=DASK_DISTRIBUTED__COMM
echo "export ${prefix}__REQUIRE_ENCRYPTION=true"
printf 'export %s__TLS__CA_FILE=%q\n' "$prefix" "$folder/authority.pem"
for role in SCHEDULER WORKER CLIENT; do
  printf 'export %s__TLS__%s__CERT=%q\n' "$prefix" "$role" "$folder/certificate.pem"
  printf 'export %s__TLS__%s__KEY=%q\n' "$prefix" "$role" "$folder/key.pem"
done
