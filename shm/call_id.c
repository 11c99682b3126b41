#include "shm/call_id.h"

#include "base/str.h"

#include <string.h>

#define PREFIX "call_"
#define PREFIX_LEN 5

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void
call_id_text(const uint8_t id[CALL_ID_BYTES], char text[CALL_ID_LEN + 1])
{
    uint64_t hi = 0, lo = 0;

    for (int i = 0; i < 8; i++) {
        hi = hi << 8 | id[i];
        lo = lo << 8 | id[8 + i];
    }
    memcpy(text, PREFIX, PREFIX_LEN);
    for (int i = CALL_ID_LEN - 1; i >= PREFIX_LEN; i--) { /* 5 bits each: the first has only 3 */
        text[i] = digits[lo & 31];
        lo = lo >> 5 | hi << 59;
        hi >>= 5;
    }
    text[CALL_ID_LEN] = '\0';
}

static int
digit_of(char c)
{
    const char *at = memchr(digits, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c, 32);

    return at != NULL ? (int)(at - digits) : -1;
}

bool
call_id_parse(struct str text, uint8_t id[CALL_ID_BYTES])
{
    uint64_t hi = 0, lo = 0;

    if (text.len != CALL_ID_LEN || !str_starts_with(text, STR(PREFIX)))
        return false;
    for (size_t i = PREFIX_LEN; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);

        if (digit < 0 || hi >> 59 != 0)
            return false;
        hi = hi << 5 | lo >> 59;
        lo = lo << 5 | (uint64_t)digit;
    }
    for (int i = 0; i < 8; i++) {
        id[i] = (uint8_t)(hi >> (56 - 8 * i));
        id[8 + i] = (uint8_t)(lo >> (56 - 8 * i));
    }
    return true;
}

uint64_t
call_id_seed(const uint8_t id[CALL_ID_BYTES])
{
    uint64_t seed = 0;

    for (int i = 8; i < CALL_ID_BYTES; i++)
        seed = seed << 8 | id[i];
    return seed;
}

int64_t
call_id_wall_us(const uint8_t id[CALL_ID_BYTES])
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return MIN(ms, INT64_MAX / 1000) * 1000;
}
