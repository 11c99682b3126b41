#include "base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

bool
cidr_has(const struct cidr *cidr, const uint8_t addr[16])
{
    unsigned bits = MIN(cidr->bits, 128u), whole = bits / 8, rest = bits % 8;

    if (memcmp(cidr->addr, addr, whole) != 0)
        return false;
    return rest == 0 || (cidr->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

static void
cidr_mask(struct cidr *cidr)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = cidr->bits > 8 * i ? MIN(cidr->bits - 8 * i, 8u) : 0;

        cidr->addr[i] = (uint8_t)(cidr->addr[i] & 0xff00u >> keep);
    }
}

bool
cidr_parse(struct str text, struct cidr *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct cidr cidr = {{0}, 128};
    char address_text[INET6_ADDRSTRLEN];
    struct str bits_text, address = str_split(text, '/', &bits_text);
    uint64_t bits;
    bool is_v4;

    if (address.len == 0 || address.len >= sizeof(address_text) ||
        memchr(address.ptr, '\0', address.len) != NULL)
        return false;
    str_copy(address, address_text, sizeof(address_text));
    is_v4 = inet_pton(AF_INET, address_text, cidr.addr + 12) == 1;
    if (is_v4)
        memcpy(cidr.addr, mapped, sizeof(mapped));
    else if (inet_pton(AF_INET6, address_text, cidr.addr) != 1)
        return false;
    if (bits_text.ptr != NULL) {
        if (!str_to_count(bits_text, is_v4 ? 32 : 128, &bits))
            return false;
        cidr.bits = (uint8_t)(is_v4 ? bits + 96 : bits);
    }
    cidr_mask(&cidr);
    *out = cidr;
    return true;
}
