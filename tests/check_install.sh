#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_install.sh - installs into a temporary directory, never into the system, and looks at
# what is there: names, modes, what a program is linked with, what uninstalling leaves.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root prefix=/opt/rill

# rill GOAL...: what make does, quietly where that succeeds.
rill() {
    make --no-print-directory DESTDIR="$root" PREFIX="$prefix" "$@" >"$scratch/told" 2>&1 || {
        cat "$scratch/told"
        return 1
    }
}

# As above, with the libraries and programs taken as they are, whatever they depend on.
rill_as_built() {
    rill -o library -o programs "$@"
}

soname() {
    readelf -d "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p'
}

# refuses WORDS VARIABLE=PATH: neither goal goes on. With -n nothing is lost where it does.
refuses() {
    local goal
    for goal in install uninstall; do
        ! rill_as_built -n "$goal" "$2" >"$scratch/refused" && grep -qF "$1" "$scratch/refused" ||
            return
    done
}

# links VERSION SO_VERSION: a library of this version is found by that name.
links() {
    rill_as_built -n install VERSION="$1" &&
        grep -qE "ln -sf \\\$library\.so\.$1 .*/\\\$library\.so\.$2 " "$scratch/told"
}

check 'make install fails' rill install
lib=$root$prefix/lib
version=$(sed -n 's/^Version: //p' "$lib/pkgconfig/rill.pc")

# ---- names ----

for library in "$lib"/*.so; do
    name=$(basename "$library").$(sed -E 's/^(0\.[0-9]+|[1-9][0-9]*)\..*/\1/' <<<"$version")
    check "$library has another soname than $name" test "$(soname "$library")" = "$name"
    check "there is no $name" test -e "$lib/$name"
done
check 'version 0.2.3 is not librill.so.0.2' links 0.2.3 0.2
check 'version 1.2.3 is not librill.so.1' links 1.2.3 1

# ---- use ----

# For pkg-config the prefix is where it was said to be; here it lies below root.
flags() {
    PKG_CONFIG_PATH=$lib/pkgconfig pkg-config "$@" | sed -E "s#(-[IL])$prefix#\1$root$prefix#g"
}

compile() {
    "${CC:-gcc}" -D_GNU_SOURCE -Wall -Wextra -Werror "$@"
}

build_plugin() {
    local in_use
    read -r -a in_use < <(flags --cflags --libs rill)
    compile -shared -fPIC -o "$scratch/plugin.so" tests/install/plugin.c "${in_use[@]}" \
        -Wl,-rpath,"$lib" && compile -o "$scratch/host" tests/install/host.c -ldl
}

check 'a program outside this tree does not compile' build_plugin
check 'a plugin cannot be unloaded' "$scratch/host" "$scratch/plugin.so" "$(soname "$lib/librill.so")"
for library in "$lib"/*.so; do
    check "$library can be unloaded" grep -q NODELETE <(readelf -d "$library")
done

# ---- paths ----

for name in DESTDIR PREFIX bindir libdir includedir; do
    for path in "$root/other " "$root/an other"; do
        check "$name='$path' is accepted" refuses 'no blanks' "$name=$path"
    done
done
for setting in PREFIX=opt bindir=bin libdir=../lib includedir=; do
    check "$setting is accepted" refuses 'an absolute path' "$setting"
done

odd="$scratch/it's;odd"
check 'a directory with an odd name is none to install in' rill_as_built install DESTDIR="$odd"
check 'nothing is installed there' test -e "$odd$prefix/include/rill/io/op.h"
check 'it is none to uninstall from' rill_as_built uninstall DESTDIR="$odd"
check 'something is left there' test -z "$(find "$odd" -type f)"

# ---- modes ----

# install_private: as a user whose files are nobody else's by default.
install_private() (
    umask 077
    rill_as_built install DESTDIR="$scratch/private"
)

private=$scratch/private$prefix
mkdir -p "$private/lib"
chmod 2775 "$private/lib"
check 'make install fails under umask 077' install_private
check 'others cannot read all that is installed' \
    test -z "$(find "$private" ! -type l ! -perm -o+r -printf '%p %m\n' | tee /dev/stderr)"
check 'others cannot enter all directories' \
    test -z "$(find "$private" -type d ! -perm -o+x -printf '%p %m\n' | tee /dev/stderr)"
check 'a directory that was there has another mode' test "$(stat -c %a "$private/lib")" = 2775

# ---- what is left of another installation ----

needs_no_examples() {
    rill -n install && ! grep -q 'build/examples' "$scratch/told"
}

check 'make install builds the examples' needs_no_examples
echo '#error' >"$root$prefix/include/rill/io/renamed.h"
check 'make install fails without UCX' rill_as_built install ucx=
check 'something of UCX is left by an installation without it' \
    test -z "$(find "$root" -name '*rdma*' -print | tee /dev/stderr)"
check 'a header is left that is not in this version' test ! -e "$root$prefix/include/rill/io/renamed.h"
check 'make install fails over another one' rill_as_built install
check 'make uninstall fails without UCX' rill_as_built uninstall ucx=
check 'something is left by make uninstall' \
    test -z "$(find "$root" ! -type d -print | tee /dev/stderr)"

end_checks
