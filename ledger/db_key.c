/* Keys of the store: numbers go in high byte first, so that they sort as they count. */
#include "ledger/db.h"

#include <string.h>

void
db_key_start(struct db_key *key)
{
    key->len = 0;
}

static void
key_number(struct db_key *key, uint64_t n, unsigned bytes)
{
    ASSERT(key->len + bytes <= sizeof(key->bytes));
    for (unsigned i = bytes; i-- > 0;)
        key->bytes[key->len++] = (uint8_t)(n >> (8 * i));
}

void
db_key_u8(struct db_key *key, uint8_t n)
{
    key_number(key, n, 1);
}

void
db_key_u16(struct db_key *key, uint16_t n)
{
    key_number(key, n, 2);
}

void
db_key_u32(struct db_key *key, uint32_t n)
{
    key_number(key, n, 4);
}

void
db_key_u64(struct db_key *key, uint64_t n)
{
    key_number(key, n, 8);
}

bool
db_key_text(struct db_key *key, struct str s)
{
    if (s.len > sizeof(key->bytes) - key->len)
        return false;
    if (s.len > 0)
        memcpy(key->bytes + key->len, s.ptr, s.len);
    key->len += s.len;
    return true;
}

struct db_key
db_key_of_u32(uint32_t n)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u32(&key, n);
    return key;
}

struct db_key
db_key_of_u64(uint64_t n)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u64(&key, n);
    return key;
}

static uint64_t
number_at(struct str bytes, size_t at, size_t len)
{
    uint64_t n = 0;

    if (at > bytes.len || len > bytes.len - at)
        return 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (uint8_t)bytes.ptr[at + i];
    return n;
}

uint32_t
db_u32(struct str bytes, size_t at)
{
    return (uint32_t)number_at(bytes, at, 4);
}

uint64_t
db_u64(struct str bytes, size_t at)
{
    return number_at(bytes, at, 8);
}
