#!/bin/sh
# Makes the Debian package from the files of this checkout (of git's, where it is one, with what is
# changed and not committed), in a folder of its own: nothing is written beside the checkout, and what
# lies around in it does not get in.
#
# usage: dist/deb.sh FOLDER VERSION JOBS      FOLDER/turnpike_VERSION_ARCH.deb; for `make deb`
#
#   DEB_BUILD_OPTIONS  as Debian has it, such as "noautodbgsym nostrip"
#   SOURCE_DATE_EPOCH  the date of all files in the package: that of the last commit unless told
#
# The same sources, date and build packages give the same bytes, wherever and whenever.
set -eu
LC_ALL=C TZ=UTC
export LC_ALL TZ

out=$1 version=$2 jobs=$3
cd "$(dirname "$0")/.."

for tool in dpkg-buildpackage dh; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "deb: $tool is missing: apt-get install dpkg-dev debhelper (or run: dist/deps.sh deb)" >&2
        exit 1
    }
done

in_git() { [ -e .git ] && git rev-parse --git-dir >/dev/null 2>&1; }

sources() {
    if in_git; then
        git -c core.quotepath=off ls-files
    else
        find . -mindepth 1 \( -name .git -o -path './build*' -o -name __pycache__ -o -name node_modules \) \
            -prune -o \( -type f -o -type l \) -print
    fi
}

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    if in_git; then
        SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    else
        SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
    fi
fi
export SOURCE_DATE_EPOCH

rm -rf "$out/turnpike"
mkdir -p "$out/turnpike"
sources | while IFS= read -r name; do
    # A file that is deleted and not committed is still in git's list.
    [ ! -e "$name" ] || echo "$name"
done | tar -c -f - --mtime="@$SOURCE_DATE_EPOCH" -T - | tar -x -f - -C "$out/turnpike"
cd "$out/turnpike"
umask 022

cp -R dist/debian debian
# The version stands in the Makefile, what changed in CHANGELOG.md; the form is what Debian's tools read.
cat >debian/changelog <<END
turnpike ($version) unstable; urgency=medium

  * Version $version: see /usr/share/doc/turnpike/CHANGELOG.md.gz.

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

dpkg-buildpackage -b -us -uc -j"$jobs"
cd ..
rm -rf turnpike
ls turnpike_"$version"_*.deb
