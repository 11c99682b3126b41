/*
 * libcurl, loaded when it is needed, so that no other process has it and what it stands on. For threads beside
 * the loop (manage_work()): all of it waits.
 *
 * What is made here keeps the dial rule (net/dial.h): names are resolved once, by libcurl, and each address is
 * checked as an address when its socket is opened, which is then connected to that very address. No proxy of the
 * environment, no redirects, no other protocol than the one asked for, answers bounded, certificates verified.
 */
#ifndef MANAGE_CURL_H
#define MANAGE_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/base.h"
#include "base/buf.h"

struct curl_api {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *easy);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    void (*easy_cleanup)(CURL *easy);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free)(struct curl_slist *list);
};

/* NULL, with *why (static text): it cannot be had. Any thread. */
const struct curl_api *manage_curl(const char **why);

/* What all have in common. All strings are NUL-terminated; NULL is none. */
struct curl_way {
    const char *url, *protocols; /* of libcurl: "http,https" */
    const char *ca_file;         /* NULL: the system's */
    uint32_t timeout_ms;         /* all of it */
    bool local;                  /* addresses that are not public will do */
    bool refused;                /* out: an address was refused by the dial rule */
};
/* Sets it up. way must outlive the transfer. False: libcurl does not take it. */
bool curl_way_set(const struct curl_api *api, CURL *easy, struct curl_way *way) MUST_CHECK;
/* What became of it, in words: "its address is not public", or libcurl's. */
const char *curl_why(const struct curl_api *api, const struct curl_way *way, CURLcode code);

/* ---- one question over HTTP ---- */

#define FETCH_HEADERS_MAX 8u

struct fetch {
    const char *url;
    bool local;
    const char *ca_file;
    uint32_t timeout_ms;
    bool post;
    struct str body;                          /* of a POST */
    const char *headers[FETCH_HEADERS_MAX];   /* "name: value", the first NULL ends; no line ends in them */
    const char *user, *password;              /* Basic; NULL: none */
    size_t answer_bytes_max;                  /* more is a failure; 0: what comes is not kept */
    /* Out. */
    unsigned status;
    uint32_t took_ms;
    struct buf answer; /* fetch_free() */
    char why[160];
};

/* 0: there is an answer, of whatever status; else a negative errno and fetch->why. */
int fetch_run(struct fetch *fetch) MUST_CHECK;
void fetch_free(struct fetch *fetch);

#endif
