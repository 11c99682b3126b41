#include "conf/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "base/str.h"

static bool
refuse(struct value_why *why, const char *text)
{
    snprintf(why->text, sizeof(why->text), "%s", text);
    return false;
}

static bool
is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Names are of letters, digits, - and _ between dots (RFC 1123, and _ since people use it). */
static bool
is_host_name(struct str host)
{
    size_t label_len = 0;

    if (host.len == 0 || host.len > URL_HOST_LEN_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        if (c == '.' && label_len == 0)
            return false;
        if (c != '.' && !is_alnum(c) && c != '-' && c != '_')
            return false;
        label_len = c == '.' ? 0 : label_len + 1;
        if (label_len > 63)
            return false;
    }
    return true;
}

/* The last label would be read as a number, in some base, by some resolver (WHATWG URL, 3.5). */
static bool
ends_in_number(struct str host)
{
    struct str label = host;
    bool digits = true, hex;

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        label.len--;
    for (size_t dot = str_find(label, '.', 0); dot < label.len; dot = str_find(label, '.', 0))
        label = (struct str){label.ptr + dot + 1, label.len - dot - 1};
    hex = label.len >= 2 && label.ptr[0] == '0' && (label.ptr[1] | 0x20) == 'x';
    for (size_t i = 0; i < label.len; i++)
        digits = digits && label.ptr[i] >= '0' && label.ptr[i] <= '9';
    return label.len == 0 || digits || hex;
}

static bool
parse_as(int family, struct str host, void *address)
{
    char text[64];

    return str_copy(host, text, sizeof(text)) == host.len && inet_pton(family, text, address) == 1;
}

static bool
host_check(const struct url *url, struct value_why *why)
{
    uint8_t address[16];

    if (url->host.len == 0)
        return refuse(why, "the URL has no host");
    if (url->ipv6)
        return parse_as(AF_INET6, url->host, address) ||
               refuse(why, "the URL's host is not an IPv6 address");
    if (!is_host_name(url->host))
        return refuse(why, "the URL's host is not a host name");
    if (ends_in_number(url->host) && !parse_as(AF_INET, url->host, address))
        return refuse(why, "the URL's host is a number but not an IPv4 address");
    return true;
}

/* Splits "host", "host:port", "[v6]:port". */
static bool
authority_parse(struct str authority, struct url *url, struct value_why *why)
{
    struct str port = STR_NONE;
    uint64_t number = url->tls ? 443 : 80;
    size_t end;

    if (str_find(authority, '@', 0) < authority.len)
        return refuse(why, "the URL holds a user name; keys come by key-env, key-file or "
                           "key-credential");
    url->ipv6 = authority.len > 0 && authority.ptr[0] == '[';
    if (url->ipv6) {
        end = str_find(authority, ']', 0);
        if (end == authority.len)
            return refuse(why, "the URL's host is not an IPv6 address");
        url->host = (struct str){authority.ptr + 1, end - 1};
        end++;
    } else {
        end = str_find(authority, ':', 0);
        url->host = (struct str){authority.ptr, end};
    }
    if (end < authority.len) {
        port = (struct str){authority.ptr + end, authority.len - end};
        if (port.ptr[0] != ':' ||
            !str_to_count((struct str){port.ptr + 1, port.len - 1}, 65535, &number) || number == 0)
            return refuse(why, "the URL's port is not a number from 1 to 65535");
    }
    url->port = (uint16_t)number;
    return host_check(url, why);
}

static bool
path_check(struct str path, struct value_why *why)
{
    for (size_t i = 0; i < path.len; i++)
        if (!is_alnum(path.ptr[i]) &&
            (path.ptr[i] == '\0' || !strchr("/-._~!$&'()*+,;=:@%", path.ptr[i])))
            return refuse(why, "the URL's path holds a byte that must be written as %XX");
    if (str_contains(path, STR("//")) || str_contains(path, STR("/./")) ||
        str_contains(path, STR("/../")) || str_ends_with(path, STR("/.")) ||
        str_ends_with(path, STR("/..")))
        return refuse(why, "the URL's path has empty or dotted parts");
    return true;
}

bool
url_parse(struct str text, struct url *url, struct value_why *why)
{
    struct str rest;
    size_t end;

    *url = (struct url){.tls = str_starts_with(text, STR("https://"))};
    if (!url->tls && !str_starts_with(text, STR("http://")))
        return refuse(why, "the URL starts with neither https:// nor http://");
    end = url->tls ? 8 : 7;
    rest = (struct str){text.ptr + end, text.len - end};
    if (str_find(rest, '?', 0) < rest.len)
        return refuse(why, "the URL holds a query; leave out the ? and what follows");
    if (str_find(rest, '#', 0) < rest.len)
        return refuse(why, "the URL holds a fragment; leave out the # and what follows");
    end = str_find(rest, '/', 0);
    url->path = (struct str){rest.ptr + end, rest.len - end};
    if (!authority_parse((struct str){rest.ptr, end}, url, why) || !path_check(url->path, why))
        return false;
    if (url->path.len > 0 && url->path.ptr[url->path.len - 1] == '/')
        url->path.len--;
    return true;
}

bool
url_host_is_local(const struct url *url)
{
    uint8_t a[16];

    if (url->ipv6)
        return parse_as(AF_INET6, url->host, a) && !ip6_is_public(a);
    if (parse_as(AF_INET, url->host, a))
        return !ip4_is_public(a);
    return str_eq_nocase(url->host, STR("localhost")) ||
           str_eq_nocase(url->host, STR("localhost.")) ||
           (url->host.len > 10 &&
            str_eq_nocase((struct str){url->host.ptr + url->host.len - 10, 10}, STR(".localhost")));
}

bool
url_host_is_loopback(const struct url *url)
{
    static const uint8_t one[16] = {[15] = 1};
    uint8_t a[16];

    if (url->ipv6)
        return parse_as(AF_INET6, url->host, a) && memcmp(a, one, sizeof(one)) == 0;
    if (parse_as(AF_INET, url->host, a))
        return a[0] == 127;
    return str_eq_nocase(url->host, STR("localhost"));
}
