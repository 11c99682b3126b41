#include "ledger/store.h"

#include "base/log.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

struct store {
    int lock_fd;
    struct region *region;
    struct ledger *ledger;
    const char *state_dir;
    char store_path[PATH_BYTES];
    char region_path[PATH_BYTES];
    char by[32];
    bool region_made; /* by us, and nothing came into it yet */
};

/* We hold the master's lock, so no parent is there to say so: the kernel's word counts. */
static bool
host_table_lives(void *arg, uint32_t table_idx)
{
    const struct store *store = arg;

    return region_table_locked(store->region, table_idx) != 0;
}

/* ---- opening ---- */

/* Root works as the owner: what it makes, the server must be able to open. */
static int
become_owner(const char *state_dir, const char **why)
{
    struct stat st;

    if (stat(state_dir, &st) != 0) {
        *why = errno == ENOENT ? "there is no such state directory" : "it cannot be read";
        return -errno;
    }
    if (geteuid() != 0 || st.st_uid == 0)
        return 0;
    if (setgroups(0, NULL) != 0 || setgid(st.st_gid) != 0 || setuid(st.st_uid) != 0) {
        *why = "its owner's rights cannot be taken";
        return -EPERM;
    }
    return 0;
}

static int
take_master_lock(struct store *store, const char *state_dir, const char **why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_BYTES];

    if ((size_t)snprintf(path, sizeof(path), "%s/master.lock", state_dir) >= sizeof(path)) {
        *why = "the state directory's name is too long";
        return -ENAMETOOLONG;
    }
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd < 0) {
        *why = errno == ENOENT ? "there is no such state directory" : "its lock cannot be opened";
        return -errno;
    }
    if (fcntl(store->lock_fd, F_SETLK, &lock) != 0) {
        *why = "another process works on it";
        return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    }
    return 0;
}

static int
take_region(struct store *store, bool fresh, const char **why)
{
    int rc;

    if (fresh)
        (void)region_remove(store->region_path);
    rc = fresh ? -ENOENT : region_adopt(store->region_path, &store->region);
    if (rc == -ESTALE || rc == -EINVAL) {
        (void)region_remove(store->region_path);
        rc = -ENOENT;
    }
    if (rc == -ENOENT) {
        /* A directory of our own naming went with the file. */
        rc = region_dir(store->state_dir, store->region_path, sizeof(store->region_path), why);
        if (rc == 0)
            rc = region_create(store->region_path, &region_geometry_default, &store->region);
        store->region_made = rc == 0;
    }
    if (rc < 0) {
        *why = "the memory file cannot be had";
        return rc;
    }
    rc = region_lock_ledger(store->region);
    if (rc < 0) {
        *why = "a server is still about to end";
        return rc == -EAGAIN ? -EBUSY : rc;
    }
    return 0;
}

static int
open_ledger(struct store *store)
{
    struct ledger_open setup = {
        .region = store->region,
        .store_path = store->store_path,
        .durability = LEDGER_RELAXED,
        .unresolved = LEDGER_UNRESOLVED_COUNT,
        .host = {.wall_us = ledger_host_wall_us,
                 .mono_us = ledger_host_mono_us,
                 .pause = ledger_host_pause,
                 .table_lives = host_table_lives,
                 .arg = store},
    };
    int rc = ledger_open(&setup, &store->ledger);

    if (rc == 0)
        rc = ledger_commit_all(store->ledger);
    if (rc == 0)
        rc = recount_dead_tables(store->ledger);
    return rc;
}

const char *
store_error_text(int rc)
{
    switch (rc) {
    case -EILSEQ: return "it is damaged, or not of this program";
    case -EPROTO: return "it is of another version of turnpike";
    default: return strerror(-rc);
    }
}

/* The runtime directory and the memory file in it. */
static int
open_region(struct store *store, bool fresh, struct store_fault *fault)
{
    int rc = region_dir(store->state_dir, store->region_path, PATH_BYTES, &fault->why);

    if (rc == 0) {
        rc = take_region(store, fresh, &fault->why);
        fault->hint = NULL;
    } else {
        fault->hint = "set RUNTIME_DIRECTORY as the server had it, or unset it";
    }
    if (rc < 0 && store->region_path[0] != '\0')
        snprintf(fault->what, sizeof(fault->what), "%s", store->region_path);
    return rc;
}

static void
say_unopened(int rc, struct store_fault *fault)
{
    switch (rc) {
    case -EILSEQ:
        fault->why = "the store cannot be opened: it is damaged, or not of this program";
        fault->hint = "put a copy of the directory store in its place";
        break;
    case -EPROTO:
        fault->why = "the store is of another version of turnpike";
        fault->hint = "use that one, or restore a backup; turnpike doctor says which it is";
        break;
    case -ENOSPC:
        fault->why = "the store cannot be opened: its disk is full";
        fault->hint = "make room";
        break;
    default:
        fault->why = "the store cannot be opened";
        fault->hint = NULL;
    }
}

int
store_open(const char *state_dir, struct store **out, struct store_fault *fault)
{
    struct store *store = calloc(1, sizeof(*store));
    const char **why = &fault->why;
    int rc = -ENOMEM;

    *out = NULL;
    *fault = (struct store_fault){.why = "out of memory"};
    snprintf(fault->what, sizeof(fault->what), "%s", state_dir);
    if (store == NULL)
        return -ENOMEM;
    store->lock_fd = -1;
    store->state_dir = state_dir;
    rc = become_owner(state_dir, why);
    if (rc < 0)
        goto fail;
    snprintf(store->by, sizeof(store->by), "uid %u", (unsigned)geteuid());
    rc = take_master_lock(store, state_dir, why);
    if (rc < 0)
        goto fail;
    rc = -ENAMETOOLONG;
    if ((size_t)snprintf(store->store_path, PATH_BYTES, "%s/store", state_dir) >= PATH_BYTES)
        goto fail;
    rc = open_region(store, false, fault);
    if (rc < 0)
        goto fail;
    rc = open_ledger(store);
    if (rc == -ESTALE) { /* memory of another store, or newer than this one */
        region_detach(store->region);
        store->region = NULL;
        rc = open_region(store, true, fault);
        if (rc < 0)
            goto fail;
        rc = open_ledger(store);
    }
    if (rc < 0) {
        say_unopened(rc, fault);
        goto fail;
    }
    *out = store;
    return 0;

fail:
    store_close(&store);
    return rc;
}

static int
no_ledger_works(struct store *store, const char **why)
{
    int rc = region_dir(store->state_dir, store->region_path, PATH_BYTES, why);

    if (rc < 0)
        return rc;
    rc = region_adopt(store->region_path, &store->region);
    if (rc == -ENOENT)
        (void)region_remove(store->region_path); /* the directory, which may be new */
    if (rc < 0)
        return 0;
    rc = region_lock_ledger(store->region);
    if (rc < 0)
        *why = "a server is still about to end";
    region_detach(store->region);
    return rc == -EAGAIN ? -EBUSY : rc;
}

int
store_lock(const char *state_dir, int *lock_fd, struct store_fault *fault)
{
    struct store store = {.lock_fd = -1, .state_dir = state_dir};
    int rc;

    *lock_fd = -1;
    *fault = (struct store_fault){.why = ""};
    snprintf(fault->what, sizeof(fault->what), "%s", state_dir);
    rc = become_owner(state_dir, &fault->why);
    if (rc == 0)
        rc = take_master_lock(&store, state_dir, &fault->why);
    if (rc == 0)
        rc = no_ledger_works(&store, &fault->why);
    if (rc == 0)
        *lock_fd = store.lock_fd;
    else if (store.lock_fd >= 0)
        close(store.lock_fd);
    return rc;
}

int
store_ask(struct store *store, struct str request, struct buf *answer)
{
    return store_ask_with(store, request, -1, answer);
}

int
store_ask_with(struct store *store, struct str request, int fd, struct buf *answer)
{
    int rc = command_run_with(store->ledger, request, store->by, fd, answer);

    if (answer->len > 0 && answer->ptr[answer->len - 1] == '\n')
        answer->len--;
    return rc;
}

bool
store_is_empty(const struct store *store)
{
    return store->ledger->tail.tenant_last == 0;
}

/* ---- closing ---- */

static bool
region_in_use(struct store *store)
{
    const struct region_header *header = store->region->header;
    uint64_t held, settled;

    for (uint32_t t = 0; t < header->geometry.table_max; t++)
        if (atomic_load_explicit(&header->table[t].state, memory_order_acquire) == TABLE_LIVE)
            return true;
    return ledger_open_slots(store->ledger, &held, &settled) > 0 ||
           store->ledger->quarantine_count > 0;
}

void
store_close(struct store **storep)
{
    struct store *store = *storep;
    bool remove_region;

    *storep = NULL;
    if (store == NULL)
        return;
    /* What a worker still uses stays, and so does what an audit must find again. */
    remove_region = store->region != NULL && (store->ledger != NULL ? !region_in_use(store)
                                                                    : store->region_made);
    ledger_close(&store->ledger);
    if (store->region != NULL)
        region_detach(store->region);
    if (remove_region)
        (void)region_remove(store->region_path);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store);
}
