#include "manage/curl.h"

#include "base/clock.h"
#include "net/dial.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS_MAX 10000L

/* ---- the library ---- */

static struct curl_api loaded;
static const char *load_failed;

static void
load(void)
{
    struct {
        const char *name;
        void *at;
    } const table[] = {
        {"curl_global_init", &loaded.global_init},
        {"curl_easy_init", &loaded.easy_init},
        {"curl_easy_setopt", &loaded.easy_setopt},
        {"curl_easy_perform", &loaded.easy_perform},
        {"curl_easy_getinfo", &loaded.easy_getinfo},
        {"curl_easy_cleanup", &loaded.easy_cleanup},
        {"curl_easy_strerror", &loaded.easy_strerror},
        {"curl_slist_append", &loaded.slist_append},
        {"curl_slist_free_all", &loaded.slist_free},
    };
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    load_failed = library == NULL ? "libcurl is not there; install libcurl4" : NULL;
    for (size_t i = 0; load_failed == NULL && i < COUNT_OF(table); i++) {
        void *symbol = dlsym(library, table[i].name);

        if (symbol == NULL)
            load_failed = "libcurl is too old";
        memcpy(table[i].at, &symbol, sizeof(symbol)); /* a function's address, as dlsym(3) has it */
    }
    if (load_failed == NULL && loaded.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        load_failed = "libcurl does not start";
}

const struct curl_api *
manage_curl(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    *why = load_failed;
    return load_failed == NULL ? &loaded : NULL;
}

/* ---- the way ---- */

static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_way *way = arg;

    if (purpose != CURLSOCKTYPE_IPCXN || !dial_address_allowed(&address->addr, way->local)) {
        way->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool
curl_way_set(const struct curl_api *api, CURL *easy, struct curl_way *way)
{
    long timeout_ms = (long)way->timeout_ms;
    bool ok = api->easy_setopt(easy, CURLOPT_URL, way->url) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, way->protocols) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_OPENSOCKETDATA, way) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, MIN(CONNECT_MS_MAX, timeout_ms)) ==
                  CURLE_OK;

    way->refused = false;
    if (ok && way->ca_file != NULL)
        ok = api->easy_setopt(easy, CURLOPT_CAINFO, way->ca_file) == CURLE_OK;
    return ok;
}

const char *
curl_why(const struct curl_api *api, const struct curl_way *way, CURLcode code)
{
    return way->refused ? "its address is not a public one" : api->easy_strerror(code);
}

/* ---- one question ---- */

static size_t
on_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t len = size * count;

    if (fetch->answer_bytes_max == 0)
        return len;
    return buf_add(&fetch->answer, bytes, len) ? len : 0;
}

static bool
set_question(const struct curl_api *api, CURL *easy, struct fetch *fetch, struct curl_slist **list)
{
    bool ok = api->easy_setopt(easy, CURLOPT_USERAGENT, "turnpike/" TURNPIKE_VERSION) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
              api->easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK;

    for (size_t i = 0; ok && i < FETCH_HEADERS_MAX && fetch->headers[i] != NULL; i++) {
        struct curl_slist *more = api->slist_append(*list, fetch->headers[i]);

        ok = more != NULL;
        *list = ok ? more : *list;
    }
    if (ok && *list != NULL)
        ok = api->easy_setopt(easy, CURLOPT_HTTPHEADER, *list) == CURLE_OK;
    if (ok && fetch->post)
        ok = api->easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
             api->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->body.len) ==
                 CURLE_OK &&
             api->easy_setopt(easy, CURLOPT_POSTFIELDS,
                              fetch->body.len > 0 ? fetch->body.ptr : "") == CURLE_OK;
    if (ok && fetch->user != NULL)
        ok = api->easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
             api->easy_setopt(easy, CURLOPT_USERNAME, fetch->user) == CURLE_OK &&
             api->easy_setopt(easy, CURLOPT_PASSWORD, fetch->password) == CURLE_OK;
    return ok;
}

static int
fetch_with(const struct curl_api *api, CURL *easy, struct fetch *fetch, struct curl_slist **list)
{
    struct curl_way way = {.url = fetch->url,
                           .protocols = fetch->local ? "http,https" : "https",
                           .ca_file = fetch->ca_file,
                           .timeout_ms = fetch->timeout_ms,
                           .local = fetch->local};
    uint64_t start_us = clock_mono_us();
    long status = 0;
    CURLcode code;

    if (!curl_way_set(api, easy, &way) || !set_question(api, easy, fetch, list)) {
        snprintf(fetch->why, sizeof(fetch->why), "libcurl does not take its settings");
        return -EINVAL;
    }
    code = api->easy_perform(easy);
    fetch->took_ms = (uint32_t)((clock_mono_us() - start_us) / 1000);
    api->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    fetch->status = (unsigned)status;
    if (code == CURLE_OK)
        return 0;
    snprintf(fetch->why, sizeof(fetch->why), "%s",
             fetch->answer.failed ? "its answer is too long" : curl_why(api, &way, code));
    return code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
}

int
fetch_run(struct fetch *fetch)
{
    struct curl_slist *list = NULL;
    const char *why;
    const struct curl_api *api = manage_curl(&why);
    CURL *easy = api != NULL ? api->easy_init() : NULL;
    int rc;

    buf_init(&fetch->answer, fetch->answer_bytes_max);
    fetch->status = 0;
    fetch->took_ms = 0;
    fetch->why[0] = '\0';
    if (easy == NULL) {
        snprintf(fetch->why, sizeof(fetch->why), "%s", why != NULL ? why : "out of memory");
        return why != NULL ? -ENOSYS : -ENOMEM;
    }
    rc = fetch_with(api, easy, fetch, &list);
    api->easy_cleanup(easy);
    if (list != NULL)
        api->slist_free(list);
    return rc;
}

void
fetch_free(struct fetch *fetch)
{
    if (fetch->answer.ptr != NULL)
        explicit_bzero(fetch->answer.ptr, fetch->answer.cap);
    buf_free(&fetch->answer);
}
