#include "net/owner.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define STATE_LISTEN 0x0a
#define INODES_MAX 64

struct inodes {
    unsigned long at[INODES_MAX];
    unsigned count;
};

/* The sockets that listen on the port, of one of the kernel's tables. */
static void
find_sockets(const char *path, uint16_t port, struct inodes *out)
{
    FILE *file = fopen(path, "re");
    char line[512];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL && out->count < INODES_MAX) {
        unsigned at_port, state;
        unsigned long inode;

        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*d %lu",
                   &at_port, &state, &inode) == 3 &&
            at_port == port && state == STATE_LISTEN)
            out->at[out->count++] = inode;
    }
    if (file != NULL)
        fclose(file);
}

static bool
is_one_of(const char *link, const struct inodes *inodes)
{
    char name[64];

    for (unsigned i = 0; i < inodes->count; i++) {
        (void)snprintf(name, sizeof(name), "socket:[%lu]", inodes->at[i]);
        if (strcmp(link, name) == 0)
            return true;
    }
    return false;
}

static bool
holds(pid_t pid, const struct inodes *inodes)
{
    char path[64], link[64];
    struct dirent *entry;
    bool found = false;
    DIR *fds;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    fds = opendir(path);
    while (fds != NULL && !found && (entry = readdir(fds)) != NULL) {
        ssize_t len = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

        if (len <= 0)
            continue;
        link[len] = '\0';
        found = is_one_of(link, inodes);
    }
    if (fds != NULL)
        closedir(fds);
    return found;
}

static void
name_of(pid_t pid, char *out, size_t cap)
{
    char path[64], line[64] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(line, sizeof(line), file) == NULL)
            line[0] = '\0';
        fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    str_copy(str_from(line[0] != '\0' ? line : "?"), out, cap);
}

bool
net_port_owner(uint16_t port, struct net_owner *out)
{
    struct inodes inodes = {.count = 0};
    struct dirent *entry;
    DIR *proc;
    bool found = false;

    find_sockets("/proc/net/tcp", port, &inodes);
    find_sockets("/proc/net/tcp6", port, &inodes);
    proc = inodes.count > 0 ? opendir("/proc") : NULL;
    while (proc != NULL && !found && (entry = readdir(proc)) != NULL) {
        uint64_t pid;

        if (!str_to_count(str_from(entry->d_name), INT32_MAX, &pid))
            continue;
        found = holds((pid_t)pid, &inodes);
        if (found) {
            out->pid = (pid_t)pid;
            name_of(out->pid, out->name, sizeof(out->name));
        }
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}
