/*
 * Which IP addresses are public: global unicast, and not set aside for anything. Pure. What is not:
 * loopback, private, shared (CGNAT), link-local, unspecified, multicast, reserved, documentation,
 * and all IPv6 forms that carry or translate to an IPv4 address, whichever that is.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/base.h"

bool ip4_is_public(const uint8_t ip[4]);
bool ip6_is_public(const uint8_t ip[16]);

#endif
