#include "ledger/session.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define INDEX_HASH_AT 5u

static const char token_letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void
token_new(char *text)
{
    size_t len = 0;

    while (len < TOKEN_LEN) {
        uint8_t bytes[64];

        rng_bytes(bytes, sizeof(bytes));
        /* The last 8 of 256 values would favour the first letters. */
        for (size_t i = 0; i < sizeof(bytes) && len < TOKEN_LEN; i++)
            if (bytes[i] < 248)
                text[len++] = token_letters[bytes[i] % 62];
        explicit_bzero(bytes, sizeof(bytes));
    }
    text[len] = '\0';
}

bool
token_well_formed(struct str text)
{
    if (text.len != TOKEN_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (memchr(token_letters, text.ptr[i], sizeof(token_letters) - 1) == NULL)
            return false;
    return true;
}

void
session_hash(const uint8_t key[HASH_KEY_LEN], struct str token, uint8_t hash[HASH_LEN])
{
    brief_name(key, "session", token, STR(""), hash);
}

static struct brief
brief_of(const uint8_t hash[HASH_LEN])
{
    struct brief brief = {.table = DB_SESSION, .kind = BRIEF_SESSION};

    memcpy(brief.hash, hash, HASH_LEN);
    return brief;
}

static void
index_key(uint32_t person_id, struct db_key *key)
{
    db_key_start(key);
    db_key_u8(key, 'p');
    db_key_u32(key, person_id);
}

int
session_get(struct db_txn *txn, const uint8_t hash[HASH_LEN], int64_t now_us, struct session *out)
{
    struct brief brief = brief_of(hash);
    struct js_value doc;
    int rc = brief_get(txn, &brief, now_us, &doc);

    if (rc < 0)
        return rc;
    *out = (struct session){
        .person_id = doc_u32(doc, STR("person")),
        .created_us = doc_i64(doc, STR("created_us")),
        .expires_us = brief.expires_us,
        .seen_us = doc_i64(doc, STR("seen_us")),
    };
    memcpy(out->hash, hash, HASH_LEN);
    doc_text(doc, STR("ip"), out->ip, sizeof(out->ip));
    doc_text(doc, STR("agent"), out->agent, sizeof(out->agent));
    doc_text(doc, STR("csrf"), out->csrf, sizeof(out->csrf));
    return 0;
}

int
session_put(struct db_txn *txn, const struct session *s)
{
    struct brief brief = brief_of(s->hash);
    struct db_key index;
    struct doc doc;
    int rc;

    index_key(s->person_id, &index);
    ASSERT(db_key_text(&index, (struct str){(const char *)s->hash, HASH_LEN}));
    rc = db_put(txn, DB_SESSION, &index, STR(""));
    if (rc < 0)
        return rc;
    doc_start(&doc);
    jw_key_u64(&doc.jw, "person", s->person_id);
    jw_key_i64(&doc.jw, "created_us", s->created_us);
    jw_key_i64(&doc.jw, "seen_us", s->seen_us);
    jw_key_cstr(&doc.jw, "ip", s->ip);
    jw_key_cstr(&doc.jw, "agent", s->agent);
    jw_key_cstr(&doc.jw, "csrf", s->csrf);
    return brief_put(txn, &brief, s->expires_us, &doc);
}

static int
index_drop(struct db_txn *txn, uint32_t person_id, const uint8_t hash[HASH_LEN])
{
    struct db_key index;
    int rc;

    index_key(person_id, &index);
    ASSERT(db_key_text(&index, (struct str){(const char *)hash, HASH_LEN}));
    rc = db_delete(txn, DB_SESSION, &index);
    return rc == -ENOENT ? 0 : rc;
}

int
session_drop(struct db_txn *txn, const struct session *s)
{
    struct brief brief = brief_of(s->hash);
    int rc = index_drop(txn, s->person_id, s->hash);

    return rc < 0 ? rc : brief_drop(txn, &brief);
}

/* Hashes of a person's sessions, those that are over included. */
static int
hashes(struct db_txn *txn, uint32_t person_id, uint8_t list[SESSIONS_MAX][HASH_LEN], uint32_t *count)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    *count = 0;
    index_key(person_id, &from);
    rc = db_walk_start(txn, DB_SESSION, &from, from.len, &walk);
    if (rc < 0)
        return rc;
    while (*count < SESSIONS_MAX && db_walk_next(&walk, &key, &value))
        if (key.len == INDEX_HASH_AT + HASH_LEN)
            memcpy(list[(*count)++], key.ptr + INDEX_HASH_AT, HASH_LEN);
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
session_list(struct db_txn *txn, uint32_t person_id, int64_t now_us,
             struct session list[SESSIONS_MAX], uint32_t *count)
{
    uint8_t hash[SESSIONS_MAX][HASH_LEN];
    uint32_t found;
    int rc = hashes(txn, person_id, hash, &found);

    *count = 0;
    for (uint32_t i = 0; rc == 0 && i < found; i++) {
        rc = session_get(txn, hash[i], now_us, &list[*count]);
        if (rc == 0)
            ++*count;
        else if (rc == -ENOENT)
            rc = 0;
    }
    return rc;
}

int
session_drop_all(struct db_txn *txn, uint32_t person_id, const uint8_t *but, uint32_t *count)
{
    uint8_t hash[SESSIONS_MAX][HASH_LEN];
    uint32_t found;
    int rc = hashes(txn, person_id, hash, &found);

    *count = 0;
    for (uint32_t i = 0; rc == 0 && i < found; i++) {
        struct session s = {.person_id = person_id};

        if (but != NULL && hash_eq(hash[i], but))
            continue;
        memcpy(s.hash, hash[i], HASH_LEN);
        rc = session_drop(txn, &s);
        ++*count;
    }
    return rc;
}

static int
swept(struct db_txn *txn, const struct brief *brief, struct js_value doc)
{
    return index_drop(txn, doc_u32(doc, STR("person")), brief->hash);
}

int
session_sweep(struct db_txn *txn, int64_t now_us)
{
    return brief_sweep(txn, DB_SESSION, now_us, swept);
}
