#include "net/h1_path.h"

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool
has_dot_segment(struct str path)
{
    for (size_t from = 0, to; from < path.len; from = to + 1) {
        for (to = from; to < path.len && path.ptr[to] != '/'; to++)
            ;
        size_t len = to - from;
        if ((len == 1 && path.ptr[from] == '.') ||
            (len == 2 && path.ptr[from] == '.' && path.ptr[from + 1] == '.'))
            return true;
    }
    return false;
}

/* The byte that the escape at path[i] stands for, or -1 for one that is refused. */
static int
escape_at(struct str path, size_t i)
{
    if (path.len - i < 3)
        return -1;
    int high = hex_value(path.ptr[i + 1]), low = hex_value(path.ptr[i + 2]);
    if (high < 0 || low < 0)
        return -1;
    int c = high * 16 + low;
    return c < 0x20 || c == 0x7f || c == '/' || c == '\\' ? -1 : c;
}

static int
decode(struct str path, char *out, size_t cap, struct str *normal)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;

    for (size_t i = 0; i < path.len; i++) {
        int c = (unsigned char)path.ptr[i];
        bool escaped = c == '%';

        if (escaped) {
            c = escape_at(path, i);
            if (c < 0)
                return 400;
            i += 2;
        }
        bool keep = escaped && !is_unreserved(c);
        if (cap - len < (keep ? 3u : 1u))
            return 414;
        if (keep) {
            out[len++] = '%';
            out[len++] = hex[c >> 4];
            out[len++] = hex[c & 15];
        } else {
            out[len++] = (char)c;
        }
    }
    *normal = (struct str){out, len};
    return 0;
}

int
h1_path_normal(struct str path, char *out, size_t cap, struct str *normal)
{
    bool escapes = false;

    if (path.len == 0 || path.ptr[0] != '/')
        return 400;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '?' || c == '#')
            return 400;
        escapes |= c == '%';
    }
    *normal = path;
    if (escapes) {
        int status = decode(path, out, cap, normal);
        if (status)
            return status;
    }
    return has_dot_segment(*normal) ? 400 : 0;
}
