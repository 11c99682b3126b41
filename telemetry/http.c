#define CURL_DISABLE_TYPECHECK
#include "telemetry/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"

#define CHANNELS_MAX 2
#define ANSWER_BYTES_MAX 8192
#define CONNECT_MS 5000L
/* Between tries, doubled each time, a quarter more or less; a collector that says how long is obeyed. */
#define RETRY_FIRST_MS 500u
#define RETRY_MAX_MS 30000u
#define RETRY_AFTER_MAX_S 300
#define GIVE_UP_US UINT64_C(300000000)
#define SAY_US UINT64_C(60000000) /* of what goes on: once in so long */

/* The functions of libcurl that are used; its header's types, our own look-up. */
struct curl_api {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    void (*easy_cleanup)(CURL *easy);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_add)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *fds, unsigned count, int timeout_ms,
                            int *ready);
    CURLMsg *(*multi_info)(CURLM *multi, int *left);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free)(struct curl_slist *list);
};

struct channel {
    CURL *easy;
    struct buf document, answer;
    unsigned calls, tries;
    bool busy, flying;
    uint64_t first_us, next_us; /* monotonic: when it was given to us; when it is tried next */
};

struct http {
    struct curl_api api;
    void *library;
    CURLM *multi;
    struct curl_slist *headers;
    struct channel channel[CHANNELS_MAX];
    unsigned channels;
    http_end_fn on_end;
    void *arg;
    uint64_t say_us; /* not before */
    bool failing;
};

/* ---- libcurl ---- */

static const char *
api_load(struct http *http)
{
    struct {
        const char *name;
        void *at;
    } const table[] = {
        {"curl_global_init", &http->api.global_init},
        {"curl_easy_init", &http->api.easy_init},
        {"curl_easy_setopt", &http->api.easy_setopt},
        {"curl_easy_getinfo", &http->api.easy_getinfo},
        {"curl_easy_cleanup", &http->api.easy_cleanup},
        {"curl_easy_strerror", &http->api.easy_strerror},
        {"curl_multi_init", &http->api.multi_init},
        {"curl_multi_add_handle", &http->api.multi_add},
        {"curl_multi_remove_handle", &http->api.multi_remove},
        {"curl_multi_perform", &http->api.multi_perform},
        {"curl_multi_poll", &http->api.multi_poll},
        {"curl_multi_info_read", &http->api.multi_info},
        {"curl_multi_cleanup", &http->api.multi_cleanup},
        {"curl_slist_append", &http->api.slist_append},
        {"curl_slist_free_all", &http->api.slist_free},
    };

    http->library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (http->library == NULL)
        http->library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (http->library == NULL)
        return "libcurl is not there; install libcurl4";
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        void *symbol = dlsym(http->library, table[i].name);

        if (symbol == NULL)
            return "libcurl is too old";
        memcpy(table[i].at, &symbol, sizeof(symbol)); /* a function's address, as dlsym(3) has it */
    }
    return http->api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? NULL : "libcurl does not start";
}

/* ---- headers: "name=value,name=value", values percent-encoded ---- */

static bool
add_header(struct http *http, struct str pair)
{
    struct str value, name = str_trim(str_split(pair, '=', &value));
    struct curl_slist *more;
    struct buf line;

    if (name.len == 0 || value.ptr == NULL)
        return false;
    buf_init(&line, 16384);
    buf_add_fmt(&line, "%.*s: ", STR_ARGS(name));
    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = (uint8_t)value.ptr[i];

        if (byte == '%' && i + 2 < value.len + 0 &&
            str_unhex((struct str){value.ptr + i + 1, 2}, &byte, 1))
            i += 2;
        else
            byte = (uint8_t)value.ptr[i];
        if (byte < ' ' || byte == 0x7f)
            return buf_free(&line), false;
        buf_add_char(&line, (char)byte);
    }
    buf_add_char(&line, '\0');
    more = line.failed ? NULL : http->api.slist_append(http->headers, line.ptr);
    if (line.ptr != NULL)
        explicit_bzero(line.ptr, line.cap);
    buf_free(&line);
    if (more != NULL)
        http->headers = more;
    return more != NULL;
}

static bool
add_headers(struct http *http, struct str headers)
{
    http->headers = http->api.slist_append(NULL, "Content-Type: application/json");
    if (http->headers == NULL)
        return false;
    /* libcurl would ask first whether a large document may come. */
    if (!add_header(http, STR("Expect=")))
        return false;
    while (headers.len > 0) {
        struct str part = str_trim(str_split(headers, ',', &headers));

        if (part.len > 0 && !add_header(http, part))
            return false;
    }
    return true;
}

/* ---- channels ---- */

static size_t
on_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct channel *channel = arg;
    size_t len = size * count, room = ANSWER_BYTES_MAX - MIN(channel->answer.len, (size_t)ANSWER_BYTES_MAX);

    (void)buf_add(&channel->answer, bytes, MIN(len, room));
    return len; /* what is more is nothing to us */
}

static bool
channel_open(struct http *http, struct channel *channel, const struct conf_telemetry *conf,
             const char *path)
{
    const struct curl_api *api = &http->api;
    CURL *easy = api->easy_init();
    struct buf url;
    bool ok;

    buf_init(&channel->document, SIZE_MAX / 2);
    buf_init(&channel->answer, ANSWER_BYTES_MAX);
    channel->easy = easy;
    if (easy == NULL)
        return false;
    buf_init(&url, 8192);
    buf_add_fmt(&url, "%.*s%s", STR_ARGS(conf->otlp), path);
    buf_add_char(&url, '\0');
    ok = !url.failed && api->easy_setopt(easy, CURLOPT_URL, url.ptr) == CURLE_OK;
    buf_free(&url);
    ok = ok && api->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok = ok && api->easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers) == CURLE_OK;
    if (conf->ca_file.ptr != NULL)
        ok = ok && api->easy_setopt(easy, CURLOPT_CAINFO, conf->ca_file.ptr) == CURLE_OK;
    api->easy_setopt(easy, CURLOPT_POST, 1L);
    api->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    api->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    api->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    api->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    api->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)conf->timeout_ms);
    api->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, MIN(CONNECT_MS, (long)conf->timeout_ms));
    api->easy_setopt(easy, CURLOPT_USERAGENT, "turnpike/" TURNPIKE_VERSION);
    api->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    api->easy_setopt(easy, CURLOPT_WRITEDATA, channel);
    api->easy_setopt(easy, CURLOPT_PRIVATE, channel);
    return ok;
}

struct http *
http_new(const struct conf_telemetry *conf, const char *const *paths, unsigned channels,
         http_end_fn on_end, void *arg, const char **why)
{
    struct http *http = calloc(1, sizeof(*http));
    bool ok = true;

    ASSERT(channels <= CHANNELS_MAX);
    *why = "out of memory";
    if (http == NULL)
        return NULL;
    http->on_end = on_end;
    http->arg = arg;
    *why = api_load(http);
    if (*why != NULL) {
        free(http);
        return NULL;
    }
    http->multi = http->api.multi_init();
    *why = "its headers are not NAME=VALUE,NAME=VALUE";
    ok = http->multi != NULL && add_headers(http, conf->headers);
    for (; ok && http->channels < channels; http->channels++) {
        *why = "libcurl does not take its settings";
        ok = channel_open(http, &http->channel[http->channels], conf, paths[http->channels]);
    }
    if (!ok)
        http_free(&http);
    return http;
}

void
http_free(struct http **httpp)
{
    struct http *http = *httpp;

    *httpp = NULL;
    if (http == NULL)
        return;
    for (unsigned i = 0; i < CHANNELS_MAX; i++) {
        struct channel *channel = &http->channel[i];

        if (channel->flying)
            http->api.multi_remove(http->multi, channel->easy);
        if (channel->easy != NULL)
            http->api.easy_cleanup(channel->easy);
        buf_free(&channel->document);
        buf_free(&channel->answer);
    }
    http->api.slist_free(http->headers);
    if (http->multi != NULL)
        http->api.multi_cleanup(http->multi);
    free(http); /* the library stays: what it has begun may still end */
}

bool
http_busy(const struct http *http, unsigned channel)
{
    return http->channel[channel].busy;
}

void
http_send(struct http *http, unsigned channel_idx, struct buf *document, unsigned calls)
{
    struct channel *channel = &http->channel[channel_idx];

    ASSERT(!channel->busy);
    buf_free(&channel->document);
    channel->document = *document;
    buf_init(document, 0);
    channel->busy = true;
    channel->calls = calls;
    channel->tries = 0;
    channel->first_us = channel->next_us = clock_mono_us();
}

/* ---- trying ---- */

static void
try_now(struct http *http, struct channel *channel)
{
    buf_free(&channel->answer);
    buf_init(&channel->answer, ANSWER_BYTES_MAX);
    http->api.easy_setopt(channel->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                          (curl_off_t)channel->document.len);
    http->api.easy_setopt(channel->easy, CURLOPT_POSTFIELDS, channel->document.ptr);
    channel->flying = http->api.multi_add(http->multi, channel->easy) == CURLM_OK;
    if (!channel->flying)
        channel->next_us = clock_mono_us() + RETRY_MAX_MS * UINT64_C(1000);
}

static void
over(struct http *http, struct channel *channel, enum http_end end)
{
    channel->busy = false;
    buf_free(&channel->document);
    http->on_end(http->arg, (unsigned)(channel - http->channel), end);
}

/* Of some of the document the collector may say that it did not want it. */
static void
look_at_answer(const struct channel *channel)
{
    static const char *const names[] = {"rejectedSpans", "rejectedDataPoints"};
    struct js_value answer, partial;
    struct js_error ignored;

    if (!js_check(buf_str(&channel->answer), &answer, &ignored) || !js_is(answer, JS_OBJECT))
        return;
    partial = js_get(answer, STR("partialSuccess"));
    for (size_t i = 0; i < COUNT_OF(names) && js_is(partial, JS_OBJECT); i++) {
        struct js_value n = js_get(partial, str_from(names[i]));

        if ((js_is(n, JS_STRING) || js_is(n, JS_NUMBER)) && !str_eq(n.raw, STR("0")))
            log_warn("telemetry.rejected", "what=%s count=%s", names[i], log_quote(n.raw));
    }
}

static uint64_t
wait_us(const struct channel *channel, long retry_after_s)
{
    uint64_t ms = MIN((uint64_t)RETRY_FIRST_MS << MIN(channel->tries, 10u), RETRY_MAX_MS);
    uint64_t us = (ms * 3 / 4 + rng_u64() % (ms / 2)) * 1000;

    return MAX(us, (uint64_t)MIN(MAX(retry_after_s, 0L), RETRY_AFTER_MAX_S) * 1000000);
}

static void
say_failed(struct http *http, const struct channel *channel, const char *why, uint64_t wait)
{
    uint64_t now_us = clock_mono_us();

    if (http->failing && now_us < http->say_us)
        return;
    http->failing = true;
    http->say_us = now_us + SAY_US;
    log_warn("telemetry.failed", "why=%s tries=%u retry_ms=%llu", log_quote(str_from(why)),
             channel->tries + 1, (unsigned long long)(wait / 1000));
}

static void
try_over(struct http *http, struct channel *channel, CURLcode result)
{
    long status = 0, retry_after_s = 0;
    curl_off_t after = 0;
    char text[32];
    const char *why = text;
    uint64_t wait, now_us = clock_mono_us();

    http->api.easy_getinfo(channel->easy, CURLINFO_RESPONSE_CODE, &status);
    http->api.easy_getinfo(channel->easy, CURLINFO_RETRY_AFTER, &after);
    retry_after_s = (long)after;
    if (result == CURLE_OK && status >= 200 && status < 300) {
        if (http->failing)
            log_info("telemetry.again", "tries=%u", channel->tries + 1);
        http->failing = false;
        look_at_answer(channel);
        over(http, channel, HTTP_TAKEN);
        return;
    }
    (void)snprintf(text, sizeof(text), "status %ld", status);
    if (result != CURLE_OK)
        why = http->api.easy_strerror(result);
    else if (status != 429 && status != 502 && status != 503 && status != 504) {
        log_error("telemetry.refused", "status=%ld calls=%u effect=%s", status, channel->calls,
                  "\"these are dropped\"");
        over(http, channel, HTTP_REFUSED);
        return;
    }
    wait = wait_us(channel, retry_after_s);
    say_failed(http, channel, why, wait);
    channel->tries++;
    channel->next_us = now_us + wait;
    if (channel->next_us - channel->first_us > GIVE_UP_US)
        over(http, channel, HTTP_GIVEN_UP);
}

void
http_turn(struct http *http, int fd, unsigned timeout_ms)
{
    struct curl_waitfd wait = {.fd = fd, .events = CURL_WAIT_POLLIN};
    uint64_t now_us = clock_mono_us();
    int running, left;
    CURLMsg *message;

    for (unsigned i = 0; i < http->channels; i++) {
        struct channel *channel = &http->channel[i];

        if (!channel->busy || channel->flying)
            continue;
        if (channel->next_us <= now_us)
            try_now(http, channel);
        else
            timeout_ms = MIN(timeout_ms, (unsigned)((channel->next_us - now_us) / 1000 + 1));
    }
    http->api.multi_perform(http->multi, &running);
    while ((message = http->api.multi_info(http->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;

        for (unsigned i = 0; i < http->channels; i++)
            if (message->msg == CURLMSG_DONE && http->channel[i].easy == easy) {
                http->api.multi_remove(http->multi, easy);
                http->channel[i].flying = false;
                try_over(http, &http->channel[i], result);
                timeout_ms = 0;
                break;
            }
    }
    http->api.multi_poll(http->multi, &wait, fd >= 0 ? 1 : 0, (int)timeout_ms, NULL);
}
