/*
 * The store: one LMDB environment, its tables and their fixed records.
 *
 * Opened by one process, after it was forked, always fully synced. Read transactions are short and
 * may run on any thread; there is one write transaction at a time, on the ledger's main thread.
 * Errors are negative errnos: -ENOENT not found, -EEXIST there already, -EILSEQ a record that is not
 * what it must be, -ENOSPC, -EIO; after any failed commit the process has to end.
 */
#ifndef LEDGER_DB_H
#define LEDGER_DB_H

#include "base/base.h"
#include "base/hash.h"

#define DB_SCHEMA_VERSION 2u

enum db_table {
    DB_META = 0,     /* text -> bytes */
    DB_TENANT,       /* id -> JSON document; as all of the four */
    DB_MEMBER,
    DB_PROJECT,
    DB_KEY,
    DB_CHILD,        /* enum db_table as u8, tenant, id -> nothing: what belongs to a tenant */
    DB_UNIQUE,       /* enum db_table as u8, tenant (0 for tenants), text -> id */
    DB_WALLET,       /* tenant -> struct db_wallet */
    DB_BUDGET,       /* id -> struct db_budget */
    DB_BUDGET_TOTAL, /* budget, window as u16 -> charges in that window, i64 */
    DB_TRANSFER,     /* number as u64 -> struct db_transfer, text, hash (ledger/credit.c) */
    DB_REF,          /* the text of --ref -> number of its transfer as u64 */
    DB_BLOCK,        /* commit time in us as u64, never twice -> block of call records */
    DB_MINUTE,       /* minute of a call's start as u32, block's key -> nothing */
    DB_ROLLUP,       /* see ledger/rollup.h */
    DB_NAME,         /* id -> text, and 0xff, text -> id */
    DB_PRICE,        /* price version as u64 -> JSON */
    DB_OPEN_HOLD,    /* table, slot, generation as u64, region as u64 -> struct db_open_hold */
    DB_FAULT,        /* number as u64 -> JSON: what was set aside, when */
    DB_KEPT,         /* what upstreams keep for tenants: see ledger/kept.h */
    DB_LATENCY,      /* see ledger/rollup.h */
    DB_CUT,          /* what stands for records that were dropped: see ledger/cut.h */
    DB_MAIL,         /* mail that waits to be sent: see ledger/outbox.h */
    DB_WEBHOOK,      /* id -> JSON: see ledger/webhook.h */
    DB_DELIVERY,     /* what webhooks are told, and were: see ledger/outbox.h, ledger/webhook.h */
    DB_ALERT,        /* see ledger/alert.h */
    DB_AUDIT,        /* number as u64 -> JSON, hash: who did what (ledger/audit_log.h) */
    DB_AUDIT_INDEX,  /* enum audit_by as u8, what, number as u64 -> nothing */
    DB_IDEM,         /* what was answered to whom: see ledger/idem.h */
    DB_PERSON,       /* id -> JSON: who can sign in (ledger/person.h) */
    DB_SESSION,      /* see ledger/brief.h: of persons who are signed in */
    DB_BRIEF,        /* see ledger/brief.h: codes, tickets, failures to sign in */
    DB_INVITE,       /* id -> JSON: invitations to a tenant */
    DB_SUM,          /* totals of hours and days, by what calls have in common: see ledger/sum.h */
    DB_WHERE,        /* which blocks have calls of a minute, tenant and more: see ledger/where.h */
    DB_BUDGET_OPEN,  /* budget -> struct db_budget_open: of rolling windows */
    DB_OUTLINE,      /* what a start has to know: see ledger/outline.h */
    DB_SEARCH,       /* where lists find what they are asked for: see ledger/search.h */
    DB_USED,         /* key -> when it was last used, i64 in us, to the minute */
    DB_TERMS,        /* kind as u8, version as u32 -> JSON: see ledger/site.h, as the next two */
    DB_NOTICE,       /* id as u32 -> JSON */
    DB_SETTING,      /* name -> JSON */
    DB_CONF,         /* number as u64 -> JSON: texts of routes.conf (ledger/command_conf.c) */
    DB_SIGNIN,       /* see ledger/brief.h: failures to sign in that the audit log counts (ledger/command_failed.c) */
    DB_BOOK,         /* kind as u8, tenant as u32, number as u64 -> balance, i64 (ledger/books.h) */
    DB_ONCE,         /* a movement's name -> its number as u64 */
    DB_GRANT,        /* id as u64 -> struct db_grant (ledger/grant.h) */
    DB_GRANT_OF,     /* tenant as u32, expiry as u64, id as u64 -> nothing: those with something left */
    DB_GRANT_DUE,    /* expiry as u64, id as u64 -> nothing: those with something left that will expire */
    DB_VOUCHER_BATCH, /* id as u32 -> JSON: redemption codes of one kind (ledger/command_voucher.c) */
    DB_VOUCHER,      /* hash of a code that is open -> batch as u32, number as u32 */
    DB_VOUCHER_OPEN, /* batch as u32, number as u32 -> that hash */
    DB_VOUCHER_USE,  /* batch as u32, number as u32 -> JSON: who redeemed it */
    DB_VOUCHER_OF,   /* batch as u32, tenant as u32 -> how many it redeemed, u32 */
    DB_ORDER,        /* ID -> JSON (ledger/order.h), as the next four */
    DB_ORDER_OF,     /* tenant as u32, when it was made as u64, ID -> nothing */
    DB_ORDER_OPEN,   /* when it is looked at again as u64, ID -> nothing */
    DB_INBOX,        /* 'e', hash of provider and event -> JSON; 'p', of provider and payment -> the order's ID */
    DB_REVIEW,       /* time as u64, number as u32 -> JSON: what a person has to look at */
    DB_TABLE_COUNT
};

/* What happens between steps that a test wants to stop at. */
enum db_step { DB_BEFORE_PUT = 0, DB_BEFORE_COMMIT, DB_AFTER_COMMIT };

struct db;
struct MDB_txn;
struct MDB_cursor;

struct db_setup {
    const char *path; /* the directory, made (0700) when there is none */
    uint64_t map_bytes; /* 0: the default */
    /* Test only: a negative errno fails that step; may be NULL. */
    int (*fault)(void *arg, enum db_step step);
    void *fault_arg;
};

int db_open(const struct db_setup *setup, struct db **out) MUST_CHECK;
/* What was made, renamed or removed in a folder is so after a power cut. 0 or a negative errno. */
int db_sync_dir(const char *path) MUST_CHECK;
void db_close(struct db **db);
/* For the text of a failure: where the store is, and what of it failed. */
const char *db_path(const struct db *db);
const char *db_step_text(const struct db *db);
/* What the file system of a store, or of one that is to be made, has left. UINT64_MAX: not known. */
uint64_t db_free_bytes(const char *path);

struct db_txn {
    struct db *db;
    struct MDB_txn *mdb; /* NULL: not begun, or over */
    bool write, is_long;
};

int db_read(struct db *db, struct db_txn *txn) MUST_CHECK;  /* any thread */
/*
 * A read that may take minutes, on any thread: the map does not grow meanwhile, since growing would
 * wait for it. When the store needs the room, db_wants_room() says that it should end itself.
 */
int db_read_long(struct db *db, struct db_txn *txn) MUST_CHECK;
bool db_wants_room(const struct db *db);
int db_write(struct db *db, struct db_txn *txn) MUST_CHECK; /* the main thread */
int db_commit(struct db_txn *txn) MUST_CHECK; /* synced; over in either case */
void db_end(struct db_txn *txn);              /* ends a read, aborts a write; safe when over */

/* Keys: numbers big-endian, so that the order of bytes is the order of numbers. */
struct db_key {
    size_t len;
    uint8_t bytes[511]; /* LMDB's limit */
};
void db_key_start(struct db_key *key);
void db_key_u8(struct db_key *key, uint8_t n);
void db_key_u16(struct db_key *key, uint16_t n);
void db_key_u32(struct db_key *key, uint32_t n);
void db_key_u64(struct db_key *key, uint64_t n);
bool db_key_text(struct db_key *key, struct str s) MUST_CHECK; /* false: too long */
struct db_key db_key_of_u32(uint32_t n);
struct db_key db_key_of_u64(uint64_t n);
uint32_t db_u32(struct str bytes, size_t at); /* big-endian from a key; 0 past its end */
uint64_t db_u64(struct str bytes, size_t at);

/* The value is valid until the transaction's end or its next write. */
int db_get(struct db_txn *txn, enum db_table table, const struct db_key *key,
           struct str *value) MUST_CHECK;
/* Exactly len bytes; -EILSEQ when the stored record has another size. */
int db_get_fixed(struct db_txn *txn, enum db_table table, const struct db_key *key, void *out,
                 size_t len) MUST_CHECK;
int db_put(struct db_txn *txn, enum db_table table, const struct db_key *key,
           struct str value) MUST_CHECK;
int db_put_new(struct db_txn *txn, enum db_table table, const struct db_key *key,
               struct str value) MUST_CHECK; /* -EEXIST */
int db_append(struct db_txn *txn, enum db_table table, const struct db_key *key,
              struct str value) MUST_CHECK; /* the key is larger than any there */
/* As db_append(), of any table: several values of one key come in their order, too. -EEXIST: out of order. */
int db_load(struct db_txn *txn, enum db_table table, const struct db_key *key,
            struct str value) MUST_CHECK;
int db_delete(struct db_txn *txn, enum db_table table, const struct db_key *key) MUST_CHECK;
int db_meta_get(struct db_txn *txn, const char *name, struct str *value) MUST_CHECK;
int db_meta_put(struct db_txn *txn, const char *name, struct str value) MUST_CHECK;
/* Where the store stands, and that whoever wrote this keeps what is derived from documents, too: a
 * program that knows nothing of it leaves a number behind that is not the tail's. */
struct db_tail;
int db_tail_put(struct db_txn *txn, const struct db_tail *tail) MUST_CHECK;
/* No: an older program wrote last, or another version of what is derived is there. */
bool db_derived_is_new(struct db_txn *txn, const struct db_tail *tail);

/* From the first key that is not below `from`, upwards, as long as keys begin with `prefix_len`
 * bytes of it. */
struct db_walk {
    struct MDB_cursor *cursor;
    struct db_key from;
    size_t prefix_len;
    bool started, down;
    int failed; /* negative errno, 0 at a plain end */
};
int db_walk_start(struct db_txn *txn, enum db_table table, const struct db_key *from,
                  size_t prefix_len, struct db_walk *walk) MUST_CHECK;
bool db_walk_next(struct db_walk *walk, struct str *key, struct str *value);
/* The same downwards, from the last key that is below `below` and begins with prefix_len bytes of it. */
int db_walk_start_down(struct db_txn *txn, enum db_table table, const struct db_key *below,
                       size_t prefix_len, struct db_walk *walk) MUST_CHECK;
void db_walk_end(struct db_walk *walk);
int db_minute_delete(struct db_txn *txn, uint32_t minute, uint64_t block) MUST_CHECK; /* -ENOENT */
/* For DB_MINUTE, whose values are block keys in order: from that value on. */
int db_minute_put(struct db_txn *txn, uint32_t minute, uint64_t block) MUST_CHECK;
int db_minute_next(struct db_txn *txn, uint32_t minute, uint64_t block_from,
                   uint64_t *block) MUST_CHECK; /* -ENOENT */
/* The greatest pair below that one, and the least above. -ENOENT when there is none. */
int db_minute_before(struct db_txn *txn, uint32_t *minute, uint64_t *block) MUST_CHECK;
int db_minute_after(struct db_txn *txn, uint32_t *minute, uint64_t *block) MUST_CHECK;
/*
 * For tables of which a key has many values, block keys in order. Putting one that is there changes nothing. The
 * least that is not below `from`; the greatest below `below`; the first and last key. -ENOENT.
 */
bool db_has_many(enum db_table table);
int db_many_put(struct db_txn *txn, enum db_table table, const struct db_key *key,
                uint64_t block) MUST_CHECK;
int db_many_delete(struct db_txn *txn, enum db_table table, const struct db_key *key,
                   uint64_t block) MUST_CHECK;
int db_many_next(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t from,
                 uint64_t *block) MUST_CHECK;
int db_many_before(struct db_txn *txn, enum db_table table, const struct db_key *key,
                   uint64_t below, uint64_t *block) MUST_CHECK;
int db_many_count(struct db_txn *txn, enum db_table table, const struct db_key *key,
                  uint64_t *count) MUST_CHECK; /* 0 for none */
/* The greatest key below that, of a table whose keys are numbers. -ENOENT. */
int db_u64_before(struct db_txn *txn, enum db_table table, uint64_t below, uint64_t *key) MUST_CHECK;
/* All entries go, in the transaction. */
int db_empty(struct db_txn *txn, enum db_table table) MUST_CHECK;
bool db_is_empty(struct db_txn *txn, enum db_table table); /* false when that cannot be told */
/* How many entries a table has, and the bytes of its pages. 0 when that cannot be told. */
struct db_size {
    uint64_t entries, bytes;
};
struct db_size db_size(struct db_txn *txn, enum db_table table);
/* What the store takes and its disk has. False when that cannot be told. */
struct db_room {
    uint64_t used_bytes, disk_bytes, free_bytes;
};
bool db_room(struct db *db, struct db_room *out) MUST_CHECK;
extern const char *const db_table_name[DB_TABLE_COUNT];
/* The first entry of a table, and the last. -ENOENT when it is empty. */
int db_first(struct db_txn *txn, enum db_table table, struct str *key, struct str *value) MUST_CHECK;
int db_last(struct db_txn *txn, enum db_table table, struct str *key, struct str *value) MUST_CHECK;

#define DB_FULL_WARN 800 /* per mille of the room: say so */
#define DB_FULL_STOP 950 /* take no new calls */
#define DB_FULL_AGAIN 930 /* below it, take them again */
/*
 * Between transactions of the main thread: grows the map when it is half full (waits for readers, who
 * are short, and comes again later where one is long), allocates the file ahead. Returns the part of the room that is used, per mille: of the
 * map or of what the file system has, whichever is fuller; at least DB_FULL_STOP when what is left
 * is only enough for what was admitted already.
 */
int db_look_after(struct db *db);

/* ---- fixed records; all little-endian as the machine is, sizes checked at opening ---- */

enum db_transfer_kind { /* the store's form: only added to at the end */
    TRANSFER_GRANT = 0, /* of the first two the other side is in struct db_tail */
    TRANSFER_DEDUCT,
    TRANSFER_TOPUP,      /* bought; the rest: see ledger/books.h */
    TRANSFER_BONUS,
    TRANSFER_TRIAL,
    TRANSFER_GIFT,
    TRANSFER_CODE,
    TRANSFER_REFERRAL,
    TRANSFER_EXPIRE,
    TRANSFER_ALLOWANCE,  /* a plan's, at the beginning of its period */
    TRANSFER_PLAN,       /* no movement of its own: what a plan paid for calls */
    TRANSFER_SALE,       /* a plan's price, out of the wallet */
    TRANSFER_REFUND,     /* taken back against money, or on its way */
    TRANSFER_RETURN,     /* what a refund that came to nothing had taken */
    TRANSFER_CHARGEBACK,
    TRANSFER_WRITE_OFF,
    TRANSFER_KIND_COUNT
};
#define TRANSFER_PLAIN_COUNT 2
extern const char *const db_transfer_kind_name[TRANSFER_KIND_COUNT];

/* Rewritten by every transaction: where the store stands. */
struct db_tail {
    uint64_t seq;           /* of the last transaction */
    uint64_t block_seq;     /* the last one that wrote a block, 0 none */
    uint64_t block_key;     /* that block's */
    uint8_t block_hash[HASH_LEN];
    uint64_t record_count;  /* of all blocks */
    uint64_t transfer_count; /* the last transfer's number */
    uint8_t transfer_hash[HASH_LEN];
    /* Double entry: with all wallets' (deposited - spent) these sum to zero. */
    int64_t source_ucr[TRANSFER_PLAIN_COUNT];
    int64_t revenue_ucr;
    uint32_t tenant_last, member_last, project_last, key_last; /* ids given out */
    uint64_t budget_last;
    uint64_t fault_count;
    uint32_t name_last;
    uint32_t pad;
};
_Static_assert(sizeof(struct db_tail) == 168, "the store's form");

struct db_wallet {
    int64_t deposited_ucr; /* all that came in less what was taken out again */
    int64_t spent_ucr;     /* never falls */
    int64_t uncollected_ucr;
    int64_t in_ucr[TRANSFER_PLAIN_COUNT]; /* by kind; deductions are negative. Of other kinds: BOOK_IN */
    uint64_t call_count;
};
_Static_assert(sizeof(struct db_wallet) == 48, "the store's form");

struct db_budget {
    uint32_t kind, period; /* enum budget_kind, enum budget_period */
    int64_t limit_ucr;     /* negative: none any more */
    uint32_t tenant_id, owner_id; /* of the key, member, project or tenant */
    /* Kept only where one is not 0: what was before this is DB_BUDGET_BYTES_PLAIN. */
    uint32_t flags;    /* enum db_budget_flag */
    uint32_t length_s; /* of a rolling window */
};
enum db_budget_flag { DB_BUDGET_SHADOW = 1u };
_Static_assert(sizeof(struct db_budget) == 32, "the store's form");
#define DB_BUDGET_BYTES_PLAIN 24

struct db_budget_open { /* the last rolling window that is known of */
    uint32_t window, pad;
    int64_t ends_us; /* 0: it has ended */
};
_Static_assert(sizeof(struct db_budget_open) == 16, "the store's form");

struct db_open_hold { /* a hold made durable before its dispatch, or before what it pays for */
    uint8_t call_id[16];
    int64_t amount_ucr, progress_ucr;
    int64_t start_wall_us;
    uint64_t price_version;
    uint32_t tenant_id, key_id, member_id, project_id;
    uint64_t budget_id[4];
    uint16_t budget_window[4];
    uint32_t model, channel; /* name ids of the store */
    uint32_t table_idx, slot;
    uint64_t generation;
    /* What progress_ucr was computed from, as in struct block_record. */
    uint32_t count[15];
    uint8_t protocol, endpoint, tier, service, discount;
    uint8_t extension; /* 1: a further hold of its call, taken while it ran */
    uint8_t pad[2];
    uint32_t deal_u; /* as in struct block_record */
};
_Static_assert(sizeof(struct db_open_hold) == 200, "the store's form");

#endif
