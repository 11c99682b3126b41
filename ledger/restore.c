#include "ledger/restore.h"

#include "base/clock.h"
#include "base/jw.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/audit.h"
#include "ledger/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define COMMIT_BYTES (UINT64_C(32) << 20) /* of entries in one transaction */
#define ASIDE_TRIES 100

/* ---- what went wrong ---- */

static int PRINTF_LIKE(4, 5)
fail(struct restore *restore, int rc, const char *hint, const char *fmt, ...)
{
    va_list args;

    snprintf(restore->fault.what, sizeof(restore->fault.what), "%s", restore->file);
    va_start(args, fmt);
    vsnprintf(restore->why, sizeof(restore->why), fmt, args);
    va_end(args);
    restore->fault.why = restore->why;
    restore->fault.hint = hint;
    return rc;
}

static int
file_failed(struct restore *restore, const struct backup_in *in, int rc)
{
    if (rc == -EPROTO)
        return fail(restore, rc, "use the program that wrote it, or a newer one",
                    "a program with another form of the store wrote it%s%s",
                    restore->about.version[0] != '\0' ? ": turnpike " : "", restore->about.version);
    if (rc == -ECANCELED)
        return fail(restore, rc, "nothing was changed", "interrupted");
    if (rc != -EILSEQ)
        return fail(restore, rc, NULL, "it cannot be read: %s", strerror(-rc));
    return fail(restore, rc, "nothing was changed; take another backup",
                "damaged at byte %llu: %s", (unsigned long long)in->at,
                in->fault != NULL ? in->fault : "it cannot be read");
}

static int
store_failed(struct restore *restore, int rc)
{
    return fail(restore, rc, "nothing was changed", "the new store cannot be written: %s",
                store_error_text(rc));
}

/* ---- files ---- */

/* A store that nobody has open. What is not there is no failure. */
static void
remove_store(const char *path)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char file[PATH_BYTES + 16];

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(file, sizeof(file), "%s/%s", path, names[i]);
        (void)unlink(file);
    }
    (void)rmdir(path);
}

/* ---- reading it into a store ---- */

struct load {
    struct restore *restore;
    struct backup_in in;
    struct db *db;
    struct db_txn txn;
    enum db_table table_of[DB_TABLE_COUNT];
    unsigned table_count;
    uint64_t entries, uncommitted_bytes;
};

static int
load_head(struct load *load)
{
    int rc = backup_in_frame(&load->in);

    if (rc == 0)
        rc = backup_about_read(load->in.payload, &load->restore->about, load->table_of,
                               &load->table_count);
    return rc < 0 ? file_failed(load->restore, &load->in, rc) : 0;
}

static int
load_commit(struct load *load)
{
    int rc = db_commit(&load->txn);

    if (rc == 0) {
        (void)db_look_after(load->db);
        rc = db_write(load->db, &load->txn);
    }
    load->uncommitted_bytes = 0;
    return rc;
}

/* The entries of a frame. */
static int
load_frame(struct load *load)
{
    struct backup_in *in = &load->in;
    struct str key_bytes, value;
    uint8_t table;

    in->fault = NULL;
    while (backup_in_entry(in, &table, &key_bytes, &value)) {
        struct db_key key;
        int rc;

        db_key_start(&key);
        if (table >= load->table_count || !db_key_text(&key, key_bytes)) {
            in->fault = "an entry in it makes no sense";
            break;
        }
        rc = db_load(&load->txn, load->table_of[table], &key, value);
        if (rc == -EEXIST || rc == -EINVAL) {
            in->fault = "an entry in it is out of order";
            break;
        }
        if (rc < 0)
            return store_failed(load->restore, rc);
        load->entries++;
        load->uncommitted_bytes += key_bytes.len + value.len;
    }
    return in->fault != NULL ? file_failed(load->restore, in, -EILSEQ) : 0;
}

static int
load_end(struct load *load)
{
    struct js_value end;
    struct js_error err;
    uint64_t entries = 0;
    int rc = 0;

    if (!js_check(load->in.payload, &end, &err) ||
        !str_to_u64(js_get(end, STR("entries")).raw, &entries) || entries != load->entries) {
        load->in.fault = "it says another number of entries than there were";
        rc = -EILSEQ;
    }
    if (rc == 0)
        rc = backup_in_over(&load->in);
    if (rc < 0)
        return file_failed(load->restore, &load->in, rc);
    rc = db_commit(&load->txn);
    return rc < 0 ? store_failed(load->restore, rc) : 0;
}

static bool
on_stop(void *arg)
{
    const struct load *load = arg;
    const struct restore *restore = load->restore;

    return restore->on_progress != NULL &&
           !restore->on_progress(restore->arg, load->in.next, restore->about.store_bytes);
}

static int
go_on(struct load *load)
{
    return on_stop(load) ? file_failed(load->restore, &load->in, -ECANCELED) : 0;
}

static int
load_frames(struct load *load)
{
    struct restore *restore = load->restore;
    int rc = load_head(load);

    if (rc < 0)
        return rc;
    rc = db_write(load->db, &load->txn);
    if (rc < 0)
        return store_failed(restore, rc);
    for (;;) {
        rc = backup_in_frame(&load->in);
        if (rc < 0)
            return file_failed(restore, &load->in, rc);
        rc = go_on(load);
        if (rc < 0)
            return rc;
        if (load->in.kind == BACKUP_END)
            return load_end(load);
        rc = load_frame(load);
        if (rc < 0)
            return rc;
        rc = load->uncommitted_bytes >= COMMIT_BYTES ? load_commit(load) : 0;
        if (rc < 0)
            return store_failed(restore, rc);
    }
}

/* ---- looking at it ---- */

static int
books_wrong(struct restore *restore, const struct audit *audit)
{
    const struct audit_fault *first = &audit->faults[0];
    char amounts[96] = "";

    if (first->expected_ucr != first->found_ucr)
        snprintf(amounts, sizeof(amounts), " (expected %lld, found %lld micro-credits)",
                 (long long)first->expected_ucr, (long long)first->found_ucr);
    return fail(restore, -EILSEQ, "nothing was changed; take another backup",
                "its books do not balance: %s of %llu%s; %llu faults in all", first->what,
                (unsigned long long)first->id, amounts,
                (unsigned long long)audit->fault_count + audit->faults_unlisted);
}

/* Its hashes are right, so it is as it was written. Was that right? */
static int
verify(struct load *load)
{
    struct restore *restore = load->restore;
    struct backup_about found = {0};
    struct audit *audit = calloc(1, sizeof(*audit));
    struct db_txn txn;
    uint64_t records = 0;
    int rc = audit == NULL ? -ENOMEM : db_read_long(load->db, &txn);

    if (rc < 0) {
        free(audit);
        return store_failed(restore, rc);
    }
    rc = backup_about_store(&txn, &found);
    if (rc == 0)
        rc = audit_store(&txn, audit, &records);
    db_end(&txn);
    if (rc < 0)
        rc = fail(restore, -EILSEQ, "nothing was changed; take another backup",
                  "a record in it cannot be read");
    else if (memcmp(found.instance_id, restore->about.instance_id, sizeof(found.instance_id)) != 0 ||
             found.seq != restore->about.seq || found.tenants != restore->about.tenants ||
             found.calls != restore->about.calls || found.records != restore->about.records)
        rc = fail(restore, -EILSEQ, "nothing was changed; take another backup",
                  "its contents are not what its beginning says");
    else if (audit->fault_count > 0)
        rc = books_wrong(restore, audit);
    free(audit);
    return rc;
}

static void
restored_json(const struct backup_about *about, struct buf *out)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_time(&jw, "restored", clock_wall_us());
    backup_about_write(about, &jw);
    jw_object_end(&jw);
}

/* Another instance from now on. */
static int
rename_instance(struct load *load)
{
    uint8_t instance_id[sizeof(load->restore->about.instance_id)];
    struct buf json;
    int rc = db_write(load->db, &load->txn);

    if (rc < 0)
        return store_failed(load->restore, rc);
    rng_bytes(instance_id, sizeof(instance_id));
    buf_init(&json, 4096);
    restored_json(&load->restore->about, &json);
    rc = json.failed ? -ENOMEM : db_meta_put(&load->txn, "restored", buf_str(&json));
    if (rc == 0)
        rc = db_meta_put(&load->txn, "instance",
                         (struct str){(const char *)instance_id, sizeof(instance_id)});
    buf_free(&json);
    if (rc == 0)
        rc = db_commit(&load->txn);
    return rc < 0 ? store_failed(load->restore, rc) : 0;
}

/* A store at that path, whole and synced; or none. */
static int
build(struct restore *restore, const char *path)
{
    struct load load = {.restore = restore};
    struct db_setup setup = {.path = path};
    char unnamed[PATH_BYTES + 8]; /* what db_open() makes first */
    int rc;

    snprintf(unnamed, sizeof(unnamed), "%s.new", path);
    remove_store(path);
    rc = db_open(&setup, &load.db);
    if (rc < 0) {
        remove_store(unnamed);
        remove_store(path);
        return store_failed(restore, rc);
    }
    backup_in_start(&load.in, restore->fd);
    load.in.stop = on_stop;
    load.in.arg = &load;
    rc = load_frames(&load);
    if (rc == 0)
        rc = verify(&load);
    if (rc == 0)
        rc = go_on(&load);
    if (rc == 0)
        rc = rename_instance(&load);
    db_end(&load.txn);
    backup_in_end(&load.in);
    db_close(&load.db);
    if (rc == 0 && db_sync_dir(path) < 0)
        rc = store_failed(restore, -EIO);
    if (rc < 0)
        remove_store(path);
    return rc;
}

/* ---- the store that is there ---- */

enum old { OLD_NONE = 0, OLD_EMPTY, OLD_FULL, OLD_UNREADABLE, OLD_BUSY, OLD_DENIED };

/*
 * Opens it, which takes in what a crash may have left in memory, and closes it. In a process of its own:
 * a damaged store may end who opens it.
 */
static enum old
settle_old(const char *state_dir, const char *path)
{
    struct stat st;
    int status;
    pid_t pid;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? OLD_NONE : OLD_DENIED;
    pid = fork();
    if (pid < 0)
        return OLD_BUSY;
    if (pid == 0) {
        struct store *store;
        struct store_fault fault;
        int rc = store_open(state_dir, &store, &fault);
        enum old old = rc == -EBUSY                       ? OLD_BUSY
                       : rc == -EACCES || rc == -EPERM ? OLD_DENIED
                       : rc < 0                           ? OLD_UNREADABLE
                       : store_is_empty(store)            ? OLD_EMPTY
                                                          : OLD_FULL;

        if (rc == 0)
            store_close(&store);
        _exit((int)old);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return OLD_BUSY;
    return WIFEXITED(status) ? (enum old)WEXITSTATUS(status) : OLD_UNREADABLE;
}

static int
old_refused(struct restore *restore, enum old old, const char *path)
{
    int rc = 0;

    if (old == OLD_BUSY)
        rc = fail(restore, -EBUSY, "stop it first: turnpike stop", "a server works on the store");
    else if (old == OLD_DENIED)
        rc = fail(restore, -EACCES, "run as its owner or as root", "the store cannot be looked at");
    else if (old == OLD_FULL && !restore->force)
        rc = fail(restore, -EEXIST, "--force puts it aside and the backup in its place",
                  "there is a store that is not empty");
    else if (old == OLD_UNREADABLE && !restore->force)
        rc = fail(restore, -EEXIST, "--force puts it aside and the backup in its place",
                  "there is a store, which cannot be opened");
    if (rc < 0)
        snprintf(restore->fault.what, sizeof(restore->fault.what), "%s", path);
    return rc;
}

/* ---- in its place ---- */

static int
aside_name(const char *state_dir, char *out)
{
    char time[RFC3339_LEN + 1], digits[24];
    size_t n = 0;

    clock_rfc3339(clock_wall_us(), time);
    for (const char *c = time; *c != '\0' && *c != '.'; c++)
        if (*c != '-' && *c != ':')
            digits[n++] = *c;
    digits[n] = '\0';
    for (int i = 0; i < ASIDE_TRIES; i++) {
        int len = i == 0 ? snprintf(out, PATH_BYTES, "%s/store.aside-%sZ", state_dir, digits)
                         : snprintf(out, PATH_BYTES, "%s/store.aside-%sZ-%d", state_dir, digits, i);

        if (len < 0 || len >= PATH_BYTES)
            return -ENAMETOOLONG;
        if (access(out, F_OK) != 0)
            return 0;
    }
    return -EEXIST;
}

/*
 * The new store takes the name of the old one and the other way round in one step, so that at no moment
 * there is none, or an empty one that a start would make. Before it the new one is already under
 * the name that the old one is to have: a death in between leaves nothing under a name that the next
 * restore removes. File systems that cannot do that do it in two.
 */
static int
exchange(const char *from, const char *path, const char *aside)
{
    int rc;

    if (rename(from, aside) != 0)
        return -errno;
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return 0;
    rc = -errno;
    if (rename(aside, from) != 0 || (rc != -EINVAL && rc != -ENOSYS))
        return rc;
    if (rename(path, aside) != 0)
        return -errno;
    if (rename(from, path) == 0)
        return 0;
    rc = -errno;
    (void)rename(aside, path);
    return rc;
}

static int
put_in_place(struct restore *restore, const char *state_dir, const char *from, const char *path,
             enum old old)
{
    int rc;

    if (old == OLD_NONE) {
        rc = rename(from, path) == 0 ? 0 : -errno;
    } else {
        rc = aside_name(state_dir, restore->aside);
        if (rc == 0)
            rc = exchange(from, path, restore->aside);
    }
    if (rc == 0)
        rc = db_sync_dir(state_dir);
    if (rc < 0) {
        restore->aside[0] = '\0';
        return store_failed(restore, rc);
    }
    if (old == OLD_EMPTY) {
        remove_store(restore->aside);
        restore->aside[0] = '\0';
    }
    return 0;
}

int
restore_run(struct restore *restore, const char *state_dir)
{
    char path[PATH_BYTES], from[PATH_BYTES];
    int lock_fd, rc;
    enum old old;

    restore->aside[0] = '\0';
    if ((size_t)snprintf(path, sizeof(path), "%s/store", state_dir) >= sizeof(path) ||
        (size_t)snprintf(from, sizeof(from), "%s.incoming", path) >= sizeof(from))
        return fail(restore, -ENAMETOOLONG, NULL, "the state directory's name is too long");
    old = settle_old(state_dir, path);
    rc = old_refused(restore, old, path);
    if (rc < 0)
        return rc;
    restore->aside_unsettled = old == OLD_UNREADABLE;
    rc = store_lock(state_dir, &lock_fd, &restore->fault);
    if (rc < 0)
        return rc;
    rc = build(restore, from);
    if (rc == 0)
        rc = put_in_place(restore, state_dir, from, path, old);
    if (rc < 0)
        remove_store(from);
    close(lock_fd);
    return rc;
}

int
restore_verify(struct restore *restore, const char *scratch_dir)
{
    char path[PATH_BYTES];
    int rc;

    if ((size_t)snprintf(path, sizeof(path), "%s/store", scratch_dir) >= sizeof(path))
        return fail(restore, -ENAMETOOLONG, NULL, "the scratch directory's name is too long");
    rc = build(restore, path);
    remove_store(path);
    return rc;
}
