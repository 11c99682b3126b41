/*
 * Whom a request comes from, where proxies stand before the server. Each of them adds the address that it was asked
 * from to the end of X-Forwarded-For; what is before that, its client may have written. So the list is read from its
 * end, beginning with the address that the connection itself has: while who says it is a trusted proxy, what it says
 * is the next one. The first that is not trusted is the client, and what stands before it is never looked at.
 *
 * Several lines of that header are one list, the last line at its end: proxies that add a line of their own are right.
 * Addresses may have ports, and IPv6 brackets. What is no address ends the list: its writer is the client then, so
 * that nothing is gained by writing nonsense. A list of trusted proxies only ends with the farthest.
 */
#ifndef NET_FORWARDED_H
#define NET_FORWARDED_H

#include "base/cidr.h"
#include "net/h1_head.h"
#include "net/net.h"

/* So many proxies in a row at most: what is farther is not looked at. */
#define FORWARDED_HOPS_MAX 32u

/* The client's address, IPv4 mapped into IPv6. Without trusted proxies it is the peer's. */
void forwarded_client(const struct net_addr *peer, const struct h1_head *head, const struct cidr *trusted,
                      size_t trusted_count, uint8_t out[16]);

/* An address so mapped as text, IPv4 as such: out has room for INET6_ADDRSTRLEN. */
#define FORWARDED_TEXT 46
struct str forwarded_text(const uint8_t ip[16], char out[FORWARDED_TEXT]);

#endif
