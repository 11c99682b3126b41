/* Blocks of call records from any bytes: the reader stays inside, believes no impossible money, and finds
 * by call ID what it walks over. */
#include <stdlib.h>
#include <string.h>

#include "ledger/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = malloc(len + 1); /* its end is where a sanitizer looks */
    struct block block;
    uint8_t hash[HASH_LEN];

    if (copy == NULL)
        return 0;
    memcpy(copy, bytes, len);
    copy = realloc(copy, len > 0 ? len : 1);
    if (copy != NULL && block_open((struct str){copy, len}, &block) == 0) {
        struct block_record record, found;
        struct block_walk walk, look;
        uint32_t count = 0;

        (void)!block_verify(&block, hash);
        block_walk(&block, 0, &look);
        for (block_walk(&block, 0, &walk); block_next(&walk, &record) && count < 512; count++) {
            ASSERT(block_look(&look, &found) && look.at == walk.at);
            ASSERT(found.rec.start_wall_us == record.rec.start_wall_us && found.model == record.model);
            ASSERT(record.charge_ucr >= 0);
            ASSERT(record.charge_ucr <= record.amount_ucr);
            ASSERT(record.rec.attempt_count <= RECORD_ATTEMPTS_MAX);
            ASSERT(record.rec.outcome < OUTCOME_COUNT);
            (void)!block_find(&block, record.rec.call_id, 0, 0, &found);
            (void)!block_find(&block, record.rec.call_id, record.tenant_id, 1, &found);
        }
        for (count = 0; block_look(&look, &found) && count < 512; count++)
            ;
        for (block_walk(&block, 1, &walk); block_next(&walk, &record);)
            ASSERT(record.tenant_id == 1);
    }
    free(copy);
    return 0;
}
