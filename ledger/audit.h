/* What one audit found, in memory and in the store. */
#ifndef LEDGER_AUDIT_H
#define LEDGER_AUDIT_H

#include "ledger/core.h"

#define AUDIT_FAULTS_MAX 256 /* listed; the others are counted */

struct audit_fault {
    const char *what; /* static text */
    uint64_t id;      /* tenant, budget or block, as `what` says; 0 none */
    bool has_call;
    uint8_t call_id[16]; /* of the call that it is about */
    int64_t expected_ucr, found_ucr;
};

struct audit {
    struct recount_sum sum;
    struct audit_fault faults[AUDIT_FAULTS_MAX];
    uint32_t fault_count;
    uint64_t faults_unlisted;
    uint64_t open_holds, settled, quarantined;
    bool replay; /* asked for: every charge is computed again */
    uint64_t replayed, differing;
    uint64_t log_entries; /* of the audit log */
    uint64_t dropped; /* records that are no more, and stand in the sums of the cut */
};

void audit_fault(struct audit *audit, const char *what, uint64_t id, int64_t expected_ucr,
                 int64_t found_ucr);
/* All of the store in one snapshot, on any thread; says how many records it has. -EILSEQ, -EOVERFLOW:
 * something in it cannot be read. */
int audit_store(struct db_txn *txn, struct audit *audit, uint64_t *records) MUST_CHECK;

#endif
