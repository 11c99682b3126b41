#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

const char *
secret_file_fault(int fd, const char *path, const char **hint)
{
    static char todo[600];
    struct stat st;

    if (fstat(fd, &st) != 0)
        return strerror(errno);
    *hint = "name a file that holds the key and nothing else";
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if (st.st_size == 0)
        return "it is empty";
    if ((st.st_mode & 077) == 0)
        return NULL;
    (void)snprintf(todo, sizeof(todo), "run chmod 600 %.512s", path);
    *hint = todo;
    return "others can read it";
}

static const char *
secret_cut(char *text, const char **hint)
{
    size_t len = strlen(text);

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
    *hint = "a key is one word";
    if (len == 0)
        return "it is empty";
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return "it holds bytes that no key has";
    return NULL;
}

static const char *
file_read(const char *path, char *out, size_t cap, const char **hint)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const char *why;
    ssize_t n;

    *hint = "name a file that holds the key and nothing else";
    if (fd < 0)
        return strerror(errno);
    why = secret_file_fault(fd, path, hint);
    n = why == NULL ? read(fd, out, cap - 1) : 0;
    close(fd);
    if (why != NULL)
        return why;
    if (n < 0)
        return strerror(errno);
    out[n] = '\0';
    return (size_t)n == cap - 1 ? "it is longer than any key" : secret_cut(out, hint);
}

const char *
secret_read(const char *env, const char *file, char *out, size_t cap, const char **hint)
{
    const char *value = env != NULL ? getenv(env) : NULL;

    out[0] = '\0';
    if (file != NULL)
        return file_read(file, out, cap, hint);
    if (env == NULL)
        return NULL;
    *hint = "export it first";
    if (value == NULL)
        return "this variable is not set";
    if (strlen(value) >= cap)
        return "it is longer than any key";
    str_copy(str_from(value), out, cap);
    return secret_cut(out, hint);
}
