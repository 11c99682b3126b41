#include "proto/multipart.h"

#include <string.h>

#include "base/str.h"

static enum multipart_step
bad(struct multipart *m, size_t offset, const char *what)
{
    m->what = what;
    m->offset = offset;
    return MULTIPART_BAD;
}

/* ---- the boundary ---- */

bool
multipart_is_form(struct str content_type)
{
    struct str rest;

    return str_eq_nocase(str_trim(str_split(content_type, ';', &rest)), STR("multipart/form-data"));
}

/* RFC 2046's bchars, less the blank. */
static bool
is_boundary_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != 0 && strchr("'()+_,-./:=?", c) != NULL);
}

static bool
is_boundary(struct str text)
{
    if (text.len == 0 || text.len > MULTIPART_BOUNDARY_LEN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_boundary_char(text.ptr[i]))
            return false;
    return true;
}

static struct str
unquoted(struct str text)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        return (struct str){text.ptr + 1, text.len - 2};
    return text;
}

/* A boundary holds no ';', so that splitting there is enough. */
static struct str
boundary_of(struct str content_type)
{
    struct str rest, boundary = STR_NONE;

    (void)str_split(content_type, ';', &rest);
    while (rest.ptr != NULL) {
        struct str value, name = str_trim(str_split(str_split(rest, ';', &rest), '=', &value));

        if (!str_eq_nocase(name, STR("boundary")))
            continue;
        if (boundary.ptr != NULL || value.ptr == NULL)
            return STR_NONE;
        boundary = unquoted(str_trim(value));
    }
    return boundary;
}

bool
multipart_init(struct multipart *m, struct str content_type, struct str body)
{
    struct str boundary = multipart_is_form(content_type) ? boundary_of(content_type) : STR_NONE;

    *m = (struct multipart){.body = body};
    if (!is_boundary(boundary)) {
        m->what = "the content type must be multipart/form-data with one boundary";
        return false;
    }
    memcpy(m->delimiter, "--", 2);
    memcpy(m->delimiter + 2, boundary.ptr, boundary.len);
    m->delimiter_len = boundary.len + 2;
    return true;
}

/* ---- a part's headers ---- */

struct headers {
    struct str name;
    bool has_disposition, has_name, is_file;
};

static bool
is_plain_char(char c)
{
    return (uint8_t)c >= 0x20 && c != 0x7f;
}

/* One `; key="value"` of a disposition, or one without quotes. False: it is none. Nobody agrees on
 * what a backslash before a quote means: there may be none. */
static bool
next_param(struct str *rest, struct str *key, struct str *value, bool *quoted)
{
    struct str in = str_trim(*rest);
    size_t len;

    if (in.len == 0 || in.ptr[0] != ';')
        return false;
    in = str_trim((struct str){in.ptr + 1, in.len - 1});
    len = str_find(in, '=', 0);
    if (len == 0 || len >= in.len)
        return false;
    *key = (struct str){in.ptr, len};
    in = (struct str){in.ptr + len + 1, in.len - len - 1};
    *quoted = in.len > 0 && in.ptr[0] == '"';
    if (!*quoted) {
        len = MIN(str_find(in, ';', 0), in.len);
        *value = str_trim((struct str){in.ptr, len});
        *rest = (struct str){in.ptr + len, in.len - len};
        return value->len > 0 && memchr(value->ptr, '"', value->len) == NULL;
    }
    len = str_find(in, '"', 1);
    if (len >= in.len || in.ptr[len - 1] == '\\')
        return false;
    *value = (struct str){in.ptr + 1, len - 1};
    *rest = (struct str){in.ptr + len + 1, in.len - len - 1};
    return true;
}

/* NULL, or what is wrong with it. A name written in another way might be read as another. */
static const char *
read_disposition(struct str value, struct headers *h)
{
    const struct str kind = STR("form-data");
    struct str rest, key, text;
    bool quoted;

    if (h->has_disposition)
        return "a part has two content-dispositions";
    h->has_disposition = true;
    if (value.len < kind.len || !str_eq_nocase((struct str){value.ptr, kind.len}, kind))
        return "a part's content-disposition is not form-data";
    rest = (struct str){value.ptr + kind.len, value.len - kind.len};
    while (str_trim(rest).len > 0) {
        if (!next_param(&rest, &key, &text, &quoted))
            return "a part's content-disposition is malformed";
        if (str_eq_nocase(key, STR("filename")) || str_eq_nocase(key, STR("filename*")))
            h->is_file = true;
        if (key.len < 4 || !str_eq_nocase((struct str){key.ptr, 4}, STR("name")))
            continue;
        if (key.len > 4 || !quoted || h->has_name || text.len == 0 ||
            memchr(text.ptr, '\\', text.len) != NULL)
            return "a part's name must stand once, in quotes and plain signs";
        h->has_name = true;
        h->name = text;
    }
    return h->has_name ? NULL : "a part has no name";
}

static const char *
read_header(struct str line, struct headers *h)
{
    struct str value, name = str_split(line, ':', &value);

    if (value.ptr == NULL || name.len == 0 || str_trim(name).len != name.len)
        return "a part's header is malformed";
    for (size_t i = 0; i < line.len; i++)
        if (!is_plain_char(line.ptr[i]) && line.ptr[i] != '\t')
            return "a part's header holds control characters";
    value = str_trim(value);
    if (str_eq_nocase(name, STR("content-disposition")))
        return read_disposition(value, h);
    /* Another one would change what the part says. */
    if (str_eq_nocase(name, STR("content-transfer-encoding")) &&
        !str_eq_nocase(value, STR("binary")) && !str_eq_nocase(value, STR("8bit")) &&
        !str_eq_nocase(value, STR("7bit")))
        return "a part's content-transfer-encoding is not supported";
    return NULL;
}

/* From m->at, which is behind a delimiter's CRLF, over the empty line. */
static bool
read_headers(struct multipart *m, struct headers *h)
{
    size_t most = MIN(m->body.len, m->at + MULTIPART_HEADERS_BYTES_MAX);

    *h = (struct headers){.name = STR_NONE};
    while (true) {
        const char *line = m->body.ptr + m->at;
        const char *end = memmem(line, most - m->at, "\r\n", 2);
        const char *what;

        if (end == NULL) {
            (void)bad(m, m->at, most < m->body.len ? "a part's headers are too large"
                                                   : "a part's headers have no end");
            return false;
        }
        if (end == line) {
            m->at += 2;
            if (h->has_name)
                return true;
            (void)bad(m, m->at, "a part has no content-disposition");
            return false;
        }
        what = read_header((struct str){line, (size_t)(end - line)}, h);
        if (what != NULL) {
            (void)bad(m, m->at, what);
            return false;
        }
        m->at += (size_t)(end - line) + 2;
    }
}

/* ---- parts ---- */

/* What follows a delimiter: CRLF and a part, or "--" and the end. m->at is moved behind it. */
static enum multipart_step
after_delimiter(struct multipart *m)
{
    struct str rest = {m->body.ptr + m->at, m->body.len - m->at};

    if (str_starts_with(rest, STR("\r\n"))) {
        m->at += 2;
        return MULTIPART_PART;
    }
    if (!str_starts_with(rest, STR("--")))
        return bad(m, m->at, "a boundary is followed by something else");
    if (rest.len != 2 && !(rest.len == 4 && memcmp(rest.ptr + 2, "\r\n", 2) == 0))
        return bad(m, m->at + 2, "something follows the last boundary");
    m->ended = true;
    return MULTIPART_END;
}

/* The delimiter that ends the part which begins at m->at: gives the content and moves behind it. */
static bool
read_content(struct multipart *m, struct str *content)
{
    size_t start = m->at, from = start;

    while (true) {
        const char *found =
            memmem(m->body.ptr + from, m->body.len - from, m->delimiter, m->delimiter_len);
        size_t off;

        if (found == NULL) {
            (void)bad(m, start, "a part has no end");
            return false;
        }
        off = (size_t)(found - m->body.ptr);
        /* An empty part shares the CRLF of its headers' end with nobody: it has its own. */
        if (off >= start + 2 && memcmp(found - 2, "\r\n", 2) == 0) {
            *content = (struct str){m->body.ptr + start, off - 2 - start};
            m->at = off + m->delimiter_len;
            return true;
        }
        if (off == start || found[-1] == '\n' || found[-1] == '\r') {
            (void)bad(m, off, "a boundary does not stand behind CRLF");
            return false;
        }
        from = off + 1;
    }
}

static enum multipart_step
next_part(struct multipart *m, struct multipart_part *part)
{
    struct headers headers;
    enum multipart_step step;

    if (m->at == 0) {
        if (!str_starts_with(m->body, (struct str){m->delimiter, m->delimiter_len}))
            return bad(m, 0, "the form does not begin with its boundary");
        m->at = m->delimiter_len;
    }
    step = after_delimiter(m);
    if (step != MULTIPART_PART)
        return step;
    if (m->count == MULTIPART_PARTS_MAX)
        return bad(m, m->at, "the form has too many parts");
    if (!read_headers(m, &headers) || !read_content(m, &part->value))
        return MULTIPART_BAD;
    part->name = headers.name;
    part->is_file = headers.is_file;
    m->count++;
    return MULTIPART_PART;
}

enum multipart_step
multipart_next(struct multipart *m, struct multipart_part *part)
{
    if (m->what != NULL)
        return MULTIPART_BAD;
    return m->ended ? MULTIPART_END : next_part(m, part);
}
