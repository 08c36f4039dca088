#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - shows in some twenty seconds what rill does: an echo server under several kinds
# of load, over TCP and, where it was built with UCX, the same over rdma://.
set -u
export LC_ALL=C

fail() {
    echo "demo: $*" >&2
    exit 1
}

if (($# != 1)) || [[ $1 == -* ]]; then
    echo "Usage: bench/demo.sh BIN_DIR" >&2
    echo "Runs BIN_DIR/rill-echo under the load of BIN_DIR/rill-ping and prints a table." >&2
    exit 2
fi
bin=$1
for program in rill-echo rill-ping; do
    [[ -x $bin/$program ]] || fail "$bin/$program is not there: build the programs first"
done

directory=$(mktemp -d) || fail "no directory for temporary files"
server=

finish() {
    [[ -n $server ]] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# bbr, the default of some machines, paces even loopback traffic by timers.
congestion=reno
grep -qw cubic /proc/sys/net/ipv4/tcp_available_congestion_control 2>/dev/null && congestion=cubic

# Prints an option with its value, if the program has it.
option() {
    "$bin/$1" --help 2>/dev/null | grep -q -e "$2" && echo "$2 $3"
}
read -ra congestion_echo <<<"$(option rill-echo --congestion "$congestion")"
read -ra congestion_ping <<<"$(option rill-ping --congestion "$congestion")"

# Side by side: where both threads share a processor, each waits for the other to
# sleep. The processors are the first and the last that this shell may use.
processors=$(nproc)
pin_server=()
pin_load=()
where=
if ((processors > 1)) && command -v taskset >/dev/null; then
    allowed=$(awk '/^Cpus_allowed_list:/ { print $2 }' /proc/self/status)
    pin_server=(taskset -c "${allowed##*[,-]}")
    pin_load=(taskset -c "${allowed%%[,-]*}")
    where=", each on its own"
fi

# Where the client has no device for RDMA, UCX takes the loopback.
export UCX_NET_DEVICES=${UCX_NET_DEVICES-$([[ -d /sys/class/infiniband ]] && echo all || echo lo)}

# Starts the server at a URL with so waiting and further options; sets server to its
# process and url to its address.
start_server() {
    # Emptied here, so that what the last server wrote is not taken for its own.
    : >"$directory/server.out"
    "${pin_server[@]}" "$bin/rill-echo" "$1" --wait "$2" "${@:3}" \
        >"$directory/server.out" 2>"$directory/server.err" &
    server=$!
    for ((i = 0; i < 500; i++)); do
        url=$(awk '/^listening on / { print $3; exit }' "$directory/server.out")
        [[ -n $url ]] && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.01
    done
    fail "rill-echo did not begin to listen: $(head -n 1 "$directory/server.err")"
}

stop_server() {
    local status=0
    kill "$server" 2>/dev/null
    wait "$server" || status=$?
    server=
    ((status == 0)) ||
        fail "rill-echo ended with status $status: $(head -n 1 "$directory/server.err")"
}

# Prints a number of the load generator's JSON by its key.
value() {
    sed -n "s/.*\"$1\": *\\(-\\{0,1\\}[0-9][0-9.eE+-]*\\).*/\\1/p" "$directory/ping.out"
}

# Runs one scenario and prints its line: what it goes over, a text, and how to wait,
# connections, bytes of a message, messages in flight.
scenario() {
    local over=$1 text=$2 policy=$3 connections=$4 size=$5 depth=$6
    local wait_ping address=rdma://127.0.0.1:0 options_echo=() options_ping=()

    case $over in
    tcp)
        address=tcp://127.0.0.1:0
        options_echo=("${congestion_echo[@]}")
        options_ping=("${congestion_ping[@]}")
        ;;
    shm)
        options_echo=(--shared-memory)
        options_ping=(--shared-memory)
        ;;
    esac

    read -ra wait_ping <<<"$(option rill-ping --wait "$policy")"
    start_server "$address" "$policy" "${options_echo[@]}"
    "${pin_load[@]}" "$bin/rill-ping" "$url" --connections "$connections" --size "$size" \
        --depth "$depth" --seconds 2 --json "${wait_ping[@]}" "${options_ping[@]}" \
        >"$directory/ping.out" 2>"$directory/ping.err" ||
        fail "$text: rill-ping failed: $(head -n 1 "$directory/ping.err")"
    stop_server

    [[ $(value requests) =~ [1-9] ]] || fail "$text: no request was answered"
    [[ $(value errors) =~ ^0*$ ]] || fail "$text: $(value errors) requests failed"
    awk -v text="$text" -v rate="$(value requests_per_second)" \
        -v megabytes="$(value megabytes_per_second)" -v p50="$(value p50)" \
        -v p99="$(value p99)" -v p999="$(value p999)" '
        # Writes a number of requests with a comma before each three digits.
        function grouped(number,    digits) {
            digits = sprintf("%.0f", number)
            for (number = ""; length(digits) > 3; digits = substr(digits, 1, length(digits) - 3))
                number = "," substr(digits, length(digits) - 2) number
            return digits number
        }
        function latency(us) {
            return us < 1000 ? sprintf("%.1f us", us) : sprintf("%.2f ms", us / 1000)
        }
        BEGIN {
            printf "  %-38s %11s %10.1f %10s %10s %10s\n", text, grouped(rate), megabytes,
                latency(p50), latency(p99), latency(p999)
        }'
}

# The same load over all that there is.
side_by_side() {
    echo
    echo "$1"
    scenario tcp "  tcp://" "${@:2}"
    if [[ $has_rdma ]]; then
        scenario rdma "  rdma://, UCX over $device" "${@:2}"
        scenario shm "  rdma://, UCX over shared memory" "${@:2}"
    fi
}

# With UCX it is the option that does not go with the URL, without it the URL.
has_rdma=
[[ $("$bin/rill-ping" --churn rdma://127.0.0.1:1 2>&1) == *"not built in"* ]] || has_rdma=1
device=TCP
[[ -d /sys/class/infiniband ]] && device="RDMA or TCP"

echo "rill: an echo server (rill-echo) and its load generator (rill-ping)"
echo
printf '  %-38s %11s %10s %10s %10s %10s\n' "scenario" requests/s MB/s p50 p99 p99.9
side_by_side "1 connection, 64 B" sleep 1 64 1
side_by_side "50 connections, 64 B" sleep 50 64 1
side_by_side "50 connections, 16 KiB" sleep 50 16384 1
if ((processors > 1)); then
    side_by_side "1 connection, 64 B, adaptive waiting" adaptive 1 64 1
else
    echo "  (adaptive waiting is off where there is one processor)"
fi
[[ $has_rdma ]] || echo "  (rdma:// is not built in: package libucx-dev)"
echo
plural=s
((processors == 1)) && plural=
cat <<END
Measured on this machine (TCP: $congestion), 2 seconds each, with one thread for the server and
one for the load, on $processors processor$plural$where, Linux $(uname -r).
A latency is the time from sending a message until all of it is back; adaptive waiting
looks out for up to 50 us before it sleeps.
END
