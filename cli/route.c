#include "cli/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/help.h"
#include "cli/print.h"
#include "conf/conf.h"
#include "proto/ask.h"

#define FILE_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX (1u << 20)
#define END {NULL, NULL, false}

/* ---- a request's file ---- */

static int
read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    char chunk[16384];
    size_t len;
    int rc;

    if (file == NULL)
        return -errno;
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(out, chunk, len);
    rc = ferror(file) ? -EIO : out->failed ? -EFBIG : 0;
    fclose(file);
    return rc;
}

/* OpenAI's has three endpoints: which one it is, shows by the member that only that one has. */
static enum proto_endpoint
endpoint_of(struct str body, const char *protocol)
{
    struct js_value value;
    struct js_error err;

    if (protocol != NULL && strcmp(protocol, "anthropic") == 0)
        return ENDPOINT_MESSAGES;
    if (protocol != NULL && strcmp(protocol, "responses") == 0)
        return ENDPOINT_RESPONSES;
    if (js_check(body, &value, &err) && js_is(value, JS_OBJECT)) {
        if (!js_is(js_get(value, STR("prompt")), JS_NONE))
            return ENDPOINT_COMPLETIONS;
        if (!js_is(js_get(value, STR("input")), JS_NONE))
            return ENDPOINT_EMBEDDINGS;
    }
    return ENDPOINT_CHAT;
}

static void
write_needs(const struct ask *ask, struct jw *jw)
{
    struct ask_needs needs;

    ask_needs(ask, &needs);
    jw_key(jw, "needs");
    jw_array(jw);
    for (unsigned i = 0; i < ASK_NEED_COUNT; i++)
        if (needs.needs >> i & 1)
            jw_cstr(jw, conf_can_name[i]);
    jw_array_end(jw);
    jw_key_u64(jw, "input_tokens", MIN(needs.input_tokens, (uint64_t)UINT32_MAX));
    jw_key_u64(jw, "output_tokens", MIN(needs.output_tokens, (uint64_t)UINT32_MAX));
}

enum cli_exit
route_request(const char *path, const char *protocol, struct jw *jw)
{
    enum cli_exit status = CLI_DONE;
    struct proto_error error;
    struct arena arena;
    struct buf body;
    struct ask ask;
    int rc;

    buf_init(&body, FILE_BYTES_MAX);
    arena_init(&arena, ARENA_BYTES_MAX);
    rc = read_file(path, &body);
    if (rc < 0)
        status = complain(CLI_FAILED, path, strerror(-rc), NULL);
    else if (!ask_read(endpoint_of(buf_str(&body), protocol), buf_str(&body), &arena, &ask, &error))
        status = complain(CLI_FAILED, path, error.message,
                          "--protocol says which API the request is for");
    else
        write_needs(&ask, jw);
    arena_end(&arena);
    buf_free(&body);
    return status;
}

/* ---- the explanation ---- */

static void
show_list(struct js_value result, const char *name, const char *head,
          const struct print_column *columns)
{
    struct js_value list = js_get(result, str_from(name)), key, value;
    struct js_iter it;

    js_iter_init(&it, list);
    if (!js_next(&it, &key, &value))
        return;
    printf("\n%s\n", head);
    print_table(list, columns, "");
}

const char *
route_why_not(struct js_value result)
{
    static const struct {
        const char *result, *why;
    } sentences[] = {
        {"no-model", "there is no such model, alias or auto name"},
        {"model-not-allowed", "the key may not use the model"},
        {"no-such-channel", "there is no such channel"},
        {"two-channels", "the model names one channel and --channel another"},
        {"channel-not-allowed", "the key may not use the channel, or has none at all"},
        {"no-upstream", "no upstream in the key's channels serves it in this protocol"},
        {"no-fit", "no model of the auto's can do what the request needs"},
    };
    struct js_value is = js_get(result, STR("result"));

    for (size_t i = 0; i < COUNT_OF(sentences); i++)
        if (js_str_eq(is, str_from(sentences[i].result)))
            return sentences[i].why;
    return NULL;
}

void
show_route(struct js_value result)
{
    static const struct print_column fields[] = {
        {"asked", "asked for", false},
        {"protocol", "protocol", false},
        {"needs", "needs", false},
        {"input_tokens", "input tokens", false},
        {"output_tokens", "output tokens", false},
        {"result", "result", false},
        {"near", "near names", false},
        {"rule", "rule", false},
        {"auto", "auto", false},
        {"weights.of", "weights of", false},
        {"weights.latency", "latency", false},
        {"weights.cost", "cost", false},
        {"weights.quality", "quality", false},
        {"model", "model", false},
        END,
    };
    static const struct print_column rules[] = {
        {"rule", "RULE", false}, {"decides", "DECIDES", false}, {"why", "WHY NOT", false}, END};
    static const struct print_column models[] = {
        {"model", "MODEL", false},   {"score", "SCORE", true},     {"latency", "LATENCY", true},
        {"cost", "COST", true},      {"quality", "QUALITY", true}, {"price", "PRICE/M", true},
        {"time_us", "TIME US", true}, {"why", "WHY NOT", false},    END};
    static const struct print_column candidates[] = {
        {"n", "N", true},
        {"channel", "CHANNEL", false},
        {"upstream", "UPSTREAM", false},
        {"credential", "CREDENTIAL", false},
        {"model", "MODEL", false},
        {"price.input", "INPUT/M", true},
        {"price.output", "OUTPUT/M", true},
        {"cost", "COST", true},
        {"score", "SCORE", true},
        {"first_byte_us", "FIRST US", true},
        {"state", "CIRCUIT", false},
        {"until", "UNTIL", false},
        {"full", "FULL", false},
        END,
    };
    static const struct print_column out[] = {{"model", "MODEL", false},
                                              {"channel", "CHANNEL", false},
                                              {"upstream", "UPSTREAM", false},
                                              {"why", "WHY", false},
                                              END};

    print_fields(result, fields);
    show_list(result, "rules", "rules, the first that holds decides:", rules);
    show_list(result, "models", "models that were looked at:", models);
    show_list(result, "candidates", "candidates, in the order in which they are tried:", candidates);
    show_list(result, "out", "out:", out);
}
