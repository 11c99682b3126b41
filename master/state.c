#include "master/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mode.h"

#define PEM_BYTES_MAX (1024 * 1024)

static int
failed(const char *what, int error, const char *hint)
{
    options_complain(what, strerror(error), hint);
    return error == EACCES || error == EPERM ? CLI_NOT_ALLOWED : CLI_FAILED;
}

static int
no_runtime_dir(const char *path, int rc, const char *why)
{
    options_complain(path[0] != '\0' ? path : "RUNTIME_DIRECTORY", why ? why : strerror(-rc),
                     "set RUNTIME_DIRECTORY to a private directory on a tmpfs");
    return CLI_FAILED;
}

/* Like mkdir -p, but only the last part gets 0700. */
static int
make_dir(const char *dir)
{
    char path[4096];
    size_t len = strlen(dir);

    if (len == 0 || len >= sizeof path)
        return ENAMETOOLONG;
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return errno;
        path[i] = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? errno : 0;
}

static int
take_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char why[64];

    if (fcntl(fd, F_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return failed("master.lock", errno, "the state directory must be on a local file system");
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        snprintf(why, sizeof why, "in use by process %ld", (long)lock.l_pid);
    else
        snprintf(why, sizeof why, "in use");
    options_complain("state directory", why, "stop that one first, or name another with -s");
    return CLI_BUSY;
}

/*
 * What root made in a directory of its own, and the directory, given to the user. One that is the
 * user's already is left alone: there may be links in it to anything.
 */
static int
give_dir(int fd, uid_t uid, gid_t gid)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    struct dirent *entry;
    int error = d == NULL ? errno : 0;

    while (error == 0 && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fchownat(fd, entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
            error = errno;
    }
    if (d != NULL)
        closedir(d);
    else if (own >= 0)
        close(own);
    return error == 0 && fchown(fd, uid, gid) < 0 ? errno : error;
}

static int
give_state(int fd, uid_t uid, gid_t gid)
{
    int store = openat(fd, "store", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int error = 0;

    if (store >= 0) {
        if (fstat(store, &st) == 0 && st.st_uid == geteuid())
            error = give_dir(store, uid, gid);
        close(store);
    }
    return error != 0 ? error : give_dir(fd, uid, gid);
}

/* 0 when the directory is ours, or root's and now the user's. */
static int
check_owner(int fd, const struct options *o)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return failed(o->state_dir, errno, NULL);
    if (st.st_uid != o->uid && st.st_uid != geteuid()) {
        options_complain(o->state_dir, "it belongs to another user",
                         "run as its owner (--user), or name another directory with -s");
        return CLI_NOT_ALLOWED;
    }
    if (st.st_mode & 0022) {
        options_complain(o->state_dir, "others may write to it", "chmod 0700 it");
        return CLI_NOT_ALLOWED;
    }
    if (st.st_mode & 0007)
        log_warn("state.open-to-others", "dir=%s mode=%04o", o->state_dir, st.st_mode & 07777u);
    if (st.st_uid != o->uid) {
        int error = give_state(fd, o->uid, o->gid);

        if (error != 0)
            return failed(o->state_dir, error, "it cannot be given to the user of --user");
    }
    return 0;
}

/* As the user that we will be, whose directory it is: it could have put a link there. */
static int
open_lock(const struct options *o, const char *path, int *fd)
{
    uid_t before = geteuid();
    int rc = 0;

    if (o->user != NULL && seteuid(o->uid) < 0)
        return failed("--user", errno, NULL);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0)
        rc = failed(path, errno, "the state directory must be usable for who runs the server");
    if (o->user != NULL && seteuid(before) < 0)
        return failed("--user", errno, NULL);
    return rc;
}

int
state_open(const struct options *o, int *lock_fd)
{
    char path[4200];
    int error = make_dir(o->state_dir);
    int rc, fd;

    if (error != 0)
        return failed(o->state_dir, error, "name a directory that can be made with -s");
    fd = open(o->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(o->state_dir, errno, "name a directory of yours with -s");
    rc = check_owner(fd, o);
    close(fd);
    if (rc != 0)
        return rc;
    snprintf(path, sizeof path, "%s/master.lock", o->state_dir);
    rc = open_lock(o, path, lock_fd);
    if (rc != 0)
        return rc;
    rc = take_lock(*lock_fd);
    if (rc != 0)
        close(*lock_fd);
    return rc;
}

int
state_control_path(const char *dir, char *path, size_t path_cap)
{
    int n = snprintf(path, path_cap, "%s/control.sock", dir);

    if (n >= 0 && (size_t)n < MIN(path_cap, sizeof((struct sockaddr_un *)0)->sun_path))
        return 0;
    path[0] = '\0';
    return failed("control.sock", ENAMETOOLONG, "use a shorter state directory (-s)");
}

int
state_control_socket(const char *dir, char *path, size_t path_cap, int *fd)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int rc = state_control_path(dir, path, path_cap);

    if (rc != 0)
        return rc;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    unlink(path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return failed(path, errno, NULL);
    mask = umask(0177);
    rc = bind(*fd, (const struct sockaddr *)&addr, sizeof addr);
    umask(mask);
    if (rc < 0 || listen(*fd, 64) < 0) {
        int error = errno;

        close(*fd);
        return failed(path, error, NULL);
    }
    return 0;
}

static int
region_make(const char *region_path, struct region **out)
{
    int rc = region_create(region_path, &region_geometry_default, out);

    if (rc < 0)
        return failed(region_path, -rc, "the memory file needs space on a tmpfs");
    return 0;
}

int
state_region(const char *dir, bool fresh, char *region_path, size_t cap, struct region **out)
{
    const char *why = NULL;
    int rc = region_dir(dir, region_path, cap, &why);

    if (rc < 0)
        return no_runtime_dir(region_path, rc, why);
    if (!fresh) {
        rc = region_adopt(region_path, out);
        if (rc == 0) {
            log_info("region.adopted", "dir=%s", region_path);
            return 0;
        }
        if (rc == -EPERM || rc == -EACCES)
            return failed(region_path, -rc, "another user's memory file is in the way");
        if (rc != -ENOENT)
            log_warn("region.replaced", "dir=%s error=%d", region_path, -rc);
    }
    (void)region_remove(region_path);
    rc = region_dir(dir, region_path, cap, &why); /* region_remove() may have taken it along */
    if (rc < 0)
        return no_runtime_dir(region_path, rc, why);
    return region_make(region_path, out);
}

bool
state_region_empty(const struct region *region)
{
    for (uint32_t i = 0; i < region->header->geometry.table_max; i++)
        if (atomic_load_explicit(&region->header->table[i].state, memory_order_acquire) !=
            TABLE_FREE)
            return false;
    return true;
}

/* 0 or an errno. *open_to_others: others can read it, so that it is no place for a key. */
static int
read_pem(const char *path, struct str *out, bool *open_to_others)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be no file */
    struct stat st;
    char *text;
    ssize_t n;

    if (fd < 0)
        return errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PEM_BYTES_MAX) {
        close(fd);
        return EINVAL;
    }
    *open_to_others = mode_key_is_open(&st);
    text = malloc((size_t)st.st_size + 1);
    n = text ? read(fd, text, (size_t)st.st_size) : -1;
    close(fd);
    if (text == NULL || n != st.st_size) {
        free(text);
        return EIO;
    }
    text[n] = '\0';
    *out = (struct str){text, (size_t)n};
    return 0;
}

void
state_certificates_free(struct worker_certificate *certificates)
{
    for (unsigned i = 0; i < OPTIONS_CERT_MAX; i++) {
        struct worker_certificate *c = &certificates[i];

        if (c->key_pem.ptr != NULL)
            explicit_bzero((void *)(uintptr_t)c->key_pem.ptr, c->key_pem.len);
        free((void *)(uintptr_t)c->key_pem.ptr);
        free((void *)(uintptr_t)c->chain_pem.ptr);
        *c = (struct worker_certificate){STR_NONE, STR_NONE};
    }
}

static bool
certificate_read(const struct options *o, unsigned i, struct worker_certificate *out,
                 struct state_fault *fault)
{
    struct tls_identity identity;
    bool is_open = false;
    int error = read_pem(o->cert_path[i], &out->chain_pem, &is_open);

    *fault = (struct state_fault){.file = o->cert_path[i], .hint = "--tls-cert takes a PEM file"};
    if (error == 0) {
        fault->file = o->cert_key_path[i];
        fault->hint = "--tls-key takes a PEM file";
        error = read_pem(o->cert_key_path[i], &out->key_pem, &is_open);
    }
    if (error != 0) {
        fault->why = strerror(error);
        fault->status = error == EACCES || error == EPERM ? CLI_NOT_ALLOWED : CLI_FAILED;
        if (fault->status == CLI_NOT_ALLOWED)
            fault->hint = "it must be readable for who runs the server";
        return false;
    }
    identity = (struct tls_identity){out->chain_pem, out->key_pem};
    if (tls_identity_check(&identity, fault->text)) {
        fault->why = "others can read this key";
        fault->hint = "chmod 600 it";
        fault->status = CLI_BAD_CONF;
        return !is_open;
    }
    fault->file = o->cert_path[i];
    fault->why = fault->text;
    fault->hint = "--tls-cert and --tls-key must match";
    fault->status = CLI_FAILED;
    return false;
}

bool
state_certificates(const struct options *o, struct worker_certificate *out,
                   struct state_fault *fault)
{
    struct worker_certificate read[OPTIONS_CERT_MAX] = {{{NULL, 0}, {NULL, 0}}};

    for (unsigned i = 0; i < o->cert_count; i++)
        if (!certificate_read(o, i, &read[i], fault)) {
            state_certificates_free(read);
            return false;
        }
    memcpy(out, read, sizeof read);
    return true;
}

int
state_drop_root(const struct options *o)
{
    const char *why;
    int rc;

    if (o->user == NULL)
        return 0;
    rc = region_dir_give(o->state_dir, o->uid, o->gid, &why);
    if (rc < 0)
        return no_runtime_dir("", rc, why);
    if (initgroups(o->user, o->gid) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
        setresuid(o->uid, o->uid, o->uid) < 0)
        return failed("--user", errno, NULL);
    if (o->uid != 0 && setuid(0) == 0) {
        options_complain("--user", "root could be regained", NULL);
        return CLI_FAILED;
    }
    return 0;
}
