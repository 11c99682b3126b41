#include "ledger/command_page.h"

#include "base/str.h"
#include "ledger/entity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where a walk is, and what of its keys is the place: all behind the prefix. */
struct place {
    struct db_walk walk;
    size_t prefix_len;
    struct db_key from;
    uint32_t limit; /* UINT32_MAX: none */
    uint8_t last[SEARCH_TEXT_MAX + 8];
    size_t last_len;
};

static bool
page_limit(struct command *command, uint32_t *limit)
{
    if (!command_u32(command, "limit", limit))
        return false;
    if (!command_has(command, "limit")) {
        *limit = command->actor.kind == ACTOR_CLI ? UINT32_MAX : PAGE_LIMIT_OTHERS;
        return true;
    }
    if (*limit > 0 && *limit <= PAGE_LIMIT_MAX)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "limit", "limit is from 1 to %u",
                         PAGE_LIMIT_MAX);
    return false;
}

static bool
page_wanted(struct command *command, struct command_page *page)
{
    struct str q;

    page->wanted = STR_NONE;
    if (!command_str(command, "q", false, &q))
        return false;
    q = str_trim(q);
    if (q.len > ENTITY_EMAIL_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "q", "q is too long");
        return false;
    }
    page->wanted = search_fold(q, page->wanted_room);
    return true;
}

/* Sets from to the place after; ids are written as numbers, texts as hex digits. */
static bool
page_after(struct command *command, const struct command_page *page, struct place *place)
{
    struct str after;
    uint8_t bytes[SEARCH_TEXT_MAX + 8];
    size_t len;
    uint64_t id;

    if (!command_str(command, "after", false, &after))
        return false;
    if (after.len == 0)
        return true;
    if (page->wanted.len == 0) {
        if (str_to_count(after, UINT32_MAX, &id)) {
            db_key_u32(&place->from, (uint32_t)id);
            return true;
        }
    } else {
        len = after.len / 2;
        if (len >= 5 && len <= sizeof(bytes) && str_unhex(after, bytes, len)) {
            memcpy(place->from.bytes + place->from.len, bytes, len);
            place->from.len += len;
            return true;
        }
    }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "after",
                         "after is no \"next\" of this list");
    return false;
}

static int
page_start(struct command *command, const struct command_page *page, struct place *place)
{
    enum db_table table = DB_SEARCH;

    if (page->wanted.len > 0) {
        search_key_text(&place->from, page->table, page->tenant_id);
    } else if (page->member_id != 0) {
        search_key_owner(&place->from, 'm', page->tenant_id, page->member_id);
    } else if (page->project_id != 0) {
        search_key_owner(&place->from, 'p', page->tenant_id, page->project_id);
    } else if (page->tenant_id != 0) {
        table = DB_CHILD;
        db_key_start(&place->from);
        db_key_u8(&place->from, (uint8_t)page->table);
        db_key_u32(&place->from, page->tenant_id);
    } else {
        table = page->table;
        db_key_start(&place->from);
    }
    place->prefix_len = place->from.len;
    if (!page_after(command, page, place))
        return 0;
    /* All that begins so; but the place to go on from is behind the common beginning alone. */
    if (place->from.len == place->prefix_len && page->wanted.len > 0 &&
        !db_key_text(&place->from, page->wanted))
        return -EINVAL;
    return db_walk_start(&command->txn, table, &place->from, place->prefix_len, &place->walk);
}

/* The next entry that is behind the place. False at the end. */
static bool
page_next(struct command_page *page, struct place *place, uint32_t *id)
{
    struct str key, value;

    while (db_walk_next(&place->walk, &key, &value)) {
        struct str behind = {key.ptr + place->prefix_len, key.len - place->prefix_len};

        if (behind.len < 4 || behind.len > sizeof(place->last))
            continue;
        /* It is where the page before ended. */
        if (place->last_len == 0 && place->from.len > place->prefix_len + page->wanted.len &&
            key.len == place->from.len && memcmp(key.ptr, place->from.bytes, key.len) == 0)
            continue;
        if (page->wanted.len > 0) {
            page->at = (struct str){behind.ptr, behind.len - MIN(behind.len, (size_t)5)};
            if (!str_starts_with(page->at, page->wanted))
                return false;
        }
        *id = db_u32(key, key.len - 4);
        return true;
    }
    return false;
}

static void
page_keep(struct place *place, const struct command_page *page, uint32_t id)
{
    struct db_key behind;

    db_key_start(&behind);
    if (page->wanted.len > 0 && db_key_text(&behind, page->at))
        db_key_u8(&behind, 0);
    db_key_u32(&behind, id);
    memcpy(place->last, behind.bytes, behind.len);
    place->last_len = behind.len;
}

static void
page_write_next(struct command *command, const struct command_page *page, const struct place *place,
                bool more)
{
    char text[2 * sizeof(place->last) + 1];

    if (!more) {
        jw_key_cstr(&command->jw, "next", NULL);
        return;
    }
    if (page->wanted.len > 0)
        str_hex(place->last, place->last_len, text);
    else
        snprintf(text, sizeof(text), "%u",
                 db_u32((struct str){(const char *)place->last, place->last_len}, 0));
    jw_key_cstr(&command->jw, "next", text);
}

static int
page_show(struct command *command, struct command_page *page, struct place *place)
{
    uint32_t shown_count = 0, looks = 0, id;
    bool more = false;
    int rc = 0;

    jw_key(&command->jw, page->name);
    jw_array(&command->jw);
    while (rc == 0 && page_next(page, place, &id)) {
        bool shown = false;

        more = shown_count == place->limit ||
               (looks == PAGE_LOOKS_MAX && place->limit != UINT32_MAX);
        if (more)
            break;
        rc = page->show(command, page, id, &shown);
        shown_count += shown ? 1 : 0;
        looks++;
        page_keep(place, page, id);
    }
    if (rc == 0)
        rc = place->walk.failed;
    jw_array_end(&command->jw);
    page_write_next(command, page, place, more);
    return rc;
}

int
command_page(struct command *command, struct command_page *page)
{
    struct place place = {.limit = 0};
    int rc;

    if (!page_limit(command, &place.limit) || !page_wanted(command, page))
        return 0;
    rc = page_start(command, page, &place);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = page_show(command, page, &place);
    db_walk_end(&place.walk);
    return rc;
}

bool
page_has(const struct command_page *page, const struct search_thing *thing)
{
    char room[SEARCH_TEXT_MAX];
    struct str first;

    return page->wanted.len == 0 ||
           (search_first(thing, page->wanted, room, &first) && str_eq(first, page->at));
}
