/*
 * Files and batches, kept in this process until /sim/reset. A batch is done at once: its output has
 * one line for each of its input, all with the same answer.
 */
#include "test/upstream/sim.h"

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
    char input[ID_MAX + 1], output[ID_MAX + 1];
    char endpoint[40];
    bool cancelled;
    uint32_t lines;
};

static struct file files[FILES_MAX];
static struct batch batches[BATCHES_MAX];
static uint32_t file_count, batch_count;
static uint64_t bytes_kept;
static struct buf out;

static void
file_drop(struct file *file)
{
    bytes_kept -= file->content.len;
    free((void *)(uintptr_t)file->content.ptr);
    *file = files[--file_count];
}

void
files_forget(void)
{
    while (file_count > 0)
        file_drop(&files[file_count - 1]);
    batch_count = 0;
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

static void
file_list(struct conn *c)
{
    struct jw jw;

    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "list");
    jw_key(&jw, "data");
    jw_array(&jw);
    for (uint32_t i = 0; i < file_count; i++)
        file_write(&jw, &files[i]);
    jw_array_end(&jw);
    jw_key_bool(&jw, "has_more", false);
    jw_object_end(&jw);
    json_send(c);
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

static void
batch_write(struct jw *jw, const struct batch *batch)
{
    jw_object(jw);
    jw_key_cstr(jw, "id", batch->id);
    jw_key_cstr(jw, "object", "batch");
    jw_key_cstr(jw, "endpoint", batch->endpoint);
    jw_key_cstr(jw, "input_file_id", batch->input);
    jw_key_cstr(jw, "completion_window", "24h");
    jw_key_cstr(jw, "status", batch->cancelled ? "cancelled" : "completed");
    jw_key_cstr(jw, "output_file_id", batch->cancelled ? NULL : batch->output);
    jw_key_i64(jw, "created_at", started_s);
    jw_key(jw, "request_counts");
    jw_object(jw);
    jw_key_u64(jw, "total", batch->lines);
    jw_key_u64(jw, "completed", batch->cancelled ? 0 : batch->lines);
    jw_key_u64(jw, "failed", 0);
    jw_object_end(jw);
    jw_object_end(jw);
}

/* What comes of the input; how many lines. */
static uint32_t
output_write(struct buf *lines, struct str input)
{
    uint32_t count = 0;

    while (input.len > 0) {
        struct str line = str_split(input, '\n', &input);
        struct js_value value;
        struct js_error err;
        struct jw jw;

        if (!js_check(line, &value, &err))
            continue;
        jw_init(&jw, lines);
        jw_object(&jw);
        jw_key_js(&jw, "custom_id", js_get(value, STR("custom_id")));
        jw_key(&jw, "response");
        jw_raw(&jw, STR("{\"status_code\":200,\"body\":{\"object\":\"chat.completion\",\"choices\":"
                        "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"the\"},"
                        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":8,"
                        "\"completion_tokens\":1,\"total_tokens\":9}}}"));
        jw_key(&jw, "error");
        jw_null(&jw);
        jw_object_end(&jw);
        buf_add_char(lines, '\n');
        count++;
    }
    return count;
}

static void
batch_create(struct conn *c, const struct request *req)
{
    struct js_value body = {0};
    struct js_error err;
    bool good = js_check(req->body, &body, &err);
    struct js_value endpoint = js_get(body, STR("endpoint"));
    struct file *input = good ? file_find(js_get(body, STR("input_file_id")).raw) : NULL;
    struct buf lines;
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
    buf_init(&lines, SIZE_MAX);
    batch->lines = output_write(&lines, input->content);
    struct file *output = file_add(buf_str(&lines), STR("output.jsonl"), STR("batch_output"));
    if (output != NULL)
        memcpy(batch->output, output->id, sizeof(batch->output));
    buf_free(&lines);
    jw_init(&jw, &out);
    batch_write(&jw, batch);
    json_send(c);
}

static void
batch_list(struct conn *c)
{
    struct jw jw;

    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "list");
    jw_key(&jw, "data");
    jw_array(&jw);
    for (uint32_t i = 0; i < batch_count; i++)
        batch_write(&jw, &batches[i]);
    jw_array_end(&jw);
    jw_key_bool(&jw, "has_more", false);
    jw_object_end(&jw);
    json_send(c);
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
            file_list(c);
        else
            file_upload(c, req);
    } else if (req->id.ptr != NULL) {
        batch_answer(c, req);
    } else if (req->is_get) {
        batch_list(c);
    } else {
        batch_create(c, req);
    }
}
