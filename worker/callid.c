#include "worker/callid.h"

#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

static void
callid_text(const uint8_t id[16], char text[CALL_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t hi = 0, lo = 0;

    for (int i = 0; i < 8; i++) {
        hi = hi << 8 | id[i];
        lo = lo << 8 | id[8 + i];
    }
    memcpy(text, "call_", 5);
    for (int i = 25; i >= 0; i--) { /* 26 digits of 5 bits: the first has only 3 */
        text[5 + i] = digits[lo & 31];
        lo = lo >> 5 | hi << 59;
        hi >>= 5;
    }
    text[CALL_ID_LEN] = '\0';
}

void
callid_make(struct worker *w, uint8_t id[16], char text[CALL_ID_LEN + 1])
{
    uint64_t ms = (uint64_t)(worker_wall_us(w) / 1000);
    uint64_t random = rng_next(&w->rng);

    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)(w->inherit->table_idx >> 8);
    id[7] = (uint8_t)w->inherit->table_idx;
    memcpy(id + 8, &random, 8);
    callid_text(id, text);
}
