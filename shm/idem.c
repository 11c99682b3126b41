#include "shm/idem.h"

#include "base/hash.h"
#include "shm/layout.h"
#include "shm/shm.h"

#include <string.h>

#define TRIES 64
#define AGAIN IDEM_RESULT_COUNT /* somebody was faster */
#define INCARNATION_MASK ((UINT64_C(1) << 22) - 1)
#define SEQUENCE_MASK ((UINT64_C(1) << 32) - 1)
#define TABLE_MASK ((uint64_t)REGION_TABLES_MAX - 1)

_Static_assert(sizeof(struct idem_entry) == CACHE_LINE, "one key, one line");
_Static_assert(IDEM_STATE_COUNT <= 16 && REGION_TABLES_MAX == 64, "their bits in the word");
_Static_assert(CALL_ID_BYTES == 2 * sizeof(uint64_t), "two words");
_Static_assert((IDEM_SET & (IDEM_SET - 1)) == 0, "sets divide the table");

const char *const idem_result_name[] = {
    [IDEM_TAKEN] = "taken", [IDEM_RUNNING] = "running",
    [IDEM_DONE] = "done",   [IDEM_OTHER_REQUEST] = "other-request",
    [IDEM_FULL] = "full",
};
_Static_assert(COUNT_OF(idem_result_name) == IDEM_RESULT_COUNT, "a new result needs a name");

/* ---- words ---- */

static uint64_t
word_make(enum idem_state state, uint64_t table, uint64_t incarnation, uint64_t sequence)
{
    return (uint64_t)state << 60 | (table & TABLE_MASK) << 54 |
           (incarnation & INCARNATION_MASK) << 32 | (sequence & SEQUENCE_MASK);
}

/* As read: another process wrote it, so it may be none of the enum. */
static enum idem_state
word_state(uint64_t word)
{
    return (enum idem_state)(word >> 60);
}

static uint64_t
word_with(uint64_t word, enum idem_state state)
{
    return (word & (UINT64_MAX >> 4)) | (uint64_t)state << 60;
}

/* Acquire pairs with the release that made the table LIVE: who sees that sees its incarnation. */
static bool
owner_lives(const struct region *region, uint64_t word)
{
    const struct region_table *table = &region->header->table[word >> 54 & TABLE_MASK];

    if (atomic_load_explicit(&table->state, memory_order_acquire) != TABLE_LIVE)
        return false;
    return (atomic_load_explicit(&table->incarnation, memory_order_relaxed) & INCARNATION_MASK) ==
           (word >> 32 & INCARNATION_MASK);
}

/* ---- an entry as it was at one moment ---- */

struct seen {
    uint64_t word, key[2], request[2], call_id[2], expires_s;
};

/*
 * False when it changed meanwhile. The acquires pair with the releases of entry_write(): who read
 * something of a later claim sees a later word at the end. seq_cst: after our own PENDING.
 */
static bool
entry_read(const struct idem_entry *entry, struct seen *out)
{
    SHM_STEP("idem: before read");
    out->word = atomic_load_explicit(&entry->word, memory_order_seq_cst);
    for (int i = 0; i < 2; i++) {
        out->key[i] = atomic_load_explicit(&entry->key[i], memory_order_acquire);
        out->request[i] = atomic_load_explicit(&entry->request[i], memory_order_acquire);
        out->call_id[i] = atomic_load_explicit(&entry->call_id[i], memory_order_acquire);
    }
    out->expires_s = atomic_load_explicit(&entry->expires_s, memory_order_acquire);
    return atomic_load_explicit(&entry->word, memory_order_relaxed) == out->word;
}

/* Release: the CLAIM is there before any of it. */
static void
entry_write(struct idem_entry *entry, const struct idem_ask *ask)
{
    uint64_t call_id[2];

    memcpy(call_id, ask->call_id, sizeof(call_id));
    for (int i = 0; i < 2; i++) {
        atomic_store_explicit(&entry->key[i], ask->key[i], memory_order_release);
        atomic_store_explicit(&entry->request[i], ask->request[i], memory_order_release);
        atomic_store_explicit(&entry->call_id[i], call_id[i], memory_order_release);
    }
    atomic_store_explicit(&entry->expires_s, ask->now_s + IDEM_KEEP_S, memory_order_release);
}

/* What an entry means to others. */
enum standing {
    STANDING_NOBODYS = 0, /* free, or as good: expired, or its owner is gone and sent nothing */
    STANDING_UNKNOWN,     /* being written: whose key it will be nobody knows yet */
    STANDING_PENDING,
    STANDING_RUNNING,
    STANDING_FINISHED,
};

static enum standing
standing_of(const struct region *region, const struct seen *seen, uint64_t now_s)
{
    bool lives = owner_lives(region, seen->word);
    enum standing finished = seen->expires_s > now_s ? STANDING_FINISHED : STANDING_NOBODYS;

    switch (word_state(seen->word)) {
    case IDEM_CLAIM: return lives ? STANDING_UNKNOWN : STANDING_NOBODYS;
    case IDEM_PENDING: return lives ? STANDING_PENDING : STANDING_NOBODYS;
    case IDEM_HELD: return lives ? STANDING_RUNNING : STANDING_NOBODYS;
    case IDEM_SENT: return lives ? STANDING_RUNNING : finished;
    case IDEM_FINISHED: return finished;
    case IDEM_FREE:
    case IDEM_STATE_COUNT: break;
    }
    return STANDING_NOBODYS;
}

static bool
same_key(const struct seen *seen, const struct idem_ask *ask)
{
    return seen->key[0] == ask->key[0] && seen->key[1] == ask->key[1];
}

/* The answer to who finds the key with another call. */
static enum idem_result
taken_by(const struct seen *seen, enum standing standing, const struct idem_ask *ask,
         uint8_t first_id[CALL_ID_BYTES])
{
    memcpy(first_id, seen->call_id, CALL_ID_BYTES);
    if (seen->request[0] != ask->request[0] || seen->request[1] != ask->request[1])
        return IDEM_OTHER_REQUEST;
    return standing == STANDING_FINISHED ? IDEM_DONE : IDEM_RUNNING;
}

/* ---- taking ---- */

static struct idem_entry *
set_of(const struct region *region, const struct idem_ask *ask)
{
    uint64_t sets = region->header->geometry.idem_max / IDEM_SET;
    struct idem_entry *entries = region_part(region, REGION_IDEM);

    return entries + (ask->key[0] & (sets - 1)) * IDEM_SET;
}

static bool
entry_move(struct idem_claim *claim, enum idem_state next)
{
    uint64_t word = claim->word;

    if (!atomic_compare_exchange_strong_explicit(&claim->entry->word, &word, word_with(word, next),
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    claim->word = word_with(word, next);
    return true;
}

/* The key with another call, or the place for it: *place NULL when there is none. */
static enum idem_result
look(const struct region *region, struct idem_entry *set, const struct idem_ask *ask,
     struct idem_claim *place, uint8_t first_id[CALL_ID_BYTES])
{
    uint64_t best = UINT64_MAX; /* 0 nobody's, else when it expires */

    *place = (struct idem_claim){NULL, 0};
    for (unsigned i = 0; i < IDEM_SET; i++) {
        struct seen seen;
        enum standing standing;
        uint64_t rank = 0;

        if (!entry_read(&set[i], &seen))
            return AGAIN;
        standing = standing_of(region, &seen, ask->now_s);
        if (standing > STANDING_UNKNOWN && same_key(&seen, ask))
            return taken_by(&seen, standing, ask, first_id);
        if (standing == STANDING_FINISHED)
            rank = seen.expires_s;
        else if (standing != STANDING_NOBODYS)
            continue;
        if (rank < best) {
            best = rank;
            *place = (struct idem_claim){&set[i], seen.word};
        }
    }
    return place->entry != NULL ? IDEM_TAKEN : IDEM_FULL;
}

/*
 * Ours is PENDING: looks for others of the same key. TAKEN: there are none that count. AGAIN:
 * something changed under our eyes too often.
 */
static enum idem_result
contend(const struct region *region, struct idem_entry *set, const struct idem_ask *ask,
        const struct idem_entry *ours, uint8_t first_id[CALL_ID_BYTES])
{
    unsigned tries = 0;

    for (unsigned i = 0; i < IDEM_SET;) {
        struct idem_claim other = {.entry = &set[i]};
        struct seen seen;
        enum standing standing;

        if (other.entry == ours) {
            i++;
            continue;
        }
        if (tries++ == TRIES)
            return AGAIN;
        if (!entry_read(other.entry, &seen)) {
            cpu_relax();
            continue;
        }
        standing = standing_of(region, &seen, ask->now_s);
        if (standing > STANDING_UNKNOWN && same_key(&seen, ask)) {
            if (standing != STANDING_PENDING || other.entry < ours)
                return taken_by(&seen, standing, ask, first_id);
            other.word = seen.word;
            SHM_STEP("idem: before throwing out");
            if (!entry_move(&other, IDEM_FREE))
                continue; /* it holds the key by now, or is gone: look again */
        }
        i++;
    }
    return IDEM_TAKEN;
}

static enum idem_result
try_take(const struct region *region, const struct idem_ask *ask, struct idem_claim *claim,
         uint8_t first_id[CALL_ID_BYTES])
{
    struct idem_entry *set = set_of(region, ask);
    const struct region_table *table = &region->header->table[ask->table_idx];
    struct idem_claim mine;
    enum idem_result result = look(region, set, ask, &mine, first_id);
    uint64_t found = mine.word;

    if (result != IDEM_TAKEN)
        return result;
    mine.word = word_make(IDEM_CLAIM, ask->table_idx,
                          atomic_load_explicit(&table->incarnation, memory_order_relaxed),
                          (found & SEQUENCE_MASK) + 1);
    SHM_STEP("idem: before claim");
    if (!atomic_compare_exchange_strong_explicit(&mine.entry->word, &found, mine.word,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return AGAIN;
    entry_write(mine.entry, ask);
    SHM_STEP("idem: claimed and written"); /* which are one to others */
    /* seq_cst: before the loads of the others' words. Nobody but us changes a CLAIM. */
    if (!entry_move(&mine, IDEM_PENDING))
        return AGAIN;
    result = contend(region, set, ask, mine.entry, first_id);
    SHM_STEP("idem: before the end");
    if (result != IDEM_TAKEN) {
        (void)entry_move(&mine, IDEM_FREE); /* unless another did */
        return result;
    }
    if (!entry_move(&mine, IDEM_HELD))
        return AGAIN; /* thrown out */
    *claim = mine;
    return IDEM_TAKEN;
}

enum idem_result
idem_take(const struct region *region, const struct idem_ask *ask, struct idem_claim *claim,
          uint8_t first_id[CALL_ID_BYTES])
{
    enum idem_result result = AGAIN;

    ASSERT(claim->entry == NULL);
    ASSERT(ask->table_idx < region->header->geometry.table_max);
    for (int i = 0; i < TRIES && result == AGAIN; i++) {
        result = try_take(region, ask, claim, first_id);
        if (result == AGAIN)
            cpu_relax();
    }
    return result == AGAIN ? IDEM_FULL : result;
}

/* ---- having ---- */

/* That a move fails means that somebody wrote into our entry: then it is theirs, and not ours to
 * repair. */
void
idem_sent(struct idem_claim *claim)
{
    if (word_state(claim->word) == IDEM_HELD)
        (void)entry_move(claim, IDEM_SENT);
}

void
idem_finish(struct idem_claim *claim)
{
    (void)entry_move(claim, IDEM_FINISHED);
    claim->entry = NULL;
}

void
idem_release(struct idem_claim *claim)
{
    (void)entry_move(claim, IDEM_FREE);
    claim->entry = NULL;
}

/* ---- hashes ---- */

struct key_text {
    char what[4]; /* API keys are hashed under the same secret: none is equal to this */
    uint32_t tenant_id;
    char key[IDEM_KEY_LEN_MAX];
};

static void
first_words(const uint8_t hash[HASH_LEN], uint64_t out[2])
{
    memcpy(out, hash, 2 * sizeof(*out));
}

void
idem_hash(const struct region *region, uint32_t tenant_id, struct str key, struct str path,
          struct str body, struct idem_ask *ask)
{
    const uint8_t *secret = region->header->key_hash_key;
    struct key_text text = {.what = {'i', 'd', 'e', 'm'}, .tenant_id = tenant_id};
    uint8_t hash[HASH_LEN], body_hash[HASH_LEN];

    ASSERT(key.len <= sizeof(text.key));
    memcpy(text.key, key.ptr, key.len);
    hash_keyed(secret, &text, offsetof(struct key_text, key) + key.len, hash);
    first_words(hash, ask->key);
    hash_keyed(secret, body.ptr, body.len, body_hash);
    hash_pair(path, (struct str){(const char *)body_hash, sizeof(body_hash)}, hash);
    first_words(hash, ask->request);
}
