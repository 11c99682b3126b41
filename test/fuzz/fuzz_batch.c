/* Files of requests: whatever is taken has as many lines as it says, each an object that names the one
 * model once; and half of a file that is taken is taken, or refused for its last line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The same by another way: no member is looked for but by js_get(). */
static void
check_lines(struct str file, const struct batch_lines *lines)
{
    uint32_t count = 0;

    while (file.len > 0) {
        struct str line = str_split(file, '\n', &file);
        struct js_value object, model, url;
        struct js_error err;

        ASSERT(js_check(line, &object, &err) && object.type == JS_OBJECT);
        model = js_path(object, "body", "model", NULL);
        url = js_get(object, STR("url"));
        ASSERT(js_str_eq(model, lines->model));
        ASSERT(js_str_eq(url, batch_path(lines->endpoint)));
        ASSERT(js_str_eq(js_get(object, STR("method")), STR("POST")));
        ASSERT(js_is(js_get(object, STR("custom_id")), JS_STRING));
        count++;
    }
    ASSERT(count == lines->count);
}

static void
check_create(struct str body)
{
    struct batch_create create;
    struct proto_error error;
    struct js_value object;
    struct js_error err;

    if (!batch_read_create(body, &create, &error)) {
        ASSERT(error.message[0] != '\0' && error.kind == ERROR_BAD_REQUEST);
        return;
    }
    ASSERT(js_check(body, &object, &err));
    ASSERT(js_str_eq(js_get(object, STR("input_file_id")), create.file_id));
    ASSERT(js_str_eq(js_get(object, STR("endpoint")), batch_path(create.endpoint)));
    ASSERT(proto_is_id(create.file_id));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct batch_lines lines, fewer;
    struct proto_error error;
    char *copy = malloc(len + 1);
    struct str file = {copy, len};

    memcpy(copy, bytes, len);
    if (batch_read_lines(file, &lines, &error)) {
        ASSERT(lines.count > 0 && lines.model.len > 0);
        ASSERT(lines.model.ptr > file.ptr && lines.model.ptr + lines.model.len < file.ptr + len);
        check_lines(file, &lines);
        if (batch_read_lines((struct str){copy, len / 2}, &fewer, &error))
            ASSERT(fewer.count <= lines.count && str_eq(fewer.model, lines.model));
    } else {
        ASSERT(error.message[0] != '\0' && error.kind == ERROR_BAD_REQUEST);
        ASSERT(strcmp(error.param, "file") == 0);
    }
    check_create(file);
    free(copy);
    return 0;
}
