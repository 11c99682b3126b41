/*
 * The file of a backup: frames, each with a hash over the one before, so that a byte that was changed,
 * dropped or added anywhere is found, and where.
 *
 *     frame    magic, kind, bytes of the payload, number; payload; hash of the last frame's hash and all that
 *     HEAD     the first: a JSON object: format, schema, instance, time, tables by name, and what is in it
 *     DATA     entries: table's place in that list, lengths, key, value; in the order of tables and keys
 *     END      the last: a JSON object: how many entries there were
 *
 * Numbers are little-endian. Written and read from front to back, so pipes do. Knows no store: bytes
 * go out, bytes come in. Reading trusts nothing.
 */
#ifndef LEDGER_BACKUP_FILE_H
#define LEDGER_BACKUP_FILE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/hash.h"

#define BACKUP_FORMAT 1u
#define BACKUP_FRAME_BYTES (UINT32_C(1) << 20) /* about; a long entry has a frame of its own */
#define BACKUP_FRAME_BYTES_MAX (UINT32_C(64) << 20)

enum backup_kind { BACKUP_HEAD = 0, BACKUP_DATA, BACKUP_END, BACKUP_KIND_COUNT };

/* ---- writing ---- */

struct backup_out {
    int fd; /* the caller's */
    bool plain; /* a file: it takes whatever comes; else it may make us wait */
    bool (*stop)(void *arg); /* asked now and then: give up. May be NULL */
    void *arg;
    uint8_t hash[HASH_LEN];
    uint32_t number;
    uint64_t bytes, entries;
    struct buf frame; /* head and payload of the one that is being filled */
};

/* A descriptor that is no file is made non-blocking. */
void backup_out_start(struct backup_out *out, int fd, bool (*stop)(void *arg), void *arg);
/* Writes a frame of that JSON, after what was not written yet. 0, or as write(); -ECANCELED: stopped;
 * -ETIMEDOUT: nobody took anything for a minute. */
int backup_out_note(struct backup_out *out, enum backup_kind kind, struct str json) MUST_CHECK;
int backup_out_entry(struct backup_out *out, uint8_t table, struct str key,
                     struct str value) MUST_CHECK;
void backup_out_end(struct backup_out *out); /* frees; writes nothing */

/* ---- reading ---- */

struct backup_in {
    int fd; /* the caller's */
    bool (*stop)(void *arg); /* as of struct backup_out; set after backup_in_start() */
    void *arg;
    uint8_t hash[HASH_LEN];
    uint32_t number;    /* of the next frame */
    uint64_t at, next;  /* where the frame begins that was read last, and the next one */
    struct buf frame;
    struct str payload; /* of the frame that was read last; until the next is */
    enum backup_kind kind;
    size_t taken; /* of the payload */
    const char *fault; /* of -EILSEQ: what is wrong; static text */
};

void backup_in_start(struct backup_in *in, int fd);
/* The next frame, whole and with the right hash. -EILSEQ: see fault and at; -ECANCELED: stopped; other
 * errnos as read(). */
int backup_in_frame(struct backup_in *in) MUST_CHECK;
/* After a HEAD or DATA: false when the frame has no more entries, or (fault is set) is none. */
bool backup_in_entry(struct backup_in *in, uint8_t *table, struct str *key,
                     struct str *value) MUST_CHECK;
/* After an END: -EILSEQ when anything follows. */
int backup_in_over(struct backup_in *in) MUST_CHECK;
void backup_in_end(struct backup_in *in);
/* The first frame's payload in a file's first bytes, unverified. STR_NONE: not all of it is there. */
struct str backup_in_peek(struct str bytes);

#endif
