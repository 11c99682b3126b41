/*
 * For IPv4 the special blocks are named and the rest is public. For IPv6 it is the other way
 * round: only 2000::/3 is global unicast, so everything else (loopback, unspecified, mapped
 * ::ffff:0:0/96, compatible ::/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, unique local,
 * link-local, site-local, multicast) is not public as it stands, and within it the blocks
 * that carry or translate to IPv4 addresses or are for documents and protocols.
 * Registries: RFC 6890 and IANA's special-purpose address registries.
 */
#include "base/ip.h"

#include <string.h>

struct block {
    uint8_t bits; /* of the prefix */
    uint8_t prefix[8];
};

static const struct block blocks4[] = {
    {8, {0}},             /* "this network"; 0.0.0.0 is the host itself */
    {8, {10}},            /* private */
    {10, {100, 64}},      /* shared (CGNAT) */
    {8, {127}},           /* loopback */
    {16, {169, 254}},     /* link-local, cloud metadata */
    {12, {172, 16}},      /* private */
    {24, {192, 0, 0}},    /* protocol assignments */
    {24, {192, 0, 2}},    /* documentation */
    {24, {192, 88, 99}},  /* 6to4 relays */
    {16, {192, 168}},     /* private */
    {15, {198, 18}},      /* benchmarking */
    {24, {198, 51, 100}}, /* documentation */
    {24, {203, 0, 113}},  /* documentation */
    {4, {224}},           /* multicast */
    {4, {240}},           /* reserved, and broadcast */
};

static const struct block global6 = {3, {0x20}};

static const struct block blocks6[] = {
    {23, {0x20, 0x01, 0x00}},       /* protocol assignments: Teredo, ORCHID, benchmarking */
    {32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
    {16, {0x20, 0x02}},             /* 6to4 */
    {20, {0x3f, 0xff, 0x00}},       /* documentation */
};

static bool
in_block(const uint8_t *ip, const struct block *block)
{
    unsigned whole = block->bits / 8;
    unsigned rest = block->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    if (memcmp(ip, block->prefix, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ block->prefix[whole]) & mask) == 0;
}

bool
ip4_is_public(const uint8_t ip[4])
{
    for (size_t i = 0; i < COUNT_OF(blocks4); i++) {
        if (in_block(ip, &blocks4[i]))
            return false;
    }
    return true;
}

/* ISATAP: an interface identifier of 0000:5efe or 0200:5efe carries an IPv4 address. */
static bool
is_isatap(const uint8_t ip[16])
{
    return (ip[8] & 0xfd) == 0 && ip[9] == 0 && ip[10] == 0x5e && ip[11] == 0xfe;
}

bool
ip6_is_public(const uint8_t ip[16])
{
    if (!in_block(ip, &global6) || is_isatap(ip))
        return false;
    for (size_t i = 0; i < COUNT_OF(blocks6); i++) {
        if (in_block(ip, &blocks6[i]))
            return false;
    }
    return true;
}
