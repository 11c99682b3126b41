/*
 * Secrets of upstreams: read once, while loading, into the snapshot's memory, which is wiped when
 * it goes. They come from the environment, from a file that nobody else may read, or from a
 * credential of systemd's. A secret that is not there does not make the file wrong: the
 * credential is set aside and said to be, so that one file serves machines that hold different keys.
 *
 * Nothing here puts a byte of a secret into a message.
 */
#include "conf/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define SECRET_LEN_MAX 8192

struct secret_source {
    const char *key;
    struct str path;
    bool private; /* must be readable by its owner alone */
};

/* What a secret is read into, and what messages call that. */
struct target {
    struct conf_credential *out;
    const char *owner;
    bool blanks; /* it may hold such */
};

static void PRINTF_LIKE(4, 5)
    disable(struct load *load, struct place at, const struct target *to, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    to->out->disabled_reason = load_copy(load, str_from(text)).ptr;
    load_warning(load, at, "%s is disabled: %s", to->owner, text);
}

/* It goes into a header: visible bytes only. */
static const char *
secret_fault(struct str secret, bool blanks)
{
    if (secret.len == 0)
        return "is empty";
    if (secret.len > SECRET_LEN_MAX)
        return "is longer than any key";
    for (size_t i = 0; i < secret.len; i++)
        if (secret.ptr[i] < ' ' || (secret.ptr[i] == ' ' && !blanks) || secret.ptr[i] >= 0x7f)
            return "holds bytes that no key has, such as a blank or a newline";
    return NULL;
}

static void
secret_keep(struct load *load, struct place at, const char *what, struct str secret,
            const struct target *to)
{
    const char *fault = secret_fault(secret, to->blanks);

    if (fault != NULL)
        disable(load, at, to, "%s %s", what, fault);
    else
        to->out->secret = load_copy(load, secret);
}

static struct str
newline_cut(struct str text)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    return text;
}

static void
secret_read(struct load *load, struct place at, const struct secret_source *source, int fd,
            const struct target *to)
{
    char text[SECRET_LEN_MAX + 3];
    struct stat st;
    ssize_t got;

    if (fstat(fd, &st) != 0) {
        disable(load, at, to, "%s: %s", source->path.ptr, strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        load_fault(load, at, "%s: %s is not a regular file", source->key, source->path.ptr);
        return;
    }
    if (source->private && (st.st_mode & 077) != 0) {
        load_fault(load, at, "%s: others can read %s (mode %04o); run chmod 600 on it", source->key,
                   source->path.ptr, st.st_mode & 07777);
        return;
    }
    got = read(fd, text, sizeof(text)); /* a regular file: all of it, or all that fits */
    if (got < 0)
        disable(load, at, to, "%s: %s", source->path.ptr, strerror(errno));
    else
        secret_keep(load, at, source->path.ptr, newline_cut((struct str){text, (size_t)got}), to);
    explicit_bzero(text, sizeof(text));
}

static void
secret_open(struct load *load, struct place at, const struct secret_source *source,
            const struct target *to)
{
    int fd;

    if (source->path.ptr == NULL)
        return;
    fd = open(source->path.ptr, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        disable(load, at, to, "%s: %s", source->path.ptr, strerror(errno));
        return;
    }
    secret_read(load, at, source, fd, to);
    close(fd);
}

static void
secret_credential(struct load *load, struct place at, const char *key, struct str name,
                  const struct target *to)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    struct secret_source source = {.key = key};
    char path[4096];

    if (dir == NULL || dir[0] != '/') {
        disable(load, at, to,
                "there are no systemd credentials, CREDENTIALS_DIRECTORY is not set");
        return;
    }
    if (snprintf(path, sizeof(path), "%s/%s", dir, name.ptr) >= (int)sizeof(path)) {
        disable(load, at, to, "CREDENTIALS_DIRECTORY is too long");
        return;
    }
    source.path = load_copy(load, str_from(path));
    secret_open(load, at, &source, to);
}

static void
secret_from(struct load *load, const struct raw_section *section, const struct secret_names *names,
            const struct draft_secret *from, const struct target *to)
{
    struct secret_source file = {.key = names->file, .private = true};
    struct place at;
    const char *value;

    if (from->key_env.ptr != NULL) {
        at = raw_place(section, names->env);
        value = getenv(from->key_env.ptr);
        if (value == NULL)
            disable(load, at, to, "the environment variable %s is not set", from->key_env.ptr);
        else
            secret_keep(load, at, from->key_env.ptr, str_from(value), to);
    } else if (from->key_file.ptr != NULL) {
        at = raw_place(section, names->file);
        file.path = path_from(load, at, from->key_file);
        secret_open(load, at, &file, to);
    } else if (from->key_credential.ptr != NULL) {
        secret_credential(load, raw_place(section, names->credential), names->credential,
                          from->key_credential, to);
    }
}

void
secret_load(struct load *load, const struct raw_section *section, const char *owner,
            const struct draft_secret *from, struct conf_credential *out)
{
    static const struct secret_names names = {"key-env", "key-file", "key-credential"};

    secret_from(load, section, &names, from, &(struct target){out, owner, false});
}

void
secret_load_headers(struct load *load, const struct raw_section *section, const char *owner,
                    const struct draft_secret *from, struct conf_credential *out)
{
    static const struct secret_names names = {"headers-env", "headers-file", "headers-credential"};

    secret_from(load, section, &names, from, &(struct target){out, owner, true});
}

void
secret_load_as(struct load *load, const struct raw_section *section, const char *owner,
               const struct secret_names *names, const struct draft_secret *from,
               struct conf_credential *out)
{
    secret_from(load, section, names, from, &(struct target){out, owner, true});
}
