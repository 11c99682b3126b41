#include "proto/models.h"

#include <stdio.h>
#include <string.h>

#include "base/jw.h"
#include "base/str.h"

static bool
read_cursor(struct str query, struct str name, char *out, struct proto_error *error)
{
    struct str value = proto_query_get(query, name);
    char text[3 * MODELS_CURSOR_LEN_MAX];
    struct str plain;

    out[0] = '\0';
    if (value.len == 0)
        return true;
    plain = proto_unescape(value, text, sizeof(text));
    if (plain.ptr == NULL || plain.len > MODELS_CURSOR_LEN_MAX) {
        char field[16];

        str_copy(name, field, sizeof(field));
        error_set(error, ERROR_BAD_REQUEST, field, NULL, "%s: is not a model's id", field);
        return false;
    }
    str_copy(plain, out, MODELS_CURSOR_LEN_MAX + 1);
    return true;
}

bool
models_query_read(struct str query, enum proto_protocol shape, struct models_query *out,
                  struct proto_error *error)
{
    struct str limit = proto_query_get(query, STR("limit"));
    uint64_t n = 20;

    if (shape == PROTO_GEMINI) {
        struct str size = proto_query_get(query, STR("pageSize"));

        n = 50;
        if (size.len > 0 && (!str_to_count(size, UINT32_MAX, &n) || n == 0)) {
            error_set(error, ERROR_BAD_REQUEST, "pageSize", NULL,
                      "pageSize: must be a whole number from 1");
            return false;
        }
        out->limit = (uint32_t)MIN(n, (uint64_t)MODELS_LIMIT_MAX);
        out->before[0] = '\0';
        return read_cursor(query, STR("pageToken"), out->after, error);
    }

    if (limit.ptr != NULL && (!str_to_count(limit, MODELS_LIMIT_MAX, &n) || n == 0)) {
        error_set(error, ERROR_BAD_REQUEST, "limit", NULL, "limit: must be a number from 1 to %d",
                  MODELS_LIMIT_MAX);
        return false;
    }
    out->limit = (uint32_t)n;
    return read_cursor(query, STR("after_id"), out->after, error) &&
           read_cursor(query, STR("before_id"), out->before, error);
}

static void
write_openai(struct jw *jw, const struct models_entry *entry)
{
    jw_object(jw);
    jw_key_str(jw, "id", entry->id);
    jw_key_cstr(jw, "object", "model");
    jw_key_i64(jw, "created", entry->created_s);
    jw_key_str(jw, "owned_by", entry->family.len > 0 ? entry->family : STR("turnpike"));
    jw_object_end(jw);
}

static void
write_anthropic(struct jw *jw, const struct models_entry *entry)
{
    jw_object(jw);
    jw_key_cstr(jw, "type", "model");
    jw_key_str(jw, "id", entry->id);
    jw_key_str(jw, "display_name", entry->id);
    /* The service itself gives the epoch for a model whose date is not known. */
    if (entry->created_s > 0)
        jw_key_time(jw, "created_at", entry->created_s * 1000000);
    else
        jw_key_cstr(jw, "created_at", "1970-01-01T00:00:00Z");
    jw_object_end(jw);
}

static void
write_gemini(struct jw *jw, const struct models_entry *entry)
{
    char name[512];
    int len = snprintf(name, sizeof(name), "models/%.*s", STR_ARGS(entry->id));

    jw_object(jw);
    jw_key_str(jw, "name", (struct str){name, MIN((size_t)len, sizeof(name) - 1)});
    jw_key_str(jw, "baseModelId", entry->id);
    jw_key_str(jw, "displayName", entry->id);
    if (entry->context_tokens > 0)
        jw_key_u64(jw, "inputTokenLimit", entry->context_tokens);
    if (entry->output_tokens_max > 0)
        jw_key_u64(jw, "outputTokenLimit", entry->output_tokens_max);
    jw_key(jw, "supportedGenerationMethods");
    jw_array(jw);
    if (entry->embeds) {
        jw_cstr(jw, "embedContent");
        jw_cstr(jw, "batchEmbedContents");
    } else {
        jw_cstr(jw, "generateContent");
        jw_cstr(jw, "streamGenerateContent");
        jw_cstr(jw, "countTokens");
    }
    jw_array_end(jw);
    jw_object_end(jw);
}

static size_t
index_of(const struct models_entry *entries, size_t entry_count, const char *id)
{
    size_t i = 0;

    while (i < entry_count && !str_eq(entries[i].id, str_from(id)))
        i++;
    return i;
}

/* A page of the list: entries from first up to end. */
struct page {
    size_t first, end;
    bool has_more; /* in the direction that was asked for */
};

static struct page
page_of(const struct models_entry *entries, size_t entry_count, const struct models_query *query)
{
    struct page page = {0, entry_count, false};
    size_t at;

    if (query->before[0] != '\0') {
        at = index_of(entries, entry_count, query->before);
        page.end = at < entry_count ? at : 0;
        page.first = page.end > query->limit ? page.end - query->limit : 0;
        page.has_more = page.first > 0;
        return page;
    }
    if (query->after[0] != '\0') {
        at = index_of(entries, entry_count, query->after);
        page.first = at < entry_count ? at + 1 : entry_count;
    }
    page.end = MIN(entry_count, page.first + query->limit);
    page.has_more = page.end < entry_count;
    return page;
}

static void
write_page(struct jw *jw, const struct models_entry *entries, struct page page)
{
    struct str first = STR_NONE, last = STR_NONE;

    if (page.first < page.end) {
        first = entries[page.first].id;
        last = entries[page.end - 1].id;
    }
    jw_object(jw);
    jw_key(jw, "data");
    jw_array(jw);
    for (size_t i = page.first; i < page.end; i++)
        write_anthropic(jw, &entries[i]);
    jw_array_end(jw);
    jw_key_bool(jw, "has_more", page.has_more);
    jw_key(jw, "first_id");
    if (first.ptr != NULL)
        jw_str(jw, first);
    else
        jw_null(jw);
    jw_key(jw, "last_id");
    if (last.ptr != NULL)
        jw_str(jw, last);
    else
        jw_null(jw);
    jw_object_end(jw);
}

static void
write_gemini_page(struct jw *jw, const struct models_entry *entries, struct page page)
{
    jw_object(jw);
    jw_key(jw, "models");
    jw_array(jw);
    for (size_t i = page.first; i < page.end; i++)
        write_gemini(jw, &entries[i]);
    jw_array_end(jw);
    if (page.has_more)
        jw_key_str(jw, "nextPageToken", entries[page.end - 1].id);
    jw_object_end(jw);
}

void
models_write_list(struct buf *out, enum proto_protocol shape, const struct models_entry *entries,
                  size_t entry_count, const struct models_query *query)
{
    static const struct models_query everything = {.limit = MODELS_LIMIT_MAX};
    struct jw jw;

    jw_init(&jw, out);
    if (shape == PROTO_ANTHROPIC) {
        write_page(&jw, entries,
                   page_of(entries, entry_count, query != NULL ? query : &everything));
        return;
    }
    if (shape == PROTO_GEMINI) {
        write_gemini_page(&jw, entries,
                          page_of(entries, entry_count, query != NULL ? query : &everything));
        return;
    }
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "list");
    jw_key(&jw, "data");
    jw_array(&jw);
    for (size_t i = 0; i < entry_count; i++)
        write_openai(&jw, &entries[i]);
    jw_array_end(&jw);
    jw_object_end(&jw);
}

void
models_write_one(struct buf *out, enum proto_protocol shape, const struct models_entry *entry)
{
    struct jw jw;

    jw_init(&jw, out);
    if (shape == PROTO_ANTHROPIC)
        write_anthropic(&jw, entry);
    else if (shape == PROTO_GEMINI)
        write_gemini(&jw, entry);
    else
        write_openai(&jw, entry);
}
