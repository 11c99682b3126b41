/*
 * Where the memory file lives: a directory on a memory file system that only we can enter. The
 * service manager's runtime directory when there is one, else one of our own making in /dev/shm,
 * named after the user and the state directory, so that two gateways of one machine never meet
 * and the same one finds its file again.
 *
 * /dev/shm is everybody's: another user may have made our name first. Whatever is found is opened
 * without following links and checked by the descriptor; once it is ours nobody else can replace
 * it, since the directory above is sticky.
 */
#include "base/hash.h"
#include "base/str.h"
#include "shm/region.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SHM_DIR "/dev/shm"
#define REGION_FILE "region"
#define PATH_BYTES 4096

static int
refuse(int rc, const char *text, const char **why)
{
    *why = text;
    return rc;
}

/* owner: whose it must be. */
static int
dir_check_fd(int fd, uid_t owner, const char **why)
{
    struct stat st;
    struct statfs fs;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return refuse(-errno, "the runtime directory cannot be read", why);
    if (st.st_uid != owner)
        return refuse(-EPERM, "the runtime directory belongs to another user", why);
    if ((st.st_mode & 077) != 0)
        return refuse(-EPERM, "the runtime directory is open to other users; its mode must be 0700",
                      why);
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        return refuse(-EINVAL, "the runtime directory is not on a memory file system (tmpfs)", why);
    return 0;
}

static int
dir_open(const char *path, const char **why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    /* A link opened as a directory but not followed is ENOTDIR. */
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return refuse(-EPERM, "the runtime directory is a symbolic link or no directory", why);
    if (fd < 0 && errno == EACCES)
        return refuse(-EPERM, "the runtime directory belongs to another user", why);
    if (fd < 0)
        return refuse(-errno, "the runtime directory cannot be opened", why);
    return fd;
}

static int
dir_check(const char *path, const char **why)
{
    int rc, fd = dir_open(path, why);

    if (fd < 0)
        return fd;
    rc = dir_check_fd(fd, geteuid(), why);
    close(fd);
    return rc;
}

/* turnpike-UID-HASH: the hash is of the device, inode and path of the state directory. */
static int
own_name(const char *state_dir, uid_t owner, char *out, size_t cap, const char **why)
{
    uint8_t hash[HASH_LEN];
    char ids[64], hex[2 * 8 + 1];
    struct stat st;
    char *real = realpath(state_dir, NULL);
    int n;

    if (real == NULL || stat(real, &st) < 0) {
        int rc = -errno;

        free(real);
        return refuse(rc, "the state directory cannot be read", why);
    }
    n = snprintf(ids, sizeof(ids), "%ju:%ju:", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    hash_pair((struct str){ids, (size_t)n}, str_from(real), hash);
    free(real);
    str_hex(hash, 8, hex);
    n = snprintf(out, cap, SHM_DIR "/turnpike-%u-%s", (unsigned)owner, hex);
    return n < 0 || (size_t)n >= cap ? refuse(-ENAMETOOLONG, "the path is too long", why) : 0;
}

/* The directory that the service manager gave us, usually made by it; if not: ours to make. *given:
 * there is one. */
static int
given_dir(char *out, size_t cap, bool *given, const char **why)
{
    struct str rest, first = str_split(str_from(getenv("RUNTIME_DIRECTORY")), ':', &rest);

    *given = first.len > 0;
    if (!*given)
        return 0;
    if (first.len >= cap)
        return refuse(-ENAMETOOLONG, "the path is too long", why);
    str_copy(first, out, cap);
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return refuse(-errno, "the runtime directory cannot be made", why);
    return 0;
}

int
region_dir(const char *state_dir, char *out, size_t cap, const char **why)
{
    bool given;
    int rc;

    *why = NULL;
    out[0] = '\0';
    rc = given_dir(out, cap, &given, why);
    if (rc < 0)
        return rc;
    if (given)
        return dir_check(out, why);
    rc = own_name(state_dir, geteuid(), out, cap, why);
    if (rc < 0)
        return rc;
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return refuse(-errno, "the runtime directory cannot be made in " SHM_DIR, why);
    return dir_check(out, why);
}

/* The file first: while the directory is ours nobody else can put anything in its place. */
static int
give_dir(const char *path, uid_t uid, gid_t gid, const char **why)
{
    struct stat st;
    int rc = 0, fd = dir_open(path, why);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || st.st_uid == uid)
        goto close_fd; /* given before: what is in it is the user's */
    rc = dir_check_fd(fd, geteuid(), why);
    if (rc < 0)
        goto close_fd;
    if ((fchownat(fd, REGION_FILE, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT) ||
        fchown(fd, uid, gid) < 0)
        rc = refuse(-errno, "the runtime directory cannot be given to the user", why);

close_fd:
    close(fd);
    return rc;
}

int
region_dir_give(const char *state_dir, uid_t uid, gid_t gid, const char **why)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    bool given;
    int rc;

    *why = NULL;
    rc = given_dir(to, sizeof(to), &given, why);
    if (rc < 0)
        return rc;
    if (given)
        return give_dir(to, uid, gid, why);
    rc = own_name(state_dir, geteuid(), from, sizeof(from), why);
    if (rc == 0)
        rc = own_name(state_dir, uid, to, sizeof(to), why);
    if (rc < 0)
        return rc;
    /* Renamed before it is given: a start that dies in between is finished by the next. */
    if (rename(from, to) < 0 && errno != ENOENT)
        return refuse(-errno, "the memory file of an earlier start cannot be given to the user", why);
    if (access(to, F_OK) < 0)
        return 0;
    return give_dir(to, uid, gid, why);
}

int
region_remove(const char *dir)
{
    char path[PATH_BYTES], ours[64];
    int n = snprintf(path, sizeof(path), "%s/" REGION_FILE, dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    n = snprintf(ours, sizeof(ours), SHM_DIR "/turnpike-%u-", (unsigned)geteuid());
    /* Something else may be in it: then it stays, and is found again. */
    if (strncmp(dir, ours, (size_t)n) == 0)
        (void)rmdir(dir);
    return 0;
}
