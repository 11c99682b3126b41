#include "route/reported.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"

/* Lower case, and one sign for the ways to write 4.5. */
static char
plain(char c)
{
    if (c == '.' || c == '_')
        return '-';
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool
same(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (plain(a.ptr[i]) != plain(b.ptr[i]))
            return false;
    return true;
}

static struct str
without_prefix(struct str name)
{
    const char *slash = memrchr(name.ptr, '/', name.len);

    if (slash == NULL)
        return name;
    return (struct str){slash + 1, name.len - (size_t)(slash + 1 - name.ptr)};
}

/* One part between dashes. The first number has three digits at least, those behind it may be the
 * month and day of a date. */
static bool
is_version_part(struct str part, bool behind_version)
{
    static const char *const words[] = {"latest", "preview", "exp", "experimental", "beta"};
    size_t digits = 0;

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (same(part, str_from(words[i])))
            return true;
    if (part.len > 1 && plain(part.ptr[0]) == 'v') /* Bedrock's -v1 */
        return isdigit((unsigned char)part.ptr[1]) && part.len <= 3;
    while (digits < part.len && isdigit((unsigned char)part.ptr[digits]))
        digits++;
    return digits == part.len && digits >= (behind_version ? 2u : 3u);
}

/* What stands behind a name: nothing but its version. */
static bool
is_version(struct str rest)
{
    bool behind_version = false;

    while (rest.len > 0) {
        size_t len = 1;

        if (rest.ptr[0] == '@' || rest.ptr[0] == ':')
            return true;
        if (plain(rest.ptr[0]) != '-')
            return false;
        while (len < rest.len && plain(rest.ptr[len]) != '-' && rest.ptr[len] != '@' &&
               rest.ptr[len] != ':')
            len++;
        if (!is_version_part((struct str){rest.ptr + 1, len - 1}, behind_version))
            return false;
        behind_version = true;
        rest.ptr += len;
        rest.len -= len;
    }
    return true;
}

/* The longer of the two is the shorter and a version. */
static bool
extends(struct str longer, struct str shorter)
{
    if (longer.len <= shorter.len || shorter.len == 0 ||
        !same((struct str){longer.ptr, shorter.len}, shorter))
        return false;
    return is_version((struct str){longer.ptr + shorter.len, longer.len - shorter.len});
}

/* Up to "-latest", which stands for whatever version there is. */
static struct str
without_latest(struct str name)
{
    const struct str latest = STR("-latest");

    if (name.len > latest.len &&
        same((struct str){name.ptr + name.len - latest.len, latest.len}, latest))
        name.len -= latest.len;
    return name;
}

bool
reported_is(struct str reported, struct str asked)
{
    reported = without_latest(without_prefix(reported));
    asked = without_latest(without_prefix(asked));
    return same(reported, asked) || extends(reported, asked) || extends(asked, reported);
}

bool
reported_is_model(struct str reported, struct str sent, const struct conf_model *model)
{
    if (reported_is(reported, sent) || reported_is(reported, model->name))
        return true;
    for (size_t i = 0; i < model->aliases.count; i++)
        if (reported_is(reported, model->aliases.at[i]))
            return true;
    return false;
}
