/*
 * Files and batches, kept in this process until /sim/reset. A batch is done at once, or when
 * /sim/batches says so: its output has one line for each of its input, all with the same answer; lines
 * whose custom_id begins with "fail" are in another file. Lists are the newest first, in pages.
 */
#include "mock/sim.h"

#include "base/jw.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 256u
#define BATCHES_MAX 256u
#define ID_MAX 31

struct file {
    char id[ID_MAX + 1];
    char purpose[24];
    char name[64];
    struct str content; /* malloc()ed */
};

struct batch {
    char id[ID_MAX + 1];
    char input[ID_MAX + 1], output[ID_MAX + 1], errors[ID_MAX + 1];
    char endpoint[40];
    bool cancelled, done;
    uint32_t lines, failed;
};

static struct file files[FILES_MAX];
static struct batch batches[BATCHES_MAX];
static uint32_t file_count, batch_count;
static uint64_t bytes_kept;
static bool held; /* batches that are made stay under way */
static struct buf out;

static void
file_drop(struct file *file)
{
    bytes_kept -= file->content.len;
    free((void *)(uintptr_t)file->content.ptr);
    file_count--;
    memmove(file, file + 1, (size_t)(&files[file_count] - file) * sizeof(*file));
}

void
files_forget(void)
{
    while (file_count > 0)
        file_drop(&files[file_count - 1]);
    batch_count = 0;
    held = false;
}

static struct file *
file_find(struct str id)
{
    for (uint32_t i = 0; i < file_count; i++)
        if (str_eq(id, str_from(files[i].id)))
            return &files[i];
    return NULL;
}

/* NULL: no room. */
static struct file *
file_add(struct str content, struct str name, struct str purpose)
{
    if (file_count == FILES_MAX || bytes_kept + content.len > REQUEST_BODY_MAX)
        return NULL;
    struct file *file = &files[file_count++];
    *file = (struct file){.content = {copy_of(content), content.len}};
    bytes_kept += content.len;
    snprintf(file->id, sizeof(file->id), "file-sim%016llx",
             (unsigned long long)call_number_next());
    str_copy(name, file->name, sizeof(file->name));
    str_copy(purpose, file->purpose, sizeof(file->purpose));
    return file;
}

static void
file_write(struct jw *jw, const struct file *file)
{
    jw_object(jw);
    jw_key_cstr(jw, "id", file->id);
    jw_key_cstr(jw, "object", "file");
    jw_key_u64(jw, "bytes", file->content.len);
    jw_key_i64(jw, "created_at", started_s);
    jw_key_cstr(jw, "filename", file->name);
    jw_key_cstr(jw, "purpose", file->purpose);
    jw_key_cstr(jw, "status", "processed");
    jw_object_end(jw);
}

static void
json_send(struct conn *c)
{
    whole_send(c, 200, "application/json", buf_str(&out));
}

static void
file_upload(struct conn *c, const struct request *req)
{
    struct str boundary, rest, purpose = STR_NONE;
    struct form_part part, upload = {.name = STR_NONE};
    struct jw jw;

    if (!form_begin(req, &boundary, &rest)) {
        error_send(c, 400, STR("Could not parse multipart form"), NULL, NULL);
        return;
    }
    while (form_next(boundary, &rest, &part)) {
        if (str_eq(part.name, STR("purpose")))
            purpose = part.content;
        if (str_eq(part.name, STR("file")) && part.filename.ptr != NULL)
            upload = part;
    }
    struct file *file = NULL;
    if (rest.len == 0 && upload.name.ptr != NULL && purpose.len > 0)
        file = file_add(upload.content, upload.filename, purpose);
    if (file == NULL) {
        error_send(c, 400, STR("a form with file and purpose is wanted"), "file", NULL);
        return;
    }
    jw_init(&jw, &out);
    file_write(&jw, file);
    json_send(c);
}

/* ---- lists ---- */

struct page {
    uint32_t limit;
    struct str after, purpose;
    bool ascending;
    bool begun; /* behind the one that it begins behind */
    uint32_t count;
    bool more;
    char first[ID_MAX + 1], last[ID_MAX + 1];
};

static bool
page_begin(struct conn *c, const struct request *req, uint32_t usual, uint32_t most,
           struct page *page)
{
    struct str limit = query_get(req->query, STR("limit"));
    uint64_t n = usual;

    if (limit.len > 0 && (!str_to_u64(limit, &n) || n == 0 || n > most)) {
        error_send(c, 400, STR("limit is out of range"), "limit", NULL);
        return false;
    }
    *page = (struct page){.limit = (uint32_t)n,
                          .after = query_get(req->query, STR("after")),
                          .purpose = query_get(req->query, STR("purpose")),
                          .ascending = str_eq(query_get(req->query, STR("order")), STR("asc"))};
    page->begun = page->after.len == 0;
    return true;
}

/* Does this one stand in the page? */
static bool
page_has(struct page *page, const char *id)
{
    if (!page->begun) {
        page->begun = str_eq(page->after, str_from(id));
        return false;
    }
    if (page->count == page->limit) {
        page->more = true;
        return false;
    }
    str_copy(str_from(id), page->count == 0 ? page->first : page->last, ID_MAX + 1);
    if (page->count++ == 0)
        str_copy(str_from(id), page->last, ID_MAX + 1);
    return true;
}

static void
page_end(struct conn *c, struct jw *jw, const struct page *page)
{
    jw_array_end(jw);
    jw_key_cstr(jw, "first_id", page->count > 0 ? page->first : NULL);
    jw_key_cstr(jw, "last_id", page->count > 0 ? page->last : NULL);
    jw_key_bool(jw, "has_more", page->more);
    jw_object_end(jw);
    json_send(c);
}

static void
list_begin(struct jw *jw)
{
    jw_init(jw, &out);
    jw_object(jw);
    jw_key_cstr(jw, "object", "list");
    jw_key(jw, "data");
    jw_array(jw);
}

static void
file_list(struct conn *c, const struct request *req)
{
    struct page page;
    struct jw jw;

    if (!page_begin(c, req, 10000, 10000, &page))
        return;
    list_begin(&jw);
    for (uint32_t i = 0; i < file_count; i++) {
        const struct file *file = &files[page.ascending ? i : file_count - 1 - i];

        if ((page.purpose.len == 0 || str_eq(page.purpose, str_from(file->purpose))) &&
            page_has(&page, file->id))
            file_write(&jw, file);
    }
    page_end(c, &jw, &page);
}

static void
file_answer(struct conn *c, const struct request *req)
{
    struct file *file = file_find(req->id);
    struct jw jw;

    if (file == NULL) {
        error_send(c, 404, STR("No such File object"), "id", NULL);
        return;
    }
    if (req->action.ptr != NULL) {
        whole_send(c, 200, "application/octet-stream", file->content);
        return;
    }
    jw_init(&jw, &out);
    if (req->is_delete) {
        jw_object(&jw);
        jw_key_cstr(&jw, "id", file->id);
        jw_key_cstr(&jw, "object", "file");
        jw_key_bool(&jw, "deleted", true);
        jw_object_end(&jw);
        file_drop(file);
    } else {
        file_write(&jw, file);
    }
    json_send(c);
}

/* ---- batches ---- */

static const char *
status_of(const struct batch *batch)
{
    return batch->cancelled ? "cancelled" : batch->done ? "completed" : "in_progress";
}

static void
batch_write(struct jw *jw, const struct batch *batch)
{
    bool done = batch->done && !batch->cancelled;

    jw_object(jw);
    jw_key_cstr(jw, "id", batch->id);
    jw_key_cstr(jw, "object", "batch");
    jw_key_cstr(jw, "endpoint", batch->endpoint);
    jw_key_cstr(jw, "model", "sim-batch-2026");
    jw_key_cstr(jw, "input_file_id", batch->input);
    jw_key_cstr(jw, "completion_window", "24h");
    jw_key_cstr(jw, "status", status_of(batch));
    jw_key_cstr(jw, "output_file_id", done && batch->output[0] ? batch->output : NULL);
    jw_key_cstr(jw, "error_file_id", done && batch->errors[0] ? batch->errors : NULL);
    jw_key_i64(jw, "created_at", started_s);
    jw_key(jw, "request_counts");
    jw_object(jw);
    jw_key_u64(jw, "total", batch->lines);
    jw_key_u64(jw, "completed", done ? batch->lines - batch->failed : 0);
    jw_key_u64(jw, "failed", done ? batch->failed : 0);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
line_write(struct buf *lines, struct js_value custom_id, bool fails)
{
    struct jw jw;

    jw_init(&jw, lines);
    jw_object(&jw);
    jw_key_js(&jw, "custom_id", custom_id);
    jw_key(&jw, "response");
    jw_raw(&jw, fails ? STR("null")
                      : STR("{\"status_code\":200,\"body\":{\"object\":\"chat.completion\","
                            "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                            "\"content\":\"the\"},\"finish_reason\":\"stop\"}],"
                            "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,"
                            "\"total_tokens\":9}}}"));
    jw_key(&jw, "error");
    jw_raw(&jw, fails ? STR("{\"code\":\"failed\",\"message\":\"as told\"}") : STR("null"));
    jw_object_end(&jw);
    buf_add_char(lines, '\n');
}

/* A file of these lines, where there are any; its ID into id. */
static void
lines_keep(struct buf *lines, const char *name, char *id)
{
    struct file *file = lines->len > 0
                            ? file_add(buf_str(lines), str_from(name), STR("batch_output"))
                            : NULL;

    if (file != NULL)
        memcpy(id, file->id, sizeof(file->id));
    buf_free(lines);
}

/* What comes of the input. */
static void
batch_finish(struct batch *batch)
{
    const struct file *file = file_find(str_from(batch->input));
    struct str input = file != NULL ? file->content : STR("");
    struct buf good, bad;

    buf_init(&good, SIZE_MAX);
    buf_init(&bad, SIZE_MAX);
    while (input.len > 0) {
        struct str line = str_split(input, '\n', &input);
        struct js_value value, custom_id;
        struct js_error err;
        bool fails;

        if (!js_check(line, &value, &err))
            continue;
        custom_id = js_get(value, STR("custom_id"));
        fails = str_starts_with(custom_id.raw, STR("fail"));
        line_write(fails ? &bad : &good, custom_id, fails);
        batch->lines++;
        batch->failed += fails;
    }
    batch->done = true;
    lines_keep(&good, "output.jsonl", batch->output);
    lines_keep(&bad, "errors.jsonl", batch->errors);
}

bool
files_batches(struct str order)
{
    struct js_value body, hold;
    struct js_error err;

    if (!js_check(order, &body, &err))
        return false;
    hold = js_get(body, STR("hold"));
    if (hold.type != JS_TRUE && hold.type != JS_FALSE)
        return false;
    held = hold.type == JS_TRUE;
    for (uint32_t i = 0; i < batch_count && !held; i++)
        if (!batches[i].done && !batches[i].cancelled)
            batch_finish(&batches[i]);
    return true;
}

static void
batch_create(struct conn *c, const struct request *req)
{
    struct js_value body = {0};
    struct js_error err;
    bool good = js_check(req->body, &body, &err);
    struct js_value endpoint = js_get(body, STR("endpoint"));
    struct file *input = good ? file_find(js_get(body, STR("input_file_id")).raw) : NULL;
    struct jw jw;

    if (input == NULL || !js_is(endpoint, JS_STRING) || batch_count == BATCHES_MAX) {
        error_send(c, 400, STR("a batch wants the id of a file, and an endpoint"),
                   "input_file_id", NULL);
        return;
    }
    struct batch *batch = &batches[batch_count++];
    *batch = (struct batch){.lines = 0};
    memcpy(batch->input, input->id, sizeof(batch->input));
    snprintf(batch->id, sizeof(batch->id), "batch_sim%016llx", (unsigned long long)c->call->seq);
    str_copy(endpoint.raw, batch->endpoint, sizeof(batch->endpoint));
    if (!held)
        batch_finish(batch);
    jw_init(&jw, &out);
    batch_write(&jw, batch);
    json_send(c);
}

static void
batch_list(struct conn *c, const struct request *req)
{
    struct page page;
    struct jw jw;

    if (!page_begin(c, req, 20, 100, &page))
        return;
    list_begin(&jw);
    for (uint32_t i = batch_count; i-- > 0;)
        if (page_has(&page, batches[i].id))
            batch_write(&jw, &batches[i]);
    page_end(c, &jw, &page);
}

static void
batch_answer(struct conn *c, const struct request *req)
{
    struct jw jw;

    for (uint32_t i = 0; i < batch_count; i++) {
        struct batch *batch = &batches[i];

        if (!str_eq(req->id, str_from(batch->id)))
            continue;
        batch->cancelled |= req->action.ptr != NULL;
        jw_init(&jw, &out);
        batch_write(&jw, batch);
        json_send(c);
        return;
    }
    error_send(c, 404, STR("No such batch"), "id", NULL);
}

void
files_answer(struct conn *c, const struct request *req)
{
    if (out.cap_max == 0)
        buf_init(&out, SIZE_MAX);
    out.len = 0;
    if (req->endpoint == EP_FILES) {
        if (req->id.ptr != NULL)
            file_answer(c, req);
        else if (req->is_get)
            file_list(c, req);
        else
            file_upload(c, req);
    } else if (req->id.ptr != NULL) {
        batch_answer(c, req);
    } else if (req->is_get) {
        batch_list(c, req);
    } else {
        batch_create(c, req);
    }
}
