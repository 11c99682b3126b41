/*
 * The dial rule: which addresses a connection may go to (public ones, base/ip.h), and which texts are
 * addresses at all. Pure.
 */
#include "net/dial.h"

#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool
dial_address_allowed(const struct sockaddr *sa, bool local)
{
    struct net_addr addr;

    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
        return false;
    if (local)
        return true;
    net_addr_from(&addr, sa);
    return addr.family == 4 ? ip4_is_public(addr.ip) : ip6_is_public(addr.ip);
}

/* ---- the form of a host ------------------------------------------------------------------- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/*
 * Whether some resolver could read the name as a number: its last label is digits, or 0x and
 * hex digits. ("127.1", "0x7f.1", "017700000001", "2130706433", "10.0.0.0x1"; none is a name,
 * since no top-level domain is numeric.)
 */
static bool
ends_in_number(struct str host)
{
    size_t end = host.len, start, i;

    if (end > 0 && host.ptr[end - 1] == '.')
        end--;
    start = end;
    while (start > 0 && host.ptr[start - 1] != '.')
        start--;
    if (start == end)
        return false;
    if (end - start >= 2 && host.ptr[start] == '0' && (host.ptr[start + 1] | 0x20) == 'x') {
        for (i = start + 2; i < end && is_hex(host.ptr[i]); i++)
            continue;
        return i == end;
    }
    for (i = start; i < end && is_digit(host.ptr[i]); i++)
        continue;
    return i == end;
}

/* Letters, digits, hyphen, underscore; labels of 1 to 63 bytes; one dot at the end is fine. */
static const char *
name_refused(struct str host)
{
    size_t label_len = 0;

    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        if (c == '.') {
            if (label_len == 0)
                return "the host has an empty label";
            label_len = 0;
            continue;
        }
        if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' && c != '_')
            return "the host has a byte that no name has";
        if (++label_len > 63)
            return "the host has a label of more than 63 bytes";
    }
    if (ends_in_number(host))
        return "the host is numeric but not an address";
    return NULL;
}

static bool
read_address(struct str host, struct net_addr *addr)
{
    char text[INET6_ADDRSTRLEN];
    bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';

    memset(addr, 0, sizeof(*addr));
    if (bracketed)
        host = (struct str){host.ptr + 1, host.len - 2};
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (strlen(text) != host.len)
        return false;
    if (!bracketed && inet_pton(AF_INET, text, addr->ip) == 1)
        addr->family = 4;
    else if (inet_pton(AF_INET6, text, addr->ip) == 1)
        addr->family = 6;
    return addr->family != 0;
}

enum dial_host
dial_host_kind(struct str host, struct net_addr *addr, const char **why)
{
    if (host.len == 0)
        *why = "the host is empty";
    else if (host.len > DIAL_HOST_MAX)
        *why = "the host is longer than 253 bytes";
    else if (memchr(host.ptr, '\0', host.len) != NULL)
        *why = "the host has a NUL byte";
    else if (read_address(host, addr))
        return DIAL_HOST_ADDRESS;
    else if ((*why = name_refused(host)) == NULL)
        return DIAL_HOST_NAME;
    return DIAL_HOST_REFUSED;
}
