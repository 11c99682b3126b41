#include "net/forwarded.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

_Static_assert(FORWARDED_TEXT >= INET6_ADDRSTRLEN, "room for any address");

/* The elements of all lines, from the last to the first. */
struct elements {
    const struct h1_head *head;
    size_t line;     /* lines from here on are done */
    struct str rest; /* of a line, what is before the elements that were taken; ptr NULL: none */
};

static bool
next_line(struct elements *all)
{
    while (all->line > 0) {
        all->line--;
        if (!str_eq_nocase(h1_head_name(all->head, all->line), STR("x-forwarded-for")))
            continue;
        all->rest = h1_head_value(all->head, all->line);
        return true;
    }
    return false;
}

/* The last element of what is left, and whether there was one; empty ones are none (RFC 9110, 5.6.1). */
static bool
last_element(struct elements *all, struct str *element)
{
    while (all->rest.ptr != NULL || next_line(all)) {
        struct str rest = all->rest;
        size_t begin = rest.len;

        while (begin > 0 && rest.ptr[begin - 1] != ',')
            begin--;
        *element = str_trim((struct str){rest.ptr + begin, rest.len - begin});
        all->rest = begin > 0 ? (struct str){rest.ptr, begin - 1} : STR_NONE;
        if (element->len > 0)
            return true;
    }
    return false;
}

static bool
is_port(struct str text)
{
    uint64_t port;

    return str_to_count(text, UINT16_MAX, &port);
}

/* 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80 */
static bool
read_address(struct str text, uint8_t out[16])
{
    struct str port = STR_NONE;
    struct cidr one;

    if (str_starts_with(text, STR("["))) {
        text = str_split((struct str){text.ptr + 1, text.len - 1}, ']', &port);
        if (port.ptr == NULL || str_find(text, ':', 0) == text.len)
            return false;
        if (port.len > 0 && (port.ptr[0] != ':' || !is_port((struct str){port.ptr + 1, port.len - 1})))
            return false;
    } else if (str_find(text, '.', 0) < str_find(text, ':', 0)) {
        text = str_split(text, ':', &port);
        if (port.ptr != NULL && !is_port(port))
            return false;
    }
    if (str_find(text, '/', 0) < text.len || !cidr_parse(text, &one))
        return false;
    memcpy(out, one.addr, 16);
    return true;
}

static bool
is_trusted(const struct cidr *trusted, size_t count, const uint8_t ip[16])
{
    for (size_t i = 0; i < count; i++)
        if (cidr_has(&trusted[i], ip))
            return true;
    return false;
}

void
forwarded_client(const struct net_addr *peer, const struct h1_head *head, const struct cidr *trusted,
                 size_t trusted_count, uint8_t out[16])
{
    struct elements all = {head, head->header_count, STR_NONE};
    struct str element;
    uint8_t said[16];

    net_addr_mapped(peer, out);
    for (unsigned hops = 0; hops < FORWARDED_HOPS_MAX && is_trusted(trusted, trusted_count, out); hops++) {
        if (!last_element(&all, &element) || !read_address(element, said))
            return;
        memcpy(out, said, 16);
    }
}

struct str
forwarded_text(const uint8_t ip[16], char out[FORWARDED_TEXT])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(ip, mapped, sizeof mapped) == 0;

    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + sizeof mapped : ip, out, FORWARDED_TEXT) == NULL)
        out[0] = '\0';
    return str_from(out);
}
