#include "ledger/search.h"

#include "base/str.h"
#include "ledger/entity.h"

#include <errno.h>
#include <string.h>

static char
fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_wide(char c) /* of a character that is not ASCII, any byte */
{
    return (unsigned char)c >= 0x80;
}

/* A word begins here, or such a character. */
static bool
is_start(struct str text, size_t at)
{
    char c = text.ptr[at];

    if (is_wide(c))
        return (unsigned char)c >= 0xc0;
    return is_letter(c) && (at == 0 || !is_letter(text.ptr[at - 1]));
}

struct str
search_fold(struct str text, char *out)
{
    size_t len = MIN(text.len, (size_t)SEARCH_TEXT_MAX);

    for (size_t i = 0; i < len; i++)
        out[i] = fold(text.ptr[i]);
    return (struct str){out, len};
}

/* The next place at or after *at, which moves behind it; false at the end. */
static bool
next_start(struct str text, size_t *at, char *out, struct str *found)
{
    while (*at < text.len && !is_start(text, *at))
        ++*at;
    if (*at >= text.len)
        return false;
    *found = search_fold((struct str){text.ptr + *at, text.len - *at}, out);
    ++*at;
    return true;
}

static int
compare(struct str a, struct str b)
{
    int order = memcmp(a.ptr, b.ptr, MIN(a.len, b.len));

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool
search_first(const struct search_thing *thing, struct str wanted, char *out, struct str *found)
{
    char room[SEARCH_TEXT_MAX];
    struct str text;

    *found = STR_NONE;
    for (size_t t = 0; t < SEARCH_TEXTS_MAX; t++) {
        unsigned starts = 0;

        for (size_t at = 0; thing->text[t].len > 0 && starts < SEARCH_STARTS_MAX &&
                            next_start(thing->text[t], &at, room, &text);
             starts++) {
            if (text.len < wanted.len || memcmp(text.ptr, wanted.ptr, wanted.len) != 0 ||
                (found->ptr != NULL && compare(text, *found) >= 0))
                continue;
            memcpy(out, text.ptr, text.len);
            *found = (struct str){out, text.len};
        }
    }
    return found->ptr != NULL;
}

/* ---- keys ---- */

void
search_key_text(struct db_key *key, enum db_table table, uint32_t tenant_id)
{
    db_key_start(key);
    db_key_u8(key, 'w');
    db_key_u8(key, (uint8_t)table);
    db_key_u32(key, tenant_id);
}

void
search_key_owner(struct db_key *key, char kind, uint32_t tenant_id, uint32_t owner_id)
{
    db_key_start(key);
    db_key_u8(key, (uint8_t)kind);
    db_key_u32(key, tenant_id);
    db_key_u32(key, owner_id);
}

static int
change_at(struct db_txn *txn, const struct db_key *key, bool put)
{
    int rc = put ? db_put(txn, DB_SEARCH, key, STR("")) : db_delete(txn, DB_SEARCH, key);

    return rc == -ENOENT ? 0 : rc;
}

static int
change_text(struct db_txn *txn, const struct search_thing *thing, struct str text, bool put)
{
    char room[SEARCH_TEXT_MAX];
    unsigned starts = 0;
    struct str found;
    int rc = 0;

    for (size_t at = 0;
         rc == 0 && starts < SEARCH_STARTS_MAX && next_start(text, &at, room, &found); starts++) {
        struct db_key key;

        search_key_text(&key, thing->table, thing->tenant_id);
        if (!db_key_text(&key, found))
            return -EINVAL;
        db_key_u8(&key, 0);
        db_key_u32(&key, thing->id);
        rc = change_at(txn, &key, put);
    }
    return rc;
}

static int
change_owner(struct db_txn *txn, const struct search_thing *thing, char kind, uint32_t owner_id,
             bool put)
{
    struct db_key key;

    if (owner_id == 0)
        return 0;
    search_key_owner(&key, kind, thing->tenant_id, owner_id);
    db_key_u32(&key, thing->id);
    return change_at(txn, &key, put);
}

static bool
same_texts(const struct search_thing *a, const struct search_thing *b)
{
    for (size_t t = 0; t < SEARCH_TEXTS_MAX; t++)
        if (!str_eq(a->text[t], b->text[t]))
            return false;
    return true;
}

static int
change_texts(struct db_txn *txn, const struct search_thing *thing, bool put)
{
    int rc = 0;

    for (size_t t = 0; rc == 0 && t < SEARCH_TEXTS_MAX; t++)
        rc = change_text(txn, thing, thing->text[t], put);
    return rc;
}

static int
change_owners(struct db_txn *txn, const struct search_thing *thing, bool put)
{
    int rc = change_owner(txn, thing, 'm', thing->member_id, put);

    return rc == 0 ? change_owner(txn, thing, 'p', thing->project_id, put) : rc;
}

int
search_change(struct db_txn *txn, const struct search_thing *old, const struct search_thing *now)
{
    bool was = old != NULL && !old->gone, texts, owners;
    int rc = 0;

    ASSERT(now->id != 0);
    texts = !was || now->gone || !same_texts(old, now);
    owners = !was || now->gone || old->member_id != now->member_id ||
             old->project_id != now->project_id;
    if (was && texts)
        rc = change_texts(txn, old, false);
    if (rc == 0 && was && owners)
        rc = change_owners(txn, old, false);
    if (now->gone)
        return rc == 0 ? entity_child_drop(txn, now->table, now->tenant_id, now->id) : rc;
    if (rc == 0 && texts)
        rc = change_texts(txn, now, true);
    return rc == 0 && owners ? change_owners(txn, now, true) : rc;
}
