/* The URL of an upstream, taken apart and held against the rules. Inside of conf/ only. */
#ifndef CONF_URL_H
#define CONF_URL_H

#include "base/base.h"
#include "conf/value.h"

#define URL_HOST_LEN_MAX 253

struct url {
    bool tls;
    bool ipv6;       /* host is an IPv6 address, without its brackets */
    struct str host; /* part of the text, as written */
    uint16_t port;
    struct str path; /* part of the text, without slashes at its end */
};

/*
 * http or https, a host name or address, maybe a port, maybe a path. Refused, with the reason in
 * *why: user names and passwords, query and fragment, other schemes, hosts that are numbers but
 * no plain address, odd bytes.
 */
bool url_parse(struct str text, struct url *url, struct value_why *why) MUST_CHECK;

/* The host is written as an address or name that only means this machine or a private network. */
bool url_host_is_local(const struct url *url);
/* Of these, one that only means this machine. */
bool url_host_is_loopback(const struct url *url);

#endif
