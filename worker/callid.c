#include "worker/callid.h"

#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

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
    call_id_text(id, text);
}
