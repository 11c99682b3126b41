#include "ledger/transfer.h"

#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

#define TEXT_BYTES_MAX 16384

static bool
has_legs(uint32_t kind)
{
    return kind >= TRANSFER_PLAIN_COUNT;
}

int
transfer_read(struct str bytes, struct transfer *out, struct transfer_legs *legs, struct str *text)
{
    size_t head;

    *legs = (struct transfer_legs){0};
    if (bytes.len < sizeof(*out) + HASH_LEN)
        return -EILSEQ;
    memcpy(out, bytes.ptr, sizeof(*out));
    head = sizeof(*out) + (has_legs(out->kind) ? sizeof(*legs) : 0);
    if (out->kind >= TRANSFER_KIND_COUNT || bytes.len < head + HASH_LEN)
        return -EILSEQ;
    if (has_legs(out->kind))
        memcpy(legs, bytes.ptr + sizeof(*out), sizeof(*legs));
    *text = (struct str){bytes.ptr + head, bytes.len - head - HASH_LEN};
    return out->text_len == text->len && out->amount_ucr > 0 ? 0 : -EILSEQ;
}

int
transfer_verify(struct str bytes, const uint8_t prev[HASH_LEN], uint8_t hash[HASH_LEN])
{
    if (bytes.len < sizeof(struct transfer) + HASH_LEN)
        return -EILSEQ;
    hash_pair((struct str){(const char *)prev, HASH_LEN},
              (struct str){bytes.ptr, bytes.len - HASH_LEN}, hash);
    return memcmp(hash, bytes.ptr + bytes.len - HASH_LEN, HASH_LEN) == 0 ? 0 : -EILSEQ;
}

static bool
is_pool(const struct transfer_leg *leg)
{
    return leg->kind == BOOK_WALLET || leg->kind == BOOK_GRANT;
}

int64_t
transfer_in_ucr(const struct transfer *transfer, const struct transfer_legs *legs)
{
    if (transfer->kind == TRANSFER_GRANT)
        return transfer->amount_ucr;
    if (transfer->kind == TRANSFER_DEDUCT)
        return -transfer->amount_ucr;
    if (is_pool(&legs->from) == is_pool(&legs->to))
        return 0;
    return is_pool(&legs->to) ? transfer->amount_ucr : -transfer->amount_ucr;
}

/* Those before it first: where ledger/fill.c is still at these, it comes to this one, too. */
static int
transfer_sum(struct command *command, const struct transfer *head, const struct transfer_legs *legs)
{
    struct sum_mark mark = command->ledger->sums;
    uint64_t number = command->tail.transfer_count;
    int rc;

    mark.transfer_count = MAX(mark.transfer_count, command->summed_transfer);
    if (mark.transfer_count + 1 != number)
        return 0;
    mark.transfer_count = command->summed_transfer = number;
    rc = sum_transfer(&command->txn, head->tenant_id, head->kind, head->wall_us,
                      transfer_in_ucr(head, legs));
    return rc == 0 ? sum_mark_put(&command->txn, &mark) : rc;
}

static void
text_write(struct command *command, const struct transfer_new *transfer, struct buf *bytes)
{
    struct jw jw;

    jw_init(&jw, bytes);
    jw_object(&jw);
    jw_key_str(&jw, "reason", transfer->reason);
    jw_key_str(&jw, "ref", transfer->ref);
    jw_key_cstr(&jw, "by", command->by);
    jw_object_end(&jw);
}

int
transfer_put(struct command *command, const struct transfer_new *transfer)
{
    struct db_tail *tail = &command->tail;
    struct db_key key = db_key_of_u64(++tail->transfer_count);
    struct transfer head = {
        .wall_us = ledger_wall_us(command->ledger),
        .amount_ucr = transfer->amount_ucr,
        .tenant_id = transfer->tenant_id,
        .kind = transfer->kind,
    };
    struct buf bytes;
    size_t head_len;
    int rc;

    ASSERT(transfer->amount_ucr > 0 && transfer->tenant_id != 0);
    buf_init(&bytes, TEXT_BYTES_MAX);
    buf_add(&bytes, &head, sizeof(head));
    if (has_legs(transfer->kind))
        buf_add(&bytes, &transfer->legs, sizeof(transfer->legs));
    head_len = bytes.len;
    text_write(command, transfer, &bytes);
    if (bytes.failed) {
        buf_free(&bytes);
        return -ENOMEM;
    }
    head.text_len = (uint32_t)(bytes.len - head_len);
    memcpy(bytes.ptr, &head, sizeof(head));

    uint8_t hash[HASH_LEN];

    hash_pair((struct str){(const char *)tail->transfer_hash, HASH_LEN}, buf_str(&bytes), hash);
    memcpy(tail->transfer_hash, hash, HASH_LEN);
    rc = buf_add(&bytes, hash, HASH_LEN) ? db_append(&command->txn, DB_TRANSFER, &key,
                                                     buf_str(&bytes))
                                         : -ENOMEM;
    buf_free(&bytes);
    return rc == 0 ? transfer_sum(command, &head, &transfer->legs) : rc;
}
