#!/usr/bin/env bash
# ssh.sh HOST[:GPUS]… -- COMMAND: runs `kexue COMMAND` on machines that you can ssh to.
#
#   ci/cluster/ssh.sh alice@one:2 alice@two:4 three -- run --profile full --seeds 5
#
# One Dask worker for each GPU of a host, each of which sees that GPU only; one worker for a host without any.
# The scheduler and all workers listen on loopback alone and meet through the ssh connections, so that no port is open to the
# network and ssh does the encryption. (Other users of the same machines can reach loopback: with such, add TLS.)
#
#   KEXUE_PYTHON        the interpreter of the installed environment on the hosts (python3)
#   KEXUE_GPU_MEMORY    GiB of each GPU, for chapters that say how much they need
#   KEXUE_PORT          the scheduler's port; workers take those after it (8786)
#   OMP_NUM_THREADS     threads of a run (1)
set -euo pipefail

python=${KEXUE_PYTHON:-python3}
port=${KEXUE_PORT:-8786}
address="127.0.0.1:$port"
hosts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  hosts+=("$1")
  shift
done
if [ "${#hosts[@]}" = 0 ] || [ $# -lt 2 ]; then
  echo "usage: ssh.sh HOST[:GPUS]… -- COMMAND" >&2
  exit 2
fi
shift

started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait' EXIT
# --no-dashboard would leave a web server on all interfaces; an address of its own does not.
dask scheduler --host 127.0.0.1 --port "$port" --dashboard-address 127.0.0.1:0 &
started+=($!)
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  kill -0 "${started[0]}" # if the scheduler has ended, so do we
  sleep 0.2
done

last=$port
for host in "${hosts[@]}"; do
  gpus=0
  [[ $host != *:* ]] || gpus=${host##*:}
  forward=(-R "$address:$address")
  commands="export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}"
  for ((gpu = 0; gpu < (gpus > 0 ? gpus : 1); gpu++)); do
    last=$((last + 1))
    forward+=(-L "127.0.0.1:$last:127.0.0.1:$last")
    worker="$python -m distributed.cli.dask_worker tcp://$address --host 127.0.0.1 --worker-port $last --nthreads 1"
    worker+=" --dashboard-address 127.0.0.1:0 --death-timeout 60"
    if [ "$gpus" -gt 0 ]; then
      worker="CUDA_VISIBLE_DEVICES=$gpu $worker --resources 'GPU=1${KEXUE_GPU_MEMORY:+ GPU_MEMORY=$KEXUE_GPU_MEMORY}'"
    fi
    commands+=$'\n'"$worker &"
  done
  ssh -o BatchMode=yes -o ExitOnForwardFailure=yes -o ServerAliveInterval=30 "${forward[@]}" "${host%:*}" \
    "$commands"$'\nwait' </dev/null &
  started+=($!)
done

kexue "$@" --cluster "tcp://$address"
