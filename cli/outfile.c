#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/str.h"
#include "cli/help.h"

#define HINT_THERE "--force replaces it"

static enum cli_exit
failed(const struct outfile *out, int error)
{
    char what[4200];

    snprintf(what, sizeof(what), "%s: %s", out->noun, out->path);
    return complain(error == EACCES || error == EPERM ? CLI_NOT_ALLOWED : CLI_FAILED, what,
                    error == EEXIST ? "it is there already" : strerror(error),
                    error == EEXIST   ? HINT_THERE
                    : error == ENOSPC ? "make room there, or name another place"
                                      : NULL);
}

/* The directory that the file is to be in, and its name there. */
static int
open_dir(struct outfile *out)
{
    const char *slash = strrchr(out->path, '/');
    const char *name = slash != NULL ? slash + 1 : out->path;
    char dir[4096] = ".";

    if (slash != NULL && (size_t)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - out->path + 1),
                                          out->path) >= sizeof(dir))
        return ENAMETOOLONG;
    if (name[0] == '\0')
        return EISDIR;
    if (str_copy(str_from(name), out->name, sizeof(out->name)) < strlen(name))
        return ENAMETOOLONG;
    out->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return out->dir_fd < 0 ? errno : 0;
}

static void
name_temporary(struct outfile *out)
{
    snprintf(out->temporary, sizeof(out->temporary), ".turnpike-%016llx",
             (unsigned long long)rng_u64());
}

static int
open_unnamed(struct outfile *out)
{
    /* Its name comes by way of /proc. */
    if (access("/proc/self/fd", X_OK) == 0) {
        out->fd = openat(out->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (out->fd >= 0)
            return fchmod(out->fd, 0600) == 0 ? 0 : errno;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
            return errno;
    }
    name_temporary(out);
    out->fd = openat(out->dir_fd, out->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (out->fd < 0)
        out->temporary[0] = '\0';
    return out->fd < 0 ? errno : 0;
}

static enum cli_exit
open_stream(struct outfile *out, int fd)
{
    out->is_stream = true;
    out->fd = fd;
    return fd >= 0 ? CLI_DONE : failed(out, errno);
}

enum cli_exit
outfile_open(struct outfile *out, const char *noun, const char *path, bool force)
{
    struct stat st;
    int error;

    memset(out, 0, sizeof(*out));
    out->fd = out->dir_fd = -1;
    out->noun = noun;
    out->path = path;
    out->force = force;
    if (strcmp(path, "-") == 0)
        return open_stream(out, fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return failed(out, EISDIR);
        if (!S_ISREG(st.st_mode))
            return open_stream(out, open(path, O_WRONLY | O_CLOEXEC));
        if (!force)
            return failed(out, EEXIST);
    }
    error = open_dir(out);
    if (error == 0)
        error = open_unnamed(out);
    if (error == 0)
        return CLI_DONE;
    outfile_drop(out);
    return failed(out, error);
}

/* A name of its own for what has none. */
static int
link_temporary(struct outfile *out)
{
    char self[64];

    if (out->temporary[0] != '\0')
        return 0;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", out->fd);
    name_temporary(out);
    if (linkat(AT_FDCWD, self, out->dir_fd, out->temporary, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    out->temporary[0] = '\0';
    return errno;
}

static int
rename_temporary(struct outfile *out)
{
    if (out->force)
        return renameat(out->dir_fd, out->temporary, out->dir_fd, out->name) == 0 ? 0 : errno;
    if (renameat2(out->dir_fd, out->temporary, out->dir_fd, out->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A link refuses to replace, too. */
    if (linkat(out->dir_fd, out->temporary, out->dir_fd, out->name, 0) != 0)
        return errno;
    return unlinkat(out->dir_fd, out->temporary, 0) == 0 ? 0 : errno;
}

enum cli_exit
outfile_keep(struct outfile *out)
{
    int error = 0;

    if (!out->is_stream) {
        error = fsync(out->fd) == 0 ? 0 : errno;
        if (error == 0)
            error = link_temporary(out);
        if (error == 0)
            error = rename_temporary(out);
        if (error == 0) {
            out->temporary[0] = '\0';
            error = fsync(out->dir_fd) == 0 || errno == EINVAL ? 0 : errno;
        }
    }
    outfile_drop(out);
    return error == 0 ? CLI_DONE : failed(out, error);
}

void
outfile_drop(struct outfile *out)
{
    if (out->temporary[0] != '\0')
        (void)unlinkat(out->dir_fd, out->temporary, 0);
    out->temporary[0] = '\0';
    if (out->fd >= 0)
        close(out->fd);
    if (out->dir_fd >= 0)
        close(out->dir_fd);
    out->fd = out->dir_fd = -1;
}
