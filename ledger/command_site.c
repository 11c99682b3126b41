/* Commands about the terms and the privacy policy, announcements, and the operator's texts. */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/site.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define DOC_MAX (2 * SITE_TEXT_MAX + 16384)
#define NOTE_MAX 500u
#define NOTICE_TEXT_MAX 4000u
#define NOTICES_MAX 1000u

const char *const terms_kind_name[] = {
    [TERMS_SERVICE] = "terms",
    [TERMS_PRIVACY] = "privacy",
};
_Static_assert(COUNT_OF(terms_kind_name) == TERMS_KIND_COUNT, "a new kind needs a name");

/* ---- arguments ---- */

/* Text of several lines: no control characters but line ends and tabs. */
static bool
text_arg(struct command *command, const char *name, bool must, size_t max, struct str *out)
{
    if (!command_str(command, name, must, out))
        return false;
    if (out->len > max) {
        command_refuse_field(command, COMMAND_USAGE, "too_long", name, "%s: at most %zu bytes", name,
                             max);
        return false;
    }
    for (size_t i = 0; i < out->len; i++)
        if ((uint8_t)out->ptr[i] < ' ' && strchr("\n\r\t", out->ptr[i]) == NULL) {
            command_refuse_field(command, COMMAND_USAGE, "invalid", name,
                                 "%s holds a control character", name);
            return false;
        }
    return true;
}

/* One of a list of words; *out is left as it is when it is absent. */
static bool
word_arg(struct command *command, const char *name, bool must, const char *const *words,
         unsigned count, unsigned *out)
{
    struct str text;

    if (!command_str(command, name, must, &text))
        return false;
    if (text.len == 0)
        return true;
    for (unsigned i = 0; i < count; i++)
        if (str_eq(text, str_from(words[i]))) {
            *out = i;
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s: there is no \"%.*s\"", name,
                         (int)MIN(text.len, 40u), text.ptr);
    return false;
}

static int
doc_read(struct command *command, enum db_table table, const struct db_key *key,
         struct js_value *doc)
{
    struct js_error err;
    struct str text;
    int rc = db_get(&command->txn, table, key, &text);

    if (rc < 0)
        return rc;
    return js_check(text, doc, &err) && js_is(*doc, JS_OBJECT) ? 0 : -EILSEQ;
}

static int
doc_write(struct command *command, enum db_table table, const struct db_key *key, struct buf *doc)
{
    int rc = doc->failed ? -ENOMEM : db_put(&command->txn, table, key, buf_str(doc));

    buf_free(doc);
    return rc;
}

/* Members as they stand in a document. */
static void
copy_members(struct jw *jw, struct js_value doc, bool texts)
{
    struct js_value name, value;
    struct js_iter it;

    for (js_iter_init(&it, doc); js_next(&it, &name, &value);) {
        if (!texts && (str_eq(name.raw, STR("en")) || str_eq(name.raw, STR("zh"))))
            continue;
        jw_key_of(jw, name.raw);
        jw_js(jw, value);
    }
}

/* ---- the terms ---- */

static struct db_key
terms_key(unsigned kind, uint32_t version)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, (uint8_t)kind);
    db_key_u32(&key, version);
    return key;
}

int
terms_current(struct db_txn *txn, enum terms_kind kind, uint32_t *version)
{
    struct db_key below = terms_key(kind, UINT32_MAX);
    struct db_walk walk;
    struct str key, value;
    int rc = db_walk_start_down(txn, DB_TERMS, &below, 1, &walk);

    *version = 0;
    if (rc < 0)
        return rc;
    if (db_walk_next(&walk, &key, &value))
        *version = db_u32(key, 1);
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* The log has what tells the version from all others, and not its words, which stay where they are. */
static void
note_terms(struct jw *jw, unsigned kind, uint32_t version, struct str doc)
{
    char hex[2 * HASH_LEN + 1];
    uint8_t hash[HASH_LEN];

    hash_keyed(NULL, doc.ptr, doc.len, hash);
    str_hex(hash, sizeof(hash), hex);
    jw_key_cstr(jw, "kind", terms_kind_name[kind]);
    jw_key_u64(jw, "version", version);
    jw_key_u64(jw, "bytes", doc.len);
    jw_key_cstr(jw, "digest", hex);
}

static int
terms_put(struct command *command)
{
    unsigned kind = 0;
    struct str en, zh, note;
    uint32_t version;
    struct db_key key;
    struct buf doc;
    struct jw jw;
    int rc;

    if (!word_arg(command, "kind", true, terms_kind_name, TERMS_KIND_COUNT, &kind) ||
        !text_arg(command, "en", true, SITE_TEXT_MAX, &en) ||
        !text_arg(command, "zh", false, SITE_TEXT_MAX, &zh) ||
        !text_arg(command, "note", false, NOTE_MAX, &note))
        return 0;
    rc = terms_current(&command->txn, kind, &version);
    if (rc < 0)
        return rc;
    buf_init(&doc, DOC_MAX);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_time(&jw, "created", ledger_wall_us(command->ledger));
    jw_key_str(&jw, "note", note);
    jw_key_str(&jw, "en", en);
    if (zh.len > 0)
        jw_key_str(&jw, "zh", zh);
    else
        jw_key_cstr(&jw, "zh", NULL);
    jw_object_end(&jw);
    key = terms_key(kind, ++version);
    command_target(command, "terms", version, 0);
    command_target_name(command, str_from(terms_kind_name[kind]));
    if (!doc.failed)
        note_terms(command_after(command), kind, version, buf_str(&doc));
    jw_key_cstr(&command->jw, "kind", terms_kind_name[kind]);
    jw_key_u64(&command->jw, "version", version);
    command->changed = true;
    return doc_write(command, DB_TERMS, &key, &doc);
}

static void
write_terms(struct command *command, unsigned kind, uint32_t version, struct js_value doc,
            bool texts)
{
    jw_key_cstr(&command->jw, "kind", terms_kind_name[kind]);
    jw_key_u64(&command->jw, "version", version);
    copy_members(&command->jw, doc, texts);
}

static int
terms_show(struct command *command)
{
    unsigned kind = 0;
    uint32_t version;
    struct js_value doc;
    struct db_key key;
    int rc = 0;

    if (!word_arg(command, "kind", true, terms_kind_name, TERMS_KIND_COUNT, &kind) ||
        !command_u32(command, "version", &version))
        return 0;
    if (version == 0)
        rc = terms_current(&command->txn, kind, &version);
    if (rc < 0)
        return rc;
    key = terms_key(kind, version);
    rc = doc_read(command, DB_TERMS, &key, &doc);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no such version of the %s",
                       kind == TERMS_PRIVACY ? "privacy policy" : "terms");
        command_absent(command);
        return 0;
    }
    if (rc == 0)
        write_terms(command, kind, version, doc, true);
    return rc;
}

static int
terms_list(struct command *command)
{
    struct js_value doc;
    struct js_error err;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start_down(&command->txn, DB_TERMS, &from, 0, &walk);
    jw_key(&command->jw, "terms");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        if (!js_check(value, &doc, &err) || (uint8_t)key.ptr[0] >= TERMS_KIND_COUNT) {
            rc = -EILSEQ;
            break;
        }
        jw_object(&command->jw);
        write_terms(command, (uint8_t)key.ptr[0], db_u32(key, 1), doc, false);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

/* {"terms":3,"privacy":null} */
static int
terms_versions(struct command *command)
{
    for (unsigned kind = 0; kind < TERMS_KIND_COUNT; kind++) {
        uint32_t version;
        int rc = terms_current(&command->txn, kind, &version);

        if (rc < 0)
            return rc;
        jw_key(&command->jw, terms_kind_name[kind]);
        if (version != 0)
            jw_u64(&command->jw, version);
        else
            jw_null(&command->jw);
    }
    return 0;
}

/* ---- announcements ---- */

static const char *const levels[] = {"info", "warning", "critical"};

struct notice {
    struct str en, zh;
    unsigned level;
    int64_t from_us, until_us;
};

/* A time that may be cleared: absent leaves it, null or "" makes it open. */
static bool
time_arg(struct command *command, const char *name, int64_t *out)
{
    struct js_value given = js_get(command->args, str_from(name));
    int64_t wall_us;

    if (js_is(given, JS_NONE))
        return true;
    if (!command_time(command, name, &wall_us))
        return false;
    *out = wall_us;
    return true;
}

static bool
notice_args(struct command *command, struct notice *n, bool is_new)
{
    struct str en, zh;

    if (!text_arg(command, "en", is_new, NOTICE_TEXT_MAX, &en) ||
        !text_arg(command, "zh", false, NOTICE_TEXT_MAX, &zh) ||
        !word_arg(command, "level", false, levels, COUNT_OF(levels), &n->level) ||
        !time_arg(command, "from", &n->from_us) || !time_arg(command, "until", &n->until_us))
        return false;
    if (en.len > 0)
        n->en = en;
    if (zh.len > 0 || !js_is(js_get(command->args, STR("zh")), JS_NONE))
        n->zh = zh;
    if (n->until_us != 0 && n->until_us <= n->from_us) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "until",
                             "until must be later than from");
        return false;
    }
    return true;
}

static int
notice_write(struct command *command, uint32_t id, const struct notice *n)
{
    struct db_key key = db_key_of_u32(id);
    struct buf doc;
    struct jw jw;

    buf_init(&doc, DOC_MAX);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_cstr(&jw, "level", levels[n->level]);
    jw_key_time(&jw, "from", n->from_us);
    jw_key_time(&jw, "until", n->until_us);
    jw_key_str(&jw, "en", n->en);
    if (n->zh.len > 0)
        jw_key_str(&jw, "zh", n->zh);
    else
        jw_key_cstr(&jw, "zh", NULL);
    jw_object_end(&jw);
    command_target(command, "notice", id, 0);
    command->changed = true;
    jw_key_u64(&command->jw, "id", id);
    if (!doc.failed) {
        struct js_value value;
        struct js_error err;

        if (js_check(buf_str(&doc), &value, &err))
            copy_members(&command->jw, value, true);
    }
    return doc_write(command, DB_NOTICE, &key, &doc);
}

static int
notice_add(struct command *command)
{
    struct notice n = {.from_us = ledger_wall_us(command->ledger)};
    uint32_t id;
    int rc;

    if (!notice_args(command, &n, true))
        return 0;
    if (db_size(&command->txn, DB_NOTICE).entries >= NOTICES_MAX) {
        command_refuse(command, COMMAND_FAILED, "there are %u announcements already", NOTICES_MAX);
        command_hint(command, "remove old ones");
        return 0;
    }
    rc = command_next_id(command, DB_NOTICE, &id);
    return rc < 0 ? rc : notice_write(command, id, &n);
}

static struct str
doc_str(struct command *command, struct js_value doc, const char *name)
{
    struct js_value value = js_get(doc, str_from(name));
    char *room = js_is(value, JS_STRING) ? arena_alloc(&command->arena, value.raw.len + 1) : NULL;

    return room != NULL ? js_unescape(value, room, value.raw.len + 1) : STR_NONE;
}

static int64_t
doc_time(struct js_value doc, const char *name)
{
    struct js_value value = js_get(doc, str_from(name));
    int64_t wall_us;

    return js_is(value, JS_STRING) && clock_parse(value.raw, &wall_us) ? wall_us : 0;
}

/* By the argument "id". -ENOENT: refused. */
static int
notice_load(struct command *command, uint32_t *id, struct notice *n)
{
    struct js_value doc, level;
    struct db_key key;
    int rc;

    if (!command_id(command, "id", true, id))
        return -ENOENT;
    key = db_key_of_u32(*id);
    rc = doc_read(command, DB_NOTICE, &key, &doc);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no announcement %u", *id);
        command_absent(command);
    }
    if (rc < 0)
        return rc;
    *n = (struct notice){.en = doc_str(command, doc, "en"), .zh = doc_str(command, doc, "zh"),
                         .from_us = doc_time(doc, "from"), .until_us = doc_time(doc, "until")};
    level = js_get(doc, STR("level"));
    for (unsigned i = 0; i < COUNT_OF(levels); i++)
        if (js_str_eq(level, str_from(levels[i])))
            n->level = i;
    return 0;
}

static int
notice_set(struct command *command)
{
    struct notice n;
    uint32_t id;
    int rc = notice_load(command, &id, &n);

    if (rc < 0 || !notice_args(command, &n, false))
        return command->exit != COMMAND_DONE ? 0 : rc;
    return notice_write(command, id, &n);
}

static int
notice_remove(struct command *command)
{
    struct notice n;
    struct db_key key;
    uint32_t id;
    int rc = notice_load(command, &id, &n);

    if (rc < 0)
        return command->exit != COMMAND_DONE ? 0 : rc;
    key = db_key_of_u32(id);
    command_target(command, "notice", id, 0);
    command->changed = true;
    jw_key_u64(&command->jw, "id", id);
    return db_delete(&command->txn, DB_NOTICE, &key);
}

static int
notice_list(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct js_value doc;
    struct js_error err;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    bool current;
    int rc;

    if (!command_flag(command, "current", &current))
        return 0;
    db_key_start(&from);
    rc = db_walk_start_down(&command->txn, DB_NOTICE, &from, 0, &walk);
    jw_key(&command->jw, "notices");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        int64_t until_us;

        if (!js_check(value, &doc, &err)) {
            rc = -EILSEQ;
            break;
        }
        until_us = doc_time(doc, "until");
        if (current && (doc_time(doc, "from") > now_us || (until_us != 0 && until_us <= now_us)))
            continue;
        jw_object(&command->jw);
        jw_key_u64(&command->jw, "id", db_u32(key, 0));
        copy_members(&command->jw, doc, true);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

/* ---- settings ---- */

/* The operator's texts, shown on the pages as they are. */
static const struct setting {
    const char *name;
    size_t max;
} settings[] = {
    {"support_email", 254}, {"support_url", 2048}, {"welcome_en", 4000},
    {"welcome_zh", 4000},   {"footer_en", 2000},   {"footer_zh", 2000},
};

static bool
setting_ok(struct command *command, const struct setting *setting, struct str value)
{
    if (value.len == 0)
        return true;
    if ((strcmp(setting->name, "support_email") == 0 && !entity_email_ok(value)) ||
        (strcmp(setting->name, "support_url") == 0 && !str_starts_with(value, STR("https://")) &&
         !str_starts_with(value, STR("http://")))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", setting->name, "%s: that is none",
                             setting->name);
        return false;
    }
    return true;
}

static int
setting_get(struct command *command, const struct setting *setting, struct str *json)
{
    struct db_key key;
    int rc;

    db_key_start(&key);
    if (!db_key_text(&key, str_from(setting->name)))
        return -EINVAL;
    rc = db_get(&command->txn, DB_SETTING, &key, json);
    return rc == -ENOENT ? 0 : rc;
}

static int
write_settings(struct command *command, struct jw *jw)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct str json;
        int rc = setting_get(command, &settings[i], &json);

        if (rc < 0)
            return rc;
        jw_key(jw, settings[i].name);
        if (json.len > 0)
            jw_raw(jw, json);
        else
            jw_null(jw);
    }
    return 0;
}

static int
setting_show(struct command *command)
{
    return write_settings(command, &command->jw);
}

static int
setting_put(struct command *command, const struct setting *setting, struct str value)
{
    struct db_key key;
    struct buf json;
    struct jw jw;
    int rc;

    db_key_start(&key);
    if (!db_key_text(&key, str_from(setting->name)))
        return -EINVAL;
    if (value.len == 0) {
        rc = db_delete(&command->txn, DB_SETTING, &key);
        return rc == -ENOENT ? 0 : rc;
    }
    buf_init(&json, 65536);
    jw_init(&jw, &json);
    jw_str(&jw, value);
    return doc_write(command, DB_SETTING, &key, &json);
}

/* What is not told stays; null or "" takes it away. */
static int
setting_set(struct command *command)
{
    int rc = write_settings(command, command_before(command));

    for (size_t i = 0; rc == 0 && i < COUNT_OF(settings); i++) {
        const struct setting *setting = &settings[i];
        struct str value;

        if (js_is(js_get(command->args, str_from(setting->name)), JS_NONE))
            continue;
        if (!text_arg(command, setting->name, false, setting->max, &value) ||
            !setting_ok(command, setting, value))
            return 0;
        rc = setting_put(command, setting, value);
        command->changed = true;
    }
    command_target(command, "setting", 0, 0);
    if (rc == 0)
        rc = write_settings(command, command_after(command));
    return rc == 0 ? write_settings(command, &command->jw) : rc;
}

const struct command_def command_site_defs[] = {
    {.name = "terms.put", .kind = COMMAND_WRITE, .run = terms_put},
    {.name = "terms.show", .kind = COMMAND_READ, .run = terms_show},
    {.name = "terms.list", .kind = COMMAND_READ, .run = terms_list},
    {.name = "terms.versions", .kind = COMMAND_READ, .run = terms_versions},
    {.name = "notice.add", .kind = COMMAND_WRITE, .run = notice_add},
    {.name = "notice.set", .kind = COMMAND_WRITE, .run = notice_set},
    {.name = "notice.remove", .kind = COMMAND_WRITE, .run = notice_remove},
    {.name = "notice.list", .kind = COMMAND_READ, .run = notice_list},
    {.name = "setting.show", .kind = COMMAND_READ, .run = setting_show},
    {.name = "setting.set", .kind = COMMAND_WRITE, .run = setting_set},
    {.name = NULL},
};
