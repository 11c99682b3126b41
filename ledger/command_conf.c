/*
 * routes.conf, changed from afar: shown, checked, replaced, and brought back to what it was.
 *
 *     number as u64 -> {"time":…,"by":…,"actor":{…},"note":…,"digest":…,"bytes":N,"text":…}
 *
 * Every text that comes into force this way is kept with who brought it; so is a text that was there before
 * and is nobody's of these, when it is replaced. The last KEPT_MAX are.
 *
 * The file is replaced first, by a rename, then the transaction is committed with the text and the entry of
 * the audit log. After a death in between the file is what was asked for and the history lacks it: asked
 * again, what is there already is only written down. Who replaces it says by "base", its digest, which text
 * was the one that was edited, so that of two who edit the same the second is refused.
 *
 * A new text is not in force: who asked for it asks for a reload, too. What a start would not take is refused
 * here, by the same parser, as if the file stood there already.
 *
 * Codes: invalid_conf (the file:line in why), changed_meanwhile, not_writable, no_server.
 */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/diff.h"

#include "base/hash.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONF_TEXT_MAX (512u << 10)
#define DOC_MAX (4 * CONF_TEXT_MAX)
#define NOTE_MAX 500u
#define KEPT_MAX 500u
#define DROP_MAX 4u
#define ROWS_MAX 100u
#define DIGEST_LEN (2 * HASH_LEN)

/* ---- the file ---- */

static void
digest_of(struct str text, char out[DIGEST_LEN + 1])
{
    uint8_t hash[HASH_LEN];

    hash_keyed(NULL, text.ptr, text.len, hash);
    str_hex(hash, sizeof(hash), out);
}

/* The file's path, links followed. False: refused. */
static bool
file_path(struct command *command, char path[PATH_MAX])
{
    const char *stated = command->ledger->conf_path;

    if (stated == NULL) {
        command_refuse_field(command, COMMAND_FAILED, "no_server", NULL,
                             "no server runs here, and so there is no file");
        return false;
    }
    if (realpath(stated, path) != NULL)
        return true;
    command_refuse(command, COMMAND_FAILED, "%s: %s", stated, strerror(errno));
    return false;
}

static bool
read_all(int fd, struct buf *out)
{
    char bytes[16384];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        if (!buf_add(out, bytes, (size_t)n))
            return false;
    return n == 0;
}

/* Its text, in *out, which is the caller's to free. False: refused. */
static bool
file_read(struct command *command, const char *path, struct buf *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok;

    buf_init(out, CONF_TEXT_MAX);
    if (fd < 0 || fstat(fd, &st) != 0) {
        command_refuse(command, COMMAND_FAILED, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    ok = S_ISREG(st.st_mode) && read_all(fd, out);
    close(fd);
    if (!ok)
        command_refuse(command, COMMAND_FAILED, "%s: it is no file, or larger than %u KiB", path,
                       CONF_TEXT_MAX / 1024);
    return ok;
}

static void
new_path(const char *path, char out[PATH_MAX + 8])
{
    snprintf(out, PATH_MAX + 8, "%s.new", path);
}

/* NULL, or why the file cannot be replaced from here: who replaces it needs its folder. */
static const char *
unwritable(const struct command *command, const char *path)
{
    char folder[PATH_MAX];
    char *slash;

    if (command->ledger->conf != NULL && !command->ledger->conf->manage.edit)
        return "it says itself, by edit in its section manage, that it is changed by hand only";
    str_copy(str_from(path), folder, sizeof(folder));
    slash = strrchr(folder, '/');
    if (slash == NULL)
        return "it has no folder";
    slash[slash == folder] = '\0';
    return access(folder, W_OK) == 0 ? NULL : strerror(errno);
}

static bool
write_all(int fd, struct str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = (struct str){text.ptr + n, text.len - (size_t)n};
    }
    return true;
}

/* 0 or a negative errno; whatever comes of it no half of a file is left in its place. */
static int
file_replace(const char *path, struct str text)
{
    char temp[PATH_MAX + 8], folder[PATH_MAX];
    struct stat st;
    int fd, rc = 0;

    new_path(path, temp);
    if (stat(path, &st) != 0 || (unlink(temp) != 0 && errno != ENOENT))
        return -errno;
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    /* Another owner's file becomes ours where we may not give it away; its mode stays. */
    if (fchown(fd, st.st_uid, st.st_gid) != 0 && errno != EPERM)
        rc = -errno;
    if (rc == 0 && (!write_all(fd, text) || fchmod(fd, st.st_mode & 07777) != 0 || fsync(fd) != 0))
        rc = errno != 0 ? -errno : -EIO;
    close(fd);
    if (rc == 0 && rename(temp, path) != 0)
        rc = -errno;
    if (rc < 0) {
        (void)!unlink(temp);
        return rc;
    }
    str_copy(str_from(path), folder, sizeof(folder));
    strrchr(folder, '/')[1] = '\0';
    return db_sync_dir(folder);
}

/* ---- checking ---- */

static bool
text_arg(struct command *command, struct str *text)
{
    if (!command_str(command, "text", true, text))
        return false;
    if (text->len <= CONF_TEXT_MAX)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "too_long", "text", "text: at most %u KiB",
                         CONF_TEXT_MAX / 1024);
    return false;
}

static void
write_faults(struct jw *jw, const struct conf_faults *faults)
{
    jw_key(jw, "faults");
    jw_array(jw);
    for (size_t i = 0; i < faults->count; i++) {
        jw_object(jw);
        jw_key_cstr(jw, "file", faults->at[i].file);
        jw_key_u64(jw, "line", faults->at[i].line);
        jw_key_bool(jw, "warning", faults->at[i].warning);
        jw_key_cstr(jw, "message", faults->at[i].message);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

/* A program that is to be run is named by hand, by who may write the file. */
static const char *
not_from_afar(const struct command *command, const struct conf *conf)
{
    const struct conf *running = command->ledger->conf;
    struct str now = running != NULL ? running->mail.sendmail : STR_NONE;

    return conf->mail.sendmail.len > 0 && !str_eq(conf->mail.sendmail, now)
               ? "mail: sendmail is a program, and can only be named by hand"
               : NULL;
}

static int
config_check(struct command *command)
{
    struct conf_faults faults;
    char path[PATH_MAX];
    struct conf *conf;
    struct str text;

    if (!text_arg(command, &text) || !file_path(command, path))
        return 0;
    conf = conf_reload_as(path, text, command->ledger->conf, &faults);
    jw_key_bool(&command->jw, "good", conf != NULL && not_from_afar(command, conf) == NULL);
    jw_key_cstr(&command->jw, "refused", conf != NULL ? not_from_afar(command, conf) : NULL);
    write_faults(&command->jw, &faults);
    conf_faults_free(&faults);
    conf_free(&conf);
    return 0;
}

static bool
text_good(struct command *command, const char *path, struct str text)
{
    struct conf_faults faults;
    struct conf *conf = conf_reload_as(path, text, command->ledger->conf, &faults);
    const char *why = conf != NULL ? not_from_afar(command, conf) : NULL;

    if (why != NULL)
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "not_allowed", "text", "%s", why);
    for (size_t i = 0; conf == NULL && i < faults.count; i++)
        if (!faults.at[i].warning)
            command_refuse_field(command, COMMAND_USAGE, "invalid_conf", "text", "%s:%u: %s",
                                 faults.at[i].file, faults.at[i].line, faults.at[i].message);
    if (conf == NULL && command->exit == COMMAND_DONE)
        command_refuse(command, COMMAND_FAILED, "out of memory");
    if (faults.fault_count > 1)
        command_hint(command, "and %zu more", faults.fault_count - 1);
    conf_faults_free(&faults);
    conf_free(&conf);
    return command->exit == COMMAND_DONE;
}

/* ---- history ---- */

static int
version_get(struct command *command, uint64_t number, struct js_value *doc)
{
    struct db_key key = db_key_of_u64(number);
    struct js_error err;
    struct str json;
    int rc = db_get(&command->txn, DB_CONF, &key, &json);

    if (rc == 0 && (!js_check(json, doc, &err) || !js_is(*doc, JS_OBJECT)))
        rc = -EILSEQ;
    return rc;
}

static int
version_last(struct command *command, uint64_t *number, struct js_value *doc)
{
    struct str key, json;
    struct js_error err;
    int rc = db_last(&command->txn, DB_CONF, &key, &json);

    *number = 0;
    *doc = (struct js_value){.type = JS_NONE};
    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && !js_check(json, doc, &err))
        rc = -EILSEQ;
    if (rc == 0)
        *number = db_u64(key, 0);
    return rc;
}

static int
drop_old(struct command *command)
{
    for (unsigned i = 0; i < DROP_MAX && db_size(&command->txn, DB_CONF).entries > KEPT_MAX; i++) {
        struct db_key key;
        struct str bytes, json;
        int rc = db_first(&command->txn, DB_CONF, &bytes, &json);

        if (rc < 0)
            return rc;
        key = db_key_of_u64(db_u64(bytes, 0));
        rc = db_delete(&command->txn, DB_CONF, &key);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* note STR_NONE: it was there, and nobody knows by whom. */
static int
version_put(struct command *command, struct str text, struct str note, uint64_t number)
{
    struct db_key key = db_key_of_u64(number);
    char digest[DIGEST_LEN + 1];
    struct buf doc;
    struct jw jw;
    int rc;

    digest_of(text, digest);
    buf_init(&doc, DOC_MAX);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_time(&jw, "time", ledger_wall_us(command->ledger));
    jw_key_cstr(&jw, "by", note.ptr != NULL ? command->by : NULL);
    jw_key_str(&jw, "name", note.ptr != NULL ? command->actor.name : STR_NONE);
    jw_key_str(&jw, "note", note.ptr != NULL ? note : STR("as it was found"));
    jw_key_cstr(&jw, "digest", digest);
    jw_key_u64(&jw, "bytes", text.len);
    jw_key_str(&jw, "text", text);
    jw_object_end(&jw);
    rc = doc.failed ? -ENOMEM : db_append(&command->txn, DB_CONF, &key, buf_str(&doc));
    buf_free(&doc);
    return rc == 0 ? drop_old(command) : rc;
}

static void
note_version(struct jw *jw, uint64_t number, struct str text)
{
    char digest[DIGEST_LEN + 1];

    digest_of(text, digest);
    if (number != 0)
        jw_key_u64(jw, "version", number);
    jw_key_cstr(jw, "digest", digest);
    jw_key_u64(jw, "bytes", text.len);
}

/* The text into the history, unless it is the last one of it. *number: which it is there. */
static int
keep_text(struct command *command, struct str text, struct str note, uint64_t *number)
{
    char digest[DIGEST_LEN + 1];
    struct js_value last;
    int rc = version_last(command, number, &last);

    digest_of(text, digest);
    if (rc < 0 || js_str_eq(js_get(last, STR("digest")), str_from(digest)))
        return rc;
    command->changed = true;
    return version_put(command, text, note, ++*number);
}

/* ---- replacing ---- */

struct put {
    char path[PATH_MAX];
    struct str text, base, note;
};

static bool
base_good(struct command *command, const struct put *put, struct str found)
{
    char digest[DIGEST_LEN + 1];

    digest_of(found, digest);
    if (put->base.len == 0 || str_eq(put->base, str_from(digest)) || str_eq(found, put->text))
        return true;
    command_refuse_field(command, COMMAND_FAILED, "changed_meanwhile", "base",
                         "%s was changed since that text was read", put->path);
    command_hint(command, "read it again, and change that");
    return false;
}

static bool
may_put(struct command *command, const struct put *put)
{
    const char *why = unwritable(command, put->path);

    if (why == NULL)
        return true;
    command_refuse_field(command, COMMAND_NOT_ALLOWED, "not_writable", NULL,
                         "%s cannot be changed from here: %s", put->path, why);
    command_hint(command, "change it by hand, and run turnpike reload");
    return false;
}

static int
put_text(struct command *command, const struct put *put, struct str found)
{
    struct str note = put->note.ptr != NULL ? put->note : STR("");
    bool same = str_eq(found, put->text);
    uint64_t number = 0;
    int rc = same ? 0 : keep_text(command, found, STR_NONE, &number);

    if (rc < 0)
        return rc;
    note_version(command_before(command), number, found);
    rc = keep_text(command, put->text, note, &number);
    if (rc < 0)
        return rc;
    if (!same) {
        rc = file_replace(put->path, put->text);
        if (rc < 0) {
            command_refuse_field(command, COMMAND_NOT_ALLOWED, "not_writable", NULL, "%s: %s",
                                 put->path, strerror(-rc));
            command_hint(command, "nothing was changed");
            return 0;
        }
    }
    note_version(command_after(command), number, put->text);
    command_target(command, "conf", number, 0);
    command_target_name(command, str_from(put->path));
    note_version(&command->jw, number, put->text);
    jw_key_bool(&command->jw, "changed", !same);
    return 0;
}

static int
put_checked(struct command *command, const struct put *put)
{
    struct buf found;
    int rc = 0;

    if (!may_put(command, put))
        return 0;
    if (file_read(command, put->path, &found) && base_good(command, put, buf_str(&found)) &&
        text_good(command, put->path, put->text))
        rc = put_text(command, put, buf_str(&found));
    buf_free(&found);
    return rc;
}

static bool
put_args(struct command *command, struct put *put)
{
    if (!command_str(command, "base", false, &put->base) ||
        !command_str(command, "note", false, &put->note) || !file_path(command, put->path))
        return false;
    if (put->note.len <= NOTE_MAX)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "too_long", "note", "note: at most %u bytes",
                         NOTE_MAX);
    return false;
}

static int
config_put(struct command *command)
{
    struct put put = {.text = STR_NONE};

    return text_arg(command, &put.text) && put_args(command, &put) ? put_checked(command, &put) : 0;
}

static bool
number_arg(struct command *command, const char *name, bool must, uint64_t *number)
{
    uint32_t n;

    *number = 0;
    if (!command_id(command, name, must, &n))
        return false;
    *number = n;
    return true;
}

/* A version's text in the arena. False: refused, or *rc. */
static bool
version_text(struct command *command, uint64_t number, struct str *text, int *rc)
{
    struct js_value doc, value;
    char *room;

    *rc = version_get(command, number, &doc);
    if (*rc == -ENOENT) {
        *rc = 0;
        command_refuse(command, COMMAND_FAILED, "there is no version %llu",
                       (unsigned long long)number);
        command_absent(command);
    }
    if (*rc < 0 || command->exit != COMMAND_DONE)
        return false;
    value = js_get(doc, STR("text"));
    room = arena_alloc(&command->arena, value.raw.len + 1);
    if (room == NULL)
        *rc = -ENOMEM;
    else /* out of the store, which the next put may move */
        *text = js_unescape(value, room, value.raw.len + 1);
    if (*rc == 0 && text->ptr != room) {
        memcpy(room, text->ptr, text->len);
        text->ptr = room;
    }
    return *rc == 0;
}

static int
config_rollback(struct command *command)
{
    struct put put = {.text = STR_NONE};
    uint64_t number;
    int rc;

    if (!number_arg(command, "version", true, &number) || !put_args(command, &put) ||
        !version_text(command, number, &put.text, &rc))
        return command->exit != COMMAND_DONE ? 0 : rc;
    return put_checked(command, &put);
}

/* ---- showing ---- */

static int
config_show(struct command *command)
{
    struct js_value last;
    char path[PATH_MAX], digest[DIGEST_LEN + 1];
    uint64_t number;
    struct buf found;
    int rc;

    if (!file_path(command, path) || !file_read(command, path, &found))
        return 0;
    rc = version_last(command, &number, &last);
    digest_of(buf_str(&found), digest);
    jw_key_cstr(&command->jw, "path", path);
    jw_key_cstr(&command->jw, "digest", digest);
    jw_key(&command->jw, "version");
    if (js_str_eq(js_get(last, STR("digest")), str_from(digest)))
        jw_u64(&command->jw, number);
    else
        jw_null(&command->jw);
    jw_key_bool(&command->jw, "writable", unwritable(command, path) == NULL);
    jw_key_cstr(&command->jw, "why", unwritable(command, path));
    jw_key_str(&command->jw, "text", buf_str(&found));
    buf_free(&found);
    return rc;
}

static void
write_version(struct command *command, uint64_t number, struct js_value doc, bool with_text)
{
    struct js_value name, value;
    struct js_iter it;

    jw_key_u64(&command->jw, "version", number);
    for (js_iter_init(&it, doc); js_next(&it, &name, &value);) {
        if (!with_text && str_eq(name.raw, STR("text")))
            continue;
        jw_key_of(&command->jw, name.raw);
        jw_js(&command->jw, value);
    }
}

static int
config_history(struct command *command)
{
    struct js_value doc;
    struct js_error err;
    struct db_key below;
    struct db_walk walk;
    struct str key, json;
    uint64_t cursor, next = 0;
    uint32_t limit, count = 0;
    char text[24];
    int rc;

    if (!number_arg(command, "cursor", false, &cursor) || !command_u32(command, "limit", &limit))
        return 0;
    limit = limit == 0 ? ROWS_MAX / 2 : MIN(limit, ROWS_MAX);
    below = db_key_of_u64(cursor != 0 ? cursor : UINT64_MAX);
    rc = db_walk_start_down(&command->txn, DB_CONF, &below, 0, &walk);
    jw_key(&command->jw, "versions");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &json)) {
        if (count++ == limit) {
            next = db_u64(key, 0) + 1;
            break;
        }
        if (!js_check(json, &doc, &err)) {
            rc = -EILSEQ;
            break;
        }
        jw_object(&command->jw);
        write_version(command, db_u64(key, 0), doc, false);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
    jw_key_cstr(&command->jw, "next", next != 0 ? text : NULL);
    return rc;
}

static int
config_version(struct command *command)
{
    struct js_value doc;
    uint64_t number;
    struct str text;
    int rc;

    if (!number_arg(command, "version", true, &number) ||
        !version_text(command, number, &text, &rc))
        return command->exit != COMMAND_DONE ? 0 : rc;
    rc = version_get(command, number, &doc);
    if (rc == 0)
        write_version(command, number, doc, true);
    return rc;
}

/* From a version to another, to a text, or to the file as it is. */
static int
config_diff(struct command *command)
{
    char path[PATH_MAX];
    struct buf found, out;
    struct str from = STR_NONE, to = STR_NONE;
    uint64_t from_number, to_number;
    int rc = 0;

    buf_init(&found, CONF_TEXT_MAX);
    if (!number_arg(command, "from", false, &from_number) ||
        !number_arg(command, "to", false, &to_number) || !file_path(command, path) ||
        !file_read(command, path, &found))
        goto over;
    from = to = buf_str(&found);
    if (from_number != 0 && !version_text(command, from_number, &from, &rc))
        goto over;
    if (command_has(command, "text") ? !text_arg(command, &to)
                                     : to_number != 0 && !version_text(command, to_number, &to, &rc))
        goto over;
    buf_init(&out, 4 * CONF_TEXT_MAX);
    rc = diff_unified(from, to, &out);
    if (rc == 0) {
        jw_key_bool(&command->jw, "same", out.len == 0);
        jw_key_str(&command->jw, "diff", buf_str(&out));
    }
    buf_free(&out);
over:
    buf_free(&found);
    return rc;
}

const struct command_def command_conf_defs[] = {
    {.name = "config.show", .kind = COMMAND_MAIN, .run = config_show},
    {.name = "config.check", .kind = COMMAND_MAIN, .run = config_check},
    {.name = "config.put", .kind = COMMAND_WRITE, .run = config_put},
    {.name = "config.rollback", .kind = COMMAND_WRITE, .run = config_rollback},
    {.name = "config.history", .kind = COMMAND_READ, .run = config_history},
    {.name = "config.version", .kind = COMMAND_READ, .run = config_version},
    {.name = "config.diff", .kind = COMMAND_MAIN, .run = config_diff},
    {.name = NULL},
};
