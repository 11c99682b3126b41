#include "ledger/unpack.h"

#include <errno.h>
#include <stdlib.h>

static int
reserve(struct unpacked *u, uint32_t more)
{
    uint32_t cap = u->count + more;
    struct block_record *records;
    const struct block_record **at;

    if (cap <= u->cap)
        return 0;
    records = realloc(u->records, cap * sizeof(*records));
    if (records != NULL)
        u->records = records;
    at = realloc(u->at, cap * sizeof(*at));
    if (at != NULL)
        u->at = at;
    if (records == NULL || at == NULL)
        return -ENOMEM;
    u->cap = cap;
    return 0;
}

int
unpack(struct unpacked *u, struct str bytes)
{
    struct block_walk walk;
    struct block block;
    uint32_t count = u->count;
    int rc = block_open(bytes, &block);

    if (rc == 0)
        rc = reserve(u, block.head.record_count);
    if (rc < 0)
        return rc;
    block_walk(&block, 0, &walk);
    while (count < u->cap && block_next(&walk, &u->records[count]))
        count++;
    if (walk.damaged || count - u->count != block.head.record_count)
        return -EILSEQ;
    u->count = count;
    for (uint32_t i = 0; i < u->count; i++)
        u->at[i] = &u->records[i];
    return 0;
}

void
unpack_free(struct unpacked *u)
{
    free(u->records);
    free(u->at);
    *u = (struct unpacked){0};
}
