/* Ranges of addresses, as 10.0.0.0/8 and 2001:db8::/32. IPv4 is within IPv6, mapped: each address has 16 bytes. */
#ifndef BASE_CIDR_H
#define BASE_CIDR_H

#include "base/base.h"

struct cidr {
    uint8_t addr[16]; /* IPv4 as v4-mapped */
    uint8_t bits;     /* of 128 */
};

bool cidr_has(const struct cidr *cidr, const uint8_t addr[16]);
/* An address without bits is that one; bits of the address past the prefix are cleared. */
bool cidr_parse(struct str text, struct cidr *out) MUST_CHECK;

#endif
