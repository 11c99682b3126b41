/*
 * What the server that runs was started with, by its command line: the certificates that it serves, for who does not
 * name any. Paths that are not absolute are from its folder, when we may see which that is.
 */
#include "cli/doctor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define WORDS_BYTES_MAX 65536
#define PATHS_BYTES_MAX 32768

/* The words of a process, each ended by a NUL, in static memory; their length, 0 when they are not told. */
static size_t
words_read(int pid, const char **out)
{
    static char words[WORDS_BYTES_MAX + 1];
    char path[64];
    ssize_t n = 0, got = 1;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && got > 0 && n < WORDS_BYTES_MAX) {
        got = read(fd, words + n, (size_t)(WORDS_BYTES_MAX - n));
        n += got > 0 ? got : 0;
    }
    if (fd >= 0)
        close(fd);
    words[n] = '\0';
    *out = words;
    return (size_t)n;
}

static const char *
path_of(int pid, const char *path)
{
    static char paths[PATHS_BYTES_MAX];
    static size_t used;
    char link[64], dir[4096];
    char *out = paths + used;
    ssize_t n;
    int len;

    if (path[0] == '/')
        return path;
    (void)snprintf(link, sizeof(link), "/proc/%d/cwd", pid);
    n = readlink(link, dir, sizeof(dir) - 1);
    if (n <= 0)
        return path;
    dir[n] = '\0';
    len = snprintf(out, sizeof(paths) - used, "%s/%s", dir, path);
    if (len < 0 || (size_t)len >= sizeof(paths) - used)
        return path;
    used += (size_t)len + 1;
    return out;
}

static void
keep(struct cli_given *given, int pid, const char *value)
{
    if (given->count < COUNT_OF(given->at))
        given->at[given->count++] = path_of(pid, value);
}

void
doctor_serving(int pid, struct cli_given *cert, struct cli_given *key)
{
    const char *words;
    size_t words_len = words_read(pid, &words);
    const char *end = words + words_len;
    struct {
        struct str flag;
        struct cli_given *given;
    } flags[] = {{STR("--tls-cert"), cert}, {STR("--tls-key"), key}};

    cert->count = key->count = 0;
    for (const char *word = words; word < end; word += strlen(word) + 1)
        for (size_t i = 0; i < COUNT_OF(flags); i++) {
            const char *rest = word + flags[i].flag.len;
            const char *next = word + strlen(word) + 1;

            if (!str_starts_with(str_from(word), flags[i].flag))
                continue;
            if (rest[0] == '=')
                keep(flags[i].given, pid, rest + 1);
            else if (rest[0] == '\0' && next < end)
                keep(flags[i].given, pid, next);
        }
    /* Pairs only: what else there is was refused at its start. */
    cert->count = key->count = MIN(cert->count, key->count);
}
