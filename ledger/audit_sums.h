/*
 * The audit's look at totals (ledger/sum.h) and at where calls are (ledger/where.h): in each hour and day of a tenant what
 * each dimension has comes to the same; over all of them, that is what wallets say; and every block is found
 * where it must be, and nothing else is. Private to the audit.
 */
#ifndef LEDGER_AUDIT_SUMS_H
#define LEDGER_AUDIT_SUMS_H

#include "ledger/audit.h"
#include "ledger/sum.h"

struct audit_sums {
    struct audit *audit;
    bool complete; /* else nothing is compared: they are being made */
    uint64_t entries; /* that blocks have in DB_WHERE */
    struct audit_of_tenant {
        int64_t charge_ucr[2], in_ucr[2][TRANSFER_KIND_COUNT]; /* by hours, by days */
        uint64_t calls[2];
    } *tenants; /* by id; 0: all */
    uint32_t tenant_cap;
};

int audit_sums_block(struct audit_sums *sums, struct db_txn *txn, uint64_t key,
                     struct str bytes) MUST_CHECK;
/* After all blocks. */
int audit_sums_read(struct audit_sums *sums, struct db_txn *txn) MUST_CHECK;
/* in_ucr: what came into the pool, by kind of movement. */
void audit_sums_compare(struct audit_sums *sums, uint32_t tenant_id, const struct db_wallet *wallet,
                        const int64_t in_ucr[TRANSFER_KIND_COUNT]);
void audit_sums_free(struct audit_sums *sums);

#endif
