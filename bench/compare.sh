#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compare.sh - runs rill-echo and uring-echo in turns and sets their figures side by side.
#
# What the figures are: requests per second as the load generator counted them,
# and the CPU time that the server took per request, from /proc/PID/schedstat.
# The second one repeats better, because the first also depends on the load
# generator. Medians of several rounds, in which the servers alternate.
set -u
export LC_ALL=C

usage() {
    cat <<'END'
Usage: bench/compare.sh BIN_DIR [OPTION]...
Runs BIN_DIR/rill-echo and BIN_DIR/uring-echo in turns under the load of
BIN_DIR/rill-ping, and prints a table.

  --rounds N                  rounds per workload [5]
  --seconds T                 seconds per run [2]
  --wait sleep|adaptive|spin  how both servers wait [sleep]
  --quick                     3 rounds of half a second, without the largest
                              workloads: to see that it works
  --json                      print one JSON object instead of the table
END
}

fail() {
    echo "compare.sh: $*" >&2
    exit 1
}

wrong() {
    echo "compare.sh: $*" >&2
    exit 2
}

bin=
rounds=5
seconds=2
policy='sleep'
json=no
repeats_max=2
# connections, bytes of a message, messages in flight per connection
workloads=("1 64 1" "50 64 1" "1000 64 1" "50 64 16" "50 16384 1")

while (($# > 0)); do
    case $1 in
    --rounds | --seconds | --wait)
        (($# > 1)) || wrong "$1: the value is missing"
        ;;&
    --rounds)
        [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || wrong "--rounds $2: want a number from 1 to 9999"
        rounds=$2
        shift
        ;;
    --seconds)
        [[ $2 =~ ^[0-9]+([.][0-9]+)?$ && $2 =~ [1-9] ]] ||
            wrong "--seconds $2: want a number of seconds, such as 2 or 0.5"
        seconds=$2
        shift
        ;;
    --wait)
        [[ $2 =~ ^(sleep|adaptive|spin)$ ]] || wrong "--wait $2: want sleep, adaptive or spin"
        policy=$2
        shift
        ;;
    --quick)
        rounds=3
        seconds=0.5
        repeats_max=0
        workloads=("1 64 1" "50 64 1" "50 64 16")
        ;;
    --json) json=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    -*) wrong "$1: unknown option, --help lists all" ;;
    *)
        [[ -z $bin ]] || wrong "$1: one argument too many: want one BIN_DIR"
        bin=$1
        ;;
    esac
    shift
done
[[ -n $bin ]] || wrong "BIN_DIR is missing: the directory of the built programs, such as build/bin"

for program in rill-echo rill-ping uring-echo; do
    [[ -x $bin/$program ]] || fail "$bin/$program is not there: build the programs first"
done
[[ -r /proc/self/schedstat ]] || fail "this kernel has no /proc/PID/schedstat, which tells CPU time"
ulimit -n "$(ulimit -Hn)" 2>/dev/null

# ---- Where and how they run ----

# bbr, the default of some machines, paces even loopback traffic by timers.
congestion=reno
grep -qw cubic /proc/sys/net/ipv4/tcp_available_congestion_control 2>/dev/null && congestion=cubic

# Prints a program's option for the congestion control, if it has one.
congestion_option() {
    "$bin/$1" --help 2>/dev/null | grep -q -e '--congestion' && echo "--congestion $congestion"
}
read -ra congestion_rill <<<"$(congestion_option rill-echo)"
read -ra congestion_uring <<<"$(congestion_option uring-echo)"
read -ra congestion_ping <<<"$(congestion_option rill-ping)"

# The processors that this shell may use: the first for the load, the last for
# the server.
mapfile -t processors < <(awk '/^Cpus_allowed_list:/ {
    count = split($2, ranges, ",")
    for (i = 1; i <= count; i++) {
        ends = split(ranges[i], range, "-")
        for (processor = range[1]; processor <= range[ends]; processor++)
            print processor + 0
    }
}' /proc/self/status)
pin_load=()
pin_server=()
placement="not pinned"
if ((${#processors[@]} > 1)) && command -v taskset >/dev/null; then
    pin_load=(taskset -c "${processors[0]}")
    pin_server=(taskset -c "${processors[-1]}")
    placement="server on processor ${processors[-1]}, load on processor ${processors[0]}"
fi

directory=$(mktemp -d) || fail "no directory for temporary files"
server=

finish() {
    [[ -n $server ]] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- One run ----

# Starts a server; sets server to its process and url to its address.
start_server() {
    local name=$1 command
    case $name in
    rill-echo) command=("$bin/rill-echo" tcp://127.0.0.1:0 "${congestion_rill[@]}") ;;
    *) command=("$bin/uring-echo" --listen 127.0.0.1:0 "${congestion_uring[@]}") ;;
    esac
    # Emptied here, so that what the last server wrote is not taken for its own.
    : >"$directory/server.out"
    "${pin_server[@]}" "${command[@]}" --wait "$policy" \
        >"$directory/server.out" 2>"$directory/server.err" &
    server=$!
    for ((i = 0; i < 500; i++)); do
        url=$(awk '/^listening on / { print $3; exit }' "$directory/server.out")
        [[ -n $url ]] && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.01
    done
    fail "$name did not begin to listen: $(head -n 1 "$directory/server.err")"
}

stop_server() {
    local name=$1 status=0
    kill "$server" 2>/dev/null
    wait "$server" || status=$?
    server=
    ((status == 0)) || fail "$name ended with status $status: $(head -n 1 "$directory/server.err")"
}

# Prints the CPU time of all threads of a process, in nanoseconds.
cpu_ns() {
    cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# Prints the ticks that all processors were busy, and those that the host stole.
machine_ticks() {
    awk '/^cpu / { print $2 + $3 + $4 + $7 + $8, $9; exit }' /proc/stat
}

# Sets children to the CPU time of all children that have ended, in seconds.
# times has to run in this shell, because a subshell has children of its own.
count_children() {
    times >"$directory/times"
    children=$(awk 'NR == 2 {
        split($0, part, /[ms ]+/)
        print part[1] * 60 + part[2] + part[3] * 60 + part[4]
    }' "$directory/times")
}

# Prints a number of the load generator's JSON by its key.
value() {
    sed -n "s/.*\"$1\": *\\(-\\{0,1\\}[0-9][0-9.eE+-]*\\).*/\\1/p" "$directory/ping.out"
}

hertz=$(getconf CLK_TCK)

# Runs the load against one server and appends to results:
#     workload server requests/s CPU-ns/request p50 p99
# Returns 1 when others took the processors meanwhile.
run() {
    local workload=$1 name=$2 connections size depth
    local cpu_before cpu_after ticks_before ticks_after load_before load_after
    local begin end requests errors
    read -r connections size depth <<<"${workloads[workload]}"

    start_server "$name"
    cpu_before=$(cpu_ns "$server")
    count_children
    load_before=$children
    ticks_before=$(machine_ticks)
    begin=$EPOCHREALTIME
    "${pin_load[@]}" "$bin/rill-ping" "$url" --connections "$connections" --size "$size" \
        --depth "$depth" --seconds "$seconds" --json "${congestion_ping[@]}" \
        >"$directory/ping.out" 2>"$directory/ping.err" ||
        fail "rill-ping against $name failed: $(head -n 1 "$directory/ping.err")"
    end=$EPOCHREALTIME
    ticks_after=$(machine_ticks)
    count_children
    load_after=$children
    cpu_after=$(cpu_ns "$server")
    stop_server "$name"

    requests=$(value requests)
    errors=$(value errors)
    [[ -n $requests && $requests != 0 ]] || fail "rill-ping against $name made no requests"
    [[ ${errors:-0} == 0 ]] || fail "rill-ping against $name had $errors errors"
    echo "$workload $name $(value requests_per_second)" \
        "$(awk -v before="$cpu_before" -v after="$cpu_after" -v requests="$requests" \
            'BEGIN { printf "%.1f", (after - before) / requests }')" \
        "$(value p50) $(value p99)" >"$directory/result"

    awk -v ticks="$ticks_before $ticks_after" -v server_ns="$cpu_before $cpu_after" \
        -v load="$load_before $load_after" -v clock="$begin $end" -v hertz="$hertz" 'BEGIN {
        split(ticks, tick); split(server_ns, ns); split(load, second); split(clock, time)
        own = (ns[2] - ns[1]) / 1e9 + second[2] - second[1]
        others = (tick[3] - tick[1] + tick[4] - tick[2]) / hertz - own
        exit others > 0.15 * (time[2] - time[1])
    }'
}

# ---- All runs ----

: >"$directory/results"
disturbed=0
repeated=0
for ((workload = 0; workload < ${#workloads[@]}; workload++)); do
    for ((round = 1; round <= rounds; round++)); do
        for name in rill-echo uring-echo; do
            [[ -t 2 ]] && printf '\r%s: round %d of %d, %-12s' "${workloads[workload]}" \
                "$round" "$rounds" "$name" >&2
            for ((repeat = 0; ; repeat++)); do
                run "$workload" "$name" && break
                if ((repeat >= repeats_max)); then
                    disturbed=$((disturbed + 1))
                    break
                fi
                repeated=$((repeated + 1))
            done
            cat "$directory/result" >>"$directory/results"
        done
    done
done
[[ -t 2 ]] && printf '\r%60s\r' '' >&2

printf '%s\n' "${workloads[@]}" >"$directory/workloads"
awk -v json="$json" -v rounds="$rounds" -v seconds="$seconds" -v policy="$policy" \
    -v congestion="$congestion" -v placement="$placement" -v kernel="$(uname -r)" \
    -v processors="${#processors[@]}" -v disturbed="$disturbed" -v repeated="$repeated" \
    -v unset="$([[ ${#congestion_rill[@]} -gt 0 ]] || echo rill-echo)" '
    # Sorts the values of one workload, server and column; the median is the
    # mean of the middle two where their number is even.
    function order(workload, name, column,    i, j, kept) {
        count = 0
        for (i = 1; i <= runs; i++)
            if (of[i] == workload && by[i] == name)
                sorted[++count] = figure[i, column]
        for (i = 2; i <= count; i++) {
            kept = sorted[i]
            for (j = i - 1; j >= 1 && sorted[j] > kept; j--)
                sorted[j + 1] = sorted[j]
            sorted[j + 1] = kept
        }
        low = sorted[1]
        high = sorted[count]
        return (sorted[int((count + 1) / 2)] + sorted[int(count / 2) + 1]) / 2
    }
    function ratio(a, b) {
        return b > 0 ? a / b : 0
    }
    function size_text(size) {
        return size >= 1024 && size % 1024 == 0 ? size / 1024 " KiB" : size " B"
    }
    FNR == NR {
        connections[NR - 1] = $1; size[NR - 1] = $2; depth[NR - 1] = $3
        workloads = NR
        next
    }
    {
        of[++runs] = $1; by[runs] = $2
        for (i = 3; i <= 6; i++)
            figure[runs, i] = $i + 0
    }
    END {
        name["A"] = "rill-echo"; name["B"] = "uring-echo"
        if (json == "yes") {
            printf "{\"rounds\":%d,\"seconds\":%s,\"wait\":\"%s\",\"congestion\":\"%s\",",
                rounds, seconds + 0, policy, congestion
            printf "\"kernel\":\"%s\",\"processors\":%d,\"disturbed_runs\":%d,",
                kernel, processors, disturbed
            printf "\"repeated_runs\":%d,\"workloads\":[", repeated
        } else {
            printf "rill-echo (A) and uring-echo (B) in turns, %d rounds of %s s, medians\n",
                rounds, seconds
            printf "waiting: %s; congestion control: %s; %s; Linux %s, %d processor%s\n\n",
                policy, congestion, placement, kernel, processors, processors == 1 ? "" : "s"
            line = "%-26s %25s %25s %6s  %8s %8s %6s  %8s %8s  %8s %8s\n"
            printf line, "", "requests/s", "requests/s", "", "CPU ns", "per req.", "",
                "p50 us", "", "p99 us", ""
            printf line, "workload", "A (min-max)", "B (min-max)", "A/B", "A", "B", "A/B",
                "A", "B", "A", "B"
        }
        for (w = 0; w < workloads; w++) {
            for (server in name) {
                rate[server] = order(w, name[server], 3); from[server] = low; to[server] = high
                cpu[server] = order(w, name[server], 4)
                p50[server] = order(w, name[server], 5)
                p99[server] = order(w, name[server], 6)
            }
            rates = ratio(rate["A"], rate["B"]); cpus = ratio(cpu["A"], cpu["B"])
            if (json == "yes") {
                printf "%s{\"connections\":%d,\"size\":%d,\"depth\":%d",
                    w ? "," : "", connections[w], size[w], depth[w]
                for (i = 1; i <= 2; i++) {
                    server = substr("AB", i, 1)
                    printf ",\"%s\":{\"requests_per_second\":%.0f,\"min\":%.0f,\"max\":%.0f,",
                        name[server], rate[server], from[server], to[server]
                    printf "\"cpu_ns_per_request\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}",
                        cpu[server], p50[server], p99[server]
                }
                printf ",\"requests_ratio\":%.3f,\"cpu_ratio\":%.3f}", rates, cpus
                continue
            }
            text = sprintf("%d x %s", connections[w], size_text(size[w]))
            if (depth[w] > 1)
                text = text sprintf(", %d in flight", depth[w])
            printf line, text,
                sprintf("%.0f (%.0f-%.0f)", rate["A"], from["A"], to["A"]),
                sprintf("%.0f (%.0f-%.0f)", rate["B"], from["B"], to["B"]), sprintf("%.2f", rates),
                sprintf("%.0f", cpu["A"]), sprintf("%.0f", cpu["B"]), sprintf("%.2f", cpus),
                sprintf("%.1f", p50["A"]), sprintf("%.1f", p50["B"]),
                sprintf("%.1f", p99["A"]), sprintf("%.1f", p99["B"])
            summary[w] = sprintf("%s: rill-echo answers %.0f %% of the requests/s of uring-echo, " \
                "at %.2f times its CPU time per request.", text, 100 * rates, cpus)
        }
        if (json == "yes") {
            print "]}"
            exit
        }
        print ""
        for (w = 0; w < workloads; w++)
            print summary[w]
        if (unset != "")
            printf "\n%s has no --congestion: it ran with the default of this machine.\n", unset
        if (disturbed > 0)
            printf "\nOthers used the processors in %d of the %d runs: trust no figure but the " \
                "ratios of CPU time.\n", disturbed, runs
    }' "$directory/workloads" "$directory/results"
