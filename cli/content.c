#include "cli/content.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cli/help.h"

#define BYTES_MAX (1u << 20)

static int
read_all(const char *path, struct buf *out)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    char chunk[16384];
    size_t len;
    int rc;

    if (file == NULL)
        return -errno;
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(out, chunk, len);
    rc = ferror(file) ? -errno : out->failed ? -EFBIG : 0;
    if (!is_input)
        fclose(file);
    return rc;
}

static bool
is_text(struct str text)
{
    size_t len = 1;

    for (size_t at = 0; at < text.len && len > 0; at += len) {
        len = utf8_sequence(text.ptr + at, text.len - at);
        if (len == 1 && text.ptr[at] == '\0')
            return false;
    }
    return len > 0;
}

enum cli_exit
content_write(const char *path, struct jw *jw)
{
    enum cli_exit status = CLI_DONE;
    struct buf text;
    int rc;

    buf_init(&text, BYTES_MAX);
    rc = read_all(path, &text);
    if (rc < 0)
        status = complain(CLI_FAILED, path, strerror(-rc), rc == -EFBIG ? "at most a megabyte" : NULL);
    else if (!is_text(buf_str(&text)))
        status = complain(CLI_USAGE, path, "it is no text in UTF-8", NULL);
    else
        jw_str(jw, buf_str(&text));
    if (status != CLI_DONE)
        jw_null(jw);
    buf_free(&text);
    return status;
}

void
content_print(struct js_value text)
{
    char *room = js_is(text, JS_STRING) ? malloc(text.raw.len + 1) : NULL;
    struct str plain;

    if (room == NULL)
        return;
    plain = js_unescape(text, room, text.raw.len + 1);
    for (size_t i = 0; i < plain.len; i++) {
        uint8_t c = (uint8_t)plain.ptr[i];
        /* C1 controls are two bytes of UTF-8. */
        bool is_c1 = c == 0xc2 && i + 1 < plain.len && (uint8_t)plain.ptr[i + 1] < 0xa0;

        putchar((c < ' ' && c != '\n' && c != '\t') || c == 0x7f || is_c1 ? '?' : c);
        i += is_c1;
    }
    if (plain.len == 0 || plain.ptr[plain.len - 1] != '\n')
        putchar('\n');
    free(room);
}
