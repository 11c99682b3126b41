#include "manage/turnstile.h"

#include "base/js.h"
#include "base/str.h"
#include "manage/curl.h"
#include "manage/form.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX 65536u

static bool
has_code(struct js_value codes, const char *code)
{
    struct js_value name, one;
    struct js_iter it;

    for (js_iter_init(&it, codes); js_next(&it, &name, &one);)
        if (js_str_eq(one, str_from(code)))
            return true;
    return false;
}

static bool
hostname_ok(const struct conf_turnstile *conf, struct js_value hostname)
{
    for (size_t i = 0; i < conf->hostnames.count; i++)
        if (js_str_eq(hostname, conf->hostnames.at[i]))
            return true;
    return conf->hostnames.count == 0;
}

enum turnstile_result
turnstile_judge(const struct conf_turnstile *conf, unsigned status, struct str answer, char *why,
                size_t why_cap)
{
    struct js_value value, success, codes;
    struct js_error err;

    if (!js_check(answer, &value, &err) || !js_is(value, JS_OBJECT)) {
        snprintf(why, why_cap, "the service answers %u, and no object", status);
        return TURNSTILE_AWAY;
    }
    success = js_get(value, STR("success"));
    codes = js_get(value, STR("error-codes"));
    if (status == 200 && js_is(success, JS_TRUE)) {
        if (hostname_ok(conf, js_get(value, STR("hostname"))))
            return TURNSTILE_PASSED;
        snprintf(why, why_cap, "the answer is of another host's page");
        return TURNSTILE_FAILED;
    }
    snprintf(why, why_cap, "the service answers %u", status);
    if (has_code(codes, "missing-input-secret") || has_code(codes, "invalid-input-secret")) {
        snprintf(why, why_cap, "the service does not know our secret");
        return TURNSTILE_AWAY;
    }
    if (has_code(codes, "internal-error") || status >= 500 || !js_is(success, JS_FALSE))
        return TURNSTILE_AWAY;
    snprintf(why, why_cap, "%s",
             has_code(codes, "timeout-or-duplicate") ? "the answer is old, or was used" : "no person");
    return TURNSTILE_FAILED;
}

enum turnstile_result
turnstile_verify(const struct conf_turnstile *conf, struct str token, struct str ip, char *why,
                 size_t why_cap)
{
    struct fetch fetch = {.url = conf->at.url.ptr,
                          .local = conf->at.local,
                          .ca_file = conf->at.ca_file.ptr,
                          .timeout_ms = conf->at.timeout_ms,
                          .post = true,
                          .headers = {"content-type: application/x-www-form-urlencoded"},
                          .answer_bytes_max = ANSWER_BYTES_MAX};
    enum turnstile_result result = TURNSTILE_AWAY;
    struct buf form;

    if (token.len == 0 || token.len > TURNSTILE_TOKEN_MAX) {
        snprintf(why, why_cap, "there is no answer");
        return TURNSTILE_FAILED;
    }
    buf_init(&form, 65536);
    form_add(&form, "secret", conf->secret);
    form_add(&form, "response", token);
    if (ip.len > 0)
        form_add(&form, "remoteip", ip);
    fetch.body = buf_str(&form);
    if (form.failed)
        snprintf(why, why_cap, "out of memory");
    else if (fetch_run(&fetch) < 0)
        snprintf(why, why_cap, "%s", fetch.why);
    else
        result = turnstile_judge(conf, fetch.status, buf_str(&fetch.answer), why, why_cap);
    fetch_free(&fetch);
    if (form.ptr != NULL)
        explicit_bzero(form.ptr, form.cap);
    buf_free(&form);
    return result;
}
