#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vm.sh - runs a command inside a small virtual machine that has a stock
# Debian kernel and a soft-RoCE (rdma_rxe) verbs device.
#
#   tests/vm.sh [options] -- COMMAND [ARG...]    run one command
#   tests/vm.sh [options] --bins DIR             run every executable in DIR
#   tests/vm.sh [options] --prepare              only build the cache
#
# The guest sees this machine's whole file system read-only over 9p, with a
# RAM overlay on top: host-built programs run unchanged, at their own paths,
# with the host's shared libraries, and whatever they write is thrown away
# (use --rw to keep something).  stdout and stderr come back separately, and
# the exit status is the guest command's own.
#
# Options:
#   --rdma MODE    loop  (default) rxe0 on a dummy interface, 10.77.0.1;
#                        traffic turns round inside rxe
#                  wire  rxe0 on wire0 (10.77.0.1) and rxe1 on wire1
#                        (10.77.0.2), the two ends of a veth pair, kept apart
#                        by policy routing: RoCE packets cross the veth, which
#                        can be cut ("ip link set wire0 down") or made lossy
#                        (tc netem)
#                  none  no RDMA device
#   --mtu N        MTU of those interfaces (default 4200: RoCE path MTU 4096)
#   --timeout S    give up after S seconds, boot included (default 600); a
#                  machine that has not come up after 120 s is given up then
#   --memory MB    guest memory (default 2048)
#   --cpus N       guest CPUs (default: as here, at most 4)
#   --rw DIR       DIR (an existing folder) is shared writable; repeatable
#   --env N[=V]    pass an environment variable; repeatable
#   --kernel PKG   Debian kernel package (default: what linux-image-amd64 names)
#   --accel A      qemu accelerator (default tcg)
#   --cache DIR    default ${RILL_VM_CACHE:-${TMPDIR:-/tmp}/rill-vm-cache-$UID}
#   --no-install   never call apt-get; fail if something is missing
#   --console      also show the guest kernel's console, on stderr
#   -v             say on stderr how long each step took
#
# UCX: use UCX_NET_DEVICES=rxe0:1 and UCX_TLS=rc_v,self (rc_v brings the ud it
# connects with; plain rc_verbs does not) or ud_verbs,self.  UCX before 1.19
# drops every UD packet that came over an IPv4 GID of a device that is not
# mlx5: set UCX_UD_VERBS_ETH_DGID_CHECK=n (or UCX_IB_GID_INDEX=0).
#
# Exit status: the guest command's; 124 on timeout; 125 when the machine could
# not be built or booted, or died (the console's tail is then shown).
set -euo pipefail
export LC_ALL=C

die() { echo "vm: $*" >&2; exit 125; }
say() { if ((verbose)); then echo "vm: $*" >&2; fi; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'; }
usage() { sed -n '3,/^set -euo/{/^#/s/^# \{0,1\}//p}' "$0"; }

rdma=loop mtu=4200 limit=600 boot=120 memory=2048 cpus='' kernel='' accel=tcg
cache=${RILL_VM_CACHE:-${TMPDIR:-/tmp}/rill-vm-cache-$UID}
install=1 console=0 verbose=0 bins='' prepare=0
rw=() envs=()
while (($#)); do
  case $1 in
    --rdma|--mtu|--timeout|--memory|--cpus|--rw|--env|--kernel|--accel|--cache|--bins)
      (($# > 1)) || die "$1 wants a value" ;;&
    --rdma) rdma=$2; shift 2 ;;
    --mtu) mtu=$2; shift 2 ;;
    --timeout) limit=$2; shift 2 ;;
    --memory) memory=$2; shift 2 ;;
    --cpus) cpus=$2; shift 2 ;;
    --rw) dir=$(cd "$2" 2>/dev/null && pwd -P) || die "--rw $2: no such folder"; rw+=("$dir"); shift 2 ;;
    --env) envs+=("$2"); shift 2 ;;
    --kernel) kernel=$2; shift 2 ;;
    --accel) accel=$2; shift 2 ;;
    --cache) cache=$2; shift 2 ;;
    --bins) bins=$(cd "$2" 2>/dev/null && pwd -P) || die "--bins $2: no such folder"; shift 2 ;;
    --prepare) prepare=1; shift ;;
    --no-install) install=0; shift ;;
    --console) console=1; shift ;;
    -v) verbose=1; shift ;;
    -h|--help) usage; exit 0 ;;
    --) shift; break ;;
    *) die "unknown option $1 (try --help)" ;;
  esac
done
[[ $rdma =~ ^(loop|wire|none)$ ]] || die "--rdma $rdma: want loop, wire or none"
[[ $mtu$limit$memory$cpus =~ ^[0-9]+$ ]] || die "--mtu, --timeout, --memory and --cpus want numbers"
((prepare)) || [[ -n $bins ]] || (($#)) || { usage >&2; exit 125; }
[[ -n $cpus ]] || { cpus=$(nproc); ((cpus <= 4)) || cpus=4; }

# ---------------------------------------------------------------- packages --
need=()
have() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -q '^installed'; }
for p in qemu-system-x86 busybox-static cpio kmod xz-utils zstd iproute2 ibverbs-providers ibverbs-utils; do
  have "$p" || need+=("$p")
done
as_root() { if ((EUID)); then sudo -n "$@"; else "$@"; fi; }
if ((${#need[@]})); then
  ((install)) || die "missing packages: ${need[*]}"
  t=$(now)
  { as_root apt-get update -q &&
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${need[@]}"; } >&2 ||
    die "apt-get could not install ${need[*]}"
  say "packages: $(since "$t")"
fi
PATH=$PATH:/usr/sbin:/sbin

# ------------------------------------------------------------------ kernel --
mkdir -p "$cache"
cache=$(cd "$cache" && pwd -P)
exec 9>"$cache/lock"
flock 9
if [[ -z $kernel && -s $cache/default-kernel ]]; then
  kernel=$(<"$cache/default-kernel")
elif [[ -z $kernel ]]; then
  kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  [[ -n $kernel ]] || die "linux-image-amd64 names no kernel; run apt-get update"
  echo "$kernel" >"$cache/default-kernel"
fi
kdir=$cache/$kernel
if [[ ! -e $kdir/ready ]]; then
  t=$(now)
  ((install)) || die "no $kernel in $cache"
  rm -rf "$kdir"
  mkdir -p "$kdir/deb"
  # Only unpacked here: nothing is installed or configured on this machine.
  (cd "$kdir/deb" && apt-get download -q "$kernel" 2>/dev/null) >&2 ||
    { as_root apt-get update -q >&2; (cd "$kdir/deb" && apt-get download -q "$kernel") >&2; } ||
    die "cannot download $kernel"
  dpkg -x "$kdir"/deb/*.deb "$kdir/root"
  rm -rf "$kdir/deb"
  # Debian before and after the /usr merge of modules
  [[ -d $kdir/root/lib/modules ]] || { mkdir -p "$kdir/root/lib"; mv "$kdir/root/usr/lib/modules" "$kdir/root/lib/"; }
  ver=$(ls "$kdir/root/lib/modules")
  depmod -b "$kdir/root" "$ver"
  # An unpacked kernel starts seconds sooner: qemu can enter it directly (PVH)
  # and need not emulate its decompression.
  bz=$kdir/root/boot/vmlinuz-$ver
  cp "$bz" "$kdir/kernel"
  while read -r magic unpack; do
    at=$(grep -obUaP -m 1 "$magic" "$bz" | head -n 1 | cut -d: -f1) || true
    [[ -n $at ]] || continue
    tail -c +$((at + 1)) "$bz" | $unpack >"$kdir/elf" 2>/dev/null || true
    if [[ $(head -c 4 "$kdir/elf" | tail -c 3) == ELF ]]; then mv "$kdir/elf" "$kdir/kernel"; break; fi
  done <<'LIST'
\xFD7zXZ\x00 xz -dc
\x28\xB5\x2F\xFD zstd -dcq
LIST
  rm -f "$kdir/elf"
  echo "$ver" >"$kdir/ready"
  say "kernel $kernel: $(since "$t")"
fi
ver=$(<"$kdir/ready")

# --------------------------------------------------------------- initramfs --
# Stage 1 (busybox, from the initramfs): load the few modules that reach 9p,
# mount the host's tree read-only, lay a tmpfs over it, switch to it.
stage1=$(cat <<'GUEST'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
fail() { echo "vm: stage 1: $*"; sync; poweroff -f; }
for m in $(cat /modules/order); do insmod "/modules/$m" || fail "insmod $m"; done
mkdir -p /lower /ram
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower || fail "9p"
mount -t tmpfs -o mode=755 ram /ram
mkdir /ram/upper /ram/work /ram/root
chmod 755 /ram/upper
mount -t overlay -o lowerdir=/lower,upperdir=/ram/upper,workdir=/ram/work root /ram/root || fail "overlay"
cd /ram/root
mkdir -p proc sys dev run tmp
for d in proc sys dev; do mount --move /$d /ram/root/$d; done
mount -t tmpfs -o mode=755 run run
mkdir run/rill-vm
cp /bin/busybox /stage2 run/rill-vm/
umount -l /lower
exec switch_root /ram/root /run/rill-vm/stage2
GUEST
)
# Stage 2 (pid 1 on the host's tree): the rest of the file systems, the RDMA
# devices, the command, its exit status, power off.
stage2=$(cat <<'GUEST'
#!/bin/bash
V=/run/rill-vm
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
B=$V/busybox
port() { # the virtio-serial port called $1
  for p in /sys/class/virtio-ports/*; do
    if [ "$($B cat $p/name)" = "$1" ]; then echo /dev/${p##*/}; return; fi
  done
}
end() { # tell the host the exit status, stop the machine
  echo "end $*" >$(port rill-vm.ctl)
  $B sync
  $B poweroff -f
}
fail() { echo "vm: $*" >$(port rill-vm.err); end; }
mkdir -p /dev/shm /dev/pts /lib/modules $V/job
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t cgroup2 cgroup /sys/fs/cgroup
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
for n in 0:stdin 1:stdout 2:stderr; do
  [ -e /dev/${n#*:} ] || ln -s /proc/self/fd/${n%:*} /dev/${n#*:}
done
P=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $P,ro job $V/job || fail "no job share"
. $V/job/settings
mkdir -p /lib/modules/$($B uname -r)
mount --bind "$MODULES" /lib/modules/$($B uname -r) || fail "no modules"
i=0
while [ -e $V/job/rw$i ]; do
  mount -t 9p -o $P rw$i "$($B cat $V/job/rw$i)" || fail "cannot mount $($B cat $V/job/rw$i)"
  i=$((i + 1))
done
hostname rill-vm
printf '127.0.0.1 localhost rill-vm\n' >/etc/hosts
ip link set lo up
ulimit -n 65536
ulimit -l unlimited

case $RDMA in
  loop)
    modprobe -a dummy rdma_rxe rdma_ucm &&
    ip link add rdma0 type dummy && ip link set rdma0 mtu $MTU up &&
    ip addr add 10.77.0.1/24 dev rdma0 &&
    rdma link add rxe0 type rxe netdev rdma0 || fail "no rxe0" ;;
  wire)
    # One network namespace, because rxe in these kernels only works in the
    # first one.  Policy routing sends what leaves a given interface out of it
    # even though the other address is local too; a VRF would not do (it hides
    # the interface from rxe on receive).
    modprobe -a veth sch_netem rdma_rxe rdma_ucm &&
    ip link add wire0 type veth peer name wire1 &&
    ip rule add pref 100 lookup local && ip rule del pref 0 || fail "no veth"
    for n in 0 1; do
      sysctl -qw net.ipv4.conf.wire$n.accept_local=1 net.ipv4.conf.wire$n.rp_filter=0 &&
      ip link set wire$n mtu $MTU up &&
      ip addr add 10.77.0.$((n + 1))/24 dev wire$n &&
      ip rule add pref 10 oif wire$n lookup $((100 + n)) &&
      ip route add 10.77.0.0/24 dev wire$n table $((100 + n)) || fail "no wire$n"
    done
    for n in 0 1; do
      rdma link add rxe$n type rxe netdev wire$n || fail "no rxe$n"
    done ;;
esac
if [ "$RDMA" != none ]; then # a RoCE v2 GID for the IPv4 address, port up
  for dev in /sys/class/infiniband/*; do
    i=0
    until $B grep -q 4: $dev/ports/1/state &&
          $B grep -qi :ffff:0a4d $dev/ports/1/gids/*; do
      i=$((i + 1)); [ $i -lt 100 ] || fail "${dev##*/} does not come up"
      $B sleep 0.1
    done
  done
fi
read up rest </proc/uptime
echo "up $up" >$(port rill-vm.ctl)

mkfifo $V/o $V/e
$B cat <$V/o >$(port rill-vm.out) & o=$!
$B cat <$V/e >$(port rill-vm.err) & e=$!
$B setsid /bin/bash $V/job/command </dev/null >$V/o 2>$V/e
status=$?
# The pipes end when the command's last child does; do not wait long for that.
( $B sleep 5; kill $o $e ) 2>/dev/null & 
wait $o $e
end $status $($B awk '/MemTotal/ { t = $2 } /MemAvailable/ { a = $2 } END { print int((t - a) / 1024) }' /proc/meminfo)
GUEST
)
want=$(printf '%s\n' "$stage1" "$stage2" | sha256sum)
if [[ ! -s $kdir/initrd || $(cat "$kdir/initrd.for" 2>/dev/null) != "$want" ]]; then
  t=$(now)
  ird=$kdir/initrd.d
  rm -rf "$ird"
  mkdir -p "$ird"/{bin,modules,proc,sys,dev}
  cp "$(command -v busybox)" "$ird/bin/busybox"
  printf '%s\n' "$stage1" >"$ird/init"
  printf '%s\n' "$stage2" >"$ird/stage2"
  chmod 755 "$ird/init" "$ird/stage2"
  for m in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
    modprobe -d "$kdir/root" -S "$ver" --show-depends "$m" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' | while read -r ko; do
    cp "$ko" "$ird/modules/"
    echo "${ko##*/}" >>"$ird/modules/order"
  done
  (cd "$ird" && find . | cpio --quiet -o -H newc -R 0:0) >"$kdir/initrd.new"
  mv "$kdir/initrd.new" "$kdir/initrd"
  rm -rf "$ird"
  echo "$want" >"$kdir/initrd.for"
  say "initramfs: $(since "$t")"
fi
flock -u 9
exec 9>&-
((prepare)) && exit 0

# --------------------------------------------------------------------- job --
job=$(mktemp -d "${TMPDIR:-/tmp}/rill-vm.XXXXXX")
pids=() running=''
# shellcheck disable=SC2086,SC2317
tidy() {
  kill ${pids[@]+"${pids[@]}"} $running 2>/dev/null || true
  rm -rf "$job"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$job/share"
{
  printf 'RDMA=%q\nMTU=%q\n' "$rdma" "$mtu"
  printf 'MODULES=%q\n' "$kdir/root/lib/modules/$ver"
} >"$job/share/settings"
{
  for e in ${envs[@]+"${envs[@]}"}; do
    if [[ $e == *=* ]]; then printf 'export %s=%q\n' "${e%%=*}" "${e#*=}"
    elif [[ -v $e ]]; then printf 'export %s=%q\n' "$e" "${!e}"; fi
  done
  printf 'cd %q || exit 126\n' "$(pwd -P)"
  if [[ -n $bins ]]; then
    printf 'bins=%q\n' "$bins"
    cat <<'GUEST'
bad=0 ran=0
for f in "$bins"/*; do
  [[ -f $f && -x $f ]] || continue
  ran=$((ran + 1))
  echo "=== ${f##*/}"
  if "$f" </dev/null; then rc=0; else rc=$?; bad=$((bad + 1)); fi
  echo "--- ${f##*/}: exit $rc"
done
echo "=== $ran run, $bad failed"
((ran > 0 && bad == 0))
GUEST
  else
    printf 'exec'; printf ' %q' "$@"; echo
  fi
} >"$job/share/command"
mkfifo "$job/out" "$job/err"
: >"$job/ctl"
: >"$job/console"
cat <"$job/out" & pids+=($!); cat_out=$!
cat <"$job/err" >&2 & pids+=($!); cat_err=$!
if ((console)); then tail -f -n +1 "$job/console" >&2 & pids+=($!); fi

share() { # tag, folder, extra options
  printf '%s\n' -fsdev "local,id=$1,path=${2//,/,,},security_model=none,multidevs=remap$3" \
    -device "virtio-9p-pci,fsdev=$1,mount_tag=$1"
}
# shellcheck disable=SC2054
qemu=(qemu-system-x86_64 -M pc -accel "$accel" -cpu max -smp "$cpus" -m "$memory"
  -nodefaults -no-user-config -display none -no-reboot -monitor none
  -kernel "$kdir/kernel" -initrd "$kdir/initrd"
  -append "console=ttyS0 quiet tsc=reliable panic=-1 oops=panic mitigations=off random.trust_cpu=on net.ifnames=0"
  -serial "file:$job/console"
  -device virtio-serial-pci
  -chardev "file,id=out,path=$job/out" -device virtserialport,chardev=out,name=rill-vm.out
  -chardev "file,id=err,path=$job/err" -device virtserialport,chardev=err,name=rill-vm.err
  -chardev "file,id=ctl,path=$job/ctl" -device virtserialport,chardev=ctl,name=rill-vm.ctl)
mapfile -t more < <(share host / ,readonly=on; share job "$job/share" ,readonly=on)
qemu+=("${more[@]}")
n=0
for d in ${rw[@]+"${rw[@]}"}; do
  echo "$d" >"$job/share/rw$n"
  mapfile -t more < <(share "rw$n" "$d" '')
  qemu+=("${more[@]}")
  n=$((n + 1))
done

t=$(now)
"${qemu[@]}" </dev/null >"$job/qemu" 2>&1 & qemu_pid=$!
disown $qemu_pid
running=$qemu_pid
peak=0 why='' SECONDS=0
while kill -0 $qemu_pid 2>/dev/null; do
  sleep 0.2
  if ((verbose)); then
    p=$(awk '/VmHWM/ { print int($2 / 1024) }' /proc/$qemu_pid/status 2>/dev/null || true)
    peak=${p:-$peak}
  fi
  if ((SECONDS >= limit)); then why="gave up after $limit s"
  elif ((SECONDS >= boot)) && [[ ! -s $job/ctl ]]; then why="no command started within $boot s"
  else continue; fi
  kill -KILL $qemu_pid 2>/dev/null || true
done
running=''
# Should qemu never have opened the pipes, this lets the readers end.
: 1<>"$job/out"; : 1<>"$job/err"
wait $cat_out $cat_err 2>/dev/null || true

up=$(awk '$1 == "up" { print $2 }' "$job/ctl")
read -r status used < <(awk '$1 == "end" { print $2, $3 }' "$job/ctl") || status=''
if [[ $status =~ ^[0-9]+$ ]]; then
  say "guest kernel $ver, $accel, $cpus CPUs: command started ${up} s after kernel start, all $(since "$t");" \
    "guest memory in use at the end $used MiB, qemu's peak $peak MiB"
  exit "$status"
fi
if [[ -n $why ]]; then
  echo "vm: $why" >&2
  ((console)) || tail -n 10 "$job/console" >&2
  [[ $why == gave* ]] && exit 124
  exit 125
fi
echo "vm: the machine ended without an exit status" >&2
cat "$job/qemu" >&2
((console)) || tail -n 30 "$job/console" >&2
exit 125
