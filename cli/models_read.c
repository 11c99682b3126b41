/* `turnpike models import`: the files around the importer, and what is said of it. */
#include "cli/models.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/help.h"
#include "cli/import.h"
#include "cli/print.h"
#include "cli/whole_file.h"

#define LIST_BYTES_MAX (64u << 20)
#define COMMAND "models import"

static int
file_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    ssize_t got = 1;

    if (fd < 0)
        return -errno;
    while (got > 0) {
        if (!buf_reserve(out, 65536)) {
            rc = -EFBIG;
            break;
        }
        got = read(fd, out->ptr + out->len, out->cap - out->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            rc = -errno;
        else
            out->len += (size_t)got;
    }
    close(fd);
    return rc;
}

static struct js_value
notes_of(const struct import *import)
{
    struct js_value notes = {0};
    struct js_error err;

    return js_check(buf_str(&import->notes), &notes, &err) ? notes : (struct js_value){0};
}

static void
notes_print(const struct import *import)
{
    struct js_value key, value;
    char model[256], why[1024];
    struct js_iter it;

    for (js_iter_init(&it, notes_of(import)); js_next(&it, &key, &value);) {
        print_value(js_get(value, STR("model")), model, sizeof(model));
        print_value(js_get(value, STR("why")), why, sizeof(why));
        fprintf(stderr, "turnpike: %s: %s\n", model, why);
    }
    fprintf(stderr, "turnpike: " COMMAND ": %u models taken, %u not\n", import->taken,
            import->refused);
}

static void
head_write(const struct import *import, struct buf *out)
{
    buf_add_fmt(out,
                "# List prices in USD, imported from %s.\n"
                "# Compare them with the makers' own before you charge anybody by them.\n\n",
                import->format == IMPORT_LITELLM ? "LiteLLM's price list"
                                                 : "OpenRouter's list of models");
    buf_add_str(out, buf_str(&import->text));
}

static enum cli_exit
show_json(const struct import *import, struct str text)
{
    enum cli_exit rc = CLI_DONE;
    struct buf out;
    struct jw jw;

    buf_init(&out, 256u << 20);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "format", import_format_name[import->format]);
    jw_key_u64(&jw, "taken", import->taken);
    jw_key_u64(&jw, "refused", import->refused);
    jw_key(&jw, "notes");
    jw_raw(&jw, buf_str(&import->notes));
    jw_key_str(&jw, "text", text);
    jw_object_end(&jw);
    if (out.failed)
        rc = complain(CLI_FAILED, COMMAND, "there is no memory", NULL);
    else
        printf("%.*s\n", STR_ARGS(buf_str(&out)));
    buf_free(&out);
    return rc;
}

static enum cli_exit
show_import(const struct import *import, const struct models_read *read)
{
    enum cli_exit rc = CLI_DONE;
    struct buf text;
    int failed = 0;

    buf_init(&text, 64u << 20);
    if (import->taken > 0)
        head_write(import, &text);
    if (!read->json)
        notes_print(import);
    if (read->out != NULL && import->taken > 0)
        failed = whole_file_write(read->out, buf_str(&text));
    if (failed != 0)
        rc = complain(CLI_FAILED, read->out, "it cannot be written", strerror(-failed));
    else if (read->json)
        rc = show_json(import, buf_str(&text));
    else if (read->out == NULL)
        fwrite(text.ptr != NULL ? text.ptr : "", 1, text.len, stdout);
    buf_free(&text);
    if (fflush(stdout) != 0)
        return complain(CLI_FAILED, COMMAND, "the text cannot be written", NULL);
    if (rc == CLI_DONE && import->taken == 0)
        return complain(CLI_FAILED, read->path, "nothing could be taken",
                        import->refused == 0 && read->maker != NULL
                            ? "none of its models is by this maker"
                            : NULL);
    return rc;
}

static bool
find_format(const char *name, enum import_format *out)
{
    for (int i = 0; i < IMPORT_FORMAT_COUNT && name != NULL; i++)
        if (strcmp(name, import_format_name[i]) == 0) {
            *out = (enum import_format)i;
            return true;
        }
    return name == NULL;
}

enum cli_exit
models_read(const struct models_read *read)
{
    struct import import;
    struct buf list;
    enum cli_exit rc;
    const char *why;
    int failed;

    import_init(&import);
    import.maker = str_from(read->maker);
    buf_init(&list, LIST_BYTES_MAX);
    if (!find_format(read->format, &import.format)) {
        rc = complain(CLI_USAGE, "--format", "there is no such format", "litellm or openrouter");
        goto free_all;
    }
    failed = file_read(read->path, &list);
    if (failed != 0) {
        rc = complain(CLI_FAILED, read->path, "it cannot be read", strerror(-failed));
        goto free_all;
    }
    why = import_run(&import, buf_str(&list));
    rc = why != NULL ? complain(CLI_FAILED, read->path, why, NULL) : show_import(&import, read);

free_all:
    buf_free(&list);
    import_free(&import);
    return rc;
}
