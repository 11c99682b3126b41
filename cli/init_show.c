#include "cli/init_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jw.h"
#include "base/str.h"
#include "cli/help.h"
#include "net/listen.h"

enum cli_exit
init_show_refusal(struct js_value answer)
{
    char why[512], hint[256] = "";
    int64_t status;

    print_value(js_get(answer, STR("why")), why, sizeof(why));
    if (js_is(js_get(answer, STR("hint")), JS_STRING))
        print_value(js_get(answer, STR("hint")), hint, sizeof(hint));
    if (!js_i64(js_get(answer, STR("exit")), &status) || status < 1 || status > 125)
        status = CLI_FAILED;
    return complain((enum cli_exit)status, "init", why,
                    hint[0] != '\0' ? hint : "another name with --tenant; nothing was written");
}

/* A word for a shell: as it is when that is safe, else in single quotes. */
static void
word(struct buf *out, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:@%,";

    buf_add_char(out, ' ');
    if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
        buf_add_str(out, str_from(text));
        return;
    }
    buf_add_char(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_add_fmt(out, "'\\''");
        else
            buf_add_char(out, *text);
    }
    buf_add_char(out, '\'');
}

static void
serve_text(struct buf *out, const struct init_plan *plan, const struct init_made *made)
{
    buf_add_str(out, str_from(program_invocation_name));
    if (made->server_runs) {
        buf_add_fmt(out, " reload -s");
        word(out, plan->state_dir);
        return;
    }
    buf_add_fmt(out, " serve -c");
    word(out, plan->conf_path);
    buf_add_fmt(out, " -s");
    word(out, plan->state_dir);
    buf_add_fmt(out, " -l");
    word(out, plan->listen);
}

/* Where a client on this machine reaches the address. */
static void
base_text(struct buf *out, const struct init_plan *plan)
{
    static const uint8_t any[16];
    struct net_addr addr;
    char why[200];

    if (net_listen_parse(str_from(plan->listen), &addr, why, sizeof(why)) &&
        memcmp(addr.ip, any, sizeof(any)) == 0)
        buf_add_fmt(out, "http://127.0.0.1:%u", addr.port);
    else
        buf_add_fmt(out, "http://%s", plan->listen);
}

/* Where the administrator sets a password. */
static void
setup_text(struct buf *out, const struct init_plan *plan, const struct init_made *made)
{
    base_text(out, plan);
    buf_add_fmt(out, "/setup#%s", made->setup);
}

static void
curl_text(struct buf *out, const struct init_plan *plan)
{
    buf_add_fmt(out, "curl ");
    base_text(out, plan);
    buf_add_fmt(out,
                "/v1/chat/completions -H \"Authorization: Bearer $KEY\" "
                "-H 'content-type: application/json' "
                "-d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}'",
                plan->source[0].maker->model);
}

/* Variables that hold no key yet. */
static bool
is_unset(const struct init_source *source)
{
    const char *value = source->key_env[0] != '\0' ? getenv(source->key_env) : "set";

    return value == NULL || value[0] == '\0';
}

static void
show_json(const struct init_plan *plan, const struct init_made *made)
{
    struct buf out, command;
    struct jw jw;

    buf_init(&out, 65536);
    buf_init(&command, 8192);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "config", plan->conf_path);
    jw_key_cstr(&jw, "state", plan->state_dir);
    jw_key_cstr(&jw, "listen", plan->listen);
    jw_key(&jw, "providers");
    jw_array(&jw);
    for (unsigned i = 0; i < plan->source_count; i++)
        jw_cstr(&jw, plan->source[i].maker->name);
    jw_array_end(&jw);
    jw_key_u64(&jw, "models", made->model_count);
    jw_key(&jw, "unset");
    jw_array(&jw);
    for (unsigned i = 0; i < plan->source_count; i++)
        if (is_unset(&plan->source[i]))
            jw_cstr(&jw, plan->source[i].key_env);
    jw_array_end(&jw);
    jw_key_cstr(&jw, "tenant", plan->tenant[0] != '\0' ? plan->tenant : NULL);
    jw_key_cstr(&jw, "key", plan->tenant[0] != '\0' ? made->key : NULL);
    jw_key_cstr(&jw, "admin", plan->admin[0] != '\0' ? plan->admin : NULL);
    jw_key(&jw, "link");
    if (plan->admin[0] != '\0') {
        setup_text(&command, plan, made);
        jw_str(&jw, buf_str(&command));
        command.len = 0;
    } else {
        jw_null(&jw);
    }
    jw_key(&jw, "commands");
    jw_array(&jw);
    serve_text(&command, plan, made);
    jw_str(&jw, buf_str(&command));
    command.len = 0;
    curl_text(&command, plan);
    jw_str(&jw, buf_str(&command));
    jw_array_end(&jw);
    jw_object_end(&jw);
    printf("%.*s\n", STR_ARGS(buf_str(&out)));
    explicit_bzero(out.ptr, out.cap);
    buf_free(&out);
    explicit_bzero(command.ptr, command.ptr != NULL ? command.cap : 0);
    buf_free(&command);
}

static void
show_text(const struct init_plan *plan, const struct init_made *made)
{
    struct buf out;

    buf_init(&out, 65536);
    buf_add_fmt(&out, "%s: %u provider%s, %zu models\n", plan->conf_path, plan->source_count,
                plan->source_count == 1 ? "" : "s", made->model_count);
    if (plan->tenant[0] != '\0')
        buf_add_fmt(&out, "tenant %s: %s credits, and a key, which is shown only now:\n\n  KEY=%s\n",
                    plan->tenant, plan->credit[0] != '\0' ? plan->credit : "0", made->key);
    if (plan->admin[0] != '\0') {
        buf_add_fmt(&out, "administrator %s: sets a password, once, within 7 days, at\n\n  ", plan->admin);
        setup_text(&out, plan, made);
        buf_add_char(&out, '\n');
    }
    buf_add_fmt(&out, "\nStart it:\n\n");
    for (unsigned i = 0; i < plan->source_count; i++)
        if (is_unset(&plan->source[i]))
            buf_add_fmt(&out, "  export %s=…    # of %s\n", plan->source[i].key_env,
                        plan->source[i].maker->title);
    for (unsigned i = 0; i < plan->source_count; i++)
        if (plan->source[i].maker->key_env == NULL)
            buf_add_fmt(&out, "  %s mock -l 127.0.0.1:8081 &    # %s\n", program_invocation_name,
                        plan->source[i].maker->title);
    buf_add_fmt(&out, "  ");
    serve_text(&out, plan, made);
    buf_add_fmt(&out, "\n\nand, in another terminal, call it:\n\n  ");
    curl_text(&out, plan);
    buf_add_char(&out, '\n');
    fwrite(out.ptr, 1, out.len, stdout);
    explicit_bzero(out.ptr, out.cap);
    buf_free(&out);
}

void
init_show_made(const struct init_plan *plan, const struct init_made *made)
{
    if (made->json)
        show_json(plan, made);
    else
        show_text(plan, made);
    (void)fflush(stdout);
}
