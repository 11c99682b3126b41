/* The name cache's life, for net.c only. */
#ifndef NET_DNS_IN_H
#define NET_DNS_IN_H

#include "net/dns.h"

struct dns_cache *dns_new(struct net *net) MUST_CHECK;
/* The loop has ended: no lookup is under way and nobody waits. */
void dns_free(struct dns_cache *dns);

#endif
