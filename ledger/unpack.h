/* All records of a block at once, as its writer had them: in order, by tenant and start. */
#ifndef LEDGER_UNPACK_H
#define LEDGER_UNPACK_H

#include "ledger/block.h"

struct unpacked { /* all zero before the first; free() both when done */
    struct block_record *records;
    const struct block_record **at; /* each of them */
    uint32_t count, cap;
};
/* Of one block more, beside those that are there. -EILSEQ, -ENOMEM: nothing was added. */
int unpack(struct unpacked *unpacked, struct str block_bytes) MUST_CHECK;
void unpack_free(struct unpacked *unpacked);

#endif
