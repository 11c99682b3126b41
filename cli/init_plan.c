#include "cli/init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/ucr.h"
#include "cli/secret.h"
#include "net/listen.h"

#define TENANT_LEN_MAX 96

static char text_hint[2 * INIT_TEXT_MAX]; /* of what was said last */

const char *
init_add_maker(struct init_plan *plan, struct str name, const char **hint)
{
    const struct init_maker *maker = init_maker_of(name);
    struct init_source *source;

    if (maker == NULL) {
        snprintf(text_hint, sizeof(text_hint), "one of %s", init_maker_names());
        *hint = text_hint;
        return "there is no such provider";
    }
    for (unsigned i = 0; i < plan->source_count; i++)
        if (plan->source[i].maker == maker)
            return NULL;
    source = &plan->source[plan->source_count++];
    *source = (struct init_source){.maker = maker};
    return NULL;
}

const char *
init_set_env(struct init_source *source, struct str name, const char **hint)
{
    bool good = name.len > 0 && name.len < sizeof(source->key_env);

    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';

        good = letter || (i > 0 && c >= '0' && c <= '9');
    }
    if (!good) {
        *hint = "the key itself goes into a variable or a file, and never into routes.conf";
        return "this is not the name of an environment variable";
    }
    str_copy(name, source->key_env, sizeof(source->key_env));
    source->key_file[0] = '\0';
    return NULL;
}

const char *
init_set_file(struct init_source *source, struct str path, const char **hint)
{
    char given[INIT_TEXT_MAX], real[PATH_MAX];
    const char *why;
    int fd;

    if (path.len == 0 || path.len >= sizeof(given))
        return "this is no path";
    str_copy(path, given, sizeof(given));
    fd = open(given, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int error = errno;

        snprintf(text_hint, sizeof(text_hint),
                 error == ENOENT ? "write the provider's key into %s first (umask 077)"
                                 : "%s must be readable for who runs the server",
                 given);
        *hint = text_hint;
        return strerror(error);
    }
    why = secret_file_fault(fd, given, hint);
    close(fd);
    if (why != NULL)
        return why;
    /* routes.conf may lie elsewhere. */
    if (realpath(given, real) == NULL)
        return strerror(errno);
    if (strlen(real) >= sizeof(source->key_file))
        return "the path is too long";
    str_copy(str_from(real), source->key_file, sizeof(source->key_file));
    source->key_env[0] = '\0';
    return NULL;
}

const char *
init_set_listen(struct init_plan *plan, struct str address, const char **hint)
{
    static char why[200];
    struct net_addr addr;

    *hint = "as 127.0.0.1:8080, [::1]:8080 or *:8080";
    if (address.len >= sizeof(plan->listen))
        return "this is no address";
    if (!net_listen_parse(address, &addr, why, sizeof(why)))
        return why;
    if (addr.port == 0)
        return "a port must be named";
    str_copy(address, plan->listen, sizeof(plan->listen));
    return NULL;
}

/* The ledger decides what a name may be; this is for a question to be asked again. */
const char *
init_set_tenant(struct init_plan *plan, struct str name, const char **hint)
{
    size_t digits = 0;

    *hint = "a word, as acme or team-7";
    if (name.len == 0 || name.len > TENANT_LEN_MAX)
        return "a name has 1 to 96 bytes";
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return "a name has no control characters";
        digits += name.ptr[i] >= '0' && name.ptr[i] <= '9';
    }
    if (digits == name.len)
        return "a name is not digits alone";
    str_copy(name, plan->tenant, sizeof(plan->tenant));
    return NULL;
}

const char *
init_set_credit(struct init_plan *plan, struct str amount, const char **hint)
{
    int64_t ucr;

    *hint = "credits are a decimal number with at most six places, as 10 or 12.5";
    if (amount.len >= sizeof(plan->credit) || !ucr_parse(amount, &ucr) || ucr < 0)
        return "it is not an amount of credits";
    str_copy(ucr > 0 ? amount : STR(""), plan->credit, sizeof(plan->credit));
    return NULL;
}

/* As for a tenant's name: the ledger decides. */
const char *
init_set_admin(struct init_plan *plan, struct str email, const char **hint)
{
    *hint = "as ada@example.org";
    if (email.len >= sizeof(plan->admin) || str_find(email, '@', 0) == email.len)
        return "this is no mail address";
    str_copy(email, plan->admin, sizeof(plan->admin));
    return NULL;
}
