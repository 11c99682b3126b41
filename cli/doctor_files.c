/* routes.conf, credentials, certificates, and the state folder with the store in it. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mode.h"
#include "base/str.h"
#include "ledger/peek.h"
#include "ledger/store.h"
#include "net/tls.h"

#define MIB (UINT64_C(1) << 20)
#define DISK_LEAST (64 * MIB)
#define DISK_LITTLE (1024 * MIB)
#define PEM_BYTES_MAX (1u << 20)
#define ENVIRONMENT_FILE "/etc/turnpike/environment"

/* ---- routes.conf ---- */

static void
check_environment_file(struct doctor_report *report)
{
    struct stat st;

    if (stat(ENVIRONMENT_FILE, &st) == 0 && (st.st_mode & 077) != 0)
        doctor_say(report, DOCTOR_FAIL, "credentials", "chmod 600 " ENVIRONMENT_FILE,
                   "others can read " ENVIRONMENT_FILE " (mode %04o)", st.st_mode & 07777);
}

static void
check_credentials(const struct conf *conf, struct doctor_report *report)
{
    size_t usable = 0, all = 0;

    for (size_t i = 0; i < conf->upstream_count; i++)
        for (size_t k = 0; k < conf->upstreams[i].credential_count; k++) {
            all++;
            usable += conf->upstreams[i].credentials[k].disabled_reason == NULL;
        }
    if (usable == 0)
        doctor_say(report, DOCTOR_FAIL, "credentials",
                   "set the variables, or name files with key-file, as who runs the server",
                   "none of %zu can be read", all);
    else
        doctor_say(report, DOCTOR_OK, "credentials", NULL, "%zu of %zu can be read", usable, all);
}

void
doctor_conf(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    size_t shown = 0;

    (void)arg;
    if (doctor->conf != NULL) {
        doctor_say(report, DOCTOR_OK, "routes.conf", NULL,
                   "%s: %zu upstreams, %zu models, %zu channels", doctor->conf_path,
                   doctor->conf->upstream_count, doctor->conf->model_count,
                   doctor->conf->channel_count);
        check_credentials(doctor->conf, report);
    }
    for (size_t i = 0; doctor->conf == NULL && i < doctor->faults->count && shown < 5; i++) {
        const struct conf_fault *fault = &doctor->faults->at[i];

        if (fault->warning)
            continue;
        shown++;
        doctor_say(report, DOCTOR_FAIL, "routes.conf", "turnpike check shows all", "%s:%u: %s",
                   fault->file, fault->line, fault->message);
    }
    check_environment_file(report);
}

/* ---- the state folder ---- */

static const char *
file_system(const char *dir, enum doctor_level *level, const char **todo)
{
    struct statfs fs;

    *level = DOCTOR_WARN;
    *todo = "name a folder on a local disk with -s";
    if (statfs(dir, &fs) != 0)
        return "unknown";
    switch ((unsigned long)fs.f_type) {
    case NFS_SUPER_MAGIC: *level = DOCTOR_FAIL; return "NFS, where locks and mappings are not safe";
    case SMB_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
        *level = DOCTOR_FAIL;
        return "SMB, where locks and mappings are not safe";
    case FUSE_SUPER_MAGIC: return "FUSE: whether what is synced stays is its own to keep";
    case TMPFS_MAGIC:
    case RAMFS_MAGIC: return "in memory: the books are gone with the machine's next start";
    case OVERLAYFS_SUPER_MAGIC: return "a container's own layer: the books are gone with the container";
    default: *level = DOCTOR_OK; *todo = NULL; return "local";
    }
}

static void
check_space(const char *dir, struct doctor_report *report)
{
    enum doctor_level level, room = DOCTOR_OK;
    const char *todo, *name = file_system(dir, &level, &todo);
    struct statvfs fs;
    uint64_t bytes;

    if (statvfs(dir, &fs) != 0) {
        doctor_say(report, DOCTOR_FAIL, "disk", NULL, "%s: %s", dir, strerror(errno));
        return;
    }
    bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes < DISK_LITTLE)
        room = bytes < DISK_LEAST ? DOCTOR_FAIL : DOCTOR_WARN;
    doctor_say(report, room, "disk", room != DOCTOR_OK ? "make room: on a full disk no call is served" : NULL,
               "%llu MiB free", (unsigned long long)(bytes / MIB));
    doctor_say(report, level, "file system", todo, "%s", name);
    if ((fs.f_flag & ST_RDONLY) != 0)
        doctor_say(report, DOCTOR_FAIL, "file system", "mount it for writing", "it is read-only");
    if (fs.f_files > 0 && fs.f_favail < 16)
        doctor_say(report, DOCTOR_FAIL, "disk", "remove files", "it has no room for more files");
}

static void
check_mode(const char *dir, const char *name, mode_t bad, struct doctor_report *report)
{
    char path[4200], todo[256];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s%s", dir, name) >= (int)sizeof(path) ||
        lstat(path, &st) != 0 || (st.st_mode & bad) == 0)
        return;
    (void)snprintf(todo, sizeof(todo), "chmod go= %.200s", path);
    doctor_say(report, (st.st_mode & bad & 0022) != 0 ? DOCTOR_FAIL : DOCTOR_WARN, "state folder", todo,
               "others may %s %s (mode %04o)", (st.st_mode & bad & 0022) != 0 ? "write to" : "look into",
               path, st.st_mode & 07777);
}

void
doctor_state(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    const char *dir = doctor->state_dir;
    struct passwd pw, *found = NULL;
    char names[1024];
    struct stat st;

    (void)arg;
    if (stat(dir, &st) != 0) {
        doctor_say(report, errno == ENOENT ? DOCTOR_WARN : DOCTOR_FAIL, "state folder",
                   errno == ENOENT ? "serve makes it; name another with -s" : "run as its owner or as root",
                   "%s: %s", dir, strerror(errno));
        return;
    }
    (void)getpwuid_r(st.st_uid, &pw, names, sizeof(names), &found);
    if (!S_ISDIR(st.st_mode)) {
        doctor_say(report, DOCTOR_FAIL, "state folder", "name another with -s", "%s is no folder", dir);
        return;
    }
    if (geteuid() != 0 && st.st_uid != geteuid())
        doctor_say(report, DOCTOR_WARN, "state folder", "run doctor as that user, or as root",
                   "%s belongs to %s", dir, found != NULL ? pw.pw_name : "another user");
    else
        doctor_say(report, DOCTOR_OK, "state folder", NULL, "%s, of %s", dir,
                   found != NULL ? pw.pw_name : "a user without a name");
    check_mode(dir, "", 0077, report);
    check_mode(dir, "/store", 0077, report);
    check_mode(dir, "/store/data.mdb", 0077, report);
    check_mode(dir, "/control.sock", 0077, report);
    check_space(dir, report);
}

void
doctor_store(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    uint64_t bytes = 0;
    uint32_t schema = 0;
    char path[4200];
    struct stat st;
    int rc;

    (void)arg;
    if (snprintf(path, sizeof(path), "%s/store/data.mdb", doctor->state_dir) < (int)sizeof(path) &&
        stat(path, &st) == 0)
        bytes = (uint64_t)st.st_blocks * 512;
    if (doctor->master_pid > 0) {
        /* It has it open, so it is one that it knows. */
        doctor_say(report, DOCTOR_OK, "store", NULL, "%llu MiB, in use", (unsigned long long)(bytes / MIB));
        return;
    }
    rc = peek_schema(doctor->state_dir, &schema);
    if (rc == -ENOENT)
        doctor_say(report, DOCTOR_OK, "store", NULL, "there is none yet");
    else if (rc < 0)
        doctor_say(report, DOCTOR_FAIL, "store",
                   rc == -EACCES ? "run as its owner or as root" : "restore a backup, and keep what is there",
                   "%s: %s", path, store_error_text(rc));
    else if (schema > peek_schema_known)
        doctor_say(report, DOCTOR_FAIL, "store", "install that turnpike, or restore a backup of before",
                   "it is of a newer turnpike: version %u, and this one knows %u", schema,
                   peek_schema_known);
    else
        doctor_say(report, DOCTOR_OK, "store", NULL, "%llu MiB, version %u",
                   (unsigned long long)(bytes / MIB), schema);
}

/* ---- certificates ---- */

static int
read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = 1;

    if (fd < 0)
        return errno;
    while (n > 0) {
        if (!buf_reserve(out, 4096)) {
            close(fd);
            return EFBIG;
        }
        n = read(fd, out->ptr + out->len, 4096);
        out->len += n > 0 ? (size_t)n : 0;
    }
    n = n < 0 ? errno : 0;
    close(fd);
    return (int)n;
}

static void
check_key_mode(const char *path, struct doctor_report *report)
{
    char todo[256];
    struct stat st;

    if (stat(path, &st) != 0 || !mode_key_is_open(&st))
        return;
    (void)snprintf(todo, sizeof(todo), "chmod 600 %.200s", path);
    doctor_say(report, DOCTOR_FAIL, "certificate", todo, "others can read the key %s (mode %04o)", path,
               st.st_mode & 07777);
}

static void
check_certificate(const char *chain, const char *key, struct doctor_report *report)
{
    char err[TLS_ERROR_TEXT], day[32];
    struct buf chain_pem, key_pem;
    struct tls_identity identity;
    const char *failed = chain, *why;
    struct tls_dates dates;
    enum doctor_level level;
    int rc;

    buf_init(&chain_pem, PEM_BYTES_MAX);
    buf_init(&key_pem, PEM_BYTES_MAX);
    rc = read_file(chain, &chain_pem);
    if (rc == 0) {
        failed = key;
        rc = read_file(key, &key_pem);
    }
    identity = (struct tls_identity){buf_str(&chain_pem), buf_str(&key_pem)};
    if (rc != 0) {
        doctor_say(report, DOCTOR_FAIL, "certificate", "it must be readable for who runs the server",
                   "%s: %s", failed, strerror(rc));
    } else if (!tls_identity_check(&identity, err) || !tls_chain_dates(identity.chain_pem, &dates)) {
        doctor_say(report, DOCTOR_FAIL, "certificate", "give a chain in PEM and its own key", "%s: %s",
                   chain, err);
    } else {
        level = doctor_expiry(dates.begin_s, dates.end_s, &why);
        doctor_say(report, level, "certificate",
                   level != DOCTOR_OK ? "renew it, then turnpike reload" : NULL, "%s: until %s%s%s",
                   chain, doctor_day(dates.end_s, day), why != NULL ? ": " : "", why != NULL ? why : "");
        check_key_mode(key, report);
    }
    if (key_pem.ptr != NULL)
        explicit_bzero(key_pem.ptr, key_pem.cap);
    buf_free(&chain_pem);
    buf_free(&key_pem);
}

void
doctor_certificates(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    (void)arg;
    for (unsigned i = 0; i < doctor->tls_cert->count; i++)
        check_certificate(doctor->tls_cert->at[i], doctor->tls_key->at[i], report);
}
