/* A snapshot of the store as a file that verifies itself: what it says of itself, and writing it. */
#ifndef LEDGER_BACKUP_H
#define LEDGER_BACKUP_H

#include "ledger/backup_file.h"
#include "ledger/db.h"

/* What a backup says of itself in its HEAD; and the same of a store. */
struct backup_about {
    uint32_t format, schema;
    uint8_t instance_id[16];
    char version[32]; /* of the program that wrote it */
    int64_t wall_us;  /* when it was begun: what was committed then is in it, nothing later */
    uint64_t seq;
    uint64_t tenants, calls, records; /* calls of all time; records that are kept of them */
    uint64_t store_bytes; /* about what the file will have */
};

/* Of the store as that transaction sees it; version and wall_us are left. */
int backup_about_store(struct db_txn *txn, struct backup_about *about) MUST_CHECK;
/* Members of a JSON object that is under way. */
struct jw;
void backup_about_write(const struct backup_about *about, struct jw *jw);
/* Of a HEAD's payload. table_of gives for each place in the file's list which table that is;
 * table_count how many. -EILSEQ: it is none; -EPROTO: a newer program's. */
int backup_about_read(struct str json, struct backup_about *about,
                      enum db_table table_of[DB_TABLE_COUNT], unsigned *table_count) MUST_CHECK;
/* Of a file that is being written; its offset stays. -EAGAIN: not that far yet. */
int backup_about_peek(int fd, struct backup_about *about) MUST_CHECK;
/* All of it. As backup_out_note(). */
int backup_write(struct db_txn *txn, const struct backup_about *about,
                 struct backup_out *out) MUST_CHECK;

#endif
