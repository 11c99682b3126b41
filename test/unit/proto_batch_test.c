/* Files of requests: what can be batched, how many, for which model; and what is wrong, in which line. */
#include "test/unit/testing.h"

#include "base/arena.h"
#include "base/str.h"
#include "proto/ask.h"
#include "proto/batch.h"

#define LINE(id, model)                                                                            \
    "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":"      \
    "{\"model\":\"" model "\",\"messages\":[]}}"
#define MAKE(members) "{" members "}"

static bool
read_text(const char *text, size_t len, struct batch_lines *out, struct proto_error *error)
{
    struct page page = page_make(text, len);
    bool good = batch_read_lines(page.text, out, error);

    if (good) {
        assert_true(out->model.ptr > page.text.ptr &&
                    out->model.ptr + out->model.len < page.text.ptr + len);
        assert_str(batch_path(out->endpoint), "/v1/chat/completions");
    }
    page_free(&page);
    return good;
}

static void
good(void **state)
{
    static const struct {
        const char *text;
        uint32_t count;
    } rows[] = {
        {LINE("a", "m"), 1},
        {LINE("a", "m") "\n", 1},
        {LINE("a", "m") "\r\n", 1},
        {LINE("a", "m") "\n" LINE("b", "m"), 2},
        {LINE("a", "m") "\r\n" LINE("b", "m") "\r\n" LINE("c", "m") "\r\n", 3},
        {" \t" LINE("a", "m") "  \n", 1},
        {LINE("\\u00e4", "m") "\n", 1},
        /* Members that nobody here reads may be anything. */
        {"{\"x\":[{}],\"body\":{\"stream\":true,\"model\":\"m\",\"n\":-1},\"url\":"
         "\"/v1/chat/completions\",\"method\":\"POST\",\"custom_id\":\"a\"}",
         1},
        {"{\"\\u0062ody\":{\"model\":\"m\"},\"url\":\"/v1/chat/completions\",\"method\":\"POST\","
         "\"custom_id\":\"a\"}",
         1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct proto_error error;
        struct batch_lines lines;

        assert_true(read_text(rows[i].text, strlen(rows[i].text), &lines, &error));
        assert_int_equal(lines.count, rows[i].count);
        assert_int_equal(lines.endpoint, ENDPOINT_CHAT);
        assert_int_equal(lines.model.len, 1);
    }
}

static void
bad(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "turnpike: the file has no line; a batch has a request in each"},
        {"\n", "turnpike: line 1 of the file: is blank; take it out"},
        {LINE("a", "m") "\n\n", "turnpike: line 2 of the file: is blank; take it out"},
        {LINE("a", "m") "\n \t\r\n" LINE("b", "m"),
         "turnpike: line 2 of the file: is blank; take it out"},
        {"\xef\xbb\xbf" LINE("a", "m"),
         "turnpike: line 1 of the file: begins with a byte order mark; take it out"},
        {LINE("a", "m") "\n\xef\xbb\xbf" LINE("b", "m"),
         "turnpike: line 2 of the file is not valid JSON: expected a value (column 1)"},
        {LINE("a", "m") "\r" LINE("b", "m"),
         "turnpike: line 1 of the file is not valid JSON: text after the value (column 99)"},
        {LINE("a", "m") LINE("b", "m"),
         "turnpike: line 1 of the file is not valid JSON: text after the value (column 98)"},
        {"[]", "turnpike: line 1 of the file: must be a JSON object"},
        {"\"a\"\n", "turnpike: line 1 of the file: must be a JSON object"},
        {LINE("a", "m") "\n" LINE("b", "n"),
         "turnpike: line 2 of the file: body.model 'n' is another than line 1 has; a file is for one "
         "model"},
        {LINE("", "m"), "turnpike: line 1 of the file: custom_id must be a string that is not empty"},
        {LINE("a", ""), "turnpike: line 1 of the file: body.model must be a string that is not empty"},
        {LINE("a", "\\u006d"),
         "turnpike: line 1 of the file: body.model must be written without escapes"},
        {MAKE("\"custom_id\":\"a\",\"Method\":\"POST\""),
         "turnpike: line 1 of the file: method must be written in lower case"},
        {MAKE("\"custom_id\":\"a\",\"\\u0055rl\":\"POST\""),
         "turnpike: line 1 of the file: url must be written in lower case"},
        {MAKE("\"custom_id\":\"a\",\"method\":\"POST\",\"method\":\"POST\""),
         "turnpike: line 1 of the file: method must not stand twice"},
        {MAKE("\"custom_id\":\"a\",\"method\":\"post\""),
         "turnpike: line 1 of the file: method must be \"POST\""},
        {MAKE("\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses/\""),
         "turnpike: line 1 of the file: url '/v1/responses/' cannot be batched; one of "
         "/v1/chat/completions, /v1/responses, /v1/embeddings, /v1/completions, /v1/moderations"},
        {MAKE("\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":[]"),
         "turnpike: line 1 of the file: body must be an object"},
        {MAKE("\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":"
              "{\"model\":\"m\",\"x\":{\"model\":1},\"model\":\"n\"}"),
         "turnpike: line 1 of the file: body.model must not stand twice"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct proto_error error;
        struct batch_lines lines;

        assert_false(read_text(rows[i].text, strlen(rows[i].text), &lines, &error));
        assert_string_equal(error.message, rows[i].want);
        assert_int_equal(error.kind, ERROR_BAD_REQUEST);
        assert_string_equal(error.param, "file");
        assert_string_equal(error.code, "invalid_batch");
    }
}

/* Whatever a file is cut at, it is taken for what is left of it or refused: never for more lines. */
static void
every_cut(void **state)
{
    static const char text[] = LINE("a", "m") "\r\n" LINE("b", "m") "\n" LINE("c", "m") "\n";
    static const size_t one = sizeof(LINE("a", "m")) - 1;

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        struct proto_error error;
        struct batch_lines lines;
        bool whole = len == one || len == one + 1 || len == one + 2 || len == 2 * one + 2 ||
                     len == 2 * one + 3 || len == 3 * one + 3 || len == 3 * one + 4;

        if (len == one + 1) /* CR alone is white space */
            assert_true(text[len - 1] == '\r');
        assert_int_equal(read_text(text, len, &lines, &error), whole);
        if (whole)
            assert_int_equal(lines.count, (len + 1) / one);
    }
}

static char *
grow(size_t len, char with, const char *before, const char *after, size_t *total)
{
    char *text = malloc(strlen(before) + len + strlen(after) + 1);

    *total = (size_t)sprintf(text, "%s", before);
    memset(text + *total, with, len);
    *total += len;
    *total += (size_t)sprintf(text + *total, "%s", after);
    return text;
}

static void
giants(void **state)
{
    struct proto_error error;
    struct batch_lines lines;
    size_t len;
    char *text = grow(8u << 20, 'x',
                      "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                      "\"body\":{\"input\":\"",
                      "\",\"model\":\"m\"}}\n" LINE("b", "m"), &len);

    (void)state;
    assert_true(read_text(text, len, &lines, &error));
    assert_int_equal(lines.count, 2);
    free(text);
    text = grow(257, 'm', "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":"
                          "{\"model\":\"", "\"}}", &len);
    assert_false(read_text(text, len, &lines, &error));
    assert_string_equal(error.message, "turnpike: line 1 of the file: body.model is too long");
    free(text);
    text = grow(513, 'i', "{\"custom_id\":\"", "\"}", &len);
    assert_false(read_text(text, len, &lines, &error));
    assert_string_equal(error.message, "turnpike: line 1 of the file: custom_id is too long");
    free(text);
    text = grow(65, '[', "", "", &len);
    assert_false(read_text(text, len, &lines, &error));
    free(text);
}

static void
many(void **state)
{
    static const char line[] = LINE("a", "m") "\n";
    size_t one = sizeof(line) - 1, count = BATCH_LINES_MAX + 1;
    char *text = malloc(one * count);
    struct proto_error error;
    struct batch_lines lines;

    (void)state;
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * one, line, one);
    assert_true(batch_read_lines((struct str){text, one * (count - 1)}, &lines, &error));
    assert_int_equal(lines.count, BATCH_LINES_MAX);
    assert_false(batch_read_lines((struct str){text, one * count}, &lines, &error));
    assert_string_equal(error.message, "turnpike: the file has more than 50000 lines");
    free(text);
}

static void
creates(void **state)
{
    static const struct {
        const char *text, *param; /* param: of what is refused; NULL it is good */
    } rows[] = {
        {"{\"input_file_id\":\"f-1\",\"endpoint\":\"/v1/embeddings\",\"x\":1}", NULL},
        {"{\"input_file_id\":\"f-1\"}", "endpoint"},
        {"{\"endpoint\":\"/v1/embeddings\"}", "input_file_id"},
        {"{\"input_file_id\":\"f/1\",\"endpoint\":\"/v1/embeddings\"}", "input_file_id"},
        {"{\"input_file_id\":\"\",\"endpoint\":\"/v1/embeddings\"}", "input_file_id"},
        {"{\"input_file_id\":\"\\u0066\",\"endpoint\":\"/v1/embeddings\"}", "input_file_id"},
        {"{\"input_file_id\":null,\"endpoint\":\"/v1/embeddings\"}", "input_file_id"},
        {"{\"input_file_id\":\"f\",\"endpoint\":\"/v1/files\"}", "endpoint"},
        {"{\"input_file_id\":\"f\",\"Endpoint\":\"/v1/embeddings\"}", "endpoint"},
        {"{\"input_file_id\":\"f\",\"input_file_id\":\"f\",\"endpoint\":\"/v1/responses\"}",
         "input_file_id"},
        {"[]", ""},
        {"{", ""},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct page page = page_make(rows[i].text, strlen(rows[i].text));
        struct batch_create create;
        struct proto_error error;

        assert_int_equal(batch_read_create(page.text, &create, &error), rows[i].param == NULL);
        if (rows[i].param == NULL) {
            assert_str(create.file_id, "f-1");
            assert_int_equal(create.endpoint, ENDPOINT_EMBEDDINGS);
        } else {
            assert_string_equal(error.param, rows[i].param);
            assert_int_equal(error.kind, ERROR_BAD_REQUEST);
        }
        page_free(&page);
    }
}

static void
names(void **state)
{
    static const char text[] = "{\"id\":\"batch_1\",\"input_file_id\":\"f-1\",\"output_file_id\":"
                               "null,\"error_file_id\":\"f\\u0031\"}";
    struct js_value batch;
    struct js_error err;
    struct batch_names found;
    struct buf out;
    struct jw jw;

    (void)state;
    assert_true(js_check(STR(text), &batch, &err));
    found = batch_names_of(batch);
    assert_str(found.id, "batch_1");
    assert_str(found.input, "f-1");
    assert_null(found.output.ptr);
    assert_null(found.errors.ptr);
    buf_init(&out, 1024);
    jw_init(&jw, &out);
    batch_names_write(&jw, &found);
    assert_str(buf_str(&out), "{\"id\":\"batch_1\",\"input\":\"f-1\"}");
    buf_free(&out);
    assert_null(batch_names_of((struct js_value){.type = JS_NONE}).id.ptr);
}

/* ---- the calls ---- */

static bool
ask_of(enum proto_endpoint endpoint, const char *id, struct ask_file_parts parts,
       struct arena *arena, struct ask *ask, struct proto_error *error)
{
    struct proto_what what = {.endpoint = endpoint, .id = str_from(id)};

    return ask_read_file(&what, &parts, arena, ask, error);
}

#define FORM STR("multipart/form-data; boundary=b")
#define PART(name, more, value)                                                                    \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"" more "\r\n\r\n" value "\r\n"
#define FILE_OF(value) PART("file", "; filename=\"x\"", value)

static void
calls(void **state)
{
    struct proto_error error;
    struct arena arena;
    struct ask ask;
    struct ask_file_parts parts = {
        .content_type = FORM,
        .body = STR(PART("purpose", "", "batch") FILE_OF(LINE("a", "m") "\n" LINE("b", "m")) "--b--"
                                                                                             "\r\n")};

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_true(ask_of(ENDPOINT_FILE_UPLOAD, NULL, parts, &arena, &ask, &error));
    assert_str(ask.model, ASK_FILES_MODEL);
    assert_str(ask.file->purpose, "batch");
    assert_int_equal(ask.file->lines.count, 2);
    assert_str(ask.file->lines.model, "m");
    assert_int_equal(ask.file->bytes, 2 * strlen(LINE("a", "m")) + 1);
    assert_int_equal(ask.file->id.len, 0);
    assert_true(ask.body.ptr == parts.body.ptr && ask.body.len == parts.body.len);
    /* What is for something else is not looked at. */
    parts.body = STR(PART("purpose", "", "user_data") FILE_OF("\n\n") "--b--\r\n");
    assert_true(ask_of(ENDPOINT_FILE_UPLOAD, NULL, parts, &arena, &ask, &error));
    assert_int_equal(ask.file->lines.count, 0);
    assert_int_equal(ask.file->bytes, 2);
    assert_true(ask_of(ENDPOINT_FILE_DELETE, "f-1", parts, &arena, &ask, &error));
    assert_str(ask.file->id, "f-1");
    assert_int_equal(ask.body.len, 0);
    assert_true(ask_of(ENDPOINT_FILE_CONTENT, "f-1", parts, &arena, &ask, &error));
    assert_true(ask.media.bytes);
    parts.query = STR("limit=2&after=f-2");
    assert_true(ask_of(ENDPOINT_BATCHES, NULL, parts, &arena, &ask, &error));
    assert_str(ask.file->id, "f-2");
    parts.query = STR("after=f%202");
    assert_false(ask_of(ENDPOINT_FILES, NULL, parts, &arena, &ask, &error));
    assert_string_equal(error.param, "after");
    parts.body = STR("{\"input_file_id\":\"f-3\",\"endpoint\":\"/v1/responses\"}");
    assert_true(ask_of(ENDPOINT_BATCH_CREATE, NULL, parts, &arena, &ask, &error));
    assert_str(ask.file->id, "f-3");
    assert_int_equal(ask.file->lines.endpoint, ENDPOINT_RESPONSES);
    assert_true(ask.body.ptr == parts.body.ptr);
    arena_end(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),    cmocka_unit_test(bad),   cmocka_unit_test(every_cut),
        cmocka_unit_test(giants),  cmocka_unit_test(many),  cmocka_unit_test(creates),
        cmocka_unit_test(names),   cmocka_unit_test(calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
