#!/bin/sh
# What a turnpike is made of, as SPDX 2.3 in JSON on standard output: itself, and of each library that it
# is linked with the Debian package, that package's version and licence.
#
# usage: dist/sbom.sh PROGRAM VERSION [PACKAGE…]    PACKAGEs are compiled into it
#
# The same program and libraries give the same bytes: the date is SOURCE_DATE_EPOCH where that is set.
set -eu
LC_ALL=C
export LC_ALL

program=$1 version=$2
shift 2

# Of each package that is known here; another's is NOASSERTION, which test/package/test_sbom.py refuses.
licence_of() {
    case $1 in
    libc6) echo LGPL-2.1-or-later ;;
    libconfuse*) echo ISC ;;
    libllhttp* | node-llhttp | libuv1*) echo MIT ;;
    liblmdb*) echo OLDAP-2.8 ;;
    libmbed*) echo "Apache-2.0 OR GPL-2.0-or-later" ;;
    libsodium*) echo ISC ;;
    turnpike) echo Apache-2.0 ;;
    *) echo NOASSERTION ;;
    esac
}

# The package that a file is of, without its architecture. Where /lib is a link to /usr/lib, dpkg knows a
# file by either name, and says of some only who diverted the other.
owner_of() {
    real=$(readlink -f "$1")
    for path in "$1" "$real" "${real#/usr}" "/usr$1"; do
        found=$(dpkg-query -S "$path" 2>/dev/null | sed -e '/^diversion by /d' -e 's/[:,].*//' | head -n 1)
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
    done
    basename "$1"
}

# PACKAGE RELATION, a line each: how turnpike and the package hang together. A library that only another
# library needs is one that turnpike depends on.
links() {
    for package in "$@"; do
        echo "$package STATIC_LINK"
    done
    needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    ldd "$program" | sed -n -e 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\).*/\1 \2/p' \
        -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1 \1/p' | while read -r name path; do
        case " $(echo "$needed" | tr '\n' ' ')" in
        *" $(basename "$name") "*) echo "$(owner_of "$path") DYNAMIC_LINK" ;;
        *) echo "$(owner_of "$path") DEPENDS_ON" ;;
        esac
    done
}

# The loader is libc6's, which is linked with as well: DYNAMIC_LINK sorts behind DEPENDS_ON and is kept.
relations=$(links "$@" | sort -u | awk '{ kept[$1] = $2 } END { for (name in kept) print name, kept[name] }' |
    sort)
[ -n "$relations" ] || { echo "sbom: $program: no libraries found in it" >&2; exit 1; }

version_and_arch() { dpkg-query -W -f '${Version} ${Architecture}\n' "$1" 2>/dev/null | head -n 1; }
id_of() { echo "SPDXRef-$1" | sed 's/[^A-Za-z0-9.-]/-/g'; }
distro=$(. /etc/os-release && echo "$ID-${VERSION_ID:-testing}")

package() { # NAME VERSION MORE
    printf '    {\n      "SPDXID": "%s",\n      "name": "%s",\n' "$(id_of "$1")" "$1"
    printf '      "versionInfo": "%s",\n%s' "$2" "$3"
    printf '      "downloadLocation": "NOASSERTION",\n      "filesAnalyzed": false,\n'
    printf '      "licenseConcluded": "%s",\n      "licenseDeclared": "%s",\n' \
        "$(licence_of "$1")" "$(licence_of "$1")"
    printf '      "copyrightText": "NOASSERTION"\n    }'
}

packages() {
    package turnpike "$version" '      "primaryPackagePurpose": "APPLICATION",
'
    echo "$relations" | while read -r name _; do
        of=$(version_and_arch "$name")
        printf ',\n'
        [ -n "$of" ] || { package "$name" unknown '' && continue; }
        arch=${of#* } of=${of% *}
        purl="pkg:deb/${distro%%-*}/$name@$of?arch=$arch&distro=$distro"
        package "$name" "$of" "      \"supplier\": \"Organization: Debian\",
      \"externalRefs\": [
        {
          \"referenceCategory\": \"PACKAGE-MANAGER\",
          \"referenceType\": \"purl\",
          \"referenceLocator\": \"$(echo "$purl" | sed 's/+/%2B/g')\"
        }
      ],
"
    done
}

relationships() {
    printf '    {\n      "spdxElementId": "SPDXRef-DOCUMENT",\n'
    printf '      "relationshipType": "DESCRIBES",\n'
    printf '      "relatedSpdxElement": "SPDXRef-turnpike"\n    }'
    echo "$relations" | while read -r name relation; do
        printf ',\n    {\n      "spdxElementId": "SPDXRef-turnpike",\n'
        printf '      "relationshipType": "%s",\n' "$relation"
        printf '      "relatedSpdxElement": "%s"\n    }' "$(id_of "$name")"
    done
}

packages=$(packages)
created=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)
# A document's name must be its alone: it says what is in it.
digest=$(printf '%s %s' "$created" "$packages" | sha256sum | cut -c 1-32)
cat <<END
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "turnpike-$version",
  "documentNamespace": "https://spdx.org/spdxdocs/turnpike-$version-$digest",
  "creationInfo": {
    "created": "$created",
    "creators": [
      "Tool: turnpike-sbom-$version"
    ]
  },
  "packages": [
$packages
  ],
  "relationships": [
$(relationships)
  ]
}
END
